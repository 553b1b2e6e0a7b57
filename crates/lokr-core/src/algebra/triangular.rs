//! The equations `(A₁ ⊗ … ⊗ A_k + c·I)·x = y` and `(A₁ ⊕ … ⊕ A_k + c·I)·x = y` of factors that are not symmetric. Of
//! two factors they are the Sylvester equations `A·X·Bᵀ + c·X = Y` and `A·X + X·Bᵀ + c·X = Y`.

use ndarray::parallel::prelude::*;
use ndarray::{Array1, Array2, ArrayRef2, ArrayView1, Axis, Zip};
use num_complex::Complex;

use super::solve_path::SolvePath;
use super::spectrum::{Combine, OfFactor, Spectrum};
use crate::decompose::{Keep, PowerOfTwo, Schur, Symmetry, divide, largest_magnitude, normal_schur};
use crate::error::{KronError, Result};
use crate::gemm::views::view;
use crate::operator::Factor;
use crate::scalar::Scalar;

/// The equation in the Schur bases of its factors, where it is upper triangular, divided by a power of two where the
/// factors or the shift are out of the range in which squares are exact.
pub(super) struct Triangular<T> {
    schurs: Vec<Schur<T>>,
    combine: Combine,
    /// The shift, divided by the power.
    c: T,
    power: PowerOfTwo,
    /// Whether all triangles are diagonal.
    is_diagonal: bool,
}

impl<T: Scalar> Triangular<T> {
    pub(super) fn new<'f>(
        operation: &'static str,
        factors: impl Iterator<Item = (&'static str, &'f Factor<'f, T>)>,
        (combine, c): (Combine, T),
        path: SolvePath,
        symmetry: Symmetry<T>,
    ) -> Result<Self> {
        let is_diagonal = path == SolvePath::Skew;
        let schur = |(name, factor): (&'static str, &Factor<'_, T>)| {
            if is_diagonal {
                normal_schur(operation, name, factor, symmetry)
            } else {
                Schur::new(operation, name, factor.dense().view())
            }
        };
        let mut schurs = factors.map(schur).collect::<Result<Vec<_>>>()?;
        let power = match combine {
            Combine::Product => scale_product(&mut schurs, c),
            Combine::Sum => scale_sum(&mut schurs, c),
        };
        Ok(Self { schurs, combine, c: power.inverse().times(c), power, is_diagonal })
    }

    pub(super) fn solve(&self, operation: &'static str, name: &'static str, y: &ArrayRef2<T>) -> Result<Array2<T>> {
        let eigenvalues = self.schurs.iter().map(|schur| OfFactor {
            values: schur.t.diag().to_owned(),
            residuals: Array1::from_elem(schur.t.nrows(), schur.residual),
            power: PowerOfTwo::ONE,
        });
        let spectrum = Spectrum::new(operation, self.combine, &eigenvalues.collect::<Vec<_>>())?;
        let divisors = spectrum.divisors(self.c).ok_or(KronError::Singular { operation, name })?;

        // With A_t = U_t·T_t·U_tᴴ the unknown becomes (U₁ ⊗ … ⊗ U_k)ᴴ·x.
        let adjoints: Vec<_> = self.bases().map(|q| q.mapv(|value| value.conj()).reversed_axes()).collect();
        let mut x = Array2::zeros(y.dim());
        Zip::from(x.axis_iter_mut(Axis(0))).and(y.axis_iter(Axis(0))).into_par_iter().for_each(|(mut x, y)| {
            let of_y = PowerOfTwo::out_of_range(y.view().insert_axis(Axis(0)), Keep::Squares);
            let y = y.iter().map(|&value| Complex::new(of_y.inverse().times(value), T::zero())).collect();
            let mut z = along_axes(y, adjoints.iter());
            if self.is_diagonal {
                z.iter_mut().zip(&divisors).for_each(|(z, &divisor)| *z = divide(*z, divisor));
            } else {
                let shift = Complex::new(self.c, T::zero());
                back_substitute(self.combine, &self.schurs, Complex::new(T::one(), T::zero()), shift, &mut z);
            }
            let power = of_y.and(self.power.inverse());
            x.iter_mut().zip(along_axes(z, self.bases())).for_each(|(x, z)| *x = power.times(z.re));
        });
        Ok(x)
    }

    fn bases(&self) -> impl ExactSizeIterator<Item = &Array2<Complex<T>>> {
        self.schurs.iter().map(|schur| &schur.q)
    }
}

/// Scales the triangles of a product, and returns what the equation is divided by.
fn scale_product<T: Scalar>(schurs: &mut [Schur<T>], c: T) -> PowerOfTwo {
    if schurs.len() > 2 {
        // The product of two in range is in range; that of more need not be.
        schurs.iter_mut().for_each(|schur| schur.take(PowerOfTwo::of(size(schur)).inverse()));
    }
    let product = schurs.iter().fold(PowerOfTwo::ONE, |product, schur| product.and(schur.power));
    // The larger of the two terms is brought into the middle of the range.
    let normal = product == PowerOfTwo::ONE || c == T::zero();
    let power = if normal { product } else { product.max(PowerOfTwo::of(c)) };
    if let Some(first) = schurs.first_mut() {
        first.take(product.and(power.inverse()));
    }
    power
}

