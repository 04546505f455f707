//! The program as a study sees it: sprout is built in, notes and downloads are shown on standard error.

use crate::download::Download;
use crate::exit::SetUp;
use crate::progress::print_line;
use crate::{fault, sprout};
use entrace_hub::Observer;
use entrace_study::{BuiltIn, Error, Host};

/// This program.
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
        let stage = sprout::Stage::named(name);
        let stage = stage.map_err(|SetUp(problem)| Error::Option { option: "model", problem })?;
        Ok(stage.map(sprout::Stage::model))
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
