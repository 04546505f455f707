//! y = x / rms(x) · w over rows, `[T, E]` and `[E]`, with rms(x) = √(mean x² + ε).
//!
//! Backward, with r = 1 / rms(x) and g = dy·w: dx = r·(g − x·r²·mean(g·x)), dw = Σ_t dy·x·r.

use super::exp::{dot, sum};
use super::numbers::{self, of_storage, of_tensor};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use entrace_kernels::vectorised;

struct RmsNorm {
    eps: f32,
    train_weight: bool,
}

/// Normalises every row.
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    x.apply_op2(weight, RmsNorm { eps: eps as f32, train_weight: weight.is_variable() })
}

impl RmsNorm {
    #[inline(always)]
    fn scale(&self, x: &[f32]) -> f32 {
        1.0 / (sum(x, |v| v * v) / x.len() as f32 + self.eps).sqrt()
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, width) = x_layout.shape().dims2()?;
        let (x, w) = (of_storage(x, x_layout)?, of_storage(w, w_layout)?);
        let mut y = vec![0f32; x.len()];
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            forward(self, x, w, y);
        }
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, width) = x.dims2()?;
        let dy = dy.contiguous()?;
        let (x, w, dy) = (of_tensor(x)?, of_tensor(w)?, of_tensor(&dy)?);
        let (x, w, dy) = (&*x, &*w, &*dy);
        let mut dx = vec![0f32; rows * width];
        let mut dw = vec![0f32; width];
        let rows_of_both = x.chunks_exact(width).zip(dy.chunks_exact(width));
        for (dx, (x, dy)) in dx.chunks_exact_mut(width).zip(rows_of_both) {
            backward(self, x, w, dy, dx, &mut dw);
        }
        let dw = if self.train_weight { Some(numbers::tensor(dw, width)?) } else { None };
        Ok((Some(numbers::tensor(dx, (rows, width))?), dw))
    }
}

vectorised! {
    /// One row.
    fn forward(norm: &RmsNorm, x: &[f32], w: &[f32], y: &mut [f32]) {
        let scale = norm.scale(x);
        for ((y, &x), &w) in y.iter_mut().zip(x).zip(w) {
            *y = x * scale * w;
        }
    }
}

vectorised! {
    /// One row; the gradients of the weight are added up.
    fn backward(norm: &RmsNorm, x: &[f32], w: &[f32], dy: &[f32], dx: &mut [f32], dw: &mut [f32]) {
        let r = norm.scale(x);
        for ((dx, &dy), &w) in dx.iter_mut().zip(dy).zip(w) {
            *dx = dy * w;
        }
        let pull = r * r * dot(dx, x) / x.len() as f32;
        for ((dx, dw), (&x, &dy)) in dx.iter_mut().zip(dw).zip(x.iter().zip(dy)) {
            *dw += dy * x * r;
            *dx = r * (*dx - x * pull);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{check_gradients, random};
    use candle_core::D;

    #[test]
    fn equals_the_composed_norm_and_its_gradients() {
        let eps = 1e-3;
        check_gradients(
            &[random(&[6, 37], 1), random(&[37], 2)],
            |v| rms_norm(&v[0], &v[1], eps),
            |v| {
                let rms = (v[0].sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
                v[0].broadcast_div(&rms)?.broadcast_mul(&v[1])
            },
        );
    }
}
