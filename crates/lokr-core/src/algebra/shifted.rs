//! Systems `(A ⊗ B + c·I)·x = y`, and which way they are solved.

use ndarray::{Array2, ArrayRef2};

use super::solve_path::{SolvePath, path};
use super::sylvester::{Sylvester, Triangular};
use crate::decompose::Symmetry;
use crate::error::{KronError, Result};
use crate::operator::Kron;
use crate::scalar::Scalar;
use crate::shape::KronShape;

impl<T: Scalar> Kron<'_, T> {
    /// Solves `(A ⊗ B + c·I)·x = y` for every row of `y`, with square factors.
    ///
    /// # Shapes
    /// `y`: `batch × (m·p)`, any strides, `batch = 0` allowed. Result: `batch × (m·p)`, row-major.
    /// # Method
    /// With `c = 0` this is [`Kron::solve`]. Symmetric factors go through their eigenvectors
    /// ([`KronEigen::solve_shifted`](crate::KronEigen::solve_shifted); keep the decomposition to solve for many
    /// shifts). Two skew factors (`Mᵀ = −M`) go through their complex eigenvectors. Others go through their complex
    /// Schur decompositions, which exist for every square matrix: there `A ⊗ B + c·I` is upper triangular and `A·X·Bᵀ +
    /// c·X = Y` is solved row by row from the last (Bartels & Stewart 1972, for the discrete Sylvester equation).
    /// [`Kron::shifted_path`] tells which, and [`Kron::solve_shifted_with`] takes a factor for symmetric that is not
    /// quite.
    /// # Cost
    /// Symmetric: some `11·(m³ + p³) + 4·batch·m·p·(m + p)` flops. Otherwise some `25·(m³ + p³)` complex
    /// multiplications for the decompositions and `3·batch·m·p·(m + p)` for the rows. The bits do not depend on the
    /// number of threads.
    /// # Errors
    /// [`KronError::NotSquare`]; [`KronError::Shape`]; [`KronError::Singular`] when an eigenvalue `λᵢ·μⱼ + c` is zero
    /// up to the rounding error of the decomposition, `(m + p)·ε·(max|λᵢ|·max|μⱼ| + |c|)`, or less where it is known to
    /// be more exact, as for diagonal and upper triangular factors; [`KronError::NonFinite`] for
    /// factors that hold values that are not finite; [`KronError::NoConvergence`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0]], array![[1.0, 1.0], [0.0, 1.0]])?; // with c = 1: [[3, 2], [0, 3]]
    /// let x: ndarray::Array2<f64> = k.solve_shifted(1.0, &array![[7.0, 6.0]])?;
    /// assert!((x[[0, 0]] - 1.0).abs() < 1e-14 && (x[[0, 1]] - 2.0).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_shifted(&self, c: T, y: &ArrayRef2<T>) -> Result<Array2<T>> {
        self.solve_shifted_with(c, y, Symmetry::Rounding)
    }

    /// [`Kron::solve_shifted`] with a measure of how symmetric the factors must be to be treated as their symmetric
    /// parts, which is several times faster.
    ///
    /// # Errors
    /// As [`Kron::solve_shifted`].
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, Symmetry};
    /// # use ndarray::{Array2, array};
    /// let k = Kron::new(array![[2.0, 1.0], [1.0 + 1e-12, 2.0]], array![[1.0]])?;
    /// let x: Array2<f64> = k.solve_shifted_with(1.0, &array![[4.0, 4.0]], Symmetry::Within(1e-10))?;
    /// assert!((x[[0, 0]] - 1.0).abs() < 1e-11 && (x[[0, 1]] - 1.0).abs() < 1e-11);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_shifted_with(&self, c: T, y: &ArrayRef2<T>, symmetry: Symmetry<T>) -> Result<Array2<T>> {
        let (operation, name) = ("solve_shifted", "A ⊗ B + c·I");
        let KronShape { m, p, .. } = self.shape();
        KronError::check_shape(operation, "y", (y.nrows(), m * p), y.dim())?;
        if c == T::zero() && symmetry == Symmetry::Rounding {
            return self.solve(y);
        }
        match self.path(operation, c, symmetry)? {
            SolvePath::Lu => self.solve(y),
            SolvePath::Symmetric => self.eigen(operation, symmetry)?.solve(operation, name, c, y),
            path => {
                let equation = Sylvester::Product { c };
                Triangular::new(operation, self.a(), self.b(), equation, path)?.solve(operation, name, y)
            }
        }
    }

    /// Which way [`Kron::solve_shifted_with`] takes with this shift and measure of symmetry, and
    /// [`Kron::solve_shifted`] with [`Symmetry::Rounding`].
    ///
    /// # Cost
    /// One pass over the factors.
    /// # Errors
    /// [`KronError::NotSquare`]; [`KronError::NonFinite`].
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
        self.path("shifted_path", c, symmetry)
    }

    fn path(&self, operation: &'static str, c: T, symmetry: Symmetry<T>) -> Result<SolvePath> {
        KronError::check_square(operation, "A", self.a().dim())?;
        KronError::check_square(operation, "B", self.b().dim())?;
        let path = path(operation, self.a(), self.b(), symmetry)?;
        // Without a shift a matrix that nobody wants symmetrised has a cheaper way.
        let plain = symmetry == Symmetry::Rounding || path == SolvePath::Schur;
        Ok(if c == T::zero() && plain { SolvePath::Lu } else { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{all_close, kron_of, symmetric};
    use lokr_testing::matrix;
    use ndarray::array;

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
}
