//! Attention of runs of tokens: up to 32 queries side by side, each in a lane of its own.
//!
//! A panel holds the scores of all keys that any of its queries sees, `[keys, lanes]`: a product of the keys as they lie in the cache with
//! the queries, turned to `[D, lanes]`. The softmax walks down the keys in all lanes at once, and the output is a product of the weights
//! with the values as they lie in the cache. A panel is rows of one head, or of several heads where a tile has few rows.

use super::{Attention, Head, Out, Scratch, Tile, Views, mix, row};
use entrace_kernels::exp::{exp, tanh};
use entrace_kernels::tile::{self, Kernel, Left};
use entrace_kernels::vectorised;
use std::ops::Range;

/// Most queries of a panel.
pub(super) const LANES: usize = tile::MAX_COLUMNS;

/// Lanes of a panel with few queries.
pub(super) const HALF: usize = LANES / 2;

impl Attention<'_> {
    /// All rows of a tile, panel by panel.
    pub(super) fn panels(&self, tile: &Tile<'_>, views: &Views<'_>, scratch: &mut Scratch, out: &Out) {
        let heads_at_once = (LANES / tile.rows.len()).max(1);
        for first in (0..self.group()).step_by(heads_at_once) {
            let heads = first..self.group().min(first + heads_at_once);
            if heads.len() * tile.rows.len() <= HALF {
                self.panel::<HALF>(tile, heads, views, scratch, out);
            } else {
                self.panel::<LANES>(tile, heads, views, scratch, out);
            }
        }
    }

    /// Some of the query heads that share the tile's keys; lanes are in order of head and row.
    fn panel<const P: usize>(
        &self,
        tile: &Tile<'_>,
        heads: Range<usize>,
        views: &Views<'_>,
        scratch: &mut Scratch,
        out: &Out,
    ) {
        let spec = self.spec;
        let lanes: Vec<(usize, usize)> = heads
            .flat_map(|head| tile.rows.clone().map(move |row| (tile.kv_head * self.group() + head, row)))
            .collect();
        let keys_from = tile.seen(tile.rows.start, spec.window).start;
        let keys_to = tile.seen(tile.rows.end - 1, spec.window).end;
        let ranges = tile.block.ranges(keys_from, keys_to);

        let first_row = tile.block.rows.start;
        let dim = spec.head_dim;
        scratch.queries.clear();
        scratch.queries.resize(dim * P, 0.0);
        for (lane, &(head, row)) in lanes.iter().enumerate() {
            let query = &views.q.row(first_row + row)[head * dim..(head + 1) * dim];
            for (i, &x) in query.iter().enumerate() {
                scratch.queries[i * P + lane] = x * spec.scale as f32;
            }
        }
        scratch.scores.resize((keys_to - keys_from) * P, 0.0);
        let keys = Head::new(views.keys, tile.kv_head, dim);
        scores::<P>(&scratch.queries, keys, &ranges, &mut scratch.scores);

        let mut seen = Seen { from: [0; P], to: [(keys_to - keys_from) as u32; P] };
        for (lane, &(_, row)) in lanes.iter().enumerate() {
            let range = tile.seen(row, spec.window);
            seen.from[lane] = (range.start - keys_from) as u32;
            seen.to[lane] = (range.end - keys_from) as u32;
        }
        let panel = scratch.scores.as_chunks_mut::<P>().0;
        let max = hidden_max(panel, &seen, spec.softcap);
        let sums = weights(panel, &seen, &max, self.read);

        let values = Head::new(views.values, tile.kv_head, spec.v_head_dim);
        scratch.out.resize(lanes.len() * spec.v_head_dim, 0.0);
        assert!(lanes.len() <= P && scratch.scores.len() == (keys_to - keys_from) * P);
        // SAFETY: weights are [keys, P], of which the first lanes are queries.
        unsafe {
            mix(values, &ranges, &mut scratch.out, false, |lane, key| {
                Left::Columns(scratch.scores.as_ptr().add(key * P + lane), P)
            });
        }
        for (lane, (result, &(head, row))) in
            scratch.out.chunks_exact(spec.v_head_dim).zip(&lanes).enumerate()
        {
            let scale = 1.0 / sums.total[lane];
            // SAFETY: see `Out`; the head's columns are among the first H·Dv.
            unsafe {
                out.write(first_row + row, head * spec.v_head_dim, result.iter().map(|x| x * scale));
                if self.read {
                    let log_total = sums.total[lane].ln();
                    let entropy = log_total - sums.weighted[lane] * scale;
                    self.write_reading(out, first_row + row, head, sums.own[lane] - log_total, entropy);
                }
            }
        }
    }
}

/// Scores `[keys, P]` of the keys of some ranges with queries `[D, P]`.
pub(super) fn scores<const P: usize>(
    queries: &[f32],
    keys: Head<'_>,
    ranges: &[(usize, usize)],
    scores: &mut [f32],
) {
    assert_eq!(queries.len(), keys.dim * P);
    let kernel = Kernel::best();
    let mut rest = scores;
    for &(slot, n) in ranges {
        for first in (0..n).step_by(kernel.max_rows()) {
            let rows = kernel.max_rows().min(n - first);
            let keys_of_tile = keys.slots(slot + first, rows);
            let scores_of_tile;
            (scores_of_tile, rest) = rest.split_at_mut(rows * P);
            // SAFETY: `keys_of_tile` has `rows` rows of D numbers, `stride` apart; queries are [D, P]; the target is `rows` rows of P
            // scores.
            unsafe {
                kernel.run(&tile::Tile {
                    rows,
                    columns: P,
                    k: keys.dim,
                    a: Left::Rows(keys_of_tile.as_ptr(), keys.stride),
                    b: queries.as_ptr(),
                    b_step: P,
                    c: scores_of_tile.as_mut_ptr(),
                    c_row: P,
                    add: false,
                });
            }
        }
    }
}

