//! Attention of a packed pass over its token tree.
//!
//! The rows of a pass are cut into blocks; a block is a run of tokens of one branch. Its keys are, in order of position: the cache slots
//! of its ancestors (a few contiguous ranges), then its own tokens up to the row itself. No mask is ever made. With a window w, a
//! row sees only keys fewer than w positions back.
//!
//! q `[T, H·D]`, keys `[S, K·D]`, values `[S, K·Dv]` (S cache slots) to `[T, H·Dv]`. The kernel works on tiles of rows and one key-value
//! head at a time, so that all query heads that share it, and all rows of the tile, read each key once: scores by a small matrix product
//! for each range, softmax in float32, another product with the values. A single row (decoding) takes plain vector loops.
//!
//! If asked to, the weights are read as well: for each row and head ln a_ii and −Σ_j a_ij ln a_ij, in nats. Weights count as at least
//! the smallest normal number, so that both are finite. In the kernel they are columns of the output behind the H·Dv of the heads.

use super::exp::{exp, tanh};
use super::rows::{Rows, on_cpu};
use crate::spec::AttentionSpec;
use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// A run of tokens of one branch within a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Its rows in the pass.
    pub(crate) rows: Range<usize>,
    /// Cache slots of everything before it on its path, in order of position.
    pub(crate) ancestors: Vec<Range<usize>>,
    /// Cache slot of its first row; the others follow.
    pub(crate) own_start: usize,
}

impl Block {
    /// Number of tokens before it.
    pub(crate) fn n_ancestors(&self) -> usize {
        self.ancestors.iter().map(Range::len).sum()
    }

    /// Cache slots of the keys at positions `lo..hi` of the path, as `(first slot, number)`, in order.
    fn ranges(&self, lo: usize, hi: usize) -> Vec<(usize, usize)> {
        let own = self.own_start..self.own_start + self.rows.len();
        let mut out = Vec::with_capacity(self.ancestors.len() + 1);
        let mut position = 0;
        for range in self.ancestors.iter().chain(std::iter::once(&own)) {
            let from = lo.max(position);
            let to = hi.min(position + range.len());
            if from < to {
                out.push((range.start + from - position, to - from));
            }
            position += range.len();
        }
        out
    }
}

/// Attention of one layer over the blocks of a pass.
pub(crate) struct Attention<'a> {
    pub(crate) spec: &'a AttentionSpec,
    pub(crate) blocks: Arc<[Block]>,
    /// Whether weights are read.
    pub(crate) read: bool,
}

/// What was read of the weights, float32, `[T, H]` each.
#[derive(Debug, Clone)]
pub(crate) struct Readings {
    /// ln a_ii.
    pub(crate) own: Tensor,
    /// −Σ_j a_ij ln a_ij.
    pub(crate) entropy: Tensor,
}

const TILE_ROWS: usize = 32;

