//! Questions to reason on: built-in tasks and files of one's own, opened and planned.

use crate::error::Error;
use crate::host::Host;
use crate::prompt::{Asking, PromptOptions};
use entrace_datasets::task::{Published, SplitFiles};
use entrace_datasets::{
    BadLine, BadLines, ColumnMap, FormatKind, Loaded, NumberStyle, Split, TaskSpec, fewshot, is_file_name,
    jsonl, stem, task,
};
use entrace_hub::{Hub, Name, Part};
use entrace_measure::Question;
use entrace_record::manifest::TaskRecord;
use entrace_run::{Measurement, TaskPlan, TraceInput, WorkItem};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most traces for each question.
const MOST_REPEATS: u32 = 100_000;

/// Which questions a model reasons on.
#[derive(Debug, Clone)]
pub struct TaskOptions {
    /// Names of built-in tasks, and files of questions.
    pub names: Vec<String>,
    /// Folder of benchmark files; by default they are fetched from the Hub.
    pub data_dir: Option<PathBuf>,
    /// The split that is measured; by default the task's own.
    pub split: Option<String>,
    /// How files are read; what becomes of bad lines counts for built-in tasks too.
    pub reading: jsonl::Options,
    /// Only so many questions of each task; below 1, that share of them.
    pub limit: Option<f64>,
    /// Traces for each question.
    pub repeats: u32,
    /// How questions are put to the model.
    pub prompt: PromptOptions,
}

impl TaskOptions {
    /// All questions of these tasks and files, one trace each.
    pub fn named(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            data_dir: None,
            split: None,
            reading: jsonl::Options::default(),
            limit: None,
            repeats: 1,
            prompt: PromptOptions::default(),
        }
    }

    /// Reads the questions, which needs no model.
    ///
    /// # Errors
    /// Where the options cannot be meant, or a task or file cannot be read.
    pub fn open(self, host: &dyn Host) -> Result<Tasks, Error> {
        self.check()?;
        let mut sources: Vec<Source> = Vec::new();
        for name in &self.names {
            let source = if is_file_name(name) {
                of_file(Path::new(name), &self, host)?
            } else {
                built_in(name, &self, host)?
            };
            if sources.iter().any(|other| other.name == source.name) {
                let problem =
                    format!("two tasks are named {:?}; rename a file, or run them apart", source.name);
                return Err(Error::new("tasks", problem));
            }
            sources.push(source);
        }
        Ok(Tasks { options: self, sources })
    }

    /// Refuses what cannot be meant.
    fn check(&self) -> Result<(), Error> {
        if self.names.is_empty() {
            let names: Vec<&str> = task::registry().iter().map(|task| task.name).collect();
            let expected = format!("any of {}, or a file of questions", names.join(", "));
            return Err(Error::Missing { option: "tasks", expected });
        }
        let has_file = self.names.iter().any(|name| is_file_name(name));
        let of_files = [
            ("map", self.reading.columns != ColumnMap::default()),
            ("answer_format", self.reading.answer_format.is_some()),
        ];
        if let Some((option, _)) = of_files.iter().find(|(_, is_given)| *is_given && !has_file) {
            return Err(Error::new(option, "is for files of your own; no task named is one"));
        }
        if self.repeats > MOST_REPEATS {
            let problem = format!("{} is out of range: at most {MOST_REPEATS}", self.repeats);
            return Err(Error::new("repeats", problem));
        }
        limited(0, self.limit)?;
        self.prompt.check()
    }
}

/// Tasks that were opened: their questions, and how these are asked.
pub struct Tasks {
    pub(crate) options: TaskOptions,
    pub(crate) sources: Vec<Source>,
}

/// The names in comma-separated lists. A file may have commas in its name: the longest run of pieces that is one is taken whole.
pub fn names(lists: &[String], is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let mut names = Vec::new();
    for list in lists {
        let pieces: Vec<&str> = list.split(',').collect();
        let mut at = 0;
        while at < pieces.len() {
            let file = (at + 2..=pieces.len()).rev().find(|&end| is_there(&pieces[at..end].join(",")));
            let end = file.unwrap_or(at + 1);
            names.push(pieces[at..end].join(","));
            at = end;
        }
    }
    names
}

