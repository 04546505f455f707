//! The gate of the feed-forward part: act(gate) · up, from `[T, 2I]` (gate beside up) to `[T, I]`.

use super::row_map::RowMap;
use crate::spec::Activation;
use candle_core::{Result, Tensor};
use entrace_kernels::exp::{exp, tanh};
use entrace_kernels::vectorised;

/// act(gate) · up.
pub(crate) struct Gate(pub(crate) Activation);

impl RowMap for Gate {
    /// The exact GELU needs the error function, which has no fused form here; no family that is fast on the CPU uses it.
    fn has_kernel(&self) -> bool {
        self.0 != Activation::Gelu
    }

    fn width(&self, width: usize) -> usize {
        width / 2
    }

    fn map(&self, row: &[f32], out: &mut [f32]) {
        let (gate, up) = row.split_at(out.len());
        match self.0 {
            Activation::Silu => silu_gate(gate, up, out),
            Activation::GeluTanh | Activation::Gelu => gelu_gate(gate, up, out),
        }
    }

    fn composed(&self, gate_up: &Tensor) -> Result<Tensor> {
        let (_, both) = gate_up.dims2()?;
        let gate = gate_up.narrow(1, 0, both / 2)?;
        let up = gate_up.narrow(1, both / 2, both / 2)?;
        let gate = match self.0 {
            Activation::Silu => gate.silu()?,
            Activation::GeluTanh => gate.gelu()?,
            Activation::Gelu => gate.gelu_erf()?,
        };
        gate * up
    }
}

vectorised! {
    fn silu_gate(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
            *out = silu(gate) * up;
        }
    }
}

vectorised! {
    fn gelu_gate(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
            *out = gelu_tanh(gate) * up;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::row_map::apply;
    use crate::ops::tests_support::{assert_close, random};

    #[test]
    fn fused_equals_composed() {
        let x = (random(&[5, 70], 3) * 4.0).unwrap();
        for activation in [Activation::Silu, Activation::GeluTanh, Activation::Gelu] {
            let gate = Gate(activation);
            assert_close(&apply(&gate, &x).unwrap(), &gate.composed(&x).unwrap(), 1e-5);
        }
    }
}
