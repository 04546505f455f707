//! The quantities of a task at each stage, and their changes.

use entrace_measure::Control;
use entrace_stats::auroc::{self, Sample};
use entrace_stats::bootstrap::{Resampling, ZeroTest};
use entrace_stats::{Clusters, Estimate, Undefined, multiplicity, paired};

use super::{Change, QuantityComparison};
use crate::depth::FINAL;
use crate::facts::{Point, Source, TaskFacts, TraceFacts};
use crate::format::count;
use crate::metrics::Quantity;
use crate::metrics::quantity::QuestionMeans;
use crate::metrics::separability::{area, too_few};
use crate::metrics::usable::{self, Gains, Reading, TaskGains};
use crate::metrics::verdict::FEWEST_QUESTIONS;

/// A quantity that is a mean over questions of one value for each trace.
struct TraceQuantity {
    name: &'static str,
    label: &'static str,
    value: fn(&TraceFacts, &[Point]) -> Option<f64>,
}

/// In the order in which they are shown; the accuracy, which needs no curve, the usable information, which needs a fit, and the area, which is
/// no mean over traces, are put in between.
const MEANS: [TraceQuantity; 7] = [
    TraceQuantity { name: "gain", label: "Raw gain G(1), nats", value: |_, points| gain(points) },
    TraceQuantity {
        name: "entropy_first",
        label: "Entropy before reasoning H(0), nats",
        value: |_, points| points.first().map(|point| point.entropy),
    },
    TraceQuantity {
        name: "entropy_last",
        label: "Entropy at the end H(1), nats",
        value: |_, points| points.last().map(|point| point.entropy),
    },
    TraceQuantity {
        name: "lock_in_depth",
        label: "Lock-in depth (1: never)",
        value: |trace, _| Some(trace.lock_in_depth().unwrap_or(1.0)),
    },
    TraceQuantity {
        name: "effective_answers",
        label: "Effective answers at the end",
        value: |trace, _| trace.path.as_ref().map(|path| path.effective_last),
    },
    TraceQuantity {
        name: "switches",
        label: "Changes of the leading answer",
        value: |trace, _| trace.path.as_ref().map(|path| path.n_switches as f64),
    },
    TraceQuantity {
        name: "wasted_tokens",
        label: "Tokens after lock-in",
        value: |trace, _| Some(f64::from(trace.wasted_tokens.unwrap_or(0))),
    },
];

/// Positions of the accuracy, the usable information and the area among all quantities.
const ACCURACY: usize = 0;
const INFORMATION: usize = 1;
const AREA: usize = 8;

/// g_K of a curve all of whose gains are known.
fn gain(points: &[Point]) -> Option<f64> {
    if points.iter().any(|point| point.gain().is_none()) {
        return None;
    }
    points.last()?.gain()
}

/// All quantities, with Holm's adjustment over all their changes. The tasks have the same questions in the same order.
pub(super) fn quantities(tasks: &[&TaskFacts], resampling: &Resampling) -> Vec<QuantityComparison> {
    let mut all: Vec<QuantityComparison> = MEANS
        .iter()
        .map(|quantity| {
            let stages = tasks.iter().map(|task| trace_means(task, quantity.value)).collect();
            of_means(quantity.name, quantity.label, stages, resampling)
        })
        .collect();
    let accuracies = tasks.iter().map(|task| accuracies(task)).collect();
    all.insert(ACCURACY, of_means("accuracy", "Accuracy, %", accuracies, resampling));
    let fitted: Vec<Option<TaskGains<'_>>> = tasks.iter().map(|task| information(task, resampling)).collect();
    for (offset, quantity) in INFORMATIONS.iter().enumerate() {
        let stages = fitted.iter().zip(tasks).map(|(gains, task)| match gains {
            Some(gains) => (quantity.means)(gains),
            None => Means::of(task.n_questions, std::iter::empty()),
        });
        let compared = of_means(quantity.name, quantity.label, stages.collect(), resampling);
        all.insert(INFORMATION + offset, compared);
    }
    all.insert(AREA, areas(tasks, resampling));
    adjust(&mut all);
    all
}

/// The mean of each question over its traces, with the number of traces.
struct Means {
    values: Vec<Option<f64>>,
    n_traces: usize,
}

impl Means {
    /// Of (question, value) of each trace.
    fn of(n_questions: usize, values: impl Iterator<Item = (usize, f64)>) -> Self {
        let mut sums = vec![(0.0, 0_usize); n_questions];
        for (question, value) in values {
            sums[question].0 += value;
            sums[question].1 += 1;
        }
        Self {
            n_traces: sums.iter().map(|sum| sum.1).sum(),
            values: sums.into_iter().map(|(sum, n)| (n > 0).then(|| sum / n as f64)).collect(),
        }
    }
}

