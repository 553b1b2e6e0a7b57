//! Gradients of shifted systems and log-determinants with respect to the factors and the shift.

use ndarray::{Array, Array1, Array2, ArrayRef, ArrayView2, Axis, Dimension};

use super::eigen::KronEigen;
use super::scaled_gradients::add_gradients;
use crate::decompose::{Keep, PowerOfTwo, Symmetry, largest_magnitude};
use crate::error::{KronError, Result};
use crate::gemm::views::view;
use crate::operator::{Factor, FactorList, KronBase, KronGradients};
use crate::scalar::Scalar;
use crate::sums::dot;

impl<T: Scalar, L: FactorList<Elem = T>> KronEigen<T, L> {
    /// Gradients of a loss with respect to the stored matrices of `k`, the shift `c` and the right-hand side of
    /// [`KronEigen::solve_shifted`], from the solution `x` and the gradient `dx` of it. `k` is the product that was
    /// decomposed.
    ///
    /// With `dY = (K + c·I)⁻¹·dX`, the gradient of the product is the symmetric part of `−dY·Xᵀ`, which is never
    /// formed, and `dc = −Σ dY·X`. The solution depends on the symmetric part of the factors, so that the gradients of
    /// full factors are symmetric.
    ///
    /// # Shapes
    /// `x` and `dx` are samples of one shape: vectors, rows or fields. Result: the gradients of
    /// [`KronBase::parts`], summed over the batch; `dc`; and `dy`, in the shape of `x`.
    /// # Cost
    /// One solution and two of [`KronBase::gradients`]. Nothing is decomposed.
    /// # Errors
    /// As [`KronBase::apply`] for `x` and for `dx`; those of [`KronEigen::solve_shifted`]; [`KronError::Shape`] and
    /// [`KronError::FactorShapes`] when `k` has other factors than the product that was decomposed.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0]], array![[4.0]])?; // x = y/(a·b + c)
    /// let eigen = k.symmetric_eigen()?;
    /// let (gradients, dc, dy) = eigen.solve_shifted_gradients(&k, 2.0, &array![3.0], &array![1.0])?;
    /// assert!((gradients.parts()[0][[0, 0]] + 1.2_f64).abs() < 1e-15); // −b·x/(a·b + c)
    /// assert!((dc + 0.3_f64).abs() < 1e-15 && (dy[0] - 0.1_f64).abs() < 1e-15);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn solve_shifted_gradients<M: FactorList<Elem = T>, D: Dimension>(
        &self,
        k: &KronBase<M>,
        c: T,
        x: &ArrayRef<T, D>,
        dx: &ArrayRef<T, D>,
    ) -> Result<(KronGradients<T>, T, Array<T, D>)> {
        let operation = "solve_shifted_gradients";
        self.check_product(operation, k)?;
        let x = k.inputs(operation, "x").rows(x, None)?;
        let samples = k.inputs(operation, "dx");
        let dy = self.solve(operation, "M + c·I", c, &samples.rows(dx, Some(x.nrows()))?)?;
        let mut gradients = KronGradients::zeros(k);
        let (symmetric, half) = (k.symmetric_parts(operation, Symmetry::Average)?, T::from_f64_lossy(-0.5));
        add_gradients(&symmetric, half, x.view(), dy.view(), &mut gradients)?;
        add_gradients(&symmetric, half, dy.view(), x.view(), &mut gradients)?;
        let dc = dot(x.view(), dy.view()).negated().value();
        Ok((gradients, dc, samples.array(dy, dx.ndim())?))
    }

    /// Gradients of `ln|det(K + c·I)|` with respect to the stored matrices of `k`, the product that was decomposed, and
    /// to `c`.
    ///
    /// With `W = 1/(λ₁·…·λ_k + c)` over all combinations of the factors' eigenvalues, that of factor `i` is
    /// `Q_i·diag(v)·Q_iᵀ`, where `v` sums `W` times the other factors' eigenvalues over all axes but the `i`-th, and
    /// that of `c` is the sum of `W`.
    ///
    /// # Cost
    /// `4·Σ n_i³ + 2·k·Π n_i` flops. Nothing is decomposed.
    /// # Errors
    /// [`KronError::Singular`] as for [`KronEigen::solve_shifted`]; [`KronError::Shape`] and
    /// [`KronError::FactorShapes`] when `k` has other factors than the product that was decomposed.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0]], array![[3.0]])?; // ln(a·b + c)
    /// let (gradients, dc) = k.symmetric_eigen()?.log_determinant_shifted_gradients(&k, 2.0)?;
    /// assert_eq!(gradients.parts()[0], array![[0.375]]); // b/(a·b + c)
    /// assert_eq!(gradients.parts()[1], array![[0.25]]);
    /// assert_eq!(dc, 0.125);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn log_determinant_shifted_gradients<M: FactorList<Elem = T>>(
        &self,
        k: &KronBase<M>,
        c: T,
    ) -> Result<(KronGradients<T>, T)> {
        let operation = "log_determinant_shifted_gradients";
        self.check_product(operation, k)?;
        self.spectrum.divisors(c).ok_or(KronError::Singular { operation, name: "M + c·I" })?;
        let vectors: Vec<_> = self.vectors().factors().iter().map(Factor::dense).collect();
        // The eigenvalues of each factor are `power` times at most two.
        let of_factors = k.factors().iter().zip(&vectors).map(|(factor, q)| eigenvalues(factor, q.view()));
        let (values, powers): (Vec<_>, Vec<PowerOfTwo>) = of_factors.unzip();
        let power = powers.iter().fold(PowerOfTwo::ONE, |product, &power| product.and(power));
        // What makes `K + c·I` one in size.
        let size = if c == T::zero() { power } else { power.max(PowerOfTwo::of(c)) };
        let (to_size, c) = (power.and(size.inverse()), size.inverse().times(c));
        let weights = products(&values).mapv(|value| (to_size.times(value) + c).recip());
        let gradients = (0..values.len()).map(|axis| {
            let sums = sums_of_others(&weights, &values, axis);
            let q = &vectors[axis];
            let mut gradient = (q * &sums).dot(&q.t());
            to_size.and(powers[axis].inverse()).scale(&mut gradient);
            gradient
        });
        let gradients = KronGradients::of_factors(k, gradients.collect::<Vec<_>>());
        let ones = Array2::ones((1, weights.len()));
        let dc = dot(weights.view().insert_axis(Axis(0)), ones.view()).times_two_to(-size.exponent());
        Ok((gradients, dc.value()))
    }

    /// That `k` may be the product that was decomposed.
    fn check_product<M: FactorList<Elem = T>>(&self, operation: &'static str, k: &KronBase<M>) -> Result<()> {
        let vectors = self.vectors();
        if vectors.factors().len() != k.factors().len() {
            return Err(KronError::FactorShapes { operation, left: vectors.shapes(), right: k.shapes() });
        }
        let mut pairs = vectors.factors().iter().zip(k.named());
        pairs.try_for_each(|(q, (name, factor))| KronError::check_shape(operation, name, q.dim(), factor.dim()))
    }
}

