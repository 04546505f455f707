//! Products of bf16 numbers, summed in float32: half the memory, and twice the rate where the processor has AVX-512 BF16.
//!
//! The matrix is bf16, and rows are rounded to bf16 before they are multiplied; products of two bf16 numbers are exact in float32. The
//! instruction takes two steps of k at a time, so panels hold the numbers of two steps side by side, `[K/2, 32, 2]`. Processors without it
//! multiply the same numbers in float32; sums are in another order of addition there. Matrix
//! tiles (`amx`) take the same panels.

use crate::vectorised;
use half::bf16;

/// Columns of the result that one panel makes.
const PANEL: usize = crate::tile::MAX_COLUMNS;

/// Numbers of one step of k in a panel.
const STEP: usize = 2 * PANEL;

/// Where number `k` of column `column` of a panel stands in it.
#[inline]
pub fn place(k: usize, column: usize) -> usize {
    k / 2 * STEP + column * 2 + k % 2
}

vectorised! {
    /// Rounds a row to the nearest bf16 numbers, ties to even; what is not a number stays so.
    pub fn round(row: &[f32], out: &mut [bf16]) {
        for (out, x) in out.iter_mut().zip(row) {
            let bits = x.to_bits();
            let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
            let bits = if x.is_nan() { bits | 0x40_0000 } else { rounded };
            *out = bf16::from_bits((bits >> 16) as u16);
        }
    }
}

vectorised! {
    /// bf16 numbers in float32.
    pub fn widen(numbers: &[bf16], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(numbers) {
            *out = wide(*x);
        }
    }
}

vectorised! {
    /// A panel in float32, `[K, 32]`.
    pub fn widen_panel(panel: &[bf16], out: &mut [f32]) {
        for (pairs, steps) in panel.chunks_exact(STEP).zip(out.chunks_exact_mut(STEP)) {
            let (even, odd) = steps.split_at_mut(PANEL);
            for column in 0..PANEL {
                even[column] = wide(pairs[2 * column]);
                odd[column] = wide(pairs[2 * column + 1]);
            }
        }
    }
}

#[inline(always)]
fn wide(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}

/// One tile of a result: `rows × columns` numbers at `c`, from bf16 rows and a panel.
pub struct Tile {
    /// Rows of the result.
    pub rows: usize,
    /// Columns of the result.
    pub columns: usize,
    /// Steps of two numbers.
    pub n_pairs: usize,
    /// First number of the first row of bf16 numbers.
    pub a: *const bf16,
    /// Numbers from one row of A to the next.
    pub a_row: usize,
    /// The panel.
    pub b: *const bf16,
    /// First number of the result.
    pub c: *mut f32,
    /// Numbers from one row of C to the next.
    pub c_row: usize,
    /// Whether to add to what is there.
    pub add: bool,
}

/// Most rows of a tile.
pub const MAX_ROWS: usize = 12;

/// Whether the processor multiplies bf16 numbers.
pub fn supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Computes a tile.
///
/// # Safety
/// Pairs are `supported`; the tile's pointers hold what it says, nobody else uses the numbers of C meanwhile, and it has at most
/// `MAX_ROWS` rows and 32 columns.
#[cfg(target_arch = "x86_64")]
pub unsafe fn run(tile: &Tile) {
    // SAFETY: by the caller's promise.
    unsafe {
        match tile.rows {
            1 => product::<1>(tile),
            2 => product::<2>(tile),
            3 => product::<3>(tile),
            4 => product::<4>(tile),
            5 => product::<5>(tile),
            6 => product::<6>(tile),
            7 => product::<7>(tile),
            8 => product::<8>(tile),
            9 => product::<9>(tile),
            10 => product::<10>(tile),
            11 => product::<11>(tile),
            _ => product::<12>(tile),
        }
    }
}

/// Computes a tile; processors of this kind cannot.
///
/// # Safety
/// None is possible: pairs are never `supported` here.
#[cfg(not(target_arch = "x86_64"))]
pub unsafe fn run(_: &Tile) {
    unreachable!("not supported")
}

/// # Safety
/// As for `run`; the tile has R rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn product<const R: usize>(tile: &Tile) {
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, __mmask16, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps,
        _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
    };
    // SAFETY: both are 512 bits of anything.
    let pairs = |bits: __m512i| unsafe { std::mem::transmute::<__m512i, __m512bh>(bits) };
    let mask = |columns: usize| -> __mmask16 { if columns >= 16 { u16::MAX } else { (1 << columns) - 1 } };
    let masks = [mask(tile.columns), mask(tile.columns.saturating_sub(16))];
    // SAFETY: by the caller's promise; masked loads and stores touch only the tile's columns.
    unsafe {
        let mut sums: [[__m512; 2]; R] = [[_mm512_setzero_ps(); 2]; R];
        if tile.add {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_maskz_loadu_ps(masks[v], tile.c.wrapping_add(r * tile.c_row + 16 * v));
                }
            }
        }
        for i in 0..tile.n_pairs {
            let b = tile.b.add(i * STEP).cast::<__m512i>();
            let right = [pairs(_mm512_loadu_si512(b)), pairs(_mm512_loadu_si512(b.add(1)))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let both = tile.a.add(r * tile.a_row + 2 * i).cast::<i32>().read_unaligned();
                let left = pairs(_mm512_set1_epi32(both));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = _mm512_dpbf16_ps(*sum, left, right);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let c = tile.c.wrapping_add(r * tile.c_row + 16 * v);
                _mm512_mask_storeu_ps(c, masks[v], sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_keeps_what_is_not_a_number() {
        let numbers = [
            1.0,
            -1.003_906_2,
            1.011_718_8,
            1.0e-40,
            f32::MAX,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::from_bits(u32::MAX),
            0.1,
            -0.0,
        ];
        let mut found = [bf16::ZERO; 11];
        round(&numbers, &mut found);
        for (found, x) in found.into_iter().zip(numbers) {
            let expected = bf16::from_f32(x);
            assert!(found.to_bits() == expected.to_bits() || found.is_nan() && x.is_nan(), "{x}: {found}");
        }
    }

    #[test]
    fn panels_are_widened_where_their_numbers_stand() {
        let numbers: Vec<bf16> = (0..3 * STEP).map(|i| bf16::from_f32(i as f32 - 60.0)).collect();
        let (mut plain, mut panel) = (vec![0.0; numbers.len()], vec![0.0; numbers.len()]);
        widen(&numbers, &mut plain);
        widen_panel(&numbers, &mut panel);
        for (i, x) in numbers.iter().enumerate() {
            assert_eq!(plain[i].to_bits(), x.to_f32().to_bits());
        }
        for (k, column) in (0..6).flat_map(|k| (0..PANEL).map(move |column| (k, column))) {
            assert_eq!(panel[k * PANEL + column].to_bits(), numbers[place(k, column)].to_f32().to_bits());
        }
    }
}
