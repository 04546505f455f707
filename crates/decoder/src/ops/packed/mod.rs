//! Weight matrices laid out for products with any number of rows, and the product itself.
//!
//! y `[M, N]` = x `[M, K]` · Wᵀ with W `[N, K]`. General matrix products reorder both factors on every call, which for the few rows of a
//! decoding step costs as much as the product. Weights never change, so they are reordered once: into panels of 32 rows of W, each
//! `[K, 32]`. Rows of x stay rows, and every tile of the result is kept in registers while k runs.
//!
//! Every number of the result is one chain of fused multiply-adds in the order of k, whatever M and the number of threads: a token gets the
//! same bits alone and in any batch. bf16 and f16 panels are widened to float32 as they are used, or rows are rounded to bf16 as well (see
//! `pairs`).

use super::large_pages;
use super::row_map::RowMap;
use super::rows::{Rows, rows_for_each_task};
use candle_core::DType;
use entrace_kernels::pairs;
use entrace_kernels::tile::{self, Kernel, Left};
use entrace_kernels::turn::turn;
use half::slice::HalfFloatSliceExt;
use half::vec::HalfBitsVecExt;
use half::{bf16, f16};
use rayon::prelude::*;
use std::ops::Range;

/// Columns of the result that one panel makes.
const PANEL: usize = tile::MAX_COLUMNS;

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
    /// bf16 numbers of two steps of k side by side, for rows that are rounded to bf16.
    Pairs(Vec<bf16>),
}

/// What numbers the products are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Products {
    /// Rows in float32, whatever the matrix is kept in.
    Float32,
    /// Rows rounded to bf16 and a matrix that is kept in it, on the CPU.
    Bf16,
}

