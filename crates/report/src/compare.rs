//! Runs of several models, or of one model at several stages of training, on the same questions.
//!
//! Input: two or more records, in order. Output: for each task that all of them have, thirteen quantities at every stage and their changes from
//! stage to stage, and from the first to the last where there are more than two:
//!
//! | quantity | per question |
//! |---|---|
//! | accuracy | share of its traces that are right |
//! | H(0), H(1) | mean answer entropy before reasoning and at the end, nats |
//! | I(1), net I(1) | usable information ([`crate::metrics`]), with a fit for each stage; the same minus that under the swapped control, nats |
//! | I(1) per step, per 100 tokens | the same over the length of each trace |
//! | G(1) | raw gain of the target's log-probability, nats |
//! | AUROC(1) | none: of all traces, how well −H(1) tells right from wrong |
//! | lock-in depth | mean relative depth of lock-in, 1 for a trace that never locks in |
//! | S_eff(1) | mean e^{H(1)} |
//! | switches | mean number of changes of the leading answer |
//! | wasted tokens | mean number of tokens after lock-in, 0 for a trace that never locks in |
//!
//! A change is the mean over questions of later − earlier, over questions that have both; its interval comes from the bootstrap over
//! questions, its two-sided p-value from the bootstrap or from sign flips of questions, whichever is larger
//! ([`entrace_stats::paired`]). For areas both samples share their questions ([`entrace_stats::auroc::bootstrap_difference`]). Fewer
//! than ten questions have no p-value, nor has an area of which one verdict is that of fewer. P-values are adjusted by Holm over all
//! changes of a task that have one.
//!
//! Runs are compared only where their numbers mean the same: equal questions (ids, texts, options and targets,
//! `questions`), cue, estimators, draws, choice form, segmentation and enumeration limits. Anything else is refused with
//! a list of what differs. Other settings that differ, such as the prompt template or the temperature, are listed beside
//! the results. The model may differ in anything.
//!
//! What a change does not say: that training caused it, for stages may differ in more than one thing.
//! Source: arXiv:2604.06192 (growth over training stages); quantities as in [`crate::metrics`].

mod changes;
mod comparable;
mod page;
mod questions;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use entrace_record::rows::Rows;
use entrace_record::{Manifest, RunReader};
use entrace_stats::Level;
use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use crate::collect::Collector;
use crate::error::Error;
use crate::facts::TaskFacts;
use crate::figure;
use crate::format::Scale;
use crate::metrics::{MetricOptions, Quantity};
use crate::places::without_folders;
use crate::write::write_files;
use questions::Questions;

/// Version of the fields of `compare.json`.
///
/// History: 1.0, the first; 1.1 adds `finished_at` to stages; 1.2 adds `untested` to changes and `standard_error` to values; 2.0 compares
/// usable information in place of the net gain.
pub const COMPARISON_VERSION: &str = "2.0";

/// Adjusted p-value below which a change is called clear.
pub const CLEAR: f64 = 0.05;

/// Replicates for small tasks; so many that adjusted p-values can be small.
const MOST_REPLICATES: usize = 10_000;

/// Replicates for the largest tasks.
const FEWEST_REPLICATES: usize = 2_000;

/// Replicates × questions that take about a second for all quantities.
const AFFORDABLE: usize = 20_000_000;

/// One run of a comparison.
#[derive(Debug)]
pub struct Stage {
    name: String,
    manifest: Manifest,
    tasks: Vec<TaskFacts>,
    questions: Questions,
}

impl Stage {
    /// A stage from rows in memory.
    pub fn of_rows(name: &str, manifest: &Manifest, rows: &Rows) -> Self {
        let mut collector = Collector::new(manifest);
        collector.add_rows(rows);
        let mut questions = Questions::new(manifest);
        rows.traces.iter().for_each(|row| questions.add(row));
        Self { name: name.to_string(), manifest: manifest.clone(), tasks: collector.finish(), questions }
    }

    /// A stage from a run folder.
    pub fn of_run(name: &str, reader: &RunReader) -> Result<Self, Error> {
        let tasks = Collector::of_run(reader)?.finish();
        let mut questions = Questions::new(reader.manifest());
        for row in reader.stream_traces() {
            questions.add(&row?);
        }
        Ok(Self { name: name.to_string(), manifest: reader.manifest().clone(), tasks, questions })
    }

    fn task(&self, name: &str) -> Option<&TaskFacts> {
        self.tasks.iter().find(|task| &*task.name == name)
    }
}

/// What was compared and what changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Version of these fields.
    pub comparison_version: String,
    /// Unit of entropies and gains: `nats`.
    pub unit: String,
    /// How intervals were made; replicates are stated per task.
    pub options: MetricOptions,
    /// The runs, in order.
    pub stages: Vec<StageRecord>,
    /// The tasks that all runs have.
    pub tasks: Vec<TaskComparison>,
    /// Tasks that some run lacks.
    pub tasks_left_out: Vec<String>,
    /// Settings that differ and were let pass, as sentences.
    pub notes: Vec<String>,
}

/// Identity of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Its name in this comparison.
    pub name: String,
    /// The model.
    pub model: String,
    /// Its revision.
    pub revision: Option<String>,
    /// Hash of configuration and weights.
    pub model_hash: Option<String>,
    /// When the run began.
    pub started_at: String,
    /// When it was completed; null while it is not.
    #[serde(default)]
    pub finished_at: Option<String>,
}

