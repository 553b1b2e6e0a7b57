//! `==`: the same factors, value by value, whoever owns them. (Products of other factors are other operators here, even
//! where the matrices are equal: `2·A ⊗ B` and `A ⊗ 2·B`.)

use super::factor::{Factor, LowRank};
use super::factor_list::FactorList;
use super::kron::KronBase;
use crate::scalar::Scalar;

/// Both are full, or both low-rank, with equal matrices.
///
/// # Examples
/// ```
/// # use lokr_core::Factor;
/// # use ndarray::array;
/// let matrix = array![[1.0, 2.0]];
/// assert_eq!(Factor::from(&matrix), Factor::from(matrix.clone()));
/// ```
impl<'b, T: PartialEq> PartialEq<Factor<'b, T>> for Factor<'_, T> {
    fn eq(&self, other: &Factor<'b, T>) -> bool {
        match (self, other) {
            (Self::Full(x), Factor::Full(y)) => x == y,
            (Self::LowRank(x), Factor::LowRank(y)) => x == y,
            _ => false,
        }
    }
}

/// The halves are equal.
impl<'b, T: PartialEq> PartialEq<LowRank<'b, T>> for LowRank<'_, T> {
    fn eq(&self, other: &LowRank<'b, T>) -> bool {
        self.left == other.left && self.right == other.right
    }
}

/// The factors are equal, and as many.
impl<T, L, M> PartialEq<KronBase<M>> for KronBase<L>
where
    T: Scalar,
    L: FactorList<Elem = T>,
    M: FactorList<Elem = T>,
{
    fn eq(&self, other: &KronBase<M>) -> bool {
        self.factors() == other.factors()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Kron, KronChain};
    use lokr_testing::matrix;

    #[test]
    fn what_is_owned_and_what_is_borrowed_are_equal() {
        let (a, b) = (matrix::<f64>(2, 3, 1), matrix::<f64>(3, 2, 2));
        let owned: Kron<'static, f64> = Kron::new(a.clone(), b.clone()).unwrap();
        assert_eq!(owned, Kron::new(&a, &b).unwrap());
        assert_ne!(owned, Kron::new(&a, &a).unwrap());
        let chain: KronChain<'static, f64> = KronChain::new([a.clone(), b.clone()]).unwrap();
        assert_eq!(chain, KronChain::new([&a, &b]).unwrap());
        assert_ne!(chain, KronChain::new([&a, &b, &a]).unwrap());
        let low = Factor::low_rank(&a, &b).unwrap();
        assert_eq!(low, Factor::low_rank(a.clone(), b.clone()).unwrap());
        assert_ne!(low, Factor::from(low.to_dense()));
    }
}
