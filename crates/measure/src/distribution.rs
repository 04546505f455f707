//! The distribution of the answer at one prefix, as an estimator found it.
//!
//! Masses are kept with their logarithms, sorted from the most to the least likely, ties by the answer's name, so that the leader
//! is defined. They sum to 1 − `residual_mass`: the estimators `choices`, `sample` and `rollout` leave no residual, `enumerate`
//! leaves what it did not explore. `elicited_mass` is the share of the model's raw probability that went to answers at all.

use crate::answer::Answer;
use crate::entropy::EntropyInterval;

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
    /// Masses and residual do not sum to one within 1e-6.
    #[error("the masses sum to {0}, not to 1")]
    BadSum(f64),
    /// There is no mass at all.
    #[error("no answer has any mass")]
    Empty,
    /// Two entries carry one canonical answer.
    #[error("the answer {0:?} appears twice")]
    Repeated(String),
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
        if !((sum - 1.0).abs() <= SUM_TOLERANCE) {
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
}
