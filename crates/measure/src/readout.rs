//! What a tempered answer distribution gives to the target: the building blocks of usable information.
//!
//! A forced readout may know something about the answer and still state it with too much certainty, so that its raw log-probability buries
//! what it knows. Usable information (predictive V-information, Xu et al. 2020, arXiv:2002.10689) asks the best member of a family of
//! readouts instead. The family mixes p_k at some temperature with p_0 at another and with a base distribution; it is fitted in
//! `stats::mixture`, and here is what enters it: for each temperature τ of [`TEMPERATURES`] the natural logarithm of T_τ p(target).
//!
//! T_τ p is p^{1/τ} over the atoms of p, renormalised. The atoms are the answers found, `[invalid]` among them, and one for the tail;
//! within the tail, answers keep the proportions that p gives them. So T_τ p is a distribution whatever was left unexplored, T_1 p = p, a
//! large τ makes it even and a small one sharp.
//!
//! Nothing here may depend on which answer is the target, or knowing it would count as information. `enumerate` always follows the ways to
//! the target, so an unlikely target, and unlikely answers on the way to it, are among those found only because it is the target. The tail
//! therefore takes in, from the least likely answer up, every answer whose probability is at most [`TAIL`] or at most that of the tail so
//! far ([`Atoms::of_enumeration`]); what is above would have been found whatever the target. Without this a flat T_τ would give an
//! unlikely target as much as any answer found: a foreign trace then gains a nat.
//!
//! Draws become a distribution by adding ½ to the count of every outcome seen in a fixed set of draws, and ½ for all that was never seen
//! (Krichevsky and Trofimov 1981), so that the target has a probability even where no draw met it.
//!
//! Not here: the weights and temperatures (`stats::mixture`), folds and intervals.

/// The temperatures τ at which distributions are offered to the fit: powers of √2 from ½ to 16.
pub const TEMPERATURES: [f64; 11] = [
    0.5,
    std::f64::consts::FRAC_1_SQRT_2,
    1.0,
    std::f64::consts::SQRT_2,
    2.0,
    2.0 * std::f64::consts::SQRT_2,
    4.0,
    4.0 * std::f64::consts::SQRT_2,
    8.0,
    8.0 * std::f64::consts::SQRT_2,
    16.0,
];

/// Position of τ = 1 among the temperatures.
pub const UNTEMPERED: usize = 2;

/// Probability up to which an answer of an enumeration belongs to the tail.
pub const TAIL: f64 = 0.01;

/// ln T_τ p(target) for each τ of [`TEMPERATURES`]; −∞ where p excludes the target.
pub type TargetReadout = [f64; TEMPERATURES.len()];

/// What is left of a distribution for tempering: the logarithms of its atoms, and where the target lies among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Atoms {
    /// ln of the probability of each answer that counts as found.
    logprobs: Vec<f64>,
    /// ln of all that does not.
    tail: f64,
    target: TargetAtom,
}

/// Where the target lies.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TargetAtom {
    /// It is an answer found, with this logarithm.
    Found(f64),
    /// It is part of the tail, with this logarithm.
    Tail(f64),
}

/// One answer of a recorded distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoundAnswer {
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// Whether it is the target.
    pub is_target: bool,
}

impl Atoms {
    /// Of a distribution over listed options: all of them were scored.
    pub fn of_options(found: &[FoundAnswer], target_logprob: f64) -> Self {
        Self::new(found, f64::NEG_INFINITY, target_logprob)
    }

    /// Of an enumeration with its unexplored probability; unlikely answers join the tail (see the module's text).
    pub fn of_enumeration(found: &[FoundAnswer], residual: f64, target_logprob: f64) -> Self {
        let mut rising = found.to_vec();
        rising.sort_by(|a, b| a.logprob.total_cmp(&b.logprob));
        let mut tail = residual.max(0.0);
        let mut n_in_tail = 0;
        for answer in &rising {
            let prob = answer.logprob.exp();
            if prob > tail.max(TAIL) {
                break;
            }
            tail += prob;
            n_in_tail += 1;
        }
        let target =
            found.iter().find(|answer| answer.is_target).map_or(target_logprob, |target| target.logprob);
        Self::new(&rising[n_in_tail..], tail.ln(), target)
    }

    /// Of counts of draws: of the target, of every other outcome seen in the set of draws that fixes what is seen (zero where these draws
    /// did not meet it).
    pub fn of_counts(target_count: Option<usize>, other_counts: &[usize]) -> Self {
        let n: usize = target_count.unwrap_or(0) + other_counts.iter().sum::<usize>();
        let n_atoms = other_counts.len() + usize::from(target_count.is_some()) + 1;
        let total = n as f64 + 0.5 * n_atoms as f64;
        let log = |count: usize| ((count as f64 + 0.5) / total).ln();
        let tail = log(0);
        let counts = target_count.into_iter().chain(other_counts.iter().copied());
        Self {
            logprobs: counts.map(log).collect(),
            tail,
            target: target_count.map_or(TargetAtom::Tail(tail), |count| TargetAtom::Found(log(count))),
        }
    }

