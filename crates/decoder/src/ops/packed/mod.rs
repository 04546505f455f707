//! Weight matrices laid out for products with any number of rows, and the product itself.
//!
//! y `[M, N]` = x `[M, K]` · Wᵀ with W `[N, K]`. General matrix products reorder both factors on every call, which for the few rows of a
//! decoding step costs as much as the product. Weights never change, so they are reordered once: into panels of 32 rows of W, each
//! `[K, 32]`. Rows of x stay rows, and every tile of the result is kept in registers while k runs.
//!
//! One rule chooses what multiplies, when the weights are laid out: the processor's matrix tiles where it has them (`tiles`), with as many bf16 parts as
//! float32 products need; else its vector instructions (`vectors`), where bf16 and f16 panels are widened to float32 as they are used.
//! Only where rows are to be rounded to bf16 as well, one part is enough, or the vector instructions for pairs of such numbers.
//!
//! Weights that their file has quantised stay so where float32 products are asked for (`quantised`), and have the bits of float32 weights.
//!
//! Either way every number of the result is summed in the same order, whatever M and the number of threads: a token gets the same bits alone and in any
//! batch.

mod ends;
mod layout;
mod quantised;
mod tiles;
mod vectors;

#[cfg(test)]
mod tests;

use super::row_map::RowMap;
use super::rows::Rows;
use candle_core::DType;
use ends::Target;
use entrace_kernels::amx::{Parts, Tiles};
use entrace_kernels::tile::{self, Kernel};
use entrace_kernels::{pairs, parts};
use half::{bf16, f16};
use layout::{Aligned, Source, place};
pub(crate) use quantised::{GROUP, Group};
use rayon::prelude::*;
use std::ops::Range;

/// Columns of the result that one panel makes.
const PANEL: usize = tile::MAX_COLUMNS;

/// A matrix `[N, K]` in panels.
#[derive(Debug)]
pub(crate) struct Packed {
    panels: Panels,
    multiplier: Multiplier,
    n: usize,
    k: usize,
}

