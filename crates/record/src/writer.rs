//! Writing a run folder, part by part.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::error::Error;
use crate::manifest::Manifest;
use crate::rows::Rows;

/// What was in the folder when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing; a run begins.
    Nothing,
    /// An unfinished run with equal settings, which goes on.
    Resumed {
        /// Numbers of the parts that are there.
        finished_parts: BTreeSet<usize>,
    },
    /// A finished run with equal settings.
    Complete,
}

/// A run folder that this process alone writes.
#[derive(Debug)]
pub struct RunWriter {
    dir: PathBuf,
    manifest: Manifest,
}

impl RunWriter {
    /// Opens a folder to begin a run or to go on with it; what is not this run is never touched.
    pub fn open(dir: &Path, manifest: &Manifest) -> Result<(Self, Found), Error> {
        unimplemented!("{dir:?} {manifest:?}")
    }

    /// Begins a run in a folder whose earlier run, if any, is removed first.
    pub fn overwrite(dir: &Path, manifest: &Manifest) -> Result<Self, Error> {
        unimplemented!("{dir:?} {manifest:?}")
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest as it stands in the folder: of a resumed run, the time it began and the seconds so far are the earlier ones.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Writes a part: all of it, or nothing.
    pub fn write_part(&self, index: usize, rows: &Rows) -> Result<(), Error> {
        unimplemented!("{index} {rows:?}")
    }

    /// Adds seconds of work to the manifest; called where a sitting ends before the run does.
    pub fn add_elapsed(&mut self, elapsed_secs: f64) -> Result<(), Error> {
        unimplemented!("{elapsed_secs}")
    }

    /// Merges the parts `0..n_parts` into the four tables, marks the run finished and removes the parts.
    ///
    /// `elapsed_secs` are the seconds of this sitting, less those already given to `add_elapsed`.
    pub fn finish(&mut self, n_parts: usize, finished_at: Timestamp, elapsed_secs: f64) -> Result<(), Error> {
        unimplemented!("{n_parts} {finished_at} {elapsed_secs}")
    }

    /// Writes a file beside the tables, as `report.html` or `figures/entropy.svg`: the whole file, or nothing. Returns its path.
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        unimplemented!("{name} {bytes:?}")
    }
}
