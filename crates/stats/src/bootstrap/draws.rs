//! How often each cluster is drawn, in all replicates.
//!
//! This depends on the seed, on the number of clusters and on that of replicates, and a report asks for the same draws for dozens of statistics.
//! While draws are kept ([`keep`]) they are made once.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::Resampling;
use crate::stream::{Purpose, Stream};

/// Replicates that stand side by side: sums, which may be larger than any cache, are read once for all of them.
pub(super) const TOGETHER: usize = 8;

/// How often a cluster is drawn in replicates that stand side by side. That one is drawn more than 255 times has a probability below 1e-500.
pub(super) type Times = [u8; TOGETHER];

/// Most bytes of draws that are kept.
const KEPT_BYTES: usize = 32 << 20;

/// The draws that were last kept, as long as they are.
static KEPT: Mutex<Weak<Draws>> = Mutex::new(Weak::new());

/// The draws of all replicates, as long as this lives. They are made when they are first asked for.
#[derive(Debug)]
#[must_use]
pub struct Kept {
    _draws: Option<Arc<Draws>>,
}

/// Keeps the draws from so many clusters for statistics of columns that are resampled in the same way, unless they are too many. They take the
/// place of those that another call keeps, which are then made anew for each statistic.
pub fn keep(n_clusters: usize, resampling: &Resampling) -> Kept {
    let draws = (n_clusters.saturating_mul(resampling.replicates) <= KEPT_BYTES).then(|| {
        let draws = Arc::new(Draws::new(n_clusters, resampling));
        *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&draws);
        draws
    });
    Kept { _draws: draws }
}

/// The draws of all replicates, in blocks of replicates that stand side by side.
#[derive(Debug)]
pub(super) struct Draws {
    n_clusters: usize,
    replicates: usize,
    seed: u64,
    /// Empty where draws are not kept.
    blocks: Vec<OnceLock<Vec<Times>>>,
}

impl Draws {
    fn new(n_clusters: usize, resampling: &Resampling) -> Self {
        let blocks = (0..resampling.replicates.div_ceil(TOGETHER)).map(|_| OnceLock::new()).collect();
        Self { blocks, ..Self::fleeting(n_clusters, resampling) }
    }

    fn fleeting(n_clusters: usize, resampling: &Resampling) -> Self {
        Self { n_clusters, replicates: resampling.replicates, seed: resampling.seed, blocks: Vec::new() }
    }

    /// Those that are kept, if they are these.
    pub(super) fn of(n_clusters: usize, resampling: &Resampling) -> Arc<Self> {
        let wanted = (n_clusters, resampling.replicates, resampling.seed);
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        kept.filter(|kept| (kept.n_clusters, kept.replicates, kept.seed) == wanted)
            .unwrap_or_else(|| Arc::new(Self::fleeting(n_clusters, resampling)))
    }

    /// Gives the draws of a block, one for each cluster, to a function.
    pub(super) fn with_block<T>(&self, block: usize, function: impl FnOnce(&[Times]) -> T) -> T {
        match self.blocks.get(block) {
            Some(kept) => function(kept.get_or_init(|| self.drawn(block))),
            None => function(&self.drawn(block)),
        }
    }

    /// Replicates beyond the last one draw nothing.
    fn drawn(&self, block: usize) -> Vec<Times> {
        let mut times = vec![Times::default(); self.n_clusters];
        let mut of_replicate = vec![0_u8; self.n_clusters];
        for (place, replicate) in (block * TOGETHER..self.replicates).take(TOGETHER).enumerate() {
            of_replicate.fill(0);
            draw(self.n_clusters, self.seed, replicate, |cluster| {
                of_replicate[cluster] = of_replicate[cluster].saturating_add(1);
            });
            times.iter_mut().zip(&of_replicate).for_each(|(times, &drawn)| times[place] = drawn);
        }
        times
    }
}

/// Draws as many clusters as there are, with replacement.
pub(super) fn draw(n_clusters: usize, seed: u64, replicate: usize, mut take: impl FnMut(usize)) {
    let mut stream = Stream::new(seed, Purpose::Bootstrap, replicate as u64);
    for _ in 0..n_clusters {
        take(stream.below(n_clusters as u32));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Resampled, replicates};
    use super::*;
    use crate::cluster::ClusterSums;

    #[test]
    fn draws_side_by_side_and_kept_are_those_of_each_replicate() {
        let (n_clusters, n_columns) = (600, 3);
        let mut stream = Stream::new(1, Purpose::Permutation, 94);
        let mut sums = ClusterSums::new(n_clusters, n_columns);
        for cluster in 0..n_clusters {
            for column in 0..=cluster % n_columns {
                sums.add(cluster, column, stream.uniform(), 1.0);
            }
        }
        let resampling = Resampling { replicates: 2 * TOGETHER + 3, ..Resampling::default() };
        let one_by_one = replicates(n_clusters, &resampling, |times| sums.resampled_ratios(times));
        let _kept = keep(n_clusters, &resampling);
        for _ in 0..2 {
            assert_eq!(Resampled::new(&sums, &resampling).ratios, one_by_one);
        }
        let other = Resampling { seed: 1, ..resampling };
        assert_ne!(Resampled::new(&sums, &other).ratios, one_by_one);
    }
}
