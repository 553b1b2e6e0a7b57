//! The complex Schur decomposition of a small real matrix.
//!
//! It exists for every matrix, also a defective one, which has no basis of eigenvectors, and is backward stable (in the
//! norm). `faer` computes it inside its eigenvalue solver but does not hand it out.

use ndarray::{Array2, ArrayView2};
use num_complex::Complex;

use super::magnitude::frobenius_norm;
use super::power_of_two::{PowerOfTwo, Scaled};
use super::scaled;
use crate::check::count_non_finite;
use crate::error::{KronError, Result};
use crate::scalar::Scalar;

/// `matrix = power·Q·T·Qᴴ` with `Q` unitary and `T` upper triangular; the eigenvalues of the matrix divided by the
/// power stand on the diagonal of `T`. The power is one in the normal range.
pub(crate) struct Schur<T> {
    pub(crate) q: Array2<Complex<T>>,
    pub(crate) t: Array2<Complex<T>>,
    pub(crate) power: PowerOfTwo,
    /// `‖M·Q − Q·T‖_F` with `M` the matrix divided by the power: `T` is the exact form of a matrix that far from `M`.
    pub(crate) residual: T,
}

/// QR steps after which an eigenvalue that has not come out is given up; two or three are usual.
const MAX_STEPS: usize = 100;

impl<T: Scalar> Schur<T> {
    /// Decomposes a square matrix: to Hessenberg form, then single-shift QR steps with Wilkinson's shift and deflation
    /// (Golub & Van Loan, *Matrix Computations*, sections 7.4 and 7.5). Some `25·n³` complex operations, not blocked:
    /// meant for factors of up to a few hundred rows.
    ///
    /// # Errors
    /// [`KronError::NonFinite`]; [`KronError::NoConvergence`].
    pub(crate) fn new(operation: &'static str, name: &'static str, matrix: ArrayView2<'_, T>) -> Result<Self> {
        KronError::check_all_finite(operation, name, count_non_finite(&matrix))?;
        let no_convergence = KronError::NoConvergence { operation, name };
        let real = |value| Complex::new(value, T::zero());
        let Scaled { result: (h, q), power } = scaled::hessenberg(matrix);
        let matrix = power.inverse().times_matrix(matrix);
        // What a subdiagonal value may be and still be a rounding error.
        let rounding = (T::epsilon() + T::epsilon()) * frobenius_norm(matrix.view());
        let mut schur = Self { q: q.mapv(real), t: h.mapv(real), power, residual: T::zero() };

        let mut end = schur.t.nrows();
        let mut steps = 0;
        while end > 1 {
            let start = schur.active_block(end, rounding);
            if start + 1 == end {
                end -= 1;
                steps = 0;
            } else if steps == MAX_STEPS {
                return Err(no_convergence);
            } else {
                steps += 1;
                let shift = if steps % 10 == 0 { schur.exceptional_shift(end) } else { schur.wilkinson_shift(end) };
                schur.qr_step(start, end, shift);
            }
        }
        Ok(Self::measured(matrix.view(), schur.q, schur.t, power))
    }

    /// Moves a power of two from [`Schur::power`] into the triangle.
    pub(crate) fn take(&mut self, power: PowerOfTwo) {
        self.power = self.power.and(power.inverse());
        self.residual = power.times(self.residual);
        power.scale(self.t.iter_mut().flat_map(|value| [&mut value.re, &mut value.im]));
    }

    /// A decomposition of this matrix, which has been divided by the power, with its residual.
    pub(super) fn measured(
        matrix: ArrayView2<'_, T>,
        q: Array2<Complex<T>>,
        t: Array2<Complex<T>>,
        power: PowerOfTwo,
    ) -> Self {
        let difference = matrix.mapv(|value| Complex::new(value, T::zero())).dot(&q) - q.dot(&t);
        let residual = frobenius_norm(difference.mapv(|value| value.norm()).view());
        Self { q, t, power, residual }
    }

    /// Where the unreduced block that ends before `end` starts; a subdiagonal value of rounding size becomes zero.
    fn active_block(&mut self, end: usize, rounding: T) -> usize {
        for row in (1..end).rev() {
            let value = &mut self.t[[row, row - 1]];
            if value.norm() <= rounding {
                *value = Complex::new(T::zero(), T::zero());
                return row;
            }
        }
        0
    }

