//! Products in matrix tiles.
//!
//! A task has a range of panels. It takes as many steps of k, panels and rows at a time as stay in the second-level cache, multiplies
//! every 32 of the rows with every panel, and goes on to the next rows. Panels that are not kept as tiles take them are brought into that form
//! once for all rows. Blocks at the edges of the result are computed in memory of their own.

use super::ends::{Prepared, Target};
use super::{PANEL, Packed, Panels};
use crate::ops::row_map::RowMap;
use crate::ops::rows::Rows;
use entrace_kernels::amx::{Block, Parts, SetUp, TILE_ROWS, Tiles};
use entrace_kernels::parts::{self, Line};
use std::ops::Range;

/// Rows of a block.
const ROWS: usize = 2 * TILE_ROWS;

/// Lines of k that are taken at a time.
const K_LINES: usize = 64;

/// Bytes of each factor that are to stay in the second-level cache.
const CACHED: usize = 1 << 19;

/// What tasks share.
struct Product<'a> {
    packed: &'a Packed,
    parts: Parts,
    rows: Prepared<Line>,
    target: &'a Target<'a>,
}

/// A part of the common dimension, in lines.
type Lines = Range<usize>;

/// Some panels, for some lines of k, as tiles take them.
struct Group {
    first: *const Line,
    /// From one panel to the next.
    pitch: usize,
}

impl Packed {
    pub(super) fn tile_product(
        &self,
        tiles: Tiles,
        parts: Parts,
        x: Rows<'_>,
        map: Option<&dyn RowMap>,
        target: &Target<'_>,
    ) {
        let width = parts::row_lines(self.k, parts.of_row());
        let put = |row: &[f32], out: &mut [Line]| parts::split_row(row, parts.of_row(), out);
        let product =
            Product { packed: self, parts, rows: Prepared::new(x, map, width, TILE_ROWS, put), target };
        self.each_range(|panels, scratch| {
            // SAFETY: `Tiles` are chosen only where they are, and this is the thread's only set-up.
            let set_up = unsafe { tiles.set_up() };
            product.run(&set_up, panels, scratch);
        });
    }

    /// Panels in the form that tiles take, in scratch memory if they are not kept in it.
    fn group(&self, panels: Range<usize>, lines: &Lines, parts: usize, scratch: &mut Vec<Line>) -> Group {
        if let Panels::Pairs(w) = &self.panels {
            let pitch = parts::panel_lines(self.k, 1);
            let first = w.as_ptr().cast::<Line>();
            return Group { first: first.wrapping_add(panels.start * pitch + lines.start * PANEL), pitch };
        }
        let pitch = lines.len() * parts * PANEL;
        scratch.resize(panels.len() * pitch, Line::ZERO);
        let mut wide = Vec::new();
        for (panel, out) in panels.zip(scratch.chunks_exact_mut(pitch)) {
            let numbers = self.panel(panel, &mut wide);
            let end = (lines.end * parts::STEPS).min(self.k);
            parts::split_panel(&numbers[lines.start * parts::STEPS * PANEL..end * PANEL], parts, out);
        }
        Group { first: scratch.as_ptr(), pitch }
    }
}

impl Product<'_> {
    fn run(&self, set_up: &SetUp, panels: Range<usize>, scratch: &mut Vec<Line>) {
        let n_lines = parts::row_lines(self.packed.k, 1);
        for first in (0..n_lines).step_by(K_LINES) {
            let lines = first..(first + K_LINES).min(n_lines);
            let at_once = cached(lines.len() * self.parts.of_panel() * PANEL);
            for first in panels.clone().step_by(at_once) {
                let some = first..(first + at_once).min(panels.end);
                let group = self.packed.group(some.clone(), &lines, self.parts.of_panel(), scratch);
                self.multiply(set_up, some, &group, &lines);
            }
        }
    }

    /// All rows with some panels.
    fn multiply(&self, set_up: &SetUp, panels: Range<usize>, group: &Group, lines: &Lines) {
        let n_rows = self.target.n_rows;
        let at_once = cached(lines.len() * self.parts.of_row()).next_multiple_of(ROWS);
        for some in (0..n_rows).step_by(at_once) {
            let end = (some + at_once).min(n_rows);
            for (i, panel) in panels.clone().enumerate() {
                let b = group.first.wrapping_add(i * group.pitch);
                for first in (some..end).step_by(ROWS) {
                    self.block(set_up, first..(first + ROWS).min(end), panel, b, lines);
                }
            }
        }
    }

    fn block(&self, set_up: &SetUp, rows: Range<usize>, panel: usize, b: *const Line, lines: &Lines) {
        let n_columns = self.target.columns(panel);
        // SAFETY: tasks write different panels, hence different columns of the target.
        let c = unsafe { self.target.tile(rows.start, rows.len(), panel, lines.start == 0) };
        let whole = Block {
            row_tiles: rows.len().div_ceil(TILE_ROWS),
            n_lines: lines.len(),
            parts: self.parts,
            a: self.rows.from(rows.start, lines.start * self.parts.of_row()).as_ptr(),
            a_row: self.rows.pitch,
            b,
            c,
            c_row: self.target.n,
            add: lines.start > 0 || self.target.onto.is_some(),
        };
        if rows.len().is_multiple_of(TILE_ROWS) && n_columns == PANEL {
            // SAFETY: there are whole tiles of rows, of which the last ones may be zeros, whole panels, and all of these numbers of the target.
            return unsafe { set_up.run(&whole) };
        }
        let mut edge = [[0f32; PANEL]; ROWS];
        let number = |row: usize| c.wrapping_add(row * self.target.n);
        // SAFETY: the same, and at the edge the target has the rows and columns that are copied.
        unsafe {
            if whole.add {
                for (row, edge) in edge.iter_mut().enumerate().take(rows.len()) {
                    edge.as_mut_ptr().copy_from_nonoverlapping(number(row), n_columns);
                }
            }
            set_up.run(&Block { c: edge.as_mut_ptr().cast(), c_row: PANEL, ..whole });
            for (row, edge) in edge.iter().enumerate().take(rows.len()) {
                number(row).copy_from_nonoverlapping(edge.as_ptr(), n_columns);
            }
        }
    }
}

/// How many things of so many lines stay in the cache.
fn cached(lines: usize) -> usize {
    (CACHED / (lines * size_of::<Line>())).max(1)
}
