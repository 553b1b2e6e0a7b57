//! Least squares with a penalty on the length of the solution.

use ndarray::{Array, Array1, ArrayRef, Dimension};

use super::sorted::products;
use super::svd::KronSvd;
use crate::error::{KronError, Result};
use crate::operator::{FactorList, KronBase};
use crate::scalar::Scalar;
use crate::sums::Extended;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// Ridge regression (Tikhonov's regularisation): the `x` that makes `‖(A ⊗ B)·x − y‖² + λ·‖x‖²` least for every
    /// sample of `y`, with factors of any shapes and ranks. With `λ = 0` it is [`KronBase::least_squares`].
    ///
    /// # Shapes
    /// As [`KronBase::least_squares`].
    /// # Method
    /// `x = V·diag(σ/(σ² + λ))·Uᵀ·y` by the singular value decompositions of the factors, whose products are the `σ`.
    /// These may leave the range of the type.
    /// # Cost
    /// [`KronBase::svd`], and for every sample the application of `Uᵀ` and of `V`. [`KronSvd::ridge`] does without the
    /// first, for many `λ`.
    /// # Errors
    /// As [`KronBase::apply`] for `y`; [`KronError::Negative`] for a negative `λ` (NaN makes the solution NaN);
    /// [`KronError::NonFinite`] for a factor; [`KronError::NoConvergence`]; with `λ = 0` those of
    /// [`KronBase::least_squares`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 1.0], [1.0, 1.0]], array![[3.0]])?; // of rank one, with σ = 6
    /// let x = k.ridge(4.0, &array![10.0, 10.0])?;
    /// assert!((x - array![1.5, 1.5]).iter().all(|difference: &f64| difference.abs() < 1e-14)); // 6·10/(36 + 4)
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn ridge<D: Dimension>(&self, lambda: T, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let operation = "ridge";
        self.outputs(operation, "y").count(y.shape(), None)?;
        if lambda < T::zero() {
            return Err(KronError::Negative { operation, argument: "λ", value: lambda.to_f64_exact() });
        }
        if lambda == T::zero() {
            return self.kept_qr(operation)?.least_squares(y);
        }
        self.svd_for(operation)?.ridge(lambda, y)
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronSvd<T, L> {
    /// [`KronBase::ridge`] without the decompositions: for many `λ`.
    ///
    /// # Errors
    /// As [`KronBase::apply`] for `y`; [`KronError::Negative`] for a negative `λ`; [`KronError::RankDeficient`] with
    /// `λ = 0` when a singular value of a factor is at most `max(rows, cols)·ε` times its largest.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let svd = Kron::new(array![[2.0, 0.0], [0.0, 1.0]], array![[1.0]])?.svd()?;
    /// for lambda in [0.0, 1.0, 12.0] {
    ///     let x = svd.ridge(lambda, &array![2.0, 1.0])?;
    ///     let exact: [f64; 2] = [4.0 / (4.0 + lambda), 1.0 / (1.0 + lambda)];
    ///     assert!((exact[0] - x[0]).abs() < 1e-15 && (exact[1] - x[1]).abs() < 1e-15);
    /// }
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn ridge<D: Dimension>(&self, lambda: T, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let operation = "ridge";
        self.left.outputs(operation, "y").count(y.shape(), None)?;
        if lambda < T::zero() {
            return Err(KronError::Negative { operation, argument: "λ", value: lambda.to_f64_exact() });
        }
        if lambda == T::zero() {
            self.check_full_rank(operation)?;
        }
        let shrink =
            products(operation, &self.of_factors)?.into_iter().map(|sigma| inverse_with_penalty(sigma, lambda));
        let shrink: Vec<Extended<T>> = shrink.collect();
        let plain: Array1<T> = shrink.iter().map(|shrink| shrink.value()).collect();
        let in_range = plain.iter().zip(&shrink).all(|(plain, shrink)| plain.is_normal() || shrink.is_zero());
        self.filtered(operation, y, |mut row| {
            if in_range {
                row *= &plain;
            } else {
                let shrunk = |(value, &shrink): (&mut T, _)| *value = (Extended::new(*value) * shrink).value();
                row.iter_mut().zip(&shrink).for_each(shrunk);
            }
        })
    }

    fn check_full_rank(&self, operation: &'static str) -> Result<()> {
        let sides = self.left.factors().iter().zip(self.right.factors()).map(|(u, v)| (u.nrows(), v.nrows()));
        for ((name, _), ((rows, cols), of)) in self.left.named().zip(sides.zip(&self.of_factors)) {
            let (Some(&largest), Some(&least)) = (of.result.first(), of.result.last()) else {
                return Err(KronError::RankDeficient { operation, name });
            };
            let threshold = T::from_usize_lossy(rows.max(cols)) * T::epsilon() * largest;
            if of.result.len() < rows.min(cols) || least <= threshold {
                return Err(KronError::RankDeficient { operation, name });
            }
        }
        Ok(())
    }
}

/// `σ/(σ² + λ)`, with `σ` or `λ` greater than zero.
fn inverse_with_penalty<T: Scalar>(sigma: Extended<T>, lambda: T) -> Extended<T> {
    if sigma.is_zero() && !lambda.is_nan() {
        return sigma;
    }
    let (one, lambda) = (Extended::new(T::one()), Extended::new(lambda));
    let ratio = (lambda / sigma / sigma).value();
    if ratio <= T::one() {
        one / sigma / Extended::new(T::one() + ratio)
    } else {
        let inverse = (sigma / lambda * sigma).value();
        sigma / lambda / Extended::new(T::one() + inverse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Factor, Kron, KronChain};
    use crate::test_support::{all_close, cases, chains, close};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    /// `(KᵀK + λI)⁻¹·Kᵀ·y`, the dense way.
    fn expected<T: Scalar>(dense: &Array2<T>, lambda: T, y: &Array2<T>) -> Array2<T> {
        let normal = dense.t().dot(dense) + Array2::<T>::eye(dense.ncols()) * lambda;
        y.dot(dense).dot(&crate::decompose::Lu::new(normal.view()).inverse().t())
    }

    fn agrees_with_the_normal_equations<T: Scalar>() {
        let pairs = cases::<T>(&[(3, 2, 2, 5), (1, 1, 4, 3), (2, 2, 3, 3)]);
        let pairs = pairs.into_iter().map(|(k, dense)| (KronChain::from(k), dense));
        for (k, dense) in pairs.chain(chains()) {
            let y = matrix::<T>(3, dense.nrows(), 5);
            for lambda in [0.25, 2.0, 1e4] {
                let lambda = T::from_f64_lossy(lambda);
                all_close(&k.ridge(lambda, &y).unwrap(), &expected(&dense, lambda, &y), T::from_usize_lossy(50));
            }
        }
    }

    #[test]
    fn any_shapes_and_ranks_in_f32_and_f64() {
        agrees_with_the_normal_equations::<f32>();
        agrees_with_the_normal_equations::<f64>();
    }

    fn at_every_scale<T: Scalar>(scales: &[(f64, f64)]) {
        let (a, b, y) = (matrix::<T>(4, 2, 1), matrix::<T>(2, 3, 2), matrix::<T>(2, 8, 3));
        let plain = Kron::new(&a, &b).unwrap();
        for &(of_a, of_b) in scales {
            let k = Kron::new(&a * T::from_f64_lossy(of_a), &b * T::from_f64_lossy(of_b)).unwrap();
            let both = of_a * of_b;
            let (penalty, size) = (T::from_f64_lossy(0.5 * both * both), T::from_f64_lossy(both));
            let x = k.ridge(penalty, &y).unwrap() * size;
            all_close(&x, &plain.ridge(T::from_f64_lossy(0.5), &y).unwrap(), T::from_usize_lossy(16));
        }
    }

    #[test]
    fn the_scale_does_not_matter_in_f32_and_f64() {
        at_every_scale::<f32>(&[(1e30, 1e-30), (1e-30, 1e20), (1e15, 1.0), (1e-30, 1e30)]);
        at_every_scale::<f64>(&[(1e200, 1e-200), (1e-250, 1e150), (1e150, 1.0), (1e-300, 1e300)]);
    }

    #[test]
    fn extreme_penalties() {
        let k = Kron::new(matrix::<f64>(4, 2, 1), matrix(2, 3, 2)).unwrap();
        let y = matrix::<f64>(2, 8, 3);
        let exact = k.least_squares(&y).unwrap();
        assert_eq!(k.ridge(0.0, &y).unwrap(), exact);
        let svd = k.svd().unwrap();
        all_close(&svd.ridge(0.0, &y).unwrap(), &exact, 100.0);
        assert_eq!(svd.ridge(2.0, &y).unwrap(), k.ridge(2.0, &y).unwrap());
        let size = exact.iter().fold(1.0_f64, |size, x| size.max(x.abs()));
        all_close(&k.ridge(1e-300, &y).unwrap(), &exact, 100.0 * size);
        all_close(&(k.ridge(1e300, &y).unwrap() * 1e300), &k.apply_transposed(&y).unwrap(), 100.0);
        assert!(k.ridge(f64::INFINITY, &y).unwrap().iter().all(|&x| x == 0.0));
        assert!(k.ridge(f64::NAN, &y).unwrap().iter().all(|x| x.is_nan()));
        // A singular value whose square is no number.
        let x = Kron::new(array![[1e-200]], array![[1.0]]).unwrap().ridge(1e-300, &array![1.0]).unwrap();
        close(x[0] / 1e100, 1.0, 1.0);
    }

    #[test]
    fn vectors_fields_and_nothing() {
        let k = KronChain::new([matrix::<f64>(3, 2, 1), matrix(2, 2, 2), matrix(1, 3, 3)]).unwrap();
        let y = matrix::<f64>(4, 6, 4);
        let x = k.ridge(1.0, &y).unwrap();
        all_close(
            &k.ridge(1.0, &y.row(2)).unwrap().insert_axis(ndarray::Axis(0)),
            &x.slice(ndarray::s![2..3, ..]),
            1.0,
        );
        assert_eq!(k.ridge(1.0, &y.to_shape((4, 3, 2, 1)).unwrap()).unwrap(), x.to_shape((4, 2, 2, 3)).unwrap());
        assert_eq!(k.ridge(1.0, &Array2::zeros((0, 6))).unwrap().dim(), (0, 12));
        let none = Factor::low_rank(Array2::zeros((3, 0)), Array2::zeros((0, 2))).unwrap();
        let k = Kron::new(array![[1.0]], none).unwrap();
        assert_eq!(k.ridge(1.0, &array![1.0, 2.0, 3.0]).unwrap(), array![0.0, 0.0]);
    }

    #[test]
    fn each_error_is_named() {
        let operation = "ridge";
        let k = Kron::new(array![[1.0, 1.0], [1.0, 1.0]], array![[1.0]]).unwrap();
        let y = array![[1.0, 2.0]];
        assert_eq!(k.ridge(-0.5, &y), Err(KronError::Negative { operation, argument: "λ", value: -0.5 }));
        assert_eq!(k.ridge(0.0, &y), Err(KronError::RankDeficient { operation, name: "A" }));
        let svd = k.svd().unwrap();
        assert_eq!(svd.ridge(0.0, &y), Err(KronError::RankDeficient { operation, name: "A" }));
        assert_eq!(svd.ridge(-2.0, &y), Err(KronError::Negative { operation, argument: "λ", value: -2.0 }));
        let shape = KronError::Shape { operation, argument: "y", expected: (1, 2), found: (1, 3) };
        assert_eq!(k.ridge(1.0, &array![[1.0, 2.0, 3.0]]), Err(shape));
        let k = Kron::new(array![[1.0]], array![[f64::NAN]]).unwrap();
        assert_eq!(k.ridge(1.0, &array![1.0]), Err(KronError::NonFinite { operation, argument: "B", count: 1 }));
    }
}
