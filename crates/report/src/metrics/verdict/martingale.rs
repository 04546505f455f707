//! The self-check of `rollout`: belief must not drift.
//!
//! With one policy for traces and continuations, p_k(a) is a martingale for every answer a that is fixed beforehand. Six means that
//! are then zero (defined per trace in `belief`) are tested over all traces of the task by Student's t on question means, two-sided, and
//! adjusted by Holm. Drifts are skewed (most traces lose a little of an answer, a few gain much), so t counts as it is or corrected for
//! skewness (Hall 1992, J. R. Stat. Soc. B 54), whichever is smaller. The estimator is called broken where one of them has an adjusted p below 0.01, or where the number
//! of draws m differs between prefixes: the bias of an entropy depends on m, so a curve over different m shows the m. Rollouts beside
//! another estimator are drawn until they decide, so their m differs by design; no entropy is read from them.
//!
//! A mean that is zero in every question passes: the belief did not move. Fewer than ten questions say nothing. Traces from a file
//! were not sampled by the policy that continues them, so belief may drift there honestly; they are not checked, nor are rollouts at another
//! temperature than that of the traces. Passing does not prove
//! an estimator right: an error that keeps all these means at zero is not seen, such as one that treats all prefixes alike.

use entrace_stats::distribution::t_two_sided;
use entrace_stats::interval::t_mean;
use entrace_stats::{ClusterSums, Estimate, Level, multiplicity};
use serde::{Deserialize, Serialize};

use super::FEWEST_QUESTIONS;
use crate::facts::{DriftKind, Source, TaskFacts};

/// Probability at which a correct estimator may be called broken.
pub(super) const CHECK_ALPHA: f64 = 0.01;

/// The outcome of the check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckMetrics {
    /// Whether the estimator's beliefs cannot be what they claim.
    pub broken: bool,
    /// Smallest adjusted p-value; null where nothing could be tested.
    pub p_value: Option<f64>,
    /// Significance level of the check.
    pub alpha: f64,
    /// Fewest and most draws at a prefix.
    pub draws: Option<(u32, u32)>,
    /// The means tested.
    pub tests: Vec<DriftTest>,
    /// Why nothing could be tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One mean that an honest estimator keeps at zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftTest {
    /// What drifts: `target`, `unreadable`, `leader`, `runner-up`, `ending in the target`, `ending in the leader`.
    pub name: String,
    /// The mean over questions.
    pub mean: f64,
    /// Ends of its 95 % interval.
    pub interval: (f64, f64),
    /// Two-sided p-value of zero.
    pub p_value: f64,
    /// The same after Holm's adjustment.
    pub holm_p: f64,
    /// Questions that took part.
    pub n_questions: usize,
}

pub(super) fn check(task: &TaskFacts, source: Source) -> CheckMetrics {
    let draws = match source {
        Source::Recorded => task.n_samples,
        Source::Rollouts => task.rollout_draws(),
    };
    let same_policy = source == Source::Recorded || task.rollouts_follow_traces;
    let kinds = DriftKind::ALL.into_iter().filter(|_| same_policy);
    let mut tests: Vec<DriftTest> = kinds.filter_map(|kind| test(task, kind)).collect();
    let p_values: Vec<f64> = tests.iter().map(|test| test.p_value).collect();
    for (test, adjusted) in tests.iter_mut().zip(multiplicity::holm(&p_values).unwrap_or_default()) {
        test.holm_p = adjusted;
    }
    let p_value = tests.iter().map(|test| test.holm_p).reduce(f64::min);
    let uneven = source == Source::Recorded && draws.is_some_and(|(fewest, most)| fewest != most);
    let reason = p_value.is_none().then(|| {
        if !same_policy {
            return "the traces were sampled at another temperature than the rollouts, so belief may drift along them honestly"
                .to_string();
        }
        let imported = task.measured().any(|(trace, _)| trace.stop_reason.as_deref() == Some("imported"));
        if imported {
            "the traces are imported: they were not sampled by the policy that continues them, and may have been chosen by their outcome"
                .to_string()
        } else {
            format!("fewer than {FEWEST_QUESTIONS} questions have all answers at all prefixes")
        }
    });
    CheckMetrics {
        broken: uneven || p_value.is_some_and(|p| p < CHECK_ALPHA),
        p_value,
        alpha: CHECK_ALPHA,
        draws,
        tests,
        reason,
    }
}

/// The test of one mean; `None` for too few questions, or where it never differs from zero.
fn test(task: &TaskFacts, kind: DriftKind) -> Option<DriftTest> {
    let mut sums = ClusterSums::new(task.n_questions, 1);
    for trace in task.traces.iter().filter(|trace| trace.stop_reason.as_deref() != Some("imported")) {
        if let Some(value) = trace.drift.as_deref().and_then(|drift| drift.get(kind)) {
            sums.add(trace.question, 0, value, 1.0);
        }
    }
    let values = sums.cluster_values(0);
    if values.len() < FEWEST_QUESTIONS {
        return None;
    }
    let estimate = t_mean(&values, Level::P95).ok()?;
    if estimate.standard_error <= 0.0 {
        return None;
    }
    let t = estimate.value / estimate.standard_error;
    let smaller = t.abs().min(corrected_for_skewness(t, &values, &estimate).abs());
    let p_value = t_two_sided(smaller, (values.len() - 1) as f64);
    Some(DriftTest {
        name: kind.name().to_string(),
        mean: estimate.value,
        interval: (estimate.interval.low, estimate.interval.high),
        p_value,
        holm_p: p_value,
        n_questions: values.len(),
    })
}

/// t + γt²/(3√n) + γ²t³/(27n) + γ/(6√n) with the sample's skewness γ.
fn corrected_for_skewness(t: f64, values: &[f64], estimate: &Estimate) -> f64 {
    let n = values.len() as f64;
    let spread = estimate.standard_error * n.sqrt();
    let skewness = values.iter().map(|v| ((v - estimate.value) / spread).powi(3)).sum::<f64>() / n;
    let c = skewness / n.sqrt();
    t + c * t * t / 3.0 + c * c * t.powi(3) / 27.0 + c / 6.0
}
