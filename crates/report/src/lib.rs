//! Recorded run to tables, figures and HTML.