/// The same for a sum.
fn scale_sum<T: Scalar>(schurs: &mut [Schur<T>], c: T) -> PowerOfTwo {
    let powers = schurs.iter().filter(|schur| size(schur) != T::zero()).map(|schur| schur.power);
    let largest = powers.reduce(PowerOfTwo::max).unwrap_or(PowerOfTwo::ONE);
    let normal = largest == PowerOfTwo::ONE || c == T::zero();
    let power = if normal { largest } else { largest.max(PowerOfTwo::of(c)) };
    schurs.iter_mut().for_each(|schur| schur.take(schur.power.and(power.inverse())));
    power
}

/// The largest magnitude of the triangle.
fn size<T: Scalar>(schur: &Schur<T>) -> T {
    largest_magnitude(schur.t.mapv(|value| value.norm()).view())
}

/// Multiplies `z`, read with one axis for each matrix, by that matrix along each axis.
fn along_axes<'m, T: Scalar>(
    mut z: Vec<Complex<T>>,
    matrices: impl ExactSizeIterator<Item = &'m Array2<Complex<T>>>,
) -> Vec<Complex<T>> {
    let (mut after, last) = (z.len(), matrices.len() - 1);
    for (axis, matrix) in matrices.enumerate() {
        let side = matrix.ncols();
        after /= side;
        z = if axis == last {
            view(&z, side).dot(&matrix.t()).into_iter().collect()
        } else {
            z.chunks_exact(side * after).flat_map(|piece| matrix.dot(&view(piece, after))).collect()
        };
    }
    z
}

/// Overwrites the right-hand side in the Schur bases with the solution of `(scale·M + shift·I)·z = y`, for the product
/// or the sum `M` of these triangles.
fn back_substitute<T: Scalar>(
    combine: Combine,
    schurs: &[Schur<T>],
    scale: Complex<T>,
    shift: Complex<T>,
    z: &mut [Complex<T>],
) {
    let [Schur { t, .. }, rest @ ..] = schurs else { return };
    let side = t.nrows();
    if rest.is_empty() {
        for k in (0..side).rev() {
            let known = dot(t.row(k), z, k + 1);
            z[k] = divide(z[k] - scale * known, scale * t[[k, k]] + shift);
        }
        return;
    }
    let piece = z.len() / side;
    let mut below = vec![Complex::new(T::zero(), T::zero()); piece];
    for i in (0..side).rev() {
        let (z, known) = z.split_at_mut((i + 1) * piece);
        let current = &mut z[i * piece..];
        if i + 1 < side {
            // What the rows below contribute.
            below.fill(Complex::new(T::zero(), T::zero()));
            for (j, z) in (i + 1..).zip(known.chunks_exact(piece)) {
                below.iter_mut().zip(z).for_each(|(sum, &z)| *sum += t[[i, j]] * z);
            }
            if combine == Combine::Product {
                multiply(rest, &mut below);
            }
            current.iter_mut().zip(&below).for_each(|(z, &below)| *z -= scale * below);
        }
        match combine {
            Combine::Product => back_substitute(combine, rest, scale * t[[i, i]], shift, current),
            Combine::Sum => back_substitute(combine, rest, scale, shift + t[[i, i]], current),
        }
    }
}

/// Multiplies by the product of these triangles.
fn multiply<T: Scalar>(schurs: &[Schur<T>], z: &mut [Complex<T>]) {
    let mut after = z.len();
    for (axis, Schur { t, .. }) in schurs.iter().enumerate() {
        let side = t.nrows();
        after /= side;
        if axis + 1 == schurs.len() {
            for z in z.chunks_exact_mut(side) {
                (0..side).for_each(|k| z[k] = dot(t.row(k), z, k));
            }
            continue;
        }
        for z in z.chunks_exact_mut(side * after) {
            for i in 0..side {
                let (row, below) = z[i * after..].split_at_mut(after);
                row.iter_mut().for_each(|z| *z *= t[[i, i]]);
                for (j, z) in (i + 1..).zip(below.chunks_exact(after)) {
                    row.iter_mut().zip(z).for_each(|(sum, &z)| *sum += t[[i, j]] * z);
                }
            }
        }
    }
}

/// The part of a row of a triangle from `start` on, times that of a vector.
fn dot<T: Scalar>(row: ArrayView1<'_, Complex<T>>, z: &[Complex<T>], start: usize) -> Complex<T> {
    row.iter().zip(z).skip(start).map(|(&t, &z)| t * z).sum()
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
