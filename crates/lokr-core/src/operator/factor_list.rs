//! How many factors: two, known to the compiler, or any number.

use ndarray::ArrayViewMut2;

use super::factor::Factor;
use crate::error::KronError;
use crate::scalar::Scalar;
use crate::shape::KronShape;

/// What a [`KronBase`](super::KronBase) holds its factors in: an array of two, without memory of its own, or a `Vec` of
/// any number.
///
/// It stands to `KronBase` as `ndarray`'s storage to `ArrayBase`: users name [`Kron`](super::Kron) and
/// [`KronChain`](super::KronChain), and need it only to write a function for both. No other type implements it.
///
/// # Examples
/// ```
/// use lokr_core::operator::{FactorList, KronBase};
/// use lokr_core::{Kron, KronChain};
/// use ndarray::array;
///
/// fn largest_factor<L: FactorList>(k: &KronBase<L>) -> usize {
///     k.factors().iter().map(|factor| factor.parameter_count()).max().unwrap_or(0)
/// }
///
/// let a = array![[1.0, 2.0]];
/// assert_eq!(largest_factor(&Kron::new(&a, array![[3.0]])?), 2);
/// assert_eq!(largest_factor(&KronChain::power(&a, 5)?), 2);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
pub trait FactorList: Clone + sealed::Sealed {
    /// Type of the elements.
    type Elem: Scalar;
    /// The same number of factors, of other elements or borrowed elsewhere.
    type Like<'b, U: Scalar>: FactorList<Elem = U>;

    /// The type's name, as it is printed.
    #[doc(hidden)]
    const TYPE: &'static str;
    /// The whole product in formulas and messages.
    #[doc(hidden)]
    const PRODUCT: &'static str;
    /// The product with a multiple of the identity added.
    #[doc(hidden)]
    const SHIFTED: &'static str;

    /// The shape of the product of as many factors of these shapes, if none is empty and the product not too large.
    #[doc(hidden)]
    fn checked_dim(shapes: &[(usize, usize)]) -> Result<(usize, usize), KronError>;

    /// The factors, the outermost first.
    fn as_slice(&self) -> &[Factor<'_, Self::Elem>];

    /// The name of a factor in messages.
    #[doc(hidden)]
    fn name(index: usize) -> &'static str;

    /// The factors in memory of their own.
    fn into_owned(self) -> Self::Like<'static, Self::Elem>;

    /// As many factors, each made from its place and the one there, unless one fails.
    #[doc(hidden)]
    fn try_map<'s, 'b, U: Scalar, E>(
        &'s self,
        factor: impl FnMut(usize, &'s Factor<'s, Self::Elem>) -> Result<Factor<'b, U>, E>,
    ) -> Result<Self::Like<'b, U>, E>;

    /// Hands the factors out to be replaced by others of the same shapes.
    #[doc(hidden)]
    fn change<R>(&mut self, change: impl for<'x> FnOnce(&mut [Factor<'x, Self::Elem>]) -> R) -> R;

    /// The stored matrices of all factors, writable. Borrowed ones are copied first.
    fn parts_mut(&mut self) -> impl Iterator<Item = ArrayViewMut2<'_, Self::Elem>>;
}

impl<'a, T: Scalar> FactorList for [Factor<'a, T>; 2] {
    type Elem = T;
    type Like<'b, U: Scalar> = [Factor<'b, U>; 2];

    const TYPE: &'static str = "Kron";
    const PRODUCT: &'static str = "A ⊗ B";
    const SHIFTED: &'static str = "A ⊗ B + c·I";

    fn checked_dim(shapes: &[(usize, usize)]) -> Result<(usize, usize), KronError> {
        let ((m, n), (p, q)) = (shapes[0], shapes[1]);
        Ok(KronShape::new(m, n, p, q)?.dim())
    }

    fn as_slice(&self) -> &[Factor<'_, T>] {
        self
    }

    fn name(index: usize) -> &'static str {
        if index == 0 { "A" } else { "B" }
    }

    fn into_owned(self) -> [Factor<'static, T>; 2] {
        self.map(Factor::into_owned)
    }

    fn try_map<'s, 'b, U: Scalar, E>(
        &'s self,
        mut factor: impl FnMut(usize, &'s Factor<'s, T>) -> Result<Factor<'b, U>, E>,
    ) -> Result<[Factor<'b, U>; 2], E> {
        let [a, b] = self;
        Ok([factor(0, a)?, factor(1, b)?])
    }

    fn change<R>(&mut self, change: impl for<'x> FnOnce(&mut [Factor<'x, T>]) -> R) -> R {
        change(self)
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = ArrayViewMut2<'_, T>> {
        self.iter_mut().flat_map(Factor::parts_mut)
    }
}