#[derive(Debug)]
enum Panels {
    F32(Vec<f32>),
    BF16(Vec<bf16>),
    F16(Vec<f16>),
    /// bf16 numbers of two steps of k side by side, whole lines of steps.
    Pairs(Aligned<bf16>),
    /// Whole numbers with scales, panel by panel.
    Quantised(Vec<quantised::Panel>),
}

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Multiplier {
    /// Vector instructions on float32 numbers.
    Vectors,
    /// The same on rows that are rounded to bf16, or those for pairs of bf16 numbers.
    RoundedVectors,
    Tiles(Tiles, Parts),
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
    /// Lays out N rows of K numbers in the type `dtype`, or float32 numbers in bf16 where that is exact and there are tiles for it. `read` gives some
    /// of the rows, `[rows, K]`.
    pub(crate) fn new<E: Send>(
        n: usize,
        k: usize,
        dtype: DType,
        products: Products,
        read: impl Fn(Range<usize>, &mut [f32]) -> std::result::Result<(), E> + Sync,
    ) -> std::result::Result<Self, E> {
        Self::for_tiles(Tiles::here(), n, k, dtype, products, read)
    }

    /// The same, where the processor has these tiles or none.
    fn for_tiles<E: Send>(
        tiles: Option<Tiles>,
        n: usize,
        k: usize,
        dtype: DType,
        products: Products,
        read: impl Fn(Range<usize>, &mut [f32]) -> std::result::Result<(), E> + Sync,
    ) -> std::result::Result<Self, E> {
        let source = Source { n, k, read: &read };
        let with = |panels, multiplier| Self { panels, multiplier, n, k };
        Ok(match (tiles, dtype, products) {
            (Some(tiles), DType::BF16, Products::Bf16) => {
                with(Panels::Pairs(source.pairs()?), Multiplier::Tiles(tiles, Parts::OneByOne))
            }
            (None, DType::BF16, Products::Bf16) => {
                with(Panels::Pairs(source.pairs()?), Multiplier::RoundedVectors)
            }
            (Some(tiles), DType::BF16, _) => {
                with(Panels::Pairs(source.pairs()?), Multiplier::Tiles(tiles, Parts::exact(1)))
            }
            (Some(tiles), DType::F16, _) => {
                let (panels, parts) = source.counted()?;
                with(Panels::F16(panels), Multiplier::Tiles(tiles, Parts::exact(parts)))
            }
            (Some(tiles), ..) => match source.exact_pairs()? {
                Some(pairs) => with(Panels::Pairs(pairs), Multiplier::Tiles(tiles, Parts::exact(1))),
                None => {
                    let (panels, parts) = source.counted()?;
                    with(Panels::F32(panels), Multiplier::Tiles(tiles, Parts::exact(parts)))
                }
            },
            (None, DType::BF16, _) => with(Panels::BF16(source.plain()?), Multiplier::Vectors),
            (None, DType::F16, _) => with(Panels::F16(source.plain()?), Multiplier::Vectors),
            (None, ..) => with(Panels::F32(source.plain()?), Multiplier::Vectors),
        })
    }

    /// Lays out rows that are quantised, all or some. `quants` gives one as whole numbers `[K]` with their groups `[K / 16]`, or says `false`; `read` is
    /// as for `new`.
    pub(crate) fn quantised<E: Send>(
        n: usize,
        k: usize,
        quants: impl Fn(usize, &mut [i8], &mut [Group]) -> bool + Sync,
        read: impl Fn(Range<usize>, &mut [f32]) -> std::result::Result<(), E> + Sync,
    ) -> std::result::Result<Self, E> {
        Self::quantised_for_tiles(Tiles::here(), n, k, quants, read)
    }

    /// The same, where the processor has these tiles or none.
    fn quantised_for_tiles<E: Send>(
        tiles: Option<Tiles>,
        n: usize,
        k: usize,
        quants: impl Fn(usize, &mut [i8], &mut [Group]) -> bool + Sync,
        read: impl Fn(Range<usize>, &mut [f32]) -> std::result::Result<(), E> + Sync,
    ) -> std::result::Result<Self, E> {
        let lay_out = |panel: usize| {
            quantised::Panel::of_rows(panel * PANEL..n.min((panel + 1) * PANEL), k, &quants, &read)
        };
        let panels: std::result::Result<Vec<_>, E> =
            (0..n.div_ceil(PANEL)).into_par_iter().map(lay_out).collect();
        let panels = panels?;
        let multiplier = match tiles {
            None => Multiplier::Vectors,
            Some(tiles) => {
                let needed = |scratch: &mut Vec<f32>, panel: &quantised::Panel| {
                    scratch.resize(PANEL * k, 0.0);
                    parts::needed(panel.numbers(scratch))
                };
                let parts = panels.par_iter().map_init(Vec::new, needed).max();
                Multiplier::Tiles(tiles, Parts::exact(parts.unwrap_or(1)))
            }
        };
        Ok(Self { panels: Panels::Quantised(panels), multiplier, n, k })
    }

    /// N.
    pub(crate) fn n_rows(&self) -> usize {
        self.n
    }

    /// K.
    pub(crate) fn n_columns(&self) -> usize {
        self.k
    }

    /// Bytes of all panels.
    pub(crate) fn n_bytes(&self) -> usize {
        match &self.panels {
            Panels::F32(w) => size_of_val(w.as_slice()),
            Panels::BF16(w) => size_of_val(w.as_slice()),
            Panels::F16(w) => size_of_val(w.as_slice()),
            Panels::Pairs(w) => size_of_val(&**w),
            Panels::Quantised(panels) => panels.iter().map(quantised::Panel::n_bytes).sum(),
        }
    }

    /// The instructions that multiply, and for tiles how many products of parts make one.
    pub(crate) fn kernel(&self) -> String {
        match self.multiplier {
            Multiplier::Vectors => Kernel::best().name().into(),
            Multiplier::RoundedVectors if pairs::supported() => "AVX-512 BF16".into(),
            Multiplier::RoundedVectors => Kernel::best().name().into(),
            Multiplier::Tiles(tiles, parts) => match parts.n_products() {
                1 => tiles.name().into(),
                n => format!("{}, {n} products each", tiles.name()),
            },
        }
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
                    w[panel * PANEL * parts::padded(self.k) + pairs::place(i, column)].to_f32()
                }
                Panels::Quantised(panels) => panels[panel].number(i, column),
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
        match (self.multiplier, &self.panels) {
            (Multiplier::Tiles(tiles, parts), _) => self.tile_product(tiles, parts, x, map, &target),
            (Multiplier::RoundedVectors, Panels::Pairs(w)) if pairs::supported() => {
                self.pairs_product(w, x, map, &target)
            }
            (Multiplier::RoundedVectors | Multiplier::Vectors, _) => self.float32_product(x, map, &target),
        }
        // SAFETY: every panel of every tile was written, that is all M × N numbers.
        unsafe { y.set_len(x.n_rows * self.n) };
        y
    }

    /// Runs `f` for ranges of panels, in parallel, with memory of its own.
    fn each_range<S: Default>(&self, f: impl Fn(Range<usize>, &mut S) + Sync) {
        let n_panels = self.n.div_ceil(PANEL);
        let n_tasks = (4 * rayon::current_num_threads()).min(n_panels).max(1);
        (0..n_tasks).into_par_iter().with_max_len(1).for_each_init(S::default, |scratch, task| {
            f(task * n_panels / n_tasks..(task + 1) * n_panels / n_tasks, scratch);
        });
    }
}
