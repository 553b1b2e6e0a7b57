//! Rows, columns, and whether they are as many.

use super::factor::Factor;
use super::factor_list::FactorList;
use super::kron::KronBase;
use crate::scalar::Scalar;

impl<T: Scalar> Factor<'_, T> {
    /// Rows of the matrix this factor stands for.
    #[must_use]
    pub fn nrows(&self) -> usize {
        self.dim().0
    }

    /// Columns of the matrix this factor stands for.
    #[must_use]
    pub fn ncols(&self) -> usize {
        self.dim().1
    }

    /// Whether it has as many rows as columns.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Factor;
    /// # use ndarray::array;
    /// let b = Factor::low_rank(array![[1.0], [2.0]], array![[3.0, 4.0]])?; // (2, 1)·(1, 2)
    /// assert_eq!((b.nrows(), b.ncols(), b.is_square()), (2, 2, true));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn is_square(&self) -> bool {
        self.nrows() == self.ncols()
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// Rows of the product.
    #[must_use]
    pub fn nrows(&self) -> usize {
        self.dim().0
    }

    /// Columns of the product.
    #[must_use]
    pub fn ncols(&self) -> usize {
        self.dim().1
    }

    /// Whether the product has as many rows as columns; its factors need not.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let a = array![[1.0, 2.0]];
    /// let chain = KronChain::power(&a, 3)?;
    /// assert_eq!((chain.nrows(), chain.ncols(), chain.is_square()), (1, 8, false));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn is_square(&self) -> bool {
        self.nrows() == self.ncols()
    }
}
