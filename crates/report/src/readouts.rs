//! The readout of the target at every prefix, from the answers recorded there.
//!
//! Input: the points of one curve in order of step, and the masses of its answers. What the prefix says of the target at every temperature
//! (`entrace_measure::readout`) is kept with the point; it is what usable information is fitted from. A point whose answers do not add up to
//! what was explored has none. Draws become probabilities by the outcomes seen at any prefix of the curve, so that all prefixes are
//! distributions over the same outcomes.

use std::collections::BTreeSet;
use std::sync::Arc;

use entrace_measure::readout::{Atoms, FoundAnswer};

use crate::belief::{COMPLETE, Mass};
use crate::facts::Draft;

/// Fills in the readouts of a curve. `masses` are in order of step; `names` are the answers of the task by number.
pub(crate) fn fill(
    points: &mut [Draft],
    masses: &[Mass],
    names: &[Arc<str>],
    target: &str,
    n_choices: Option<usize>,
) {
    let outcomes: BTreeSet<u32> = masses.iter().map(|mass| mass.answer).collect();
    for point in points {
        let start = masses.partition_point(|mass| mass.step < point.step);
        let here: Vec<Mass> =
            masses[start..].iter().take_while(|mass| mass.step == point.step).copied().collect();
        let total: f64 = here.iter().map(|mass| mass.prob).sum();
        if here.is_empty() || (total + point.residual_mass - 1.0).abs() > COMPLETE {
            continue;
        }
        let is_target = |answer: u32| &*names[answer as usize] == target;
        let atoms = match point.n_samples {
            Some(draws) => counted(&here, draws, &outcomes, is_target),
            None => found(&here, point, n_choices, is_target),
        };
        point.point.set_readout(atoms.target_readout());
    }
}

fn counted(here: &[Mass], draws: u32, outcomes: &BTreeSet<u32>, is_target: impl Fn(u32) -> bool) -> Atoms {
    let count = |answer: u32| {
        let prob = here.iter().find(|mass| mass.answer == answer).map_or(0.0, |mass| mass.prob);
        (prob * f64::from(draws)).round() as usize
    };
    let target = outcomes.iter().find(|&&answer| is_target(answer)).map(|&answer| count(answer));
    let others: Vec<usize> =
        outcomes.iter().filter(|&&answer| !is_target(answer)).map(|&answer| count(answer)).collect();
    Atoms::of_counts(target, &others)
}

fn found(here: &[Mass], point: &Draft, n_choices: Option<usize>, is_target: impl Fn(u32) -> bool) -> Atoms {
    let answers: Vec<FoundAnswer> = here
        .iter()
        .map(|mass| FoundAnswer { logprob: mass.logprob, is_target: is_target(mass.answer) })
        .collect();
    let target_logprob = point.target_logprob.unwrap_or(f64::NEG_INFINITY);
    match n_choices {
        Some(_) => Atoms::of_options(&answers, target_logprob),
        None => Atoms::of_enumeration(&answers, point.residual_mass, target_logprob),
    }
}
