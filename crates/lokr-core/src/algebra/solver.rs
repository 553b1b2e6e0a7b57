//! Products that are decomposed once and solved with again and again.

use std::fmt;

use ndarray::{Array, ArrayRef, Dimension};

use super::LogDeterminant;
use super::axes::solve_rows;
use super::scaled_factor::{ScaledFactor, of_factors};
use crate::decompose::{Lu, Scaled, System};
use crate::error::{KronError, Result};
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;
use crate::sums::Extended;

/// A square product and the LU or Cholesky decompositions of its factors, kept to solve systems again and again. Made
/// by [`KronBase::lu`] and [`KronBase::cholesky_solver`].
///
/// # Examples
/// ```
/// # use lokr_core::Kron;
/// # use ndarray::array;
/// let k = Kron::new(array![[2.0, 0.0], [0.0, 4.0]], array![[1.0, 1.0], [0.0, 1.0]])?;
/// let solver = k.lu()?;
/// for x in [array![1.0, 2.0, 3.0, 4.0], array![0.0, 1.0, 0.0, 1.0]] {
///     assert_eq!(solver.solve(&k.apply(&x)?)?, x);
///     assert_eq!(solver.solve_transposed(&k.apply_transposed(&x)?)?, x);
/// }
/// assert!((solver.determinant() - 64.0_f64).abs() < 1e-12);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Clone)]
pub struct KronSolver<T: Scalar, L: FactorList<Elem = T> = [Factor<'static, T>; 2]> {
    pub(super) operator: KronBase<L>,
    pub(super) lus: Vec<Lu<T>>,
    /// Whether the product is solved with as a symmetric one.
    pub(super) symmetric: bool,
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The LU decompositions of square factors, kept: [`KronSolver::solve`] then costs a fraction of
    /// [`KronBase::solve`] where the factors are large beside the batch.
    ///
    /// A nearly singular factor, which [`KronBase::solve`] refuses, is none here:
    /// [`KronSolver::reciprocal_condition`] tells how many digits of a solution to believe.
    ///
    /// # Cost
    /// `2/3·Σ n_i³` flops.
    /// # Errors
    /// [`KronError::NotSquare`] when a factor is not square; [`KronError::NonFinite`] for a factor;
    /// [`KronError::Singular`] when an LU decomposition meets a pivot that is exactly zero, or a low-rank factor has an
    /// inner size less than its side.
    pub fn lu(&self) -> Result<KronSolver<T, L::Like<'_, T>>> {
        self.solver("lu")
    }

    /// [`KronBase::lu`] for an operation of that name.
    pub(super) fn solver(&self, operation: &'static str) -> Result<KronSolver<T, L::Like<'_, T>>> {
        for (name, factor) in self.named() {
            KronError::check_square(operation, name, factor.dim())?;
        }
        let lus = self.named().map(|(name, factor)| Lu::of_factor(operation, name, factor));
        Ok(KronSolver { lus: lus.collect::<Result<_>>()?, operator: self.view(), symmetric: false })
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronSolver<T, L> {
    /// The product that is solved with.
    #[must_use]
    pub fn operator(&self) -> &KronBase<L> {
        &self.operator
    }

    /// The same with factors of its own, free of the borrow.
    #[must_use]
    pub fn into_owned(self) -> KronSolver<T, L::Like<'static, T>> {
        KronSolver { operator: self.operator.into_owned(), lus: self.lus, symmetric: self.symmetric }
    }

    /// Solves `(A ⊗ B)·x = y`: [`KronBase::solve`] without the decompositions, and without the question whether a
    /// factor is nearly singular.
    ///
    /// # Cost
    /// `2·batch·Π n_i·Σ n_i` flops.
    /// # Errors
    /// As [`KronBase::apply`] for `y`.
    pub fn solve<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        self.solve_as("solve", System::Plain, y)
    }

    /// Solves `(A ⊗ B)ᵀ·x = y`, by the same decompositions.
    ///
    /// # Errors
    /// As [`KronBase::apply`] for `y`.
    pub fn solve_transposed<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        self.solve_as("solve_transposed", System::Transposed, y)
    }

    pub(super) fn solve_as<D: Dimension>(
        &self,
        operation: &'static str,
        system: System,
        y: &ArrayRef<T, D>,
    ) -> Result<Array<T, D>> {
        let samples = self.operator.outputs(operation, "y");
        let mut x = samples.rows(y, None)?.as_standard_layout().into_owned();
        solve_rows(&self.lus, system, &mut x);
        samples.array(x, y.ndim())
    }

    /// The inverse, `A⁻¹ ⊗ B⁻¹`; `2·Σ n_i³` flops.
    ///
    /// # Errors
    /// None that the product itself has not passed.
    pub fn inverse(&self) -> Result<KronBase<L::Like<'static, T>>> {
        inverse_of(&self.operator, &self.lus)
    }

    /// The determinant; infinity or zero where it is out of range.
    #[must_use]
    pub fn determinant(&self) -> T {
        let powers = self.lus.iter().map(|lu| num_traits::pow(lu.determinant(), self.count(lu)));
        powers.fold(Extended::new(T::one()), |product, power| product * power).value()
    }

    /// Sign and logarithm of the determinant, which may be of any size.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let a = array![[1e-200, 0.0], [0.0, -1.0]];
    /// let chain = KronChain::power(&a, 3)?; // determinant 1e-2400
    /// let log = chain.lu()?.log_determinant();
    /// assert_eq!(log.sign, 1.0);
    /// assert!((log.ln_abs - -2400.0 * 10.0_f64.ln()).abs() < 1e-11);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn log_determinant(&self) -> LogDeterminant<T> {
        let one = LogDeterminant { sign: T::one(), ln_abs: T::zero() };
        self.lus.iter().fold(one, |log, lu| {
            let (sign, ln_abs) = lu.log_determinant();
            let power = LogDeterminant { sign, ln_abs }.power(self.count(lu));
            LogDeterminant { sign: log.sign * power.sign, ln_abs: log.ln_abs + power.ln_abs }
        })
    }

    /// How many blocks of a factor the product has: the sides of the others multiplied.
    pub(super) fn count(&self, lu: &Lu<T>) -> usize {
        self.operator.dim().0 / lu.side()
    }

    /// The reciprocal of the condition number in the 1-norm, `1/(‖K‖₁·‖K⁻¹‖₁)`, as LAPACK estimates it: one is best,
    /// and of a solution about `log10` of it more digits are lost than there are in the data. Near the precision of
    /// the type, nothing is left.
    ///
    /// # Method
    /// It is the product of those of the factors. Their `‖A⁻¹‖₁` is estimated from below by a few systems (Higham, ACM
    /// TOMS 14, 1988), so that the result may be too large, seldom by more than a factor of three for each factor.
    /// # Cost
    /// Some `12·Σ n_i²` flops.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], array![[1.0]])?;
    /// assert!(k.solve(&array![1.0, 1.0, 1.0]).is_err()); // singular, but for rounding
    /// assert!(k.lu()?.reciprocal_condition() < f64::EPSILON);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn reciprocal_condition(&self) -> T {
        let of_factor = |(lu, factor): (&Lu<T>, &Factor<'_, T>)| lu.reciprocal_condition(factor);
        self.lus.iter().zip(self.operator.factors()).map(of_factor).fold(T::one(), |product, one| product * one)
    }

    /// [`KronError::Singular`] where a factor is so up to rounding.
    pub(super) fn check_condition(&self, operation: &'static str) -> Result<()> {
        for (lu, (name, factor)) in self.lus.iter().zip(self.operator.named()) {
            if lu.is_nearly_singular(factor) {
                return Err(KronError::Singular { operation, name });
            }
        }
        Ok(())
    }
}

