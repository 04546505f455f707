//! Random numbers for tests: seeded, so that every run sees the same ones.

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in (0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + 0.5_f64.powi(54)
    }

    /// A whole number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    /// Counts of `m` independent draws.
    pub(crate) fn counts(&mut self, probs: &[f64], m: usize) -> Vec<usize> {
        let mut counts = vec![0; probs.len()];
        for _ in 0..m {
            let mut u = self.uniform();
            let drawn = probs.iter().position(|&p| {
                u -= p;
                u < 0.0
            });
            counts[drawn.unwrap_or(probs.len() - 1)] += 1;
        }
        counts
    }

    /// A random distribution over `n` outcomes; larger `sharpness` makes it less even.
    pub(crate) fn simplex(&mut self, n: usize, sharpness: f64) -> Vec<f64> {
        let weights: Vec<f64> = (0..n).map(|_| (-self.uniform().ln()).powf(sharpness)).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|w| w / sum).collect()
    }
}
