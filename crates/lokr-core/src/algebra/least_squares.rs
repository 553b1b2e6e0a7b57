//! Least squares with factors of full rank, of any shapes.

use ndarray::{Array, Array2, ArrayRef, Dimension};

use super::axes::solve_rows;
use crate::decompose::{Lu, Qr, System, full_rank_qr};
use crate::error::Result;
use crate::operator::{FactorList, KronBase, KronChain, Samples};
use crate::scalar::Scalar;

/// The QR decompositions of the factors of a product, kept to solve in the sense of least squares again and again. Made
/// by [`KronBase::qr`].
#[derive(Clone)]
pub struct KronQr<T: Scalar> {
    shapes: Vec<(usize, usize)>,
    /// `Qᵀ` of the factors that are not wide, if there are any.
    before: Option<KronChain<'static, T>>,
    triangles: Vec<Lu<T>>,
    /// `Q` of those that are.
    after: Option<KronChain<'static, T>>,
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The `x` that makes `‖(A ⊗ B)·x − y‖` least for every sample of `y`, and among several the shortest: factors may
    /// be tall, wide or square, in any mixture, but must have full rank.
    ///
    /// For factors of lower rank there is [`KronBase::pseudo_inverse`], and [`KronBase::ridge`] for those that are
    /// nearly so.
    ///
    /// # Shapes
    /// `y` as [`KronBase::apply`] makes it: one vector, a batch of rows or of fields. Result: `x` as it takes it.
    /// # Method
    /// QR decompositions of the factors (of the transposed ones where they are wide), which are as exact as one of the
    /// whole product would be; no matrix is multiplied by its transpose.
    /// # Cost
    /// Some `4·long·short²` flops for each factor; [`KronBase::qr`] keeps the decompositions. Then one application and
    /// one solution with triangular factors for every sample (two applications where tall and wide factors mix).
    /// # Errors
    /// As [`KronBase::apply`] for `y`; [`KronError::RankDeficient`](crate::KronError::RankDeficient) when a factor has
    /// not full rank, or not beyond rounding (its triangle's reciprocal condition number, with the columns of a tall
    /// factor or the rows of a wide one at the same size, is below `max(rows, cols)·ε`);
    /// [`KronError::NonFinite`](crate::KronError::NonFinite) for a factor.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[3.0], [4.0]], array![[2.0]])?; // one unknown, two equations: 6·x = 1, 8·x = 1
    /// let x = k.least_squares(&array![1.0, 1.0])?;
    /// assert!((x[0] - 14.0 / 100.0_f64).abs() < 1e-15);
    /// let x = k.transposed().least_squares(&array![50.0])?; // 6·x₀ + 8·x₁ = 50
    /// assert!((x[0] - 3.0_f64).abs() < 1e-14 && (x[1] - 4.0).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn least_squares<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let operation = "least_squares";
        self.outputs(operation, "y").count(y.shape(), None)?;
        self.kept_qr(operation)?.least_squares(y)
    }

    /// The QR decompositions of factors of full rank, kept: see [`KronBase::least_squares`].
    ///
    /// # Errors
    /// As [`KronBase::least_squares`] for the factors.
    pub fn qr(&self) -> Result<KronQr<T>> {
        self.kept_qr("qr")
    }

    pub(super) fn kept_qr(&self, operation: &'static str) -> Result<KronQr<T>> {
        let qrs = self.named().map(|(name, factor)| full_rank_qr(operation, name, factor));
        let qrs: Vec<Qr<T>> = qrs.collect::<Result<_>>()?;
        let shapes: Vec<_> = self.factors().iter().map(|factor| factor.dim()).collect();
        let is_wide = |&(rows, cols): &(usize, usize)| rows < cols;
        let chain = |wide: bool, matrix: fn(&Qr<T>) -> Array2<T>| {
            let matrices = qrs
                .iter()
                .zip(&shapes)
                .map(|(qr, shape)| if is_wide(shape) == wide { matrix(qr) } else { Array2::eye(shape.0.min(shape.1)) });
            shapes.iter().any(|shape| is_wide(shape) == wide).then(|| KronChain::new(matrices)).transpose()
        };
        let before = chain(false, |qr| qr.q.t().to_owned())?;
        let after = chain(true, |qr| qr.q.clone())?;
        Ok(KronQr { shapes, before, triangles: qrs.into_iter().map(|qr| qr.triangle).collect(), after })
    }
}

