//! The sum itself: what it is made of.

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::error::{KronError, Result};
use crate::operator::Kron;
use crate::scalar::Scalar;

/// The operator `Σ wₜ·(Aₜ ⊗ Bₜ)`, held as weights and products, which are borrowed or owned, of full or low-rank
/// factors. The sum is formed only where a method says so.
///
/// All products have the same shape as matrices; each may split it between its factors in a way of its own. There is at
/// least one.
///
/// # Examples
/// ```
/// use lokr_core::{Kron, KronTerms};
/// use ndarray::array;
///
/// let k = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?; // [[3, 6], [4, 8]]
/// let identity = Kron::new(array![[1.0]], array![[1.0, 0.0], [0.0, 1.0]])?; // split otherwise
/// let sum = KronTerms::new([(1.0, k.view()), (-3.0, identity.view())])?; // [[0, 6], [4, 5]]
/// assert_eq!(sum.apply(&array![[1.0, 10.0]])?, array![[60.0, 54.0]]);
/// assert_eq!(sum.to_dense(), (&k - &identity * 3.0)?.to_dense());
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Clone)]
pub struct KronTerms<'a, T> {
    pub(super) weights: Vec<T>,
    pub(super) terms: Vec<Kron<'a, T>>,
    dim: (usize, usize),
}

/// The product with the weight 1.
impl<'a, T: Scalar> From<Kron<'a, T>> for KronTerms<'a, T> {
    fn from(kron: Kron<'a, T>) -> Self {
        Self { weights: vec![T::one()], dim: kron.dim(), terms: vec![kron] }
    }
}

/// The product, borrowed, with the weight 1.
impl<'k, T: Scalar> From<&'k Kron<'_, T>> for KronTerms<'k, T> {
    fn from(kron: &'k Kron<'_, T>) -> Self {
        Self::from(kron.view())
    }
}

/// The sum, borrowed.
impl<'k, T: Scalar> From<&'k KronTerms<'_, T>> for KronTerms<'k, T> {
    fn from(terms: &'k KronTerms<'_, T>) -> Self {
        terms.view()
    }
}

impl<'a, T: Scalar> KronTerms<'a, T> {
    /// The sum of products, each with its weight. Nothing is computed or copied.
    ///
    /// # Errors
    /// [`KronError::ZeroSize`] without any term; [`KronError::Shape`] when a product has another shape than the first.
    pub fn new(terms: impl IntoIterator<Item = (T, Kron<'a, T>)>) -> Result<Self> {
        let mut terms = terms.into_iter();
        let Some((weight, first)) = terms.next() else {
            return Err(KronError::ZeroSize { operation: "KronTerms::new", name: "the number of terms" });
        };
        let mut sum = Self { weights: vec![weight], dim: first.dim(), terms: vec![first] };
        for (weight, term) in terms {
            KronError::check_shape("KronTerms::new", "a term", sum.dim, term.dim())?;
            sum.weights.push(weight);
            sum.terms.push(term);
        }
        Ok(sum)
    }

    /// Adds one more term.
    ///
    /// # Errors
    /// [`KronError::Shape`] when it has another shape than the others; the sum is then as it was.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let mut sum = KronTerms::from(Kron::new(array![[1.0, 2.0]], array![[3.0]])?);
    /// sum.push(0.5, Kron::new(array![[2.0]], array![[0.0, 1.0]])?)?;
    /// assert_eq!(sum.to_dense(), array![[3.0, 7.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn push(&mut self, weight: T, term: Kron<'a, T>) -> Result<()> {
        KronError::check_shape("push", "term", self.dim, term.dim())?;
        self.weights.push(weight);
        self.terms.push(term);
        Ok(())
    }

    /// The products, without their weights.
    #[must_use]
    pub fn terms(&self) -> &[Kron<'a, T>] {
        &self.terms
    }

    /// The weights of the products.
    #[must_use]
    pub fn weights(&self) -> &[T] {
        &self.weights
    }

    /// The weights, writable.
    pub fn weights_mut(&mut self) -> &mut [T] {
        &mut self.weights
    }

