//! The distribution of the answer at one prefix, as an estimator found it.
//!
//! Masses are kept with their logarithms, sorted from the most to the least likely, ties by the answer's name, so that the leader
//! is defined. They sum to 1 − `residual_mass`: the estimators `choices`, `sample` and `rollout` leave no residual, `enumerate`
//! leaves what it did not explore. `elicited_mass` is the share of the model's raw probability that went to answers at all.
//!
//! Each estimator has its constructor:
//!
//! * `from_option_logprobs` (`choices`): raw ln q_i of every option; p_i = q_i/Σq, elicited Σq. The options are all there is, so H is
//!   exact.
//! * `from_enumeration` (`enumerate`): raw masses of the answers found, v of what declined to answer, r of what was not explored.
//!   p_i = m_i/(1 − v) and the residual r/(1 − v) sum to one; elicited 1 − v, an upper bound while part of r may decline as well. The
//!   interval of H is certified. Its point value is the entropy of the masses found, renormalised, after `reading_unexplored` with those
//!   of the strings that were not explored, each as the answer that it is so far.
//! * `from_counts` (`sample`, `rollout`): p_i = n_i/m. What cannot be read is an outcome with its own mass; elicited is the share of
//!   draws that could be read. H is the Miller–Madow value with a 95 % interval.

use crate::answer::Answer;
use crate::entropy::{
    EntropyInterval, certified_interval, sampled_interval, shannon_entropy, smoothed_logprob,
};
use std::collections::BTreeMap;

/// How an answer distribution was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Estimator {
    /// Log-probability of each listed option after a cue, renormalised over the options.
    Choices,
    /// Best-first expansion of the tree of answer strings after a cue.
    Enumerate,
    /// Sampled answers after a cue.
    Sample,
    /// Sampled continuations to the end of the trace.
    Rollout,
}

impl Estimator {
    /// All of them, in the order in which they are listed to people.
    pub const ALL: [Self; 4] = [Self::Choices, Self::Enumerate, Self::Sample, Self::Rollout];

    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Choices => "choices",
            Self::Enumerate => "enumerate",
            Self::Sample => "sample",
            Self::Rollout => "rollout",
        }
    }

    /// The inverse of `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.name() == name)
    }

    /// Whether the distribution is an empirical one over m draws.
    pub fn is_sampled(self) -> bool {
        matches!(self, Self::Sample | Self::Rollout)
    }
}

/// One answer and its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerMass {
    /// The answer.
    pub answer: Answer,
    /// Its probability.
    pub prob: f64,
    /// The natural logarithm of its probability; finite even where `prob` underflows, −∞ only for a count of zero.
    pub logprob: f64,
}

/// Why masses do not make a distribution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotADistribution {
    /// A mass is negative or not a number.
    #[error("the mass of answer {answer:?} is {prob}")]
    BadMass {
        /// Name of the answer.
        answer: String,
        /// Its mass.
        prob: f64,
    },
    /// Masses and residual do not sum to one within the tolerance.
    #[error("the masses sum to {0}, not to 1")]
    BadSum(f64),
    /// There is no mass at all.
    #[error("no answer has any mass")]
    Empty,
    /// Two entries carry one canonical answer.
    #[error("the answer {0:?} appears twice")]
    Repeated(String),
    /// The model put no probability on any answer, so that shares of it are undefined.
    #[error("the model gave no probability to any answer (hint: another answer cue may elicit one)")]
    NothingElicited,
    /// There are not as many labels as log-probabilities.
    #[error("{labels} labels for {logprobs} log-probabilities")]
    Uneven {
        /// Number of labels.
        labels: usize,
        /// Number of log-probabilities.
        logprobs: usize,
    },
}

/// What the model would answer at one prefix.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerDistribution {
    masses: Vec<AnswerMass>,
    residual_mass: f64,
    /// The estimator that found it.
    pub estimator: Estimator,
    /// Entropy in nats with the interval that the estimator vouches for.
    pub entropy: EntropyInterval,
    /// Log-probability of the target in nats; `None` where the question has no target. For sampled distributions it is smoothed,
    /// so that it stays finite (see `entropy::smoothed_logprob`).
    pub target_logprob: Option<f64>,
    /// Share of raw probability that answers took; `None` where the estimator does not see it.
    pub elicited_mass: Option<f64>,
    /// Number of draws m of a sampled distribution.
    pub n_samples: Option<usize>,
    /// Entropy in nats of the next token after prefix and cue, over the whole vocabulary; `None` where the estimator asks nothing after
    /// a cue, and until it says.
    pub cue_entropy: Option<f64>,
}

