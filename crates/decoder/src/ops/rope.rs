//! Turning queries and keys by their positions' angles.
//!
//! x `[T, H·D]`; of each head, `dim` numbers from `offset` on are turned, the rest passes. Pairs are (i, i + dim/2), or neighbours
//! (2i, 2i + 1) where the weights are laid out so; neighbours come out as halves, which changes no product of a query with a key.

use super::rows::{Rows, on_cpu, rows_for_each_task};
use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor};
use entrace_kernels::vectorised;
use rayon::prelude::*;

/// Cosines and sines of the rows of a pass, `[T, dim/2]` each, float32.
#[derive(Debug, Clone)]
pub(crate) struct Angles {
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
}

/// What of each head turns, and how pairs are laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rotation {
    pub(crate) head_dim: usize,
    pub(crate) offset: usize,
    pub(crate) dim: usize,
    pub(crate) interleaved: bool,
}

impl Rotation {
    /// Turns every head of every row.
    pub(crate) fn apply(&self, x: &Tensor, angles: &Angles) -> Result<Tensor> {
        if on_cpu(x) { x.apply_op3_no_bwd(&angles.cos, &angles.sin, self) } else { self.composed(x, angles) }
    }

    fn composed(&self, x: &Tensor, angles: &Angles) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        let heads = x.reshape((rows, width / self.head_dim, self.head_dim))?;
        let turning = heads.narrow(D::Minus1, self.offset, self.dim)?.to_dtype(DType::F32)?;
        let half = self.dim / 2;
        let (a, b) = if self.interleaved {
            let pairs = turning.reshape((rows, width / self.head_dim, half, 2))?;
            (pairs.narrow(3, 0, 1)?.squeeze(3)?, pairs.narrow(3, 1, 1)?.squeeze(3)?)
        } else {
            (turning.narrow(2, 0, half)?, turning.narrow(2, half, half)?)
        };
        let (cos, sin) = (angles.cos.unsqueeze(1)?, angles.sin.unsqueeze(1)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?.to_dtype(x.dtype())?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?.to_dtype(x.dtype())?;
        let before = heads.narrow(D::Minus1, 0, self.offset)?;
        let after_start = self.offset + self.dim;
        let after = heads.narrow(D::Minus1, after_start, self.head_dim - after_start)?;
        Tensor::cat(&[before, first, second, after], D::Minus1)?.reshape((rows, width))
    }
}

vectorised! {
    /// Turns one head.
    fn turn(rotation: &Rotation, x: &[f32], cos: &[f32], sin: &[f32], out: &mut [f32]) {
        out.copy_from_slice(x);
        let half = rotation.dim / 2;
        let x = &x[rotation.offset..rotation.offset + rotation.dim];
        let (cos, sin) = (&cos[..half], &sin[..half]);
        let (first, second) = out[rotation.offset..rotation.offset + rotation.dim].split_at_mut(half);
        if rotation.interleaved {
            for (i, pair) in x.as_chunks::<2>().0.iter().enumerate() {
                first[i] = pair[0] * cos[i] - pair[1] * sin[i];
                second[i] = pair[1] * cos[i] + pair[0] * sin[i];
            }
        } else {
            let (a, b) = x.split_at(half);
            for i in 0..half {
                first[i] = a[i] * cos[i] - b[i] * sin[i];
                second[i] = b[i] * cos[i] + a[i] * sin[i];
            }
        }
    }
}

impl CustomOp3 for Rotation {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, cos, sin) =
            (Rows::new(x, x_layout)?, Rows::new(cos, cos_layout)?, Rows::new(sin, sin_layout)?);
        let mut out = vec![0f32; x.n_rows * x.width];
        let chunk = rows_for_each_task(x.width);
        out.par_chunks_mut(chunk * x.width.max(1)).enumerate().for_each(|(task, out)| {
            for (i, out) in out.chunks_exact_mut(x.width).enumerate() {
                let row = task * chunk + i;
                let heads = x.row(row).chunks_exact(self.head_dim);
                for (head, out) in heads.zip(out.chunks_exact_mut(self.head_dim)) {
                    turn(self, head, cos.row(row), sin.row(row), out);
                }
            }
        });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{assert_close, random};

    #[test]
    fn fused_equals_composed() {
        let x = random(&[5, 36], 4);
        for interleaved in [false, true] {
            for (offset, dim) in [(0, 12), (4, 8), (0, 8)] {
                let rotation = Rotation { head_dim: 12, offset, dim, interleaved };
                let angles = Angles { cos: random(&[5, dim / 2], 5), sin: random(&[5, dim / 2], 6) };
                assert_close(
                    &rotation.apply(&x, &angles).unwrap(),
                    &rotation.composed(&x, &angles).unwrap(),
                    1e-6,
                );
            }
        }
    }
}
