//! Linear systems with one right-hand side, as a vector.

use ndarray::{Array1, ArrayRef1};

use super::kron_sum::KronSum;
use crate::error::Result;
use crate::operator::{Kron, one_row};
use crate::scalar::Scalar;

impl<T: Scalar> Kron<'_, T> {
    /// Solves `(A ⊗ B)·x = y` for one vector: [`Kron::solve`] of a batch of one row.
    ///
    /// # Errors
    /// [`KronError::Length`](crate::KronError::Length) unless `y` has `m·p` values; else as [`Kron::solve`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0, 0.0], [0.0, 4.0]], array![[1.0, 1.0], [0.0, 1.0]])?;
    /// assert_eq!(k.solve_vector(&array![6.0, 4.0, 28.0, 16.0])?, array![1.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_vector(&self, y: &ArrayRef1<T>) -> Result<Array1<T>> {
        one_row("solve_vector", "y", self.nrows(), y, |y| self.solve(&y))
    }

    /// Solves `(A ⊗ B + c·I)·x = y` for one vector: [`Kron::solve_shifted`] of a batch of one row.
    ///
    /// # Errors
    /// [`KronError::Length`](crate::KronError::Length) unless `y` has `m·p` values; else as [`Kron::solve_shifted`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0]], array![[1.0, 1.0], [0.0, 1.0]])?; // with c = 1: [[3, 2], [0, 3]]
    /// let x: ndarray::Array1<f64> = k.solve_shifted_vector(1.0, &array![7.0, 6.0])?;
    /// assert!((x[0] - 1.0).abs() < 1e-14 && (x[1] - 2.0).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_shifted_vector(&self, c: T, y: &ArrayRef1<T>) -> Result<Array1<T>> {
        one_row("solve_shifted_vector", "y", self.nrows(), y, |y| self.solve_shifted(c, &y))
    }
}

impl<T: Scalar> KronSum<'_, T> {
    /// Solves `(A ⊕ B)·x = y` for one vector: [`KronSum::solve`] of a batch of one row.
    ///
    /// # Errors
    /// [`KronError::Length`](crate::KronError::Length) unless `y` has `n·p` values; else as [`KronSum::solve`].
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0]], array![[1.0, 1.0], [0.0, 2.0]])?; // [[2, 1], [0, 3]]
    /// let x: ndarray::Array1<f64> = sum.solve_vector(&array![4.0, 6.0])?;
    /// assert!((x[0] - 1.0).abs() < 1e-14 && (x[1] - 2.0).abs() < 1e-14);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_vector(&self, y: &ArrayRef1<T>) -> Result<Array1<T>> {
        one_row("solve_vector", "y", self.nrows(), y, |y| self.solve(&y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KronError;
    use crate::test_support::{close, positive};
    use lokr_testing::vector;
    use ndarray::Array2;

    fn gives_back_what_was_applied<T: Scalar>(scales: [f64; 3]) {
        let same = |found: Array1<T>, expected: &Array1<T>| {
            found.iter().zip(expected).for_each(|(&f, &e)| close(f, e, T::from_f64_lossy(300.0)));
        };
        for (n, p) in [(1, 1), (1, 5), (3, 1), (2, 7), (5, 3)] {
            let (a, b) = (positive::<T>(n, 1), positive::<T>(p, 2));
            let (k, sum) = (Kron::new(&a, &b).unwrap(), KronSum::new(&a, &b).unwrap());
            let (k_dense, sum_dense) = (k.to_dense(), sum.to_dense());
            let x = vector::<T>(n * p, 3);
            for scale in scales.map(T::from_f64_lossy) {
                let scaled = |y: Array1<T>| y.mapv(|y| y * scale);
                same(k.solve_vector(&scaled(k_dense.dot(&x))).unwrap().mapv(|x| x / scale), &x);
                let shifted = &k_dense + &Array2::eye(n * p);
                let found = k.solve_shifted_vector(T::one(), &scaled(shifted.dot(&x))).unwrap();
                same(found.mapv(|x| x / scale), &x);
                same(sum.solve_vector(&scaled(sum_dense.dot(&x))).unwrap().mapv(|x| x / scale), &x);
            }
        }
    }

    #[test]
    fn f32_and_f64_give_back_what_was_applied_at_every_scale() {
        gives_back_what_was_applied::<f32>([1.0, 1e-30, 1e30]);
        gives_back_what_was_applied::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn each_error_is_named() {
        let k = Kron::new(positive::<f64>(2, 1), positive(3, 2)).unwrap();
        let sum = KronSum::new(k.a(), k.b()).unwrap();
        let length = |operation| KronError::Length { operation, argument: "y", expected: 6, found: 5 };
        assert_eq!(k.solve_vector(&vector(5, 1)), Err(length("solve_vector")));
        assert_eq!(k.solve_shifted_vector(1.0, &vector(5, 1)), Err(length("solve_shifted_vector")));
        assert_eq!(sum.solve_vector(&vector(5, 1)), Err(length("solve_vector")));
    }
}
