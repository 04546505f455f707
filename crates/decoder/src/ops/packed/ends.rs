//! Both ends of a product: rows of x, laid out for it, and the memory that its tiles are written to.

use super::PANEL;
use crate::ops::row_map::RowMap;
use crate::ops::rows::{Rows, rows_for_each_task};
use rayon::prelude::*;

/// The rows of x after the map, in memory of their own, rows `pitch` apart.
pub(super) struct Prepared<T> {
    data: Vec<T>,
    pub(super) pitch: usize,
}

impl<T: Copy + Default + Send> Prepared<T> {
    /// `put` writes a row as `width` elements. Behind the last row are zeros up to a multiple of `whole` rows.
    pub(super) fn new(
        x: Rows<'_>,
        map: Option<&dyn RowMap>,
        width: usize,
        whole: usize,
        put: impl Fn(&[f32], &mut [T]) + Sync,
    ) -> Self {
        // A cache line more, so that the same column of neighbouring rows does not fall into the same set of the cache.
        let pitch = width + 64 / size_of::<T>();
        let mut data = vec![T::default(); x.n_rows.next_multiple_of(whole) * pitch];
        let chunk = rows_for_each_task(pitch);
        let turn = |mapped: &mut Vec<f32>, (task, out): (usize, &mut [T])| {
            for (i, out) in out.chunks_exact_mut(pitch).enumerate() {
                let mut row = x.row(task * chunk + i);
                if let Some(map) = map {
                    mapped.resize(map.width(row.len()), 0.0);
                    map.map(row, mapped);
                    row = mapped;
                }
                put(row, &mut out[..width]);
            }
        };
        let rows = &mut data[..x.n_rows * pitch];
        rows.par_chunks_mut(chunk * pitch).enumerate().for_each_init(Vec::new, turn);
        Self { data, pitch }
    }

    /// From element `at` of row `row` on.
    pub(super) fn from(&self, row: usize, at: usize) -> &[T] {
        &self.data[row * self.pitch + at..]
    }
}

/// Result memory that tasks write disjoint columns of.
pub(super) struct Target<'a> {
    pub(super) y: *mut f32,
    pub(super) n: usize,
    pub(super) n_rows: usize,
    pub(super) onto: Option<Rows<'a>>,
}
// SAFETY: tasks write disjoint columns.
unsafe impl Sync for Target<'_> {}

impl Target<'_> {
    /// Columns of a panel.
    pub(super) fn columns(&self, panel: usize) -> usize {
        PANEL.min(self.n - panel * PANEL)
    }

    /// The first number of a panel's tile, which holds at first what the product is added to.
    ///
    /// # Safety
    /// No other task uses the panel's columns.
    pub(super) unsafe fn tile(&self, first: usize, rows: usize, panel: usize, at_first: bool) -> *mut f32 {
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
