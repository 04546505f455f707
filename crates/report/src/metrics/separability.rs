//! How well the answer entropy at a depth tells correct from wrong traces: AUROC of −H(s).
//!
//! 0.5 says nothing, 1 is perfect: a correct trace always has the lower entropy. Rows are traces with a known verdict; the variance
//! sums over the traces of a question (Obuchowski 1997, in `entrace_stats::auroc`). A perfect separation has variance zero there, which
//! is no knowledge, so it is given without an interval; so is an area of which one verdict is that of fewer than ten questions.

use std::ops::Range;

use entrace_stats::auroc::{self, Auroc, ChanceTest};
use entrace_stats::{Clusters, Level, Undefined};

use super::curves::positions;
use super::quantity::{Curve, Quantity, blocks};
use crate::depth::N_DEPTHS;
use crate::facts::TaskFacts;
use crate::format::count;

pub(super) fn of(task: &TaskFacts, level: Level) -> Curve {
    let judged = || task.measured().filter_map(|(trace, points)| Some((trace, points, trace.correct?)));
    let labels: Vec<bool> = judged().map(|(.., correct)| correct).collect();
    let clusters = Clusters::of(&judged().map(|(trace, ..)| trace.question).collect::<Vec<_>>());
    let of_block = |depths: Range<usize>| -> Vec<Quantity> {
        let mut scores: Vec<Vec<f64>> = vec![Vec::with_capacity(labels.len()); depths.len()];
        for (_, points, _) in judged() {
            let positions = positions(points);
            for (scores, depth) in scores.iter_mut().zip(depths.clone()) {
                scores.push(-points[positions[depth]].entropy);
            }
        }
        scores.iter().map(|scores| area(scores, &labels, &clusters, level).0).collect()
    };
    let quantities: Vec<Quantity> = blocks(labels.len(), N_DEPTHS).flat_map(of_block).collect();
    Curve::of(&quantities)
}

/// The area with its interval, and the two-sided p-value of 0.5; `None` without an interval.
pub(crate) fn area(
    scores: &[f64],
    labels: &[bool],
    clusters: &Clusters,
    level: Level,
) -> (Quantity, Option<f64>) {
    let value = auroc::auroc(scores, labels);
    let test = auroc::against_chance(scores, labels, clusters, level);
    let no_width = no_interval(value, test);
    let estimate = test.map(|test| test.estimate);
    let area = Quantity::of(value.ok().map(|a| a.value), estimate, clusters.count(), labels.len());
    match no_width {
        Some(reason) => (area.without_interval(&reason), None),
        None => (area, test.ok().and_then(|test| test.p_value)),
    }
}

/// Why an area that is defined has no interval.
fn no_interval(area: Result<Auroc, Undefined>, test: Result<ChanceTest, Undefined>) -> Option<String> {
    let area = area.ok()?;
    match test {
        _ if area.constant_score => Some("no interval: all scores are equal".to_string()),
        Ok(test) if test.estimate.standard_error <= 0.0 => {
            Some("no interval: the separation is perfect".to_string())
        }
        Err(undefined) => Some(format!("no interval: {}", too_few(undefined))),
        Ok(_) => None,
    }
}

/// A reason in terms of questions and verdicts.
pub(crate) fn too_few(undefined: Undefined) -> String {
    match undefined {
        Undefined::FewOfClass { needed, found } => {
            let verb = if found == 1 { "has" } else { "have" };
            let questions = count(found, "question");
            format!("only {questions} {verb} traces of the rarer verdict, and at least {needed} are needed")
        }
        other => other.to_string(),
    }
}
