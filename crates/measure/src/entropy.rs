//! Shannon entropy of a finite distribution, in nats, and what is known of it when the distribution is not fully known.
//!
//! H(p) = −Σ_i p_i ln p_i with 0 ln 0 = 0, so 0 ≤ H ≤ ln n. Input is a slice of probabilities that sum to one.
//! Source: Shannon 1948, section 6. Below it are
//!
//! * `counts`: estimates from counts of draws (plug-in, Miller–Madow, Chao–Shen) and a smoothed log-probability,
//! * `nsb`: the Bayesian estimate with its posterior deviation,
//! * `likelihood`: the interval that goes with counts,
//! * `certified`: the interval that holds for every completion of a distribution with unexplored mass,
//! * `truncated`: bounds from the most likely entries alone.

mod certified;
mod counts;
mod likelihood;
mod nsb;
mod truncated;

pub use certified::certified_interval;
pub use counts::{assumed_support, chao_shen, miller_madow, plug_in, smoothed_logprob};
pub use likelihood::sampled_interval;
pub use nsb::{Nsb, nsb};
pub use truncated::truncated_bounds;

/// An entropy in nats with the interval in which it lies.
///
/// For exact distributions the three are equal; for `enumerate` the interval is certain; for sampled ones it is a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EntropyInterval {
    /// Point value.
    pub nats: f64,
    /// Lower end, ≥ 0.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

impl EntropyInterval {
    /// An entropy without error.
    pub fn exact(nats: f64) -> Self {
        Self { nats, lower: nats, upper: nats }
    }
}

/// −Σ p ln p over positive entries, never negative.
pub fn shannon_entropy(probs: impl IntoIterator<Item = f64>) -> f64 {
    let sum: f64 = probs.into_iter().map(surprise).sum();
    sum.max(0.0)
}

/// −p ln p, 0 for p ≤ 0.
pub(crate) fn surprise(prob: f64) -> f64 {
    if prob > 0.0 { -prob * prob.ln() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_and_certain_distributions() {
        for n in 1..20 {
            let uniform = shannon_entropy(std::iter::repeat_n(1.0 / n as f64, n));
            assert!((uniform - (n as f64).ln()).abs() < 1e-12);
        }
        assert_eq!(shannon_entropy([1.0, 0.0]).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn grouping_splits_the_entropy() {
        // H(p) = H(groups) + Σ P(group) H(within the group)
        let within = 0.6 * shannon_entropy([0.5, 0.5]) + 0.4 * shannon_entropy([0.25, 0.75]);
        let whole = shannon_entropy([0.3, 0.3, 0.1, 0.3]);
        assert!((whole - shannon_entropy([0.6, 0.4]) - within).abs() < 1e-12);
    }
}
