//! Rows of a float32 matrix in CPU memory, as kernels see them.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

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

/// What is done to every row of a matrix by itself. A product may do it while it reads the rows, which saves writing them.
pub(crate) trait RowMap: Sync {
    /// Whether `map` can be used; otherwise only `composed`.
    fn has_kernel(&self) -> bool {
        true
    }

    /// Numbers of a row of `width` afterwards.
    fn width(&self, width: usize) -> usize;

    /// One row.
    fn map(&self, row: &[f32], out: &mut [f32]);

    /// All rows by tensor operations.
    fn composed(&self, x: &Tensor) -> Result<Tensor>;
}

/// Applies a map to all rows.
pub(crate) fn apply(map: &dyn RowMap, x: &Tensor) -> Result<Tensor> {
    if on_cpu(x) && map.has_kernel() { x.apply_op1_no_bwd(&Mapped(map)) } else { map.composed(x) }
}

struct Mapped<'a>(&'a dyn RowMap);

impl CustomOp1 for Mapped<'_> {
    fn name(&self) -> &'static str {
        "row_map"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = Rows::new(x, layout)?;
        let width = self.0.width(x.width);
        let mut out = vec![0f32; x.n_rows * width];
        let chunk = rows_for_each_task(width);
        out.par_chunks_mut(chunk * width.max(1)).enumerate().for_each(|(task, out)| {
            for (i, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
                self.0.map(x.row(task * chunk + i), out);
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((x.n_rows, width))))
    }
}
