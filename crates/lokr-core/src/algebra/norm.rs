//! Norms. Each is multiplicative: the norm of `A ⊗ B` is the product of the factors' norms.

use ndarray::{ArrayView1, Axis};

use crate::decompose::{self, core, largest_magnitude, max_or_nan, singular_values};
use crate::error::Result;
use crate::operator::{Factor, Kron};
use crate::scalar::Scalar;

impl<T: Scalar> Kron<'_, T> {
    /// The Frobenius norm, the root of the sum of squares: `‖A‖_F·‖B‖_F`.
    ///
    /// # Cost
    /// One pass over the factors; for a low-rank factor with a small inner size `r` two QR decompositions,
    /// `4·(rows + cols)·r²` flops, as accurate as forming it.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[3.0, 4.0]], array![[1.0], [-2.0], [2.0]])?;
    /// assert_eq!(k.frobenius_norm(), 5.0 * 3.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn frobenius_norm(&self) -> T {
        frobenius_norm(self.a()) * frobenius_norm(self.b())
    }

    /// The spectral norm (2-norm), the largest singular value: `‖A‖₂·‖B‖₂`.
    ///
    /// # Cost
    /// The singular values of the factors; low-rank factors by their halves.
    /// # Errors
    /// [`KronError::NonFinite`](crate::KronError::NonFinite) when a factor holds a value that is not finite;
    /// [`KronError::NoConvergence`](crate::KronError::NoConvergence).
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[3.0, 4.0]], array![[2.0, 0.0], [0.0, -7.0]])?;
    /// assert!((k.spectral_norm()? - 5.0 * 7.0_f64).abs() < 1e-13);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn spectral_norm(&self) -> Result<T> {
        let norm = |name, factor: &Factor<'_, T>| {
            let values = singular_values("spectral_norm", name, factor)?;
            Ok(values.first().copied().unwrap_or_else(T::zero))
        };
        Ok(norm("A", self.a())? * norm("B", self.b())?)
    }

    /// The nuclear norm, the sum of the singular values: `‖A‖_*·‖B‖_*`.
    ///
    /// # Cost
    /// The singular values of the factors; low-rank factors by their halves.
    /// # Errors
    /// [`KronError::NonFinite`](crate::KronError::NonFinite) when a factor holds a value that is not finite;
    /// [`KronError::NoConvergence`](crate::KronError::NoConvergence).
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[3.0, 4.0]], array![[2.0, 0.0], [0.0, -7.0]])?;
    /// assert!((k.nuclear_norm()? - 5.0 * (2.0 + 7.0_f64)).abs() < 1e-13);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn nuclear_norm(&self) -> Result<T> {
        let norm = |name, factor: &Factor<'_, T>| Ok(singular_values("nuclear_norm", name, factor)?.sum());
        Ok(norm("A", self.a())? * norm("B", self.b())?)
    }

    /// The 1-norm, the largest absolute column sum: `‖A‖₁·‖B‖₁`. A low-rank factor is formed.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, -2.0], [3.0, 1.0]], array![[-5.0, 6.0]])?;
    /// assert_eq!(k.one_norm(), 4.0 * 6.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn one_norm(&self) -> T {
        largest_sum(self.a(), Axis(1)) * largest_sum(self.b(), Axis(1))
    }

    /// The ∞-norm, the largest absolute row sum: `‖A‖_∞·‖B‖_∞`. A low-rank factor is formed.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, -2.0], [3.0, 1.0]], array![[-5.0, 6.0]])?;
    /// assert_eq!(k.infinity_norm(), 4.0 * 11.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn infinity_norm(&self) -> T {
        largest_sum(self.a(), Axis(0)) * largest_sum(self.b(), Axis(0))
    }

    /// The largest absolute element: `max|A|·max|B|`. A low-rank factor is formed.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, -2.0], [3.0, 1.0]], array![[-5.0, 6.0]])?;
    /// assert_eq!(k.max_norm(), 3.0 * 6.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn max_norm(&self) -> T {
        largest_magnitude(self.a().dense().view()) * largest_magnitude(self.b().dense().view())
    }
}