/// Tolerance on the sum of masses.
pub const SUM_TOLERANCE: f64 = 1e-6;

impl AnswerDistribution {
    /// Checks and sorts the masses. `residual_mass` is the probability of answers that were not explored.
    pub fn new(
        estimator: Estimator,
        mut masses: Vec<AnswerMass>,
        residual_mass: f64,
        entropy: EntropyInterval,
    ) -> Result<Self, NotADistribution> {
        if masses.is_empty() {
            return Err(NotADistribution::Empty);
        }
        masses.sort_by(|a, b| b.logprob.total_cmp(&a.logprob).then_with(|| a.answer.cmp(&b.answer)));
        let mut sum = residual_mass;
        for (i, mass) in masses.iter().enumerate() {
            if !(mass.prob >= 0.0 && mass.prob <= 1.0 + SUM_TOLERANCE) {
                return Err(NotADistribution::BadMass { answer: mass.answer.name().into(), prob: mass.prob });
            }
            if masses[..i].iter().any(|m| m.answer == mass.answer) {
                return Err(NotADistribution::Repeated(mass.answer.name().into()));
            }
            sum += mass.prob;
        }
        if sum.is_nan() || (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(NotADistribution::BadSum(sum));
        }
        Ok(Self {
            masses,
            residual_mass,
            estimator,
            entropy,
            target_logprob: None,
            elicited_mass: None,
            n_samples: None,
            cue_entropy: None,
        })
    }

    /// Answers with their probabilities, the most likely first.
    pub fn masses(&self) -> &[AnswerMass] {
        &self.masses
    }

    /// The most likely answer.
    pub fn leader(&self) -> &AnswerMass {
        &self.masses[0]
    }

    /// Probability that was left unexplored.
    pub fn residual_mass(&self) -> f64 {
        self.residual_mass
    }

    /// Probability of one answer; 0 where it was not found.
    pub fn prob(&self, answer: &Answer) -> f64 {
        self.masses.iter().find(|m| &m.answer == answer).map_or(0.0, |m| m.prob)
    }

    /// The distribution over the listed options from the raw log-probability of each, renormalised.
    ///
    /// The elicited mass is `None` where the raw probabilities sum to more than 1: then one option's text begins another's, and the
    /// sum is the probability of no event. The target's log-probability is −∞ only where the model excludes it.
    pub fn from_option_logprobs(
        labels: &[String],
        logprobs: &[f64],
        target: Option<&Answer>,
    ) -> Result<Self, NotADistribution> {
        if labels.len() != logprobs.len() {
            return Err(NotADistribution::Uneven { labels: labels.len(), logprobs: logprobs.len() });
        }
        let options = labels.iter().map(|label| Answer::Value(label.clone()));
        let raw: Vec<(Answer, f64)> = options.zip(logprobs.iter().copied()).collect();
        check_logprobs(&raw)?;
        let ln_sum = ln_sum_exp(raw.iter().map(|r| r.1));
        let masses = scaled_masses(raw, ln_sum)?;
        let entropy = EntropyInterval::exact(shannon_entropy(masses.iter().map(|m| m.prob)));
        let mut distribution = Self::new(Estimator::Choices, masses, 0.0, entropy)?;
        distribution.elicited_mass = (ln_sum <= SUM_TOLERANCE).then(|| ln_sum.exp().min(1.0));
        distribution.target_logprob = distribution.logprob_of(target);
        Ok(distribution)
    }