impl Packed {
    /// Lays out N rows of K numbers in the type `dtype`. `read` gives some of the rows, `[rows, K]`.
    pub(crate) fn new<E: Send>(
        n: usize,
        k: usize,
        dtype: DType,
        products: Products,
        read: impl Fn(Range<usize>, &mut [f32]) -> std::result::Result<(), E> + Sync,
    ) -> std::result::Result<Self, E> {
        let panels = match dtype {
            DType::BF16 if products == Products::Bf16 => {
                Panels::Pairs(panels(n, k, pairs::padded(k), &read, side_by_side)?)
            }
            DType::BF16 => Panels::BF16(panels(n, k, k, &read, bf16::narrow)?),
            DType::F16 => Panels::F16(panels(n, k, k, &read, f16::narrow)?),
            _ => Panels::F32(panels(n, k, k, &read, f32::narrow)?),
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
        let (panel, column) = (row / PANEL, row % PANEL);
        let start = panel * PANEL * self.k;
        for (i, out) in out.iter_mut().enumerate() {
            let at = start + place(i, column);
            *out = match &self.panels {
                Panels::F32(w) => w[at],
                Panels::BF16(w) => w[at].to_f32(),
                Panels::F16(w) => w[at].to_f32(),
                Panels::Pairs(w) => {
                    w[panel * PANEL * pairs::padded(self.k) + pairs::place(i, column)].to_f32()
                }
            };
        }
    }

    /// x · Wᵀ, `[M, N]` row by row: of rows after `map`, and added to `onto` `[M, N]`, if given.
    pub(crate) fn product(&self, x: Rows<'_>, map: Option<&dyn RowMap>, onto: Option<Rows<'_>>) -> Vec<f32> {
        let width = map.map_or(x.width, |map| map.width(x.width));
        assert_eq!(width, self.k, "the matrix takes rows of {} numbers", self.k);
        assert!(onto.is_none_or(|onto| (onto.n_rows, onto.width) == (x.n_rows, self.n)));
        let mut y: Vec<f32> = Vec::with_capacity(x.n_rows * self.n);
        if self.k == 0 {
            y.extend(
                (0..x.n_rows).flat_map(|row| (0..self.n).map(move |i| onto.map_or(0.0, |o| o.row(row)[i]))),
            );
            return y;
        }
        let target = Target { y: y.as_mut_ptr(), n: self.n, n_rows: x.n_rows, onto };
        match &self.panels {
            Panels::Pairs(w) if pairs::supported() => self.pairs_product(w, x, map, &target),
            _ => self.float32_product(x, map, &target),
        }
        // SAFETY: every panel of every tile was written, that is all M × N numbers.
        unsafe { y.set_len(x.n_rows * self.n) };
        y
    }

    fn float32_product(&self, x: Rows<'_>, map: Option<&dyn RowMap>, target: &Target<'_>) {
        let kernel = Kernel::best();
        let rounded = matches!(self.panels, Panels::Pairs(_));
        let prepared = Prepared::new(x, map, self.k, |row, out: &mut [f32]| {
            out.copy_from_slice(row);
            if rounded {
                out.iter_mut().for_each(|x| *x = bf16::from_f32(*x).to_f32());
            }
        });
        self.each_panel(|panel, scratch| {
            let b = self.panel(panel, scratch);
            for k0 in (0..self.k).step_by(K_BLOCK) {
                let k1 = (k0 + K_BLOCK).min(self.k);
                for first in (0..x.n_rows).step_by(kernel.max_rows()) {
                    let rows = kernel.max_rows().min(x.n_rows - first);
                    // SAFETY: the prepared rows have K numbers each, the panel 32 × K, of which k0..k1 are used. Tasks write different
                    // panels, hence different columns of the target.
                    unsafe {
                        kernel.run(&tile::Tile {
                            rows,
                            columns: target.columns(panel),
                            k: k1 - k0,
                            a: Left::Rows(prepared.from(first, k0).as_ptr(), prepared.pitch),
                            b: b.as_ptr().add(k0 * PANEL),
                            b_step: PANEL,
                            c: target.tile(first, rows, panel, k0 == 0),
                            c_row: self.n,
                            add: k0 > 0 || target.onto.is_some(),
                        });
                    }
                }
            }
        });
    }

    fn pairs_product(&self, w: &[bf16], x: Rows<'_>, map: Option<&dyn RowMap>, target: &Target<'_>) {
        let k = pairs::padded(self.k);
        let prepared = Prepared::new(x, map, k, pairs::round);
        self.each_panel(|panel, _| {
            let b = &w[panel * PANEL * k..(panel + 1) * PANEL * k];
            for k0 in (0..k).step_by(2 * K_BLOCK) {
                let k1 = (k0 + 2 * K_BLOCK).min(k);
                for first in (0..x.n_rows).step_by(pairs::MAX_ROWS) {
                    let rows = pairs::MAX_ROWS.min(x.n_rows - first);
                    // SAFETY: as in `float32_product`, and pairs are supported.
                    unsafe {
                        pairs::run(&pairs::Tile {
                            rows,
                            columns: target.columns(panel),
                            n_pairs: (k1 - k0) / 2,
                            a: prepared.from(first, k0).as_ptr(),
                            a_row: prepared.pitch,
                            b: b.as_ptr().add(k0 * PANEL),
                            c: target.tile(first, rows, panel, k0 == 0),
                            c_row: self.n,
                            add: k0 > 0 || target.onto.is_some(),
                        });
                    }
                }
            }
        });
    }

    /// Runs `f` for every panel, in parallel, with room for a widened one.
    fn each_panel(&self, f: impl Fn(usize, &mut Vec<f32>) + Sync) {
        let n_panels = self.n.div_ceil(PANEL);
        let n_tasks = (4 * rayon::current_num_threads()).min(n_panels).max(1);
        (0..n_tasks).into_par_iter().with_max_len(1).for_each_init(Vec::new, |scratch, task| {
            for panel in task * n_panels / n_tasks..(task + 1) * n_panels / n_tasks {
                f(panel, scratch);
            }
        });
    }

    /// A panel in float32, `[K, 32]`.
    fn panel<'a>(&'a self, panel: usize, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let range = panel * PANEL * self.k..(panel + 1) * PANEL * self.k;
        scratch.clear();
        match &self.panels {
            Panels::F32(w) => return &w[range],
            Panels::BF16(w) => scratch.extend(w[range].iter().map(|x| x.to_f32())),
            Panels::F16(w) => scratch.extend(w[range].iter().map(|x| x.to_f32())),
            Panels::Pairs(w) => {
                let k = pairs::padded(self.k);
                pairs::widen(&w[panel * PANEL * k..(panel + 1) * PANEL * k], self.k, scratch);
            }
        }
        scratch
    }
}

/// Where number `k` of column `column` of a panel stands in it.
fn place(k: usize, column: usize) -> usize {
    k * PANEL + column
}

/// A type that panels are kept in.
trait Number: Copy + Send + Sync {
    /// Zeros that take memory only when they are written.
    fn zeros(n: usize) -> Vec<Self>;
    /// Rounds numbers to the type.
    fn narrow(numbers: &[f32], out: &mut [Self]);
}

impl Number for f32 {
    fn zeros(n: usize) -> Vec<Self> {
        vec![0.0; n]
    }

    fn narrow(numbers: &[f32], out: &mut [Self]) {
        out.copy_from_slice(numbers);
    }
}

impl Number for bf16 {
    fn zeros(n: usize) -> Vec<Self> {
        vec![0u16; n].reinterpret_into()
    }