/// One task at all stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskComparison {
    /// Its name.
    pub task: String,
    /// The estimator.
    pub estimator: String,
    /// Questions, the same at all stages.
    pub n_questions: usize,
    /// Bootstrap replicates of each change.
    pub replicates: usize,
    /// What was compared.
    pub quantities: Vec<QuantityComparison>,
    /// What changed from the first stage to the last and how sure that is.
    pub summary: String,
}

/// One quantity at all stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantityComparison {
    /// Its name, as in files.
    pub quantity: String,
    /// Its name for people, with the unit in which they are shown it; accuracies in files are shares.
    pub label: String,
    /// Its value at each stage.
    pub stages: Vec<Quantity>,
    /// Changes: consecutive stages in order, then first to last where there are more than two stages.
    pub changes: Vec<Change>,
}

impl QuantityComparison {
    /// How its values are shown.
    pub(crate) fn scale(&self) -> Scale {
        if self.quantity == "accuracy" { Scale::Percent } else { Scale::Plain }
    }

    /// The change from the first stage to the last.
    pub fn overall(&self) -> Option<&Change> {
        self.changes.last()
    }
}

/// A change between two stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Position of the earlier stage.
    pub from: usize,
    /// Position of the later one.
    pub to: usize,
    /// Later − earlier.
    pub difference: Quantity,
    /// Two-sided p-value of no change.
    pub p_value: Option<f64>,
    /// The same after Holm's adjustment over the task.
    pub holm_p: Option<f64>,
    /// Why a change that has a value has no p-value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untested: Option<String>,
}

impl Change {
    /// Whether it is clear that there is a change.
    pub fn is_clear(&self) -> bool {
        self.holm_p.is_some_and(|p| p < CLEAR)
    }
}

/// Compares stages, or says why they cannot be compared.
pub fn of(stages: &[Stage], options: &MetricOptions) -> Result<Comparison, Error> {
    if stages.len() < 2 {
        return Err(Error::TooFewRuns { found: stages.len() });
    }
    let (shared, left_out) = comparable::shared_tasks(stages);
    comparable::check(stages, &shared)?;
    let tasks = shared.iter().map(|name| task(name, stages, options)).collect();
    Ok(Comparison {
        comparison_version: COMPARISON_VERSION.to_string(),
        unit: "nats".to_string(),
        options: *options,
        stages: stages.iter().map(record).collect(),
        tasks,
        tasks_left_out: left_out,
        notes: comparable::notes(stages),
    })
}

/// Writes `compare.json`, `compare.html` and `figures/<task>_stages.svg` below `out_dir`.
pub fn write(comparison: &Comparison, out_dir: &Path) -> Result<(), Error> {
    write_files(out_dir, &files(comparison)?)
}

/// The files of a comparison by their paths.
pub fn files(comparison: &Comparison) -> Result<BTreeMap<String, String>, Error> {
    let stems = figure::file_stems(comparison.tasks.iter().map(|task| task.task.as_str()));
    let stages: Vec<&str> = comparison.stages.iter().map(|stage| stage.name.as_str()).collect();
    let mut files = BTreeMap::new();
    let mut figures = Vec::new();
    for (task, stem) in comparison.tasks.iter().zip(stems) {
        let svg = figure::stages(task, &stages, comparison.options.level)?;
        files.insert(format!("figures/{stem}_stages.svg"), svg.clone());
        figures.push(svg);
    }
    files.insert("compare.json".to_string(), serde_json::to_string_pretty(comparison)? + "\n");
    files.insert("compare.html".to_string(), page::page(comparison, &figures));
    Ok(files)
}

fn record(stage: &Stage) -> StageRecord {
    let model = without_folders(&stage.manifest).settings.model;
    StageRecord {
        name: stage.name.clone(),
        model: model.name,
        revision: model.revision,
        model_hash: model.model_hash,
        started_at: stage.manifest.started_at.clone(),
        finished_at: stage.manifest.finished_at.clone(),
    }
}

fn task(name: &str, stages: &[Stage], options: &MetricOptions) -> TaskComparison {
    let tasks: Vec<&TaskFacts> = stages.iter().filter_map(|stage| stage.task(name)).collect();
    let n_questions = tasks.first().map_or(0, |task| task.n_questions);
    let replicates = (AFFORDABLE / n_questions.max(1)).clamp(FEWEST_REPLICATES, MOST_REPLICATES);
    let level = Level::new(options.level).unwrap_or(Level::P95);
    let resampling = Resampling { replicates, seed: options.seed, level };
    let quantities = changes::quantities(&tasks, &resampling);
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    TaskComparison {
        task: name.to_string(),
        estimator: tasks.first().map_or_else(String::new, |task| task.estimators.join("+")),
        n_questions,
        replicates,
        summary: words::summary(&quantities, &names, n_questions),
        quantities,
    }
}

/// Names for run folders: the last part of each path, or as many of the last as tell all of them apart.
pub fn names(dirs: &[PathBuf]) -> Vec<String> {
    let most_parts = dirs.iter().map(|dir| dir.components().count()).max().unwrap_or(1);
    let of_parts = |n_parts: usize| -> Vec<String> {
        let name = |dir: &PathBuf| {
            let n_before = dir.components().count().saturating_sub(n_parts);
            dir.components().skip(n_before).collect::<PathBuf>().display().to_string()
        };
        dirs.iter().map(name).collect()
    };
    let are_distinct =
        |names: &[String]| names.iter().enumerate().all(|(i, name)| !names[..i].contains(name));
    let shortest = (1..=most_parts).map(of_parts).find(|names| are_distinct(names));
    shortest.unwrap_or_else(|| of_parts(1))
}

#[cfg(test)]
mod tests;
