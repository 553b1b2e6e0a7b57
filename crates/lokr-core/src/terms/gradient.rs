//! Gradients of the factors and weights of a sum of products, and of the input.

use ndarray::{Array, ArrayRef, ArrayRef2, Dimension};

use super::kron_terms::KronTerms;
use crate::error::{KronError, Result};
use crate::gemm::Blend;
use crate::memory;
use crate::operator::KronGradients;
use crate::scalar::Scalar;
use crate::sums::{Extended, dot, times_two_to, wide_exponent};

/// Gradients of the weights and the stored matrices of a [`KronTerms`].
///
/// # Examples
/// ```
/// use lokr_core::{Kron, KronTerms, TermsGradients};
/// use ndarray::array;
/// let sum = KronTerms::from(Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?);
/// let gradients = TermsGradients::zeros(&sum);
/// assert_eq!(gradients.weights(), [0.0]);
/// assert_eq!(gradients.terms()[0].parts()[1].dim(), (2, 1));
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TermsGradients<T> {
    weights: Vec<T>,
    terms: Vec<KronGradients<T>>,
}

impl<T: Scalar> TermsGradients<T> {
    /// All zero, for the weights and in the shapes of the stored matrices.
    #[must_use]
    pub fn zeros(terms: &KronTerms<'_, T>) -> Self {
        let weights = vec![T::zero(); terms.weights().len()];
        Self { weights, terms: terms.terms().iter().map(KronGradients::zeros).collect() }
    }

    /// The gradients of the weights.
    #[must_use]
    pub fn weights(&self) -> &[T] {
        &self.weights
    }

    /// The gradients of the weights, writable.
    pub fn weights_mut(&mut self) -> &mut [T] {
        &mut self.weights
    }

    /// The gradients of the products' stored matrices.
    #[must_use]
    pub fn terms(&self) -> &[KronGradients<T>] {
        &self.terms
    }

    /// The gradients of the products' stored matrices, writable.
    pub fn terms_mut(&mut self) -> &mut [KronGradients<T>] {
        &mut self.terms
    }

    /// Sets all of them to zero, keeping the memory.
    pub fn fill_zero(&mut self) {
        self.weights.fill(T::zero());
        self.terms.iter_mut().for_each(KronGradients::fill_zero);
    }
}

