//! Norms. Each is multiplicative: the norm of `A ⊗ B` is the product of the factors' norms. Those of the factors may
//! leave the range of the type; the result is right whenever it is a value of the type.

use std::ops::Mul;

use ndarray::{Array1, ArrayView1, ArrayView2, Axis};
use num_traits::One;

use super::halves::in_range;
use crate::decompose::{Core, core, largest_magnitude, max_or_nan, scaled_singular_values};
use crate::error::Result;
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;
use crate::sums::{Extended, dot, times_two_to, wide_exponent};

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The Frobenius norm, the root of the sum of squares: `‖A‖_F·‖B‖_F`.
    ///
    /// # Cost
    /// One pass over the factors; for a low-rank factor with a small inner size `r` two QR decompositions,
    /// `4·(rows + cols)·r²` flops, as accurate as forming it.
    /// # Accuracy
    /// Squares are added in blocks and the blocks in pairs, so that the error hardly grows with the size; the order
    /// does not depend on threads. Squares, and the norms of the factors, may leave the range of the type: the result
    /// is right whenever it is a value of the type. So it is for every norm here.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronChain};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[3.0, 4.0]], array![[1.0], [-2.0], [2.0]])?;
    /// assert_eq!(k.frobenius_norm(), 5.0 * 3.0);
    /// assert_eq!(KronChain::power(&array![[3.0, 4.0]], 3)?.frobenius_norm(), 125.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn frobenius_norm(&self) -> T {
        self.product_of(frobenius_norm)
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
        self.product_of_values("spectral_norm", |values| values.first().copied().unwrap_or_else(T::zero))
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
        self.product_of_values("nuclear_norm", |values| values.sum())
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
        self.product_of(|factor| largest_sum(factor, Axis(1)))
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
        self.product_of(|factor| largest_sum(factor, Axis(0)))
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
        self.product_of(|factor| {
            let (factor, exponent) = in_range(factor);
            Extended::new(largest_magnitude(factor.dense().view())).times_two_to(exponent)
        })
    }

    /// The product of a number of every factor.
    fn product_of(&self, number: impl Fn(&Factor<'_, T>) -> Extended<T>) -> T {
        self.factors().iter().map(number).fold(Extended::one(), Mul::mul).value()
    }

    /// The product of a number made of every factor's singular values.
    fn product_of_values(&self, operation: &'static str, number: impl Fn(&Array1<T>) -> T) -> Result<T> {
        let product = self.named().try_fold(Extended::one(), |product, (name, factor)| {
            let values = scaled_singular_values(operation, name, factor)?;
            Ok(product * Extended::new(number(&values.result)).times_two_to(values.power.exponent()))
        })?;
        Ok(product.value())
    }
}

/// The Frobenius norm of a factor, of a low-rank one by its halves.
pub(super) fn frobenius_norm<T: Scalar>(factor: &Factor<'_, T>) -> Extended<T> {
    let (factor, exponent) = in_range(factor);
    let norm = |matrix: ArrayView2<'_, T>| dot(matrix, matrix).sqrt().times_two_to(exponent);
    match core(&factor).map(Core::into_small) {
        Some(small) => norm(small.result.view()).times_two_to(small.power.exponent()),
        None => norm(factor.dense().view()),
    }
}

