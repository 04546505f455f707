//! Attention of one row by itself: a step of decoding, or the next token of a search.
//!
//! Every number has the bits that it has in a `panel`, so that a token is the same whether it was written one by one or run with others. The
//! queries that share a head of keys are few, so lanes are keys instead: keys are turned, 32 at a time, and multiplied with all queries. Scores
//! are sums in the order of the head's numbers; the softmax's total and the output are sums in the order of the keys.

use super::{Attention, Head, Out, Scratch, Tile, Views, mix};
use entrace_kernels::exp::{exp, tanh};
use entrace_kernels::tile::{self, Kernel, Left};
use entrace_kernels::turn::turn;
use entrace_kernels::vectorised;

impl Attention<'_> {
    /// The one row of a tile.
    pub(super) fn row(&self, tile: &Tile<'_>, views: &Views<'_>, scratch: &mut Scratch, out: &Out) {
        let spec = self.spec;
        let seen = tile.seen(tile.rows.start, spec.window);
        let n_keys = seen.len();
        let ranges = tile.block.ranges(seen.start, seen.end);
        let row = tile.block.rows.start + tile.rows.start;
        scratch.rows.clear();
        self.scaled_queries(views, row, tile.kv_head, &mut scratch.rows);
        scratch.scores.resize(self.group() * n_keys, 0.0);
        let keys = Head::new(views.keys, tile.kv_head, spec.head_dim);
        scores(&scratch.rows, keys, &ranges, &mut scratch.turned, &mut scratch.scores);
        let max: Vec<f32> =
            scratch.scores.chunks_exact_mut(n_keys).map(|scores| capped_max(scores, spec.softcap)).collect();
        let mut sums = vec![Sums::default(); max.len()];
        weights(&mut scratch.scores, &max, self.read, &mut sums);

        scratch.out.resize(self.group() * spec.v_head_dim, 0.0);
        let values = Head::new(views.values, tile.kv_head, spec.v_head_dim);
        assert_eq!(scratch.scores.len(), self.group() * n_keys);
        // SAFETY: weights are [queries, keys].
        unsafe {
            mix(values, &ranges, &mut scratch.out, false, |query, key| {
                Left::Rows(scratch.scores.as_ptr().add(query * n_keys + key), n_keys)
            });
        }
        // SAFETY: the row is this task's, and so are the heads.
        unsafe { self.write_row(out, row, tile.kv_head, &scratch.out, &sums) };
    }
}

/// Scores `[queries, keys]` of the keys of some ranges with queries `[queries, D]`.
pub(super) fn scores(
    queries: &[f32],
    keys: Head<'_>,
    ranges: &[(usize, usize)],
    turned: &mut Vec<f32>,
    scores: &mut [f32],
) {
    let kernel = Kernel::best();
    let n_queries = queries.len() / keys.dim;
    let n_keys: usize = ranges.iter().map(|&(_, n)| n).sum();
    turned.resize(keys.dim * tile::MAX_COLUMNS, 0.0);
    assert!(scores.len() >= n_queries * n_keys);
    let mut done = 0;
    for &(slot, n) in ranges {
        for first in (0..n).step_by(tile::MAX_COLUMNS) {
            let columns = tile::MAX_COLUMNS.min(n - first);
            turn(keys.slots(slot + first, columns), keys.stride, columns, keys.dim, turned);
            for query in (0..n_queries).step_by(kernel.max_rows()) {
                let rows = kernel.max_rows().min(n_queries - query);
                // SAFETY: queries are [queries, D]; turned keys [D, MAX_COLUMNS]; the target is `rows` rows of scores, `n_keys` apart.
                unsafe {
                    kernel.run(&tile::Tile {
                        rows,
                        columns,
                        k: keys.dim,
                        a: Left::Rows(queries.as_ptr().add(query * keys.dim), keys.dim),
                        b: turned.as_ptr(),
                        b_step: tile::MAX_COLUMNS,
                        c: scores.as_mut_ptr().add(query * n_keys + done + first),
                        c_row: n_keys,
                        add: false,
                    });
                }
            }
        }
        done += n;
    }
}

/// Sums over the keys, with m the largest score s.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    /// Σ e^(s−m).
    pub(super) total: f32,
    /// Σ (s−m) e^(s−m), if read.
    pub(super) weighted: f32,
    /// s−m of the last key, the row's own, if read.
    pub(super) own: f32,
}

/// Turns scores `[queries, keys]` into weights e^(s−m), with the largest score m of each query, and adds to its sums.
pub(super) fn weights(scores: &mut [f32], max: &[f32], read: bool, sums: &mut [Sums]) {
    let n_keys = scores.len() / max.len();
    for ((scores, &max), sums) in scores.chunks_exact_mut(n_keys).zip(max).zip(&mut *sums) {
        weigh(scores, max, read, sums);
    }
    // Each total is one chain of additions; several at a time wait for one another less.
    for (scores, sums) in scores.chunks(4 * n_keys).zip(sums.chunks_mut(4)) {
        match sums {
            [_, _, _, _] => totals::<4>(scores, n_keys, sums),
            [_, _, _] => totals::<3>(scores, n_keys, sums),
            [_, _] => totals::<2>(scores, n_keys, sums),
            _ => totals::<1>(scores, n_keys, sums),
        }
    }
}

const SIXTEEN: usize = 16;

vectorised! {
    /// The largest score of one query, after the cap, which the scores then have.
    pub(super) fn capped_max(scores: &mut [f32], softcap: Option<f64>) -> f32 {
        if let Some(cap) = softcap {
            let cap = cap as f32;
            scores.iter_mut().for_each(|s| *s = cap * tanh(*s / cap));
        }
        let (chunks, rest) = scores.as_chunks::<SIXTEEN>();
        let mut lanes = [f32::NEG_INFINITY; SIXTEEN];
        for chunk in chunks {
            for (lane, &s) in lanes.iter_mut().zip(chunk) {
                *lane = if s > *lane { s } else { *lane };
            }
        }
        lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &s| if s > m { s } else { m })
    }
}

vectorised! {
    /// Turns the scores of one query into weights; its sums but for the total.
    fn weigh(scores: &mut [f32], max: f32, read: bool, sums: &mut Sums) {
        if read {
            for &score in &*scores {
                let shifted = score - max;
                sums.weighted += shifted * exp(shifted);
                sums.own = shifted;
            }
        }
        scores.iter_mut().for_each(|s| *s = exp(*s - max));
    }
}

/// Adds the weights of Q queries to their totals.
fn totals<const Q: usize>(weights: &[f32], n_keys: usize, sums: &mut [Sums]) {
    let rows: [&[f32]; Q] = std::array::from_fn(|query| &weights[query * n_keys..][..n_keys]);
    let mut totals: [f32; Q] = std::array::from_fn(|query| sums[query].total);
    for key in 0..n_keys {
        for (total, row) in totals.iter_mut().zip(&rows) {
            *total += row[key];
        }
    }
    sums.iter_mut().zip(totals).for_each(|(sums, total)| sums.total = total);
}
