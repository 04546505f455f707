//! Matrix products of float32 slices on one thread.

/// A matrix in a slice, with any strides.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Contiguous, `[rows, columns]`.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows `stride` apart.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(data.len(), rows, columns, stride), "a matrix must lie within its numbers");
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Transposed, without a copy.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Where a product is written: rows `stride` apart.
pub struct MatrixMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Contiguous, `[rows, columns]`.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows `stride` apart.
    pub fn strided(data: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(data.len(), rows, columns, stride), "a matrix must lie within its numbers");
        Self { data, rows, columns, stride }
    }
}

fn fits(n: usize, rows: usize, columns: usize, stride: usize) -> bool {
    columns <= stride && (rows == 0 || (rows - 1) * stride + columns <= n)
}

/// What happens to the numbers that the target holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// They are replaced.
    Set,
    /// The product is added to them.
    Add,
}

/// out (+)= scale · a · b.
pub fn multiply(out: MatrixMut<'_>, target: Target, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    assert!(a.rows == out.rows && b.columns == out.columns && a.columns == b.rows, "shapes of a product");
    assert!(a.columns > 0 || target == Target::Add, "an empty sum");
    // SAFETY: the constructors checked that all three lie within their slices.
    unsafe { product_at(out.data.as_mut_ptr(), out.stride, target, scale, a, b) };
}

/// a · b, contiguous.
pub fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    assert!(a.columns == b.rows, "shapes of a product");
    let n = a.rows * b.columns;
    if a.columns == 0 {
        return vec![0.0; n];
    }
    let mut out: Vec<f32> = Vec::with_capacity(n);
    // SAFETY: there is room for all n numbers, and a product that replaces writes every one of them.
    unsafe {
        product_at(out.as_mut_ptr(), b.columns, Target::Set, 1.0, a, b);
        out.set_len(n);
    }
    out
}

/// A factor of a product, in memory.
#[derive(Clone, Copy)]
pub(crate) struct Factor {
    data: *const f32,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl Factor {
    fn of(matrix: Matrix<'_>) -> Self {
        let Matrix { data, row_stride, column_stride, .. } = matrix;
        Self { data: data.as_ptr(), row_stride, column_stride }
    }

    /// Address of a number.
    ///
    /// # Safety
    /// It lies within the factor.
    pub(crate) unsafe fn at(&self, row: usize, column: usize) -> *const f32 {
        // SAFETY: by the caller's promise.
        unsafe { self.data.add(row * self.row_stride + column * self.column_stride) }
    }
}

/// C `[m, n]` (+)= scale · A `[m, k]` · B `[k, n]`.
pub(crate) struct Product {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) a: Factor,
    pub(crate) b: Factor,
    pub(crate) c: *mut f32,
    /// Between rows of C.
    pub(crate) c_stride: usize,
    pub(crate) scale: f32,
    /// Whether to add to what is there.
    pub(crate) add: bool,
}

/// # Safety
/// `out` has room for a.rows rows of b.columns numbers, `stride` apart; the shapes fit.
unsafe fn product_at(out: *mut f32, stride: usize, target: Target, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    let product = Product {
        m: a.rows,
        n: b.columns,
        k: a.columns,
        a: Factor::of(a),
        b: Factor::of(b),
        c: out,
        c_stride: stride,
        scale,
        add: target == Target::Add,
    };
    // SAFETY: by the caller's promise and the checks of the constructors.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if crate::avx512::available() && product.k > 0 {
            return crate::avx512::run(&product);
        }
        general(&product);
    }
}

/// Any processor.
///
/// # Safety
/// The pointers hold what the product says.
unsafe fn general(product: &Product) {
    let Product { m, n, k, a, b, c, c_stride, scale, add } = *product;
    // SAFETY: by the caller's promise.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c,
            1,
            c_stride as isize,
            add,
            a.data,
            a.column_stride as isize,
            a.row_stride as isize,
            b.data,
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests_support::random;

    #[test]
    fn the_kernel_equals_the_general_product() {
        for (m, n, k) in [(1, 1, 1), (12, 32, 7), (13, 33, 400), (25, 70, 1000), (5, 16, 384), (30, 47, 385)]
        {
            let (a, b) = (random(m * k, 1), random(k * n, 2));
            let a_forms = [Matrix::new(&a, m, k), Matrix::new(&a, k, m).t()];
            let b_forms = [Matrix::new(&b, k, n), Matrix::new(&b, n, k).t()];
            for (a, b, target) in a_forms.into_iter().flat_map(|a| {
                b_forms.into_iter().flat_map(move |b| [(a, b, Target::Set), (a, b, Target::Add)])
            }) {
                let stride = n + 3;
                let mut found = random(m * stride, 3);
                let mut expected = found.clone();
                multiply(MatrixMut::strided(&mut found, m, n, stride), target, 0.5, a, b);
                let product = Product {
                    m,
                    n,
                    k,
                    a: Factor::of(a),
                    b: Factor::of(b),
                    c: expected.as_mut_ptr(),
                    c_stride: stride,
                    scale: 0.5,
                    add: target == Target::Add,
                };
                // SAFETY: the same memory as above.
                unsafe { general(&product) };
                for (f, e) in found.iter().zip(&expected) {
                    assert!((f - e).abs() < 1e-4, "{m} {n} {k}: {f} against {e}");
                }
            }
        }
    }

    #[test]
    fn products_with_transposes_strides_and_sums() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [1.0, -1.0, 2.0, 0.5, 0.0, 1.0];
        let (a, b) = (Matrix::new(&a, 2, 3), Matrix::new(&b, 2, 3));
        assert_eq!(product(a, b.t()), [5.0, 3.5, 11.0, 8.0]);
        assert_eq!(product(a.t(), b), [3.0, -1.0, 6.0, 4.5, -2.0, 9.0, 6.0, -3.0, 12.0]);
        let mut out = [1.0; 6];
        multiply(MatrixMut::strided(&mut out, 2, 2, 3), Target::Add, 2.0, a, b.t());
        assert_eq!(out.to_vec(), [11.0, 8.0, 1.0, 23.0, 17.0, 1.0]);
        assert_eq!(product(Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 2)), [0.0; 4]);
    }
}
