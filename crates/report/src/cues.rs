//! How far belief differs between answer cues.
//!
//! A run may ask under several cues; the first carries the numbers. At each prefix, for each further cue: the total variation
//! ½ Σ_a |p(a) − p'(a)| over the answers that were found under either, so that it is known up to the probability that was left unexplored, and
//! whether both have the same most likely answer. What is found under further cues counts nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::belief::Mass;
use crate::facts::{CuePoint, Draft};

/// What was found under further cues, while its trace is being read.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Cue, step and leader of each prefix.
    pub(crate) leaders: Vec<(u32, u32, Arc<str>)>,
    /// Cue, step and answer with its probability.
    pub(crate) masses: Vec<(u32, u32, Arc<str>, f64)>,
}

/// By cue and step; `points` and `masses` are those of the first cue, `names` the answers by number.
pub(crate) fn differences(
    points: &[Draft],
    masses: &[Mass],
    names: &[Arc<str>],
    mut found: Found,
) -> Vec<CuePoint> {
    found.leaders.sort_unstable();
    let mut changes: BTreeMap<(u32, u32), BTreeMap<&str, f64>> = BTreeMap::new();
    for (cue, step, _) in &found.leaders {
        let change = changes.entry((*cue, *step)).or_default();
        for mass in masses.iter().filter(|mass| mass.step == *step) {
            *change.entry(&names[mass.answer as usize]).or_default() -= mass.prob;
        }
    }
    for (cue, step, answer, prob) in &found.masses {
        if let Some(change) = changes.get_mut(&(*cue, *step)) {
            *change.entry(answer).or_default() += prob;
        }
    }
    let point = |(cue, step, leader): &(u32, u32, Arc<str>)| {
        let first = points.iter().find(|point| point.step == *step)?;
        let distance = 0.5 * changes.get(&(*cue, *step))?.values().map(|change| change.abs()).sum::<f64>();
        let agrees = names[first.leader as usize] == *leader;
        Some(CuePoint { cue: *cue, step: *step, distance: distance.clamp(0.0, 1.0), agrees })
    };
    found.leaders.iter().filter_map(point).collect()
}
