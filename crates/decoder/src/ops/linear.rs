//! y = x·Wᵀ + b, from `[T, K]` to `[T, N]`.
//!
//! On the CPU activations are float32 whatever the weights are kept in, and weights are laid out once for all products (see `packed`). On
//! other devices both have one type and the product is the device's.

use super::packed::Packed;
use super::row_map::RowMap;
use super::rows::Rows;
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};
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

    fn product(&self, x: &Tensor, around: Around<'_>) -> Result<Tensor> {
        match self {
            Self::Packed(packed) => {
                let (x, x_layout) = x.storage_and_layout();
                let rows = Rows::new(on_the_cpu(&x)?, x_layout)?;
                let width = around.first.map_or(rows.width, |map| map.width(rows.width));
                if width != packed.n_columns() {
                    candle_core::bail!("a map of {} numbers was given rows of {width}", packed.n_columns());
                }
                let y = match around.onto {
                    None => packed.product(rows, around.first, None),
                    Some(onto) => {
                        let (onto, onto_layout) = onto.storage_and_layout();
                        let onto = Rows::new(on_the_cpu(&onto)?, onto_layout)?;
                        if (onto.n_rows, onto.width) != (rows.n_rows, packed.n_rows()) {
                            candle_core::bail!("a product cannot be added to rows of another size");
                        }
                        packed.product(rows, around.first, Some(onto))
                    }
                };
                Tensor::from_vec(y, (rows.n_rows, packed.n_rows()), &Device::Cpu)
            }
            Self::Device(matrix) => {
                let mapped = around.first.map(|map| map.composed(x)).transpose()?;
                let y = mapped.as_ref().unwrap_or(x).matmul(&matrix.t()?)?;
                match around.onto {
                    Some(onto) => onto + y,
                    None => Ok(y),
                }
            }
        }
    }
}

fn on_the_cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => candle_core::bail!("rows are not on the CPU"),
    }
}

/// What a product does along the way.
#[derive(Clone, Copy, Default)]
pub(crate) struct Around<'a> {
    /// What is done to the rows first.
    pub(crate) first: Option<&'a dyn RowMap>,
    /// What the result is added to, `[T, N]`.
    pub(crate) onto: Option<&'a Tensor>,
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
        self.forward_around(x, Around::default())
    }

    /// onto + first(x)·Wᵀ + b.
    pub(crate) fn forward_around(&self, x: &Tensor, around: Around<'_>) -> Result<Tensor> {
        let y = match around.first {
            Some(map) if !map.has_kernel() => {
                self.weight.product(&map.composed(x)?, Around { first: None, ..around })?
            }
            _ => self.weight.product(x, around)?,
        };
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
    use crate::ops::activation::Gate;
    use crate::ops::packed::Products;
    use crate::ops::row_map::apply;
    use crate::ops::tests_support::{assert_close, random};
    use crate::spec::Activation;

    fn packed(matrix: &Tensor) -> Weight {
        Weight::Packed(Arc::new(Packed::of_tensor(matrix, Products::Float32)))
    }

    #[test]
    fn fused_equals_composed() {
        let (weight, bias) = (random(&[30, 17], 1), random(&[30], 2));
        let linear = Linear::new(packed(&weight), Some(bias.clone()));
        for x in [random(&[1, 17], 3), random(&[9, 17], 4), random(&[9, 40], 5).narrow(1, 7, 17).unwrap()] {
            let expected =
                x.contiguous().unwrap().matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
            assert_close(&linear.forward(&x).unwrap(), &expected, 1e-5);
        }
    }

    #[test]
    fn what_is_done_along_the_way_equals_doing_it_apart() {
        let linear = Linear::new(packed(&random(&[70, 20], 1)), Some(random(&[70], 2)));
        let onto = random(&[29, 70], 4);
        for activation in [Activation::Silu, Activation::Gelu] {
            let (x, gate) = (random(&[29, 40], 3), Gate(activation));
            let found = linear.forward_around(&x, Around { first: Some(&gate), onto: Some(&onto) }).unwrap();
            let apart = (onto.clone() + linear.forward(&apply(&gate, &x).unwrap()).unwrap()).unwrap();
            assert_close(&found, &apart, 1e-6);
        }
    }
}
