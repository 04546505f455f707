//! Random numbers that depend on a seed, a purpose and an index, and on nothing else.
//!
//! Every replicate of a resampling method owns the ChaCha8 stream (seed, purpose; index), so its draws are the same
//! whatever thread makes them and in whatever order. Integers are drawn by multiplication with rejection
//! (Lemire 2019, ACM Trans. Model. Comput. Simul. 29), so they are exactly uniform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for: two methods with one seed never share draws.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Bootstrap = 1,
    SignFlip = 2,
    Permutation = 3,
    Folds = 4,
}

/// One reproducible sequence of draws.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of one replicate.
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = purpose as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        Self(rng)
    }

    /// Sixty-four random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform integer in 0..n, for n >= 1.
    pub(crate) fn below(&mut self, n: u32) -> usize {
        let mut product = u64::from(self.0.next_u32()) * u64::from(n);
        if (product as u32) < n {
            let surplus = n.wrapping_neg() % n;
            while (product as u32) < surplus {
                product = u64::from(self.0.next_u32()) * u64::from(n);
            }
        }
        (product >> 32) as usize
    }

    /// Puts the items into uniformly random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u32 + 1));
        }
    }
}

#[cfg(test)]
impl Stream {
    /// A uniform number in (0, 1), for simulations.
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// A standard normal number, for simulations.
    pub(crate) fn normal(&mut self) -> f64 {
        crate::distribution::normal_quantile(self.uniform()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_uniform() {
        let mut stream = Stream::new(7, Purpose::Bootstrap, 0);
        let mut counts = [0_i32; 6];
        for _ in 0..60_000 {
            counts[stream.below(6)] += 1;
        }
        // Each count has standard deviation 91; a false alarm at 500 has probability below 1e-6.
        assert!(counts.iter().all(|count| (count - 10_000).abs() < 500), "{counts:?}");
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_index() {
        let first = |seed, purpose, index| Stream::new(seed, purpose, index).bits();
        let base = first(1, Purpose::Bootstrap, 0);
        assert_eq!(base, first(1, Purpose::Bootstrap, 0));
        assert_ne!(base, first(2, Purpose::Bootstrap, 0));
        assert_ne!(base, first(1, Purpose::Permutation, 0));
        assert_ne!(base, first(1, Purpose::Bootstrap, 1));
    }
}
