//! Attention of a packed pass over its token tree.
//!
//! The rows of a pass are cut into blocks; a block is a run of tokens of one branch. Its keys are, in order of position: the cache slots
//! of its ancestors (a few contiguous ranges), then its own tokens up to the row itself. No mask is ever made. With a window w, a
//! row sees only keys fewer than w positions back.
//!
//! q `[T, H·D]`, keys `[S, K·D]`, values `[S, K·Dv]` (S cache slots) to `[T, H·Dv]`. The kernels work on tiles of rows and one key-value
//! head at a time, so that all query heads that share it, and all rows of the tile, find each key in the processor's cache: one kernel
//! for runs of tokens (`panel`), one for single tokens (`row`), and one for single tokens whose paths begin alike (`shared`). In all of them, everything
//! about a row is computed in the order of its keys, so that it has the same bits in each, wherever its run or its path is cut, and in any pass.
//!
//! If asked to, the weights are read as well: for each row and head ln a_ii and −Σ_j a_ij ln a_ij, in nats. Weights count as at least
//! the smallest normal number, so that both are finite. In the kernel they are columns of the output behind the H·Dv of the heads.

mod composed;
mod panel;
mod row;
mod shared;

use super::rows::{Rows, on_cpu};
use crate::spec::AttentionSpec;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use entrace_kernels::tile::{self, Kernel, Left};
use rayon::prelude::*;
use row::Sums;
use shared::Group;
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
}

/// One unit of parallel work, for one head of keys and values and the query heads that share it.
enum Task<'a> {
    Tile(Tile<'a>),
    Shared { group: Arc<Group<'a>>, kv_head: usize },
}

impl Task<'_> {
    /// Keys that are gone through, for all rows.
    fn cost(&self) -> usize {
        match self {
            Self::Tile(tile) => tile.rows.len() * (tile.first_position() + tile.rows.len()),
            Self::Shared { group, .. } => group.cost(),
        }
    }
}

/// Rows of a block, for one head of keys and values.
struct Tile<'a> {
    block: &'a Block,
    /// Its rows, counted from the block's first.
    rows: Range<usize>,
    kv_head: usize,
}

impl Tile<'_> {
    /// Number of keys before its first row's own.
    fn first_position(&self) -> usize {
        self.block.n_ancestors() + self.rows.start
    }

    /// The keys that row `row` of the block sees, as positions.
    fn seen(&self, row: usize, window: Option<usize>) -> Range<usize> {
        let end = self.block.n_ancestors() + row + 1;
        end.saturating_sub(window.unwrap_or(usize::MAX))..end
    }
}

/// What the kernels read.
struct Views<'a> {
    q: Rows<'a>,
    keys: Rows<'a>,
    values: Rows<'a>,
}

/// The columns of one head of keys or values.
#[derive(Clone, Copy)]
struct Head<'a> {
    data: &'a [f32],
    /// Distance between slots.
    stride: usize,
    /// Numbers of the head.
    dim: usize,
}

impl<'a> Head<'a> {
    fn new(arena: Rows<'a>, head: usize, dim: usize) -> Self {
        let (data, stride) = arena.raw();
        Self { data: &data[head * dim..], stride, dim }
    }

    /// The numbers of `n` slots from `slot` on, the last one's with nothing behind it.
    fn slots(&self, slot: usize, n: usize) -> &'a [f32] {
        &self.data[slot * self.stride..][..(n - 1) * self.stride + self.dim]
    }
}

/// Output memory that tasks write disjoint parts of.
struct Out {
    numbers: *mut f32,
    width: usize,
}
// SAFETY: every task writes only its own rows, and of those only the columns of its own heads.
unsafe impl Sync for Out {}

impl Out {
    /// Writes numbers to a row from a column on.
    ///
    /// # Safety
    /// They lie within the output, and no other task writes there.
    unsafe fn write(&self, row: usize, column: usize, numbers: impl Iterator<Item = f32>) {
        for (i, number) in numbers.enumerate() {
            // SAFETY: by the caller's promise.
            unsafe { *self.numbers.add(row * self.width + column + i) = number };
        }
    }
}

