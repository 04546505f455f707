//! How well the answer entropy at a depth tells correct from wrong traces: AUROC of −H(s).
//!
//! 0.5 says nothing, 1 is perfect: a correct trace always has the lower entropy. Rows are traces with a known verdict; the variance
//! sums over the traces of a question (Obuchowski 1997, in `entrace_stats::auroc`). A perfect separation has variance zero there, which
//! is no knowledge, so it is given without an interval.

use entrace_stats::distribution::normal_two_sided;
use entrace_stats::{Clusters, Level, auroc};

use super::curves::positions;
use super::quantity::{Curve, Quantity};
use crate::depth::N_DEPTHS;
use crate::facts::TaskFacts;

pub(super) fn of(task: &TaskFacts, level: Level) -> Curve {
    let (mut labels, mut questions, mut entropies) = (Vec::new(), Vec::new(), Vec::new());
    for (trace, points) in task.measured() {
        if let Some(correct) = trace.correct {
            labels.push(correct);
            questions.push(trace.question);
            entropies.push(positions(points).map(|i| points[i].entropy));
        }
    }
    let clusters = Clusters::of(&questions);
    let quantities: Vec<Quantity> = (0..N_DEPTHS)
        .map(|i| {
            let scores: Vec<f64> = entropies.iter().map(|h| -h[i]).collect();
            area(&scores, &labels, &clusters, level).0
        })
        .collect();
    Curve::of(&quantities)
}

/// The area with its interval, and the two-sided normal p-value of 0.5; `None` for a standard error of zero.
pub(crate) fn area(
    scores: &[f64],
    labels: &[bool],
    clusters: &Clusters,
    level: Level,
) -> (Quantity, Option<f64>) {
    let value = auroc::auroc(scores, labels);
    let estimate = auroc::clustered(scores, labels, clusters, level);
    let no_width = match (value, estimate) {
        (Ok(area), _) if area.constant_score => Some("no interval: all scores are equal"),
        (_, Ok(estimate)) if estimate.standard_error <= 0.0 => Some("no interval: the separation is perfect"),
        _ => None,
    };
    let p_value = estimate
        .ok()
        .filter(|estimate| no_width.is_none() && estimate.standard_error > 0.0)
        .map(|estimate| normal_two_sided((estimate.value - 0.5) / estimate.standard_error));
    let area = Quantity::of(value.ok().map(|a| a.value), estimate, clusters.count(), labels.len());
    match no_width {
        Some(reason) => (Quantity { low: None, high: None, reason: Some(reason.to_string()), ..area }, None),
        None => (area, p_value),
    }
}
