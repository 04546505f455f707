//! The innermost product: a small tile C `[rows, columns]` = A·B, or that added to C, in registers while the common dimension k runs.
//!
//! Every number of the result is one chain of fused multiply-adds in the order of k, whatever the size of the tile and wherever k is cut
//! into calls that add: what is computed for one row does not depend on what is computed with it.
//!
//! Kernels: AVX-512 (12 × 32 numbers in registers), AVX2 with FMA (3 × 32), and a portable one; chosen when the program runs.

/// Most columns of a tile.
pub(crate) const MAX_COLUMNS: usize = 32;

/// One tile of a result and what it is made of.
pub(crate) struct Tile {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) k: usize,
    pub(crate) a: Left,
    /// `[k, columns]`: first number and distance between steps of k.
    pub(crate) b: *const f32,
    pub(crate) b_step: usize,
    /// `[rows, columns]`: first number and distance between rows.
    pub(crate) c: *mut f32,
    pub(crate) c_row: usize,
    /// Whether to add to what is there.
    pub(crate) add: bool,
}

/// The left factor of a tile.
#[derive(Clone, Copy)]
pub(crate) enum Left {
    /// `[k, rows]`, with the distance between steps of k.
    Columns(*const f32, usize),
    /// `[rows, k]`, with the distance between rows.
    Rows(*const f32, usize),
}