    fn narrow(numbers: &[f32], out: &mut [Self]) {
        pairs::round(numbers, out);
    }
}

impl Number for f16 {
    fn zeros(n: usize) -> Vec<Self> {
        vec![0u16; n].reinterpret_into()
    }

    fn narrow(numbers: &[f32], out: &mut [Self]) {
        out.convert_from_f32_slice(numbers);
    }
}

/// Steps of k, `[steps, 32]`, rounded to bf16 and two and two side by side.
fn side_by_side(steps: &[f32], out: &mut [bf16]) {
    for (steps, out) in steps.chunks(2 * PANEL).zip(out.chunks_exact_mut(2 * PANEL)) {
        for (i, step) in steps.chunks_exact(PANEL).enumerate() {
            let mut rounded = [bf16::ZERO; PANEL];
            pairs::round(step, &mut rounded);
            for (out, x) in out[i..].iter_mut().step_by(2).zip(rounded) {
                *out = x;
            }
        }
    }
}

/// Steps of k that are turned at a time, so that they stay in the first-level cache; an even number.
const TURNED: usize = 64;

/// Panels of `[padded, 32]` numbers, into which `store` writes steps of k. Rows beyond N and steps beyond K are zero.
fn panels<T: Number, E: Send>(
    n: usize,
    k: usize,
    padded: usize,
    read: &(impl Fn(Range<usize>, &mut [f32]) -> std::result::Result<(), E> + Sync),
    store: fn(&[f32], &mut [T]),
) -> std::result::Result<Vec<T>, E> {
    let mut out = T::zeros(n.div_ceil(PANEL) * PANEL * padded);
    large_pages::ask_for(&mut out);
    let lay_out = |rows: &mut Vec<f32>, (panel, out): (usize, &mut [T])| {
        let which = panel * PANEL..n.min((panel + 1) * PANEL);
        let n_rows = which.len();
        rows.resize(n_rows * k, 0.0);
        read(which, rows)?;
        let mut turned = [0.0; TURNED * PANEL];
        for first in (0..k).step_by(TURNED) {
            let steps = TURNED.min(k - first);
            turn(&rows[first..], k, n_rows, steps, &mut turned);
            let end = (first + TURNED).min(padded);
            store(&turned[..steps * PANEL], &mut out[first * PANEL..end * PANEL]);
        }
        Ok(())
    };
    out.par_chunks_exact_mut((PANEL * padded).max(1)).enumerate().try_for_each_init(Vec::new, lay_out)?;
    Ok(out)
}

/// The rows of x after the map, in memory of their own: `[M, K]`, rows `pitch` apart.
struct Prepared<T> {
    data: Vec<T>,
    pitch: usize,
}

impl<T: Copy + Default + Send> Prepared<T> {
    /// `put` writes a row of at most `k` numbers.
    fn new(x: Rows<'_>, map: Option<&dyn RowMap>, k: usize, put: impl Fn(&[f32], &mut [T]) + Sync) -> Self {
        // A cache line more than K, so that the same column of neighbouring rows does not fall into the same set of the cache.
        let pitch = k + 64 / size_of::<T>();
        let mut data = vec![T::default(); x.n_rows * pitch];
        let chunk = rows_for_each_task(pitch);
        let turn = |mapped: &mut Vec<f32>, (task, out): (usize, &mut [T])| {
            for (i, out) in out.chunks_exact_mut(pitch).enumerate() {
                let mut row = x.row(task * chunk + i);
                if let Some(map) = map {
                    mapped.resize(map.width(row.len()), 0.0);
                    map.map(row, mapped);
                    row = mapped;
                }
                put(row, &mut out[..row.len()]);
            }
        };
        data.par_chunks_mut(chunk * pitch).enumerate().for_each_init(Vec::new, turn);
        Self { data, pitch }
    }

    /// From column `k` of row `row` on.
    fn from(&self, row: usize, k: usize) -> &[T] {
        &self.data[row * self.pitch + k..]
    }
}

/// Result memory that tasks write disjoint columns of.
struct Target<'a> {
    y: *mut f32,
    n: usize,
    n_rows: usize,
    onto: Option<Rows<'a>>,
}
// SAFETY: see `float32_product`: tasks write disjoint columns.
unsafe impl Sync for Target<'_> {}