impl Attention<'_> {
    /// q, keys and values to outputs.
    pub(crate) fn apply(
        &self,
        q: &Tensor,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Option<Readings>)> {
        if !on_cpu(q) {
            return self.composed(q, keys, values);
        }
        let out = q.apply_op3_no_bwd(keys, values, self)?;
        if !self.read {
            return Ok((out, None));
        }
        let (heads, width) = (self.spec.n_heads, self.spec.n_heads * self.spec.v_head_dim);
        let readings =
            Readings { own: out.narrow(1, width, heads)?, entropy: out.narrow(1, width + heads, heads)? };
        Ok((out.narrow(1, 0, width)?, Some(readings)))
    }

    fn composed(&self, q: &Tensor, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Option<Readings>)> {
        let blocks = self.blocks.iter().map(|block| self.composed_block(block, q, keys, values));
        let (outs, readings): (Vec<Tensor>, Vec<Option<Readings>>) =
            blocks.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let out = Tensor::cat(&outs, 0)?;
        let Some(readings) = readings.into_iter().collect::<Option<Vec<_>>>() else { return Ok((out, None)) };
        let cat = |of: fn(&Readings) -> &Tensor| Tensor::cat(&readings.iter().map(of).collect::<Vec<_>>(), 0);
        Ok((out, Some(Readings { own: cat(|r| &r.own)?, entropy: cat(|r| &r.entropy)? })))
    }

    fn composed_block(
        &self,
        block: &Block,
        q: &Tensor,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Option<Readings>)> {
        let spec = self.spec;
        let (rows, before) = (block.rows.len(), block.n_ancestors());
        let slots: Vec<u32> =
            block.ranges(0, before + rows).iter().flat_map(|&(s, n)| (s..s + n).map(|i| i as u32)).collect();
        let n_keys = slots.len();
        let slots = Tensor::from_vec(slots, n_keys, q.device())?;
        let group = spec.n_heads / spec.n_kv_heads;
        let heads = |arena: &Tensor, dim: usize| {
            let wide = arena.index_select(&slots, 0)?.reshape((n_keys, spec.n_kv_heads, 1, dim))?;
            let wide = wide.broadcast_as((n_keys, spec.n_kv_heads, group, dim))?;
            wide.reshape((n_keys, spec.n_heads, dim))?.transpose(0, 1)?.contiguous()
        };
        let q = q.narrow(0, block.rows.start, rows)?.reshape((rows, spec.n_heads, spec.head_dim))?;
        let q = q.transpose(0, 1)?.contiguous()?;
        let mut scores = (q.matmul(&heads(keys, spec.head_dim)?.t()?)? * spec.scale)?.to_dtype(DType::F32)?;
        if let Some(cap) = spec.softcap {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        let window = spec.window.unwrap_or(usize::MAX);
        let mask: Vec<f32> = (before..before + rows)
            .flat_map(|at| {
                (0..n_keys)
                    .map(move |key| if key <= at && at - key < window { 0.0 } else { f32::NEG_INFINITY })
            })
            .collect();
        let scores = scores.broadcast_add(&Tensor::from_vec(mask, (rows, n_keys), scores.device())?)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let readings = if self.read { Some(composed_readings(&weights, before)?) } else { None };
        let out = weights.to_dtype(q.dtype())?.matmul(&heads(values, spec.v_head_dim)?)?;
        Ok((out.transpose(0, 1)?.reshape((rows, spec.n_heads * spec.v_head_dim))?, readings))
    }
}

/// Readings of weights `[H, rows, keys]` of rows that have `before` keys before them.
fn composed_readings(weights: &Tensor, before: usize) -> Result<Readings> {
    let (_, rows, n_keys) = weights.dims3()?;
    let logs = weights.maximum(f64::from(f32::MIN_POSITIVE))?.log()?;
    let own: Vec<f32> =
        (0..rows * n_keys).map(|i| if i % n_keys == before + i / n_keys { 1.0 } else { 0.0 }).collect();
    let own = Tensor::from_vec(own, (rows, n_keys), weights.device())?;
    let by_row = |numbers: Tensor| numbers.sum(D::Minus1)?.t()?.contiguous();
    Ok(Readings { own: by_row(logs.broadcast_mul(&own)?)?, entropy: by_row((weights * &logs)?.neg()?)? })
}

/// One unit of parallel work.
struct Tile {
    block: usize,
    first: usize,
    n_rows: usize,
    kv_head: usize,
}

#[derive(Default)]
struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    out: Vec<f32>,
}

struct Views<'a> {
    q: Rows<'a>,
    keys: Rows<'a>,
    values: Rows<'a>,
}

/// Output memory that tiles write disjoint parts of.
struct Out(*mut f32);
// SAFETY: every tile writes only the rows of its block and tile, and of those only the columns of its own heads.
unsafe impl Sync for Out {}

