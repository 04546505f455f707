//! The rate of a large float32 matrix product on all threads: what the machine can do.

use gemm::{Parallelism, gemm};
use std::time::Instant;

/// Side lengths of the products that are tried.
const SIDES: [usize; 2] = [1024, 2048];

/// Products of each size.
const REPEATS: usize = 3;

/// The best rate in GFLOP/s, 2n³ operations for a product of side n.
pub(crate) fn gflops() -> f64 {
    SIDES.iter().flat_map(|&side| std::iter::repeat_n(side, REPEATS)).map(rate).fold(0.0, f64::max)
}

fn rate(side: usize) -> f64 {
    let lhs: Vec<f32> = (0..side * side).map(|i| (i % 13) as f32 * 0.1).collect();
    let rhs: Vec<f32> = (0..side * side).map(|i| (i % 7) as f32 * 0.1).collect();
    let mut product = vec![0.0_f32; side * side];
    let begin = Instant::now();
    multiply(side, &lhs, &rhs, &mut product);
    let seconds = begin.elapsed().as_secs_f64();
    std::hint::black_box(&product);
    2.0 * (side as f64).powi(3) / seconds / 1e9
}

/// `product = lhs · rhsᵀ`, all square and in rows, as weights are multiplied.
fn multiply(side: usize, lhs: &[f32], rhs: &[f32], product: &mut [f32]) {
    assert!([lhs.len(), rhs.len(), product.len()].iter().all(|&len| len == side * side));
    let stride = side as isize;
    // SAFETY: the three matrices hold side × side numbers each, which the strides (1, side) stay within; the product is not aliased.
    unsafe {
        gemm(
            side,
            side,
            side,
            product.as_mut_ptr(),
            1,
            stride,
            false,
            lhs.as_ptr(),
            1,
            stride,
            rhs.as_ptr(),
            stride,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::Rayon(0),
        );
    }
}