impl<T: Scalar> KronQr<T> {
    /// [`KronBase::least_squares`] without the decompositions.
    ///
    /// # Errors
    /// As [`KronBase::apply`] for `y`.
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::{Array2, array};
    /// let tall = array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
    /// let k = KronChain::power(&tall, 3)?; // (27, 8)
    /// let qr = k.qr()?;
    /// for i in 0..8 {
    ///     let x = Array2::eye(8).row(i).to_owned();
    ///     let found = qr.least_squares(&k.apply(&x)?)?;
    ///     assert!(found.iter().zip(&x).all(|(found, x): (&f64, &f64)| (found - x).abs() < 1e-14));
    /// }
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn least_squares<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let samples = |argument, sides: fn(&(usize, usize)) -> usize| {
            let sides = self.shapes.iter().map(sides);
            Samples { operation: "least_squares", argument, width: sides.clone().product(), sides }
        };
        let y_rows = samples("y", |shape| shape.0).rows(y, None)?;
        let mut rows = match &self.before {
            Some(before) => before.apply(&y_rows)?,
            None => y_rows.as_standard_layout().into_owned(),
        };
        solve_rows(&self.triangles, System::Plain, &mut rows);
        let x = match &self.after {
            Some(after) => after.apply(&rows)?,
            None => rows,
        };
        samples("x", |shape| shape.1).array(x, y.ndim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use crate::operator::{Factor, Kron};
    use crate::test_support::{all_close, chains, dominant};
    use lokr_testing::{LAYOUTS, matrix, with_layout};
    use ndarray::array;

    /// The defining properties: the residual is orthogonal to the columns, and the solution to the null space.
    fn defines_the_solution<T: Scalar>() {
        for (k, dense) in chains::<T>() {
            let y = matrix::<T>(3, dense.nrows(), 7);
            let x = k.least_squares(&y).unwrap();
            let pinv = pseudo_inverse(&k);
            let size = pinv.iter().fold(T::one(), |size, x| size.max(x.abs()));
            all_close(&x, &y.dot(&pinv.t()), size * size * T::from_usize_lossy(dense.len()));
            for layout in LAYOUTS {
                assert_eq!(with_layout(&y, layout, |y| k.least_squares(y).unwrap()), x);
            }
        }
    }

    /// Made of the factors', each by the normal equations.
    fn pseudo_inverse<T: Scalar>(k: &KronChain<'_, T>) -> Array2<T> {
        let of_factor = |factor: &Factor<'_, T>| {
            let a = factor.to_dense();
            let tall = a.nrows() >= a.ncols();
            let gram = if tall { a.t().dot(&a) } else { a.dot(&a.t()) };
            let inverse = Lu::new(gram.view()).inverse();
            if tall { inverse.dot(&a.t()) } else { a.t().dot(&inverse) }
        };
        let factors = k.factors().iter().map(of_factor);
        factors.fold(Array2::ones((1, 1)), |dense, factor| lokr_testing::dense_kron(&dense, &factor))
    }

    #[test]
    fn tall_wide_and_mixed_factors_in_f32_and_f64() {
        defines_the_solution::<f32>();
        defines_the_solution::<f64>();
    }