/// A way to compute tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Kernel {
    /// The fastest that this processor has.
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Most rows of a tile.
    pub(crate) fn max_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 12,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 3,
            Self::Portable => 4,
        }
    }

    /// Computes a tile.
    ///
    /// # Safety
    /// The tile's pointers hold what it says, nobody else uses the numbers of C meanwhile, and it has at most `max_rows` rows and
    /// `MAX_COLUMNS` columns.
    pub(crate) unsafe fn run(self, tile: &Tile) {
        debug_assert!(tile.rows <= self.max_rows() && tile.columns <= MAX_COLUMNS);
        // SAFETY: the kernel was chosen because the processor has its instructions; pointers by the caller's promise.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => avx512::run(tile),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2(tile),
                Self::Portable => loops::<false>(tile),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Left, Tile};
    use std::arch::x86_64::{
        __m512, __mmask16, _mm512_fmadd_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_ps,
        _mm512_setzero_ps,
    };

    /// # Safety
    /// AVX-512F is there; see `Kernel::run`.
    pub(super) unsafe fn run(tile: &Tile) {
        // SAFETY: by the caller's promise.
        unsafe {
            match tile.rows {
                1 => of_width::<1>(tile),
                2 => of_width::<2>(tile),
                3 => of_width::<3>(tile),
                4 => of_width::<4>(tile),
                5 => of_width::<5>(tile),
                6 => of_width::<6>(tile),
                7 => of_width::<7>(tile),
                8 => of_width::<8>(tile),
                9 => of_width::<9>(tile),
                10 => of_width::<10>(tile),
                11 => of_width::<11>(tile),
                _ => of_width::<12>(tile),
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn of_width<const R: usize>(tile: &Tile) {
        // SAFETY: by the caller's promise.
        unsafe {
            match (tile.columns <= 16, tile.a) {
                (true, Left::Columns(a, step)) => product::<R, 1>(tile, |i, r| a.add(i * step + r)),
                (false, Left::Columns(a, step)) => product::<R, 2>(tile, |i, r| a.add(i * step + r)),
                (true, Left::Rows(a, row)) => product::<R, 1>(tile, |i, r| a.add(r * row + i)),
                (false, Left::Rows(a, row)) => product::<R, 2>(tile, |i, r| a.add(r * row + i)),
            }
        }
    }

    /// R rows of V vectors; `a(i, r)` is where the left factor of row r at step i is.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn product<const R: usize, const V: usize>(tile: &Tile, a: impl Fn(usize, usize) -> *const f32) {
        let mut masks: [__mmask16; V] = [u16::MAX; V];
        let last = tile.columns - 16 * (V - 1);
        if last < 16 {
            masks[V - 1] = (1 << last) - 1;
        }
        // SAFETY: by the caller's promise; masked loads and stores touch only the tile's columns.
        unsafe {
            let mut sums: [[__m512; V]; R] = [[_mm512_setzero_ps(); V]; R];
            if tile.add {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm512_maskz_loadu_ps(masks[v], tile.c.add(r * tile.c_row + 16 * v));
                    }
                }
            }
            let mut b = tile.b;
            for i in 0..tile.k {
                let mut right = [_mm512_setzero_ps(); V];
                for (v, right) in right.iter_mut().enumerate() {
                    *right = _mm512_maskz_loadu_ps(masks[v], b.add(16 * v));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let left = _mm512_set1_ps(*a(i, r));
                    for (sum, &right) in sums.iter_mut().zip(&right) {
                        *sum = _mm512_fmadd_ps(left, right, *sum);
                    }
                }
                b = b.wrapping_add(tile.b_step);
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    _mm512_mask_storeu_ps(tile.c.add(r * tile.c_row + 16 * v), masks[v], sum);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(tile: &Tile) {
    // SAFETY: by the caller's promise.
    unsafe { loops::<true>(tile) }
}

/// Plain loops, which the compiler turns into whatever vector instructions it may use here.
#[inline(always)]
unsafe fn loops<const FUSED: bool>(tile: &Tile) {
    for r in 0..tile.rows {
        let mut sums = [0f32; MAX_COLUMNS];
        // SAFETY: by the caller's promise.
        let c = unsafe { tile.c.add(r * tile.c_row) };
        if tile.add {
            // SAFETY: by the caller's promise; `columns` are at most MAX_COLUMNS.
            unsafe { sums.as_mut_ptr().copy_from_nonoverlapping(c, tile.columns) };
        }
        let step = |sum: &mut f32, x: f32, b: f32| {
            *sum = if FUSED { x.mul_add(b, *sum) } else { x * b + *sum };
        };
        for i in 0..tile.k {
            // SAFETY: by the caller's promise.
            let (x, b) = unsafe {
                let x = match tile.a {
                    Left::Columns(a, step) => *a.add(i * step + r),
                    Left::Rows(a, row) => *a.add(r * row + i),
                };
                (x, std::slice::from_raw_parts(tile.b.add(i * tile.b_step), tile.columns))
            };
            match <&[f32; MAX_COLUMNS]>::try_from(b) {
                Ok(whole) => sums.iter_mut().zip(whole).for_each(|(sum, &b)| step(sum, x, b)),
                Err(_) => sums.iter_mut().zip(b).for_each(|(sum, &b)| step(sum, x, b)),
            }
        }
        // SAFETY: by the caller's promise.
        unsafe { c.copy_from_nonoverlapping(sums.as_ptr(), tile.columns) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests_support::random;

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        random(&[n], seed).to_vec1::<f32>().unwrap()
    }

    fn kernels() -> Vec<Kernel> {
        let mut kernels = vec![Kernel::Portable, Kernel::best()];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            kernels.push(Kernel::Avx2);
        }
        kernels
    }

    #[test]
    fn equals_the_definition_for_all_sizes_and_layouts() {
        const K: usize = 37;
        let (a, b, old) = (numbers(12 * K, 1), numbers(K * 40, 2), numbers(12 * 45, 3));
        for kernel in kernels() {
            for rows in 1..=kernel.max_rows() {
                for columns in [1, 7, 16, 17, 31, 32] {
                    for by_row in [false, true] {
                        for add in [false, true] {
                            let mut c = old.clone();
                            let left = if by_row {
                                Left::Rows(a.as_ptr(), K)
                            } else {
                                Left::Columns(a.as_ptr(), 12)
                            };
                            let tile = Tile {
                                rows,
                                columns,
                                k: K,
                                a: left,
                                b: b.as_ptr(),
                                b_step: 40,
                                c: c.as_mut_ptr(),
                                c_row: 45,
                                add,
                            };
                            // SAFETY: sizes as above.
                            unsafe { kernel.run(&tile) };
                            for (at, (&found, &old)) in c.iter().zip(&old).enumerate() {
                                let (r, column) = (at / 45, at % 45);
                                if r >= rows || column >= columns {
                                    assert_eq!(found.to_bits(), old.to_bits(), "outside of the tile");
                                    continue;
                                }
                                let left = |i: usize| if by_row { a[r * K + i] } else { a[i * 12 + r] };
                                let sum: f32 = (0..K).map(|i| left(i) * b[i * 40 + column]).sum();
                                let expected = if add { old + sum } else { sum };
                                assert!((found - expected).abs() < 1e-5, "{kernel:?} {rows} × {columns}");
                            }
                        }
                    }
                }
            }
        }
    }
}
