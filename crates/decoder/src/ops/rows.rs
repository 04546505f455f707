//! Rows of a float32 matrix in CPU memory, as kernels see them.

use candle_core::{CpuStorage, Layout, Result, Tensor};

/// `[T, N]` with contiguous rows that may stand apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
    /// T.
    pub(crate) n_rows: usize,
    /// N.
    pub(crate) width: usize,
}

impl<'a> Rows<'a> {
    /// Views storage of two dimensions whose last one is contiguous.
    pub(crate) fn new(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let (n_rows, width) = layout.shape().dims2()?;
        let strides = layout.stride();
        if width > 1 && strides[1] != 1 {
            candle_core::bail!("rows must be contiguous, found strides {strides:?}");
        }
        Ok(Self {
            data: &storage.as_slice::<f32>()?[layout.start_offset()..],
            stride: strides[0],
            n_rows,
            width,
        })
    }

    /// One row, `[N]`.
    #[inline]
    pub(crate) fn row(&self, index: usize) -> &'a [f32] {
        let start = index * self.stride;
        &self.data[start..start + self.width]
    }

    /// All numbers from the first row on, and the distance between rows.
    pub(crate) fn raw(&self) -> (&'a [f32], usize) {
        (self.data, self.stride)
    }
}

/// Whether the fused kernels apply.
pub(crate) fn on_cpu(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == candle_core::DType::F32
}

/// Rows that one task of a parallel loop works on, so that it has about 16 Ki numbers.
pub(crate) fn rows_for_each_task(width: usize) -> usize {
    (16_384 / width.max(1)).max(1)
}
