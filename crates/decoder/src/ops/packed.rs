//! Weight matrices laid out for products with any number of rows, and the product itself.
//!
//! y `[M, N]` = x `[M, K]` · Wᵀ with W `[N, K]`. General matrix products reorder both factors on every call, which for the few rows of a
//! decoding step costs as much as the product. Weights never change, so they are reordered once: into panels of 32 rows of W, each
//! `[K, 32]`. Rows of x stay rows, and every tile of the result is kept in registers while k runs.
//!
//! Every number of the result is one chain of fused multiply-adds in the order of k, whatever M and the number of threads: a token gets the
//! same bits alone and in any batch. bf16 and f16 panels are widened to float32 as they are used.

use super::kernel::{self, Kernel, Left};
use super::rows::{RowMap, Rows, rows_for_each_task};
use candle_core::{CpuStorage, Result, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

/// Columns of the result that one panel makes.
const PANEL: usize = kernel::MAX_COLUMNS;

/// Steps of k for which a panel stays in the second-level cache.
const K_BLOCK: usize = 2048;

/// A matrix `[N, K]` in panels.
#[derive(Debug)]
pub(crate) struct Packed {
    panels: Panels,
    n: usize,
    k: usize,
}

#[derive(Debug)]
enum Panels {
    F32(Vec<f32>),
    BF16(Vec<bf16>),
    F16(Vec<f16>),
}

impl Packed {
    /// Lays out a matrix in CPU memory.
    pub(crate) fn new(weight: &Tensor) -> Result<Self> {
        let (n, k) = weight.dims2()?;
        let weight = weight.contiguous()?;
        let (storage, layout) = weight.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else {
            candle_core::bail!("the matrix is not on the CPU")
        };
        let from = layout.start_offset();
        let panels = match storage {
            CpuStorage::F32(w) => Panels::F32(panels(&w[from..from + n * k], n, k)),
            CpuStorage::BF16(w) => Panels::BF16(panels(&w[from..from + n * k], n, k)),
            CpuStorage::F16(w) => Panels::F16(panels(&w[from..from + n * k], n, k)),
            _ => candle_core::bail!("weights must be f32, bf16 or f16"),
        };
        Ok(Self { panels, n, k })
    }

    /// N.
    pub(crate) fn n_rows(&self) -> usize {
        self.n
    }

    /// K.
    pub(crate) fn n_columns(&self) -> usize {
        self.k
    }

    /// Copies row `row` of the matrix, `[K]`.
    pub(crate) fn copy_row(&self, row: usize, out: &mut [f32]) {
        let start = row / PANEL * PANEL * self.k + row % PANEL;
        for (i, out) in out.iter_mut().enumerate() {
            let at = start + i * PANEL;
            *out = match &self.panels {
                Panels::F32(w) => w[at],
                Panels::BF16(w) => w[at].to_f32(),
                Panels::F16(w) => w[at].to_f32(),
            };
        }
    }

    /// x · Wᵀ, `[M, N]` row by row: of rows after `map`, and added to `onto` `[M, N]`, if given.
    pub(crate) fn product(&self, x: Rows<'_>, map: Option<&dyn RowMap>, onto: Option<Rows<'_>>) -> Vec<f32> {
        let width = map.map_or(x.width, |map| map.width(x.width));
        assert_eq!(width, self.k, "the matrix takes rows of {} numbers", self.k);
        assert!(onto.is_none_or(|onto| (onto.n_rows, onto.width) == (x.n_rows, self.n)));
        let kernel = Kernel::best();
        let prepared = Prepared::new(x, map, self.k);
        let mut y: Vec<f32> = Vec::with_capacity(x.n_rows * self.n);
        let out = Out(y.as_mut_ptr());
        let n_panels = self.n.div_ceil(PANEL);
        let n_tasks = (4 * rayon::current_num_threads()).min(n_panels).max(1);
        (0..n_tasks).into_par_iter().with_max_len(1).for_each_init(Vec::new, |scratch, task| {
            for panel in task * n_panels / n_tasks..(task + 1) * n_panels / n_tasks {
                let b = self.panel(panel, scratch);
                let columns = PANEL.min(self.n - panel * PANEL);
                for k0 in (0..self.k).step_by(K_BLOCK) {
                    let k1 = (k0 + K_BLOCK).min(self.k);
                    for first in (0..x.n_rows).step_by(kernel.max_rows()) {
                        let rows = kernel.max_rows().min(x.n_rows - first);
                        let at = first * self.n + panel * PANEL;
                        // SAFETY: the prepared rows have K numbers each, the panel 32 × K, of which k0..k1 are used; the target is
                        // `rows` rows, `n` apart, of `columns` numbers within y. Tasks write different panels, hence different columns.
                        unsafe {
                            if let (Some(onto), 0) = (onto, k0) {
                                for row in 0..rows {
                                    let from = &onto.row(first + row)[panel * PANEL..][..columns];
                                    out.at(at + row * self.n)
                                        .copy_from_nonoverlapping(from.as_ptr(), columns);
                                }
                            }
                            kernel.run(&kernel::Tile {
                                rows,
                                columns,
                                k: k1 - k0,
                                a: Left::Rows(prepared.from(first, k0).as_ptr(), prepared.pitch),
                                b: b.as_ptr().add(k0 * PANEL),
                                b_step: PANEL,
                                c: out.at(at),
                                c_row: self.n,
                                add: k0 > 0 || onto.is_some(),
                            });
                        }
                    }
                }
            }
        });
        // SAFETY: every panel of every tile was written, that is all M × N numbers.
        unsafe { y.set_len(x.n_rows * self.n) };
        y
    }

    /// A panel in float32, `[K, 32]`.
    fn panel<'a>(&'a self, panel: usize, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let range = panel * PANEL * self.k..(panel + 1) * PANEL * self.k;
        scratch.clear();
        match &self.panels {
            Panels::F32(w) => return &w[range],
            Panels::BF16(w) => scratch.extend(w[range].iter().map(|x| x.to_f32())),
            Panels::F16(w) => scratch.extend(w[range].iter().map(|x| x.to_f32())),
        }
        scratch
    }
}