    /// The distribution over the listed options where the raw log-probability of some is not known: together they have at most `untold`.
    ///
    /// Masses are those of the known options, normalised as if the others had all of `untold`, which stays as the residual; the interval
    /// of H holds whatever part of it they have. The target's log-probability is `None` where it is not among the known.
    pub fn from_some_options(
        labels: &[String],
        logprobs: &[Option<f64>],
        untold: f64,
        target: Option<&Answer>,
    ) -> Result<Self, NotADistribution> {
        if labels.len() != logprobs.len() {
            return Err(NotADistribution::Uneven { labels: labels.len(), logprobs: logprobs.len() });
        }
        let options = labels.iter().map(|label| Answer::Value(label.clone())).zip(logprobs);
        let known: Vec<(Answer, f64)> =
            options.filter_map(|(answer, logprob)| logprob.map(|logprob| (answer, logprob))).collect();
        let n_unknown = labels.len() - known.len();
        let known_mass: f64 = known.iter().map(|(_, logprob)| logprob.exp()).sum();
        let untold = untold.min((1.0 - known_mass).max(0.0));
        let others = (1.0 - known_mass - untold).max(0.0);
        let ln_n_unknown = (n_unknown > 0).then(|| (n_unknown as f64).ln());
        let found = Self::from_enumeration(known, others.ln(), untold, ln_n_unknown, target)?;
        Ok(Self { estimator: Estimator::Choices, ..found })
    }

    /// The distribution over answers found by enumeration.
    ///
    /// `found` holds raw log-masses; entries of one answer (its surface forms) are added up. `invalid_logmass` is the log-mass of what
    /// left the grammar (−∞ for none), `residual` the probability that was not explored, `ln_n_unfound` the logarithm of the number of
    /// answers that could still be found (`None` where all have been). Together the raw masses are one, up to rounding of 1e-3. The
    /// target's log-probability is `None` where it was not found: what it has of the residual is unknown.
    ///
    /// The interval also holds where part u of the residual r turns out to decline. The true masses are then (m_i + a_i)/(1 − v − u),
    /// with a ≥ 0 and Σa = r − u over found and unfound answers. Each is at least m_i/(1 − v), since a_i ≥ 0 and the denominator is
    /// smaller; and they sum to one. So they are m_i/(1 − v) + b_i with b ≥ 0 and Σb = r/(1 − v): one of the completions over which
    /// the interval is certified.
    pub fn from_enumeration(
        found: Vec<(Answer, f64)>,
        invalid_logmass: f64,
        residual: f64,
        ln_n_unfound: Option<f64>,
        target: Option<&Answer>,
    ) -> Result<Self, NotADistribution> {
        let found = add_surface_forms(found);
        check_logprobs(&found)?;
        let residual = residual.max(0.0);
        // ln(1 − v) as the sum of all else, which keeps its precision where v is close to one.
        let ln_elicited = ln_sum_exp(found.iter().map(|f| f.1).chain([residual.ln()]));
        let total = ln_elicited.exp() + invalid_logmass.exp();
        if total.is_nan() || (total - 1.0).abs() > RAW_TOLERANCE {
            return Err(NotADistribution::BadSum(total));
        }
        let masses = scaled_masses(found, ln_elicited)?;
        let residual = (residual.ln() - ln_elicited).exp();
        let probs: Vec<f64> = masses.iter().map(|m| m.prob).collect();
        let entropy =
            certified_interval(&probs, residual, ln_n_unfound).ok_or(NotADistribution::NothingElicited)?;
        let mut distribution = Self::new(Estimator::Enumerate, masses, residual, entropy)?;
        distribution.elicited_mass = Some((ln_elicited.exp() / total).min(1.0));
        distribution.target_logprob = target.and_then(|t| distribution.mass_of(t)).map(|m| m.logprob);
        Ok(distribution)
    }

    /// Takes the entropy's point value from what unexplored strings read as so far: answers, each with its share of the residual.
    ///
    /// That is one of the completions over which the interval is certified (a string `3` answers 3 where `34` may follow), and closer
    /// than the masses found alone, which miss the many answers with little mass. Shares that are not given are spread in proportion.
    #[must_use]
    pub fn reading_unexplored(mut self, shares: &[(Answer, f64)]) -> Self {
        let mut masses: BTreeMap<&Answer, f64> = self.masses.iter().map(|m| (&m.answer, m.prob)).collect();
        for (answer, share) in shares {
            *masses.entry(answer).or_default() += share * self.residual_mass;
        }
        let sum: f64 = masses.values().sum();
        let nats = shannon_entropy(masses.values().map(|mass| mass / sum));
        self.entropy.nats = nats.clamp(self.entropy.lower, self.entropy.upper);
        self
    }

