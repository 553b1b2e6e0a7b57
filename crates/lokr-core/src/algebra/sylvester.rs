//! The Sylvester equations `A·X·Bᵀ + c·X = Y`, that is `(A ⊗ B + c·I)·x = y`, and `A·X + X·Bᵀ = Y`, that of a Kronecker
//! sum.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayRef2, Axis, Zip};
use num_complex::Complex;

use super::solve_path::SolvePath;
use crate::decompose::{Keep, PowerOfTwo, Schur, divide, skew_schur};
use crate::error::{KronError, Result};
use crate::gemm::views::folded;
use crate::operator::Factor;
use crate::scalar::Scalar;

/// A linear equation for the `n × p` matrix `X`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sylvester<T> {
    /// `A·X·Bᵀ + c·X = Y`.
    Product { c: T },
    /// `A·X + X·Bᵀ = Y`.
    Sum,
}

/// A [`Sylvester`] equation in the Schur bases of its factors, where it is upper triangular, divided by a power of two
/// where the factors or the shift are out of the range in which squares are exact.
pub(super) struct Triangular<T> {
    a: Schur<T>,
    b: Schur<T>,
    equation: Sylvester<T>,
    power: PowerOfTwo,
    /// Whether both triangles are diagonal.
    is_diagonal: bool,
}