/// The keys that each lane sees, counted from the panel's first.
pub(super) struct Seen<const P: usize> {
    pub(super) from: [u32; P],
    pub(super) to: [u32; P],
}

impl<const P: usize> Seen<P> {
    /// Keys that some lanes do not see at the beginning and at the end of `n_keys`, and all others between.
    fn edges(&self, n_keys: usize) -> (usize, usize) {
        let from = self.from.iter().copied().max().unwrap_or(0) as usize;
        let to = self.to.iter().copied().min().unwrap_or(0) as usize;
        if from < to { (from.min(n_keys), to.min(n_keys)) } else { (n_keys, n_keys) }
    }

    #[inline(always)]
    fn sees(&self, lane: usize, key: u32) -> bool {
        key >= self.from[lane] && key < self.to[lane]
    }
}

/// Sums over the keys of each lane, with m its largest score s.
#[derive(Clone, Copy)]
pub(super) struct Sums<const P: usize> {
    /// Σ e^(s−m).
    total: [f32; P],
    /// Σ (s−m) e^(s−m), if read.
    weighted: [f32; P],
    /// s−m of the last key that is seen, the row's own, if read.
    own: [f32; P],
}

impl<const P: usize> Sums<P> {
    /// Those of one lane.
    pub(super) fn of(&self, lane: usize) -> row::Sums {
        row::Sums { total: self.total[lane], weighted: self.weighted[lane], own: self.own[lane] }
    }
}

vectorised! {
    /// Each lane's largest score, after the cap, which the scores then have; those that a lane does not see are −∞.
    pub(super) fn hidden_max<const P: usize>(
        scores: &mut [[f32; P]],
        seen: &Seen<P>,
        softcap: Option<f64>,
    ) -> [f32; P] {
        if let Some(cap) = softcap {
            let cap = cap as f32;
            scores.as_flattened_mut().iter_mut().for_each(|s| *s = cap * tanh(*s / cap));
        }
        let (from, to) = seen.edges(scores.len());
        hide(&mut scores[..from], 0, seen);
        hide(&mut scores[to..], to, seen);
        max_of(scores)
    }
}

vectorised! {
    /// Turns scores into weights e^(s−m), 0 where a lane does not see the key.
    pub(super) fn weights<const P: usize>(
        scores: &mut [[f32; P]],
        seen: &Seen<P>,
        max: &[f32; P],
        read: bool,
    ) -> Sums<P> {
        let (from, to) = seen.edges(scores.len());
        let (mut weighted, mut own) = ([0.0; P], [0.0; P]);
        if read {
            (weighted, own) = readings(scores, seen, max);
        }
        let mut total = [0.0; P];
        weigh_edge(&mut scores[..from], 0, seen, max, &mut total);
        total = weigh(&mut scores[from..to], max, total);
        weigh_edge(&mut scores[to..], to, seen, max, &mut total);
        Sums { total, weighted, own }
    }
}

/// Scores that a lane does not see become −∞.
#[inline(always)]
fn hide<const P: usize>(scores: &mut [[f32; P]], first: usize, seen: &Seen<P>) {
    for (scores, key) in scores.iter_mut().zip(first as u32..) {
        for (lane, score) in scores.iter_mut().enumerate() {
            *score = if seen.sees(lane, key) { *score } else { f32::NEG_INFINITY };
        }
    }
}

#[inline(always)]
fn max_of<const P: usize>(scores: &[[f32; P]]) -> [f32; P] {
    let mut max = [f32::NEG_INFINITY; P];
    for scores in scores {
        for lane in 0..P {
            max[lane] = if scores[lane] > max[lane] { scores[lane] } else { max[lane] };
        }
    }
    max
}

/// Weights of keys that every lane sees; the sums with theirs.
#[inline(always)]
fn weigh<const P: usize>(scores: &mut [[f32; P]], max: &[f32; P], mut total: [f32; P]) -> [f32; P] {
    for scores in scores {
        for lane in 0..P {
            scores[lane] = exp(scores[lane] - max[lane]);
            total[lane] += scores[lane];
        }
    }
    total
}

/// Weights of keys that some lanes do not see.
#[inline(always)]
fn weigh_edge<const P: usize>(
    scores: &mut [[f32; P]],
    first: usize,
    seen: &Seen<P>,
    max: &[f32; P],
    total: &mut [f32; P],
) {
    for (scores, key) in scores.iter_mut().zip(first as u32..) {
        for (lane, score) in scores.iter_mut().enumerate() {
            let weight = exp(*score - max[lane]);
            *score = if seen.sees(lane, key) { weight } else { 0.0 };
            total[lane] += *score;
        }
    }
}

/// Σ (s−m) e^(s−m), and s−m of each lane's last key.
#[inline(always)]
fn readings<const P: usize>(scores: &[[f32; P]], seen: &Seen<P>, max: &[f32; P]) -> ([f32; P], [f32; P]) {
    let (mut weighted, mut own) = ([0.0; P], [0.0; P]);
    for (scores, key) in scores.iter().zip(0u32..) {
        for lane in 0..P {
            let shifted = scores[lane] - max[lane];
            weighted[lane] += if seen.sees(lane, key) { shifted * exp(shifted) } else { 0.0 };
            own[lane] = if key + 1 == seen.to[lane] { shifted } else { own[lane] };
        }
    }
    (weighted, own)
}
