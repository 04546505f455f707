//! A matrix of which single rows are asked for: embeddings that are not also the output head.
//!
//! In CPU memory it stays as its file has it, which for quantised embeddings is a sixth of the memory, and rows become numbers when they
//! are asked for.

use super::rows::Rows;
use candle_core::{DType, Device, Result as TensorResult, Tensor};

/// Rows by index.
#[derive(Debug)]
pub(crate) enum Table {
    /// In CPU memory; the numbers are rounded to a type.
    Kept(Rows<'static>, DType),
    /// On another device.
    Device(Tensor),
}

impl Table {
    /// Some rows, `[R, K]`.
    pub(crate) fn rows(&self, indices: &[u32], width: usize) -> TensorResult<Tensor> {
        match self {
            Self::Kept(rows, dtype) => {
                let mut out = vec![0f32; indices.len() * width];
                for (&index, out) in indices.iter().zip(out.chunks_exact_mut(width)) {
                    rows.read(index as usize..index as usize + 1, out)?;
                }
                Tensor::from_vec(out, (indices.len(), width), &Device::Cpu)?.to_dtype(*dtype)
            }
            Self::Device(matrix) => {
                let indices = Tensor::from_slice(indices, indices.len(), matrix.device())?;
                matrix.index_select(&indices, 0)
            }
        }
    }
}
