//! The steps of the forward pass.
//!
//! Each has a fused, multi-threaded kernel for float32 on the CPU, and a version composed of candle's tensor operations for other devices,
//! which is also the reference in tests. Loops are written once and compiled for the vector units that the processor turns out to have
//! (`entrace_kernels`).

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod large_pages;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod packed;
pub(crate) mod reduce;
pub(crate) mod residual;
pub(crate) mod rope;
pub(crate) mod row_map;
pub(crate) mod rows;

#[cfg(test)]
pub(crate) mod tests_support {
    use candle_core::{Device, Tensor};
    use rand::{RngExt, SeedableRng};

    /// A tensor of numbers in [−1, 1) from a seed.
    pub(crate) fn random(shape: &[usize], seed: u64) -> Tensor {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }

    /// Equal shapes, and numbers within `tolerance`.
    pub(crate) fn assert_close(a: &Tensor, b: &Tensor, tolerance: f32) {
        assert_eq!(a.dims(), b.dims());
        let a = a.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let b = b.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (i, (a, b)) in a.iter().zip(&b).enumerate() {
            assert!((a - b).abs() <= tolerance, "number {i}: {a} against {b}");
        }
    }
}
