//! Matrix products of float32 slices on one thread.

/// A matrix in a slice, with any strides.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Contiguous, `[rows, columns]`.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows `stride` apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(data.len(), rows, columns, stride), "a matrix must lie within its numbers");
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Transposed, without a copy.
    pub(crate) fn t(self) -> Self {
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
pub(crate) struct MatrixMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Contiguous, `[rows, columns]`.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows `stride` apart.
    pub(crate) fn strided(data: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(data.len(), rows, columns, stride), "a matrix must lie within its numbers");
        Self { data, rows, columns, stride }
    }
}

fn fits(n: usize, rows: usize, columns: usize, stride: usize) -> bool {
    columns <= stride && (rows == 0 || (rows - 1) * stride + columns <= n)
}

/// What happens to the numbers that the target holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// They are replaced.
    Set,
    /// The product is added to them.
    Add,
}

/// out (+)= scale · a · b.
pub(crate) fn multiply(out: MatrixMut<'_>, target: Target, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    assert!(a.rows == out.rows && b.columns == out.columns && a.columns == b.rows, "shapes of a product");
    // SAFETY: the constructors checked that all three lie within their slices.
    unsafe { product_at(out.data.as_mut_ptr(), out.stride, target, scale, a, b) };
}

/// a · b, contiguous.
pub(crate) fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
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

/// # Safety
/// `out` has room for a.rows rows of b.columns numbers, `stride` apart; the shapes fit.
unsafe fn product_at(out: *mut f32, stride: usize, target: Target, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    // SAFETY: by the caller's promise and the checks of the constructors.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out,
            1,
            stride as isize,
            target == Target::Add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
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
