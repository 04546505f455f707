//! y = x·Wᵀ, `[T, K]` and `[N, K]` to `[T, N]`.
//!
//! Backward: dx = dy·W, dW = dyᵀ·x (left out for weights that are not trained).

use super::numbers::{self, of_storage, of_tensor};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use entrace_kernels::matrix::{Matrix, product};

struct Linear {
    train_weight: bool,
}

/// x·Wᵀ.
pub(crate) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.apply_op2(weight, Linear { train_weight: weight.is_variable() })
}

impl CustomOp2 for Linear {
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
        let ((t, k), (n, _)) = (x_layout.shape().dims2()?, w_layout.shape().dims2()?);
        let x = Matrix::new(of_storage(x, x_layout)?, t, k);
        let w = Matrix::new(of_storage(w, w_layout)?, n, k);
        Ok((CpuStorage::F32(product(x, w.t())), (t, n).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((t, k), (n, _)) = (x.dims2()?, w.dims2()?);
        let dy = dy.contiguous()?;
        let (x, w, dy) = (of_tensor(x)?, of_tensor(w)?, of_tensor(&dy)?);
        let (x, w, dy) = (Matrix::new(&x, t, k), Matrix::new(&w, n, k), Matrix::new(&dy, t, n));
        let dx = numbers::tensor(product(dy, w), (t, k))?;
        let dw = if self.train_weight { Some(numbers::tensor(product(dy.t(), x), (n, k))?) } else { None };
        Ok((Some(dx), dw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::{check_gradients, random};

    #[test]
    fn equals_the_product_and_its_gradients() {
        let inputs = [random(&[9, 17], 1), random(&[5, 17], 2)];
        check_gradients(&inputs, |v| linear(&v[0], &v[1]), |v| v[0].matmul(&v[1].t()?));
    }

    #[test]
    fn frozen_weights_get_no_gradient() {
        let (x, w) = (candle_core::Var::from_tensor(&random(&[3, 4], 1)).unwrap(), random(&[2, 4], 2));
        let grads = linear(&x, &w).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(grads.get(&w).is_none() && grads.get(&x).is_some());
    }
}
