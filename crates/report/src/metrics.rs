//! The numbers of a run, per task.
//!
//! Input: the manifest and the rows of a record. Output: [`Metrics`], the content of `metrics.json`. Entropies and log-probabilities
//! are in nats; a share is in [0, 1]; whatever is undefined is null, with the reason beside it; every number carries how many
//! questions and traces it stands on. Only traces whose outcome is `measured` enter the numbers; the others are counted, with
//! their reasons, in [`Counts`]. Accuracy and the share of invalid answers need no measurement, so all traces with a known verdict, or
//! with an answer, enter them.
//!
//! Means are over the traces of a question first and then over questions; intervals resample questions. Curves stand on the grid of
//! [`crate::depth`]; their intervals are pointwise. The number of bootstrap replicates falls below the requested one for tasks of more
//! than [`FULL_RESAMPLING`] questions, so that a large record still takes seconds; the number used is stated per task.
//!
//! What these numbers do not say: a falling H(s) alone is no evidence for anything (under the estimator `rollout` it falls for every
//! model); look at the [`verdict`], G(s), its net value over controls, and separability. Source: arXiv:2604.06192.

mod before_statement;
mod counts;
mod cues;
mod curves;
mod duplicates;
mod fano;
mod length;
mod mass;
pub mod predict;
mod profile;
pub(crate) mod quantity;
mod rollouts;
pub(crate) mod separability;
mod shape;
mod statement;
mod stopping;
mod tokens;
pub(crate) mod usable;
pub mod verdict;

use entrace_record::rows::Rows;
use entrace_record::{Manifest, Settings};
use entrace_stats::Level;
use entrace_stats::bootstrap::{self, Resampling};
use serde::{Deserialize, Serialize};

pub use before_statement::BeforeStatement;
pub use counts::{Counts, OutcomeReason, StopCount, Totals};
pub use cues::CueMetrics;
pub use curves::ControlMetrics;
pub use duplicates::DuplicateMetrics;
pub use fano::{Alphabet, FanoMetrics};
pub use length::{ByLength, LengthMetrics};
pub use mass::{MassMetrics, Summary};
pub use predict::PredictMetrics;
pub use profile::{OutcomeShare, ProfileMetrics};
pub use quantity::{Curve, Groups, Quantity};
pub use rollouts::{RolloutControl, RolloutMetrics};
pub use shape::{DescentMetrics, LOCK_IN_BINS, LockInMetrics};
pub use statement::StatementMetrics;
pub use stopping::StoppingMetrics;
pub use tokens::TokenMetrics;
pub use verdict::{Finding, VerdictMetrics};

use crate::collect::Collector;
use crate::depth;
use crate::facts::{Source, TaskFacts};
use crate::interventions::InterventionMetrics;
use crate::places::without_folders;
use usable::TaskGains;
use verdict::Evidence;

/// Version of the fields of `metrics.json`. Fields are added under the same major version, and never change their meaning.
///
/// History: 1.0, the first; 1.1 adds `verdict`, `profile` and `predict` to tasks, `threshold` and `alpha` to the options;
/// 1.2 adds `standard_error` to quantities and curves, `gain_before_end` and `n_without_control` to verdicts, `residual_first` and
/// `residual_last` to the mass; 1.3 adds `statement` and `cues` to tasks;
/// 2.0 rests the verdict on usable information: `usable_information`, `overconfidence_cost`, `before_statement`, `by_length` and `rollouts` are
/// added to tasks, and the fields of `verdict` are new; 2.1 adds `duplicates`, 2.2 `interventions`, 2.3 `stopping` to tasks,
/// 2.4 `leader_open` to the mass.
pub const METRICS_VERSION: &str = "2.4";

/// Questions up to which a task is resampled as often as requested.
pub const FULL_RESAMPLING: usize = 2_000;

/// Fewest replicates, unless fewer are requested.
const FEWEST_REPLICATES: usize = 400;

/// How intervals are made, and what the test of the assumption asks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricOptions {
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Bootstrap replicates.
    pub replicates: usize,
    /// Level of intervals, strictly between 0 and 1; anything else means 0.95.
    pub level: f64,
    /// What usable information has to exceed to be evidence, in nats.
    #[serde(default)]
    pub threshold: f64,
    /// Significance level of the trend test, in (0, 1).
    #[serde(default = "default_alpha")]
    pub alpha: f64,
}

fn default_alpha() -> f64 {
    0.05
}

impl Default for MetricOptions {
    fn default() -> Self {
        Self { seed: 0, replicates: 2_000, level: 0.95, threshold: 0.0, alpha: default_alpha() }
    }
}

/// All numbers of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Version of these fields.
    pub metrics_version: String,
    /// Unit of every entropy, log-probability and information gain: `nats`.
    pub unit: String,
    /// How intervals were made.
    pub options: MetricOptions,
    /// The run: model, tasks, settings; of absolute paths only the last part.
    pub run: Manifest,
    /// The grid of relative depths on which curves stand.
    pub depths: Vec<f64>,
    /// The tasks, in the order of the manifest.
    pub tasks: Vec<TaskMetrics>,
    /// What changes in the traces did; absent where none were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interventions: Option<InterventionMetrics>,
}

