//! Norms over groups of a row, in float32.
//!
//! x `[T, N]` is cut into groups of `group` numbers (N for an ordinary norm, D for norms on heads); each group is divided by its root mean
//! square, or freed of mean and scaled to variance one; then multiplied by a weight `[group]`.

use super::rows::{Rows, on_cpu, rows_for_each_task};
use crate::spec::NormKind;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// A norm with its weight (offset already added); `None` where the kind has none.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    kind: NormKind,
    weight: Option<Tensor>,
}

impl Norm {
    /// `weight` is as in the checkpoint, `[group]` in float32.
    pub(crate) fn new(kind: NormKind, weight: Option<Tensor>) -> Result<Self> {
        let weight = match (kind, weight) {
            (NormKind::Rms { offset, .. }, Some(weight)) if offset.abs() > 0.0 => Some((weight + offset)?),
            (_, weight) => weight,
        };
        Ok(Self { kind, weight })
    }

    /// Normalises every row as one group.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, width) = x.dims2()?;
        self.forward_groups(x, width)
    }

    /// Normalises every group of `group` numbers.
    pub(crate) fn forward_groups(&self, x: &Tensor, group: usize) -> Result<Tensor> {
        if !on_cpu(x) {
            return self.composed(x, group);
        }
        let op = Kernel { kind: self.kind, group };
        match &self.weight {
            Some(weight) => x.apply_op2_no_bwd(weight, &op),
            None => x.apply_op1_no_bwd(&op),
        }
    }

    fn composed(&self, x: &Tensor, group: usize) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        let wide = x.to_dtype(DType::F32)?.reshape((rows, width / group, group))?;
        let (centred, eps) = match self.kind {
            NormKind::Rms { eps, .. } => (wide, eps),
            NormKind::PlainLayer { eps } => (wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?, eps),
        };
        let scale = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
        let mut out = centred.broadcast_div(&scale)?;
        if let Some(weight) = &self.weight {
            out = out.broadcast_mul(weight)?;
        }
        out.reshape((rows, width))?.to_dtype(x.dtype())
    }
}

struct Kernel {
    kind: NormKind,
    group: usize,
}

impl Kernel {
    fn run(&self, x: Rows<'_>, weight: Option<&[f32]>) -> Vec<f32> {
        let mut out = vec![0f32; x.n_rows * x.width];
        let chunk = rows_for_each_task(x.width);
        let arch = pulp::Arch::new();
        out.par_chunks_mut(chunk * x.width.max(1)).enumerate().for_each(|(task, out)| {
            arch.dispatch(|| {
                for (i, out) in out.chunks_exact_mut(x.width).enumerate() {
                    let row = x.row(task * chunk + i);
                    for (out, x) in out.chunks_exact_mut(self.group).zip(row.chunks_exact(self.group)) {
                        self.one(x, weight, out);
                    }
                }
            });
        });
        out
    }

    #[inline(always)]
    fn one(&self, x: &[f32], weight: Option<&[f32]>, out: &mut [f32]) {
        let n = x.len() as f32;
        let (mean, eps) = match self.kind {
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

impl CustomOp1 for Kernel {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = self.run(Rows::new(x, layout)?, None);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

impl CustomOp2 for Kernel {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let weight = &w.as_slice::<f32>()?[w_layout.start_offset()..][..self.group];
        let out = self.run(Rows::new(x, layout)?, Some(weight));
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
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
                    &norm.composed(&x, group).unwrap(),
                    1e-5,
                );
            }
        }
    }
}
