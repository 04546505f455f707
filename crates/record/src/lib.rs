//! The run directory: manifest, tables, format version, resume.