    /// The empirical distribution of drawn answers; answers counted zero times are left out.
    ///
    /// `n_support` is the number of possible outcomes where it is known (the options, and one for what cannot be read); it makes the
    /// interval of H shorter. The target's log-probability is smoothed over two outcomes, the target and any other.
    pub fn from_counts(
        estimator: Estimator,
        counts: Vec<(Answer, usize)>,
        n_support: Option<usize>,
        target: Option<&Answer>,
    ) -> Result<Self, NotADistribution> {
        let numbers: Vec<usize> = counts.iter().map(|c| c.1).collect();
        let entropy = sampled_interval(&numbers, n_support).ok_or(NotADistribution::Empty)?;
        let n_draws: usize = numbers.iter().sum();
        let count_of = |wanted: &Answer| counts.iter().find(|c| &c.0 == wanted).map_or(0, |c| c.1);
        let n_invalid = count_of(&Answer::Invalid);
        let target_logprob = target.map(|t| smoothed_logprob(count_of(t), n_draws, 2));
        let seen = counts.into_iter().filter(|c| c.1 > 0).map(|(answer, count)| {
            let prob = count as f64 / n_draws as f64;
            AnswerMass { answer, prob, logprob: prob.ln() }
        });
        let mut distribution = Self::new(estimator, seen.collect(), 0.0, entropy)?;
        distribution.elicited_mass = Some(1.0 - n_invalid as f64 / n_draws as f64);
        distribution.target_logprob = target_logprob;
        distribution.n_samples = Some(n_draws);
        Ok(distribution)
    }

    fn mass_of(&self, answer: &Answer) -> Option<&AnswerMass> {
        self.masses.iter().find(|m| &m.answer == answer)
    }

    /// −∞ for a target that is not among the answers.
    fn logprob_of(&self, target: Option<&Answer>) -> Option<f64> {
        target.map(|t| self.mass_of(t).map_or(f64::NEG_INFINITY, |m| m.logprob))
    }
}

/// Tolerance on the sum of raw masses, which are rounded as the model's arithmetic rounds them.
const RAW_TOLERANCE: f64 = 1e-3;

fn check_logprobs(raw: &[(Answer, f64)]) -> Result<(), NotADistribution> {
    match raw.iter().find(|r| r.1.is_nan() || r.1 > RAW_TOLERANCE) {
        Some((answer, logprob)) => {
            Err(NotADistribution::BadMass { answer: answer.name().into(), prob: logprob.exp() })
        }
        None => Ok(()),
    }
}

/// One entry for each answer, in order of first appearance.
fn add_surface_forms(found: Vec<(Answer, f64)>) -> Vec<(Answer, f64)> {
    let mut sums: Vec<(Answer, f64)> = Vec::new();
    for (answer, logmass) in found {
        match sums.iter_mut().find(|s| s.0 == answer) {
            Some(sum) => sum.1 = ln_sum_exp([sum.1, logmass]),
            None => sums.push((answer, logmass)),
        }
    }
    sums
}

/// Masses divided by e^`ln_sum`.
fn scaled_masses(raw: Vec<(Answer, f64)>, ln_sum: f64) -> Result<Vec<AnswerMass>, NotADistribution> {
    if raw.is_empty() {
        return Err(NotADistribution::Empty);
    }
    if ln_sum == f64::NEG_INFINITY {
        return Err(NotADistribution::NothingElicited);
    }
    let scaled = raw.into_iter().map(|(answer, logmass)| {
        let logprob = logmass - ln_sum;
        AnswerMass { answer, prob: logprob.exp(), logprob }
    });
    Ok(scaled.collect())
}

