//! The run directory: manifest, tables, format version, resume.
//!
//! A run is written part by part ([`RunWriter`]) and read as rows ([`RunReader`]), or trace by trace ([`Tables`]). `manifest` describes the folder and its format,
//! `rows` the five tables, `interventions` what was added to a finished run, `lm_eval` the files for other tools. Nothing here knows a model, and nothing reads the clock.

pub mod error;
pub mod file;
pub mod hash;
pub mod interventions;
pub mod lm_eval;
pub mod manifest;
pub mod merge;
pub mod reader;
pub mod rows;
pub mod spool;
pub mod tables;
pub mod time;
pub mod writer;

mod cell;
mod checked;
#[cfg(test)]
mod example;
mod lock;
mod parts;
mod sealed;
mod table;

pub use error::{Difference, Error};
pub use manifest::{FORMAT_VERSION, Manifest, Settings};
pub use reader::RunReader;
pub use rows::Rows;
pub use tables::Tables;
pub use writer::{Found, RunWriter};
