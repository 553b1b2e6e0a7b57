//! From `f32` to `f64` and back.

use ndarray::{Array2, ArrayView2, CowArray};

use super::factor::{Factor, LowRank};
use super::factor_list::FactorList;
use super::kron::KronBase;
use crate::scalar::Scalar;

impl<T: Scalar> Factor<'_, T> {
    /// The same factor in another element type, in memory of its own. A low-rank factor stays low-rank.
    ///
    /// To `f64` this is exact. To `f32` each value is rounded to the nearest one; beyond the range it is infinite or 0.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Factor;
    /// # use ndarray::array;
    /// let single = Factor::from(array![[1.0_f64, 0.1]]).cast::<f32>();
    /// assert_eq!(single.to_dense(), array![[1.0_f32, 0.1]]);
    /// ```
    #[must_use]
    pub fn cast<U: Scalar>(&self) -> Factor<'static, U> {
        match self {
            Self::Full(matrix) => Factor::from(cast(matrix.view())),
            Self::LowRank(low) => Factor::LowRank(LowRank {
                left: CowArray::from(cast(low.left())),
                right: CowArray::from(cast(low.right())),
            }),
        }
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The same product in another element type, factor by factor as [`Factor::cast`], in memory of its own.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let double = Kron::new(array![[1.0_f32, 2.0]], array![[0.5_f32]])?.cast::<f64>();
    /// assert_eq!(double.to_dense(), array![[0.5_f64, 1.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn cast<U: Scalar>(&self) -> KronBase<L::Like<'static, U>> {
        self.map(Factor::cast)
    }
}

fn cast<T: Scalar, U: Scalar>(matrix: ArrayView2<'_, T>) -> Array2<U> {
    matrix.mapv(|value| U::from_f64_lossy(value.to_f64_exact()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::KronChain;
    use crate::test_support::cases;
    use ndarray::array;

    #[test]
    fn there_and_back_is_the_same_product() {
        for (k, _) in cases::<f32>(&[(1, 1, 1, 1), (2, 3, 5, 7)]) {
            let double = k.cast::<f64>();
            assert_eq!(double.cast::<f32>(), k);
            assert_eq!(double.parameter_count(), k.parameter_count());
            let chain = KronChain::new([k.a(), k.b(), k.a()]).unwrap();
            assert_eq!(chain.cast::<f64>().cast::<f32>(), chain);
        }
    }

    #[test]
    fn values_beyond_f32_are_infinite_or_zero() {
        let extremes = Factor::from(array![[1e200, -1e200, 1e-200, f64::NAN]]).cast::<f32>().to_dense();
        assert_eq!(extremes.slice(ndarray::s![.., ..3]), array![[f32::INFINITY, f32::NEG_INFINITY, 0.0]]);
        assert!(extremes[[0, 3]].is_nan());
    }
}
