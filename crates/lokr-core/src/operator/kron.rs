//! The lazy product: factors that behave like the matrix they stand for.

use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use smallvec::SmallVec;

use super::factor::Factor;
use super::factor_list::FactorList;
use crate::error::{KronError, Result};
use crate::scalar::Scalar;
use crate::shape::KronShape;

/// A Kronecker product held as its factors. It is used under two names: [`Kron`], of two factors, and
/// [`KronChain`](super::KronChain), of any number; what both can do is written here once. `L` is what the factors are
/// held in.
///
/// The product is formed only where a method says so.
#[derive(Clone)]
pub struct KronBase<L> {
    pub(super) factors: L,
    pub(super) dim: (usize, usize),
}

/// The operator `A ⊗ B`, `(m·p, n·q)`, held as its factors `A (m, n)` and `B (p, q)`, each borrowed or owned, full or
/// low-rank. The product is formed only where a method says so.
///
/// `(A ⊗ B)[i·p + k, j·q + l] = A[i, j]·B[k, l]`: the outer index belongs to `A`.
///
/// # Examples
/// ```
/// use lokr_core::Kron;
/// use ndarray::array;
///
/// let a = array![[1.0, 2.0]]; // (1, 2)
/// let b = array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]; // (3, 2)
/// let k = Kron::new(&a, &b)?; // (3, 4)
/// let x = array![[1.0, 2.0, 3.0, 4.0]];
/// assert_eq!(k.apply(&x)?, array![[7.0, 10.0, 17.0]]); // worked by hand
/// assert_eq!(k.apply(&x)?, x.dot(&k.to_dense().t())); // the slow way
/// # Ok::<(), lokr_core::KronError>(())
/// ```
pub type Kron<'a, T> = KronBase<[Factor<'a, T>; 2]>;

impl<'a, T: Scalar> Kron<'a, T> {
    /// The product of two factors. Nothing is computed or copied.
    ///
    /// # Errors
    /// [`KronError::EmptyFactor`] for a factor without rows or columns, [`KronError::TooLarge`] when the product's
    /// element count overflows.
    pub fn new(a: impl Into<Factor<'a, T>>, b: impl Into<Factor<'a, T>>) -> Result<Self> {
        Self::of([a.into(), b.into()])
    }