/// The numbers of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskMetrics {
    /// Name of the task.
    pub task: String,
    /// The estimator of p_k; several are joined by `+`.
    pub estimator: String,
    /// Number of draws m at each prefix; null for estimators that do not sample.
    pub n_samples: Option<u32>,
    /// Bootstrap replicates used.
    pub replicates: usize,
    /// Questions and traces by what became of them.
    pub counts: Counts,
    /// Share of traces whose stated answer is the target, measured or not.
    pub accuracy: Quantity,
    /// Share of traces that state no readable answer, measured or not.
    pub invalid_share: Quantity,
    /// H(s), the answer entropy.
    pub entropy: Groups<Curve>,
    /// Lower end of the entropy interval that the estimator vouches for, averaged like H(s).
    pub entropy_lower: Vec<Option<f64>>,
    /// Upper end of that interval.
    pub entropy_upper: Vec<Option<f64>>,
    /// H_wrong(s) − H_correct(s).
    pub entropy_gap: Curve,
    /// G(s), the information gained about the target.
    pub information_gain: Groups<Curve>,
    /// I(s), usable information: what the prefix adds to the best readout fitted on other questions.
    pub usable_information: Groups<Curve>,
    /// I(s) − G(s): what log loss charges for over-confidence.
    pub overconfidence_cost: Groups<Curve>,
    /// I at the last prefix before the trace states its answer.
    pub before_statement: BeforeStatement,
    /// Gains at the end per step and per token.
    pub by_length: LengthMetrics,
    /// Rollouts beside the estimator; null without any.
    pub rollouts: Option<RolloutMetrics>,
    /// The same under each control.
    pub controls: Vec<ControlMetrics>,
    /// AUROC of −H(s) for correctness.
    pub separability: Curve,
    /// When the leading answer stops changing.
    pub lock_in: Groups<LockInMetrics>,
    /// Whether and how far the entropy falls along traces.
    pub descent: DescentMetrics,
    /// When traces state their answer, and how far the forced readout copies.
    #[serde(default)]
    pub statement: StatementMetrics,
    /// How far belief differs under further cues, for runs that have some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cues: Vec<CueMetrics>,
    /// Traces of one question that are alike; null without two sampled traces of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<DuplicateMetrics>,
    /// What a rule that stops traces did; null without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<StoppingMetrics>,
    /// Error bounds from the entropy against the error of the forced answer.
    pub fano: FanoMetrics,
    /// Whether the stepwise informativeness assumption holds here.
    pub verdict: VerdictMetrics,
    /// How belief moved, and how traces came to their ends.
    pub profile: ProfileMetrics,
    /// How well signals tell correct from wrong traces.
    pub predict: PredictMetrics,
    /// How much probability the estimator saw.
    pub mass: MassMetrics,
    /// Lengths, and entropy of single tokens.
    pub tokens: TokenMetrics,
}

impl TaskMetrics {
    /// The metrics under one control.
    pub fn control(&self, name: &str) -> Option<&ControlMetrics> {
        self.controls.iter().find(|control| control.control == name)
    }
}

impl Metrics {
    /// Metrics of rows in memory.
    pub fn of(manifest: &Manifest, rows: &Rows, options: &MetricOptions) -> Self {
        let mut collector = Collector::new(manifest);
        collector.add_rows(rows);
        Self::of_tasks(manifest, &collector.finish(), options)
    }

    /// Counts over all tasks.
    pub fn totals(&self) -> Totals {
        self.tasks.iter().fold(Totals::default(), |totals, task| totals.add(&task.counts))
    }

    /// Whether traces were only to be written (estimator `none`).
    pub fn measures_nothing(&self) -> bool {
        let tasks = &self.run.settings.tasks;
        !tasks.is_empty() && tasks.iter().all(|task| task.estimator == "none")
    }

    /// Whether the run was finished; else the numbers are those of the questions so far.
    pub fn is_finished(&self) -> bool {
        self.run.finished_at.is_some()
    }

    pub(crate) fn of_tasks(manifest: &Manifest, tasks: &[TaskFacts], options: &MetricOptions) -> Self {
        Self {
            metrics_version: METRICS_VERSION.to_string(),
            unit: "nats".to_string(),
            options: *options,
            run: without_folders(manifest),
            depths: depth::grid().to_vec(),
            tasks: tasks.iter().map(|task| task_metrics(task, &manifest.settings, options)).collect(),
            interventions: None,
        }
    }
}

