//! What can go wrong between a run and its folder.

use std::path::{Path, PathBuf};

/// Failures to write or read a run folder. Each message names the file and fits after "failed to ...: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file or folder.
    #[error("could not {action} {}: {source}{}", path.display(), hint(action, source))]
    Io {
        /// What was tried, as in `write`.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder holds no run.
    #[error(
        "{} holds no run: manifest.json is missing (a run folder is what `entrace run` writes)",
        dir.display()
    )]
    NoManifest {
        /// The folder.
        dir: PathBuf,
    },
    /// `manifest.json` is not a manifest.
    #[error("{} is not a manifest of entrace: {problem}", path.display())]
    BadManifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The folder or table is of a format that this version does not read or must not touch.
    #[error(
        "{} has format version {found}, this entrace knows {known}; use the entrace that wrote it, or a newer one",
        path.display()
    )]
    UnknownFormat {
        /// The file that states the version.
        path: PathBuf,
        /// The version it states.
        found: String,
        /// The version of this crate.
        known: &'static str,
    },
    /// The folder holds an unfinished or finished run with other settings.
    #[error(
        "{} holds a run with other settings:\n{}",
        dir.display(),
        list(differences)
    )]
    OtherSettings {
        /// The folder.
        dir: PathBuf,
        /// Each field that differs.
        differences: Vec<Difference>,
    },
    /// The folder is no run, and holds files that a run would replace.
    #[error(
        "{} is not a run folder, and {} in it would be overwritten",
        dir.display(),
        names.join(", ")
    )]
    Occupied {
        /// The folder.
        dir: PathBuf,
        /// Files in the way.
        names: Vec<String>,
    },
    /// Another process writes the folder.
    #[error(
        "{} is being written by another process{}",
        dir.display(),
        process.map_or_else(String::new, |id| format!(" (number {id})"))
    )]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// The process, where it is known.
        process: Option<u32>,
    },
    /// The run is finished: it takes no more parts.
    #[error("{} holds a finished run, which takes no more parts", dir.display())]
    Finished {
        /// The folder.
        dir: PathBuf,
    },
    /// A part is written twice.
    #[error("part {index} is in {} already", dir.display())]
    PartExists {
        /// The run folder.
        dir: PathBuf,
        /// The part's number.
        index: usize,
    },
    /// The parts on disk are not those that the run should have.
    #[error("the run in {} cannot be finished with {n_parts} parts: {problem}", dir.display())]
    WrongParts {
        /// The run folder.
        dir: PathBuf,
        /// Parts that the run should have.
        n_parts: usize,
        /// What is wrong.
        problem: String,
    },
    /// Folders that do not make up one run.
    #[error("these folders do not make up one run: {problem}")]
    NotOneRun {
        /// What is in the way.
        problem: String,
    },
    /// The folder holds another shard of the run.
    #[error("{} holds {recorded}, not {requested}", dir.display())]
    OtherShard {
        /// The folder.
        dir: PathBuf,
        /// What it holds.
        recorded: String,
        /// What was asked for.
        requested: String,
    },
    /// A table is missing.
    #[error("{} is missing; the run is damaged and has to be copied or measured again", path.display())]
    NoTable {
        /// The file that should be there.
        path: PathBuf,
    },
    /// A table is damaged or is not what its name says.
    #[error("{}: {problem}", path.display())]
    BadTable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A link where a run folder has a folder of its own.
    #[error("{} is a link; expected a folder of the run", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A part holds other questions than those that are measured under its number.
    #[error(
        "{} does not hold the questions that belong there ({problem}); remove it to measure them",
        path.display()
    )]
    ForeignPart {
        /// The part.
        path: PathBuf,
        /// The first difference.
        problem: String,
    },
    /// A name that does not stay in the run folder, or that belongs to the run itself.
    #[error("{name:?} cannot be the name of a file in a run folder")]
    BadName {
        /// The name.
        name: String,
    },
}

impl Error {
    /// Adds what was tried, and on which file, to an error of the operating system.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// A setting in which two runs differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The field, as in `model.revision`.
    pub field: String,
    /// Its value in the folder, as JSON; null where it is absent.
    pub recorded: String,
    /// Its value now.
    pub requested: String,
}

fn list(differences: &[Difference]) -> String {
    let lines: Vec<String> = differences
        .iter()
        .map(|d| format!("  {}: recorded {}, now {}", d.field, d.recorded, d.requested))
        .collect();
    lines.join("\n")
}

fn hint(action: &str, error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{
        AlreadyExists, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    match error.kind() {
        StorageFull | QuotaExceeded => {
            "; finished parts are kept: free some space and run the same command again to resume"
        }
        PermissionDenied | ReadOnlyFilesystem if action != "read" => "; choose a folder that can be written",
        AlreadyExists | NotADirectory => "; expected a run folder, found a file",
        _ => "",
    }
}
