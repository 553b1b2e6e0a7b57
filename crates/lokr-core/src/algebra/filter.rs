//! What functions of the singular values do to samples: a pseudo-inverse with a tolerance, Tikhonov's filter.

use ndarray::{Array, ArrayRef, ArrayViewMut1, Dimension};

use super::sorted::products;
use super::svd::KronSvd;
use crate::error::Result;
use crate::memory;
use crate::operator::FactorList;
use crate::scalar::Scalar;
use crate::sums::Extended;

impl<T: Scalar, L: FactorList<Elem = T>> KronSvd<T, L> {
    /// `V·diag(f(σ))·Uᵀ` applied to every sample of `y`, with any function `f` of the singular values: with `1/σ` the
    /// pseudo-inverse.
    ///
    /// | to solve `K x ≈ y` by | `f(σ)` |
    /// |---|---|
    /// | the truncated decomposition | `1/σ` where `σ > t`, else `0` (see [`KronSvd::solve_within`]) |
    /// | Tikhonov's regularisation (ridge regression), `min ‖K x − y‖² + λ²·‖x‖²` | `σ/(σ² + λ²)` |
    ///
    /// What is orthogonal to the singular vectors that are held goes to zero, whatever `f(0)` is.
    ///
    /// # Shapes
    /// `y` holds samples as [`KronBase::apply`](crate::operator::KronBase::apply) makes them: one vector, a batch of
    /// rows or of fields. The result holds as many, as `apply` takes them.
    /// # Cost
    /// That of applying `Uᵀ` and `V`, of two square factors `4·batch·n·q·(n + q)` flops; one call of `f` for each
    /// singular value.
    /// # Errors
    /// As [`KronBase::apply`](crate::operator::KronBase::apply) for `y`.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0, 0.0], [0.0, 1.0]], array![[1.0, 0.0], [0.0, 1e-9]])?;
    /// let (svd, y) = (k.svd()?, array![2.0, 3.0, 4.0, 5.0]); // the second and the last value are noise
    /// let x = svd.apply_function(|s| if s > 1e-6 { 1.0 / s } else { 0.0 }, &y)?;
    /// assert!((x - array![1.0, 0.0, 4.0, 0.0]).iter().all(|&value: &f64| value.abs() < 1e-14));
    /// let x = svd.apply_function(|s| s / (s * s + 1.0), &y)?;
    /// assert!((x[0] - 4.0 / 5.0).abs() < 1e-14 && x[1].abs() < 1e-8);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply_function<D: Dimension>(&self, f: impl Fn(T) -> T, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let coefficients = self.grid.mapv(f);
        self.filtered("apply_function", y, |mut row| row *= &coefficients)
    }

    /// The shortest solution of `K x = y` in the sense of least squares, with the singular values of the product up to
    /// `tolerance` times the largest taken for zero: the pseudo-inverse with that tolerance, applied.
    ///
    /// It is no Kronecker product in general, since which pairs of the factors' singular values stay depends on both;
    /// [`KronBase::pseudo_inverse_within`](crate::operator::KronBase::pseudo_inverse_within), which judges each factor
    /// by itself, is one. As many values stay as
    /// [`KronBase::rank_with_tolerance`](crate::operator::KronBase::rank_with_tolerance) counts; with `0` all that are
    /// not zero. A tolerance of NaN makes the solution NaN.
    ///
    /// # Shapes, cost
    /// As [`KronSvd::apply_function`]. Singular values may leave the range of the type.
    /// # Errors
    /// As [`KronBase::apply`](crate::operator::KronBase::apply) for `y`.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let d = array![[1.0, 0.0], [0.0, 0.125]]; // d ⊗ d has the singular values 1, 1/8, 1/8, 1/64
    /// let (svd, y) = (Kron::new(&d, &d)?.svd()?, array![1.0, 1.0, 1.0, 1.0]);
    /// assert_eq!(svd.solve_within(0.1, &y)?, array![1.0, 8.0, 8.0, 0.0]);
    /// assert_eq!(svd.solve_within(0.0, &y)?, array![1.0, 8.0, 8.0, 64.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_within<D: Dimension>(&self, tolerance: T, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let operation = "solve_within";
        let mut divisors = products(operation, &self.of_factors)?;
        // The lists of the factors descend, and so the first product is the largest.
        if let Some(&largest) = divisors.first() {
            for divisor in &mut divisors {
                // A ratio may be too small for the type, and is not zero for that.
                let stays = !divisor.is_zero() && (tolerance == T::zero() || (*divisor / largest).value() > tolerance);
                if !stays {
                    *divisor = Extended::new(if tolerance.is_nan() { tolerance } else { T::zero() });
                }
            }
        }
        self.filtered(operation, y, |row| {
            for (value, &divisor) in row.into_iter().zip(&divisors) {
                // Times zero where a direction is dropped, so that NaN stays NaN.
                let dropped = divisor.is_zero();
                *value = if dropped { *value * T::zero() } else { (Extended::new(*value) / divisor).value() };
            }
        })
    }

    /// `V·g(Uᵀ·y)`, where `g` changes the coefficients of a sample, which are in the order of the grid.
    pub(super) fn filtered<D: Dimension>(
        &self,
        operation: &'static str,
        y: &ArrayRef<T, D>,
        g: impl Fn(ArrayViewMut1<'_, T>),
    ) -> Result<Array<T, D>> {
        let rows = self.left.outputs(operation, "y").rows(y, None)?;
        let x = if self.grid.is_empty() {
            memory::zeros(operation, (rows.nrows(), self.right.nrows()))?
        } else {
            let mut coefficients = self.left.apply_transposed(&rows)?;
            coefficients.rows_mut().into_iter().for_each(g);
            self.right.apply(&coefficients)?
        };
        self.right.outputs(operation, "x").array(x, y.ndim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use crate::operator::{Factor, Kron, KronBase, KronChain};
    use crate::test_support::{all_chains, all_close, cases, kron_of, stretched};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    /// `x` as the dense matrix's triplets make it: `f` of each singular value, left and right vectors by the SVD's own
    /// definition `K·v = σ·u`.
    fn by_triplets<T: Scalar, L: FactorList<Elem = T>>(
        svd: &KronSvd<T, L>,
        f: impl Fn(T) -> T,
        y: &Array2<T>,
    ) -> Array2<T> {
        let mut x = Array2::zeros((y.nrows(), svd.dim().1));
        for (index, &value) in svd.values().indexed_iter() {
            let (u, v) = (svd.left_vector(index).unwrap(), svd.right_vector(index).unwrap());
            let coefficients = y.dot(&u).insert_axis(ndarray::Axis(1)) * f(value);
            x = x + coefficients.dot(&v.insert_axis(ndarray::Axis(0)));
        }
        x
    }

    fn filters<T: Scalar, L: FactorList<Elem = T>>(k: &KronBase<L>, dense: &Array2<T>) {
        let svd = k.svd().unwrap();
        let y = matrix::<T>(3, dense.nrows(), 9);
        let scale = T::from_usize_lossy(8 * dense.len());
        // Tikhonov's solution satisfies (KᵀK + λ²)·x = Kᵀ·y, up to what is orthogonal to the held vectors, which is 0.
        let lambda = T::from_f64_lossy(0.5);
        let x = svd.apply_function(|s| s / (s * s + lambda * lambda), &y).unwrap();
        let normal = x.dot(&dense.t()).dot(dense) + &x * (lambda * lambda);
        all_close(&normal, &y.dot(dense), scale);

        let largest = svd.values()[0];
        for tolerance in [0.5, 0.1].map(T::from_f64_lossy) {
            let kept = |s: T| if s / largest > tolerance { s.recip() } else { T::zero() };
            let expected = by_triplets(&svd, kept, &y);
            let size = expected.iter().fold(T::one(), |max, x| max.max(x.abs()));
            all_close(&svd.solve_within(tolerance, &y).unwrap(), &expected, scale * size);
            all_close(&svd.apply_function(kept, &y).unwrap(), &expected, scale * size);
            let one = svd.solve_within(tolerance, &y.row(1)).unwrap();
            all_close(&one.insert_axis(ndarray::Axis(0)), &expected.slice(ndarray::s![1..2, ..]), scale * size);
        }
        assert_eq!(svd.solve_within(T::zero(), &y.slice(ndarray::s![..0, ..])).unwrap().dim(), (0, dense.ncols()));
        assert!(svd.solve_within(T::nan(), &y).unwrap().iter().all(|x| x.is_nan()));
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_matrix() {
        fn all<T: Scalar>() {
            for (k, dense) in cases::<T>(&[(3, 2, 2, 5), (1, 1, 4, 3), (2, 5, 3, 1), (3, 3, 2, 2)]) {
                filters(&k, &dense);
            }
            all_chains::<T>().iter().for_each(|(chain, dense)| filters(chain, dense));
        }
        all::<f32>();
        all::<f64>();
    }

    fn solves_at_every_scale<T: Scalar>(large: f64) {
        let square = |size, seed| matrix::<T>(size, size, seed) + Array2::<T>::eye(size) * T::from_f64_lossy(4.0);
        let chain = KronChain::new([square(2, 1), square(3, 2), square(2, 3)]).unwrap();
        let x = matrix::<T>(2, 12, 4);
        let y = x.dot(&chain.to_dense().unwrap().t());
        for scale in [1.0, large, 1.0 / large].map(T::from_f64_lossy) {
            let k = stretched(&chain, scale);
            let svd = k.svd().unwrap();
            all_close(&svd.solve_within(T::from_f64_lossy(1e-3), &(&y * scale)).unwrap(), &x, T::from_f64_lossy(50.0));
            let field = y.clone().into_shape_with_order((2, 2, 3, 2)).unwrap();
            let found = svd.solve_within(T::zero(), &(field * scale)).unwrap();
            all_close(&found.into_shape_with_order((2, 12)).unwrap(), &x, T::from_f64_lossy(50.0));
        }
    }

    #[test]
    fn solves_at_every_scale_in_f32_and_f64() {
        solves_at_every_scale::<f32>(1e30);
        solves_at_every_scale::<f64>(1e200);
    }

    #[test]
    fn singular_values_and_reciprocals_that_leave_the_range() {
        // The largest is 1e400.
        let d = Array2::from_diag(&array![1e200, 1.0]);
        let svd = Kron::new(&d, &d).unwrap().svd().unwrap();
        assert_eq!(svd.values()[0], f64::INFINITY);
        let y = array![1e300, 2e200, 3e200, 4.0];
        let solved = |tolerance| {
            let x = svd.solve_within(tolerance, &y).unwrap() * array![1e100, 1.0, 1.0, 1.0];
            x.insert_axis(ndarray::Axis(0))
        };
        all_close(&solved(0.0), &array![[1.0, 2.0, 3.0, 4.0]], 4.0);
        all_close(&solved(1e-300), &array![[1.0, 2.0, 3.0, 0.0]], 4.0);
        all_close(&solved(1e-100), &array![[1.0, 0.0, 0.0, 0.0]], 4.0);
    }

    #[test]
    fn zero_matrices_and_misfits() {
        let none = Factor::low_rank(Array2::<f64>::zeros((3, 0)), Array2::zeros((0, 2))).unwrap();
        let svd = Kron::new(matrix(2, 2, 1), none).unwrap().svd().unwrap();
        assert_eq!(svd.solve_within(0.1, &matrix(5, 6, 1)), Ok(Array2::zeros((5, 4))));
        assert_eq!(
            svd.apply_function(|s| s + 1.0, &array![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            Ok(array![0.0, 0.0, 0.0, 0.0])
        );
        let svd = Kron::new(Array2::<f64>::zeros((2, 2)), array![[1.0]]).unwrap().svd().unwrap();
        assert_eq!(svd.solve_within(0.0, &array![1.0, 2.0]), Ok(array![0.0, 0.0]));
        assert!(svd.solve_within(0.0, &array![f64::NAN, 2.0]).unwrap().iter().any(|x| x.is_nan()));

        let svd = kron_of::<f64>(2, 3, 2, 2).svd().unwrap();
        let shape = |operation| KronError::Shape { operation, argument: "y", expected: (1, 4), found: (1, 6) };
        assert_eq!(svd.solve_within(0.1, &matrix(1, 6, 1)), Err(shape("solve_within")));
        assert_eq!(svd.apply_function(|s| s, &matrix(1, 6, 1)), Err(shape("apply_function")));
        let length = KronError::Length { operation: "solve_within", argument: "y", expected: 4, found: 2 };
        assert_eq!(svd.solve_within(0.1, &array![1.0, 2.0]), Err(length));
    }
}