/// Rows beyond N are zero.
fn panels<T: Copy + Default + Send + Sync>(w: &[T], n: usize, k: usize) -> Vec<T> {
    let mut out = vec![T::default(); n.div_ceil(PANEL) * PANEL * k];
    out.par_chunks_exact_mut((PANEL * k).max(1)).enumerate().for_each(|(panel, out)| {
        for (column, row) in (panel * PANEL..n.min((panel + 1) * PANEL)).enumerate() {
            for (i, &x) in w[row * k..(row + 1) * k].iter().enumerate() {
                out[i * PANEL + column] = x;
            }
        }
    });
    out
}

/// The rows of x after the map, in memory of their own: `[M, K]`, rows `pitch` apart.
struct Prepared {
    data: Vec<f32>,
    pitch: usize,
}

impl Prepared {
    fn new(x: Rows<'_>, map: Option<&dyn RowMap>, k: usize) -> Self {
        // A cache line more than K, so that the same column of neighbouring rows does not fall into the same set of the cache.
        let pitch = k + 16;
        let mut data = vec![0f32; x.n_rows * pitch];
        let chunk = rows_for_each_task(pitch);
        data.par_chunks_mut(chunk * pitch).enumerate().for_each(|(task, out)| {
            for (i, out) in out.chunks_exact_mut(pitch).enumerate() {
                let row = x.row(task * chunk + i);
                match map {
                    Some(map) => map.map(row, &mut out[..k]),
                    None => out[..k].copy_from_slice(row),
                }
            }
        });
        Self { data, pitch }
    }

    /// From column `k` of row `row` on.
    fn from(&self, row: usize, k: usize) -> &[f32] {
        &self.data[row * self.pitch + k..]
    }
}

/// Result memory that tasks write disjoint columns of.
struct Out(*mut f32);
// SAFETY: see `product`: tasks write disjoint columns.
unsafe impl Sync for Out {}

impl Out {
    /// The address of number `at`.
    ///
    /// # Safety
    /// `at` lies within the result.
    unsafe fn at(&self, at: usize) -> *mut f32 {
        // SAFETY: by the caller's promise.
        unsafe { self.0.add(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::random;
    use candle_core::DType;

    fn product(packed: &Packed, x: &Tensor) -> Vec<f32> {
        let (storage, layout) = x.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else { panic!("not on the CPU") };
        packed.product(Rows::new(storage, layout).unwrap(), None, None)
    }

    #[test]
    fn equals_the_definition_for_all_shapes() {
        for (m, n, k) in
            [(1, 1, 1), (1, 40, 7), (3, 31, 64), (12, 32, 33), (13, 33, 100), (30, 96, 2100), (5, 64, 4100)]
        {
            let (x, w) = (random(&[m, k], 1), random(&[n, k], 2));
            let found = product(&Packed::new(&w).unwrap(), &x);
            let expected =
                x.matmul(&w.t().unwrap()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (f, e) in found.iter().zip(&expected) {
                assert!((f - e).abs() < 1e-4 + 1e-5 * e.abs(), "{m} {n} {k}: {f} against {e}");
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_in_any_batch() {
        let (x, w) = (random(&[29, 150], 3), random(&[70, 150], 4));
        let packed = Packed::new(&w).unwrap();
        let all = product(&packed, &x);
        for row in 0..29 {
            let alone = product(&packed, &x.narrow(0, row, 1).unwrap());
            assert!(alone.iter().zip(&all[row * 70..]).all(|(a, b)| a.to_bits() == b.to_bits()), "row {row}");
        }
    }

    #[test]
    fn half_widths_are_widened_exactly_and_rows_can_be_read_back() {
        let (x, w) = (random(&[4, 20], 7), random(&[35, 20], 8));
        for dtype in [DType::BF16, DType::F16] {
            let narrow = w.to_dtype(dtype).unwrap();
            let wide = narrow.to_dtype(DType::F32).unwrap();
            let packed = Packed::new(&narrow).unwrap();
            assert_eq!(product(&packed, &x), product(&Packed::new(&wide).unwrap(), &x));
            let mut row = vec![0f32; 20];
            packed.copy_row(33, &mut row);
            assert_eq!(row, wide.get(33).unwrap().to_vec1::<f32>().unwrap());
        }
    }
}
