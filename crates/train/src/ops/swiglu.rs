//! y = gate·σ(gate)·up, number by number.
//!
//! Backward, with s = σ(gate): d gate = dy·up·s·(1 + gate·(1 − s)), d up = dy·gate·s.

use super::exp::sigmoid;
use super::numbers::{self, of_storage, of_tensor};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use entrace_kernels::vectorised;

struct SwiGlu;

/// silu(gate)·up.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2(up, SwiGlu)
}

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (of_storage(gate, gate_layout)?, of_storage(up, up_layout)?);
        let mut y = vec![0f32; gate.len()];
        forward(gate, up, &mut y);
        Ok((CpuStorage::F32(y), gate_layout.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let shape = gate.shape().clone();
        let dy = dy.contiguous()?;
        let (gate, up, dy) = (of_tensor(gate)?, of_tensor(up)?, of_tensor(&dy)?);
        let (gate, up, dy) = (&*gate, &*up, &*dy);
        let mut d_gate = vec![0f32; gate.len()];
        let mut d_up = vec![0f32; gate.len()];
        backward(gate, up, dy, &mut d_gate, &mut d_up);
        Ok((Some(numbers::tensor(d_gate, shape.clone())?), Some(numbers::tensor(d_up, shape)?)))
    }
}

vectorised! {
    fn forward(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
            *y = gate * sigmoid(gate) * up;
        }
    }
}

vectorised! {
    fn backward(gate: &[f32], up: &[f32], dy: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
        let inputs = gate.iter().zip(up).zip(dy);
        for ((d_gate, d_up), ((&gate, &up), &dy)) in d_gate.iter_mut().zip(d_up).zip(inputs) {
            let s = sigmoid(gate);
            *d_gate = dy * up * s * (1.0 + gate * (1.0 - s));
            *d_up = dy * gate * s;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{check_gradients, random};

    #[test]
    fn equals_the_composed_product_and_its_gradients() {
        let wide = (random(&[5, 33], 1) * 6.0).unwrap();
        check_gradients(&[wide, random(&[5, 33], 2)], |v| swiglu(&v[0], &v[1]), |v| v[0].silu()? * &v[1]);
    }
}
