//! y = x·Wᵀ + b, from `[T, K]` to `[T, N]`.
//!
//! On the CPU activations are float32 whatever the weights are kept in: a bf16 or f16 matrix is widened as it is used, so that sums are
//! float32 sums of exact products. The product is gemm's, over all threads of rayon's pool.

use super::rows::on_cpu;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};

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
        let y = if on_cpu(x) { x.apply_op2_no_bwd(&weight, &Product)? } else { x.matmul(&weight.t()?)? };
        match &self.bias {
            Some(bias) if y.dtype() == DType::F32 => y.broadcast_add(bias),
            Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?),
            None => Ok(y),
        }
    }
}

/// x·Wᵀ.
struct Product;

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (m, k) = x_layout.shape().dims2()?;
        let (n, columns) = w_layout.shape().dims2()?;
        let (x_stride, w_stride) = (x_layout.stride(), w_layout.stride());
        if columns != k || !w_layout.is_contiguous() {
            candle_core::bail!("a linear map of [{n}, {columns}] does not take rows of {k}");
        }
        let x = &x.as_slice::<f32>()?[x_layout.start_offset()..];
        let w = &w.as_slice::<f32>()?[w_layout.start_offset()..][..n * k];
        assert!(m == 0 || (m - 1) * x_stride[0] + (k - 1) * x_stride[1] < x.len());
        let mut y = vec![0f32; m * n];
        // SAFETY: y is [m, n], w is [n, k] (sliced above) and read as its transpose, x is [m, k] with its strides (asserted).
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                y.as_mut_ptr(),
                1,
                n as isize,
                false,
                x.as_ptr(),
                x_stride[1] as isize,
                x_stride[0] as isize,
                w.as_ptr(),
                w_stride[0] as isize,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::Rayon(rayon::current_num_threads()),
            );
        }
        Ok((CpuStorage::F32(y), Shape::from((m, n))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{assert_close, random};

    #[test]
    fn fused_equals_composed() {
        let (weight, bias) = (random(&[30, 17], 1), random(&[30], 2));
        for x in [random(&[1, 17], 3), random(&[9, 17], 4), random(&[9, 40], 5).narrow(1, 7, 17).unwrap()] {
            let expected =
                x.contiguous().unwrap().matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
            let linear = Linear::new(weight.clone(), Some(bias.clone()));
            assert_close(&linear.forward(&x).unwrap(), &expected, 1e-5);
        }
    }
}
