//! How fast this processor multiplies with weights, measured: what a type of storage brings here.
//!
//! One product of the size that layers have, some times on all threads; the best time counts.

use crate::decoder::StorageType;
use crate::error::Error;
use crate::ops::packed::Packed;
use crate::ops::rows::Rows;
use candle_core::{Device, Tensor};
use std::convert::Infallible;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Rows and columns of the weights.
const SIDE: usize = 1024;

/// Rows that are multiplied with them.
const N_ROWS: usize = 512;

/// Time that is spent at least, so that the processor has woken up.
const LEAST: Duration = Duration::from_millis(150);

/// The rate of products with weights.
#[derive(Debug, Clone, PartialEq)]
pub struct ProductRate {
    /// What computes them.
    pub kernel: String,
    /// 10⁹ operations a second on all threads; a multiplication and an addition are two.
    pub gflops: f64,
}

impl StorageType {
    /// Measures products with weights that are kept in it, on the CPU. As in most checkpoints, bf16 would be enough for them.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn product_rate(self) -> Result<ProductRate, Error> {
        let number = |i: usize| (i % 13) as f32 * 0.125 - 0.75;
        let read = |rows: Range<usize>, out: &mut [f32]| {
            out.iter_mut().zip(rows.start * SIDE..).for_each(|(out, i)| *out = number(i));
            Ok::<(), Infallible>(())
        };
        let Ok(packed) = Packed::new(SIDE, SIDE, self.dtype(), self.products(), read);
        let x: Vec<f32> = (0..N_ROWS * SIDE).map(number).collect();
        let x = Tensor::from_vec(x, (N_ROWS, SIDE), &Device::Cpu)?;
        let (storage, layout) = x.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else {
            return Err(candle_core::Error::Msg("the rows are not on the CPU".into()).into());
        };
        let rows = Rows::new(storage, layout)?;
        let mut best = f64::INFINITY;
        let began = Instant::now();
        while began.elapsed() < LEAST {
            let begin = Instant::now();
            std::hint::black_box(packed.product(rows, None, None));
            best = best.min(begin.elapsed().as_secs_f64());
        }
        let n_operations = 2.0 * (N_ROWS * SIDE * SIDE) as f64;
        Ok(ProductRate { kernel: packed.kernel(), gflops: n_operations / best / 1e9 })
    }
}
