//! The terminal around a command: sprout is built in, notes, downloads and progress are shown on standard error.

use crate::download::Download;
use crate::front::Front;
use crate::measured::Measured;
use crate::progress::{Progress, print_line};
use crate::{fault, sprout};
use entrace_hub::Observer;
use entrace_study::{BuiltIn, Error, Host, Model};

/// The terminal.
pub(crate) struct Terminal;

impl Front for Terminal {
    fn host(&self, quiet: bool) -> Box<dyn Host + '_> {
        Box::new(Console::new(quiet))
    }

    fn observer(&self, quiet: bool, model: &Model) -> Box<dyn entrace_run::Observer + '_> {
        Box::new(Progress::new(quiet, model.standing()))
    }

    fn command_line(&self) -> Vec<String> {
        std::env::args().collect()
    }

    fn measured_first(&self, run: &Measured) -> std::io::Result<()> {
        run.print()
    }
}

/// What a study is told, on standard error.
pub(crate) struct Console {
    quiet: bool,
    download: Download,
}

impl Console {
    /// With `quiet` nothing is shown.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, download: Download::new(quiet) }
    }
}

impl Host for Console {
    fn built_in(&self, name: &str) -> Result<Option<BuiltIn>, Error> {
        sprout::built_in(name)
    }

    fn doing(&self, what: String) {
        fault::doing(what);
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            print_line(&format!("note: {text}"));
        }
    }

    fn downloads(&self) -> &dyn Observer {
        &self.download
    }
}