impl Target<'_> {
    /// Columns of a panel.
    fn columns(&self, panel: usize) -> usize {
        PANEL.min(self.n - panel * PANEL)
    }

    /// The first number of a panel's tile, which holds at first what the product is added to.
    ///
    /// # Safety
    /// No other task uses the panel's columns.
    unsafe fn tile(&self, first: usize, rows: usize, panel: usize, at_first: bool) -> *mut f32 {
        assert!(first + rows <= self.n_rows && panel * PANEL < self.n);
        let columns = self.columns(panel);
        // SAFETY: rows and columns lie within the M × N numbers of y.
        unsafe {
            let tile = self.y.add(first * self.n + panel * PANEL);
            if let (Some(onto), true) = (self.onto, at_first) {
                for row in 0..rows {
                    let from = &onto.row(first + row)[panel * PANEL..][..columns];
                    tile.add(row * self.n).copy_from_nonoverlapping(from.as_ptr(), columns);
                }
            }
            tile
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::random;
    use candle_core::Tensor;

    impl Packed {
        /// Lays out a matrix, `[N, K]`, in its type.
        pub(crate) fn of_tensor(weight: &Tensor, products: Products) -> Self {
            let (n, k) = weight.dims2().unwrap();
            let numbers =
                weight.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let read = |rows: Range<usize>, out: &mut [f32]| {
                out.copy_from_slice(&numbers[rows.start * k..rows.end * k]);
                Ok::<(), std::convert::Infallible>(())
            };
            Self::new(n, k, weight.dtype(), products, read).unwrap()
        }
    }

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
            let found = product(&Packed::of_tensor(&w, Products::Float32), &x);
            let expected =
                x.matmul(&w.t().unwrap()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (f, e) in found.iter().zip(&expected) {
                assert!((f - e).abs() < 1e-4 + 1e-5 * e.abs(), "{m} {n} {k}: {f} against {e}");
            }
        }
    }

    #[test]
    fn a_product_over_nothing_is_what_it_is_added_to() {
        let empty = Packed::of_tensor(&random(&[3, 0], 1), Products::Float32);
        let (x, onto) = (random(&[2, 0], 2), random(&[2, 3], 3));
        assert_eq!(product(&empty, &x), [0.0; 6]);
        let (x_storage, x_layout) = x.storage_and_layout();
        let (onto_storage, onto_layout) = onto.storage_and_layout();
        let (candle_core::Storage::Cpu(x), candle_core::Storage::Cpu(onto)) = (&*x_storage, &*onto_storage)
        else {
            panic!("not on the CPU")
        };
        let onto = Rows::new(onto, onto_layout).unwrap();
        let found = empty.product(Rows::new(x, x_layout).unwrap(), None, Some(onto));
        assert_eq!(found, [onto.row(0), onto.row(1)].concat());
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_in_any_batch() {
        let (x, w) = (random(&[29, 150], 3), random(&[70, 150], 4));
        let packed = Packed::of_tensor(&w, Products::Float32);
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
            let packed = Packed::of_tensor(&narrow, Products::Float32);
            assert_eq!(product(&packed, &x), product(&Packed::of_tensor(&wide, Products::Float32), &x));
            let mut row = vec![0f32; 20];
            packed.copy_row(33, &mut row);
            assert_eq!(row, wide.get(33).unwrap().to_vec1::<f32>().unwrap());
        }
    }

    /// On processors that multiply bf16 numbers and on others.
    #[test]
    fn pairs_multiply_rounded_rows() {
        for (m, n, k) in [(1, 1, 1), (3, 31, 64), (13, 33, 101), (30, 40, 4200)] {
            let (x, w) = (random(&[m, k], 9), random(&[n, k], 10).to_dtype(DType::BF16).unwrap());
            let packed = Packed::of_tensor(&w, Products::Bf16);
            let rounded = x.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
            let expected = product(&Packed::of_tensor(&w, Products::Float32), &rounded);
            let found = product(&packed, &x);
            let mut widened = vec![0f32; m * n];
            let (storage, layout) = x.storage_and_layout();
            let candle_core::Storage::Cpu(storage) = &*storage else { panic!("not on the CPU") };
            let target = Target { y: widened.as_mut_ptr(), n, n_rows: m, onto: None };
            packed.float32_product(Rows::new(storage, layout).unwrap(), None, &target);
            for ((found, widened), expected) in found.iter().zip(&widened).zip(&expected) {
                assert!((widened - expected).abs() < 1e-6, "{m} {n} {k}: {widened} against {expected}");
                let close = (found - expected).abs() < 1e-4 + 1e-5 * expected.abs();
                assert!(close, "{m} {n} {k}: {found} against {expected}");
            }
            let alone = product(&packed, &x.narrow(0, m - 1, 1).unwrap());
            assert_eq!(alone, found[(m - 1) * n..], "a row has the same bits alone");
            let mut row = vec![0f32; k];
            packed.copy_row(n - 1, &mut row);
            assert_eq!(row, w.get(n - 1).unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap());
        }
    }
}