/// Of all traces with a known verdict, measured or not.
fn accuracies(task: &TaskFacts) -> Means {
    let verdict = |trace: &TraceFacts| Some((trace.question, if trace.correct? { 1.0 } else { 0.0 }));
    Means::of(task.n_questions, task.traces.iter().filter_map(verdict))
}

fn trace_means(task: &TaskFacts, value: fn(&TraceFacts, &[Point]) -> Option<f64>) -> Means {
    let measured = task.measured();
    Means::of(
        task.n_questions,
        measured.filter_map(|(trace, points)| Some((trace.question, value(trace, points)?))),
    )
}

/// A quantity that is made from fitted readouts.
struct Information {
    name: &'static str,
    label: &'static str,
    means: fn(&TaskGains<'_>) -> Means,
}

const INFORMATIONS: [Information; 4] = [
    Information {
        name: "usable_information",
        label: "Usable information I(1), nats",
        means: |gains| by_unit(&gains.own, |_| 1.0),
    },
    Information {
        name: "net_information",
        label: "I(1) net of swapped traces, nats",
        means: net_information,
    },
    Information {
        name: "information_per_step",
        label: "I(1) per step, nats",
        means: |gains| by_unit(&gains.own, |reading| f64::from(reading.trace.n_steps)),
    },
    Information {
        name: "information_per_100_tokens",
        label: "I(1) per 100 tokens, nats",
        means: |gains| by_unit(&gains.own, |reading| f64::from(reading.trace.n_trace_tokens) / 100.0),
    },
];

/// The fits of a stage, by its rollouts where enough questions have them; `None` where nothing can be fitted.
fn information<'a>(task: &'a TaskFacts, resampling: &Resampling) -> Option<TaskGains<'a>> {
    let folding = usable::folding(resampling, task.n_questions);
    let rolled_out =
        task.rollout_draws().and_then(|_| usable::of_task(task, Source::Rollouts, &folding).ok());
    rolled_out
        .filter(|gains| gains.own.n_contributing() >= FEWEST_QUESTIONS)
        .or_else(|| usable::of_task(task, Source::Recorded, &folding).ok())
}

/// I(1) of every trace divided by a length; traces of length 0 take no part.
fn by_unit(gains: &Gains<'_>, unit: fn(&Reading<'_>) -> f64) -> Means {
    let values = gains.readings.iter().zip(&gains.values[FINAL]).filter_map(|(reading, value)| {
        let length = unit(reading);
        (length > 0.0).then(|| (reading.trace.question, value / length))
    });
    Means::of(gains.n_questions(), values)
}

fn net_information(gains: &TaskGains<'_>) -> Means {
    let swapped = gains.controls.iter().find(|(control, _)| &**control == Control::Swapped.name());
    let own = gains.own.by_question(FINAL);
    let other = swapped.map_or_else(|| vec![None; own.len()], |(_, swapped)| swapped.by_question(FINAL));
    let values = own.into_iter().zip(other).map(|(own, other)| Some(own? - other?));
    Means { values: values.collect(), n_traces: swapped.map_or(0, |(_, swapped)| swapped.readings.len()) }
}

fn of_means(name: &str, label: &str, stages: Vec<Means>, resampling: &Resampling) -> QuantityComparison {
    let changes = pairs(stages.len()).into_iter().map(|(from, to)| {
        let both = stages[from].values.iter().zip(&stages[to].values);
        let (before, after): (Vec<f64>, Vec<f64>) = both.filter_map(|(a, b)| (*a).zip(*b)).unzip();
        let n_traces = stages[from].n_traces.min(stages[to].n_traces);
        change(from, to, mean_change(&before, &after, resampling), before.len(), n_traces)
    });
    QuantityComparison {
        quantity: name.to_string(),
        label: label.to_string(),
        changes: changes.collect(),
        stages: stages.iter().map(|stage| stage_mean(name, stage, resampling)).collect(),
    }
}

/// The mean change over questions. Two tests are made of it, by the bootstrap and by sign flips, and the larger p-value counts: where
/// all questions change by the same amount the bootstrap has nothing to go by.
fn mean_change(before: &[f64], after: &[f64], resampling: &Resampling) -> Result<ZeroTest, Undefined> {
    let test = paired::difference(before, after, &Clusters::singletons(before.len()), resampling)?;
    Ok(ZeroTest { estimate: test.difference, p_value: test.bootstrap_p.max(test.sign_flip.p_value) })
}

