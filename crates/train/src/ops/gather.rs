//! Rows of a matrix by index, `[N, E]` to `[R, E]`: embeddings of tokens, and hidden states of the rows that are scored.
//!
//! Backward: the gradient of each row is added to the row that it came from.

use super::numbers::{self, of_storage, of_tensor};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use std::sync::Arc;

struct Gather {
    indices: Arc<[u32]>,
}

/// The rows that `indices` name.
pub(crate) fn gather(matrix: &Tensor, indices: &Arc<[u32]>) -> Result<Tensor> {
    let (n, _) = matrix.dims2()?;
    if let Some(index) = indices.iter().find(|&&index| index as usize >= n) {
        candle_core::bail!("row {index} of a matrix of {n} rows")
    }
    matrix.apply_op1(Gather { indices: indices.clone() })
}

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let matrix = of_storage(storage, layout)?;
        let mut out = Vec::with_capacity(self.indices.len() * width);
        for &index in &*self.indices {
            out.extend_from_slice(&matrix[index as usize * width..][..width]);
        }
        Ok((CpuStorage::F32(out), (self.indices.len(), width).into()))
    }

    fn bwd(&self, matrix: &Tensor, _rows: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (n, width) = matrix.dims2()?;
        let grad = grad.contiguous()?;
        let grad = of_tensor(&grad)?;
        let mut out = vec![0f32; n * width];
        for (&index, grad) in self.indices.iter().zip(grad.chunks_exact(width)) {
            for (out, g) in out[index as usize * width..][..width].iter_mut().zip(grad) {
                *out += g;
            }
        }
        Ok(Some(numbers::tensor(out, (n, width))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{check_gradients, random};

    #[test]
    fn equals_index_select_and_its_gradient() {
        let indices: Arc<[u32]> = vec![3, 0, 3, 6].into();
        let selected = Tensor::new(&*indices, &candle_core::Device::Cpu).unwrap();
        check_gradients(
            &[random(&[7, 5], 1)],
            |v| gather(&v[0], &indices),
            |v| v[0].index_select(&selected, 0),
        );
        assert!(gather(&random(&[3, 5], 1), &indices).is_err());
    }
}