/// The inverse of a product, from the decompositions of its factors.
pub(super) fn inverse_of<T: Scalar, L: FactorList<Elem = T>>(
    k: &KronBase<L>,
    lus: &[Lu<T>],
) -> Result<KronBase<L::Like<'static, T>>> {
    let mut lus = lus.iter();
    of_factors(k, k.dim(), |name, _| {
        let lu = lus.next().ok_or(KronError::Singular { operation: "inverse", name })?; // there are as many
        let Scaled { result, power } = lu.scaled_inverse();
        Ok(ScaledFactor { factor: result.into(), exponent: power.exponent() })
    })
}

/// The product, and which decomposition.
impl<T: Scalar, L: FactorList<Elem = T>> fmt::Debug for KronSolver<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decomposition = if self.symmetric { "Cholesky" } else { "LU" };
        f.debug_struct("KronSolver")
            .field("operator", &self.operator)
            .field("decomposition", &decomposition)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompose::reference::determinant;
    use crate::operator::Kron;
    use crate::test_support::{all_close, close, dominant, square_chains};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    fn kept_decompositions<T: Scalar>() {
        for chain in square_chains::<T>(dominant) {
            let dense = chain.to_dense().unwrap();
            let solver = chain.lu().unwrap().into_owned();
            for batch in [0, 1, 3] {
                let y = matrix::<T>(batch, dense.nrows(), 5);
                assert_eq!(solver.solve(&y).unwrap(), chain.solve(&y).unwrap());
                assert_eq!(solver.solve_transposed(&y).unwrap(), chain.solve_transposed(&y).unwrap());
            }
            let inverse = solver.inverse().unwrap().to_dense().unwrap();
            all_close(&inverse.dot(&dense), &Array2::eye(dense.nrows()), T::from_usize_lossy(8));
            let norm = |dense: &Array2<T>| {
                let sums = dense.columns().into_iter().map(|column| column.iter().map(|x| x.abs()).sum::<T>());
                sums.fold(T::zero(), T::max)
            };
            let exact = (norm(&dense) * norm(&inverse)).recip();
            let found = solver.reciprocal_condition();
            assert!(found >= exact * T::from_f64_lossy(0.99) && found <= exact * T::from_f64_lossy(10.0));
            assert_eq!(solver.operator(), &chain);
            let (expected, scale) = (determinant(&dense), T::from_usize_lossy(dense.nrows()));
            if expected.is_finite() {
                close(solver.determinant() / expected, T::one(), scale);
            } else {
                assert_eq!(solver.determinant(), expected);
            }
            let (log, expected) = (solver.log_determinant(), chain.log_determinant().unwrap());
            assert_eq!(log.sign, expected.sign);
            close(log.ln_abs, expected.ln_abs, scale);
        }
    }

    #[test]
    fn kept_decompositions_in_f32_and_f64() {
        kept_decompositions::<f32>();
        kept_decompositions::<f64>();
    }

    #[test]
    fn signs_of_determinants_and_determinants_out_of_range() {
        let swap = array![[0.0, 1.0], [1.0, 0.0]];
        let kept = |a: Array2<f64>, b: Array2<f64>| Kron::new(a, b).unwrap().lu().unwrap().into_owned();
        assert_eq!(kept(swap.clone(), array![[1.0]]).determinant(), -1.0);
        assert_eq!(kept(swap.clone(), &swap * 3.0).determinant(), 81.0);
        let log = kept(swap.clone(), array![[-2.0]]).log_determinant();
        assert_eq!((log.sign, log.value()), (-1.0, -4.0));
        let opposite = kept(Array2::from_diag_elem(3, 1e200), array![[1e-200]]);
        close(opposite.determinant(), 1.0, 8.0);
        close(opposite.log_determinant().ln_abs, 0.0, 1e4);
        assert_eq!(kept(Array2::from_diag_elem(3, 1e200), array![[1.0]]).determinant(), f64::INFINITY);
        close(
            kept(Array2::from_diag_elem(3, 1e-310), array![[1.0]]).log_determinant().ln_abs,
            3.0 * 1e-310_f64.ln(),
            1e4,
        );
    }

    #[test]
    fn the_condition_is_known_at_every_scale() {
        let plain = Kron::new(dominant::<f64>(3, 1), dominant(4, 2)).unwrap();
        let expected = plain.lu().unwrap().reciprocal_condition();
        for (of_a, of_b) in [(1e200, 1e200), (1e-300, 1e300), (1e-300, 1.0)] {
            let k = Kron::new(dominant::<f64>(3, 1) * of_a, dominant(4, 2) * of_b).unwrap();
            close(k.lu().unwrap().reciprocal_condition(), expected, 1.0);
        }
    }

    #[test]
    fn it_prints_what_it_is() {
        let solver = Kron::new(array![[2.0]], array![[3.0]]).unwrap().lu().unwrap().into_owned();
        let text = format!("{solver:?}");
        assert!(text.starts_with("KronSolver { operator: ") && text.contains("\"LU\""), "{text}");
    }

    #[test]
    fn each_error_is_named() {
        let operation = "lu";
        let error = |k: Kron<'_, f64>| k.lu().map(drop).unwrap_err();
        let k = Kron::new(matrix(2, 3, 1), matrix(3, 2, 2)).unwrap();
        assert_eq!(error(k), KronError::NotSquare { operation, name: "A", shape: (2, 3) });
        let k = Kron::new(array![[1.0, 2.0], [2.0, 4.0]], array![[1.0]]).unwrap();
        assert_eq!(error(k), KronError::Singular { operation, name: "A" });
        let k = Kron::new(array![[1.0]], array![[f64::INFINITY]]).unwrap();
        assert_eq!(error(k), KronError::NonFinite { operation, argument: "B", count: 1 });
        let k = Kron::new(array![[1.0]], array![[2.0]]).unwrap();
        let shape = KronError::Shape { operation: "solve_transposed", argument: "y", expected: (1, 1), found: (1, 2) };
        assert_eq!(k.lu().unwrap().solve_transposed(&array![[1.0, 2.0]]), Err(shape));
    }
}