/// The eigenvalues that belong to these vectors, the diagonal of `Qᵀ·A·Q`: a power of two times values up to two.
fn eigenvalues<T: Scalar>(factor: &Factor<'_, T>, q: ArrayView2<'_, T>) -> (Array1<T>, PowerOfTwo) {
    let matrix = factor.dense();
    let power = PowerOfTwo::out_of_range(matrix.view(), Keep::Squares);
    let product = power.inverse().times_matrix(matrix.view()).dot(&q);
    let mut values: Array1<T> = product.columns().into_iter().zip(q.columns()).map(|(aq, q)| aq.dot(&q)).collect();
    let size = PowerOfTwo::of(largest_magnitude(values.view().insert_axis(Axis(0))));
    size.inverse().scale(&mut values);
    (values, power.and(size))
}

/// One value of each list, multiplied, for all combinations, the last list's varying first.
fn products<T: Scalar>(lists: &[Array1<T>]) -> Array1<T> {
    lists.iter().fold(Array1::ones(1), |products, list| {
        products.iter().flat_map(|&product| list.iter().map(move |&value| product * value)).collect()
    })
}

/// The weights times the values of all axes but this one, summed over these.
fn sums_of_others<T: Scalar>(weights: &Array1<T>, values: &[Array1<T>], axis: usize) -> Array1<T> {
    let (outer, inner) = (products(&values[..axis]), products(&values[axis + 1..]));
    let row = |values: &Array1<T>| values.clone().insert_axis(Axis(0));
    let (outer, inner) = (row(&outer), row(&inner));
    let weights = weights.as_slice().unwrap_or(&[]);
    let within: Vec<T> =
        weights.chunks_exact(inner.len()).map(|chunk| dot(view(chunk, inner.len()), inner.view()).value()).collect();
    let within = view(&within, values[axis].len());
    within.columns().into_iter().map(|column| dot(column.insert_axis(Axis(0)), outer.view()).value()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_close, close, dominant, positive, symmetric};
    use lokr_testing::matrix;
    use ndarray::{Zip, array};

    /// The symmetric part of the dense matrix, with `c` on its diagonal.
    fn dense(k: &KronChain<'_, f64>, c: f64) -> Array2<f64> {
        let dense = k.to_dense().unwrap();
        (&dense + &dense.t()) * 0.5 + Array2::<f64>::eye(k.dim().0) * c
    }

    fn dense_log(k: &KronChain<'_, f64>, c: f64) -> f64 {
        crate::decompose::Lu::new(dense(k, c).view()).log_determinant().1
    }

    fn dense_solve(k: &KronChain<'_, f64>, c: f64, y: &Array2<f64>) -> Array2<f64> {
        KronChain::new([dense(k, c)]).unwrap().solve(y).unwrap()
    }

    /// Along symmetric changes of full factors, and any of halves.
    fn agrees(k: &KronChain<'_, f64>, gradients: &KronGradients<f64>, loss: impl Fn(&KronChain<'_, f64>) -> f64) {
        let full: Vec<bool> = k
            .factors()
            .iter()
            .flat_map(|f| f.parts().map(|_| matches!(f, Factor::Full(_))).collect::<Vec<_>>())
            .collect();
        for (part, gradient) in gradients.parts().iter().enumerate() {
            let (rows, cols) = gradient.dim();
            let change = matrix::<f64>(rows, cols, 50);
            let change = if full[part] { &change + &change.t() } else { change };
            let moved = |by: f64| {
                let mut k = k.clone();
                k.parts_mut().nth(part).unwrap().scaled_add(by, &change);
                loss(&k)
            };
            let step = 1e-5;
            let (found, expected) = ((gradient * &change).sum(), (moved(step) - moved(-step)) / (2.0 * step));
            assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{part}: {found} {expected}");
            if full[part] {
                Zip::from(gradient).and(gradient.t()).for_each(|&x, &y| close(x, y, 10.0 * x.abs().max(1.0)));
            }
        }
    }

    fn cases() -> Vec<(KronChain<'static, f64>, f64)> {
        let half = dominant::<f64>(3, 5);
        let gram = Factor::low_rank(half.clone(), half.reversed_axes()).unwrap();
        let chain = |factors: Vec<Factor<'static, f64>>| KronChain::new(factors).unwrap();
        vec![
            (chain(vec![positive(3, 1).into(), positive(4, 2).into()]), 0.3),
            (chain(vec![symmetric(2, 1).into(), symmetric(5, 2).into()]), 40.0),
            (chain(vec![array![[2.0]].into(), positive(3, 2).into()]), 0.0),
            (chain(vec![positive(2, 1).into(), gram]), 0.5),
            (chain(vec![positive(2, 1).into(), positive(3, 2).into(), positive(2, 3).into()]), 0.7),
            (chain(vec![positive(4, 1).into()]), 0.7),
        ]
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        for (k, c) in cases() {
            let eigen = k.symmetric_eigen().unwrap();
            let (gradients, dc) = eigen.log_determinant_shifted_gradients(&k, c).unwrap();
            agrees(&k, &gradients, |k| dense_log(k, c));
            let step = 1e-5;
            let expected = (dense_log(&k, c + step) - dense_log(&k, c - step)) / (2.0 * step);
            assert!((dc - expected).abs() < 1e-6 * expected.abs().max(1.0), "{dc} {expected}");

            let (y, dx) = (matrix::<f64>(3, k.dim().0, 5), matrix::<f64>(3, k.dim().0, 6));
            let x = eigen.solve_shifted(c, &y).unwrap();
            let (gradients, dc, dy) = eigen.solve_shifted_gradients(&k, c, &x, &dx).unwrap();
            let loss = |k: &KronChain<'_, f64>, c| (dense_solve(k, c, &y) * &dx).sum();
            agrees(&k, &gradients, |k| loss(k, c));
            let expected = (loss(&k, c + step) - loss(&k, c - step)) / (2.0 * step);
            assert!((dc - expected).abs() < 1e-6 * expected.abs().max(1.0), "{dc} {expected}");
            all_close(&dy, &dense_solve(&k, c, &dx), 1000.0);
        }
    }

    fn at_every_scale<T: Scalar>(scales: &[(f64, f64)]) {
        let (a, b, shift) = (positive::<T>(3, 1), positive::<T>(2, 2), T::from_f64_lossy(0.5));
        let gradients = |of_a: T, of_b: T| {
            let k = Kron::new(&a * of_a, &b * of_b).unwrap();
            k.symmetric_eigen().unwrap().log_determinant_shifted_gradients(&k, shift * of_a * of_b).unwrap()
        };
        let (plain, dc) = gradients(T::one(), T::one());
        for &scales in scales {
            let [of_a, of_b] = [scales.0, scales.1].map(T::from_f64_lossy);
            let (scaled, scaled_dc) = gradients(of_a, of_b);
            let scale = T::from_usize_lossy(20);
            close(scaled_dc * (of_a * of_b), dc, scale);
            all_close(&(&scaled.parts()[0] * of_a), &plain.parts()[0], scale);
            all_close(&(&scaled.parts()[1] * of_b), &plain.parts()[1], scale);
        }
        // The product is nothing beside the shift: v = λ/c.
        let tiny = T::from_f64_lossy(scales[0].1);
        let k = Kron::new(&a * tiny, &b * tiny).unwrap();
        let (found, dc) = k.symmetric_eigen().unwrap().log_determinant_shifted_gradients(&k, T::one()).unwrap();
        close(dc, T::from_usize_lossy(6), T::from_usize_lossy(6));
        let trace = b.diag().sum() * tiny;
        all_close(&(&found.parts()[0] / trace), &Array2::eye(3), T::from_usize_lossy(4));
    }

    #[test]
    fn gradients_at_every_scale_in_f32_and_f64() {
        at_every_scale::<f32>(&[(1e30, 1e-30), (1e-30, 1e30), (1e-10, 1e-20)]);
        at_every_scale::<f64>(&[(1e200, 1e-200), (1e-200, 1e200), (1e-150, 1e-100)]);
    }

    #[test]
    fn vectors_fields_and_errors() {
        let k = Kron::new(positive::<f64>(2, 1), positive(3, 2)).unwrap();
        let eigen = k.symmetric_eigen().unwrap();
        let (x, dx) = (matrix::<f64>(1, 6, 1), matrix::<f64>(1, 6, 2));
        let (_, _, dy) = eigen.solve_shifted_gradients(&k, 0.5, &x, &dx).unwrap();
        let (_, _, of_vector) = eigen.solve_shifted_gradients(&k, 0.5, &x.row(0), &dx.row(0)).unwrap();
        assert_eq!(of_vector, dy.row(0));
        let (none, dc, _) =
            eigen.solve_shifted_gradients(&k, 0.5, &Array2::zeros((0, 6)), &Array2::zeros((0, 6))).unwrap();
        assert!(dc == 0.0 && none.parts().iter().all(|part| part.iter().all(|&x| x == 0.0)));

        let operation = "log_determinant_shifted_gradients";
        let other = Kron::new(positive::<f64>(2, 1), positive(2, 2)).unwrap();
        let expected = KronError::Shape { operation, argument: "B", expected: (3, 3), found: (2, 2) };
        assert_eq!(eigen.log_determinant_shifted_gradients(&other, 1.0).map(drop), Err(expected));
        let chain = KronChain::new([positive::<f64>(6, 1)]).unwrap();
        let expected = KronError::FactorShapes { operation, left: vec![(2, 2), (3, 3)], right: vec![(6, 6)] };
        assert_eq!(eigen.log_determinant_shifted_gradients(&chain, 1.0).map(drop), Err(expected));
        let k = Kron::new(array![[2.0]], array![[3.0]]).unwrap();
        let singular = KronError::Singular { operation, name: "M + c·I" };
        assert_eq!(k.symmetric_eigen().unwrap().log_determinant_shifted_gradients(&k, -6.0).map(drop), Err(singular));
    }
}
