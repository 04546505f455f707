//! Recorded run to metrics, tables, figures and one HTML page.
//!
//! Everything here is made from a record alone, without a model, and can be made again from it: the same record and options give the
//! same bytes. No clock is read and nothing is printed; tables for a terminal are returned as text.
//!
//! `collect` (rows -> facts per trace) -> [`metrics`] -> [`terminal`], [`markdown`], [`figure`], `html` -> [`mod@write`]
//!
//! Several runs on the same questions are set against each other by [`mod@compare`].
//!
//! Curves of traces with different numbers of steps are brought onto one grid of relative [`depth`]s. Which single traces the page shows
//! is decided by rule (`exemplar`).

mod belief;
mod collect;
pub mod compare;
mod cues;
pub mod depth;
mod disagreement;
mod error;
mod exemplar;
mod facts;
pub mod figure;
mod format;
mod gaps;
mod html;
mod index;
pub mod interventions;
pub mod markdown;
pub mod metrics;
mod places;
mod readouts;
mod sentence;
mod signals;
#[cfg(test)]
mod synthetic;
pub mod terminal;
pub mod write;

pub use collect::Collector;
pub use compare::{Comparison, Stage};
pub use error::Error;
pub use interventions::InterventionMetrics;
pub use metrics::{MetricOptions, Metrics};
pub use sentence::verdict as verdict_sentence;
pub use write::{Report, ReportOptions, write_report};
