//! The built-in benchmarks: what they are, where their questions come from, how a row becomes a question.
//!
//! Published benchmarks are read from files, made ones (`arith`) are computed and need none. For the former, a folder of data is searched for the publisher's own files and for the Hub's Parquet files, in the task's own folder first
//! (`gsm8k/test.jsonl`), then under the publisher's folder name, then in the folder itself. Fetching from the Hub is the
//! caller's part: a task names its repository and tells which of the repository's files belong to a split.

mod arc;
mod arith;
mod gsm8k;
mod svamp;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use entrace_measure::Question;
use sha2::{Digest, Sha256};

pub use self::gsm8k::strip_annotations;
use crate::error::Error;
use crate::format::FormatKind;
use crate::loaded::{BadLines, Loaded};
use crate::rows;
use crate::value::Row;

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
    /// The paper that published it, or what makes it.
    pub citation: &'static str,
    /// Kind of its answers.
    pub answer_format: FormatKind,
    /// The split that is measured unless another is asked for.
    pub evaluation_split: Split,
    /// Where few-shot examples come from; the first split that is there.
    pub fewshot_splits: &'static [Split],
    /// Where its questions come from.
    pub source: Source,
}

/// Where the questions of a benchmark come from.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// Its publisher's files.
    Published(Published),
    /// They are computed.
    Made(Made),
}

/// The files of a published benchmark.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// Repository on the Hub, of the kind dataset.
    pub hub_repo: &'static str,
    /// The files.
    pub splits: &'static [SplitFiles],
    /// Folder names besides the task's own.
    folders: &'static [&'static str],
    /// A row as a question, or why it is none.
    question: fn(&Row, Place<'_>) -> Result<Question, String>,
}

/// A benchmark that is computed; it has every split.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    /// Questions in each split.
    pub n_questions: usize,
    /// What the questions are a function of, as records state it.
    recipe: &'static str,
    /// The question of that index.
    question: fn(Split, usize) -> Question,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    /// The task's name.
    task: &'static str,
    /// Split and line, such as `test-17`; the identity where the benchmark gives none.
    name: &'a str,
}

static TASKS: [TaskSpec; 5] = [gsm8k::TASK, svamp::TASK, arc::CHALLENGE, arc::EASY, arith::TASK];

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

/// The questions of a split, from the files under `data_dir`; a benchmark that is computed does not look there.
pub fn load(task: &TaskSpec, data_dir: &Path, split: Split, bad_lines: BadLines) -> Result<Loaded, Error> {
    match &task.source {
        Source::Published(published) => load_published(task, published, data_dir, split, bad_lines),
        Source::Made(made) => Ok(made.load(task.name, split)),
    }
}

fn load_published(
    task: &TaskSpec,
    published: &Published,
    data_dir: &Path,
    split: Split,
    bad_lines: BadLines,
) -> Result<Loaded, Error> {
    let files = published.files(task.name, split)?;
    let paths = locate(task.name, published, files, data_dir)?;
    let read = rows::load(&paths, rows::MAX_CELL_BYTES)?;
    let mut loaded =
        Loaded { questions: Vec::new(), bad_lines: Vec::new(), source: read.source, hash: read.hash };
    let mut seen = HashSet::new();
    for (i, line) in read.lines.iter().enumerate() {
        // Rows of several Parquet files count on; lines of a single file count from its start.
        let number = if paths.len() == 1 { line.number } else { i + 1 };
        let name = format!("{}-{number}", split.name());
        let place = Place { task: task.name, name: &name };
        let question =
            line.row.as_ref().map_err(Clone::clone).and_then(|row| (published.question)(row, place));
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

impl Published {
    /// The files of a split; `task` is the benchmark's name.
    pub fn files(&self, task: &'static str, split: Split) -> Result<&SplitFiles, Error> {
        self.splits.iter().find(|files| files.split == split).ok_or_else(|| Error::NoSplit {
            task,
            split: split.name(),
            available: self.splits.iter().map(|files| files.split.name()).collect(),
        })
    }
}

impl Made {
    /// All questions of a split. What other benchmarks hash of a file is here the text of questions and targets, a line each.
    fn load(&self, task: &str, split: Split) -> Loaded {
        let questions: Vec<Question> = (0..self.n_questions).map(|i| (self.question)(split, i)).collect();
        let mut hasher = Sha256::new();
        for question in &questions {
            let target = question.target.as_ref().map_or("", |target| target.name());
            hasher.update(format!("{}\t{target}\n", question.text));
        }
        let hash = base16ct::lower::encode_string(&hasher.finalize());
        let source =
            format!("made: {task}, {}, {}, {} questions", self.recipe, split.name(), self.n_questions);
        Loaded { questions, bad_lines: Vec::new(), source, hash }
    }
}

/// The files of a split under `data_dir`; at least one.
fn locate(
    task: &'static str,
    published: &Published,
    files: &SplitFiles,
    data_dir: &Path,
) -> Result<Vec<PathBuf>, Error> {
    let folders = std::iter::once(task).chain(published.folders.iter().copied()).chain([""]);
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
    let (split, folder) = (files.split.name(), data_dir.to_path_buf());
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
            let Source::Published(published) = task.source else { continue };
            assert!(published.files(task.name, task.evaluation_split).is_ok());
            assert!(task.fewshot_splits.iter().all(|&split| published.files(task.name, split).is_ok()));
        }
        let error = find("gsm9k").unwrap_err().to_string();
        assert_eq!(
            error,
            "could not find the task \"gsm9k\"; known tasks: gsm8k, svamp, arc_challenge, arc_easy, arith; a file of your own ends in \
             .jsonl, .json, .csv, .tsv or .parquet (perhaps .gz or .zst)"
        );
    }

    #[test]
    fn hub_files_are_told_by_their_path() {
        let Source::Published(published) = find("gsm8k").unwrap().source else { panic!("it is published") };
        let files = published.files("gsm8k", Split::Test).unwrap();
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
