//! Rows turned into columns: what lies number by number in each row comes to lie row by row for each number, as the right factor of a `tile`
//! needs it.

use crate::tile::MAX_COLUMNS;

/// Turns up to `MAX_COLUMNS` rows of `dim` numbers, `stride` apart, into `[dim, MAX_COLUMNS]`. What columns behind those of the rows hold after it is
/// left open.
///
/// # Panics
/// If there are more rows than columns, or if rows or target are shorter than that.
pub fn turn(rows: &[f32], stride: usize, n_rows: usize, dim: usize, turned: &mut [f32]) {
    assert!((1..=MAX_COLUMNS).contains(&n_rows) && dim <= stride);
    assert!(rows.len() >= (n_rows - 1) * stride + dim && turned.len() >= dim * MAX_COLUMNS);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the instructions are there, and so are the numbers (asserted).
        unsafe { avx2::turn(rows, stride, n_rows, dim, turned) };
        return;
    }
    one_by_one(rows, stride, n_rows, 0..dim, turned);
}

fn one_by_one(
    rows: &[f32],
    stride: usize,
    n_rows: usize,
    numbers: std::ops::Range<usize>,
    turned: &mut [f32],
) {
    for i in numbers {
        for row in 0..n_rows {
            turned[i * MAX_COLUMNS + row] = rows[row * stride + i];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{MAX_COLUMNS, one_by_one};
    use std::arch::x86_64::{
        __m256, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
        _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };

    /// Numbers of a vector.
    const EIGHT: usize = 8;

    /// # Safety
    /// AVX2 is there; rows and target are as long as `super::turn` asserts.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn turn(rows: &[f32], stride: usize, n_rows: usize, dim: usize, turned: &mut [f32]) {
        let whole_dim = dim / EIGHT * EIGHT;
        for row in (0..n_rows).step_by(EIGHT) {
            // Behind the last row it comes once more.
            let starts: [usize; EIGHT] = std::array::from_fn(|r| (row + r).min(n_rows - 1) * stride);
            for i in (0..whole_dim).step_by(EIGHT) {
                // SAFETY: eight numbers from `i` on of rows that are there, and as many of eight columns of the target, by the caller's promise.
                unsafe {
                    let from = rows.as_ptr().add(i);
                    let square = starts.map(|start| _mm256_loadu_ps(from.add(start)));
                    let to = turned.as_mut_ptr().add(i * MAX_COLUMNS + row);
                    for (r, numbers) in turned_square(square).into_iter().enumerate() {
                        _mm256_storeu_ps(to.add(r * MAX_COLUMNS), numbers);
                    }
                }
            }
        }
        one_by_one(rows, stride, n_rows, whole_dim..dim, turned);
    }

    /// Eight rows of eight numbers as eight columns.
    #[target_feature(enable = "avx2")]
    fn turned_square(x: [__m256; EIGHT]) -> [__m256; EIGHT] {
        // Pairs of neighbouring rows, number by number; then fours; then the halves of eight.
        let pairs: [__m256; EIGHT] = std::array::from_fn(|i| {
            let (a, b) = (x[i / 2 * 2], x[i / 2 * 2 + 1]);
            if i % 2 == 0 { _mm256_unpacklo_ps(a, b) } else { _mm256_unpackhi_ps(a, b) }
        });
        let fours: [__m256; EIGHT] = std::array::from_fn(|i| {
            let (half, number) = (i / 4 * 4, i % 4);
            let (a, b) = (pairs[half + number / 2], pairs[half + number / 2 + 2]);
            if number % 2 == 0 { _mm256_shuffle_ps::<0x44>(a, b) } else { _mm256_shuffle_ps::<0xEE>(a, b) }
        });
        std::array::from_fn(|i| {
            let (a, b) = (fours[i % 4], fours[i % 4 + 4]);
            if i < 4 { _mm256_permute2f128_ps::<0x20>(a, b) } else { _mm256_permute2f128_ps::<0x31>(a, b) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests_support::random;

    #[test]
    fn rows_become_columns_of_every_size() {
        for n_rows in [1, 7, 8, 9, 16, 31, 32] {
            for dim in [1, 8, 20, 64, 100] {
                let stride = dim + 3;
                let rows = random(n_rows * stride, 7);
                let mut turned = vec![f32::NAN; dim * MAX_COLUMNS];
                turn(&rows[..(n_rows - 1) * stride + dim], stride, n_rows, dim, &mut turned);
                for (at, &number) in turned.iter().enumerate() {
                    let (i, row) = (at / MAX_COLUMNS, at % MAX_COLUMNS);
                    if row < n_rows {
                        assert_eq!(number.to_bits(), rows[row * stride + i].to_bits());
                    }
                }
            }
        }
    }
}
