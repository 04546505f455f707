//! The run directory: manifest, tables, format version, resume.

pub mod manifest;
pub mod rows;
