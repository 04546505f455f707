//! Causal attention of packed documents: q `[T, H·D]`, k and v `[T, K·D]` to `[T, H·D]`.
//!
//! Rows of one document see each other only, earlier ones later never: a = softmax(scale·q·kᵀ) over rows up to their own, y = a·v. Query
//! head h reads key-value head h / (H/K). Work goes in tiles of query rows, whose scores over the keys before them are the only thing kept
//! in between. Backward computes the weights a again:
//!
//! dv = aᵀ·dy, da = dy·vᵀ, ds = a·(da − Σ_j a·da), dq = scale·ds·k, dk = scale·dsᵀ·q.

use super::exp::{dot, softmax};
use super::numbers::{self, of_storage, of_tensor};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use entrace_kernels::matrix::{Matrix, MatrixMut, Target, multiply};
use entrace_kernels::vectorised;
use std::ops::Range;
use std::sync::Arc;

/// Sizes and documents.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    /// H.
    pub(crate) n_heads: usize,
    /// K.
    pub(crate) n_kv_heads: usize,
    /// D.
    pub(crate) head_dim: usize,
    /// Factor on scores.
    pub(crate) scale: f32,
    /// Rows of each document; together all rows.
    pub(crate) documents: Arc<[Range<usize>]>,
}

const TILE_ROWS: usize = 64;

/// Query rows of one head, with the keys that they may see.
struct Tile {
    /// Query rows.
    rows: Range<usize>,
    /// Key rows: from the document's first to the last query row.
    keys: Range<usize>,
    head: usize,
    kv_head: usize,
}

impl Attention {
    /// Attention of queries, keys and values.
    pub(crate) fn apply(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        q.apply_op3(k, v, self.clone())
    }

    fn tiles(&self) -> impl Iterator<Item = Tile> + '_ {
        let group = self.n_heads / self.n_kv_heads;
        (0..self.n_heads).flat_map(move |head| {
            self.documents.iter().flat_map(move |document| {
                document.clone().step_by(TILE_ROWS).map(move |first| {
                    let last = document.end.min(first + TILE_ROWS);
                    Tile { rows: first..last, keys: document.start..last, head, kv_head: head / group }
                })
            })
        })
    }

    /// The columns of one head of some rows of `[T, n·D]`.
    fn view<'a>(&self, numbers: &'a [f32], rows: &Range<usize>, head: usize, heads: usize) -> Matrix<'a> {
        let stride = heads * self.head_dim;
        let data = &numbers[rows.start * stride + head * self.head_dim..];
        Matrix::strided(data, rows.len(), self.head_dim, stride)
    }

    fn view_mut<'a>(
        &self,
        numbers: &'a mut [f32],
        rows: &Range<usize>,
        head: usize,
        heads: usize,
    ) -> MatrixMut<'a> {
        let stride = heads * self.head_dim;
        let data = &mut numbers[rows.start * stride + head * self.head_dim..];
        MatrixMut::strided(data, rows.len(), self.head_dim, stride)
    }

    /// The weights a of a tile, `[rows, keys]`, zero where a row may not look.
    fn weights(&self, tile: &Tile, q: &[f32], k: &[f32], scores: &mut Vec<f32>) {
        let (n, m) = (tile.rows.len(), tile.keys.len());
        scores.resize(n * m, 0.0);
        let queries = self.view(q, &tile.rows, tile.head, self.n_heads);
        let keys = self.view(k, &tile.keys, tile.kv_head, self.n_kv_heads);
        multiply(MatrixMut::new(scores, n, m), Target::Set, self.scale, queries, keys.t());
        let seen = m - n;
        seen_softmax(scores, m, seen);
    }
}

vectorised! {
    /// The softmax of rows of `width`, each over one more key than the row before; the first over `seen` and its own.
    fn seen_softmax(scores: &mut [f32], width: usize, seen: usize) {
        for (i, row) in scores.chunks_exact_mut(width).enumerate() {
            let (row, unseen) = row.split_at_mut(seen + i + 1);
            softmax(row);
            unseen.fill(0.0);
        }
    }
}