/// Sums of the values of some ranges: `[queries, Dv]`, or those added to what is there.
///
/// # Safety
/// `weights(query, key)` are the weights of the queries from one on, for the keys from one on, counted over the ranges; as many as there are
/// queries and keys.
unsafe fn mix(
    values: Head<'_>,
    ranges: &[(usize, usize)],
    out: &mut [f32],
    add: bool,
    weights: impl Fn(usize, usize) -> Left,
) {
    let kernel = Kernel::best();
    let n_queries = out.len() / values.dim;
    for column in (0..values.dim).step_by(tile::MAX_COLUMNS) {
        let columns = tile::MAX_COLUMNS.min(values.dim - column);
        for first in (0..n_queries).step_by(kernel.max_rows()) {
            let rows = kernel.max_rows().min(n_queries - first);
            let mut done = 0;
            for &(slot, n) in ranges {
                let values_of_range = values.slots(slot, n);
                // SAFETY: weights by the caller's promise; `values_of_range` has n rows of Dv numbers, `stride` apart, of which `columns`
                // begin at `column`; the target is `rows` rows of out.
                unsafe {
                    kernel.run(&tile::Tile {
                        rows,
                        columns,
                        k: n,
                        a: weights(first, done),
                        b: values_of_range.as_ptr().add(column),
                        b_step: values.stride,
                        c: out.as_mut_ptr().add(first * values.dim + column),
                        c_row: values.dim,
                        add: add || done > 0,
                    });
                }
                done += n;
            }
        }
    }
}

/// Where a tile computes.
#[derive(Default)]
struct Scratch {
    /// Queries side by side, `[D, lanes]`.
    queries: Vec<f32>,
    /// Queries one after the other, `[queries, D]`.
    rows: Vec<f32>,
    /// Keys of a tile, `[D, keys]`.
    turned: Vec<f32>,
    scores: Vec<f32>,
    /// Of keys that one row has for itself.
    own_scores: Vec<f32>,
    out: Vec<f32>,
}

