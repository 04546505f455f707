//! Steps that change every row of a matrix by itself, such as norms and gates.
//!
//! A product may take such a step while it reads the rows (`packed`), which saves writing them; by itself it is one parallel loop.

use super::rows::{Rows, on_cpu, rows_for_each_task};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// What is done to every row.
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
