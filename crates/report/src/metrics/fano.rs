//! How often a belief of this entropy must be wrong, against how often the forced answer is.
//!
//! For the mean entropy H(s) over traces with a target: the weak bound (H − ln 2)/ln(|A| − 1), and the exact one, the smallest P with
//! h2(P) + P ln(|A| − 1) ≥ H. Both bound the error averaged under the joint whose entropy is used, that is the error which the
//! model itself expects: 1 − probability of the leader, shown beside them. The forced error, the share of prefixes whose leader is
//! not the target, is set against the true answers; its slack over the exact bound may be negative for a model that is unsure and
//! right.
//!
//! |A| is the largest number of listed options, or else the number of different answers that were found anywhere in the task: the
//! smallest support that holds everything seen. The weak form needs |A| ≥ 3 and says nothing for H ≤ ln 2; it is null there.
//! Source: Fano's inequality (Cover and Thomas 2006, theorem 2.10.1); weak form as theorem 1 of arXiv:2604.06192.

use entrace_measure::fano::{self, NoBound};
use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::curves::positions;
use super::quantity::{Curve, QuestionMeans};
use crate::depth::N_DEPTHS;
use crate::facts::{Point, TaskFacts};

/// The set of answers that a bound assumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alphabet {
    /// |A|
    pub size: usize,
    /// What was counted.
    pub source: String,
}

/// Bounds and errors along the depth grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FanoMetrics {
    /// The answers assumed; null where there are no traces with a target, or fewer than two answers.
    pub alphabet: Option<Alphabet>,
    /// Mean entropy over traces with a target, nats.
    pub mean_entropy: Vec<Option<f64>>,
    /// Weak bound on the error; null where it is empty.
    pub weak_bound: Vec<Option<f64>>,
    /// Exact bound on the error.
    pub exact_bound: Vec<Option<f64>>,
    /// Mean of 1 − probability of the leader.
    pub expected_error: Vec<Option<f64>>,
    /// Share of prefixes whose leader is not the target.
    pub forced_error: Curve,
    /// Forced error − exact bound.
    pub slack: Vec<Option<f64>>,
    /// Why there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

pub(super) fn of(task: &TaskFacts, resampling: &Resampling) -> FanoMetrics {
    let along = |value: fn(&Point) -> f64| {
        let mut means = QuestionMeans::new(task.n_questions, N_DEPTHS);
        for (trace, points) in task.measured() {
            let judged = positions(points).map(|i| points[i]).into_iter().enumerate();
            for (column, point) in judged.filter(|(_, point)| point.leader_is_target.is_some()) {
                means.add(trace.question, column, value(&point));
            }
        }
        means.per_question()
    };
    let n_traces = task.measured().filter(|(trace, _)| trace.target.is_some()).count();
    let errors = along(|point| if point.leader_is_target == Some(true) { 0.0 } else { 1.0 });
    let shares = errors.quantities(resampling).into_iter().map(|e| e.into_share(resampling.level));
    let forced_error = Curve::of(&shares.collect::<Vec<_>>());
    let mean_entropy = along(|point| point.entropy).means();
    let expected_error = along(|point| 1.0 - point.leader_prob).means();
    let alphabet = alphabet(task).filter(|_| n_traces > 0);
    let reason = match &alphabet {
        Some(_) => None,
        None if n_traces == 0 => Some("no measured trace has a target".to_string()),
        None => Some("fewer than two different answers were found".to_string()),
    };
    let size = alphabet.as_ref().map(|a| a.size);
    let bound = |bound: fn(f64, usize) -> Result<f64, NoBound>| -> Vec<Option<f64>> {
        mean_entropy.iter().map(|h| bound((*h)?, size?).ok()).collect()
    };
    let exact_bound = bound(fano::error_bound);
    let slack = forced_error.value.iter().zip(&exact_bound).map(|(e, b)| Some((*e)? - (*b)?)).collect();
    FanoMetrics {
        weak_bound: bound(fano::weak_error_bound),
        exact_bound,
        slack,
        alphabet,
        mean_entropy,
        expected_error,
        forced_error,
        reason,
    }
}

fn alphabet(task: &TaskFacts) -> Option<Alphabet> {
    let listed: Option<Vec<usize>> =
        task.measured().map(|(trace, _)| Some(trace.n_choices? as usize)).collect();
    let (size, source) = match listed.as_deref() {
        Some([]) => return None,
        Some(sizes) => {
            let (smallest, largest) = (sizes.iter().min()?, sizes.iter().max()?);
            let source = if smallest == largest {
                "listed options".to_string()
            } else {
                format!("most listed options; questions list {smallest} to {largest}")
            };
            (*largest, source)
        }
        None => (task.answers.len(), "different answers found in the task".to_string()),
    };
    (size >= 2).then_some(Alphabet { size, source })
}
