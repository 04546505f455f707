//! What reading a file gave: the questions, and the lines that gave none.

use std::fmt;
use std::path::{Path, PathBuf};

use entrace_measure::Question;

use crate::error::Error;

/// A line that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The file.
    pub path: PathBuf,
    /// Line of a JSON Lines file, element of a JSON array, or row of a Parquet file, counted from 1.
    pub line_number: usize,
    /// What is wrong, as a lower-case fragment.
    pub reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line_number, self.reason)
    }
}

/// What becomes of a line that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadLines {
    /// It is left out and listed.
    #[default]
    Skip,
    /// It is an error.
    Stop,
}

impl BadLines {
    /// Lists the line, or makes it an error.
    pub(crate) fn take(self, list: &mut Vec<BadLine>, line: BadLine) -> Result<(), Error> {
        match self {
            Self::Skip => {
                list.push(line);
                Ok(())
            }
            Self::Stop => Err(Error::BadLine(line)),
        }
    }
}

/// Questions read from files.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The questions, in the order of the file.
    pub questions: Vec<Question>,
    /// The lines that gave none.
    pub bad_lines: Vec<BadLine>,
    /// The files that were read, separated by commas.
    pub source: String,
    /// SHA-256 of the bytes read, in hexadecimal; of a single file, what `sha256sum` prints.
    pub hash: String,
}

impl Loaded {
    /// An error if there is no question at all: the file is then not what it was taken for.
    pub(crate) fn checked(self, path: &Path) -> Result<Self, Error> {
        if self.questions.is_empty() {
            let first = self.bad_lines.into_iter().next();
            return Err(Error::NoUsableLine { path: path.to_path_buf(), first });
        }
        Ok(self)
    }
}
