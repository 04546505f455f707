//! Reading a run folder, finished or not.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::manifest::Manifest;
use crate::rows::{AnswerRow, PrefixRow, TokenRow, TraceRow};

/// A run folder, checked.
#[derive(Debug)]
pub struct RunReader {
    dir: PathBuf,
    manifest: Manifest,
}

impl RunReader {
    /// Opens a run folder and checks its manifest and version.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        unimplemented!("{dir:?}")
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether the run was finished; else the rows are those of the parts so far.
    pub fn is_complete(&self) -> bool {
        self.manifest.finished_at.is_some()
    }

    /// All rows of `traces`.
    pub fn traces(&self) -> Result<Vec<TraceRow>, Error> {
        self.stream_traces().collect()
    }

    /// All rows of `prefixes`.
    pub fn prefixes(&self) -> Result<Vec<PrefixRow>, Error> {
        self.stream_prefixes().collect()
    }

    /// All rows of `answers`.
    pub fn answers(&self) -> Result<Vec<AnswerRow>, Error> {
        self.stream_answers().collect()
    }

    /// All rows of `tokens`.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.stream_tokens().collect()
    }

    /// The rows of `traces`, one row group in memory at a time.
    pub fn stream_traces(&self) -> impl Iterator<Item = Result<TraceRow, Error>> {
        std::iter::empty()
    }

    /// The rows of `prefixes`, one row group in memory at a time.
    pub fn stream_prefixes(&self) -> impl Iterator<Item = Result<PrefixRow, Error>> {
        std::iter::empty()
    }

    /// The rows of `answers`, one row group in memory at a time.
    pub fn stream_answers(&self) -> impl Iterator<Item = Result<AnswerRow, Error>> {
        std::iter::empty()
    }

    /// The rows of `tokens`, one row group in memory at a time.
    pub fn stream_tokens(&self) -> impl Iterator<Item = Result<TokenRow, Error>> {
        std::iter::empty()
    }
}
