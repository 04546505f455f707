//! The built-in benchmarks: what they are, which files hold them, how a row becomes a question.
//!
//! A folder of data is searched for the publisher's own files and for the Hub's Parquet files, in the task's own folder first
//! (`gsm8k/test.jsonl`), then under the publisher's folder name, then in the folder itself. Fetching from the Hub is the
//! caller's part: a task names its repository and tells which of the repository's files belong to a split.

mod arc;
mod gsm8k;
mod svamp;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use entrace_measure::Question;

pub use self::gsm8k::strip_annotations;
use crate::error::Error;
use crate::format::FormatKind;
use crate::loaded::{BadLines, Loaded};
use crate::rows::{self, Row};

/// A part of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// For training and for examples.
    Train,
    /// For choosing settings.
    Validation,
    /// For evaluation.
    Test,
}

impl Split {
    /// The name as the Hub writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The inverse of `name`; `dev` is `validation`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "train" => Some(Self::Train),
            "validation" | "dev" => Some(Self::Validation),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

/// The files of one split.
#[derive(Debug, Clone, Copy)]
pub struct SplitFiles {
    /// The split.
    pub split: Split,
    /// Names that the file has outside the Hub, the preferred one first.
    pub names: &'static [&'static str],
    /// Folder in the Hub's repository that holds the split's Parquet files.
    pub hub_folder: &'static str,
}

impl SplitFiles {
    /// Whether the path within the Hub's repository is one of this split's Parquet files, such as
    /// `main/test-00000-of-00001.parquet`.
    pub fn is_hub_file(&self, path: &str) -> bool {
        path.strip_prefix(self.hub_folder)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|name| !name.contains('/') && self.is_parquet_name(name))
    }

    fn is_parquet_name(&self, name: &str) -> bool {
        let rest = name.strip_prefix(self.split.name()).and_then(|rest| rest.strip_suffix(".parquet"));
        rest.is_some_and(|middle| middle.is_empty() || middle.starts_with('-'))
    }
}

/// A built-in benchmark.
#[derive(Debug, Clone, Copy)]
pub struct TaskSpec {
    /// Name on the command line and in records.
    pub name: &'static str,
    /// One line about it.
    pub description: &'static str,
    /// The paper that published it.
    pub citation: &'static str,
    /// Repository on the Hub, of the kind dataset.
    pub hub_repo: &'static str,
    /// Kind of its answers.
    pub answer_format: FormatKind,
    /// The split that is measured unless another is asked for.
    pub evaluation_split: Split,
    /// Where few-shot examples come from; the first split that is there.
    pub fewshot_splits: &'static [Split],
    /// The files.
    pub splits: &'static [SplitFiles],
    /// Folder names besides the task's own.
    folders: &'static [&'static str],
    /// A row as a question, or why it is none.
    question: fn(&Row, Place<'_>) -> Result<Question, String>,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    /// The task's name.
    task: &'static str,
    /// Split and line, such as `test-17`; the identity where the benchmark gives none.
    name: &'a str,
}

static TASKS: [TaskSpec; 4] = [gsm8k::TASK, svamp::TASK, arc::CHALLENGE, arc::EASY];

/// The built-in benchmarks.
pub fn registry() -> &'static [TaskSpec] {
    &TASKS
}

/// The benchmark of that name.
pub fn find(name: &str) -> Result<&'static TaskSpec, Error> {
    TASKS.iter().find(|task| task.name == name).ok_or_else(|| Error::UnknownTask {
        name: name.to_string(),
        known: TASKS.iter().map(|task| task.name).collect(),
    })
}

/// Reads a split from the files under `data_dir`.
pub fn load(task: &TaskSpec, data_dir: &Path, split: Split, bad_lines: BadLines) -> Result<Loaded, Error> {
    let files = task.files(split)?;
    let paths = locate(task, files, data_dir)?;
    let read = rows::load(&paths)?;
    let mut loaded =
        Loaded { questions: Vec::new(), bad_lines: Vec::new(), source: read.source, hash: read.hash };
    let mut seen = HashSet::new();
    for (i, line) in read.lines.iter().enumerate() {
        // Rows of several Parquet files count on; lines of a single file count from its start.
        let number = if paths.len() == 1 { line.number } else { i + 1 };
        let name = format!("{}-{number}", split.name());
        let place = Place { task: task.name, name: &name };
        let question = line.row.as_ref().map_err(Clone::clone).and_then(|row| (task.question)(row, place));
        match question {
            Ok(question) if !seen.insert(question.id.clone()) => {
                let reason = format!("the id {:?} appeared before", question.id);
                bad_lines.take(&mut loaded.bad_lines, line.bad(reason))?;
            }
            Ok(question) => loaded.questions.push(question),
            Err(reason) => bad_lines.take(&mut loaded.bad_lines, line.bad(reason))?,
        }
    }
    loaded.checked(&paths[0])
}

impl TaskSpec {
    /// The files of a split.
    pub fn files(&self, split: Split) -> Result<&SplitFiles, Error> {
        self.splits.iter().find(|files| files.split == split).ok_or_else(|| Error::NoSplit {
            task: self.name,
            split: split.name(),
            available: self.splits.iter().map(|files| files.split.name()).collect(),
        })
    }
}

/// The files of a split under `data_dir`; at least one.
fn locate(task: &TaskSpec, files: &SplitFiles, data_dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let folders = std::iter::once(task.name).chain(task.folders.iter().copied()).chain([""]);
    let mut names = Vec::new();
    for folder in folders {
        for name in files.names {
            let path = data_dir.join(folder).join(name);
            if path.is_file() {
                return Ok(vec![path]);
            }
            names.push(Path::new(folder).join(name).display().to_string());
        }
        let hub = Path::new(folder).join(files.hub_folder);
        let shards = shards(&data_dir.join(&hub), files);
        if !shards.is_empty() {
            return Ok(shards);
        }
        names.push(hub.join(format!("{}-*.parquet", files.split.name())).display().to_string());
    }
    let (task, split, folder) = (task.name, files.split.name(), data_dir.to_path_buf());
    Err(Error::Missing { task, split, folder, names })
}

/// The split's Parquet files in a folder, by name; none if the folder cannot be read.
fn shards(folder: &Path, files: &SplitFiles) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries
        .filter(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| files.is_parquet_name(name))
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_found_by_name() {
        for task in registry() {
            assert_eq!(find(task.name).unwrap().name, task.name);
            assert!(task.files(task.evaluation_split).is_ok());
            assert!(task.fewshot_splits.iter().all(|&split| task.files(split).is_ok()));
        }
        let error = find("gsm9k").unwrap_err().to_string();
        assert_eq!(error, "find the task \"gsm9k\"; known tasks: gsm8k, svamp, arc_challenge, arc_easy");
    }

    #[test]
    fn hub_files_are_told_by_their_path() {
        let files = find("gsm8k").unwrap().files(Split::Test).unwrap();
        assert!(files.is_hub_file("main/test-00000-of-00001.parquet"));
        assert!(files.is_hub_file("main/test-00000-of-00001-0a1b.parquet"));
        assert!(!files.is_hub_file("main/train-00000-of-00001.parquet"));
        assert!(!files.is_hub_file("socratic/test-00000-of-00001.parquet"));
        assert!(!files.is_hub_file("main/tests.parquet"));
    }

    #[test]
    fn splits_have_names() {
        for split in [Split::Train, Split::Validation, Split::Test] {
            assert_eq!(Split::from_name(split.name()), Some(split));
        }
        assert_eq!(Split::from_name("dev"), Some(Split::Validation));
        assert_eq!(Split::from_name("all"), None);
    }
}