fn stage_mean(name: &str, means: &Means, resampling: &Resampling) -> Quantity {
    let mut column = QuestionMeans::new(means.values.len(), 1);
    for (question, value) in means.values.iter().enumerate() {
        if let Some(value) = value {
            column.add(question, 0, *value);
        }
    }
    let mean = Quantity { n_traces: means.n_traces, ..column.quantities(resampling).swap_remove(0) };
    if name == "accuracy" { mean.into_share(resampling.level) } else { mean }
}

/// Consecutive stages, then the first and the last where there are more than two.
fn pairs(n_stages: usize) -> Vec<(usize, usize)> {
    let mut pairs: Vec<(usize, usize)> = (1..n_stages).map(|to| (to - 1, to)).collect();
    if n_stages > 2 {
        pairs.push((0, n_stages - 1));
    }
    pairs
}

fn change(
    from: usize,
    to: usize,
    test: Result<ZeroTest, Undefined>,
    n_questions: usize,
    n_traces: usize,
) -> Change {
    let p_value = test.ok().map(|test| test.p_value).filter(|_| n_questions >= FEWEST_QUESTIONS);
    let estimate: Result<Estimate, Undefined> = test.map(|test| test.estimate);
    let same = estimate.is_ok_and(|estimate| estimate.standard_error <= 0.0);
    let mut difference = Quantity::of(None, estimate, n_questions, n_traces);
    if same {
        difference = difference.without_interval("no interval: every question changes by the same amount");
    }
    let untested = (p_value.is_none() && difference.value.is_some()).then(|| {
        let verb = if n_questions == 1 { "has" } else { "have" };
        let questions = count(n_questions, "question");
        format!("only {questions} {verb} values in both, and at least {FEWEST_QUESTIONS} are needed")
    });
    Change { from, to, difference, p_value, holm_p: None, untested }
}

/// Scores −H(1) with their labels and questions.
struct Scores {
    scores: Vec<f64>,
    labels: Vec<bool>,
    questions: Vec<usize>,
    /// The questions of all rows, numbered as in the task.
    clusters: Option<Clusters>,
}

impl Scores {
    fn of(task: &TaskFacts) -> Self {
        let (mut scores, mut labels, mut questions) = (Vec::new(), Vec::new(), Vec::new());
        for (trace, points) in task.measured() {
            if let (Some(correct), Some(last)) = (trace.correct, points.last()) {
                scores.push(-last.entropy);
                labels.push(correct);
                questions.push(trace.question);
            }
        }
        let clusters = Clusters::new(questions.clone(), task.n_questions).ok();
        Self { scores, labels, questions, clusters }
    }

    fn area(&self) -> Option<f64> {
        auroc::auroc(&self.scores, &self.labels).ok().map(|area| area.value)
    }

    fn sample(&self) -> Result<Sample<'_>, Undefined> {
        let clusters = self.clusters.as_ref().ok_or(Undefined::Empty)?;
        Ok(Sample { scores: &self.scores, labels: &self.labels, clusters })
    }
}

fn areas(tasks: &[&TaskFacts], resampling: &Resampling) -> QuantityComparison {
    let scores: Vec<Scores> = tasks.iter().map(|task| Scores::of(task)).collect();
    let stages = scores
        .iter()
        .map(|stage| area(&stage.scores, &stage.labels, &Clusters::of(&stage.questions), resampling.level).0);
    let changes = pairs(tasks.len()).into_iter().map(|(from, to)| {
        let test = scores[to]
            .sample()
            .and_then(|later| auroc::bootstrap_difference(&later, &scores[from].sample()?, resampling));
        let n_traces = scores[from].labels.len().min(scores[to].labels.len());
        let change = change(from, to, test, tasks[from].n_questions, n_traces);
        match (test, scores[to].area(), scores[from].area()) {
            (Err(undefined), Some(later), Some(earlier)) => without_test(change, later - earlier, undefined),
            _ => change,
        }
    });
    QuantityComparison {
        quantity: "auroc".to_string(),
        label: "AUROC of −H(1) for correctness".to_string(),
        stages: stages.collect(),
        changes: changes.collect(),
    }
}

/// A change of which nothing but the size is known.
fn without_test(change: Change, value: f64, undefined: Undefined) -> Change {
    let reason = too_few(undefined);
    let difference = Quantity {
        value: Some(value),
        ..change.difference.without_interval(&format!("no interval: {reason}"))
    };
    Change { difference, untested: Some(reason), ..change }
}

fn adjust(quantities: &mut [QuantityComparison]) {
    let p_values: Vec<f64> =
        quantities.iter().flat_map(|q| &q.changes).filter_map(|change| change.p_value).collect();
    let mut adjusted = multiplicity::holm(&p_values).unwrap_or_default().into_iter();
    let changes = quantities.iter_mut().flat_map(|q| &mut q.changes);
    for change in changes.filter(|change| change.p_value.is_some()) {
        change.holm_p = adjusted.next();
    }
}
