//! The gate of the feed-forward part: act(gate) · up, from `[T, 2I]` (gate beside up) to `[T, I]`.

use super::exp::{exp, tanh};
use super::rows::{Rows, on_cpu, rows_for_each_task};
use crate::spec::Activation;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// act(gate) · up.
pub(crate) fn gated(gate_up: &Tensor, activation: Activation) -> Result<Tensor> {
    // The exact GELU needs the error function, which has no fused form here; no family that is fast on the CPU uses it.
    if on_cpu(gate_up) && activation != Activation::Gelu {
        gate_up.apply_op1_no_bwd(&Kernel { activation })
    } else {
        composed(gate_up, activation)
    }
}

fn composed(gate_up: &Tensor, activation: Activation) -> Result<Tensor> {
    let (_, both) = gate_up.dims2()?;
    let gate = gate_up.narrow(1, 0, both / 2)?;
    let up = gate_up.narrow(1, both / 2, both / 2)?;
    let gate = match activation {
        Activation::Silu => gate.silu()?,
        Activation::GeluTanh => gate.gelu()?,
        Activation::Gelu => gate.gelu_erf()?,
    };
    gate * up
}

struct Kernel {
    activation: Activation,
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)))
}

impl CustomOp1 for Kernel {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = Rows::new(x, layout)?;
        let width = x.width / 2;
        let mut out = vec![0f32; x.n_rows * width];
        let chunk = rows_for_each_task(width);
        let arch = pulp::Arch::new();
        out.par_chunks_mut(chunk * width.max(1)).enumerate().for_each(|(task, out)| {
            arch.dispatch(|| {
                for (i, out) in out.chunks_exact_mut(width).enumerate() {
                    let (gate, up) = x.row(task * chunk + i).split_at(width);
                    match self.activation {
                        Activation::Silu => {
                            for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                                *out = silu(g) * u;
                            }
                        }
                        Activation::GeluTanh | Activation::Gelu => {
                            for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                                *out = gelu_tanh(g) * u;
                            }
                        }
                    }
                }
            });
        });
        Ok((CpuStorage::F32(out), Shape::from((x.n_rows, width))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{assert_close, random};

    #[test]
    fn fused_equals_composed() {
        let x = (random(&[5, 70], 3) * 4.0).unwrap();
        for activation in [Activation::Silu, Activation::GeluTanh, Activation::Gelu] {
            assert_close(&gated(&x, activation).unwrap(), &composed(&x, activation).unwrap(), 1e-5);
        }
    }
}
