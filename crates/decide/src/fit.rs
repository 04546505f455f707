//! Signals with parameters, fitted on questions of their own.
//!
//! * The temperature τ of [`TEMPERATURES`] that makes the true answers likeliest: the mean over questions of the mean over prefixes of
//!   ln T_τ p_k(target), with the tails of `entrace_measure::readout`.
//! * [`Combined`]: ridge logistic regression (λ = 1) of a label at a prefix on the signals of [`FEATURES`] that every prefix beyond the
//!   question has. Rows are prefixes; their dependence does not matter here, since nothing is claimed on the data of the fit.

use entrace_measure::readout::{Atoms, FoundAnswer, TEMPERATURES, TargetReadout};
use entrace_stats::Undefined;
use entrace_stats::logistic::{Features, Logistic};

use crate::recorded::{RecordedPrefix, RecordedTrace};
use crate::signal::Signal;

/// Signals that are combined, where a run has them.
pub const FEATURES: [&str; 7] = [
    "answer_entropy",
    "leader_prob",
    "stability",
    "cue_entropy",
    "mean_logprob",
    "mean_token_entropy",
    "mean_top2_margin",
];

/// What a combination foretells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// The leader at the prefix is right.
    LeaderIsRight,
    /// The leader at the prefix is the answer of the whole trace.
    LeaderStays,
    /// The whole trace ends right.
    EndsRight,
}

impl Label {
    fn of(self, trace: &RecordedTrace, k: usize) -> Option<bool> {
        match self {
            Self::LeaderIsRight => trace.leader_is_right(k),
            Self::LeaderStays => Some(trace.leader_stays(k)),
            Self::EndsRight => trace.correct,
        }
    }
}

/// A logistic regression on signals of a prefix.
#[derive(Debug, Clone, PartialEq)]
pub struct Combined {
    /// The signals, each with the change of the logit for one unit of it.
    pub weights: Vec<(Signal, f64)>,
    /// Logit where all signals are 0.
    pub intercept: f64,
}

impl Combined {
    /// The probability that it foretells; `None` where a signal has no value.
    pub fn value(&self, trace: &RecordedTrace, k: usize) -> Option<f64> {
        let mut logit = self.intercept;
        for (signal, weight) in &self.weights {
            logit += weight * signal.value(trace, k)?;
        }
        Some(1.0 / (1.0 + (-logit).exp()))
    }

    /// Fits it on the prefixes of traces that are not their end.
    pub fn fit<'a>(
        traces: impl Iterator<Item = &'a RecordedTrace> + Clone,
        label: Label,
    ) -> Result<Self, Undefined> {
        let signals: Vec<Signal> = FEATURES.iter().filter_map(|name| Signal::plain(name)).collect();
        let places = traces.flat_map(|trace| (1..trace.n_early()).map(move |k| (trace, k)));
        let places = places.filter(|(trace, k)| trace.prefixes[*k].leads());
        let (mut rows, mut labels) = (Vec::new(), Vec::new());
        for (trace, k) in places {
            if let Some(is_positive) = label.of(trace, k) {
                rows.push(signals.iter().map(|signal| signal.value(trace, k)).collect::<Vec<_>>());
                labels.push(is_positive);
            }
        }
        let is_known = |column: &usize| rows.iter().all(|row| row[*column].is_some());
        let columns: Vec<usize> = (0..signals.len()).filter(is_known).collect();
        let values = rows.iter().flat_map(|row| columns.iter().filter_map(|&column| row[column])).collect();
        let fit = Logistic::fit(&Features::new(columns.len(), values)?, &labels, 1.0)?;
        let weights =
            columns.iter().zip(fit.weights()).map(|(&column, weight)| (signals[column].clone(), *weight));
        Ok(Self { weights: weights.collect(), intercept: fit.intercept() })
    }
}

/// The temperature that makes the targets likeliest; `None` without targets or with draws in place of probabilities.
pub fn temperature<'a>(traces: impl Iterator<Item = &'a RecordedTrace>) -> Option<f64> {
    let mut sums = TemperatureSums::default();
    traces.filter_map(readouts).for_each(|readouts| sums.add(&readouts));
    sums.best()
}

/// The log-likelihood of the targets at each temperature.
#[derive(Debug, Clone, Default)]
pub(crate) struct TemperatureSums {
    sums: [f64; TEMPERATURES.len()],
    n_traces: usize,
}

impl TemperatureSums {
    /// Adds the readouts of a trace.
    pub(crate) fn add(&mut self, readouts: &[TargetReadout]) {
        self.n_traces += 1;
        for readout in readouts {
            self.sums.iter_mut().zip(readout).for_each(|(sum, value)| *sum += value / readouts.len() as f64);
        }
    }

    /// The temperature that makes the targets likeliest; `None` without traces.
    pub(crate) fn best(&self) -> Option<f64> {
        let best = (0..TEMPERATURES.len()).max_by(|&a, &b| self.sums[a].total_cmp(&self.sums[b]))?;
        (self.n_traces > 0).then_some(TEMPERATURES[best])
    }
}

/// The readouts at all prefixes; `None` without a target, and where one of them has none.
pub(crate) fn readouts(trace: &RecordedTrace) -> Option<Vec<TargetReadout>> {
    let target = trace.target.as_deref()?;
    trace.prefixes.iter().map(|prefix| readout(prefix, target)).collect()
}

/// ln T_τ p(target) for each temperature; `None` where that is not finite.
pub(crate) fn readout(prefix: &RecordedPrefix, target: &str) -> Option<TargetReadout> {
    let logprob = prefix.target_logprob?;
    if prefix.is_sampled || prefix.found.is_empty() {
        return None;
    }
    let found: Vec<FoundAnswer> = prefix
        .found
        .iter()
        .map(|found| FoundAnswer { logprob: found.logprob, is_target: *found.answer == *target })
        .collect();
    let atoms = match prefix.residual > 0.0 {
        true => Atoms::of_enumeration(&found, prefix.residual, logprob),
        false => Atoms::of_options(&found, logprob),
    };
    Some(atoms.target_readout()).filter(|readout| readout.iter().all(|value| value.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{prefix, trace};

    #[test]
    fn an_overconfident_belief_is_flattened() {
        // The leader has 0.95 and is right in seven traces of ten.
        let traces: Vec<_> = (0..10)
            .map(|i| trace(i, if i < 7 { "7" } else { "other" }, vec![prefix("7", 0.95), prefix("7", 0.95)]))
            .collect();
        let found = temperature(traces.iter()).unwrap();
        assert!(found > 2.0, "{found}");
    }

    #[test]
    fn a_combination_foretells_what_it_was_fitted_to() {
        let traces: Vec<_> = (0..200)
            .map(|i| {
                let prob = 0.3 + 0.69 * (i % 50) as f64 / 50.0;
                let is_right = prob > 0.65;
                let prefixes = vec![prefix("7", 0.3), prefix("7", prob), prefix("7", 0.9)];
                trace(i, if is_right { "7" } else { "9" }, prefixes)
            })
            .collect();
        let fit = Combined::fit(traces.iter(), Label::LeaderIsRight).unwrap();
        assert!(fit.value(&traces[49], 1).unwrap() > 0.8 && fit.value(&traces[0], 1).unwrap() < 0.2);
        let one_sided = Combined::fit(traces.iter(), Label::LeaderStays);
        assert_eq!(one_sided, Err(Undefined::SingleClass));
    }
}