impl Attention<'_> {
    fn tiles(&self) -> Vec<Tile> {
        let mut tiles = Vec::new();
        for (block, b) in self.blocks.iter().enumerate() {
            for first in (0..b.rows.len()).step_by(TILE_ROWS) {
                let n_rows = TILE_ROWS.min(b.rows.len() - first);
                tiles.extend((0..self.spec.n_kv_heads).map(|kv_head| Tile { block, first, n_rows, kv_head }));
            }
        }
        // The dearest first, so that no thread is left with one at the end.
        tiles.sort_by_key(|t| {
            let block = &self.blocks[t.block];
            std::cmp::Reverse(t.n_rows * (block.n_ancestors() + t.first + t.n_rows))
        });
        tiles
    }

    fn tile(&self, tile: &Tile, views: &Views<'_>, scratch: &mut Scratch, out: &Out) {
        let spec = self.spec;
        let group = spec.n_heads / spec.n_kv_heads;
        let block = &self.blocks[tile.block];
        let first_position = block.n_ancestors() + tile.first;
        let window = spec.window.unwrap_or(usize::MAX);
        let lo = (first_position + 1).saturating_sub(window);
        let hi = first_position + tile.n_rows;
        let (n_queries, n_keys) = (tile.n_rows * group, hi - lo);
        let ranges = block.ranges(lo, hi);

        self.gather_queries(tile, views.q, &mut scratch.queries);
        scratch.scores.resize(n_queries * n_keys, 0.0);
        scratch.out.resize(n_queries * spec.v_head_dim, 0.0);
        let (keys, values) = (
            head_of(views.keys, tile.kv_head, spec.head_dim),
            head_of(views.values, tile.kv_head, spec.v_head_dim),
        );
        let one_row = tile.n_rows == 1;
        if one_row {
            vector_scores(&scratch.queries, keys, &ranges, &mut scratch.scores, n_keys, spec.head_dim);
        } else {
            matrix_scores(&scratch.queries, keys, &ranges, &mut scratch.scores, n_keys, spec.head_dim);
        }
        let width = self.width();
        for (query, scores) in scratch.scores.chunks_exact_mut(n_keys).enumerate() {
            let seen_to = first_position + query / group + 1;
            let seen_from = seen_to.saturating_sub(window).max(lo);
            softmax(scores, seen_from - lo..seen_to - lo, spec.softcap);
            if self.read {
                let row = block.rows.start + tile.first + query / group;
                let head = tile.kv_head * group + query % group;
                let (own, entropy) = reading(&scores[seen_from - lo..seen_to - lo]);
                // SAFETY: see `Out`; the columns behind those of the heads are two for each head.
                unsafe {
                    let column = spec.n_heads * spec.v_head_dim + head;
                    *out.0.add(row * width + column) = own;
                    *out.0.add(row * width + column + spec.n_heads) = entropy;
                }
            }
        }
        if one_row {
            vector_outputs(&scratch.scores, values, &ranges, &mut scratch.out, n_keys, spec.v_head_dim);
        } else {
            matrix_outputs(&scratch.scores, values, &ranges, &mut scratch.out, n_keys, spec.v_head_dim);
        }
        for (query, result) in scratch.out.chunks_exact(spec.v_head_dim).enumerate() {
            let row = block.rows.start + tile.first + query / group;
            let column = (tile.kv_head * group + query % group) * spec.v_head_dim;
            // SAFETY: see `Out`; row and column lie within the first H·Dv columns of the output.
            unsafe {
                std::ptr::copy_nonoverlapping(result.as_ptr(), out.0.add(row * width + column), result.len());
            }
        }
    }

    /// Columns of the kernel's output.
    fn width(&self) -> usize {
        let readings = if self.read { 2 } else { 0 };
        self.spec.n_heads * (self.spec.v_head_dim + readings)
    }

    /// Queries of the tile's heads, `[rows × group, D]`, scaled.
    fn gather_queries(&self, tile: &Tile, q: Rows<'_>, queries: &mut Vec<f32>) {
        let (group, dim) = (self.spec.n_heads / self.spec.n_kv_heads, self.spec.head_dim);
        let scale = self.spec.scale as f32;
        let start = self.blocks[tile.block].rows.start + tile.first;
        queries.clear();
        for row in start..start + tile.n_rows {
            let heads = &q.row(row)[tile.kv_head * group * dim..(tile.kv_head + 1) * group * dim];
            queries.extend(heads.iter().map(|x| x * scale));
        }
    }
}

/// The columns of one head: first number and distance between slots.
fn head_of(arena: Rows<'_>, head: usize, dim: usize) -> (&[f32], usize) {
    let (data, stride) = arena.raw();
    (&data[head * dim..], stride)
}

