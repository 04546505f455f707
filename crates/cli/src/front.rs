//! The program around a command: what it brings along and shows, and when it wants a measurement to stop.
//!
//! The terminal is one (`console`). Another program that carries commands out in itself is one as well, see [`crate::embed`].

use crate::measured::Measured;
use entrace_run::Observer;
use entrace_study::{Host, Model};

/// The program around a command.
pub trait Front: Sync {
    /// It as a study sees it; with `quiet` it shows nothing.
    fn host(&self, quiet: bool) -> Box<dyn Host + '_>;

    /// Watches the measurement of this model, and may stop it.
    fn observer(&self, quiet: bool, model: &Model) -> Box<dyn Observer + '_>;

    /// The command line, for the record.
    fn command_line(&self) -> Vec<String>;

    /// Is told of a run that had to be measured first.
    fn measured_first(&self, _run: &Measured) -> std::io::Result<()> {
        Ok(())
    }
}
