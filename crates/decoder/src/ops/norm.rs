//! Norms over groups of a row, in float32.
//!
//! x `[T, N]` is cut into groups of `group` numbers (N for an ordinary norm, D for norms on heads); each group is divided by its root mean
//! square, or freed of mean and scaled to variance one; then multiplied by a weight `[group]`.

use super::row_map::{self, RowMap};
use crate::spec::NormKind;
use candle_core::{D, DType, Result, Tensor};
use entrace_kernels::vectorised;

/// A norm with its weight (offset already added); `None` where the kind has none.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    kind: NormKind,
    weight: Option<Weight>,
}

/// `[group]`, where tensors are and where rows are read.
#[derive(Debug, Clone)]
struct Weight {
    tensor: Tensor,
    numbers: Vec<f32>,
}

impl Norm {
    /// `weight` is as in the checkpoint, `[group]` in float32.
    pub(crate) fn new(kind: NormKind, weight: Option<Tensor>) -> Result<Self> {
        let weight = match (kind, weight) {
            (NormKind::Rms { offset, .. }, Some(weight)) if offset.abs() > 0.0 => Some((weight + offset)?),
            (_, weight) => weight,
        };
        let weight =
            weight.map(|tensor| Ok::<_, candle_core::Error>(Weight { numbers: tensor.to_vec1()?, tensor }));
        Ok(Self { kind, weight: weight.transpose()? })
    }

    /// Normalises every row as one group.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        row_map::apply(&self.whole_rows(x)?, x)
    }

    /// Normalises every group of `group` numbers.
    pub(crate) fn forward_groups(&self, x: &Tensor, group: usize) -> Result<Tensor> {
        row_map::apply(&Groups { norm: self, group }, x)
    }

    /// The norm of rows like those of `x`, each as one group.
    pub(crate) fn whole_rows(&self, x: &Tensor) -> Result<Groups<'_>> {
        Ok(Groups { norm: self, group: x.dims2()?.1 })
    }
}

/// A norm over groups of so many numbers.
pub(crate) struct Groups<'a> {
    norm: &'a Norm,
    group: usize,
}

impl RowMap for Groups<'_> {
    fn width(&self, width: usize) -> usize {
        width
    }

    fn map(&self, row: &[f32], out: &mut [f32]) {
        let weight = self.norm.weight.as_ref().map(|weight| weight.numbers.as_slice());
        for (out, x) in out.chunks_exact_mut(self.group).zip(row.chunks_exact(self.group)) {
            group(self.norm.kind, weight, x, out);
        }
    }

    fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        let wide = x.to_dtype(DType::F32)?.reshape((rows, width / self.group, self.group))?;
        let (centred, eps) = match self.norm.kind {
            NormKind::Rms { eps, .. } => (wide, eps),
            NormKind::PlainLayer { eps } => (wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?, eps),
        };
        let scale = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
        let mut out = centred.broadcast_div(&scale)?;
        if let Some(weight) = &self.norm.weight {
            out = out.broadcast_mul(&weight.tensor)?;
        }
        out.reshape((rows, width))?.to_dtype(x.dtype())
    }
}

vectorised! {
    fn group(kind: NormKind, weight: Option<&[f32]>, x: &[f32], out: &mut [f32]) {
        let n = x.len() as f32;
        let (mean, eps) = match kind {
            NormKind::Rms { eps, .. } => (0.0, eps as f32),
            NormKind::PlainLayer { eps } => (sum(x, |v| v) / n, eps as f32),
        };
        let scale = 1.0 / (sum(x, |v| (v - mean) * (v - mean)) / n + eps).sqrt();
        match weight {
            Some(weight) => {
                for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight) {
                    *out = (x - mean) * scale * w;
                }
            }
            None => {
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = (x - mean) * scale;
                }
            }
        }
    }
}

/// Σ f(x) with sixteen running sums.
#[inline(always)]
fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<16>();
    let mut lanes = [0f32; 16];
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += f(v);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&v| f(v)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{assert_close, random};

    #[test]
    fn fused_equals_composed() {
        for kind in [
            NormKind::Rms { eps: 1e-6, offset: 0.0 },
            NormKind::Rms { eps: 1e-6, offset: 1.0 },
            NormKind::PlainLayer { eps: 1e-5 },
        ] {
            for group in [12, 36] {
                let x = random(&[7, 72], 1).narrow(1, 36, 36).unwrap();
                let weight = matches!(kind, NormKind::Rms { .. }).then(|| random(&[group], 2));
                let norm = Norm::new(kind, weight).unwrap();
                assert_close(
                    &norm.forward_groups(&x, group).unwrap(),
                    &Groups { norm: &norm, group }.composed(&x).unwrap(),
                    1e-5,
                );
            }
        }
    }
}
