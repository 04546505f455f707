//! Shannon entropy of a finite distribution, in nats.
//!
//! H(p) = −Σ_i p_i ln p_i with 0 ln 0 = 0, so 0 ≤ H ≤ ln n. Input is a slice of probabilities that sum to one.
//! Source: Shannon 1948, section 6.

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
    let sum: f64 = probs.into_iter().filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum();
    sum.max(0.0)
}