    /// The stored matrices of the first product, as [`Kron::parts`] lists them, then those of the next.
    pub fn parts(&self) -> impl Iterator<Item = ArrayView2<'_, T>> {
        self.terms.iter().flat_map(Kron::parts)
    }

    /// The stored matrices in the order of [`KronTerms::parts`], writable; their shapes stay. Borrowed ones are copied
    /// first.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0]], array![[3.0]])?;
    /// let mut sum = KronTerms::new([(1.0, k.view()), (10.0, k.view())])?;
    /// sum.parts_mut().for_each(|mut part| part += 1.0);
    /// sum.weights_mut()[1] = 0.5;
    /// assert_eq!(sum.to_dense(), array![[8.0 + 4.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn parts_mut(&mut self) -> impl Iterator<Item = ArrayViewMut2<'_, T>> {
        self.terms.iter_mut().flat_map(Kron::parts_mut)
    }

    /// Weights and products back, as they came in: what was owned stays owned, what was borrowed stays borrowed.
    #[must_use]
    pub fn into_parts(self) -> Vec<(T, Kron<'a, T>)> {
        self.weights.into_iter().zip(self.terms).collect()
    }

    /// Shape of the sum, that of each product.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        self.dim
    }

    /// Rows of the sum.
    #[must_use]
    pub fn nrows(&self) -> usize {
        self.dim.0
    }

    /// Columns of the sum.
    #[must_use]
    pub fn ncols(&self) -> usize {
        self.dim.1
    }

    /// Whether it has as many rows as columns; the factors need not.
    #[must_use]
    pub fn is_square(&self) -> bool {
        self.nrows() == self.ncols()
    }

    /// Values held: those of the factors, and the weights.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.weights.len() + self.terms.iter().map(Kron::parameter_count).sum::<usize>()
    }

    /// The same sum, borrowed from this one.
    #[must_use]
    pub fn view(&self) -> KronTerms<'_, T> {
        KronTerms { weights: self.weights.clone(), terms: self.terms.iter().map(Kron::view).collect(), dim: self.dim }
    }

    /// The same sum with factors of its own, free of the borrow.
    #[must_use]
    pub fn into_owned(self) -> KronTerms<'static, T> {
        let terms = self.terms.into_iter().map(Kron::into_owned).collect();
        KronTerms { weights: self.weights, terms, dim: self.dim }
    }

    /// The transpose, `Σ wₜ·(Aₜᵀ ⊗ Bₜᵀ)`, borrowed from this one.
    #[must_use]
    pub fn transposed(&self) -> KronTerms<'_, T> {
        let terms = self.terms.iter().map(Kron::transposed).collect();
        KronTerms { weights: self.weights.clone(), terms, dim: (self.dim.1, self.dim.0) }
    }

    /// The same sum in another element type, in memory of its own: every factor as by [`Factor::cast`], and the weights
    /// likewise.
    ///
    /// [`Factor::cast`]: crate::Factor::cast
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let sum = KronTerms::new([(2.0_f32, Kron::new(array![[1.0]], array![[0.5]])?)])?;
    /// assert_eq!(sum.cast::<f64>().to_dense(), array![[1.0_f64]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn cast<U: Scalar>(&self) -> KronTerms<'static, U> {
        KronTerms {
            weights: self.weights.iter().map(|weight| U::from_f64_lossy(weight.to_f64_exact())).collect(),
            terms: self.terms.iter().map(Kron::cast).collect(),
            dim: self.dim,
        }
    }

    /// The first product: there is always one.
    pub(super) fn first(&self) -> &Kron<'a, T> {
        &self.terms[0]
    }

    /// How many samples of this shape every product can be applied to: fields may fit some and others not.
    pub(super) fn count_inputs(
        &self,
        operation: &'static str,
        argument: &'static str,
        shape: &[usize],
        batch: Option<usize>,
    ) -> Result<usize> {
        self.terms.iter().try_fold(0, |_, term| term.inputs(operation, argument).count(shape, batch))
    }

    /// The same for what comes out of every product.
    pub(super) fn count_outputs(
        &self,
        operation: &'static str,
        argument: &'static str,
        shape: &[usize],
        batch: Option<usize>,
    ) -> Result<usize> {
        self.terms.iter().try_fold(0, |_, term| term.outputs(operation, argument).count(shape, batch))
    }

    /// The sum of other weights and products of the same shape.
    pub(super) fn map(mut self, term: impl Fn(T, Kron<'a, T>) -> (T, Kron<'a, T>)) -> Self {
        (self.weights, self.terms) = self.weights.into_iter().zip(self.terms).map(|(w, k)| term(w, k)).unzip();
        self
    }

    /// Weights with their products.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (T, &Kron<'a, T>)> {
        self.weights.iter().copied().zip(&self.terms)
    }

    /// The products `wₜ·Aₜ ⊗ Bₜ`: a weight other than one is multiplied into the smallest stored matrix that can take
    /// it, so that no product leaves the range of the type on the way because of it.
    pub(super) fn weighted(&self) -> impl Iterator<Item = Kron<'_, T>> {
        self.pairs().map(|(weight, term)| if weight == T::one() { term.view() } else { term.scaled(weight) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::test_sums::{close_to, sums};
    use lokr_testing::matrix;

    #[test]
    fn shapes_that_differ_and_no_terms_at_all_are_errors() {
        let kron = |m, n, p, q| Kron::<f64>::new(matrix(m, n, 1), matrix(p, q, 2)).unwrap();
        let operation = "KronTerms::new";
        let none = KronTerms::<f64>::new([]);
        assert_eq!(none, Err(KronError::ZeroSize { operation, name: "the number of terms" }));
        let shape = |operation, argument| KronError::Shape { operation, argument, expected: (6, 4), found: (6, 6) };
        let found = KronTerms::new([(1.0, kron(2, 2, 3, 2)), (1.0, kron(3, 1, 2, 4)), (1.0, kron(6, 3, 1, 2))]);
        assert_eq!(found, Err(shape(operation, "a term")));
        let mut sum = KronTerms::from(kron(2, 2, 3, 2));
        assert_eq!(sum.push(1.0, kron(6, 3, 1, 2)), Err(shape("push", "term")));
        assert_eq!(sum, KronTerms::from(kron(2, 2, 3, 2)));
    }

    fn parts_and_shapes<T: Scalar>() {
        for (sum, dense) in sums::<T>() {
            assert_eq!((sum.dim(), (sum.nrows(), sum.ncols())), (dense.dim(), dense.dim()));
            assert_eq!(sum.is_square(), dense.is_square());
            assert_eq!(sum.parts().map(|part| part.len()).sum::<usize>() + sum.weights().len(), sum.parameter_count());
            assert_eq!(sum.view(), sum);
            close_to(&sum.transposed().to_dense(), &dense.t());
            assert_eq!(KronTerms::new(sum.clone().into_parts()), Ok(sum.clone()));
            let other: KronTerms<'static, f64> = sum.cast();
            assert_eq!(other.cast::<T>(), sum);
            let owned: KronTerms<'static, T> = sum.view().into_owned();
            assert_eq!(owned, sum);
            assert_eq!(sum.pairs().count(), sum.terms().len());
        }
    }

    #[test]
    fn parts_and_shapes_in_f32_and_f64() {
        parts_and_shapes::<f32>();
        parts_and_shapes::<f64>();
    }
}