    /// The first factor, `(m, n)`.
    #[must_use]
    pub fn a(&self) -> &Factor<'a, T> {
        &self.factors[0]
    }

    /// The second factor, `(p, q)`.
    #[must_use]
    pub fn b(&self) -> &Factor<'a, T> {
        &self.factors[1]
    }

    /// The two factors back, `(A, B)`, as they came in: what was owned stays owned, what was borrowed stays borrowed.
    /// Nothing is copied.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::{Factor, Kron};
    /// # use ndarray::array;
    /// let borrowed = array![[3.0], [4.0]];
    /// let (a, b) = Kron::new(array![[1.0, 2.0]], &borrowed)?.into_parts();
    /// assert_eq!((a.into_dense(), b), (array![[1.0, 2.0]], Factor::from(&borrowed)));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn into_parts(self) -> (Factor<'a, T>, Factor<'a, T>) {
        self.factors.into()
    }

    /// The four sizes.
    #[must_use]
    pub fn shape(&self) -> KronShape {
        let ((m, n), (p, q)) = (self.a().dim(), self.b().dim());
        KronShape { m, n, p, q }
    }

    /// The block `A[i, j]·B`, `(p, q)`, at block row `i` and block column `j`.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`], in units of blocks.
    pub fn block(&self, i: usize, j: usize) -> Result<Array2<T>> {
        let outside = KronError::OutOfBounds { operation: "block", row: i, col: j, shape: self.a().dim() };
        let scale = self.a().get(i, j).ok_or(outside)?;
        Ok(self.b().to_dense() * scale)
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The product of the factors of a list.
    pub(super) fn of(factors: L) -> Result<Self> {
        let shapes: SmallVec<[_; 4]> = factors.as_slice().iter().map(Factor::dim).collect();
        Ok(Self { dim: L::checked_dim(&shapes)?, factors })
    }

    /// The same product, unless its factors, made by [`KronBase::try_map`] in other shapes, are empty.
    pub(crate) fn checked(self) -> Result<Self> {
        Self::of(self.factors)
    }

    /// The factors, the outermost first.
    #[must_use]
    pub fn factors(&self) -> &[Factor<'_, T>] {
        self.factors.as_slice()
    }

    /// The stored matrices of all factors, writable; their shapes stay. Borrowed ones are copied first.
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
    pub fn parts_mut(&mut self) -> impl Iterator<Item = ArrayViewMut2<'_, T>> {
        self.factors.parts_mut()
    }

    /// The stored matrices, factor by factor: one of a full factor, the left and the right half of a low-rank one.
    pub fn parts(&self) -> impl Iterator<Item = ArrayView2<'_, T>> {
        self.factors().iter().flat_map(Factor::parts)
    }

    /// Shape of the product.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        self.dim
    }

    /// Values held by the factors.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.factors().iter().map(Factor::parameter_count).sum()
    }

    /// The same operator, borrowed from this one.
    #[must_use]
    pub fn view(&self) -> KronBase<L::Like<'_, T>> {
        self.map(Factor::view)
    }

    /// The same operator with factors of its own, free of the borrow.
    #[must_use]
    pub fn into_owned(self) -> KronBase<L::Like<'static, T>> {
        KronBase { factors: self.factors.into_owned(), dim: self.dim }
    }

    /// The transpose, `(A ⊗ B)ᵀ = Aᵀ ⊗ Bᵀ`, borrowed from this one.
    #[must_use]
    pub fn transposed(&self) -> KronBase<L::Like<'_, T>> {
        KronBase { dim: (self.dim.1, self.dim.0), ..self.map(Factor::transposed) }
    }

    /// The product of other factors of the same shapes.
    pub(crate) fn map<'s, 'b, U: Scalar>(
        &'s self,
        factor: impl Fn(&'s Factor<'s, T>) -> Factor<'b, U>,
    ) -> KronBase<L::Like<'b, U>> {
        let Ok(factors) = self.factors.try_map(|_, of| Ok::<_, std::convert::Infallible>(factor(of)));
        KronBase { factors, dim: self.dim }
    }

    /// The product of other factors, of these shapes or their transposes (`dim` is of the product), each made from its
    /// name and the one that was there.
    pub(crate) fn try_map<'s, 'b, U: Scalar>(
        &'s self,
        dim: (usize, usize),
        mut factor: impl FnMut(&'static str, &'s Factor<'s, T>) -> Result<Factor<'b, U>>,
    ) -> Result<KronBase<L::Like<'b, U>>> {
        Ok(KronBase { factors: self.factors.try_map(|index, of| factor(L::name(index), of))?, dim })
    }

    /// The factors with their names in messages.
    pub(crate) fn named(&self) -> impl DoubleEndedIterator<Item = (&'static str, &Factor<'_, T>)> + Clone {
        self.factors().iter().enumerate().map(|(index, factor)| (L::name(index), factor))
    }

    /// The shapes of the factors.
    pub(crate) fn shapes(&self) -> Vec<(usize, usize)> {
        self.factors().iter().map(Factor::dim).collect()
    }

    /// One element: the product of one element of every factor.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`].
    pub fn element(&self, row: usize, col: usize) -> Result<T> {
        let (mut i, mut j, mut value) = (row, col, T::one());
        let outside = || KronError::OutOfBounds { operation: "element", row, col, shape: self.dim };
        if row >= self.dim.0 || col >= self.dim.1 {
            return Err(outside());
        }
        for factor in self.factors().iter().rev() {
            let (rows, cols) = factor.dim();
            value *= factor.get(i % rows, j % cols).ok_or_else(outside)?;
            (i, j) = (i / rows, j / cols);
        }
        Ok(value)
    }
}