/// How many of `n` items a limit leaves.
pub(crate) fn limited(n: usize, limit: Option<f64>) -> Result<usize, Error> {
    match limit {
        None => Ok(n),
        Some(limit) if limit.is_finite() && limit > 0.0 => {
            let count = if limit < 1.0 { (n as f64 * limit).ceil() } else { limit };
            Ok(n.min(count as usize))
        }
        Some(limit) => {
            Err(Error::new("limit", format!("{limit} is out of range: expected a number above 0")))
        }
    }
}

/// A task as it is measured, and as the manifest names it.
pub(crate) type Planned = (Vec<TaskPlan>, TaskRecord);

/// Questions of one task and where examples come from.
pub(crate) struct Source {
    name: String,
    loaded: Loaded,
    /// The answer format of each question.
    kinds: Vec<FormatKind>,
    style: NumberStyle,
    pool: Vec<Question>,
    pub(crate) notes: Vec<String>,
}

fn built_in(name: &str, options: &TaskOptions, host: &dyn Host) -> Result<Source, Error> {
    let spec = task::find(name)?;
    let bad_lines = options.reading.bad_lines;
    let split = match &options.split {
        None => spec.evaluation_split,
        Some(name) => Split::from_name(name).ok_or_else(|| {
            Error::new("split", format!("expected train, validation or test, found {name:?}"))
        })?,
    };
    let with_examples = options.prompt.num_fewshot > 0;
    let examples = if with_examples { spec.fewshot_splits } else { &[] };
    let folder = folder(spec, options.data_dir.as_deref(), &[&[split], examples].concat(), host)?;
    host.doing(format!("reading {}", folder.display()));
    let loaded = task::load(spec, &folder, split, bad_lines)?;
    let (pool, note) = if with_examples {
        let pool = fewshot::pool(spec, &folder, bad_lines)?;
        (pool.loaded.questions, pool.note)
    } else {
        (Vec::new(), None)
    };
    let kinds = vec![spec.answer_format; loaded.questions.len()];
    Ok(Source {
        name: spec.name.to_string(),
        loaded,
        kinds,
        style: NumberStyle::default(),
        pool,
        notes: note.into_iter().collect(),
    })
}

/// The folder with the files of a task's splits, downloaded if need be. The first split must exist; of the others those that do are fetched.
pub(crate) fn folder(
    spec: &TaskSpec,
    data_dir: Option<&Path>,
    splits: &[Split],
    host: &dyn Host,
) -> Result<PathBuf, Error> {
    match (data_dir, &spec.source) {
        (Some(folder), _) => Ok(folder.to_path_buf()),
        (None, task::Source::Published(published)) => from_hub(spec, published, splits, host),
        (None, task::Source::Made(_)) => Ok(PathBuf::new()),
    }
}

fn from_hub(
    spec: &TaskSpec,
    published: &Published,
    splits: &[Split],
    host: &dyn Host,
) -> Result<PathBuf, Error> {
    let mut files = Vec::new();
    for (i, &split) in splits.iter().enumerate() {
        match published.files(spec.name, split) {
            Err(error) if i == 0 => return Err(error.into()),
            found => files.extend(found.ok()),
        }
    }
    let holds: Vec<_> =
        files.iter().map(|&files: &&SplitFiles| move |path: &str| files.is_hub_file(path)).collect();
    let parts: Vec<Part<'_>> = files
        .iter()
        .zip(&holds)
        .map(|(files, holds)| Part {
            what: format!("Parquet files of the split {}", files.split.name()),
            holds,
        })
        .collect();
    let hub = Hub::from_env()?;
    Ok(hub.dataset(&Name::parse(published.hub_repo)?, &parts, host.downloads())?.path)
}