impl<T: Scalar> Triangular<T> {
    pub(super) fn new(
        operation: &'static str,
        a: &Factor<'_, T>,
        b: &Factor<'_, T>,
        equation: Sylvester<T>,
        path: SolvePath,
    ) -> Result<Self> {
        let is_diagonal = path == SolvePath::Skew;
        let schur = |name, factor: &Factor<'_, T>| {
            if is_diagonal {
                skew_schur(operation, name, factor)
            } else {
                Schur::new(operation, name, factor.dense().view())
            }
        };
        let (mut a, mut b) = (schur("A", a)?, schur("B", b)?);
        let (equation, power) = match equation {
            Sylvester::Product { c } => {
                let product = a.power.and(b.power);
                // The larger of the two terms is brought into the middle of the range.
                let normal = product == PowerOfTwo::ONE || c == T::zero();
                let power = if normal { product } else { product.max(PowerOfTwo::of(c)) };
                a.take(product.and(power.inverse()));
                (Sylvester::Product { c: power.inverse().times(c) }, power)
            }
            Sylvester::Sum => {
                let is_zero = |schur: &Schur<T>| schur.t.iter().all(|value| value.norm() == T::zero());
                let power = match (is_zero(&a), is_zero(&b)) {
                    (true, _) => b.power,
                    (_, true) => a.power,
                    _ => a.power.max(b.power),
                };
                for schur in [&mut a, &mut b] {
                    schur.take(schur.power.and(power.inverse()));
                }
                (equation, power)
            }
        };
        Ok(Self { a, b, equation, power, is_diagonal })
    }

    /// For row `i` of `X` the equation's matrix is `scale·S + shift·I`, with `S` the triangular form of `B`.
    fn row_matrix(&self, i: usize) -> (Complex<T>, Complex<T>) {
        let eigenvalue = self.a.t[[i, i]];
        match self.equation {
            Sylvester::Product { c } => (eigenvalue, Complex::new(c, T::zero())),
            Sylvester::Sum => (Complex::new(T::one(), T::zero()), eigenvalue),
        }
    }

    pub(super) fn solve(&self, operation: &'static str, name: &'static str, y: &ArrayRef2<T>) -> Result<Array2<T>> {
        let (n, p) = (self.a.t.nrows(), self.b.t.nrows());
        let terms = |(i, k)| {
            let (scale, shift): (Complex<T>, Complex<T>) = self.row_matrix(i);
            (scale * self.b.t[[k, k]], shift)
        };
        let pairs = || (0..n).flat_map(|i| (0..p).map(move |k| (i, k)));
        // The largest of each kind meet in one pair, so this is the sum of the two maxima.
        let magnitude = pairs().map(terms).fold(T::zero(), |largest, (x, y)| largest.max(x.norm() + y.norm()));
        let sides = T::from_usize_lossy(n + p);
        let least = sides * T::epsilon() * magnitude;
        // What the decompositions left over, where that is less: nothing for triangular factors.
        let (of_a, of_b) = (self.a.residual, self.b.residual);
        let is_zero = |(i, k)| {
            let (x, y) = terms((i, k));
            let left_over = match self.equation {
                Sylvester::Product { .. } => self.a.t[[i, i]].norm() * of_b + of_a * self.b.t[[k, k]].norm(),
                Sylvester::Sum => of_a + of_b,
            };
            let measured = sides * (left_over + T::epsilon() * (x.norm() + y.norm()));
            (x + y).norm() <= least.min(measured)
        };
        if pairs().any(is_zero) {
            return Err(KronError::Singular { operation, name });
        }

        // With A = U·T·Uᴴ and B = V·S·Vᴴ the unknown becomes Uᴴ·X·V̄, whose inverse map is U·(·)·Vᵀ.
        let conj = |matrix: &Array2<Complex<T>>| matrix.mapv(|value| value.conj());
        let (u_adjoint, v_conj) = (conj(&self.a.q).reversed_axes(), conj(&self.b.q));
        let mut x = Array2::zeros(y.dim());
        Zip::from(x.axis_iter_mut(Axis(0))).and(y.axis_iter(Axis(0))).into_par_iter().for_each(|(mut x, y)| {
            let y = folded(y, n, p);
            let of_y = PowerOfTwo::out_of_range(y.view(), Keep::Squares);
            let y = y.mapv(|value| Complex::new(of_y.inverse().times(value), T::zero()));
            let mut z = u_adjoint.dot(&y).dot(&v_conj);
            if self.is_diagonal {
                self.divide(&mut z);
            } else {
                self.back_substitute(&mut z);
            }
            let z = self.a.q.dot(&z).dot(&self.b.q.t());
            let power = of_y.and(self.power.inverse());
            x.iter_mut().zip(&z).for_each(|(x, z)| *x = power.times(z.re));
        });
        Ok(x)
    }

    /// [`back_substitute`](Self::back_substitute) of diagonal matrices.
    fn divide(&self, z: &mut Array2<Complex<T>>) {
        for ((i, k), z) in z.indexed_iter_mut() {
            let (scale, shift) = self.row_matrix(i);
            *z = divide(*z, scale * self.b.t[[k, k]] + shift);
        }
    }

    /// Overwrites the right-hand side in the Schur bases with the solution.
    fn back_substitute(&self, z: &mut Array2<Complex<T>>) {
        let (t, s) = (&self.a.t, &self.b.t);
        let (n, p) = z.dim();
        for i in (0..n).rev() {
            // What the rows below contribute: t[i, j]·z_j, multiplied by S for a product.
            let mut below = vec![Complex::new(T::zero(), T::zero()); p];
            for j in i + 1..n {
                below.iter_mut().zip(z.row(j)).for_each(|(sum, &z)| *sum += t[[i, j]] * z);
            }
            let (scale, shift) = self.row_matrix(i);
            for k in (0..p).rev() {
                let contribution = match self.equation {
                    Sylvester::Product { .. } => (k..p).map(|l| s[[k, l]] * below[l]).sum(),
                    Sylvester::Sum => below[k],
                };
                let known: Complex<T> = (k + 1..p).map(|l| s[[k, l]] * z[[i, l]]).sum();
                z[[i, k]] = divide(z[[i, k]] - contribution - scale * known, scale * s[[k, k]] + shift);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Kron;
    use crate::test_support::{all_close, close, kron_of, symmetric};
    use lokr_testing::matrix;
    use ndarray::{ShapeBuilder, array, s};

    /// `‖(K + cI)·x − y‖` is of rounding size beside `‖K + cI‖·‖x‖`.
    #[track_caller]
    fn check_residual<T: Scalar>(k: &Kron<'_, T>, c: T, y: &ArrayRef2<T>) {
        let x = k.solve_shifted(c, y).unwrap();
        let size = k.dim().0;
        let matrix = k.to_dense() + Array2::<T>::eye(size) * c;
        let largest = |values: &ArrayRef2<T>| values.iter().fold(T::zero(), |max, value| max.max(value.abs()));
        let scale = T::from_usize_lossy(size) * (largest(&matrix) * largest(&x) + T::one());
        let residual = x.dot(&matrix.t()) - y;
        residual.iter().for_each(|&value| close(value, T::zero(), scale));
    }

    fn solves<T: Scalar>() {
        for (m, p) in [(1, 1), (1, 5), (3, 1), (2, 7), (5, 3), (17, 11)] {
            let general = kron_of::<T>(m, m, p, p);
            let symmetric_factors = Kron::new(symmetric::<T>(m, 1), symmetric(p, 2)).unwrap();
            let mixed = Kron::new(symmetric::<T>(m, 1), matrix(p, p, 2)).unwrap();
            for k in [general, symmetric_factors, mixed] {
                for c in [0.75, -0.3, 40.0] {
                    for batch in [0, 1, 4] {
                        let y = matrix::<T>(batch, m * p, 3);
                        check_residual(&k, T::from_f64_lossy(c), &y);
                        check_residual(&k.transposed(), T::from_f64_lossy(c), &y.slice(s![..;-1, ..]));
                    }
                }
            }
        }
    }

    #[test]
    fn the_residual_is_rounding_in_f32_and_f64() {
        solves::<f32>();
        solves::<f64>();
    }

    #[test]
    fn defective_and_singular_factors_are_no_obstacle() {
        let jordan = Array2::from_shape_fn((4, 4), |(i, j)| f64::from(u8::from(i == j) + u8::from(i + 1 == j)));
        let nilpotent = &jordan - &Array2::<f64>::eye(4);
        let cycle = array![[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]];
        let low = || Factor::low_rank(matrix::<f64>(5, 2, 1), matrix(2, 5, 2)).unwrap();
        let mut y = Array2::zeros((3, 20).f());
        y.assign(&matrix(3, 20, 6));
        check_residual(&Kron::new(&jordan, low()).unwrap(), 0.5, &y);
        check_residual(&Kron::new(low(), &nilpotent).unwrap(), 0.5, &y);
        check_residual(&Kron::new(&nilpotent, &jordan).unwrap(), -0.5, &y.slice(s![.., ..16]));
        check_residual(&Kron::new(&nilpotent, &cycle).unwrap(), 2.0, &y.slice(s![.., ..12]));
        check_residual(&Kron::new(&cycle, &cycle).unwrap(), 2.0, &y.slice(s![.., ..9]));
    }

    #[test]
    fn triangular_factors_with_small_exact_eigenvalues_are_solved() {
        let k = Kron::new(array![[1.0, 5.0], [0.0, 1e-20]], array![[1.0]]).unwrap();
        let x = k.solve_shifted(1e-22, &array![[0.0, 1.01e-20]]).unwrap(); // x₁ = 1, x₀ = −5
        all_close(&x, &array![[-5.0, 1.0]], 5.0);
        // Where squares of the divisors underflow.
        let k = Kron::new(array![[1.0, 5.0], [0.0, 1e-200]], array![[1.0]]).unwrap();
        let x = k.solve_shifted(1e-202, &array![[0.0, 1.01e-200]]).unwrap();
        all_close(&x, &array![[-5.0, 1.0]], 5.0);
    }

    #[test]
    fn agrees_with_a_solution_made_beforehand() {
        let k = kron_of::<f64>(3, 3, 4, 4);
        let x = matrix::<f64>(5, 12, 9);
        let y = x.dot(&(k.to_dense() + Array2::<f64>::eye(12) * 5.0).t());
        all_close(&k.solve_shifted(5.0, &y).unwrap(), &x, 100.0);
        let y = x.dot(&k.to_dense().t());
        assert_eq!(k.solve_shifted(0.0, &y), k.solve(&y));
    }

    #[test]
    fn each_error_is_named() {
        let operation = "solve_shifted";
        let y = array![[1.0, 2.0, 3.0, 4.0]];
        let error = kron_of::<f64>(2, 3, 2, 2).solve_shifted(1.0, &y).unwrap_err();
        assert_eq!(error, KronError::NotSquare { operation, name: "A", shape: (2, 3) });
        let error = kron_of::<f64>(2, 2, 2, 3).solve_shifted(1.0, &y).unwrap_err();
        assert_eq!(error, KronError::NotSquare { operation, name: "B", shape: (2, 3) });
        let error = kron_of::<f64>(3, 3, 2, 2).solve_shifted(1.0, &y).unwrap_err();
        assert_eq!(error, KronError::Shape { operation, argument: "y", expected: (1, 6), found: (1, 4) });
        let singular = KronError::Singular { operation, name: "A ⊗ B + c·I" };
        let (triangular, eye) = (array![[1.0, 5.0], [0.0, 2.0]], Array2::<f64>::eye(2));
        assert_eq!(Kron::new(&triangular, &eye).unwrap().solve_shifted(-2.0, &y), Err(singular.clone()));
        assert_eq!(Kron::new(&eye, &eye).unwrap().solve_shifted(-1.0, &y), Err(singular));
        let nan = array![[1.0, f64::NAN], [0.5, 1.0]];
        let error = Kron::new(&nan, &triangular).unwrap().solve_shifted(1.0, &y).unwrap_err();
        assert_eq!(error, KronError::NonFinite { operation, argument: "A", count: 1 });
    }
}