impl<T: Scalar> KronTerms<'_, T> {
    /// Gradients of a loss with respect to the weights, the stored matrices and the input of [`KronTerms::apply`], from
    /// the gradient `dy` of its output.
    ///
    /// Those of a term's matrices are `wₜ` times those of [`Kron::gradients`](crate::Kron::gradients); with `dA` before
    /// that multiplication, the gradient of the weight is `⟨A, dA⟩`, because the output is linear in `A`.
    ///
    /// # Shapes
    /// `x` and `dy` are samples as [`KronTerms::apply`] takes and makes them. Result: the gradients, and `dx`, in the
    /// shape of `x`.
    /// # Cost
    /// That of [`Kron::gradients`](crate::Kron::gradients) for every term, and memory for a second `dx`. The bits do
    /// not depend on the number of threads.
    /// # Errors
    /// As [`KronTerms::apply`] for `x` and for `dy`.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let sum = KronTerms::new([(10.0, Kron::new(array![[2.0]], array![[3.0]])?)])?; // y = w·a·b·x
    /// let (gradients, dx) = sum.gradients(&array![[7.0]], &array![[1.0]])?;
    /// assert_eq!(gradients.weights(), [2.0 * 3.0 * 7.0]);
    /// assert_eq!(gradients.terms()[0].parts(), [array![[10.0 * 3.0 * 7.0]], array![[10.0 * 2.0 * 7.0]]]);
    /// assert_eq!(dx, array![[60.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn gradients<D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        dy: &ArrayRef<T, D>,
    ) -> Result<(TermsGradients<T>, Array<T, D>)> {
        let batch = self.count_inputs("gradients", "x", x.shape(), None)?;
        self.count_outputs("gradients", "dy", dy.shape(), Some(batch))?;
        let mut gradients = TermsGradients::zeros(self);
        let mut dx = memory::zeros("gradients", (batch, self.ncols()))?;
        let inputs = self.first().inputs("gradients", "x");
        let (x_rows, dy_rows) = (inputs.rows(x, None)?, self.first().outputs("gradients", "dy").rows(dy, None)?);
        self.gradients_of_rows(Blend::overwrite(), &x_rows, &dy_rows, &mut gradients, &mut dx)?;
        Ok((gradients, inputs.array(dx, x.ndim())?))
    }

    /// [`KronTerms::gradients`] into given memory: adds `α` times the gradients of weights and matrices to `gradients`,
    /// and sets `dX ← α·Σ wₜ·dY·(Aₜ ⊗ Bₜ) + β·dX`. With `beta = 0`, `dx` may hold anything; with `alpha = 0`, so may
    /// `x`, `dy` and the terms.
    ///
    /// # Errors
    /// As [`KronTerms::apply`] for `x`, `dy` and `dx`; [`KronError::Length`] for gradients of another number of terms
    /// and [`KronError::Shape`] for those of other matrices; [`KronError::OutOfMemory`]. All arguments are then
    /// untouched.
    pub fn gradients_into<D: Dimension>(
        &self,
        alpha: T,
        x: &ArrayRef<T, D>,
        dy: &ArrayRef<T, D>,
        gradients: &mut TermsGradients<T>,
        beta: T,
        dx: &mut ArrayRef<T, D>,
    ) -> Result<()> {
        let batch = self.count_inputs("gradients", "x", x.shape(), None)?;
        self.count_outputs("gradients", "dy", dy.shape(), Some(batch))?;
        self.count_inputs("gradients", "dx", dx.shape(), Some(batch))?;
        self.check_gradients(gradients)?;
        let inputs = self.first().inputs("gradients", "dx");
        let (x, dy) = (inputs.rows(x, None)?, self.first().outputs("gradients", "dy").rows(dy, None)?);
        let (blend, mut done) = (Blend { alpha, beta }, Ok(()));
        inputs.with_rows_mut(dx, batch, |dx| done = self.gradients_of_rows(blend, &x, &dy, gradients, dx))?;
        done
    }

    /// [`KronTerms::gradients_into`] of rows, when all shapes have been checked.
    ///
    /// # Errors
    /// [`KronError::OutOfMemory`], before anything is written.
    fn gradients_of_rows(
        &self,
        blend: Blend<T>,
        x: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        gradients: &mut TermsGradients<T>,
        dx: &mut ArrayRef2<T>,
    ) -> Result<()> {
        if x.nrows() == 0 || blend.alpha == T::zero() {
            blend.keep(dx.view_mut());
            return Ok(());
        }
        let mut of_x = memory::zeros("gradients", dx.dim())?;
        blend.keep(dx.view_mut());
        let alpha = Extended::new(blend.alpha);
        for (t, (weight, term)) in self.pairs().enumerate() {
            // The gradients at a power of two near the weight, so that they stay in its range.
            let factor = alpha * Extended::new(weight);
            let exponent = factor.exponent().clamp(-wide_exponent::<T>(), wide_exponent::<T>());
            let share = factor.times_two_to(-exponent).value();
            let mut own = KronGradients::zeros(term);
            term.gradients_into(times_two_to(T::one(), exponent), x, dy, &mut own, T::zero(), &mut of_x)?;
            if let (Some(part), Some(gradient)) = (term.parts().next(), own.parts().first()) {
                let inner = dot(part, gradient.view()).times_two_to(-exponent);
                gradients.weights[t] += (alpha * inner).value();
            }
            for (sum, part) in gradients.terms[t].parts_mut().iter_mut().zip(own.parts()) {
                sum.scaled_add(share, part);
            }
            dx.scaled_add(share, &of_x);
        }
        Ok(())
    }

    /// That the gradients have the shapes of this sum's matrices.
    fn check_gradients(&self, gradients: &TermsGradients<T>) -> Result<()> {
        let (expected, found) = (self.terms().len(), gradients.terms.len());
        if expected != found {
            let argument = "the list of the terms' gradients";
            return Err(KronError::Length { operation: "gradients", argument, expected, found });
        }
        for (term, gradient) in self.terms().iter().zip(&gradients.terms) {
            let found = gradient.parts().iter().map(|part| part.dim()).chain(std::iter::repeat((0, 0)));
            for (part, found) in term.parts().zip(found) {
                KronError::check_shape("gradients", "the gradient of a factor", part.dim(), found)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Kron;
    use crate::terms::test_sums::sums;
    use crate::test_support::{all_close, close, kron_of};
    use lokr_testing::{LAYOUTS, central_difference, matrix, with_layout};
    use ndarray::{Array2, array};

    /// `Σ dy·apply(x)`, whose gradients these are.
    fn loss(sum: &KronTerms<'_, f64>, x: &Array2<f64>, dy: &Array2<f64>) -> f64 {
        (sum.apply(x).unwrap() * dy).sum()
    }

    #[test]
    fn central_differences_agree() {
        for (sum, _) in sums::<f64>() {
            let (x, dy) = (matrix::<f64>(3, sum.ncols(), 1), matrix::<f64>(3, sum.nrows(), 2));
            let (gradients, dx) = sum.gradients(&x, &dy).unwrap();
            let check = |found: f64, loss: &mut dyn FnMut(f64) -> f64| {
                let expected = central_difference(loss);
                assert!((found - expected).abs() < 1e-7 * expected.abs().max(1.0), "{found} {expected}");
            };
            for (t, &found) in gradients.weights().iter().enumerate() {
                check(found, &mut |delta| {
                    let mut moved = sum.clone();
                    moved.weights_mut()[t] += delta;
                    loss(&moved, &x, &dy)
                });
            }
            let parts = gradients.terms().iter().flat_map(|gradient| gradient.parts());
            for (index, gradient) in parts.enumerate() {
                for (at, &found) in gradient.indexed_iter() {
                    check(found, &mut |delta| {
                        let mut moved = sum.clone();
                        moved.parts_mut().nth(index).unwrap()[at] += delta;
                        loss(&moved, &x, &dy)
                    });
                }
            }
            for (at, &found) in dx.indexed_iter() {
                check(found, &mut |delta| {
                    let mut moved = x.clone();
                    moved[at] += delta;
                    loss(&sum, &moved, &dy)
                });
            }
        }
    }

    /// The gradients of a scaled sum, each divided by what the scale makes of it, are those of the sum itself.
    fn scales_and_layouts<T: Scalar>(scales: [f64; 3]) {
        for (sum, _) in sums::<T>() {
            for batch in [0, 1, 4] {
                let (x, dy) = (matrix::<T>(batch, sum.ncols(), 1), matrix::<T>(batch, sum.nrows(), 2));
                let (plain, plain_dx) = sum.gradients(&x, &dy).unwrap();
                for scale in scales.map(T::from_f64_lossy) {
                    for layout in LAYOUTS {
                        let (found, dx) = with_layout(&x, layout, |x| {
                            with_layout(&dy, layout, |dy| (&sum * scale).gradients(x, dy).unwrap())
                        });
                        let length = T::from_f64_lossy(200.0);
                        all_close(&(dx / scale), &plain_dx, length);
                        found.weights().iter().zip(plain.weights()).for_each(|(&x, &y)| close(x, y, length));
                        let parts =
                            found.terms().iter().zip(plain.terms()).flat_map(|(x, y)| x.parts().iter().zip(y.parts()));
                        parts.for_each(|(found, plain)| all_close(&(found / scale), plain, length));
                    }
                }
            }
        }
    }

    #[test]
    fn every_scale_and_layout_in_f32_and_f64() {
        scales_and_layouts::<f32>([1.0, 1e-30, 1e30]);
        scales_and_layouts::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn extreme_products_with_weights_that_bring_them_back() {
        let k = Kron::new(array![[1e200]], array![[1e100]]).unwrap();
        let sum = KronTerms::new([(1e-299, k)]).unwrap();
        let (gradients, dx) = sum.gradients(&array![[1e30]], &array![[1e-30]]).unwrap();
        close(gradients.weights()[0] / 1e300, 1.0, 1.0);
        close(dx[[0, 0]] / 1e-29, 1.0, 1.0);
        close(gradients.terms()[0].parts()[0][[0, 0]] / 1e-199, 1.0, 1.0);
        close(gradients.terms()[0].parts()[1][[0, 0]] / 1e-99, 1.0, 1.0);
    }

    #[test]
    fn fields_have_the_gradients_of_their_rows() {
        let sum = KronTerms::new([(0.5, kron_of::<f64>(2, 3, 4, 5)), (2.0, kron_of(2, 3, 4, 5))]).unwrap();
        let (x, dy) = (matrix::<f64>(7, 15, 1), matrix::<f64>(7, 8, 2));
        let fields = |rows: &Array2<f64>, shape| rows.clone().into_shape_with_order(shape).unwrap();
        let (x_fields, dy_fields) = (fields(&x, (7, 3, 5)), fields(&dy, (7, 2, 4)));
        let (gradients, dx) = sum.gradients(&x, &dy).unwrap();
        assert_eq!(sum.gradients(&x_fields, &dy_fields), Ok((gradients.clone(), fields(&dx, (7, 3, 5)))));
        let (mut again, mut dx_fields) = (TermsGradients::zeros(&sum), x_fields.clone());
        sum.gradients_into(1.0, &x_fields, &dy_fields, &mut again, 0.0, &mut dx_fields).unwrap();
        assert_eq!((again, dx_fields), (gradients, fields(&dx, (7, 3, 5))));
    }

    #[test]
    fn gradients_are_added_and_a_weight_of_zero_can_learn() {
        let sum = KronTerms::new([(0.0, kron_of::<f64>(2, 3, 4, 1)), (2.0, kron_of(4, 1, 2, 3))]).unwrap();
        let (x, dy) = (matrix::<f64>(3, 3, 1), matrix::<f64>(3, 8, 2));
        let (once, dx_once) = sum.gradients(&x, &dy).unwrap();
        let expected = (sum.terms()[0].apply(&x).unwrap() * &dy).sum();
        close(once.weights()[0], expected, 10.0);
        assert!(once.terms()[0].parts().iter().flatten().all(|&value| value == 0.0));
        let (mut twice, mut dx) = (once.clone(), dx_once.clone());
        sum.gradients_into(-0.5, &x, &dy, &mut twice, 2.0, &mut dx).unwrap();
        all_close(&dx, &(&dx_once * 1.5), 10.0);
        once.weights().iter().zip(twice.weights()).for_each(|(&once, &twice)| close(twice, 0.5 * once, 20.0));
        for (once, twice) in once.terms().iter().zip(twice.terms()).flat_map(|(x, y)| x.parts().iter().zip(y.parts())) {
            all_close(twice, &(once * 0.5), 20.0);
        }
        let (before, mut dx) = (twice.clone(), array![[f64::NAN, 1.0, 1.0]]);
        let nan = array![[f64::NAN, 0.0, 0.0]];
        sum.gradients_into(0.0, &nan, &dy.slice(ndarray::s![..1, ..]), &mut twice, 0.0, &mut dx).unwrap();
        assert_eq!((&twice, dx), (&before, array![[0.0, 0.0, 0.0]]));
        twice.fill_zero();
        assert_eq!(twice, TermsGradients::zeros(&sum));
    }

    #[test]
    fn wrong_shapes_are_named_and_change_nothing() {
        let sum = KronTerms::from(kron_of::<f64>(2, 3, 4, 1));
        let other = KronTerms::from(kron_of::<f64>(1, 3, 8, 1));
        let (x, dy) = (matrix::<f64>(2, 3, 1), matrix::<f64>(2, 8, 2));
        let mut dx = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let before = dx.clone();
        let shape = |argument, expected, found| KronError::Shape { operation: "gradients", argument, expected, found };
        assert_eq!(sum.gradients(&dy, &dy), Err(shape("x", (2, 3), (2, 8))));
        assert_eq!(sum.gradients(&x, &x), Err(shape("dy", (2, 8), (2, 3))));
        let mut gradients = TermsGradients::zeros(&other);
        let error = sum.gradients_into(1.0, &x, &dy, &mut gradients, 0.0, &mut dx);
        assert_eq!(error, Err(shape("the gradient of a factor", (2, 3), (1, 3))));
        gradients = TermsGradients::zeros(&sum.view().plus(&sum).unwrap());
        let error = sum.gradients_into(1.0, &x, &dy, &mut gradients, 0.0, &mut dx);
        let argument = "the list of the terms' gradients";
        assert_eq!(error, Err(KronError::Length { operation: "gradients", argument, expected: 1, found: 2 }));
        let mut gradients = TermsGradients::zeros(&sum);
        let error = sum.gradients_into(1.0, &x, &dy, &mut gradients, 0.0, &mut array![[0.0]]);
        assert_eq!(error, Err(shape("dx", (2, 3), (1, 1))));
        assert_eq!((dx, gradients), (before, TermsGradients::zeros(&sum)));
    }
}