    /// The eigenvalue of the last 2 × 2 block that is nearer to its last element.
    fn wilkinson_shift(&self, end: usize) -> Complex<T> {
        let (i, j) = (end - 2, end - 1);
        let (a, d) = (self.t[[i, i]], self.t[[j, j]]);
        let product = self.t[[i, j]] * self.t[[j, i]];
        let half = (a - d) * T::from_f64_lossy(0.5);
        let root = (half * half + product).sqrt();
        let (plus, minus) = (half + root, half - root);
        let larger = if plus.norm() >= minus.norm() { plus } else { minus };
        if larger.norm() == T::zero() { d } else { d - divide(product, larger) }
    }

    /// A shift that breaks the symmetry of matrices on which Wilkinson's runs in a circle, such as cyclic permutations.
    fn exceptional_shift(&self, end: usize) -> Complex<T> {
        let last = end - 1;
        self.t[[last, last]] + self.t[[last, last - 1]].norm() * T::from_f64_lossy(0.75)
    }

    /// One step `T − σI = G·R`, `T ← R·G + σI` on the block `start..end`, carried to the rest of `T` and into `Q`.
    fn qr_step(&mut self, start: usize, end: usize, shift: Complex<T>) {
        let (t, size) = (&mut self.t, self.q.nrows());
        (start..end).for_each(|i| t[[i, i]] -= shift);
        let mut rotations = Vec::with_capacity(end - start - 1);
        for i in start..end - 1 {
            let (x, y) = (t[[i, i]], t[[i + 1, i]]);
            let length = x.norm().hypot(y.norm());
            let (c, s) = if length == T::zero() {
                (Complex::new(T::one(), T::zero()), Complex::new(T::zero(), T::zero()))
            } else {
                (x / length, y / length)
            };
            for col in i..size {
                let (x, y) = (t[[i, col]], t[[i + 1, col]]);
                t[[i, col]] = c.conj() * x + s.conj() * y;
                t[[i + 1, col]] = c * y - s * x;
            }
            t[[i + 1, i]] = Complex::new(T::zero(), T::zero());
            rotations.push((c, s));
        }
        for (i, &(c, s)) in (start..).zip(&rotations) {
            for (matrix, rows) in [(&mut *t, end.min(i + 2)), (&mut self.q, size)] {
                for row in 0..rows {
                    let (x, y) = (matrix[[row, i]], matrix[[row, i + 1]]);
                    matrix[[row, i]] = x * c + y * s;
                    matrix[[row, i + 1]] = y * c.conj() - x * s.conj();
                }
            }
        }
        (start..end).for_each(|i| t[[i, i]] += shift);
    }
}

