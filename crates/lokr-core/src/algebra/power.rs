//! Matrix powers.

use ndarray::Array2;

use super::matmul::factor_product;
use super::scaled_factor::{ScaledFactor, of_factors};
use crate::error::{KronError, Result};
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The matrix power of a product of square factors, `(A ⊗ B)ⁿ = Aⁿ ⊗ Bⁿ`; the identity for `n = 0`, whatever the
    /// factors hold. (The Kronecker power `A ⊗ … ⊗ A` is [`KronChain::power`](crate::KronChain::power).)
    ///
    /// A low-rank factor stays low-rank.
    ///
    /// # Cost
    /// By repeated squaring: at most `2·log₂ n` products of every factor with a matrix of its size.
    /// # Accuracy
    /// As of [`KronBase::matmul`]: powers of the factors may leave the range of the type where the whole does not.
    /// # Errors
    /// [`KronError::NotSquare`] when a factor is not square.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 1.0], [0.0, 1.0]], array![[2.0]])?;
    /// assert_eq!(k.pow(10)?.to_dense(), array![[1024.0, 10240.0], [0.0, 1024.0]]);
    /// assert_eq!(k.pow(3)?, (&(&k * &k)? * &k)?);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn pow(&self, n: u32) -> Result<KronBase<L::Like<'static, T>>> {
        for (name, factor) in self.named() {
            KronError::check_square("pow", name, factor.dim())?;
        }
        of_factors(self, self.dim(), |_, factor| power(factor, n))
    }
}

fn power<T: Scalar>(factor: &Factor<'_, T>, n: u32) -> Result<ScaledFactor<'static, T>> {
    let mut square = ScaledFactor::new(factor.view());
    let mut power: Option<ScaledFactor<'static, T>> = None;
    for bit in 0..u32::BITS - n.leading_zeros() {
        if bit > 0 {
            square = square.combined(&square, factor_product)?;
        }
        if n >> bit & 1 == 1 {
            power = Some(match power {
                Some(power) => power.combined(&square, factor_product)?,
                None => square.to_owned(),
            });
        }
    }
    Ok(power.unwrap_or_else(|| ScaledFactor::new(Array2::eye(factor.nrows()).into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Kron, KronChain};
    use crate::test_support::{all_close, cases, close, kron_of, low_rank_chains, stretched};
    use lokr_testing::matrix;
    use ndarray::array;

    fn dense_power<T: Scalar>(dense: &Array2<T>, n: u32) -> Array2<T> {
        (0..n).fold(Array2::eye(dense.nrows()), |power, _| power.dot(dense))
    }

    fn agrees_with_the_dense_power<T: Scalar>(large: f64) {
        for (k, dense) in cases::<T>(&[(2, 2, 3, 3), (1, 1, 4, 4), (3, 3, 1, 1)]) {
            for n in 0..6 {
                let expected = dense_power(&dense, n);
                let size = expected.iter().fold(T::one(), |max, x| max.max(x.abs()));
                all_close(&k.pow(n).unwrap().to_dense(), &expected, size * T::from_f64_lossy(16.0));
            }
        }
        let square = |size, seed| matrix::<T>(size, size, seed);
        let full = KronChain::new([square(2, 1), square(3, 2), square(1, 3), square(2, 4)]).unwrap();
        let low = low_rank_chains::<T>().into_iter().map(|(chain, _)| chain);
        let squares = low.filter(|chain| chain.factors().iter().all(Factor::is_square));
        for chain in squares.chain([full]) {
            let dense = chain.to_dense().unwrap();
            for n in [0, 1, 2, 3, 5] {
                let expected = dense_power(&dense, n);
                let size = expected.iter().fold(T::one(), |max, x| max.max(x.abs()));
                let even = chain.kron(array![[T::one()]]).unwrap(); // so that the scales cancel
                let even = if chain.factors().len() % 2 == 0 { chain.view() } else { even };
                for scale in [1.0, large, 1.0 / large].map(T::from_f64_lossy) {
                    let found = stretched(&even, scale).pow(n).unwrap().to_dense().unwrap();
                    all_close(&found, &expected, size * T::from_f64_lossy(64.0));
                }
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_power_at_every_scale() {
        agrees_with_the_dense_power::<f32>(1e30);
        agrees_with_the_dense_power::<f64>(1e200);
    }

    #[test]
    fn long_powers_whose_parts_leave_the_range() {
        let k = Kron::new(array![[2.0, 0.0], [0.0, 1.0]], array![[0.5]]).unwrap();
        assert_eq!(k.pow(4000).unwrap().to_dense(), array![[1.0, 0.0], [0.0, 0.0]]);
        let turn = array![[0.6, -0.8], [0.8, 0.6]];
        let power = Kron::new(&turn * 4.0, &turn * 0.25).unwrap().pow(1_000_000).unwrap();
        close(power.frobenius_norm(), 2.0, 1e7);
        assert_eq!(
            Kron::new(array![[3.0]], array![[1.0]]).unwrap().pow(u32::MAX).unwrap().to_dense()[[0, 0]],
            f64::INFINITY
        );
    }

    #[test]
    fn a_low_rank_factor_stays_low_rank_and_nan_stays() {
        let b = Factor::low_rank(matrix::<f64>(7, 2, 1), matrix(2, 7, 2)).unwrap();
        let power = Kron::new(array![[1.0]], b).unwrap().pow(5).unwrap();
        assert_eq!((power.b().rank_bound(), power.parameter_count()), (2, 1 + 28));
        let nan = Kron::new(array![[f64::NAN]], array![[0.0]]).unwrap();
        assert!(nan.pow(3).unwrap().to_dense()[[0, 0]].is_nan());
        assert_eq!(nan.pow(0).unwrap().to_dense(), array![[1.0]]);
        let none = Factor::low_rank(Array2::<f64>::zeros((3, 0)), Array2::zeros((0, 3))).unwrap();
        let none = Kron::new(array![[2.0]], none).unwrap();
        assert_eq!(none.pow(2).unwrap().to_dense(), Array2::zeros((3, 3)));
        assert_eq!(none.pow(0).unwrap().to_dense(), Array2::eye(3));
    }

    #[test]
    fn a_factor_that_is_not_square_is_named() {
        let error = |name, shape| KronError::NotSquare { operation: "pow", name, shape };
        assert_eq!(kron_of::<f64>(2, 2, 3, 4).pow(0), Err(error("B", (3, 4))));
        let chain = KronChain::new([array![[1.0]], array![[1.0]], array![[1.0, 2.0]]]).unwrap();
        assert_eq!(chain.pow(2), Err(error("A₃", (1, 2))));
    }
}
