//! y = x·Wᵀ + b, from `[T, K]` to `[T, N]`.
//!
//! On the CPU activations are float32 whatever the weights are kept in, and weights are laid out once for all products (see `packed`). On
//! other devices both have one type and the product is the device's.

use super::packed::Packed;
use super::rows::Rows;
use candle_core::{DType, Device, Result, Tensor};
use std::sync::Arc;

/// A linear map.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

/// A matrix `[N, K]` as in checkpoints, where its products are computed.
#[derive(Debug, Clone)]
pub(crate) enum Weight {
    /// In panels, in CPU memory.
    Packed(Arc<Packed>),
    /// On another device.
    Device(Tensor),
}

impl Weight {
    /// Takes a matrix to where its products are computed.
    pub(crate) fn new(matrix: Tensor) -> Result<Self> {
        Ok(if matrix.device().is_cpu() {
            Self::Packed(Arc::new(Packed::new(&matrix)?))
        } else {
            Self::Device(matrix)
        })
    }

    /// N.
    pub(crate) fn n_rows(&self) -> Result<usize> {
        match self {
            Self::Packed(packed) => Ok(packed.n_rows()),
            Self::Device(matrix) => Ok(matrix.dims2()?.0),
        }
    }

    /// Some rows of the matrix, `[R, K]`.
    pub(crate) fn rows(&self, indices: &[u32], width: usize) -> Result<Tensor> {
        match self {
            Self::Packed(packed) => {
                let mut out = vec![0f32; indices.len() * width];
                for (&index, out) in indices.iter().zip(out.chunks_exact_mut(width)) {
                    packed.copy_row(index as usize, out);
                }
                Tensor::from_vec(out, (indices.len(), width), &Device::Cpu)
            }
            Self::Device(matrix) => {
                let indices = Tensor::from_slice(indices, indices.len(), matrix.device())?;
                matrix.index_select(&indices, 0)
            }
        }
    }

    fn product(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Packed(packed) => {
                let (storage, layout) = x.storage_and_layout();
                let candle_core::Storage::Cpu(storage) = &*storage else {
                    candle_core::bail!("rows are not on the CPU")
                };
                let rows = Rows::new(storage, layout)?;
                if rows.width != packed.n_columns() {
                    candle_core::bail!(
                        "a map of {} numbers was given rows of {}",
                        packed.n_columns(),
                        rows.width
                    );
                }
                let y = packed.product(rows);
                Tensor::from_vec(y, (rows.n_rows, packed.n_rows()), &Device::Cpu)
            }
            Self::Device(matrix) => x.matmul(&matrix.t()?),
        }
    }
}

impl Linear {
    pub(crate) fn new(weight: Weight, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// N.
    pub(crate) fn out_dim(&self) -> Result<usize> {
        self.weight.n_rows()
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.weight.product(x)?;
        match &self.bias {
            Some(bias) if y.dtype() == DType::F32 => y.broadcast_add(bias),
            Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?),
            None => Ok(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{assert_close, random};

    #[test]
    fn fused_equals_composed() {
        let (weight, bias) = (random(&[30, 17], 1), random(&[30], 2));
        let linear = Linear::new(Weight::new(weight.clone()).unwrap(), Some(bias.clone()));
        for x in [random(&[1, 17], 3), random(&[9, 17], 4), random(&[9, 40], 5).narrow(1, 7, 17).unwrap()] {
            let expected =
                x.contiguous().unwrap().matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
            assert_close(&linear.forward(&x).unwrap(), &expected, 1e-5);
        }
    }
}