vectorised! {
    /// da to ds, in place: a·(da − Σ_j a·da).
    fn through_softmax(weights: &[f32], da: &mut [f32], width: usize) {
        for (a, da) in weights.chunks_exact(width).zip(da.chunks_exact_mut(width)) {
            let mean = dot(a, da);
            for (da, &a) in da.iter_mut().zip(a) {
                *da = a * (*da - mean);
            }
        }
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k, v) = (of_storage(q, q_layout)?, of_storage(k, k_layout)?, of_storage(v, v_layout)?);
        let mut y = vec![0f32; q.len()];
        let mut scores = Vec::new();
        for tile in self.tiles() {
            self.weights(&tile, q, k, &mut scores);
            let weights = Matrix::new(&scores, tile.rows.len(), tile.keys.len());
            let values = self.view(v, &tile.keys, tile.kv_head, self.n_kv_heads);
            let out = self.view_mut(&mut y, &tile.rows, tile.head, self.n_heads);
            multiply(out, Target::Set, 1.0, weights, values);
        }
        Ok((CpuStorage::F32(y), q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (q_shape, k_shape) = (q.shape().clone(), k.shape().clone());
        let dy = dy.contiguous()?;
        let (q, k, v, dy) = (of_tensor(q)?, of_tensor(k)?, of_tensor(v)?, of_tensor(&dy)?);
        let (heads, kv_heads) = (self.n_heads, self.n_kv_heads);
        let mut dq = vec![0f32; q.len()];
        let (mut dk, mut dv) = (vec![0f32; k.len()], vec![0f32; k.len()]);
        let (mut weights, mut da) = (Vec::new(), Vec::new());
        for tile in self.tiles() {
            let (n, m) = (tile.rows.len(), tile.keys.len());
            self.weights(&tile, &q, &k, &mut weights);
            let a = Matrix::new(&weights, n, m);
            let dy = self.view(&dy, &tile.rows, tile.head, heads);
            let keys = self.view(&k, &tile.keys, tile.kv_head, kv_heads);
            let values = self.view(&v, &tile.keys, tile.kv_head, kv_heads);
            let queries = self.view(&q, &tile.rows, tile.head, heads);
            da.resize(n * m, 0.0);
            multiply(MatrixMut::new(&mut da, n, m), Target::Set, 1.0, dy, values.t());
            through_softmax(&weights, &mut da, m);
            let ds = Matrix::new(&da, n, m);
            let dv = self.view_mut(&mut dv, &tile.keys, tile.kv_head, kv_heads);
            multiply(dv, Target::Add, 1.0, a.t(), dy);
            let dq = self.view_mut(&mut dq, &tile.rows, tile.head, heads);
            multiply(dq, Target::Set, self.scale, ds, keys);
            let dk = self.view_mut(&mut dk, &tile.keys, tile.kv_head, kv_heads);
            multiply(dk, Target::Add, self.scale, ds.t(), queries);
        }
        let tensor = |numbers: Vec<f32>, shape: &Shape| numbers::tensor(numbers, shape.clone()).map(Some);
        Ok((tensor(dq, &q_shape)?, tensor(dk, &k_shape)?, tensor(dv, &k_shape)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{check_gradients, random};
    use candle_core::{D, Device};

    /// One softmax over all rows, with a mask.
    fn composed(op: &Attention, v: &[Tensor]) -> Result<Tensor> {
        let (t, _) = v[0].dims2()?;
        let document = |row: usize| op.documents.iter().position(|d| d.contains(&row));
        let mask: Vec<f32> = (0..t * t)
            .map(|i| (i / t, i % t))
            .map(
                |(row, key)| {
                    if key <= row && document(key) == document(row) { 0.0 } else { f32::NEG_INFINITY }
                },
            )
            .collect();
        let mask = Tensor::from_vec(mask, (t, t), &Device::Cpu)?;
        let (group, dim) = (op.n_heads / op.n_kv_heads, op.head_dim);
        let heads = (0..op.n_heads).map(|h| {
            let column = |x: &Tensor, head: usize| x.narrow(1, head * dim, dim)?.contiguous();
            let (q, k, v) = (column(&v[0], h)?, column(&v[1], h / group)?, column(&v[2], h / group)?);
            let scores = ((q.matmul(&k.t()?)? * f64::from(op.scale))? + &mask)?;
            let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
            weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?.matmul(&v)
        });
        Tensor::cat(&heads.collect::<Result<Vec<_>>>()?, 1)
    }

    #[test]
    fn equals_the_composed_attention_and_its_gradients() {
        for (n_heads, n_kv_heads, documents) in
            [(2, 2, vec![0..3, 3..7]), (4, 2, vec![0..1, 1..6, 6..9]), (1, 1, vec![0..70, 70..140])]
        {
            let t = documents.last().map_or(0, |d| d.end);
            let op = Attention { n_heads, n_kv_heads, head_dim: 4, scale: 0.7, documents: documents.into() };
            let inputs = [
                random(&[t, n_heads * 4], 1),
                random(&[t, n_kv_heads * 4], 2),
                random(&[t, n_kv_heads * 4], 3),
            ];
            check_gradients(&inputs, |v| op.apply(&v[0], &v[1], &v[2]), |v| composed(&op, v));
        }
    }
}
