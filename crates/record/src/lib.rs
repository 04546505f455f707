//! The run directory: manifest, tables, format version, resume.

pub mod error;
pub mod hash;
pub mod lm_eval;
pub mod manifest;
pub mod reader;
pub mod rows;
pub mod time;
pub mod writer;

pub use error::{Difference, Error};
pub use manifest::{FORMAT_VERSION, Manifest};
pub use reader::RunReader;
pub use writer::{Found, RunWriter};
