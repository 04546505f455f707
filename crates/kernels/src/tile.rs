//! The innermost product: a small tile C `[rows, columns]` = A·B, or that added to C, in registers while the common dimension k runs.
//!
//! Every number of the result is one chain of fused multiply-adds in the order of k, whatever the size of the tile and wherever k is cut
//! into calls that add: what is computed for one row does not depend on what is computed with it.
//!
//! Kernels: AVX-512 (12 × 32 numbers in registers), AVX2 with FMA (2 × 32 or 6 × 16), and a portable one; chosen when the program runs.

/// Most columns of a tile.
pub const MAX_COLUMNS: usize = 32;

/// One tile of a result and what it is made of.
pub struct Tile {
    /// Rows of the result.
    pub rows: usize,
    /// Columns of the result.
    pub columns: usize,
    /// The common dimension.
    pub k: usize,
    /// The left factor.
    pub a: Left,
    /// `[k, columns]`: first number and distance between steps of k.
    pub b: *const f32,
    /// Numbers from one step of k to the next.
    pub b_step: usize,
    /// `[rows, columns]`: first number and distance between rows.
    pub c: *mut f32,
    /// Numbers from one row to the next.
    pub c_row: usize,
    /// Whether to add to what is there.
    pub add: bool,
}

/// The left factor of a tile.
#[derive(Clone, Copy)]
pub enum Left {
    /// `[k, rows]`, with the distance between steps of k.
    Columns(*const f32, usize),
    /// `[rows, k]`, with the distance between rows.
    Rows(*const f32, usize),
}

/// A way to compute tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// AVX-512F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Plain loops.
    Portable,
}

