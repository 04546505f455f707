//! The program that a study runs in: the models that it brings along, and what it is told.

use crate::error::Error;
use entrace_backend::{Generate, ReadLayers, ScoreTree, Text};
use entrace_hub::{Observer, Silent};
use entrace_text::TextSide;
use tempfile::TempDir;

/// What a study asks of the program around it, and tells it. `()` is a program that brings nothing along and shows nothing.
pub trait Host: Sync {
    /// The model of this name that is part of the program; `None` for names of other models.
    fn built_in(&self, _name: &str) -> Result<Option<BuiltIn>, Error> {
        Ok(None)
    }

    /// The engine of this name that the program brings along; `None` for names of models. It is asked for whenever a model is opened.
    fn engine(&self, _name: &str) -> Result<Option<Box<dyn OwnEngine>>, Error> {
        Ok(None)
    }

    /// Is told what is being done from now on, in words that follow "while".
    fn doing(&self, _what: String) {}

    /// Is told what the user should know.
    fn note(&self, _text: &str) {}

    /// Watches downloads.
    fn downloads(&self) -> &dyn Observer {
        &Silent
    }
}

impl Host for () {}

/// An engine that a program brings along: its text side, and what else it can do.
pub trait OwnEngine: Text {
    /// Its text side.
    fn as_text(&self) -> &dyn Text;

    /// Its sampling, where it can.
    fn generator(&self) -> Option<&dyn Generate> {
        None
    }

    /// Its scoring of continuations, where it can.
    fn scorer(&self) -> Option<&dyn ScoreTree> {
        None
    }

    /// Its reading of layers, where it can.
    fn layers(&self) -> Option<&dyn ReadLayers> {
        None
    }

    /// Tokenizer and template, where they are those of files.
    fn side(&self) -> Option<&TextSide> {
        None
    }

    /// The same, to be changed.
    fn side_mut(&mut self) -> Option<&mut TextSide> {
        None
    }
}

/// A model that is part of a program.
pub struct BuiltIn {
    /// Its name in full.
    pub name: String,
    /// Its files in Hugging Face layout, by name.
    pub files: Vec<(&'static str, &'static [u8])>,
}

impl BuiltIn {
    /// Its files in a temporary folder, for as long as the guard lives.
    pub(crate) fn unpack(&self) -> Result<TempDir, Error> {
        let temporary = std::env::temp_dir();
        let folder = tempfile::Builder::new().prefix("entrace-model-").tempdir();
        let folder = folder.map_err(Error::io("create a folder in", temporary))?;
        for (name, bytes) in &self.files {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).map_err(Error::io("write", &path))?;
        }
        Ok(folder)
    }
}
