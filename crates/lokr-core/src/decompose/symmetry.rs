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
    /// `|M[i, j] − M[j, i]| ≤ max(size, 64) · ε · max|M|`: what rounding leaves in a product like `X·S·Xᵀ`, whatever
    /// order its sums are made in.
    ///
    /// More is left where larger terms have cancelled: a posterior covariance `K − C·P⁻¹·Cᵀ` may be asymmetric by a
    /// millionth of its size and more, as much as the rounding of `K` times the condition of `P`, of which the
    /// difference itself keeps no trace. As a default so much would call matrices symmetric that are not meant to be;
    /// where it is known to be rounding, say [`Symmetry::Within`] or [`Symmetry::Average`].
    #[default]
    Rounding,
    /// `|M[i, j] − M[j, i]| ≤ tolerance · max|M|`, for this tolerance.
    Within(T),
    /// Any difference: the symmetric part is what is meant.
    Average,
}

/// Roundings that a product may hold however small it is: its inner sizes are not known.
const LEAST: usize = 64;

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
            Symmetry::Rounding => Some(T::from_usize_lossy(self.size.max(LEAST)) * T::epsilon() * self.largest),
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

#[cfg(test)]
mod tests {
    use super::*;
    use lokr_testing::matrix;

    fn kind_of_products<T: Scalar>() {
        for (size, inner) in [(1, 5), (2, 3), (2, 100), (4, 4), (7, 60), (30, 25)] {
            for seed in 0..20 {
                let (x, root) = (matrix::<T>(size, inner, seed), matrix::<T>(inner, inner, seed + 100));
                // The factor in the middle is symmetric itself up to rounding only.
                let covariance = x.dot(&root.dot(&root.t())).dot(&x.t());
                assert!(Differences::of(covariance.view()).is_symmetric(Symmetry::Rounding), "{size}, {inner}, {seed}");
                let general = root.dot(&root);
                assert!(inner == 1 || !Differences::of(general.view()).is_symmetric(Symmetry::Rounding));
            }
        }
    }

    #[test]
    fn products_are_symmetric_up_to_rounding_in_f32_and_f64() {
        kind_of_products::<f32>();
        kind_of_products::<f64>();
    }

    #[test]
    fn differences_of_more_than_rounding_are_differences() {
        for difference in [1e-13, 1e-12, 1e-9] {
            let m = ndarray::array![[2.0, 1.0 + difference], [1.0, 2.0]];
            assert!(!Differences::of(m.view()).is_symmetric(Symmetry::Rounding));
            assert!(Differences::of(m.view()).is_symmetric(Symmetry::Within(difference)));
        }
    }
}