impl Attention<'_> {
    fn tasks(&self) -> Vec<Task<'_>> {
        let (single, runs): (Vec<_>, Vec<_>) = self.blocks.iter().partition(|block| block.rows.len() == 1);
        let kv_heads = 0..self.spec.n_kv_heads;
        let threads = rayon::current_num_threads();
        let max_rows =
            (panel::LANES / self.group()).min((single.len() * kv_heads.len()).div_ceil(2 * threads));
        let (groups, alone) = Group::of(single, self.spec.window, max_rows);
        let mut tasks = Vec::new();
        for block in runs.into_iter().chain(alone) {
            for first in (0..block.rows.len()).step_by(panel::LANES) {
                let rows = first..block.rows.len().min(first + panel::LANES);
                let tile = |kv_head| Task::Tile(Tile { block, rows: rows.clone(), kv_head });
                tasks.extend(kv_heads.clone().map(tile));
            }
        }
        for group in groups.into_iter().map(Arc::new) {
            tasks.extend(kv_heads.clone().map(|kv_head| Task::Shared { group: Arc::clone(&group), kv_head }));
        }
        // The dearest first, so that no thread is left with one at the end.
        tasks.sort_by_key(|task| std::cmp::Reverse(task.cost()));
        tasks
    }

    /// Query heads that share a head of keys and values.
    fn group(&self) -> usize {
        self.spec.n_heads / self.spec.n_kv_heads
    }

    /// Columns of the kernel's output.
    fn width(&self) -> usize {
        let readings = if self.read { 2 } else { 0 };
        self.spec.n_heads * (self.spec.v_head_dim + readings)
    }

    /// Appends a row's queries of the heads that share one of keys and values, `[heads, D]`, multiplied with the scale.
    fn scaled_queries(&self, views: &Views<'_>, row: usize, kv_head: usize, out: &mut Vec<f32>) {
        let width = self.group() * self.spec.head_dim;
        let queries = &views.q.row(row)[kv_head * width..(kv_head + 1) * width];
        out.extend(queries.iter().map(|x| x * self.spec.scale as f32));
    }

    /// Writes a row's sums of values `[heads, Dv]`, for the heads that share one of keys and values, over the totals of their weights.
    ///
    /// # Safety
    /// No other task writes these heads of the row.
    unsafe fn write_row(&self, out: &Out, row: usize, kv_head: usize, mixed: &[f32], sums: &[Sums]) {
        let dim = self.spec.v_head_dim;
        let heads = kv_head * self.group()..;
        for ((result, head), sums) in mixed.chunks_exact(dim).zip(heads).zip(sums) {
            let scale = 1.0 / sums.total;
            // SAFETY: by the caller's promise; the head's columns are among the first H·Dv.
            unsafe {
                out.write(row, head * dim, result.iter().map(|x| x * scale));
                if self.read {
                    let log_total = sums.total.ln();
                    let entropy = log_total - sums.weighted * scale;
                    self.write_reading(out, row, head, sums.own - log_total, entropy);
                }
            }
        }
    }

    /// Writes what was read of one row and head.
    ///
    /// # Safety
    /// See `Out`.
    unsafe fn write_reading(&self, out: &Out, row: usize, head: usize, own: f32, entropy: f32) {
        let column = self.spec.n_heads * self.spec.v_head_dim + head;
        // SAFETY: by the caller's promise; the columns behind those of the heads are two for each head.
        unsafe {
            out.write(row, column, std::iter::once(own.max(f32::MIN_POSITIVE.ln())));
            out.write(row, column + self.spec.n_heads, std::iter::once(entropy));
        }
    }
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
        let target = Out { numbers: out.as_mut_ptr(), width };
        self.tasks().par_iter().with_max_len(1).for_each_init(Scratch::default, |scratch, task| match task {
            Task::Tile(tile) if tile.rows.len() == 1 => self.row(tile, &views, scratch, &target),
            Task::Tile(tile) => self.panels(tile, &views, scratch, &target),
            Task::Shared { group, kv_head } => self.shared(group, *kv_head, &views, scratch, &target),
        });
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

    fn block(rows: Range<usize>, ancestors: Vec<Range<usize>>, own_start: usize) -> Block {
        Block { rows, ancestors, own_start }
    }

    /// Bits of outputs and readings, row by row.
    fn bits(spec: &AttentionSpec, blocks: &[Block], [q, keys, values]: &[Tensor; 3]) -> Vec<Vec<u32>> {
        let attention = Attention { spec, blocks: Arc::from(blocks), read: true };
        let (out, readings) = attention.apply(q, keys, values).unwrap();
        let readings = readings.unwrap();
        let all = Tensor::cat(&[out, readings.own, readings.entropy], 1).unwrap().to_vec2::<f32>().unwrap();
        all.into_iter().map(|row| row.into_iter().map(f32::to_bits).collect()).collect()
    }

    /// The same where every block is a pass by itself.
    fn bits_one_by_one(
        spec: &AttentionSpec,
        blocks: &[Block],
        [q, keys, values]: &[Tensor; 3],
    ) -> Vec<Vec<u32>> {
        let of_block = |block: &Block| {
            let q = q.narrow(0, block.rows.start, block.rows.len()).unwrap().contiguous().unwrap();
            let alone = Block { rows: 0..block.rows.len(), ..block.clone() };
            bits(spec, &[alone], &[q, keys.clone(), values.clone()])
        };
        blocks.iter().flat_map(of_block).collect()
    }

    const WINDOWS: [Option<usize>; 5] = [None, Some(1), Some(9), Some(40), Some(60)];

    #[test]
    fn a_row_has_the_same_bits_by_itself_and_in_a_run() {
        let n = 69;
        let tensors = [random(&[n, 120], 4), random(&[100, 40], 5), random(&[100, 24], 6)];
        let run = [block(0..n, std::iter::once(3..20).collect(), 25)];
        let apart: Vec<Block> =
            (0..n).map(|row| block(row..row + 1, vec![3..20, 25..25 + row], 25 + row)).collect();
        for window in WINDOWS {
            for softcap in [None, Some(1.5)] {
                let spec = spec(window, softcap);
                let expected = bits_one_by_one(&spec, &apart, &tensors);
                assert_eq!(bits(&spec, &run, &tensors), expected, "{window:?} {softcap:?}");
                assert_eq!(bits(&spec, &apart, &tensors), expected, "{window:?} {softcap:?}");
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_by_itself_and_with_others_of_its_trunk() {
        // Two trunks, paths that leave them early and late, with tails of every length and some in several pieces.
        let path = |row: usize| {
            let trunk = [0..90, 100..220, 110..230][row % 3].clone();
            let trunk = trunk.start..trunk.end - row % 5 * 6;
            let tail = 300 + 40 * row;
            match row % 4 {
                0 => vec![trunk],
                1 => vec![trunk, tail..tail + row],
                2 => vec![trunk.start..trunk.end - 3, tail..tail + 2, tail + 3..tail + 3 + row],
                _ => std::iter::once(trunk.start + 50..trunk.end).collect(),
            }
        };
        let blocks: Vec<Block> = (0..50).map(|row| block(row..row + 1, path(row), 339 + 40 * row)).collect();
        let tensors = [random(&[50, 120], 4), random(&[2400, 40], 5), random(&[2400, 24], 6)];
        let together = Group::of(blocks.iter().collect(), None, 10).0;
        assert!(together.len() >= 4, "only {} groups", together.len());
        for window in WINDOWS {
            for softcap in [None, Some(1.5)] {
                let spec = spec(window, softcap);
                let expected = bits_one_by_one(&spec, &blocks, &tensors);
                assert_eq!(bits(&spec, &blocks, &tensors), expected, "{window:?} {softcap:?}");
            }
        }
    }

    #[test]
    fn fused_equals_composed() {
        // A root of 70 rows, a branch of 3 forking after 50 of them, one row after two separate ranges, and a branch of one token.
        let blocks: Arc<[Block]> = Arc::from([
            block(0..70, vec![], 5),
            block(70..73, std::iter::once(5..55).collect(), 75),
            block(73..74, vec![5..45, 90..100], 80),
            block(74..75, vec![5..45, 90..100], 81),
        ]);
        let q = random(&[75, 120], 1);
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