    #[test]
    fn kept_decompositions_vectors_and_fields() {
        let k = Kron::new(matrix::<f64>(4, 2, 1), matrix(3, 5, 2)).unwrap();
        let qr = k.qr().unwrap();
        let y = matrix::<f64>(6, 12, 3);
        let x = k.least_squares(&y).unwrap();
        assert_eq!(qr.least_squares(&y).unwrap(), x);
        assert_eq!(qr.least_squares(&y.row(0)).unwrap().len(), 10);
        let fields = qr.least_squares(&y.to_shape((6, 4, 3)).unwrap()).unwrap();
        assert_eq!(fields, x.to_shape((6, 2, 5)).unwrap());
        assert_eq!(qr.least_squares(&Array2::zeros((0, 12))).unwrap().dim(), (0, 10));
    }

    fn at_every_scale<T: Scalar>(scales: &[(f64, f64, f64)]) {
        let (a, b, y) = (matrix::<T>(5, 2, 1), matrix::<T>(2, 3, 2), matrix::<T>(2, 10, 3));
        let expected = Kron::new(&a, &b).unwrap().least_squares(&y).unwrap();
        let size = expected.iter().fold(T::one(), |size, x| size.max(x.abs()));
        for &(of_a, of_b, of_y) in scales {
            let k = Kron::new(&a * T::from_f64_lossy(of_a), &b * T::from_f64_lossy(of_b)).unwrap();
            let x = k.least_squares(&(&y * T::from_f64_lossy(of_y))).unwrap();
            all_close(&(x / T::from_f64_lossy(of_y / (of_a * of_b))), &expected, size * T::from_usize_lossy(8));
        }
    }

    #[test]
    fn the_scale_does_not_matter_in_f32_and_f64() {
        at_every_scale::<f32>(&[(1e30, 1e-30, 1.0), (1e-30, 1e30, 1e30), (1e-30, 1.0, 1e-30), (1e36, 1e-30, 1e-20)]);
        at_every_scale::<f64>(&[(1e200, 1e-200, 1.0), (1e-300, 1e300, 1e300), (1e300, 1e-300, 1e-200)]);
    }

    #[test]
    fn columns_of_every_size_have_full_rank() {
        let scales = array![1.0, 1e-20, 1e30];
        let plain = matrix::<f64>(7, 3, 1);
        let y = matrix::<f64>(2, 7, 2);
        let k = |scales: &ndarray::Array1<f64>| KronChain::new([&plain * scales]).unwrap();
        let expected = k(&array![1.0, 1.0, 1.0]).least_squares(&y).unwrap();
        all_close(&(k(&scales).least_squares(&y).unwrap() * &scales), &expected, 8.0);
    }

    #[test]
    fn each_error_is_named() {
        let operation = "least_squares";
        let y = matrix::<f64>(2, 6, 1);
        let error = |k: Kron<'_, f64>| k.least_squares(&y).unwrap_err();
        let column = matrix::<f64>(3, 1, 1);
        let twice = ndarray::concatenate![ndarray::Axis(1), column, &column * 0.3];
        for deficient in [
            Factor::from(twice.clone()),
            Factor::from(twice.t().dot(&matrix::<f64>(3, 3, 1)).reversed_axes()),
            Factor::low_rank(matrix(3, 1, 1), matrix(1, 2, 2)).unwrap(),
            Factor::from(Array2::zeros((3, 2))),
        ] {
            let k = Kron::new(dominant(2, 1), deficient.view()).unwrap();
            assert_eq!(error(k), KronError::RankDeficient { operation, name: "B" });
            let wide = KronChain::new([deficient.transposed()]).unwrap();
            assert_eq!(wide.qr().map(drop), Err(KronError::RankDeficient { operation: "qr", name: "A₁" }));
        }
        let k = Kron::new(dominant(2, 1), array![[1.0, f64::NAN], [2.0, 3.0], [1.0, 1.0]]).unwrap();
        assert_eq!(error(k), KronError::NonFinite { operation, argument: "B", count: 1 });
        let k = Kron::new(dominant(2, 1), matrix(2, 2, 2)).unwrap();
        assert_eq!(error(k), KronError::Shape { operation, argument: "y", expected: (2, 4), found: (2, 6) });
    }
}