fn task_metrics(task: &TaskFacts, settings: &Settings, options: &MetricOptions) -> TaskMetrics {
    let stopping = settings.stopping.as_ref().and_then(|record| stopping::of(task, record));
    let resampling = resampling(options, task.n_questions);
    let _kept = bootstrap::keep(task.n_questions, &resampling);
    let curves = curves::of(task, &resampling);
    let folding = usable::folding(&resampling, task.n_questions);
    let recorded = usable::of_task(task, Source::Recorded, &folding);
    let rolled_out = task.rollout_draws().map(|_| usable::of_task(task, Source::Rollouts, &folding));
    let own = recorded.as_ref().ok().map(|gains| &gains.own);
    let before_statement = before_statement::of(task, Source::Recorded, &resampling);
    let verdict = task_verdict(task, &recorded, rolled_out.as_ref(), &before_statement, &resampling, options);
    let controls = task.controls();
    let control = |name: &std::sync::Arc<str>| {
        let gains =
            recorded.as_ref().ok().and_then(|gains| gains.controls.iter().find(|(other, _)| other == name));
        curves::of_control(task, name, gains.map(|(_, gains)| gains), &resampling)
    };
    TaskMetrics {
        task: task.name.to_string(),
        estimator: estimator(task),
        n_samples: task.n_samples.map(|(_, most)| most),
        replicates: resampling.replicates,
        counts: counts::of(task),
        accuracy: counts::accuracy(task, &resampling),
        invalid_share: counts::invalid_share(task, &resampling),
        entropy: curves.entropy,
        entropy_lower: curves.entropy_lower,
        entropy_upper: curves.entropy_upper,
        entropy_gap: curves.entropy_gap,
        information_gain: curves.information_gain,
        usable_information: own.map(|gains| gains.groups(&resampling)).unwrap_or_default(),
        overconfidence_cost: own.map(|gains| gains.cost(&resampling)).unwrap_or_default(),
        before_statement,
        by_length: own.map(|gains| length::of(gains, &resampling)).unwrap_or_default(),
        rollouts: rolled_out.as_ref().and_then(|gains| rollouts::of(task, gains.as_ref().ok()?, &resampling)),
        controls: controls.iter().map(control).collect(),
        separability: separability::of(task, resampling.level),
        lock_in: shape::lock_in(task, &resampling),
        descent: shape::descent(task, &resampling),
        statement: statement::of(task, &resampling),
        cues: cues::of(task, &settings.more_cues, &resampling),
        duplicates: duplicates::of(task),
        fano: fano::of(task, &resampling),
        verdict: of_whole(verdict, stopping.as_ref()),
        stopping,
        profile: profile::of(task, &resampling),
        predict: predict::of(task, &resampling),
        mass: mass::of(task),
        tokens: tokens::of(task, &resampling),
    }
}

/// The verdict, by the rollouts where enough questions have them.
fn task_verdict(
    task: &TaskFacts,
    recorded: &Result<TaskGains<'_>, String>,
    rolled_out: Option<&Result<TaskGains<'_>, String>>,
    recorded_before_statement: &BeforeStatement,
    resampling: &Resampling,
    options: &MetricOptions,
) -> VerdictMetrics {
    let enough = |gains: &&Result<TaskGains<'_>, String>| {
        gains.as_ref().is_ok_and(|gains| gains.own.n_contributing() >= verdict::FEWEST_QUESTIONS)
    };
    let (source, gains) = match rolled_out.filter(enough) {
        Some(gains) => (Source::Rollouts, gains),
        None => (Source::Recorded, recorded),
    };
    let before_statement = match source {
        Source::Recorded => recorded_before_statement.usable_information.all.clone(),
        Source::Rollouts => before_statement::information(task, source, resampling),
    };
    verdict::of(&Evidence { task, source, gains, before_statement }, resampling, options)
}

/// A verdict is on whole traces: where a rule ended some there is none.
fn of_whole(verdict: VerdictMetrics, stopping: Option<&StoppingMetrics>) -> VerdictMetrics {
    let Some(stopping) = stopping.filter(|stopping| stopping.ended() > 0) else { return verdict };
    let (ended, all) = (stopping.ended(), stopping.traces);
    let reason = format!("a rule ended {ended} of {all} traces, so that depth 1 is where they were stopped");
    let reasons = std::iter::once(reason).chain(verdict.reasons).collect();
    VerdictMetrics { finding: Finding::Inconclusive, reasons, questions_needed: None, ..verdict }
}

pub(crate) fn resampling(options: &MetricOptions, n_questions: usize) -> Resampling {
    let affordable = options.replicates.saturating_mul(FULL_RESAMPLING) / n_questions.max(1);
    Resampling {
        replicates: options.replicates.min(affordable.max(FEWEST_REPLICATES)).max(2),
        seed: options.seed,
        level: Level::new(options.level).unwrap_or(Level::P95),
    }
}

fn estimator(task: &TaskFacts) -> String {
    if task.estimators.is_empty() {
        return task.record.as_ref().map_or_else(String::new, |record| record.estimator.clone());
    }
    task.estimators.join("+")
}

#[cfg(test)]
mod tests;