fn matrix_scores(
    queries: &[f32],
    (keys, stride): (&[f32], usize),
    ranges: &[(usize, usize)],
    scores: &mut [f32],
    n_keys: usize,
    dim: usize,
) {
    let n_queries = queries.len() / dim;
    let mut done = 0;
    for &(slot, n) in ranges {
        let keys = &keys[slot * stride..];
        assert!((n - 1) * stride + dim <= keys.len() && done + n <= n_keys);
        // SAFETY: queries are [n_queries, dim]; keys of this range lie `stride` apart (asserted); the destination is the columns
        // done..done + n of [n_queries, n_keys].
        unsafe {
            gemm::gemm(
                n_queries,
                n,
                dim,
                scores.as_mut_ptr().add(done),
                1,
                n_keys as isize,
                false,
                queries.as_ptr(),
                1,
                dim as isize,
                keys.as_ptr(),
                stride as isize,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        done += n;
    }
}

fn matrix_outputs(
    weights: &[f32],
    (values, stride): (&[f32], usize),
    ranges: &[(usize, usize)],
    out: &mut [f32],
    n_keys: usize,
    dim: usize,
) {
    let n_queries = weights.len() / n_keys;
    let mut done = 0;
    for &(slot, n) in ranges {
        let values = &values[slot * stride..];
        assert!((n - 1) * stride + dim <= values.len() && done + n <= n_keys);
        // SAFETY: weights are the columns done..done + n of [n_queries, n_keys]; values of this range lie `stride` apart (asserted);
        // the destination is [n_queries, dim], added to after the first range.
        unsafe {
            gemm::gemm(
                n_queries,
                dim,
                n,
                out.as_mut_ptr(),
                1,
                dim as isize,
                done > 0,
                weights.as_ptr().add(done),
                1,
                n_keys as isize,
                values.as_ptr(),
                1,
                stride as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        done += n;
    }
}

fn vector_scores(
    queries: &[f32],
    (keys, stride): (&[f32], usize),
    ranges: &[(usize, usize)],
    scores: &mut [f32],
    n_keys: usize,
    dim: usize,
) {
    pulp::Arch::new().dispatch(|| {
        let mut done = 0;
        for &(slot, n) in ranges {
            for key in 0..n {
                let key_row = &keys[(slot + key) * stride..][..dim];
                for (query, q) in queries.chunks_exact(dim).enumerate() {
                    scores[query * n_keys + done + key] = dot(q, key_row);
                }
            }
            done += n;
        }
    });
}

fn vector_outputs(
    weights: &[f32],
    (values, stride): (&[f32], usize),
    ranges: &[(usize, usize)],
    out: &mut [f32],
    n_keys: usize,
    dim: usize,
) {
    let rows = ValueRows { values, stride, ranges };
    pulp::Arch::new().dispatch(|| {
        for (queries, out) in out.chunks_mut(QUERIES_AT_ONCE * dim).enumerate() {
            let weights = &weights[queries * QUERIES_AT_ONCE * n_keys..];
            match out.len() / dim {
                1 => rows.mix::<1>(weights, n_keys, out, dim),
                2 => rows.mix::<2>(weights, n_keys, out, dim),
                3 => rows.mix::<3>(weights, n_keys, out, dim),
                _ => rows.mix::<QUERIES_AT_ONCE>(weights, n_keys, out, dim),
            }
        }
    });
}

/// Queries whose sums are kept in registers together.
const QUERIES_AT_ONCE: usize = 4;

/// Values of one head at the slots of some ranges.
struct ValueRows<'a> {
    values: &'a [f32],
    stride: usize,
    ranges: &'a [(usize, usize)],
}

impl ValueRows<'_> {
    /// Weighted sums for Q queries: weights `[Q, n_keys]`, out `[Q, dim]`.
    #[inline(always)]
    fn mix<const Q: usize>(&self, weights: &[f32], n_keys: usize, out: &mut [f32], dim: usize) {
        let whole = dim / 16 * 16;
        for column in (0..whole).step_by(16) {
            let mut sums = [[0f32; 16]; Q];
            let mut key = 0;
            for &(slot, n) in self.ranges {
                for slot in slot..slot + n {
                    let value = &self.values[slot * self.stride + column..][..16];
                    for (query, sums) in sums.iter_mut().enumerate() {
                        let weight = weights[query * n_keys + key];
                        for (sum, &value) in sums.iter_mut().zip(value) {
                            *sum += weight * value;
                        }
                    }
                    key += 1;
                }
            }
            for (query, sums) in sums.iter().enumerate() {
                out[query * dim + column..][..16].copy_from_slice(sums);
            }
        }
        for column in whole..dim {
            for query in 0..Q {
                let slots = self.ranges.iter().flat_map(|&(slot, n)| slot..slot + n);
                let weights = &weights[query * n_keys..];
                let terms = slots.zip(weights).map(|(slot, w)| w * self.values[slot * self.stride + column]);
                out[query * dim + column] = terms.sum();
            }
        }
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    let mut lanes = [0f32; 16];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..16 {
            lanes[i] += a[i] * b[i];
        }
    }
    halved_sum(lanes) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Sum of lanes by halves: four dependent additions instead of sixteen.
#[inline(always)]
fn halved_sum(mut lanes: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(half);
        for (low, &high) in low.iter_mut().zip(&*high) {
            *low += high;
        }
    }
    lanes[0]
}

/// Softmax over the keys that are seen; the others get weight 0.
fn softmax(scores: &mut [f32], seen: Range<usize>, softcap: Option<f64>) {
    pulp::Arch::new().dispatch(|| {
        let (head, rest) = scores.split_at_mut(seen.start);
        let (body, tail) = rest.split_at_mut(seen.end - seen.start);
        head.fill(0.0);
        tail.fill(0.0);
        if let Some(cap) = softcap {
            let cap = cap as f32;
            body.iter_mut().for_each(|s| *s = cap * tanh(*s / cap));
        }
        let max = body.iter().fold(f32::NEG_INFINITY, |m, &s| if s > m { s } else { m });
        let mut lanes = [0f32; 16];
        let (chunks, remainder) = body.as_chunks_mut::<16>();
        for chunk in chunks {
            for (lane, s) in lanes.iter_mut().zip(chunk) {
                *s = exp(*s - max);
                *lane += *s;
            }
        }
        let mut sum: f32 = lanes.iter().sum();
        for s in remainder {
            *s = exp(*s - max);
            sum += *s;
        }
        let scale = 1.0 / sum;
        body.iter_mut().for_each(|s| *s *= scale);
    });
}

/// ln of the last weight, which is that of the row itself, and the entropy of all.
fn reading(weights: &[f32]) -> (f32, f32) {
    let ln = |weight: f32| weight.max(f32::MIN_POSITIVE).ln();
    let entropy = -weights.iter().map(|&w| w * ln(w)).sum::<f32>();
    (weights.last().map_or(0.0, |&own| ln(own)), entropy)
}

impl CustomOp3 for Attention<'_> {
    fn name(&self) -> &'static str {
        "tree_attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let views = Views {
            q: Rows::new(q, q_layout)?,
            keys: Rows::new(keys, keys_layout)?,
            values: Rows::new(values, values_layout)?,
        };
        let width = self.width();
        let mut out = vec![0f32; views.q.n_rows * width];
        let target = Out(out.as_mut_ptr());
        self.tiles()
            .par_iter()
            .with_max_len(1)
            .for_each_init(Scratch::default, |scratch, tile| self.tile(tile, &views, scratch, &target));
        Ok((CpuStorage::F32(out), Shape::from((views.q.n_rows, width))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{assert_close, random};
    use crate::spec::Projection;

    fn spec(window: Option<usize>, softcap: Option<f64>) -> AttentionSpec {
        AttentionSpec {
            n_heads: 6,
            n_kv_heads: 2,
            head_dim: 20,
            v_head_dim: 12,
            scale: 0.3,
            softcap,
            window,
            rope: 0,
            projection: Projection::Plain { bias: false, fused: false, qk_norm: None, clip: None },
            o_bias: false,
        }
    }

    #[test]
    fn fused_equals_composed() {
        // A root of 70 rows, a branch of 3 forking after 50 of them, one row after two separate ranges.
        let blocks: Arc<[Block]> = Arc::from([
            Block { rows: 0..70, ancestors: vec![], own_start: 5 },
            Block { rows: 70..73, ancestors: std::iter::once(5..55).collect(), own_start: 75 },
            Block { rows: 73..74, ancestors: vec![5..45, 90..100], own_start: 80 },
        ]);
        let q = random(&[74, 120], 1);
        let keys = random(&[100, 40], 2);
        let values = random(&[100, 24], 3);
        for window in [None, Some(1), Some(9)] {
            for softcap in [None, Some(1.5)] {
                let spec = spec(window, softcap);
                for read in [false, true] {
                    let attention = Attention { spec: &spec, blocks: blocks.clone(), read };
                    let (fused, readings) = attention.apply(&q, &keys, &values).unwrap();
                    let (composed, expected) = attention.composed(&q, &keys, &values).unwrap();
                    assert_close(&fused, &composed, 2e-6);
                    assert_eq!(readings.is_some(), read);
                    let (Some(readings), Some(expected)) = (readings, expected) else { continue };
                    assert_close(&readings.own, &expected.own, 1e-5);
                    assert_close(&readings.entropy, &expected.entropy, 1e-5);
                }
            }
        }
    }
}