impl<'a, T: Scalar> FactorList for Vec<Factor<'a, T>> {
    type Elem = T;
    type Like<'b, U: Scalar> = Vec<Factor<'b, U>>;

    const TYPE: &'static str = "KronChain";
    const PRODUCT: &'static str = "A₁ ⊗ … ⊗ A_k";
    const SHIFTED: &'static str = "A₁ ⊗ … ⊗ A_k + c·I";

    fn checked_dim(shapes: &[(usize, usize)]) -> Result<(usize, usize), KronError> {
        for (index, &(rows, cols)) in shapes.iter().enumerate() {
            if rows == 0 || cols == 0 {
                return Err(KronError::EmptyFactor { name: Self::name(index), rows, cols });
            }
        }
        let (rows, cols): (Vec<_>, Vec<_>) = shapes.iter().copied().unzip();
        let size = |sizes: &[usize]| KronError::checked_product("Kronecker chain", sizes);
        Ok((size(&rows)?, size(&cols)?))
    }

    fn as_slice(&self) -> &[Factor<'_, T>] {
        self
    }

    fn name(index: usize) -> &'static str {
        NAMES.get(index).copied().unwrap_or("one of the later factors")
    }

    fn into_owned(self) -> Vec<Factor<'static, T>> {
        self.into_iter().map(Factor::into_owned).collect()
    }

    fn try_map<'s, 'b, U: Scalar, E>(
        &'s self,
        mut factor: impl FnMut(usize, &'s Factor<'s, T>) -> Result<Factor<'b, U>, E>,
    ) -> Result<Vec<Factor<'b, U>>, E> {
        self.iter().enumerate().map(|(index, of)| factor(index, of)).collect()
    }

    fn change<R>(&mut self, change: impl for<'x> FnOnce(&mut [Factor<'x, T>]) -> R) -> R {
        change(self)
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = ArrayViewMut2<'_, T>> {
        self.iter_mut().flat_map(Factor::parts_mut)
    }
}

/// More factors than these have a side of one, or the product a side that is no number.
#[rustfmt::skip]
const NAMES: [&str; 64] = [
    "A₁", "A₂", "A₃", "A₄", "A₅", "A₆", "A₇", "A₈", "A₉", "A₁₀", "A₁₁", "A₁₂", "A₁₃", "A₁₄", "A₁₅", "A₁₆",
    "A₁₇", "A₁₈", "A₁₉", "A₂₀", "A₂₁", "A₂₂", "A₂₃", "A₂₄", "A₂₅", "A₂₆", "A₂₇", "A₂₈", "A₂₉", "A₃₀", "A₃₁", "A₃₂",
    "A₃₃", "A₃₄", "A₃₅", "A₃₆", "A₃₇", "A₃₈", "A₃₉", "A₄₀", "A₄₁", "A₄₂", "A₄₃", "A₄₄", "A₄₅", "A₄₆", "A₄₇", "A₄₈",
    "A₄₉", "A₅₀", "A₅₁", "A₅₂", "A₅₃", "A₅₄", "A₅₅", "A₅₆", "A₅₇", "A₅₈", "A₅₉", "A₆₀", "A₆₁", "A₆₂", "A₆₃", "A₆₄",
];

mod sealed {
    use super::{Factor, Scalar};

    pub trait Sealed {}

    impl<T: Scalar> Sealed for [Factor<'_, T>; 2] {}
    impl<T: Scalar> Sealed for Vec<Factor<'_, T>> {}
}