    fn new(found: &[FoundAnswer], tail: f64, target_logprob: f64) -> Self {
        let possible = found.iter().filter(|answer| answer.logprob > f64::NEG_INFINITY);
        let target = found.iter().find(|answer| answer.is_target);
        Self {
            logprobs: possible.map(|answer| answer.logprob).collect(),
            tail,
            target: match target {
                Some(target) => TargetAtom::Found(target.logprob),
                None => TargetAtom::Tail(target_logprob),
            },
        }
    }

    /// ln T_τ p(target) at every temperature.
    pub fn target_readout(&self) -> TargetReadout {
        TEMPERATURES.map(|temperature| self.tempered_target(temperature))
    }

    fn tempered_target(&self, temperature: f64) -> f64 {
        let scaled = self.logprobs.iter().chain([&self.tail]).map(|logprob| logprob / temperature);
        let highest = scaled.clone().fold(f64::NEG_INFINITY, f64::max);
        if highest == f64::NEG_INFINITY {
            return f64::NEG_INFINITY;
        }
        let ln_total = highest + scaled.map(|logprob| (logprob - highest).exp()).sum::<f64>().ln();
        match self.target {
            TargetAtom::Found(logprob) => logprob / temperature - ln_total,
            // The target cannot have more than the whole tail; rounding could say so.
            TargetAtom::Tail(logprob) if self.tail > f64::NEG_INFINITY => {
                self.tail / temperature - ln_total + (logprob - self.tail).min(0.0)
            }
            TargetAtom::Tail(_) => f64::NEG_INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(probs: &[f64], target: Option<usize>) -> Vec<FoundAnswer> {
        let answer = |(i, p): (usize, &f64)| FoundAnswer { logprob: p.ln(), is_target: target == Some(i) };
        probs.iter().enumerate().map(answer).collect()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn options_are_tempered_as_logits_are() {
        let atoms = Atoms::of_options(&answers(&[0.7, 0.2, 0.1], Some(1)), 0.2_f64.ln());
        let readout = atoms.target_readout();
        assert!(close(readout[UNTEMPERED], 0.2_f64.ln()));
        for (&temperature, logprob) in TEMPERATURES.iter().zip(readout) {
            let powers = [0.7_f64, 0.2, 0.1].map(|p| p.powf(1.0 / temperature));
            assert!(close(logprob.exp(), powers[1] / powers.iter().sum::<f64>()));
        }
    }

    #[test]
    fn an_unlikely_target_gains_nothing_from_having_been_looked_for() {
        // Found by themselves: 0.9 and 0.06. The target at 1e-4, and 1e-5 on the way to it, only because it is the target.
        let found = answers(&[0.9, 0.06, 1e-4, 1e-5], Some(2));
        let readout = Atoms::of_enumeration(&found, 0.03989, 1e-4_f64.ln()).target_readout();
        let highest = readout.into_iter().fold(f64::NEG_INFINITY, f64::max);
        // The share 1e-4/0.04 of an atom that is at most a third.
        assert!(highest.exp() < 0.0025 / 3.0 + 1e-9, "{highest}");
        assert!(close(readout[UNTEMPERED], 1e-4_f64.ln()));
        // Had all of the rest been explored, nothing would change: the tail has a least size.
        let explored = Atoms::of_enumeration(&answers(&[0.99, 0.0099, 1e-4], Some(2)), 0.0, 1e-4_f64.ln());
        assert!(explored.target_readout().into_iter().fold(f64::NEG_INFINITY, f64::max) < -4.6);
    }

    #[test]
    fn tempering_keeps_a_distribution() {
        let probs = [0.6, 0.25, 0.1];
        let residual = 0.05;
        for t in 0..TEMPERATURES.len() {
            let at = |target: Option<usize>, prob: f64| {
                Atoms::of_enumeration(&answers(&probs, target), residual, prob.ln()).target_readout()[t].exp()
            };
            let found: f64 = (0..3).map(|i| at(Some(i), probs[i])).sum();
            // A quarter of what is unexplored; four such make it whole.
            assert!(close(found + 4.0 * at(None, residual / 4.0), 1.0));
        }
    }

    #[test]
    fn counts_have_half_a_draw_more() {
        let seen = Atoms::of_counts(Some(3), &[1, 0]).target_readout()[UNTEMPERED];
        assert!(close(seen.exp(), 3.5 / 6.0));
        let unseen = Atoms::of_counts(None, &[3, 1]).target_readout()[UNTEMPERED];
        assert!(close(unseen.exp(), 0.5 / 5.5));
    }

    #[test]
    fn what_is_excluded_stays_excluded() {
        let atoms = Atoms::of_options(&answers(&[1.0, 0.0], Some(1)), f64::NEG_INFINITY);
        assert!(atoms.target_readout().iter().all(|logprob| *logprob == f64::NEG_INFINITY));
    }
}