/// The largest absolute sum of the vectors that lie across `axis`.
fn largest_sum<T: Scalar>(factor: &Factor<'_, T>, axis: Axis) -> Extended<T> {
    let (factor, exponent) = in_range(factor);
    let matrix = factor.dense();
    let largest = |down: i64| {
        let sum = |vector: ArrayView1<'_, T>| vector.iter().map(|&x| times_two_to(x.abs(), -down)).sum();
        matrix.axis_iter(axis).map(sum).fold(T::zero(), max_or_nan)
    };
    // A sum that overflows is made again of smaller values; what these lose is nothing beside it.
    let plain = largest(0);
    let down = if plain.is_infinite() { wide_exponent::<T>() / 2 } else { 0 };
    Extended::new(if down == 0 { plain } else { largest(down) }).times_two_to(exponent + down)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference;
    use crate::error::KronError;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_chains, cases, close, stretched};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    /// That the norms of `k` are `unit` times those of a dense matrix.
    fn has_the_norms_of<T: Scalar, L: FactorList<Elem = T>>(k: &KronBase<L>, unit: T, dense: &Array2<T>) {
        let scale = T::from_usize_lossy(4 * dense.len());
        let singular = reference::singular_values(dense);
        let max = |sums: Vec<T>| sums.into_iter().fold(T::zero(), T::max);
        let absolute = dense.mapv(T::abs);
        close(k.frobenius_norm() / unit, dense.iter().map(|&x| x * x).sum::<T>().sqrt(), scale);
        close(k.spectral_norm().unwrap() / unit, singular[0], scale);
        close(k.nuclear_norm().unwrap() / unit, singular.iter().copied().sum(), scale);
        close(k.one_norm() / unit, max(absolute.sum_axis(Axis(0)).to_vec()), scale);
        close(k.infinity_norm() / unit, max(absolute.sum_axis(Axis(1)).to_vec()), scale);
        close(k.max_norm() / unit, max(absolute.into_raw_vec_and_offset().0), scale);
    }

    fn agrees_with_the_dense_matrix<T: Scalar>(large: f64) {
        let [one, large, small] = [1.0, large, 1.0 / large].map(T::from_f64_lossy);
        for (k, dense) in cases::<T>(&[(3, 2, 5, 7), (1, 4, 3, 1), (2, 2, 3, 3), (1, 1, 1, 1)]) {
            has_the_norms_of(&k, one, &dense);
        }
        for (chain, dense) in all_chains::<T>() {
            for unit in [one, large, small] {
                has_the_norms_of(&(&chain * unit), unit, &dense);
                if chain.factors().len() % 2 == 0 {
                    has_the_norms_of(&stretched(&chain, unit), one, &dense);
                }
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_matrix_at_every_scale() {
        agrees_with_the_dense_matrix::<f32>(1e30);
        agrees_with_the_dense_matrix::<f64>(1e200);
    }

    #[test]
    fn sums_and_elements_that_leave_the_range_on_the_way() {
        let k = Kron::new(Array2::from_elem((3, 2), 1.5e308), array![[0.125]]).unwrap();
        let norms = (k.one_norm() / 1e308, k.infinity_norm() / 1e308, k.max_norm() / 1e308);
        assert_eq!(norms, (1.5 * 3.0 / 8.0, 1.5 * 2.0 / 8.0, 1.5 / 8.0));
        let large = Factor::low_rank(array![[1e200], [1e200]], array![[3e200, -1e200]]).unwrap();
        let k = Kron::new(large, array![[1e-200]]).unwrap();
        let norms = (k.one_norm() / 1e200, k.infinity_norm() / 1e200, k.max_norm() / 1e200);
        close(norms.0, 6.0, 6.0);
        close(norms.1, 4.0, 6.0);
        close(norms.2, 3.0, 6.0);
        let infinite = Kron::new(array![[f64::INFINITY, 1.0]], array![[1.0]]).unwrap();
        assert_eq!((infinite.one_norm(), infinite.infinity_norm()), (f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn many_factors() {
        let row = array![[3.0, 4.0]];
        let k = KronChain::power(&row, 40).unwrap();
        let expected = 5.0_f64.powi(40);
        close(k.frobenius_norm() / expected, 1.0, 40.0);
        close(k.spectral_norm().unwrap() / expected, 1.0, 40.0);
        assert_eq!(k.one_norm(), 4.0_f64.powi(40));
        close(k.infinity_norm() / 7.0_f64.powi(40), 1.0, 40.0);
        let bad = KronChain::new([array![[1.0]], array![[1.0]], array![[f64::NAN]]]).unwrap();
        let error = KronError::NonFinite { operation: "spectral_norm", argument: "A₃", count: 1 };
        assert_eq!(bad.spectral_norm(), Err(error));
        assert!(bad.frobenius_norm().is_nan() && bad.one_norm().is_nan() && bad.max_norm().is_nan());
    }

    #[test]
    fn frobenius_of_values_whose_squares_leave_the_range() {
        for scale in [1e30_f32, 1e-30] {
            let k = Kron::new(array![[3.0 * scale, 4.0 * scale]], array![[1.0_f32]]).unwrap();
            close(k.frobenius_norm() / scale, 5.0, 5.0);
        }
    }

    fn frobenius_at_every_scale<T: Scalar>(large: f64) {
        let scales = [1.0, large, 1.0 / large, large.sqrt(), 1.0 / large.sqrt()];
        for (k, dense) in cases::<T>(&[(3, 2, 5, 7), (1, 1, 1, 1), (4, 4, 1, 11)]) {
            let expected = dense.iter().map(|&x| x * x).sum::<T>().sqrt();
            for scale in scales.map(T::from_f64_lossy) {
                let inverse = T::one() / scale;
                let scaled = |factor: &Factor<'_, T>, scale: T| match factor {
                    Factor::Full(matrix) => Factor::from(matrix.to_owned() * scale),
                    // A left half of one scale and a right half of another.
                    Factor::LowRank(low) => {
                        let root = scale.sqrt();
                        Factor::low_rank(&low.left() * (scale * root), &low.right() / root).unwrap()
                    }
                };
                let k_scaled = Kron::new(scaled(k.a(), scale), k.b().view()).unwrap();
                close(k_scaled.frobenius_norm() / scale, expected, T::from_f64_lossy(100.0));
                close(k_scaled.cosine(&k).unwrap(), T::one(), T::from_f64_lossy(4.0));
                let both = Kron::new(scaled(k.a(), scale), scaled(k.b(), inverse)).unwrap();
                close(both.frobenius_norm(), expected, T::from_f64_lossy(100.0));
                let square = expected * expected;
                close(both.inner(&both).unwrap(), square, T::from_f64_lossy(100.0));
                close(both.cosine(&k).unwrap(), T::one(), T::from_f64_lossy(4.0));
            }
        }
    }

    #[test]
    fn frobenius_and_inner_at_every_scale_in_f32_and_f64() {
        frobenius_at_every_scale::<f32>(1e18);
        frobenius_at_every_scale::<f64>(1e150);
    }

    #[test]
    fn long_sums_in_f32_are_as_good_as_in_f64() {
        // Values like normal ones: sums of twelve uniform ones.
        let mut values = lokr_testing::Numbers::new(7);
        let mut normal = || (0..12).map(|_| values.next::<f64>()).sum::<f64>() as f32;
        let (a, c) =
            (Array2::from_shape_simple_fn((1500, 1500), &mut normal), Array2::from_elem((1500, 1500), 0.7_f32));
        let in_f64 =
            |x: &Array2<f32>, y: &Array2<f32>| x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
        let one = array![[1.0_f32]];
        for (x, y) in [(&a, &a), (&c, &c), (&a, &c)] {
            let (k, l) = (Kron::new(x, &one).unwrap(), Kron::new(y, &one).unwrap());
            let (xx, yy, xy): (f64, f64, f64) = (in_f64(x, x), in_f64(y, y), in_f64(x, y));
            let size = (xx * yy).sqrt();
            assert!((f64::from(k.frobenius_norm()) / xx.sqrt() - 1.0).abs() < 1e-6);
            assert!((f64::from(k.inner(&l).unwrap()) - xy).abs() < 1e-6 * size);
            assert!((f64::from(k.cosine(&l).unwrap()) - xy / size).abs() < 1e-6);
        }
    }

    #[test]
    fn frobenius_of_values_that_leave_the_range_only_together() {
        let k = Kron::new(array![[1e200, 1e200]], array![[1e-200], [1e-200]]).unwrap();
        close(k.frobenius_norm(), 2.0, 2.0);
        let k = Kron::new(array![[1.7e308, 1.7e308]], array![[0.5]]).unwrap(); // the norm of A is no f64
        close(k.frobenius_norm() / 1e308, 1.7 * 0.5_f64.sqrt(), 2.0);
        let k = Kron::new(array![[5e-324]], array![[1e300]]).unwrap();
        close(k.frobenius_norm() / 1e-24, 4.940_656_458_412_465, 4.0);
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
