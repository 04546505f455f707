//! What `run` and `score` come to.

use crate::exit::Exit;
use crate::report;
use anyhow::Result;
use entrace_report::Report;
use std::path::{Path, PathBuf};

/// What `run` and `score` come to.
pub struct Measured {
    folder: PathBuf,
    report: Option<Report>,
    quiet: bool,
}

impl Measured {
    pub(crate) fn new(folder: PathBuf, report: Option<Report>, quiet: bool) -> Self {
        Self { folder, report, quiet }
    }

    /// The run folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was found; `None` of a shard, which is reported once it is merged with the others.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// Prints what was found.
    pub(crate) fn print(&self) -> std::io::Result<()> {
        self.report.as_ref().map_or(Ok(()), |report| report::print(report, &self.folder, self.quiet))
    }

    /// Prints what was found, and ends the command.
    pub(crate) fn show(&self) -> Result<Exit> {
        self.print()?;
        Ok(self.report.as_ref().map_or_else(Exit::success, |report| report::exit_of(&report.metrics)))
    }
}
