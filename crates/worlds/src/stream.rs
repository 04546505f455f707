//! Random numbers that depend on a seed, a purpose and an index, and on nothing else.
//!
//! Each item owns the ChaCha8 stream (seed, purpose; index). Integers are drawn by multiplication with rejection (Lemire 2019, ACM
//! Trans. Model. Comput. Simul. 29), so they are exactly uniform, and the draws stay the same whatever a library of distributions does.

use std::ops::RangeInclusive;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for: two purposes with one seed never share draws.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    TrainProblem = 1,
    ValidationProblem = 2,
    TestProblem = 3,
    Noise = 4,
    ChannelLaw = 5,
    ChannelEpisode = 6,
    Aside = 7,
    AsideShare = 8,
}

/// One reproducible sequence of draws.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of one item.
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = purpose as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        Self(rng)
    }

    /// A uniform integer in 0..n, for n >= 1.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        let mut product = u64::from(self.0.next_u32()) * u64::from(n);
        if (product as u32) < n {
            let surplus = n.wrapping_neg() % n;
            while (product as u32) < surplus {
                product = u64::from(self.0.next_u32()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }

    /// A uniform integer of a range that is not empty.
    pub(crate) fn within(&mut self, range: RangeInclusive<i64>) -> i64 {
        let n = (range.end() - range.start() + 1) as u32;
        range.start() + i64::from(self.below(n))
    }

    /// A uniform number in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of the items, of which there is at least one.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u32) as usize]
    }

    /// An index with probability proportional to its weight; `None` if no weight is positive.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> Option<usize> {
        let total: u32 = weights.iter().sum();
        if total == 0 {
            return None;
        }
        let mut left = self.below(total);
        weights.iter().position(|&weight| {
            let hit = left < weight;
            left = left.wrapping_sub(weight);
            hit
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_each_part_of_their_key() {
        let first = |seed, purpose, index| Stream::new(seed, purpose, index).below(u32::MAX);
        let base = first(0, Purpose::Noise, 0);
        assert_eq!(base, first(0, Purpose::Noise, 0));
        assert_ne!(base, first(1, Purpose::Noise, 0));
        assert_ne!(base, first(0, Purpose::TestProblem, 0));
        assert_ne!(base, first(0, Purpose::Noise, 1));
    }

    #[test]
    fn weights_are_shares() {
        let mut stream = Stream::new(3, Purpose::Noise, 0);
        let mut counts = [0_u32; 3];
        for _ in 0..4000 {
            counts[stream.weighted(&[1, 0, 3]).unwrap()] += 1;
        }
        // 1000 expected; 6 standard deviations are 164.
        assert!(counts[0].abs_diff(1000) < 164 && counts[1] == 0);
        assert_eq!(stream.weighted(&[0, 0]), None);
    }
}
