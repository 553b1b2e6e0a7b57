//! Products of any number of factors, `A₁ ⊗ … ⊗ A_k`.

use ndarray::{Array2, ArrayRef2};

use super::factor::Factor;
use super::factor_list::FactorList;
use super::kron::{Kron, KronBase};
use crate::error::Result;
use crate::scalar::Scalar;

/// The operator `A₁ ⊗ … ⊗ A_k`, held as its factors, each borrowed or owned, full or low-rank. The first factor owns
/// the outermost index.
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
pub type KronChain<'a, T> = KronBase<Vec<Factor<'a, T>>>;

/// What a list that a chain is made of may hold: factors, from whatever a [`Factor`] is made of, and products, whose
/// factors take their place.
pub trait IntoFactors<'a, T: Scalar> {
    /// The factors, the outermost first.
    fn into_factors(self) -> impl Iterator<Item = Factor<'a, T>>;
}

impl<'a, T: Scalar, F: Into<Factor<'a, T>>> IntoFactors<'a, T> for F {
    fn into_factors(self) -> impl Iterator<Item = Factor<'a, T>> {
        std::iter::once(self.into())
    }
}

impl<'a, T: Scalar, L: FactorList<Elem = T> + IntoIterator<Item = Factor<'a, T>>> IntoFactors<'a, T> for KronBase<L> {
    fn into_factors(self) -> impl Iterator<Item = Factor<'a, T>> {
        self.factors.into_iter()
    }
}

/// The same two factors.
impl<'a, T: Scalar> From<Kron<'a, T>> for KronChain<'a, T> {
    fn from(kron: Kron<'a, T>) -> Self {
        Self { dim: kron.dim, factors: kron.factors.into() }
    }
}

impl<'a, T: Scalar> KronChain<'a, T> {
    /// The product of the factors, in order, each from whatever a [`Factor`] is made of; of a [`Kron`] or another chain
    /// all the factors. No factor at all is the same as the one factor `[[1]]`.
    ///
    /// # Errors
    /// [`KronError::EmptyFactor`](crate::KronError::EmptyFactor) for a factor without rows or columns,
    /// [`KronError::TooLarge`](crate::KronError::TooLarge) when a size of the product overflows.
    /// # Examples
    /// ```
    /// # use lokr_core::{Factor, Kron, KronChain};
    /// # use ndarray::array;
    /// let borrowed = array![[0.0, 1.0], [1.0, 0.0]];
    /// let owned = array![[2.0]];
    /// let chain = KronChain::new([Factor::from(&borrowed), Factor::from(owned), Factor::from(&borrowed)])?;
    /// assert_eq!(chain.apply(&array![[1.0, 2.0, 3.0, 4.0]])?, array![[8.0, 6.0, 4.0, 2.0]]);
    ///
    /// let pair = Kron::new(&borrowed, &borrowed)?;
    /// assert_eq!(KronChain::new([pair.view(), pair.view()])?, KronChain::power(&borrowed, 4)?);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn new<F: IntoFactors<'a, T>>(factors: impl IntoIterator<Item = F>) -> Result<Self> {
        let mut factors: Vec<_> = factors.into_iter().flat_map(F::into_factors).collect();
        if factors.is_empty() {
            factors.push(Factor::from(Array2::ones((1, 1))));
        }
        Self::of(factors)
    }

    /// The Kronecker power `A ⊗ … ⊗ A` of `exponent` factors.
    ///
    /// # Errors
    /// As [`KronChain::new`].
    pub fn power(a: &'a ArrayRef2<T>, exponent: usize) -> Result<Self> {
        Self::new(std::iter::repeat_n(a.view(), exponent))
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
        self.factors
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The Kronecker product with another operator or factor: a chain of the factors of both, borrowed from this one.
    ///
    /// # Errors
    /// As [`KronChain::new`].
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronChain};
    /// # use ndarray::array;
    /// let a = array![[1.0, 2.0]];
    /// let k = Kron::new(&a, &a)?;
    /// assert_eq!(k.kron(&a)?, KronChain::power(&a, 3)?);
    /// assert_eq!(k.kron(k.view())?, KronChain::power(&a, 4)?);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn kron<'k>(&'k self, other: impl IntoFactors<'k, T>) -> Result<KronChain<'k, T>> {
        KronChain::new(self.factors().iter().map(Factor::view).chain(other.into_factors()))
    }
}
