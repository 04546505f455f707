//! The entropy curve of one trace: its answer distributions along its prefixes.
//!
//! Input: prefixes and their distributions, `[K + 1]` each. Output: per prefix the relative depth s = k/K (1 for a trace without
//! steps), the entropy H_k, its drop H_{k−1} − H_k, the log-probability of the target ℓ_k and the information gained
//! g_k = ℓ_k − ℓ_0, all in nats. Source: arXiv:2604.06192.

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
    /// H_{k−1} − H_k in nats; `None` at k = 0.
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
        if prefixes.len() != distributions.len() || prefixes.is_empty() {
            return Err(NotACurve { prefixes: prefixes.len(), distributions: distributions.len() });
        }
        let last_step = prefixes.len() - 1;
        let mut points: Vec<CurvePoint> = Vec::with_capacity(prefixes.len());
        for (k, (&prefix, distribution)) in prefixes.iter().zip(distributions).enumerate() {
            let depth = if last_step == 0 { 1.0 } else { k as f64 / last_step as f64 };
            let entropy_drop = points.last().map(|p| p.distribution.entropy.nats - distribution.entropy.nats);
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
