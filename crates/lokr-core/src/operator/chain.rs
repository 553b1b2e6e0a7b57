//! Products of any number of factors, `A₁ ⊗ … ⊗ A_k`.

use ndarray::{Array2, ArrayRef2, ArrayView2, ArrayViewMut2, CowArray, Ix2};

use super::factor::Factor;
use super::kron_dense::kron_dense;
use super::plan::Plan;
use crate::contraction::{Pass, Rows, backward, forward};
use crate::error::{KronError, Result};
use crate::gemm::Blend;
use crate::memory;
use crate::scalar::Scalar;

/// The operator `A₁ ⊗ … ⊗ A_k`, held as its factors, each borrowed or owned. The first factor owns the outermost
/// index.
///
/// # Examples
/// ```
/// use lokr_core::KronChain;
/// use ndarray::array;
///
/// let flip = array![[0.0, 1.0], [1.0, 0.0]];
/// let chain = KronChain::power(&flip, 3)?; // (8, 8): reverses eight values
/// let x = array![[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]];
/// assert_eq!(chain.apply(&x)?, array![[8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]]);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Clone)]
pub struct KronChain<'a, T> {
    pub(super) factors: Vec<CowArray<'a, T, Ix2>>,
    dim: (usize, usize),
}

impl<'a, T: Scalar> KronChain<'a, T> {
    /// The product of the factors, in order, each from whatever a [`Factor`] is made of. No factor at all is the same
    /// as the one factor `[[1]]`. A chain holds full matrices: a low-rank factor is multiplied out.
    ///
    /// # Errors
    /// [`KronError::EmptyFactor`] for a factor without rows or columns, [`KronError::TooLarge`] when a size of the
    /// product overflows.
    /// # Examples
    /// ```
    /// # use lokr_core::{Factor, KronChain};
    /// # use ndarray::array;
    /// let borrowed = array![[0.0, 1.0], [1.0, 0.0]];
    /// let owned = array![[2.0]];
    /// let chain = KronChain::new([Factor::from(&borrowed), Factor::from(owned), Factor::from(&borrowed)])?;
    /// assert_eq!(chain.apply(&array![[1.0, 2.0, 3.0, 4.0]])?, array![[8.0, 6.0, 4.0, 2.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn new<F: Into<Factor<'a, T>>>(factors: impl IntoIterator<Item = F>) -> Result<Self> {
        let mut factors: Vec<_> = factors.into_iter().map(|factor| factor.into().into_matrix()).collect();
        if factors.is_empty() {
            factors.push(CowArray::from(Array2::ones((1, 1))));
        }
        if let Some(empty) = factors.iter().find(|f| f.is_empty()) {
            let (rows, cols) = empty.dim();
            return Err(KronError::EmptyFactor { name: "of a chain", rows, cols });
        }
        let size = |axis: fn((usize, usize)) -> usize| {
            let sizes: Vec<usize> = factors.iter().map(|f| axis(f.dim())).collect();
            KronError::checked_product("Kronecker chain", &sizes)
        };
        Ok(Self { dim: (size(|d| d.0)?, size(|d| d.1)?), factors })
    }

    /// The Kronecker power `A ⊗ … ⊗ A` of `exponent` factors.
    ///
    /// # Errors
    /// As [`KronChain::new`].
    pub fn power(a: &'a ArrayRef2<T>, exponent: usize) -> Result<Self> {
        Self::new(std::iter::repeat_n(a.view(), exponent))
    }

    /// The factors, the outermost first.
    pub fn factors(&self) -> impl ExactSizeIterator<Item = ArrayView2<'_, T>> {
        self.factors.iter().map(|f| f.view())
    }

    /// The factors, the outermost first, writable; their shapes stay. Borrowed ones are copied first.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let mut chain = KronChain::new([array![[1.0, 2.0]], array![[3.0]]])?;
    /// chain.parts_mut().for_each(|mut part| part *= 2.0);
    /// assert_eq!(chain.to_dense()?, array![[12.0, 24.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn parts_mut(&mut self) -> impl ExactSizeIterator<Item = ArrayViewMut2<'_, T>> {
        self.factors.iter_mut().map(|f| f.view_mut())
    }

    /// The factors back, the outermost first, as they came in: what was owned stays owned, what was borrowed stays
    /// borrowed. Nothing is copied.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let factors = [array![[1.0, 2.0]], array![[3.0]]];
    /// let parts = KronChain::new(factors.clone())?.into_parts();
    /// assert!(parts.into_iter().map(|factor| factor.into_dense()).eq(factors));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn into_parts(self) -> Vec<Factor<'a, T>> {
        self.factors.into_iter().map(Factor::Full).collect()
    }

    /// The same operator, borrowed from this one.
    #[must_use]
    pub fn view(&self) -> KronChain<'_, T> {
        KronChain { factors: self.factors().map(CowArray::from).collect(), dim: self.dim }
    }

    /// The same operator with factors of its own, free of the borrow.
    #[must_use]
    pub fn into_owned(self) -> KronChain<'static, T> {
        let factors = self.factors.into_iter().map(|f| CowArray::from(f.into_owned())).collect();
        KronChain { factors, dim: self.dim }
    }

    /// The chain of other matrices of the same shapes.
    pub(super) fn map<U: Scalar>(&self, matrix: impl Fn(ArrayView2<'_, T>) -> Array2<U>) -> KronChain<'static, U> {
        KronChain { factors: self.factors().map(|f| CowArray::from(matrix(f))).collect(), dim: self.dim }
    }

    /// Shape of the product.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        self.dim
    }

    /// The transpose, `A₁ᵀ ⊗ … ⊗ A_kᵀ`, borrowed from this one.
    #[must_use]
    pub fn transposed(&self) -> KronChain<'_, T> {
        let factors = self.factors.iter().map(|f| CowArray::from(f.t())).collect();
        KronChain { factors, dim: (self.dim.1, self.dim.0) }
    }

    /// One element: the product of one element of every factor.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`].
    pub fn element(&self, row: usize, col: usize) -> Result<T> {
        if row >= self.dim.0 || col >= self.dim.1 {
            return Err(KronError::OutOfBounds { operation: "element", row, col, shape: self.dim });
        }
        let (mut row, mut col, mut value) = (row, col, T::one());
        for factor in self.factors.iter().rev() {
            let (rows, cols) = factor.dim();
            value *= factor[[row % rows, col % cols]];
            (row, col) = (row / rows, col / cols);
        }
        Ok(value)
    }

    /// The whole product as a matrix.
    ///
    /// # Errors
    /// [`KronError::TooLarge`] when its elements or bytes are more than addresses; [`KronError::OutOfMemory`].
    /// # Examples
    /// ```
    /// # use lokr_core::{KronChain, KronError};
    /// # use ndarray::array;
    /// let half = array![[0.5, 0.5], [0.5, 0.5]];
    /// assert_eq!(KronChain::power(&half, 2)?.to_dense()?[[3, 0]], 0.25);
    /// let mixed = KronChain::power(&half, 40)?; // applied without being formed; 2⁸⁰ values are too many to form
    /// assert!(matches!(mixed.to_dense(), Err(KronError::TooLarge { .. })));
    /// # Ok::<(), KronError>(())
    /// ```
    pub fn to_dense(&self) -> Result<Array2<T>> {
        // Before the first of the products, which become larger and larger.
        KronError::checked_product("to_dense", &[self.dim.0, self.dim.1, size_of::<T>()])?;
        let mut dense = Array2::ones((1, 1));
        for factor in &self.factors {
            dense = kron_dense(&dense, factor)?;
        }
        Ok(dense)
    }

    /// Applies the product to every row of `x`: `Y = X·(A₁ ⊗ … ⊗ A_k)ᵀ`, contracting one axis at a time.
    ///
    /// # Shapes
    /// With factors `(m_i, n_i)`: `x` is `batch × Π n_i`, any strides; the result is `batch × Π m_i`.
    /// # Cost
    /// Contracting axis `i` when the row holds `S` values takes `2·S·m_i` flops and leaves `S·m_i/n_i` values; the
    /// axes are taken in ascending order of `1/n_i − 1/m_i`, which is the cheapest order.
    /// # Errors
    /// [`KronError::Shape`]; [`KronError::TooLarge`] and [`KronError::OutOfMemory`] for a result that memory does not
    /// hold.
    pub fn apply(&self, x: &ArrayRef2<T>) -> Result<Array2<T>> {
        KronError::check_shape("apply", "x", (x.nrows(), self.dim.1), x.dim())?;
        let mut y = memory::zeros("apply", (x.nrows(), self.dim.0))?;
        self.apply_into(T::one(), x, T::zero(), &mut y)?;
        Ok(y)
    }

    /// `Y ← α·X·(A₁ ⊗ … ⊗ A_k)ᵀ + β·Y`. With `beta = 0`, `y` may hold anything; with `alpha = 0`, so may
    /// `x` and the factors.
    ///
    /// # Errors
    /// [`KronError::Shape`]; `y` is then untouched.
    pub fn apply_into(&self, alpha: T, x: &ArrayRef2<T>, beta: T, y: &mut ArrayRef2<T>) -> Result<()> {
        KronError::check_shape("apply", "x", (x.nrows(), self.dim.1), x.dim())?;
        KronError::check_shape("apply", "y", (x.nrows(), self.dim.0), y.dim())?;
        if x.nrows() == 0 {
            return Ok(());
        }
        let plan = Plan::for_matrices(self.factors(), x.nrows(), Pass::Forward);
        forward(&plan.steps(), Blend { alpha, beta }, x, y);
        Ok(())
    }

    /// Gradients of every factor and of the input, from the gradient `dy` of the output.
    ///
    /// # Shapes
    /// `x`: `batch × Π n_i`; `dy`: `batch × Π m_i`. Result: one matrix per factor, in their order and shapes, and
    /// `dx`, `batch × Π n_i`.
    /// # Cost
    /// About three times [`KronChain::apply`].
    /// # Errors
    /// [`KronError::Shape`].
    pub fn gradients(&self, x: &ArrayRef2<T>, dy: &ArrayRef2<T>) -> Result<(Vec<Array2<T>>, Array2<T>)> {
        KronError::check_shape("gradients", "x", (x.nrows(), self.dim.1), x.dim())?;
        KronError::check_shape("gradients", "dy", (x.nrows(), self.dim.0), dy.dim())?;
        let mut gradients: Vec<Array2<T>> = self.factors.iter().map(|f| Array2::zeros(f.dim())).collect();
        let mut dx = memory::zeros("gradients", x.dim())?;
        if x.nrows() == 0 {
            return Ok((gradients, dx));
        }
        let plan = Plan::for_matrices(self.factors(), x.nrows(), Pass::Backward);
        let mut slots: Vec<_> = gradients.iter_mut().map(|g| Some(g.view_mut())).collect();
        let mut ordered: Vec<_> = plan.sequence.iter().filter_map(|c| slots[c.axis].take()).collect();
        let batch = Rows { x: x.view(), dy: dy.view(), dx: dx.view_mut() };
        backward(&plan.steps(), Blend::overwrite(), batch, &mut ordered);
        Ok((gradients, dx))
    }
}
