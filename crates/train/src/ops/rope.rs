//! Rotary embeddings: in every head of `[T, n·D]`, numbers i and i + D/2 turn by the angle of position and pair.
//!
//! (a, b) to (a cos − b sin, b cos + a sin); backward is the rotation by the opposite angle, times the same factor if the scaling
//! has one.

use super::numbers::{self, of_storage, of_tensor};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use entrace_kernels::vectorised;
use std::sync::Arc;

/// Cosines and sines of every row, `[T, D/2]` each.
#[derive(Debug)]
pub(crate) struct Angles {
    pub(crate) cos: Vec<f32>,
    pub(crate) sin: Vec<f32>,
    /// D/2.
    pub(crate) half: usize,
}

struct Rope(Arc<Angles>);

/// Turns all heads of all rows.
pub(crate) fn rope(x: &Tensor, angles: &Arc<Angles>) -> Result<Tensor> {
    x.apply_op1(Rope(angles.clone()))
}

impl Rope {
    fn turn(&self, x: &[f32], width: usize, direction: f32) -> Vec<f32> {
        let half = self.0.half;
        let mut out = vec![0f32; x.len()];
        let rows = x.chunks_exact(width).zip(out.chunks_exact_mut(width));
        let angles = self.0.cos.chunks_exact(half).zip(self.0.sin.chunks_exact(half));
        for ((x, out), (cos, sin)) in rows.zip(angles) {
            turn_heads(x, cos, sin, direction, out);
        }
        out
    }
}

vectorised! {
    /// Turns all heads of one row.
    fn turn_heads(x: &[f32], cos: &[f32], sin: &[f32], direction: f32, out: &mut [f32]) {
        let half = cos.len();
        for (x, out) in x.chunks_exact(2 * half).zip(out.chunks_exact_mut(2 * half)) {
            let ((a, b), (out_a, out_b)) = (x.split_at(half), out.split_at_mut(half));
            for i in 0..half {
                let (c, s) = (cos[i], direction * sin[i]);
                out_a[i] = a[i] * c - b[i] * s;
                out_b[i] = b[i] * c + a[i] * s;
            }
        }
    }
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        Ok((CpuStorage::F32(self.turn(of_storage(storage, layout)?, width, 1.0)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (rows, width) = x.dims2()?;
        let dy = dy.contiguous()?;
        let dx = self.turn(&of_tensor(&dy)?, width, -1.0);
        Ok(Some(numbers::tensor(dx, (rows, width))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{check_gradients, random};
    use candle_core::{D, Device};

    #[test]
    fn equals_the_composed_rotation_and_its_gradient() {
        let (t, heads, half) = (5, 3, 4);
        let angle = |i: usize| (i / half) as f32 / 10f32.powi((i % half) as i32);
        let cos: Vec<f32> = (0..t * half).map(|i| angle(i).cos()).collect();
        let sin: Vec<f32> = (0..t * half).map(|i| angle(i).sin()).collect();
        let wide = |x: &[f32]| Tensor::from_slice(x, (t, 1, half), &Device::Cpu).unwrap();
        let (c, s) = (wide(&cos), wide(&sin));
        let angles = Arc::new(Angles { cos, sin, half });
        check_gradients(
            &[random(&[t, heads * 2 * half], 1)],
            |v| rope(&v[0], &angles),
            |v| {
                let x = v[0].reshape((t, heads, 2 * half))?;
                let (a, b) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
                let turned_a = (a.broadcast_mul(&c)? - b.broadcast_mul(&s)?)?;
                let turned_b = (b.broadcast_mul(&c)? + a.broadcast_mul(&s)?)?;
                Tensor::cat(&[turned_a, turned_b], D::Minus1)?.reshape((t, heads * 2 * half))
            },
        );
    }
}
