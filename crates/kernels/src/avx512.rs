//! Matrix products in AVX-512 registers: C (+)= s·A·B, tiles of 12 rows and 32 columns.
//!
//! A panel of 32 columns of B is laid out anew, `[k, 32]`, so that it is read in order and stays in the nearest caches while all rows of A
//! pass it; A is read where it is. Every number of the result is a chain of fused multiply-adds in the order of k, in blocks of at
//! most `K_BLOCK`, whatever the shape.

use crate::matrix::{Factor, Product};
use std::arch::x86_64::{
    __m512, __mmask16, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
    _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps,
};
use std::cell::RefCell;

const PANEL: usize = 32;
const TILE_ROWS: usize = 12;
const K_BLOCK: usize = 384;

/// A panel of B, `[k, 32]`.
#[repr(align(64))]
struct Panel([f32; PANEL * K_BLOCK]);

thread_local! {
    /// Every thread's panel. What it holds beyond the current product's numbers is never stored anywhere.
    static PANEL_OF_THREAD: RefCell<Panel> = const { RefCell::new(Panel([0.0; PANEL * K_BLOCK])) };
}

/// Whether the processor has the instructions.
pub(crate) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// Computes a product.
///
/// # Safety
/// AVX-512F is available, and the pointers hold what the product says.
pub(crate) unsafe fn run(product: &Product) {
    // SAFETY: by the caller's promise.
    PANEL_OF_THREAD.with_borrow_mut(|panel| unsafe { run_with(product, &mut panel.0) });
}

/// # Safety
/// As `run`.
unsafe fn run_with(product: &Product, panel: &mut [f32; PANEL * K_BLOCK]) {
    let Product { m, n, k, .. } = *product;
    let n_blocks = k.div_ceil(K_BLOCK);
    for block in 0..n_blocks {
        let ks = block * k / n_blocks..(block + 1) * k / n_blocks;
        for first_column in (0..n).step_by(PANEL) {
            let columns = PANEL.min(n - first_column);
            // SAFETY: columns and rows of k lie within B, tiles within A and C, by the caller's promise.
            unsafe {
                let b = product.b.at(ks.start, first_column);
                lay_out(b, product.b, ks.len(), columns, panel);
                for first_row in (0..m).step_by(TILE_ROWS) {
                    let tile = Tile {
                        k: ks.len(),
                        a: product.a.at(first_row, ks.start),
                        a_strides: (product.a.row_stride, product.a.column_stride),
                        b: panel.as_ptr(),
                        c: product.c.add(first_row * product.c_stride + first_column),
                        c_stride: product.c_stride,
                        columns,
                        scale: product.scale,
                        add: product.add || block > 0,
                    };
                    tile.run(TILE_ROWS.min(m - first_row));
                }
            }
        }
    }
}

/// Copies `k` rows of `columns` numbers to rows of 32; columns beyond stay as they are, and are never stored.
///
/// # Safety
/// `from` points into a factor with that many rows and columns.
unsafe fn lay_out(
    from: *const f32,
    factor: Factor,
    k: usize,
    columns: usize,
    panel: &mut [f32; PANEL * K_BLOCK],
) {
    // SAFETY: by the caller's promise.
    unsafe {
        if factor.column_stride == 1 {
            for (i, row) in panel.chunks_exact_mut(PANEL).take(k).enumerate() {
                std::ptr::copy_nonoverlapping(from.add(i * factor.row_stride), row.as_mut_ptr(), columns);
            }
        } else {
            for column in 0..columns {
                let from = from.add(column * factor.column_stride);
                for i in 0..k {
                    panel[i * PANEL + column] = *from.add(i * factor.row_stride);
                }
            }
        }
    }
}

/// A tile of the result.
struct Tile {
    k: usize,
    a: *const f32,
    a_strides: (usize, usize),
    b: *const f32,
    c: *mut f32,
    c_stride: usize,
    columns: usize,
    scale: f32,
    add: bool,
}

impl Tile {
    /// # Safety
    /// AVX-512F is available; the pointers hold `rows` rows.
    unsafe fn run(&self, rows: usize) {
        // SAFETY: by the caller's promise.
        unsafe {
            match rows {
                1 => self.rows::<1>(),
                2 => self.rows::<2>(),
                3 => self.rows::<3>(),
                4 => self.rows::<4>(),
                5 => self.rows::<5>(),
                6 => self.rows::<6>(),
                7 => self.rows::<7>(),
                8 => self.rows::<8>(),
                9 => self.rows::<9>(),
                10 => self.rows::<10>(),
                11 => self.rows::<11>(),
                _ => self.rows::<TILE_ROWS>(),
            }
        }
    }

    /// # Safety
    /// As for `run`; the tile has R rows.
    #[target_feature(enable = "avx512f")]
    unsafe fn rows<const R: usize>(&self) {
        let low: __mmask16 = mask(self.columns);
        let high: __mmask16 = mask(self.columns.saturating_sub(16));
        let (row_stride, k_stride) = self.a_strides;
        // SAFETY: by the caller's promise; masked loads and stores touch only the tile's columns.
        unsafe {
            let mut sums: [[__m512; 2]; R] = [[_mm512_setzero_ps(); 2]; R];
            let (mut a, mut b) = (self.a, self.b);
            for _ in 0..self.k {
                let (b0, b1) = (_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16)));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*a.add(r * row_stride));
                    sums[0] = _mm512_fmadd_ps(x, b0, sums[0]);
                    sums[1] = _mm512_fmadd_ps(x, b1, sums[1]);
                }
                a = a.wrapping_add(k_stride);
                b = b.wrapping_add(PANEL);
            }
            let scale = _mm512_set1_ps(self.scale);
            for (r, sums) in sums.iter().enumerate() {
                let c = self.c.add(r * self.c_stride);
                let c = [(c, low, sums[0]), (c.wrapping_add(16), high, sums[1])];
                for (c, mask, sum) in c {
                    let result = if self.add {
                        _mm512_fmadd_ps(sum, scale, _mm512_maskz_loadu_ps(mask, c))
                    } else {
                        _mm512_mul_ps(sum, scale)
                    };
                    _mm512_mask_storeu_ps(c, mask, result);
                }
            }
        }
    }
}

fn mask(columns: usize) -> __mmask16 {
    if columns >= 16 { u16::MAX } else { (1 << columns) - 1 }
}
