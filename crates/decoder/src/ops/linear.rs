//! y = x·Wᵀ + b, from `[T, K]` to `[T, N]`.
//!
//! On the CPU activations are float32 whatever the weights are kept in: a bf16 or f16 matrix is widened as it is used, so that sums are
//! float32 sums of exact products.

use candle_core::{DType, Result, Tensor};

/// A linear map; `weight` is `[N, K]` as in checkpoints.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// N.
    pub(crate) fn out_dim(&self) -> Result<usize> {
        Ok(self.weight.dims2()?.0)
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let weight = if self.weight.dtype() == x.dtype() {
            self.weight.clone()
        } else {
            self.weight.to_dtype(x.dtype())?
        };
        let y = x.matmul(&weight.t()?)?;
        match &self.bias {
            Some(bias) if y.dtype() == DType::F32 => y.broadcast_add(bias),
            Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?),
            None => Ok(y),
        }
    }
}