fn of_file(path: &Path, options: &TaskOptions, host: &dyn Host) -> Result<Source, Error> {
    if options.prompt.num_fewshot > 0 {
        let problem = "needs a task with a training split; files of your own have none";
        return Err(Error::new("num_fewshot", problem));
    }
    let name = stem(path).unwrap_or_else(|| "custom".into());
    host.doing(format!("reading {}", path.display()));
    let custom = jsonl::load(path, &name, &options.reading)?;
    Ok(Source {
        name,
        loaded: custom.loaded,
        kinds: custom.kinds,
        style: custom.style,
        pool: Vec::new(),
        notes: custom.notes,
    })
}

/// What is to be measured of all tasks, and the lines that could not be read.
pub(crate) fn plan(
    sources: Vec<Source>,
    options: &TaskOptions,
    asking: &Asking,
    how: &Measurement,
) -> Result<(Vec<Planned>, Vec<BadLine>), Error> {
    let mut bad_lines = Vec::new();
    let mut planned = Vec::new();
    for source in sources {
        bad_lines.extend(source.loaded.bad_lines.clone());
        planned.push(plan_one(source, options, asking, how)?);
    }
    Ok((planned, bad_lines))
}

fn plan_one(
    source: Source,
    options: &TaskOptions,
    asking: &Asking,
    how: &Measurement,
) -> Result<Planned, Error> {
    let n = limited(source.loaded.questions.len(), options.limit)?;
    let record = TaskRecord {
        name: source.name.clone(),
        source: source.loaded.source.clone(),
        hash: source.loaded.hash.clone(),
        items_hash: String::new(),
        n_available: source.loaded.questions.len(),
        n_questions: n,
        n_bad_lines: source.loaded.bad_lines.len(),
        answer_format: FormatKind::names(&source.kinds[..n]),
        estimator: how.estimator.name().to_string(),
    };
    let items = source.loaded.questions.into_iter().zip(source.kinds).take(n).map(|(question, kind)| {
        let item = WorkItem {
            prompting: asking.prompting(&question, kind, &source.pool),
            question: Arc::new(question),
            traces: (0..options.repeats).map(|sample| (sample, TraceInput::Generate)).collect(),
        };
        (kind, item)
    });
    Ok((by_kind(&source.name, source.style, items.collect(), how.seed), record))
}

/// The plans of a task, one for each kind of answers, each in a random order that the seed and the identities decide.
pub(crate) fn by_kind(
    name: &str,
    style: NumberStyle,
    items: Vec<(FormatKind, WorkItem)>,
    seed: u64,
) -> Vec<TaskPlan> {
    let of_kind = |kind: FormatKind| -> Vec<WorkItem> {
        items.iter().filter(|(other, _)| *other == kind).map(|(_, item)| item.clone()).collect()
    };
    let plans = FormatKind::ALL.into_iter().map(|kind| (kind, of_kind(kind)));
    let plans = plans.filter(|(_, items)| !items.is_empty()).map(|(kind, mut items)| {
        items.sort_by_cached_key(|item| {
            let id = &item.question.id;
            (entrace_backend::stream_seed(seed, &[name, id, "order"]), id.clone())
        });
        TaskPlan { name: name.to_string(), format: kind.format_in(style), items }
    });
    plans.collect()
}

/// The training split of a built-in task.
pub(crate) fn training_split(
    name: &str,
    data_dir: Option<&Path>,
    host: &dyn Host,
) -> Result<(&'static TaskSpec, Vec<Question>), Error> {
    let spec = task::find(name)?;
    let folder = folder(spec, data_dir, &[Split::Train], host)?;
    let loaded = task::load(spec, &folder, Split::Train, BadLines::Skip)?;
    Ok((spec, loaded.questions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_part_names_unless_a_file_has_them() {
        let names = |list: &str| names(&[list.to_string()], |name| ["a,b.jsonl", "b.jsonl"].contains(&name));
        assert_eq!(names("gsm8k,svamp"), ["gsm8k", "svamp"]);
        assert_eq!(names("gsm8k,a,b.jsonl,b.jsonl"), ["gsm8k", "a,b.jsonl", "b.jsonl"]);
        assert_eq!(names("x,y.jsonl"), ["x", "y.jsonl"]);
    }
}
