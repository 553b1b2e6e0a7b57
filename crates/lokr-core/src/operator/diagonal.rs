//! The diagonal of a product, from the factors.

use ndarray::Array1;

use super::factor::Factor;
use super::factor_list::FactorList;
use super::kron::KronBase;
use super::outer::outer;
use crate::error::{KronError, Result};
use crate::scalar::Scalar;

impl<T: Scalar> Factor<'_, T> {
    /// The diagonal, as many values as the smaller side; `2·r` flops for each when low-rank.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Factor;
    /// # use ndarray::array;
    /// let b = Factor::low_rank(array![[1.0], [2.0]], array![[3.0, 4.0]])?; // [[3, 4], [6, 8]]
    /// assert_eq!(b.diag(), array![3.0, 8.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn diag(&self) -> Array1<T> {
        match self {
            Self::Full(matrix) => matrix.diag().to_owned(),
            Self::LowRank(low) => {
                let size = self.nrows().min(self.ncols());
                Array1::from_shape_fn(size, |i| low.left.row(i).dot(&low.right.column(i)))
            }
        }
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The diagonal of the product, as many values as its smaller side. Where the factors are square it is the product
    /// of their diagonals.
    ///
    /// # Cost
    /// Little more than one multiplication for each value; one for each factor where one of them is not square.
    /// # Errors
    /// [`KronError::TooLarge`] when the memory is refused.
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let a = array![[1.0, 2.0], [3.0, 4.0]];
    /// let chain = KronChain::power(&a, 2)?;
    /// assert_eq!(chain.diag()?, array![1.0, 4.0, 4.0, 16.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn diag(&self) -> Result<Array1<T>> {
        if self.factors().iter().all(Factor::is_square) {
            let diagonals: Vec<_> = self.factors().iter().map(Factor::diag).collect();
            return outer("diag", diagonals.iter().map(|diagonal| diagonal.view()));
        }
        let full = self.map(|factor| Factor::from(factor.dense()));
        walk(self.dim, |i| full.element(i, i))
    }
}

/// A diagonal element by element.
fn walk<T: Scalar>(shape: (usize, usize), element: impl Fn(usize) -> Result<T>) -> Result<Array1<T>> {
    let size = shape.0.min(shape.1);
    let mut values = Vec::new();
    let refused = |_| KronError::TooLarge { operation: "diag", sizes: vec![size] };
    values.try_reserve_exact(size).map_err(refused)?;
    for i in 0..size {
        values.push(element(i)?);
    }
    Ok(Array1::from_vec(values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{cases, chains, close};
    use lokr_testing::matrix;
    use ndarray::Array2;

    fn agree_with_the_dense_product<T: Scalar>(scales: [f64; 3]) {
        for scale in scales.map(T::from_f64_lossy) {
            let same = |found: Array1<T>, dense: &Array2<T>| {
                assert_eq!(found.len(), dense.diag().len());
                found.iter().zip(dense.diag()).for_each(|(&found, &expected)| close(found / scale, expected, T::one()));
            };
            for (k, dense) in cases::<T>(&[(1, 1, 1, 1), (3, 3, 5, 5), (2, 3, 5, 7), (7, 1, 2, 3), (2, 3, 3, 2)]) {
                same((&k * scale).diag().unwrap(), &dense);
                let a = k.a().to_dense();
                k.a().diag().iter().zip(a.diag()).for_each(|(&found, &expected)| close(found, expected, T::one()));
            }
            for (chain, dense) in chains::<T>() {
                same((&chain * scale).diag().unwrap(), &dense);
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_product_at_every_scale() {
        agree_with_the_dense_product::<f32>([1.0, 1e-30, 1e30]);
        agree_with_the_dense_product::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn a_low_rank_factor_of_inner_size_zero_has_a_diagonal_of_zeros() {
        let none = Factor::low_rank(Array2::<f64>::zeros((2, 0)), Array2::zeros((0, 2))).unwrap();
        assert_eq!(none.diag(), Array1::zeros(2));
        assert_eq!(Kron::new(matrix(3, 3, 1), none).unwrap().diag(), Ok(Array1::zeros(6)));
    }

    #[test]
    fn many_factors_have_no_memory_for_a_diagonal() {
        let a = ndarray::array![[0.5, 7.0], [7.0, 0.5]];
        let chain = KronChain::power(&a, 60).unwrap();
        assert!(matches!(chain.diag(), Err(KronError::TooLarge { operation: "diag", .. })));
    }
}
