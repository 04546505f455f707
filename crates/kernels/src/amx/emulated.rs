//! Tile products in plain Rust, as the processor's manual defines them: for each number of the result the products of even and of odd steps
//! are summed apart, 16 of each, then both sums are added up and then to the number. Numbers below 2⁻¹²⁶ are taken for zero, before and after each addition.

use super::{Block, PANEL_LINES, TILE_ROWS};
use crate::parts::{Line, STEPS};
use crate::vectorised;

/// Columns of a tile.
const TILE_COLUMNS: usize = STEPS / 2;

/// # Safety
/// As for `SetUp::run`.
pub(super) unsafe fn run(block: &Block) {
    let (of_row, of_panel) = (block.parts.of_row(), block.parts.of_panel());
    for row in 0..block.row_tiles * TILE_ROWS {
        for half in 0..2 {
            // SAFETY: by the caller's promise, here and below.
            let c =
                unsafe { block.c.add(row * block.c_row + half * TILE_COLUMNS).cast::<[f32; TILE_COLUMNS]>() };
            let mut sums = if block.add { unsafe { *c } } else { [0.0; TILE_COLUMNS] };
            for line in 0..block.n_lines {
                for part in 0..of_panel {
                    let b = unsafe { block.b.add((line * of_panel + part) * PANEL_LINES + half) };
                    let columns = std::array::from_fn(|pair| unsafe { &*b.add(2 * pair) });
                    for of_a in 0..block.parts.rows_with(part) {
                        let a = unsafe { &*block.a.add(row * block.a_row + line * of_row + of_a) };
                        add_products(a, columns, &mut sums);
                    }
                }
            }
            unsafe { *c = sums };
        }
    }
}

vectorised! {
    /// Adds one row of a tile product: 32 numbers of a row, and for each pair of steps 16 columns with both numbers side by side.
    pub(super) fn add_products(row: &Line, columns: [&Line; TILE_ROWS], sums: &mut [f32; TILE_COLUMNS]) {
        let (mut even, mut odd) = ([0f32; TILE_COLUMNS], [0f32; TILE_COLUMNS]);
        for (pair, line) in columns.into_iter().enumerate() {
            let [a, b] = [row.0[2 * pair], row.0[2 * pair + 1]].map(|x| flushed(x.to_f32()));
            for column in 0..TILE_COLUMNS {
                let [x, y] = [line.0[2 * column], line.0[2 * column + 1]]
                    .map(|x| flushed(f32::from_bits(u32::from(x.to_bits()) << 16)));
                even[column] = flushed(a.mul_add(x, even[column]));
                odd[column] = flushed(b.mul_add(y, odd[column]));
            }
        }
        for (sum, (even, odd)) in sums.iter_mut().zip(even.into_iter().zip(odd)) {
            *sum = flushed(flushed(*sum) + flushed(even + odd));
        }
    }
}

/// Zero instead of a subnormal number.
#[inline(always)]
fn flushed(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits(if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits })
}
