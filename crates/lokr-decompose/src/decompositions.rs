//! The functions for each element type.

use ndarray::{Array1, Array2, ArrayView2};
use num_complex::Complex;

use crate::cholesky::cholesky_lower;
use crate::eigen::{Eigen, eigenvalues, skew_eigen, symmetric_eigen};
use crate::element::Element;
use crate::hessenberg::hessenberg;
use crate::lu::{LuFactors, Memory, Storage, System, lu, lu_inverse, lu_memory, lu_of_cholesky, lu_solve};
use crate::qr::thin_qr;
use crate::svd::{ThinSvd, singular_values, thin_svd};

/// The decompositions of matrices of `T`, `f32` or `f64`: from [`f32()`](crate::f32()) or [`f64()`](crate::f64()).
///
/// Where an iteration does not converge, the answer is `None`.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::type_complexity)] // Each is the type of a function.
#[non_exhaustive]
pub struct Decompositions<T> {
    /// The thin singular value decomposition; `k` is the smaller side.
    pub thin_svd: fn(ArrayView2<'_, T>) -> Option<ThinSvd<T>>,
    /// The singular values, descending, as many as the smaller side.
    pub singular_values: fn(ArrayView2<'_, T>) -> Option<Array1<T>>,
    /// `Q (rows, cols)` of orthonormal columns and the upper triangular `R` of a matrix `Q·R`, which must be at least
    /// as tall as wide.
    pub thin_qr: fn(ArrayView2<'_, T>) -> (Array2<T>, Array2<T>),
    /// Ascending eigenvalues and orthonormal eigenvectors (columns) of a symmetric matrix.
    pub symmetric_eigen: fn(ArrayView2<'_, T>) -> Option<Eigen<T, T>>,
    /// Ascending `h` and the unitary `U` of a skew matrix `U·diag(i·h)·Uᴴ`.
    pub skew_eigen: fn(ArrayView2<'_, T>) -> Option<Eigen<T, Complex<T>>>,
    /// The eigenvalues of a square matrix.
    pub eigenvalues: fn(ArrayView2<'_, T>) -> Option<Array1<Complex<T>>>,
    /// `H`, zero below the first subdiagonal, and the orthogonal `Q` of a square matrix `Q·H·Qᵀ`; about `14/3·n³`
    /// flops.
    pub hessenberg: fn(ArrayView2<'_, T>) -> (Array2<T>, Array2<T>),
    /// The lower Cholesky factor of a symmetric matrix, or `None` when it is not positive definite.
    pub cholesky_lower: fn(ArrayView2<'_, T>) -> Option<Array2<T>>,
    /// Elimination with row swaps of a square matrix; `2/3·n³` flops.
    pub lu: fn(ArrayView2<'_, T>) -> LuFactors<T>,
    /// The same of `M = L·Lᵀ`, or of its negative, from the Cholesky factor `L`; `n²` flops.
    pub lu_of_cholesky: fn(ArrayView2<'_, T>, negative: bool) -> LuFactors<T>,
    /// Memory for `lu_solve` with any of these numbers of rows and columns.
    pub lu_memory: fn(&[(usize, usize)]) -> Memory,
    /// Overwrites the columns of the slice, a matrix `(n, …)`, with the solutions of a system; `2·n²` flops per column.
    pub lu_solve: fn(&LuFactors<T>, System, &mut [T], Storage, &mut Memory),
    /// `M⁻¹`; `2·n³` flops.
    pub lu_inverse: fn(&LuFactors<T>) -> Array2<T>,
}

fn of_element<T: Element>() -> Decompositions<T> {
    Decompositions {
        thin_svd,
        singular_values,
        thin_qr,
        symmetric_eigen,
        skew_eigen,
        eigenvalues,
        hessenberg,
        cholesky_lower,
        lu,
        lu_of_cholesky,
        lu_memory: lu_memory::<T>,
        lu_solve,
        lu_inverse,
    }
}

/// The decompositions of matrices of `f32`.
///
/// # Examples
/// ```
/// let r = (lokr_decompose::f32().cholesky_lower)(ndarray::array![[4.0]].view());
/// assert_eq!(r, Some(ndarray::array![[2.0]]));
/// ```
#[must_use]
pub fn f32() -> Decompositions<f32> {
    of_element()
}

/// The decompositions of matrices of `f64`.
///
/// # Examples
/// ```
/// let s = (lokr_decompose::f64().singular_values)(ndarray::array![[0.0, 2.0], [3.0, 0.0]].view()).unwrap();
/// assert!((&s - &ndarray::array![3.0, 2.0]).iter().all(|difference| difference.abs() < 1e-15));
/// ```
#[must_use]
pub fn f64() -> Decompositions<f64> {
    of_element()
}