/// ln Σ e^x without overflow or underflow; −∞ for nothing.
fn ln_sum_exp(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() { top } else { top + values.iter().map(|v| (v - top).exp()).sum::<f64>().ln() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn value(name: &str) -> Answer {
        Answer::Value(name.into())
    }

    fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn options_are_renormalised_and_the_raw_mass_is_kept() {
        let raw = [0.3_f64.ln(), 0.1_f64.ln()];
        let d =
            AnswerDistribution::from_option_logprobs(&labels(&["A", "B"]), &raw, Some(&value("B"))).unwrap();
        assert_eq!(d.leader().answer, value("A"));
        assert!((d.prob(&value("A")) - 0.75).abs() < 1e-12);
        assert!((d.elicited_mass.unwrap() - 0.4).abs() < 1e-12);
        assert!((d.target_logprob.unwrap() - 0.25_f64.ln()).abs() < 1e-12);
        assert!((d.entropy.nats - shannon_entropy([0.75, 0.25])).abs() < 1e-12);
    }

    #[test]
    fn options_far_below_the_smallest_float_keep_their_logarithms() {
        let d = AnswerDistribution::from_option_logprobs(
            &labels(&["A", "B"]),
            &[-2000.0, -3000.0],
            Some(&value("B")),
        );
        let d = d.unwrap();
        assert!((d.target_logprob.unwrap() + 1000.0).abs() < 1e-9);
        assert!((d.leader().prob - 1.0).abs() < 1e-15);
    }

    #[test]
    fn options_that_overlap_have_no_elicited_mass() {
        let d = AnswerDistribution::from_option_logprobs(&labels(&["1", "10"]), &[-0.1, -0.2], None).unwrap();
        assert_eq!(d.elicited_mass, None);
        assert_eq!(d.target_logprob, None);
    }

    #[test]
    fn options_that_are_not_told_are_in_the_interval() {
        let names = labels(&["A", "B", "C", "D"]);
        let truth = [0.4_f64, 0.2, 0.05, 0.01];
        let exact =
            AnswerDistribution::from_option_logprobs(&names, &truth.map(f64::ln), None).unwrap().entropy.nats;
        let told = [Some(truth[0].ln()), Some(truth[1].ln()), None, None];
        let d = AnswerDistribution::from_some_options(&names, &told, 0.1, Some(&value("C"))).unwrap();
        assert_eq!((d.estimator, d.target_logprob), (Estimator::Choices, None));
        assert!((d.residual_mass() - 0.1 / 0.7).abs() < 1e-12, "{d:?}");
        assert!(d.entropy.lower <= exact && exact <= d.entropy.upper, "{exact} in {:?}", d.entropy);
        let all = truth.map(|p| Some(p.ln()));
        let d = AnswerDistribution::from_some_options(&names, &all, 0.0, None).unwrap();
        assert!((d.entropy.nats - exact).abs() < 1e-12);
    }

    #[test]
    fn bad_options_are_refused() {
        let make =
            |names: &[&str], raw: &[f64]| AnswerDistribution::from_option_logprobs(&labels(names), raw, None);
        let none = f64::NEG_INFINITY;
        assert_eq!(make(&["A", "B"], &[none, none]).unwrap_err(), NotADistribution::NothingElicited);
        assert_eq!(
            make(&["A"], &[0.0, 0.0]).unwrap_err(),
            NotADistribution::Uneven { labels: 1, logprobs: 2 }
        );
        assert!(matches!(make(&["A"], &[f64::NAN]), Err(NotADistribution::BadMass { .. })));
        assert!(matches!(make(&["A"], &[1.0]), Err(NotADistribution::BadMass { .. })));
        assert!(matches!(make(&["A", "A"], &[-1.0, -1.0]), Err(NotADistribution::Repeated(_))));
        assert_eq!(make(&[], &[]).unwrap_err(), NotADistribution::Empty);
        let excluded =
            AnswerDistribution::from_option_logprobs(&labels(&["A"]), &[-1.0], Some(&value("B"))).unwrap();
        assert_eq!(excluded.target_logprob, Some(f64::NEG_INFINITY));
    }

    #[test]
    fn an_enumeration_is_divided_by_what_was_elicited() {
        let found =
            vec![(value("18"), 0.2_f64.ln()), (value("9"), 0.1_f64.ln()), (value("18"), 0.2_f64.ln())];
        let d = AnswerDistribution::from_enumeration(found, 0.2_f64.ln(), 0.3, Some(5.0), Some(&value("9")))
            .unwrap();
        assert!((d.prob(&value("18")) - 0.5).abs() < 1e-12);
        assert!((d.residual_mass() - 0.375).abs() < 1e-12);
        assert!((d.elicited_mass.unwrap() - 0.8).abs() < 1e-12);
        assert!((d.target_logprob.unwrap() - 0.125_f64.ln()).abs() < 1e-12);
        assert!((d.entropy.nats - shannon_entropy([0.8, 0.2])).abs() < 1e-12);
        assert!((d.entropy.lower - shannon_entropy([0.875, 0.125])).abs() < 1e-12);
        assert!(d.entropy.upper > 1.0);
    }

    #[test]
    fn unexplored_strings_are_read_as_they_stand() {
        let found = vec![(value("18"), 0.4_f64.ln()), (value("9"), 0.1_f64.ln())];
        let d = AnswerDistribution::from_enumeration(found, 0.2_f64.ln(), 0.3, Some(5.0), None).unwrap();
        let (masses, lower) = (d.masses().to_vec(), d.entropy.lower);
        let d = d.reading_unexplored(&[(value("18"), 0.5), (value("7"), 0.25)]);
        // Of 0.375, 0.1875 go to 18 and 0.09375 to 7; the rest is spread.
        let expected = shannon_entropy([0.6875, 0.125, 0.09375].map(|mass| mass / 0.90625));
        assert!((d.entropy.nats - expected).abs() < 1e-12);
        assert_eq!((d.masses(), d.entropy.lower.to_bits()), (masses.as_slice(), lower.to_bits()));
    }

    #[test]
    fn an_enumeration_needs_something_found() {
        let make = |found: Vec<(Answer, f64)>, invalid: f64, residual| {
            AnswerDistribution::from_enumeration(found, invalid, residual, Some(1.0), Some(&value("9")))
        };
        let zero = vec![(value("18"), f64::NEG_INFINITY)];
        assert_eq!(make(vec![], 0.0, 0.0).unwrap_err(), NotADistribution::Empty);
        assert_eq!(make(zero.clone(), 0.0, 0.0).unwrap_err(), NotADistribution::NothingElicited);
        assert_eq!(make(zero, 0.5_f64.ln(), 0.5).unwrap_err(), NotADistribution::NothingElicited);
        assert!(matches!(make(vec![(value("18"), -1.0)], -1.0, 0.1), Err(NotADistribution::BadSum(_))));
        // An answer with next to no probability is found, and the target is not.
        let d = make(vec![(value("18"), -80.0)], 0.0, 0.0).unwrap();
        assert!((d.leader().prob - 1.0).abs() < 1e-15 && d.target_logprob.is_none());
        assert!(d.elicited_mass.unwrap() < 1e-30);
    }

    #[test]
    fn unexplored_mass_that_declines_stays_within_the_interval() {
        let mut random = Random::new(41);
        for _ in 0..1000 {
            // Raw masses of three found answers, two unfound ones, found invalid text, and unexplored invalid text.
            let raw = random.simplex(7, 3.0);
            let found = (0..3).map(|i| (value(&i.to_string()), raw[i].ln())).collect();
            let residual = raw[3] + raw[4] + raw[6];
            let d =
                AnswerDistribution::from_enumeration(found, raw[5].ln(), residual, Some(2_f64.ln()), None)
                    .unwrap();
            let answered: f64 = raw[..5].iter().sum();
            let truth = shannon_entropy(raw[..5].iter().map(|m| m / answered));
            assert!(d.entropy.lower <= truth + 1e-9 && truth <= d.entropy.upper + 1e-9, "{d:?} {truth}");
        }
    }

    #[test]
    fn counts_keep_what_cannot_be_read() {
        let counts = vec![(value("4"), 12), (Answer::Invalid, 4), (value("5"), 0)];
        let d = AnswerDistribution::from_counts(Estimator::Rollout, counts, None, Some(&value("5"))).unwrap();
        assert_eq!(d.masses().len(), 2);
        assert!(
            (d.prob(&Answer::Invalid) - 0.25).abs() < 1e-15
                && (d.elicited_mass.unwrap() - 0.75).abs() < 1e-15
        );
        assert_eq!((d.n_samples, d.estimator), (Some(16), Estimator::Rollout));
        assert!((d.target_logprob.unwrap() - (0.5_f64 / 17.0).ln()).abs() < 1e-12);
        assert!(d.entropy.lower < d.entropy.nats && d.entropy.nats < d.entropy.upper);
        let empty = AnswerDistribution::from_counts(Estimator::Sample, vec![(value("4"), 0)], None, None);
        assert_eq!(empty.unwrap_err(), NotADistribution::Empty);
    }

    #[test]
    fn ties_are_led_by_the_first_name() {
        let counts = vec![(value("b"), 3), (value("a"), 3)];
        let d = AnswerDistribution::from_counts(Estimator::Sample, counts, None, None).unwrap();
        assert_eq!(d.leader().answer, value("a"));
    }
}