/// `x / y` without squares, which leave the range of the type long before the quotient does (Smith 1962).
pub(crate) fn divide<T: Scalar>(x: Complex<T>, y: Complex<T>) -> Complex<T> {
    if y.re.abs() >= y.im.abs() {
        let ratio = y.im / y.re;
        let divisor = y.re + y.im * ratio;
        Complex::new((x.re + x.im * ratio) / divisor, (x.im - x.re * ratio) / divisor)
    } else {
        let ratio = y.re / y.im;
        let divisor = y.re * ratio + y.im;
        Complex::new((x.re * ratio + x.im) / divisor, (x.im * ratio - x.re) / divisor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{close, symmetric};
    use lokr_testing::matrix;
    use ndarray::array;

    fn check<T: Scalar>(matrix: &Array2<T>) {
        let size = matrix.nrows();
        let mut schur = Schur::new("test", "A", matrix.view()).unwrap();
        schur.take(schur.power);
        let Schur { q, t, .. } = schur;
        let magnitude = matrix.iter().fold(T::min_positive_value(), |max, x| max.max(x.abs()));
        let adjoint = q.t().mapv(|value| value.conj());
        let (rebuilt, gram) = (q.dot(&t).dot(&adjoint), adjoint.dot(&q));
        let scale = T::from_usize_lossy(size * size);
        for ((i, j), &value) in matrix.indexed_iter() {
            close(rebuilt[[i, j]].re / magnitude, value / magnitude, scale);
            close(rebuilt[[i, j]].im / magnitude, T::zero(), scale);
            close(gram[[i, j]].re, if i == j { T::one() } else { T::zero() }, scale);
            close(gram[[i, j]].im, T::zero(), scale);
            assert!(i <= j || t[[i, j]].norm() == T::zero(), "T[{i}, {j}] = {}", t[[i, j]]);
        }
    }

    fn rebuilds_matrices_of_every_kind<T: Scalar>() {
        for size in [1, 2, 3, 4, 7, 16, 31, 70] {
            check(&matrix::<T>(size, size, 1));
            check(&symmetric::<T>(size, 2));
            let skew = matrix::<T>(size, size, 3);
            check(&(&skew - &skew.t()));
            // Defective: one Jordan block, upper and lower.
            let jordan = Array2::from_shape_fn((size, size), |(i, j)| {
                T::from_f64_lossy(f64::from(u8::from(i == j) * 2 + u8::from(i + 1 == j)))
            });
            check(&jordan);
            check(&jordan.t().to_owned());
            // All eigenvalues of equal size: a cyclic permutation.
            check(&Array2::from_shape_fn((size, size), |(i, j)| T::from_usize_lossy(usize::from((i + 1) % size == j))));
            check(&Array2::<T>::zeros((size, size)));
            check(&Array2::<T>::ones((size, size)));
            let large = T::max_value().sqrt() * T::from_f64_lossy(8.0);
            check(&(matrix::<T>(size, size, 4) * large));
            check(&(matrix::<T>(size, size, 5) / large));
            let (huge, tiny) = (T::max_value() / T::from_f64_lossy(100.0), T::min_positive_value() / T::epsilon());
            check(&(matrix::<T>(size, size, 6) * huge));
            check(&(matrix::<T>(size, size, 7) * tiny));
        }
    }

    #[test]
    fn q_t_qh_rebuilds_matrices_of_every_kind_in_f32_and_f64() {
        rebuilds_matrices_of_every_kind::<f32>();
        rebuilds_matrices_of_every_kind::<f64>();
    }

    #[test]
    fn sparse_integer_matrices_converge() {
        for seed in 0..300 {
            let size = 2 + seed as usize % 9;
            check(&matrix::<f64>(size, size, seed).mapv(|value| (value * 1.4).round()));
        }
    }

    #[test]
    fn the_eigenvalues_of_a_rotation_are_complex() {
        let t = Schur::new("test", "A", array![[0.0, -2.0_f64], [2.0, 0.0]].view()).unwrap().t;
        close(t[[0, 0]].re, 0.0, 1.0);
        close(t[[0, 0]].im.abs(), 2.0, 1.0);
        close(t[[0, 0]].im, -t[[1, 1]].im, 1.0);
    }

    #[test]
    fn a_triangular_matrix_is_its_own_form_exactly() {
        let matrix = array![[1.0, 5.0, -2.0], [0.0, 1e-20, 3.0], [0.0, 0.0, 1e-40_f64]];
        let Schur { q, t, residual, .. } = Schur::new("test", "A", matrix.view()).unwrap();
        assert_eq!((t.mapv(|t| t.re), q.mapv(|q| q.re), residual), (matrix, Array2::eye(3), 0.0));
    }

    fn divides<T: Scalar>(scales: [f64; 3]) {
        let complex = |re, im| Complex::new(T::from_f64_lossy(re), T::from_f64_lossy(im));
        for scale in scales {
            for (re, im) in [(3.0, 4.0), (-4.0, 3.0), (2.0, 0.0), (0.0, -0.5)] {
                let found = divide(complex(re * scale, 2.0 * scale), complex(re * scale, im * scale));
                let expected = Complex::new(re, 2.0) / Complex::new(re, im);
                close(found.re, T::from_f64_lossy(expected.re), T::one());
                close(found.im, T::from_f64_lossy(expected.im), T::one());
            }
        }
    }

    #[test]
    fn division_does_not_square() {
        divides::<f32>([1.0, 1e-36, 1e37]);
        divides::<f64>([1.0, 1e-305, 1e307]);
    }

    #[test]
    fn values_that_are_not_finite_are_an_error() {
        let error = Schur::new("test", "A", array![[1.0, f64::NAN], [0.0, 1.0]].view()).err();
        assert_eq!(error, Some(KronError::NonFinite { operation: "test", argument: "A", count: 1 }));
    }
}