/// The Frobenius norm of a factor, of a low-rank one by its halves.
pub(super) fn frobenius_norm<T: Scalar>(factor: &Factor<'_, T>) -> T {
    match core(factor) {
        Some(core) => core.frobenius_norm(),
        None => decompose::frobenius_norm(factor.dense().view()),
    }
}

/// The largest absolute sum of the vectors that lie across `axis`.
fn largest_sum<T: Scalar>(factor: &Factor<'_, T>, axis: Axis) -> T {
    let sum = |vector: ArrayView1<'_, T>| vector.iter().map(|x| x.abs()).sum();
    factor.dense().axis_iter(axis).map(sum).fold(T::zero(), max_or_nan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference;
    use crate::error::KronError;
    use crate::test_support::{cases, close};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    fn agrees_with_the_dense_matrix<T: Scalar>() {
        for (k, dense) in cases::<T>(&[(3, 2, 5, 7), (1, 4, 3, 1), (2, 2, 3, 3), (1, 1, 1, 1)]) {
            let scale = T::from_usize_lossy(dense.len());
            let singular = reference::singular_values(&dense);
            let max = |sums: Vec<T>| sums.into_iter().fold(T::zero(), T::max);
            let absolute = dense.mapv(T::abs);
            close(k.frobenius_norm(), dense.iter().map(|&x| x * x).sum::<T>().sqrt(), scale);
            close(k.spectral_norm().unwrap(), singular[0], scale);
            close(k.nuclear_norm().unwrap(), singular.iter().copied().sum(), scale);
            close(k.one_norm(), max(absolute.sum_axis(Axis(0)).to_vec()), scale);
            close(k.infinity_norm(), max(absolute.sum_axis(Axis(1)).to_vec()), scale);
            close(k.max_norm(), max(absolute.into_raw_vec_and_offset().0), scale);
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_matrix() {
        agrees_with_the_dense_matrix::<f32>();
        agrees_with_the_dense_matrix::<f64>();
    }

    #[test]
    fn frobenius_of_values_whose_squares_leave_the_range() {
        for scale in [1e30_f32, 1e-30] {
            let k = Kron::new(array![[3.0 * scale, 4.0 * scale]], array![[1.0_f32]]).unwrap();
            close(k.frobenius_norm() / scale, 5.0, 5.0);
        }
    }

    #[test]
    fn frobenius_of_halves_that_nearly_cancel() {
        // left · right = [[1e-9]] repeated; a Gram matrix would be lost in the rounding of 1.
        let left = Array2::from_shape_fn((4, 2), |(_, j)| if j == 0 { 1.0 } else { -1.0 });
        let right = Array2::from_shape_fn((2, 9), |(i, _)| if i == 0 { 1.0 + 1e-9 } else { 1.0 });
        let k = Kron::new(array![[1.0]], Factor::low_rank(left, right).unwrap()).unwrap();
        close(k.frobenius_norm(), 6.0 * 1e-9, 6.0);
    }

    #[test]
    fn zero_and_non_finite_factors() {
        let zero = Kron::new(Array2::<f64>::zeros((2, 3)), matrix(2, 2, 1)).unwrap();
        let norms = [zero.frobenius_norm(), zero.one_norm(), zero.infinity_norm(), zero.max_norm()];
        assert_eq!(norms, [0.0; 4]);
        assert_eq!((zero.spectral_norm(), zero.nuclear_norm()), (Ok(0.0), Ok(0.0)));
        let nan = Kron::new(array![[1.0, f64::NAN, 2.0]], array![[1.0]]).unwrap();
        for norm in [nan.frobenius_norm(), nan.one_norm(), nan.infinity_norm(), nan.max_norm()] {
            assert!(norm.is_nan());
        }
        let error = |operation| KronError::NonFinite { operation, argument: "A", count: 1 };
        assert_eq!(nan.spectral_norm(), Err(error("spectral_norm")));
        assert_eq!(nan.nuclear_norm(), Err(error("nuclear_norm")));
    }
}
