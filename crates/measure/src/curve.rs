//! The entropy curve of one trace: its answer distributions along its prefixes.
//!
//! Input: prefixes and their distributions, `[K + 1]` each. Output: per prefix the relative depth s = k/K (1 for a trace without
//! steps), the entropy H_k, its drop H_{k−1} − H_k, the log-probability of the target ℓ_k and the information gained
//! g_k = ℓ_k − ℓ_0, all in nats. A curve may be known at some of the prefixes only: then a drop is undefined where the prefix before was not
//! measured. Source: arXiv:2604.06192.

use crate::distribution::AnswerDistribution;
use crate::prefix::Prefix;

/// What is known of the answer at one prefix.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePoint {
    /// The prefix.
    pub prefix: Prefix,
    /// Relative depth k/K in [0, 1].
    pub depth: f64,
    /// Belief about the answer.
    pub distribution: AnswerDistribution,
    /// H_{k−1} − H_k in nats; `None` at k = 0, and where H_{k−1} is not known.
    pub entropy_drop: Option<f64>,
    /// ℓ_k − ℓ_0 in nats; `None` without a target.
    pub information_gain: Option<f64>,
}

/// The curve of one trace.
#[derive(Debug, Clone, PartialEq)]
pub struct EntropyCurve {
    points: Vec<CurvePoint>,
}

/// Prefixes and distributions do not pair up, or there are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a curve needs one distribution for each prefix and at least one, found {prefixes} prefixes and {distributions} distributions"
)]
pub struct NotACurve {
    /// Number of prefixes.
    pub prefixes: usize,
    /// Number of distributions.
    pub distributions: usize,
}

impl EntropyCurve {
    /// Pairs each prefix with its distribution.
    pub fn new(prefixes: &[Prefix], distributions: Vec<AnswerDistribution>) -> Result<Self, NotACurve> {
        Self::at_some(prefixes.last().map_or(0, |last| last.step), prefixes, distributions)
    }

    /// The curve of a trace of `n_steps` steps at some of its prefixes, in their order, the question alone first.
    pub fn at_some(
        n_steps: usize,
        prefixes: &[Prefix],
        distributions: Vec<AnswerDistribution>,
    ) -> Result<Self, NotACurve> {
        if prefixes.len() != distributions.len() || prefixes.is_empty() {
            return Err(NotACurve { prefixes: prefixes.len(), distributions: distributions.len() });
        }
        let mut points: Vec<CurvePoint> = Vec::with_capacity(prefixes.len());
        for (&prefix, distribution) in prefixes.iter().zip(distributions) {
            let depth = if n_steps == 0 { 1.0 } else { prefix.step as f64 / n_steps as f64 };
            let before = points.last().filter(|point| point.prefix.step + 1 == prefix.step);
            let entropy_drop = before.map(|p| p.distribution.entropy.nats - distribution.entropy.nats);
            let start = points.first().map_or(distribution.target_logprob, |p| p.distribution.target_logprob);
            let information_gain = distribution.target_logprob.zip(start).map(|(now, start)| now - start);
            points.push(CurvePoint { prefix, depth, distribution, entropy_drop, information_gain });
        }
        Ok(Self { points })
    }

    /// The points, the question alone first.
    pub fn points(&self) -> &[CurvePoint] {
        &self.points
    }

    /// Belief before any reasoning.
    pub fn first(&self) -> &CurvePoint {
        &self.points[0]
    }

    /// Belief after the whole trace.
    pub fn last(&self) -> &CurvePoint {
        &self.points[self.points.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Estimator};

    #[test]
    fn a_curve_at_some_prefixes_has_their_depths_and_no_drop_across_a_gap() {
        let value = |name: &str| Answer::Value(name.into());
        let belief = |hits: usize| {
            let counts = vec![(value("1"), hits), (value("2"), 8 - hits)];
            AnswerDistribution::from_counts(Estimator::Rollout, counts, None, Some(&value("1"))).unwrap()
        };
        let prefixes = [0, 2, 3, 4].map(|step| Prefix { step, n_tokens: 5 * step });
        let beliefs = [4, 5, 7, 8].map(belief).to_vec();
        let curve = EntropyCurve::at_some(4, &prefixes, beliefs).unwrap();
        let points = curve.points();
        assert!(points.iter().map(|p| p.depth).eq([0.0, 0.5, 0.75, 1.0]));
        assert!(points.iter().map(|p| p.entropy_drop.is_some()).eq([false, false, true, true]));
        assert!(points.iter().all(|p| p.information_gain.is_some()));
    }
}
