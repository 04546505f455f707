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
        let (group, dim) = (self.group(), spec.head_dim);

        let heads = tile.kv_head * group..(tile.kv_head + 1) * group;
        scratch.queries.clear();
        let queries = &views.q.row(row)[heads.start * dim..heads.end * dim];
        scratch.queries.extend(queries.iter().map(|x| x * spec.scale as f32));
        scratch.scores.resize(group * n_keys, 0.0);
        scores(scratch, Head::new(views.keys, tile.kv_head, dim), &ranges, n_keys);
        let sums = softmax(&mut scratch.scores, n_keys, spec.softcap, self.read);

        scratch.out.resize(group * spec.v_head_dim, 0.0);
        let values = Head::new(views.values, tile.kv_head, spec.v_head_dim);
        assert_eq!(scratch.scores.len(), group * n_keys);
        // SAFETY: weights are [queries, keys].
        unsafe {
            mix(values, &ranges, &mut scratch.out, |query, key| {
                Left::Rows(scratch.scores.as_ptr().add(query * n_keys + key), n_keys)
            });
        }
        for ((result, head), sums) in scratch.out.chunks_exact(spec.v_head_dim).zip(heads).zip(&sums) {
            let scale = 1.0 / sums.total;
            // SAFETY: see `Out`; the head's columns are among the first H·Dv.
            unsafe {
                out.write(row, head * spec.v_head_dim, result.iter().map(|x| x * scale));
                if self.read {
                    let log_total = sums.total.ln();
                    let entropy = log_total - sums.weighted * scale;
                    self.write_reading(out, row, head, sums.own - log_total, entropy);
                }
            }
        }
    }
}

/// Scores `[queries, keys]` of the scratch's queries `[queries, D]`.
fn scores(scratch: &mut Scratch, keys: Head<'_>, ranges: &[(usize, usize)], n_keys: usize) {
    let kernel = Kernel::best();
    let n_queries = scratch.queries.len() / keys.dim;
    scratch.turned.resize(keys.dim * tile::MAX_COLUMNS, 0.0);
    assert!(scratch.scores.len() >= n_queries * n_keys);
    let mut done = 0;
    for &(slot, n) in ranges {
        for first in (0..n).step_by(tile::MAX_COLUMNS) {
            let columns = tile::MAX_COLUMNS.min(n - first);
            turn(keys.slots(slot + first, columns), keys.stride, columns, keys.dim, &mut scratch.turned);
            for query in (0..n_queries).step_by(kernel.max_rows()) {
                let rows = kernel.max_rows().min(n_queries - query);
                // SAFETY: queries are [queries, D]; turned keys [D, MAX_COLUMNS]; the target is `rows` rows of scores, `n_keys` apart.
                unsafe {
                    kernel.run(&tile::Tile {
                        rows,
                        columns,
                        k: keys.dim,
                        a: Left::Rows(scratch.queries.as_ptr().add(query * keys.dim), keys.dim),
                        b: scratch.turned.as_ptr(),
                        b_step: tile::MAX_COLUMNS,
                        c: scratch.scores.as_mut_ptr().add(query * n_keys + done + first),
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
struct Sums {
    /// Σ e^(s−m).
    total: f32,
    /// Σ (s−m) e^(s−m), if read.
    weighted: f32,
    /// s−m of the last key, the row's own, if read.
    own: f32,
}

/// Turns scores `[queries, keys]` into weights e^(s−m).
fn softmax(scores: &mut [f32], n_keys: usize, softcap: Option<f64>, read: bool) -> Vec<Sums> {
    let mut sums: Vec<Sums> =
        scores.chunks_exact_mut(n_keys).map(|scores| weigh(scores, softcap, read)).collect();
    // Each total is one chain of additions; several at a time wait for one another less.
    for (scores, sums) in scores.chunks(4 * n_keys).zip(sums.chunks_mut(4)) {
        match sums {
            [_, _, _, _] => totals::<4>(scores, n_keys, sums),
            [_, _, _] => totals::<3>(scores, n_keys, sums),
            [_, _] => totals::<2>(scores, n_keys, sums),
            _ => totals::<1>(scores, n_keys, sums),
        }
    }
    sums
}

const SIXTEEN: usize = 16;

vectorised! {
    /// Turns the scores of one query into weights; its sums but for the total.
    fn weigh(scores: &mut [f32], softcap: Option<f64>, read: bool) -> Sums {
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
        let max = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &s| if s > m { s } else { m });
        let mut sums = Sums::default();
        if read {
            for &score in &*scores {
                let shifted = score - max;
                sums.weighted += shifted * exp(shifted);
                sums.own = shifted;
            }
        }
        scores.iter_mut().for_each(|s| *s = exp(*s - max));
        sums
    }
}

fn totals<const Q: usize>(weights: &[f32], n_keys: usize, sums: &mut [Sums]) {
    let rows: [&[f32]; Q] = std::array::from_fn(|query| &weights[query * n_keys..][..n_keys]);
    let mut totals = [0f32; Q];
    for key in 0..n_keys {
        for (total, row) in totals.iter_mut().zip(&rows) {
            *total += row[key];
        }
    }
    sums.iter_mut().zip(totals).for_each(|(sums, total)| sums.total = total);
}
