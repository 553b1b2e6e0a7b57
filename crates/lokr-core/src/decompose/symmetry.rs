//! When a matrix counts as symmetric, or as skew.

use ndarray::{Array2, ArrayView2};

use crate::scalar::Scalar;

/// How far a factor may be from symmetric and still be decomposed as a symmetric matrix, which is then its symmetric
/// part `(M + Mᵀ)/2`.
///
/// # Examples
/// ```
/// use lokr_core::{Kron, KronError, Symmetry};
/// use ndarray::array;
///
/// // A covariance that went through many updates.
/// let k = Kron::new(array![[2.0, 1.0 + 1e-9], [1.0, 2.0]], array![[1.0]])?;
/// assert!(matches!(k.cholesky(), Err(KronError::NotSymmetric { .. })));
/// let l = k.cholesky_with(Symmetry::Within(1e-8))?;
/// assert!((l.element(0, 0)? - 2.0_f64.sqrt()).abs() < 1e-15);
/// assert!(k.cholesky_with(Symmetry::Average).is_ok());
/// # Ok::<(), KronError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Symmetry<T> {
    /// `|M[i, j] − M[j, i]| ≤ size · ε · max|M|`: what rounding leaves in a product like `XᵀX`.
    #[default]
    Rounding,
    /// `|M[i, j] − M[j, i]| ≤ tolerance · max|M|`, for this tolerance.
    Within(T),
    /// Any difference: the symmetric part is what is meant.
    Average,
}

/// Largest values of a square matrix that tell what kind it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Differences<T> {
    largest: T,
    /// Largest `|M[i, j] − M[j, i]|`.
    pub(super) from_symmetric: T,
    /// Largest `|M[i, j] + M[j, i]|`.
    from_skew: T,
    size: usize,
}

impl<T: Scalar> Differences<T> {
    pub(super) fn of(matrix: ArrayView2<'_, T>) -> Self {
        let start = Self { largest: T::zero(), from_symmetric: T::zero(), from_skew: T::zero(), size: matrix.nrows() };
        matrix.indexed_iter().fold(start, |found, ((i, j), &x)| {
            let y = matrix[[j, i]];
            Self {
                largest: found.largest.max(x.abs()),
                from_symmetric: found.from_symmetric.max((x - y).abs()),
                from_skew: found.from_skew.max((x + y).abs()),
                ..found
            }
        })
    }

    pub(super) fn is_symmetric(&self, symmetry: Symmetry<T>) -> bool {
        self.allowed(symmetry).is_none_or(|allowed| self.from_symmetric <= allowed)
    }

    /// Averaging means symmetric matrices: it does not make one skew.
    pub(super) fn is_skew(&self, symmetry: Symmetry<T>) -> bool {
        let allowed = self.allowed(symmetry).or_else(|| self.allowed(Symmetry::Rounding));
        allowed.is_some_and(|allowed| self.from_skew <= allowed)
    }

    fn allowed(&self, symmetry: Symmetry<T>) -> Option<T> {
        match symmetry {
            Symmetry::Rounding => Some(T::from_usize_lossy(self.size) * T::epsilon() * self.largest),
            Symmetry::Within(tolerance) => Some(tolerance * self.largest),
            Symmetry::Average => None,
        }
    }
}

/// `(M + Mᵀ)/2`. Equal values stay as they are: half of the smallest subnormal number is zero.
pub(super) fn symmetric_part<T: Scalar>(matrix: ArrayView2<'_, T>) -> Array2<T> {
    let half = T::from_f64_lossy(0.5);
    Array2::from_shape_fn(matrix.dim(), |(i, j)| {
        let (x, y) = (matrix[[i, j]], matrix[[j, i]]);
        if x == y { x } else { half * x + half * y }
    })
}

/// `(M − Mᵀ)/2`.
pub(super) fn skew_part<T: Scalar>(matrix: ArrayView2<'_, T>) -> Array2<T> {
    let half = T::from_f64_lossy(0.5);
    Array2::from_shape_fn(matrix.dim(), |(i, j)| {
        let (x, y) = (matrix[[i, j]], matrix[[j, i]]);
        if x == -y { x } else { half * x - half * y }
    })
}
