//! Float32 numbers as sums of bf16 numbers, laid out for products in matrix tiles (see `amx`).
//!
//! A float32 number has 24 significant bits and a bf16 number 8. Each part is what is left, rounded to the nearest bf16 number, so three parts hold
//! every float32 number exactly, two those of float16 and of many quantised weights, and one those of a bf16 checkpoint. Only
//! numbers below 2⁻¹⁰⁹ lose bits: their last parts would be subnormal, which tile products take for zero.
//!
//! Everything is in lines of 32 bf16 numbers, which are one row of a tile. For each 32 steps of k a row holds one line of each part, and a
//! panel of 32 columns holds 32 lines of each part: for two steps of k at a time, 16 columns and then the other 16, both steps side by side.

use crate::vectorised;
use half::bf16;

/// Steps of k in a line.
pub const STEPS: usize = 32;

/// Columns of a panel.
pub const COLUMNS: usize = crate::tile::MAX_COLUMNS;

/// Most parts of a number.
pub const MOST: usize = 3;

/// 32 bf16 numbers in one line of the cache.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Line(pub [bf16; STEPS]);

impl Line {
    /// Zeros.
    pub const ZERO: Self = Self([bf16::ZERO; STEPS]);
}

impl Default for Line {
    fn default() -> Self {
        Self::ZERO
    }
}

/// `k` rounded up to whole lines.
pub fn padded(k: usize) -> usize {
    k.next_multiple_of(STEPS)
}

/// Lines of a panel with `k` steps in `parts` parts.
pub fn panel_lines(k: usize, parts: usize) -> usize {
    row_lines(k, parts) * COLUMNS
}

/// Lines of a row of `k` numbers in `parts` parts.
pub fn row_lines(k: usize, parts: usize) -> usize {
    k.div_ceil(STEPS) * parts
}

/// The upper half of the bits of a part, and what it leaves. A number near the largest is cut and not rounded, so that it stays finite; what is not
/// finite is all in the first part.
#[inline(always)]
fn part(x: f32) -> (u32, f32) {
    const EXPONENT: u32 = 0x7f80_0000;
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let finite = bits & EXPONENT != EXPONENT;
    let overflows = rounded & EXPONENT == EXPONENT;
    let quiet = if x.is_nan() { 0x40_0000 } else { 0 };
    let upper = if overflows { bits | quiet } else { rounded } & 0xffff_0000;
    (upper, if finite { x - f32::from_bits(upper) } else { 0.0 })
}

/// The upper halves of up to three parts.
#[inline(always)]
fn parts_of(x: f32) -> [u32; MOST] {
    let (first, rest) = part(x);
    let (second, rest) = part(rest);
    [first, second, part(rest).0]
}

vectorised! {
    /// How many parts hold all of these numbers exactly.
    pub fn needed(numbers: &[f32]) -> usize {
        let (mut second, mut third) = (0, 0);
        for &x in numbers {
            let [_, a, b] = parts_of(x);
            second |= a << 1;
            third |= b << 1;
        }
        1 + usize::from(second | third != 0) + usize::from(third != 0)
    }
}

vectorised! {
    /// Splits a row into the first `parts` parts: lines as `row_lines` counts them. Numbers beyond the row are zero.
    pub fn split_row(row: &[f32], parts: usize, out: &mut [Line]) {
        for (numbers, lines) in row.chunks(STEPS).zip(out.chunks_exact_mut(parts)) {
            let mut all = [[0u16; STEPS]; MOST];
            for (i, &x) in numbers.iter().enumerate() {
                for (part, bits) in all.iter_mut().zip(parts_of(x)) {
                    part[i] = (bits >> 16) as u16;
                }
            }
            for (line, part) in lines.iter_mut().zip(all) {
                line.0 = part.map(bf16::from_bits);
            }
        }
    }
}

