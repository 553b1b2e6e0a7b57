//! Systems `(A₁ ⊗ … ⊗ A_k + c·I)·x = y`, and which way they are solved.

use ndarray::{Array, ArrayRef, Dimension};

use super::solve_path::{SolvePath, path};
use super::spectrum::Combine;
use super::triangular::Triangular;
use crate::decompose::Symmetry;
use crate::error::Result;
use crate::operator::{FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// Solves `(K + c·I)·x = y` for every sample of `y`, with `K` the product of square factors.
    ///
    /// # Shapes
    /// `y`: a vector, rows or fields, as in [`KronBase::apply`]; the result likewise.
    /// # Method
    /// With `c = 0` this is [`KronBase::solve`]. Symmetric factors go through their eigenvectors
    /// ([`KronEigen::solve_shifted`](crate::KronEigen::solve_shifted); keep the decomposition to solve for many
    /// shifts). Skew factors (`Mᵀ = −M`), all of them or an even number beside symmetric ones, go through their complex
    /// eigenvectors. Others go through their complex Schur decompositions, which exist for every square matrix: there
    /// `K + c·I` is upper triangular and solved from the last row on, the outermost axis first (Bartels & Stewart 1972,
    /// for the Sylvester equation `A·X·Bᵀ + c·X = Y` of two factors).
    /// [`KronBase::shifted_path`] tells which, and [`KronBase::solve_shifted_with`] takes a factor for symmetric that
    /// is not quite.
    /// # Cost
    /// For two factors. Symmetric: some `11·(m³ + p³) + 4·batch·m·p·(m + p)` flops. Otherwise some `25·(m³ + p³)`
    /// complex multiplications for the decompositions and `3·batch·m·p·(m + p)` for the rows; of `k` factors, the rows
    /// cost up to `k/2` times as much beside the sum of all sides. The bits do not depend on the number of threads.
    /// # Errors
    /// [`KronError::NotSquare`](crate::KronError::NotSquare); [`KronError::Length`](crate::KronError::Length),
    /// [`KronError::Shape`](crate::KronError::Shape), [`KronError::FieldShape`](crate::KronError::FieldShape);
    /// [`KronError::Singular`](crate::KronError::Singular) when an eigenvalue `λᵢ·μⱼ·… + c` is zero up to the rounding
    /// error of the decomposition, `(m + p + …)·ε·(max|λᵢ|·max|μⱼ|·… + |c|)`, or less where it is known to be more
    /// exact, as for diagonal and upper triangular factors; [`KronError::NonFinite`](crate::KronError::NonFinite) for
    /// factors that hold values that are not finite; [`KronError::NoConvergence`](crate::KronError::NoConvergence).
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronChain};
    /// # use ndarray::array;
    /// let b = array![[1.0, 1.0], [0.0, 1.0]];
    /// let k = Kron::new(array![[2.0]], &b)?; // with c = 1: [[3, 2], [0, 3]]
    /// let x: ndarray::Array2<f64> = k.solve_shifted(1.0, &array![[7.0, 6.0]])?;
    /// assert!((x[[0, 0]] - 1.0).abs() < 1e-14 && (x[[0, 1]] - 2.0).abs() < 1e-14);
    ///
    /// let chain = KronChain::power(&b, 3)?;
    /// let y = array![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    /// let x = chain.solve_shifted(1.0, &y)?;
    /// assert!((chain.apply(&x)? + &x - &y).iter().all(|difference| difference.abs() < 1e-13));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_shifted<D: Dimension>(&self, c: T, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        self.solve_shifted_with(c, y, Symmetry::Rounding)
    }

    /// [`KronBase::solve_shifted`] with a measure of how symmetric the factors must be to be treated as their symmetric
    /// parts, which is several times faster.
    ///
    /// # Errors
    /// As [`KronBase::solve_shifted`].
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, Symmetry};
    /// # use ndarray::{Array2, array};
    /// let k = Kron::new(array![[2.0, 1.0], [1.0 + 1e-12, 2.0]], array![[1.0]])?;
    /// let x: Array2<f64> = k.solve_shifted_with(1.0, &array![[4.0, 4.0]], Symmetry::Within(1e-10))?;
    /// assert!((x[[0, 0]] - 1.0).abs() < 1e-11 && (x[[0, 1]] - 1.0).abs() < 1e-11);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_shifted_with<D: Dimension>(
        &self,
        c: T,
        y: &ArrayRef<T, D>,
        symmetry: Symmetry<T>,
    ) -> Result<Array<T, D>> {
        let (operation, name) = ("solve_shifted", L::SHIFTED);
        let rows = self.outputs(operation, "y").rows(y, None)?;
        let is_plain = c == T::zero() && symmetry == Symmetry::Rounding;
        let path = if is_plain { SolvePath::Lu } else { self.shifted_path_of(operation, c, symmetry)? };
        let x = match path {
            SolvePath::Lu => self.solve(&*rows)?,
            SolvePath::Symmetric => self.eigen(operation, symmetry)?.solve(operation, name, c, &rows)?,
            path => {
                let equation = (Combine::Product, c);
                Triangular::new(operation, self.named(), equation, path, symmetry)?.solve(operation, name, &rows)?
            }
        };
        self.outputs(operation, "x").array(x, y.ndim())
    }

    /// Which way [`KronBase::solve_shifted_with`] takes with this shift and measure of symmetry, and
    /// [`KronBase::solve_shifted`] with [`Symmetry::Rounding`].
    ///
    /// # Cost
    /// One pass over the factors.
    /// # Errors
    /// [`KronError::NotSquare`](crate::KronError::NotSquare); [`KronError::NonFinite`](crate::KronError::NonFinite).
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, SolvePath, Symmetry};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0, 1.0], [1.0 + 1e-12, 2.0]], array![[1.0]])?;
    /// assert_eq!(k.shifted_path(0.5, Symmetry::Rounding)?, SolvePath::Schur);
    /// assert_eq!(k.shifted_path(0.5, Symmetry::Average)?, SolvePath::Symmetric);
    /// assert_eq!(k.shifted_path(0.0, Symmetry::Rounding)?, SolvePath::Lu);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn shifted_path(&self, c: T, symmetry: Symmetry<T>) -> Result<SolvePath> {
        self.shifted_path_of("shifted_path", c, symmetry)
    }

    fn shifted_path_of(&self, operation: &'static str, c: T, symmetry: Symmetry<T>) -> Result<SolvePath> {
        self.check_square_factors(operation)?;
        let path = path(operation, self.named(), symmetry)?;
        // Without a shift a matrix that nobody wants symmetrised has a cheaper way.
        let plain = symmetry == Symmetry::Rounding || path == SolvePath::Schur;
        Ok(if c == T::zero() && plain { SolvePath::Lu } else { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use crate::operator::Kron;
    use crate::operator::KronChain;
    use crate::test_support::{all_close, kron_of, symmetric};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    #[test]
    fn the_path_can_be_asked_for_and_chosen() {
        let mut nearly = symmetric::<f64>(3, 1);
        nearly[[0, 2]] += 1e-9;
        let k = Kron::new(&nearly, symmetric(2, 2)).unwrap();
        let y = matrix::<f64>(2, 6, 3);
        let schur = k.solve_shifted(20.0, &y).unwrap();
        for (symmetry, path) in [
            (Symmetry::Rounding, SolvePath::Schur),
            (Symmetry::Within(1e-8), SolvePath::Symmetric),
            (Symmetry::Average, SolvePath::Symmetric),
        ] {
            assert_eq!(k.shifted_path(20.0, symmetry), Ok(path));
            let difference = k.solve_shifted_with(20.0, &y, symmetry).unwrap() - &schur;
            assert!(difference.iter().all(|x| x.abs() < 1e-9));
        }
        let skew = array![[0.0, 2.0], [-2.0, 0.0]];
        let k = Kron::new(&skew, &skew).unwrap();
        for symmetry in [Symmetry::Rounding, Symmetry::Within(1e-8), Symmetry::Average] {
            assert_eq!(k.shifted_path(1.0, symmetry), Ok(SolvePath::Skew));
        }
        let y = matrix::<f64>(3, 4, 4);
        let x = k.solve_shifted(1.0, &y).unwrap();
        all_close(&x.dot(&(k.to_dense() + Array2::<f64>::eye(4)).t()), &y, 10.0);
        let singular = KronError::Singular { operation: "solve_shifted", name: "A ⊗ B + c·I" };
        assert_eq!(k.solve_shifted(4.0, &y), Err(singular)); // eigenvalues ±4
        assert_eq!(
            Kron::new(&skew, symmetric(2, 1)).unwrap().shifted_path(1.0, Symmetry::Rounding),
            Ok(SolvePath::Schur)
        );
        assert_eq!(k.shifted_path(0.0, Symmetry::Rounding), Ok(SolvePath::Lu));
        let error = kron_of::<f64>(2, 3, 1, 1).shifted_path(1.0, Symmetry::Rounding).unwrap_err();
        assert_eq!(error, KronError::NotSquare { operation: "shifted_path", name: "A", shape: (2, 3) });
    }

    fn chains_are_solved<T: Scalar>(scales: [f64; 3]) {
        let skew = |size, seed| {
            let half = matrix::<T>(size, size, seed);
            &half - &half.t()
        };
        let general = |size, seed| matrix::<T>(size, size, seed);
        let mixed = |size, seed| if seed % 2 == 0 { symmetric(size, seed) } else { matrix::<T>(size, size, seed) };
        let kinds: [&dyn Fn(usize, u64) -> Array2<T>; 4] = [&general, &symmetric, &mixed, &skew];
        for (kind, sides) in
            kinds.iter().flat_map(|kind| [(kind, &[5][..]), (kind, &[4, 3]), (kind, &[2, 3, 2]), (kind, &[2, 1, 3, 2])])
        {
            let chain = KronChain::new((1..).zip(sides).map(|(seed, &side)| kind(side, seed))).unwrap();
            let (dense, y) = (chain.to_dense().unwrap(), matrix::<T>(3, chain.nrows(), 7));
            let c = T::from_f64_lossy(0.7);
            let plain = chain.solve_shifted(c, &y).unwrap();
            let size = plain.iter().chain(&dense).fold(T::one(), |max, x| max.max(x.abs()));
            let allowed = size * size * T::from_usize_lossy(8 * dense.nrows());
            all_close(&(plain.dot(&dense.t()) + &plain * c), &y, allowed);
            assert_eq!(chain.solve_shifted(c, &y.row(2)).unwrap(), chain.solve_shifted(c, &y).unwrap().row(2));
            for scale in scales.map(T::from_f64_lossy) {
                let x = (&chain * scale).solve_shifted(c * scale, &y).unwrap() * scale;
                all_close(&x, &plain, allowed);
                // The factors of opposite scale, so that what stands between them is out of range.
                let opposite = chain.factors().iter().enumerate().map(|(index, factor)| match index {
                    0 => factor * scale,
                    1 => factor * (T::one() / scale),
                    _ => factor.view(),
                });
                let shift = if sides.len() > 1 { c } else { c * scale };
                let x = KronChain::new(opposite).unwrap().solve_shifted(shift, &y).unwrap();
                all_close(&(x * (shift / c)), &plain, allowed);
            }
        }
    }

    #[test]
    fn chains_are_solved_in_f32_and_f64_at_every_scale() {
        chains_are_solved::<f32>([1.0, 1e-30, 1e30]);
        chains_are_solved::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn errors_of_chains_name_their_factors() {
        let y = matrix::<f64>(1, 8, 1);
        let eye = Array2::<f64>::eye(2);
        let error = KronChain::power(&eye, 3).unwrap().solve_shifted(-1.0, &y).unwrap_err();
        assert_eq!(error, KronError::Singular { operation: "solve_shifted", name: "A₁ ⊗ … ⊗ A_k + c·I" });
        let chain = KronChain::new([eye.clone(), matrix(2, 1, 1), matrix(2, 1, 1)]).unwrap();
        let error = chain.solve_shifted(1.0, &y).unwrap_err();
        assert_eq!(error, KronError::NotSquare { operation: "solve_shifted", name: "A₂", shape: (2, 1) });
        let bad = array![[f64::NAN]];
        let chain = KronChain::new([&eye, &bad, &eye]).unwrap();
        let error = chain.solve_shifted(1.0, &matrix(1, 4, 1)).unwrap_err();
        assert_eq!(error, KronError::NonFinite { operation: "solve_shifted", argument: "A₂", count: 1 });
        let error = KronError::Length { operation: "solve_shifted", argument: "y", expected: 8, found: 3 };
        assert_eq!(KronChain::power(&eye, 3).unwrap().solve_shifted(1.0, &array![1.0, 2.0, 3.0]), Err(error));
    }
}