impl Kernel {
    /// The fastest that this processor has.
    #[inline]
    pub fn best() -> Self {
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

    /// The instructions it is made of.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2",
            Self::Portable => "portable loops",
        }
    }

    /// Most rows of a tile.
    #[inline]
    pub fn max_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 12,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 6,
            Self::Portable => 4,
        }
    }

    /// Computes a tile.
    ///
    /// # Safety
    /// The processor has the kernel's instructions, the tile's pointers hold what it says, nobody else uses the numbers of C meanwhile, and it has at most `max_rows` rows and
    /// `MAX_COLUMNS` columns.
    #[inline]
    pub unsafe fn run(self, tile: &Tile) {
        debug_assert!(tile.rows <= self.max_rows() && tile.columns <= MAX_COLUMNS);
        // SAFETY: by the caller's promise.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => avx512::run(tile),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2::run(tile),
                Self::Portable => loops(tile),
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

    /// # Safety
    /// As for `run`; the tile has R rows.
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
    ///
    /// # Safety
    /// As for `run`; the tile has R rows and at most V vectors of columns, and `a` points to numbers that may be read.
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
mod avx2 {
    use super::{Left, Tile};
    use std::arch::x86_64::{
        __m256, __m256i, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps,
        _mm256_maskstore_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    /// Numbers of a vector.
    const WIDTH: usize = 8;

    /// # Safety
    /// AVX2 and FMA are there; see `Kernel::run`.
    pub(super) unsafe fn run(tile: &Tile) {
        // SAFETY: by the caller's promise.
        unsafe {
            match tile.rows {
                // What fits in sixteen registers with the vectors of the right factor and one number of the left.
                1 => of_width::<1, 4>(tile),
                2 => of_width::<2, 4>(tile),
                3 => of_width::<3, 2>(tile),
                4 => of_width::<4, 2>(tile),
                5 => of_width::<5, 2>(tile),
                _ => of_width::<6, 2>(tile),
            }
        }
    }

    /// V vectors of all R rows at a time.
    ///
    /// # Safety
    /// As for `run`; the tile has R rows.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn of_width<const R: usize, const V: usize>(tile: &Tile) {
        // SAFETY: by the caller's promise.
        unsafe {
            for first in (0..tile.columns).step_by(V * WIDTH) {
                match (tile.columns - first >= V * WIDTH, tile.a) {
                    (true, Left::Columns(a, step)) => whole::<R, V>(tile, first, |i, r| a.add(i * step + r)),
                    (true, Left::Rows(a, row)) => whole::<R, V>(tile, first, |i, r| a.add(r * row + i)),
                    (false, Left::Columns(a, step)) => {
                        in_part::<R, V>(tile, first, |i, r| a.add(i * step + r))
                    }
                    (false, Left::Rows(a, row)) => in_part::<R, V>(tile, first, |i, r| a.add(r * row + i)),
                }
            }
        }
    }

    /// R rows of V whole vectors from column `first` on; `a(i, r)` is where the left factor of row r at step i is.
    ///
    /// # Safety
    /// As for `run`; the tile has R rows and V whole vectors from that column on, and `a` points to numbers that may be read.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn whole<const R: usize, const V: usize>(
        tile: &Tile,
        first: usize,
        a: impl Fn(usize, usize) -> *const f32,
    ) {
        // SAFETY: by the caller's promise; the columns lie within the tile.
        unsafe {
            let c = |r: usize, v: usize| tile.c.add(r * tile.c_row + first + WIDTH * v);
            let mut sums: [[__m256; V]; R] = [[_mm256_setzero_ps(); V]; R];
            if tile.add {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm256_loadu_ps(c(r, v));
                    }
                }
            }
            let mut b = tile.b.add(first);
            for i in 0..tile.k {
                let mut right = [_mm256_setzero_ps(); V];
                for (v, right) in right.iter_mut().enumerate() {
                    *right = _mm256_loadu_ps(b.add(WIDTH * v));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let left = _mm256_set1_ps(*a(i, r));
                    for (sum, &right) in sums.iter_mut().zip(&right) {
                        *sum = _mm256_fmadd_ps(left, right, *sum);
                    }
                }
                b = b.wrapping_add(tile.b_step);
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    _mm256_storeu_ps(c(r, v), sum);
                }
            }
        }
    }

    /// The columns from `first` on, which fill less than V vectors: those behind them are masked.
    ///
    /// # Safety
    /// As for `run`; the tile has R rows, and `a` points to numbers that may be read.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn in_part<const R: usize, const V: usize>(
        tile: &Tile,
        first: usize,
        a: impl Fn(usize, usize) -> *const f32,
    ) {
        let columns = tile.columns - first;
        let masks: [__m256i; V] = std::array::from_fn(|v| mask(columns.saturating_sub(WIDTH * v)));
        // SAFETY: by the caller's promise; masked loads and stores touch only the tile's columns.
        unsafe {
            let c = |r: usize, v: usize| tile.c.add(r * tile.c_row + first).wrapping_add(WIDTH * v);
            let mut sums: [[__m256; V]; R] = [[_mm256_setzero_ps(); V]; R];
            if tile.add {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm256_maskload_ps(c(r, v), masks[v]);
                    }
                }
            }
            let mut b = tile.b.add(first);
            for i in 0..tile.k {
                let right: [__m256; V] =
                    std::array::from_fn(|v| _mm256_maskload_ps(b.wrapping_add(WIDTH * v), masks[v]));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let left = _mm256_set1_ps(*a(i, r));
                    for (sum, &right) in sums.iter_mut().zip(&right) {
                        *sum = _mm256_fmadd_ps(left, right, *sum);
                    }
                }
                b = b.wrapping_add(tile.b_step);
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    _mm256_maskstore_ps(c(r, v), masks[v], sum);
                }
            }
        }
    }

    /// Ones in the first `columns` numbers of a vector.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn mask(columns: usize) -> __m256i {
        const ONES_THEN_ZEROS: [i32; 2 * WIDTH] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: eight numbers from a place between 0 and 8 of sixteen.
        unsafe { _mm256_loadu_si256(ONES_THEN_ZEROS.as_ptr().add(WIDTH - columns.min(WIDTH)).cast()) }
    }
}

/// Plain loops, which the compiler turns into whatever vector instructions it may use here.
///
/// # Safety
/// The tile's pointers hold what it says, and nobody else uses the numbers of C meanwhile.
unsafe fn loops(tile: &Tile) {
    for r in 0..tile.rows {
        let mut sums = [0f32; MAX_COLUMNS];
        // SAFETY: by the caller's promise.
        let c = unsafe { tile.c.add(r * tile.c_row) };
        if tile.add {
            // SAFETY: by the caller's promise; `columns` are at most MAX_COLUMNS.
            unsafe { sums.as_mut_ptr().copy_from_nonoverlapping(c, tile.columns) };
        }
        let step = |sum: &mut f32, x: f32, b: f32| *sum += x * b;
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
    use crate::tests_support::random as numbers;

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
