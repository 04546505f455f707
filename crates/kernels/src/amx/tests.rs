//! Blocks against their definition, and instructions against plain Rust.

use super::*;
use crate::parts::{panel_lines, row_lines, split_panel, split_row};
use crate::tests_support::random;

const ALL: [Parts; 4] = [Parts::OneByOne, Parts::ThreeByOne, Parts::ThreeByTwo, Parts::ThreeByThree];

/// Between rows of C.
const C_ROW: usize = COLUMNS + 16;

/// A block in memory.
struct Case {
    parts: Parts,
    row_tiles: usize,
    k: usize,
    rows: Vec<f32>,
    panel: Vec<f32>,
    old: Vec<f32>,
    add: bool,
}

impl Case {
    fn new(parts: Parts, row_tiles: usize, k: usize, add: bool) -> Self {
        let n_rows = row_tiles * TILE_ROWS;
        let (rows, mut panel) = (random(n_rows * k, 1), random(k * COLUMNS, 2));
        // What is exact in fewer parts is so in these.
        for x in &mut panel {
            let keep = [0xffff_0000, 0xffff_e000, u32::MAX][parts.of_panel() - 1];
            *x = f32::from_bits(x.to_bits() & keep);
        }
        Self { parts, row_tiles, k, rows, panel, old: random(n_rows * C_ROW, 3), add }
    }

    fn run(&self, tiles: Tiles) -> Vec<f32> {
        let (of_row, of_panel) = (self.parts.of_row(), self.parts.of_panel());
        let a_row = row_lines(self.k, of_row) + 1;
        let mut a = vec![Line::ZERO; self.row_tiles * TILE_ROWS * a_row];
        for (row, lines) in self.rows.chunks_exact(self.k).zip(a.chunks_exact_mut(a_row)) {
            split_row(row, of_row, lines);
        }
        let mut b = vec![Line::ZERO; panel_lines(self.k, of_panel)];
        split_panel(&self.panel, of_panel, &mut b);
        let mut c = self.old.clone();
        let block = Block {
            row_tiles: self.row_tiles,
            n_lines: row_lines(self.k, 1),
            parts: self.parts,
            a: a.as_ptr(),
            a_row,
            b: b.as_ptr(),
            c: c.as_mut_ptr(),
            c_row: C_ROW,
            add: self.add,
        };
        // SAFETY: the instructions are there or trapped, and the block is as long as it says.
        unsafe { tiles.set_up().run(&block) };
        c
    }

    /// The definition, in float64, of float32 factors.
    fn expected(&self, row: usize, column: usize) -> f64 {
        let factors = (0..self.k).map(|i| (self.rows[row * self.k + i], self.panel[i * COLUMNS + column]));
        let sum: f64 = factors.map(|(a, b)| f64::from(a) * f64::from(b)).sum();
        sum + if self.add { f64::from(self.old[row * C_ROW + column]) } else { 0.0 }
    }
}

#[test]
fn blocks_of_every_size_equal_the_definition() {
    for (parts, row_tiles) in ALL.into_iter().flat_map(|parts| [(parts, 1), (parts, 2)]) {
        for (k, add) in [(1, false), (32, true), (33, true), (100, false), (700, true)] {
            let case = Case::new(parts, row_tiles, k, add);
            let tolerance = if parts == Parts::OneByOne { 0.3 } else { 3e-6 * (k as f64).sqrt() };
            for (at, &found) in case.run(Tiles::Emulated).iter().enumerate() {
                let (row, column) = (at / C_ROW, at % C_ROW);
                if column >= COLUMNS {
                    assert_eq!(found.to_bits(), case.old[at].to_bits(), "outside of the block");
                    continue;
                }
                let expected = case.expected(row, column);
                let close = (f64::from(found) - expected).abs() < tolerance;
                assert!(close, "{parts:?} {k}: {found} against {expected}");
            }
        }
    }
}

/// On processors with tiles up to the last bits; on others the instructions are carried out by the trap, so that what they name is tested.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn the_processor_computes_the_same() {
    trap::install();
    for (parts, row_tiles) in ALL.into_iter().flat_map(|parts| [(parts, 1), (parts, 2)]) {
        for (k, add) in [(32, false), (33, true), (100, false), (512, true)] {
            for scale in [1.0, 1e18, 3e38, 1e-18, 1e-38, f32::INFINITY, f32::NAN] {
                let mut case = Case::new(parts, row_tiles, k, add);
                case.rows.iter_mut().step_by(3).for_each(|x| *x *= scale);
                let (found, expected) = (case.run(Tiles::Amx), case.run(Tiles::Emulated));
                for (found, expected) in found.iter().zip(&expected) {
                    let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                    let close =
                        native::granted() && (found - expected).abs() <= 1e-5 * (scale + expected.abs());
                    assert!(same || close, "{parts:?} {row_tiles} {k} {scale}: {found} against {expected}");
                }
            }
        }
    }
}

/// The check before tiles are used.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn tiles_that_work_pass_the_check() {
    trap::install();
    assert!(check::agrees(Tiles::Amx));
}

#[test]
fn sums_do_not_depend_on_where_k_is_cut() {
    let case = Case::new(Parts::ThreeByThree, 2, 256, true);
    let whole = case.run(Tiles::Emulated);
    let cut = |from: usize, to: usize, old: Vec<f32>| Case {
        k: to - from,
        rows: case.rows.chunks_exact(256).flat_map(|row| row[from..to].to_vec()).collect(),
        panel: case.panel[from * COLUMNS..to * COLUMNS].to_vec(),
        old,
        ..case
    };
    let first = cut(0, 96, case.old.clone()).run(Tiles::Emulated);
    assert_eq!(cut(96, 256, first).run(Tiles::Emulated), whole);
}

/// An infinite number times a part that is zero is not a number.
#[test]
fn what_is_not_finite_shows() {
    for parts in ALL {
        let mut case = Case::new(parts, 1, 40, false);
        case.panel.fill(1.0);
        case.rows[0] = f32::NAN;
        case.rows[40] = f32::INFINITY;
        let found = case.run(Tiles::Emulated);
        assert!(found[..COLUMNS].iter().all(|x| x.is_nan()));
        let infinite = |x: f32| x == f32::INFINITY || x.is_nan() && parts.of_panel() > 1;
        assert!(found[C_ROW..C_ROW + COLUMNS].iter().all(|&x| infinite(x)), "{parts:?}");
        assert!(found[2 * C_ROW..2 * C_ROW + COLUMNS].iter().all(|x| x.is_finite()));
    }
}