vectorised! {
    /// Splits steps of a panel in float32, `[steps, 32]`, into the first `parts` parts: lines as `panel_lines` counts them. Steps beyond the
    /// last are zero.
    pub fn split_panel(panel: &[f32], parts: usize, out: &mut [Line]) {
        const PAIR: usize = 2 * COLUMNS;
        for (steps, lines) in panel.chunks(STEPS * COLUMNS).zip(out.chunks_exact_mut(COLUMNS * parts)) {
            lines.fill(Line::ZERO);
            for (pair, steps) in steps.chunks(PAIR).enumerate() {
                let mut whole = [0f32; PAIR];
                whole[..steps.len()].copy_from_slice(steps);
                let mut all = [[0u16; PAIR]; MOST];
                for column in 0..COLUMNS {
                    let (a, b) = (parts_of(whole[column]), parts_of(whole[COLUMNS + column]));
                    for (part, (a, b)) in all.iter_mut().zip(a.into_iter().zip(b)) {
                        part[2 * column] = (a >> 16) as u16;
                        part[2 * column + 1] = (b >> 16) as u16;
                    }
                }
                for (part, numbers) in all.iter().take(parts).enumerate() {
                    for (half, numbers) in numbers.chunks_exact(STEPS).enumerate() {
                        let line = &mut lines[part * COLUMNS + 2 * pair + half];
                        line.0 = std::array::from_fn(|i| bf16::from_bits(numbers[i]));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests_support::random;

    const ODD_ONES: [f32; 11] =
        [0.0, -0.0, 1.0, -1.003_906_2, f32::MAX, f32::MIN, 1.0e-32, 3.0e38, -3.395e38, 16_777_215.0, 0.1];

    fn sum(parts: impl IntoIterator<Item = bf16>) -> f64 {
        parts.into_iter().map(|x| f64::from(x.to_f32())).sum()
    }

    /// Zeros of both signs are the same.
    fn same(a: f64, b: f64) -> bool {
        (a + 0.0).to_bits() == (b + 0.0).to_bits()
    }

    #[test]
    fn three_parts_are_the_number() {
        let mut numbers = random(1000, 1);
        numbers.extend(random(1000, 2).iter().map(|x| x * 1e30));
        numbers.extend(ODD_ONES);
        for x in numbers {
            let parts = parts_of(x).map(|bits| bf16::from_bits((bits >> 16) as u16));
            assert!(same(sum(parts), f64::from(x)), "{x}");
        }
    }

    #[test]
    fn of_the_smallest_numbers_little_is_lost() {
        for x in [1.0e-36, f32::MIN_POSITIVE, 1.0e-40] {
            let parts = parts_of(x).map(|bits| bf16::from_bits((bits >> 16) as u16));
            assert!((sum(parts) - f64::from(x)).abs() < 2f64.powi(-133), "{x}");
        }
    }

    #[test]
    fn what_is_not_finite_stays_so_in_one_part() {
        let nan = f32::from_bits(0x7f80_0001);
        for x in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, nan] {
            let [first, second, third] = parts_of(x);
            let first = f32::from_bits(first);
            assert!(first.is_nan() && x.is_nan() || same(first.into(), x.into()), "{x}");
            assert_eq!((second, third), (0, 0), "{x}");
        }
    }

    #[test]
    fn as_many_parts_are_needed_as_the_numbers_have_bits() {
        let one = [1.0, -2.5, 0.0, 1.0 + 1.0 / 128.0];
        assert_eq!(needed(&one), 1);
        assert_eq!(needed(&[one[0], half::f16::from_f32(0.1).to_f32()]), 2);
        assert_eq!(needed(&[one[0], 0.1]), 3);
        assert_eq!(needed(&[]), 1);
    }

    #[test]
    fn rows_and_panels_hold_each_number_where_tiles_find_it() {
        for k in [1, 2, 31, 32, 33, 100] {
            let (row, panel) = (random(k, 3), random(k * COLUMNS, 4));
            for parts in 1..=MOST {
                let exact = |found: f64, x: f32| {
                    let all = parts_of(x);
                    let expected = all[..parts].iter().map(|&bits| f64::from(f32::from_bits(bits)));
                    assert!(same(found, expected.sum()), "{found} against {x}");
                };
                let mut lines = vec![Line([bf16::NAN; STEPS]); row_lines(k, parts)];
                split_row(&row, parts, &mut lines);
                for i in 0..k.next_multiple_of(STEPS) {
                    let of_part = |part: usize| lines[i / STEPS * parts + part].0[i % STEPS];
                    exact(sum((0..parts).map(of_part)), row.get(i).copied().unwrap_or(0.0));
                }
                let mut lines = vec![Line([bf16::NAN; STEPS]); panel_lines(k, parts)];
                split_panel(&panel, parts, &mut lines);
                for (i, column) in
                    (0..k.next_multiple_of(STEPS)).flat_map(|i| (0..COLUMNS).map(move |c| (i, c)))
                {
                    let of_part = |part: usize| {
                        let block = (i / STEPS * parts + part) * COLUMNS;
                        lines[block + i % STEPS / 2 * 2 + column / 16].0[column % 16 * 2 + i % 2]
                    };
                    exact(
                        sum((0..parts).map(of_part)),
                        panel.get(i * COLUMNS + column).copied().unwrap_or(0.0),
                    );
                }
            }
        }
    }
}
