//! The order in which items are drawn: a permutation for each epoch, from the seed and the epoch's number alone.
//!
//! A position is an epoch and a place in it, so that training can go on from a position without having walked there.

use entrace_backend::stream_seed;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Where the next item is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) at: usize,
}

/// Draws items `0..n` over and over.
#[derive(Debug)]
pub(crate) struct Order {
    seed: u64,
    position: Position,
    permutation: Vec<u32>,
}

impl Order {
    /// `n` is at least 1.
    pub(crate) fn new(n: usize, seed: u64, position: Position) -> Self {
        Self { seed, position, permutation: permutation(n, seed, position.epoch) }
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The next item, which stays the next one.
    fn peek(&mut self) -> usize {
        if self.position.at >= self.permutation.len() {
            self.position = Position { epoch: self.position.epoch + 1, at: 0 };
            self.permutation = permutation(self.permutation.len(), self.seed, self.position.epoch);
        }
        self.permutation[self.position.at] as usize
    }

    /// Items whose sizes add up to at most `budget`, but at least one item, and each at most once.
    pub(crate) fn draw(&mut self, budget: usize, size: impl Fn(usize) -> usize) -> Vec<usize> {
        let mut drawn = Vec::new();
        let mut total = 0;
        while drawn.len() < self.permutation.len() {
            let next = self.peek();
            if !drawn.is_empty() && (total + size(next) > budget || drawn.contains(&next)) {
                break;
            }
            total += size(next);
            drawn.push(next);
            self.position.at += 1;
        }
        drawn
    }
}

fn permutation(n: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(stream_seed(seed, &["order", &epoch.to_string()]));
    let mut items: Vec<u32> = (0..n as u32).collect();
    for i in (1..n).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_every_item_once_and_any_position_continues() {
        let mut order = Order::new(10, 3, Position::default());
        let mut drawn = Vec::new();
        let mut positions = Vec::new();
        while drawn.len() < 30 {
            positions.push((order.position(), drawn.len()));
            drawn.extend(order.draw(3, |_| 1));
        }
        for epoch in drawn.chunks_exact(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(drawn[..10], drawn[10..20]);
        for (position, n) in positions {
            let again = Order::new(10, 3, position).draw(3, |_| 1);
            assert_eq!(drawn[n..n + again.len()], again);
        }
    }

    #[test]
    fn batches_keep_to_their_budget() {
        let mut order = Order::new(5, 0, Position::default());
        assert_eq!(order.draw(0, |_| 7).len(), 1);
        assert_eq!(order.draw(14, |_| 7).len(), 2);
        assert!(order.draw(1000, |_| 7).len() <= 5);
    }
}
