//! What can go wrong between a file and a question.

use std::path::PathBuf;

use crate::loaded::BadLine;

/// Failures of reading benchmarks and traces. Each message says what could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The packed file is damaged, or too large unpacked.
    #[error("could not unpack {} with {packing}", path.display())]
    Unpack {
        /// The file.
        path: PathBuf,
        /// How it is packed.
        packing: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The byte order mark does not fit what follows.
    #[error("could not read {} as {encoding}, which its byte order mark announces: some bytes are no character", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The encoding.
        encoding: &'static str,
    },
    /// The whole file is not what its name says.
    #[error("could not read {} as {form}: {reason}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What it was taken for.
        form: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No cell of a column that is asked for can be read.
    #[error(
        "could not read the column {column:?} of {}, which is to be the {role}: it holds {reason}; write it as text or numbers, or name \
         another column",
        path.display()
    )]
    Column {
        /// The file.
        path: PathBuf,
        /// What the column holds for us.
        role: &'static str,
        /// Its name in the file.
        column: String,
        /// What it holds.
        reason: String,
    },
    /// The whole file is not what its name says.
    #[error("could not read {} as Parquet", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: parquet::errors::ParquetError,
    },
    /// None of the names that a task's file may have is there.
    #[error(
        "could not find the {split} split of {task}: looked in {} for {}; a folder that holds one of them is needed",
        folder.display(), names.join(", ")
    )]
    Missing {
        /// The task.
        task: &'static str,
        /// The split.
        split: &'static str,
        /// The folder that was searched.
        folder: PathBuf,
        /// The names that were looked for, relative to the folder.
        names: Vec<String>,
    },
    /// The benchmark was never published with this split.
    #[error("could not find the {split} split of {task}, which has {}", available.join(", "))]
    NoSplit {
        /// The task.
        task: &'static str,
        /// The split that was asked for.
        split: &'static str,
        /// The splits there are.
        available: Vec<&'static str>,
    },
    /// No task of this name.
    #[error("could not find the task {name:?}; known tasks: {}; a file of your own ends in .jsonl, .json, .csv, .tsv or .parquet (perhaps .gz or .zst)", known.join(", "))]
    UnknownTask {
        /// The name.
        name: String,
        /// The names there are.
        known: Vec<&'static str>,
    },
    /// No answer format of this name.
    #[error("could not find the answer format {0:?}; known formats: auto, number, choice, text")]
    UnknownFormat(String),
    /// A line that cannot be used, where that was asked to be fatal.
    #[error("could not use {0}")]
    BadLine(BadLine),
    /// Every line was bad.
    #[error("could not find a usable line in {}{}", path.display(), first_bad(.first))]
    NoUsableLine {
        /// The file.
        path: PathBuf,
        /// The first line and what is wrong with it; absent for an empty file.
        first: Option<BadLine>,
    },
    /// A column mapping that cannot be read.
    #[error(
        "could not read the column mapping {text:?}: {reason}; write it as question=COLUMN,target=COLUMN"
    )]
    ColumnMap {
        /// The mapping.
        text: String,
        /// What is wrong.
        reason: String,
    },
}

fn first_bad(first: &Option<BadLine>) -> String {
    first.as_ref().map_or_else(String::new, |line| format!("; the first one, {line}"))
}
