//! How much probability an estimator saw, and how wide its entropy intervals are.
//!
//! `elicited_mass` is the share of raw probability that went to answers at all after the cue: where it is small, the distribution
//! describes what the model would say in a case that hardly occurs. `residual_mass` is what `enumerate` left unexplored. All
//! prefixes of measured traces count, controls do not.

use entrace_measure::Estimator;
use entrace_stats::summary;
use serde::{Deserialize, Serialize};

use super::quantity::QuestionMeans;
use crate::facts::{Point, TaskFacts};

/// A sample in seven numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// The smallest.
    pub min: f64,
    /// 5 % quantile.
    pub p05: f64,
    /// Median.
    pub median: f64,
    /// 95 % quantile.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// `None` without values or with one that is not finite.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let quantile = |q| summary::quantile(values, q).ok();
        Some(Self {
            n: values.len(),
            mean: summary::mean(values).ok()?,
            min: quantile(0.0)?,
            p05: quantile(0.05)?,
            median: quantile(0.5)?,
            p95: quantile(0.95)?,
            max: quantile(1.0)?,
        })
    }
}

/// Mass summaries over prefixes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MassMetrics {
    /// Prefixes of measured traces.
    pub n_prefixes: usize,
    /// Share of raw probability on answers; null where the estimator does not see it.
    pub elicited: Option<Summary>,
    /// Unexplored probability; null without prefixes.
    pub residual: Option<Summary>,
    /// Mean over questions of the unexplored probability before reasoning, at s = 0; null where nothing was enumerated.
    #[serde(default)]
    pub residual_first: Option<f64>,
    /// The same at the end, s = 1.
    #[serde(default)]
    pub residual_last: Option<f64>,
    /// Share of prefixes at which more was left unexplored than the most likely answer has, so that another may be more likely; null where nothing
    /// was enumerated.
    #[serde(default)]
    pub leader_open: Option<f64>,
    /// Width of the entropy interval that the estimator vouches for, nats; null without prefixes.
    pub entropy_width: Option<Summary>,
}

pub(super) fn of(task: &TaskFacts) -> MassMetrics {
    let enumerated = task.estimators.iter().any(|name| &**name == Estimator::Enumerate.name());
    let ends = if enumerated { residual_ends(task) } else { [None, None] };
    let summary = |value: fn(&Point) -> Option<f64>| {
        let values: Vec<f64> = task.measured().flat_map(|(_, points)| points).filter_map(value).collect();
        Summary::of(&values)
    };
    MassMetrics {
        n_prefixes: task.measured().map(|(_, points)| points.len()).sum(),
        elicited: summary(Point::elicited_mass),
        residual: summary(|point| Some(point.residual_mass)),
        residual_first: ends[0],
        residual_last: ends[1],
        leader_open: if enumerated { leader_open(task) } else { None },
        entropy_width: summary(|point| Some(point.upper - point.lower)),
    }
}

fn leader_open(task: &TaskFacts) -> Option<f64> {
    let is_open = |point: &Point| if point.residual_mass > point.leader_prob { 1.0 } else { 0.0 };
    let all: Vec<f64> = task.measured().flat_map(|(_, points)| points).map(is_open).collect();
    summary::mean(&all).ok()
}

/// Mean residual masses at the first and the last prefix, over the traces of a question first and then over questions.
fn residual_ends(task: &TaskFacts) -> [Option<f64>; 2] {
    let mut means = QuestionMeans::new(task.n_questions, 2);
    for (trace, points) in task.measured() {
        for (column, point) in [points.first(), points.last()].into_iter().enumerate() {
            if let Some(point) = point {
                means.add(trace.question, column, point.residual_mass);
            }
        }
    }
    let means = means.per_question().means();
    [means[0], means[1]]
}
