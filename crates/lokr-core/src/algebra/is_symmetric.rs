//! Is a product symmetric? Asked of its factors.

use ndarray::{ArrayView2, CowArray, Ix2};

use crate::decompose::max_or_nan;
use crate::operator::{Factor, FactorList, KronBase, KronChain};
use crate::scalar::Scalar;

impl<T: Scalar> Factor<'_, T> {
    /// Whether the factor equals its transpose exactly. A low-rank factor is multiplied out. `false` when values are
    /// not finite.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Factor;
    /// # use ndarray::array;
    /// assert!(Factor::from(array![[1.0, 2.0], [2.0, 3.0]]).is_symmetric());
    /// assert!(!Factor::from(array![[1.0, 2.0]]).is_symmetric());
    /// ```
    #[must_use]
    pub fn is_symmetric(&self) -> bool {
        exactly(&[self.dense()], || elementwise(self.dim(), T::zero(), |i, j| self.get(i, j)))
    }

    /// Whether the factor `M` equals its transpose up to `tolerance`, relative to its size:
    /// `|M[i, j] − M[j, i]| ≤ tolerance · max|M|`.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Factor;
    /// # use ndarray::array;
    /// let b = Factor::from(array![[1.0, 2.0], [2.0 + 1e-12, 3.0]]);
    /// assert!(!b.is_symmetric() && b.is_symmetric_within(1e-11));
    /// ```
    #[must_use]
    pub fn is_symmetric_within(&self, tolerance: T) -> bool {
        within(&[self.dense()], tolerance, |_| false)
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// Whether the product is symmetric, exactly, in the numbers that the factors hold.
    ///
    /// A product of square factors is symmetric when every factor is symmetric or skew-symmetric (`Mᵀ = −M`) and the
    /// number of skew ones is even, or when one is zero. Of factors that are not square, the elements of the product
    /// are compared as they are computed. `false` when a factor holds values that are not finite.
    ///
    /// # Cost
    /// One look at each stored value; at each element of the product where a factor is not square. Low-rank factors are
    /// multiplied out.
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let skew = array![[0.0, 1.0], [-1.0, 0.0]];
    /// assert!(KronChain::power(&skew, 4)?.is_symmetric());
    /// assert!(!KronChain::power(&skew, 3)?.is_symmetric());
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn is_symmetric(&self) -> bool {
        let full = self.map(|factor| Factor::from(factor.dense()));
        let factors: Vec<_> = full.factors().iter().map(Factor::dense).collect();
        exactly(&factors, || elementwise(self.dim(), T::zero(), |i, j| full.element(i, j).ok()))
    }

    /// Whether the product `K` is symmetric up to `tolerance`, relative to its size, the product of the factors'
    /// largest magnitudes: `|K[i, j] − K[j, i]| ≤ tolerance · max|A| · max|B|`.
    ///
    /// # Method
    /// With the symmetric and skew parts of two factors, `K − Kᵀ` is `2·(A_s ⊗ B_k + A_k ⊗ B_s)`. Its largest element
    /// is bounded by the largest ones of the four parts, so the answer is never `true` wrongly, and may be `false`
    /// where the difference is within the tolerance, but not within half of it. For `k` factors the bound may be up to
    /// `2^(k − 1)` times the difference.
    /// # Cost
    /// As [`KronBase::is_symmetric`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let a = array![[1.0, 2.0], [2.0 + 1e-12, 3.0]];
    /// let k = Kron::new(&a, array![[5.0]])?;
    /// assert!(!k.is_symmetric() && k.is_symmetric_within(1e-11));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn is_symmetric_within(&self, tolerance: T) -> bool {
        let factors: Vec<_> = self.factors().iter().map(Factor::dense).collect();
        within(&factors, tolerance, |of_one| {
            let scaled = factors.iter().zip(of_one).map(|(factor, &of_one)| factor.mapv(|value| value / of_one));
            let scaled = KronChain::new(scaled);
            scaled.is_ok_and(|chain| elementwise(self.dim(), tolerance, |i, j| chain.element(i, j).ok()))
        })
    }
}

/// What a square matrix is beside its transpose.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Symmetric,
    Skew,
    Neither,
}

fn kind<T: Scalar>(matrix: ArrayView2<'_, T>) -> Kind {
    let holds =
        |same: fn(T, T) -> bool| matrix.indexed_iter().all(|((i, j), &value)| i > j || same(value, matrix[[j, i]]));
    if holds(|x, y| x == y) {
        Kind::Symmetric
    } else if holds(|x, y| x == -y) {
        Kind::Skew
    } else {
        Kind::Neither
    }
}

/// From the kinds of the factors where all are square, else by a look at the elements.
fn exactly<T: Scalar>(factors: &[CowArray<'_, T, Ix2>], elements: impl FnOnce() -> bool) -> bool {
    if factors.iter().flatten().any(|value| !value.is_finite()) {
        return false;
    }
    let sides = |side: fn(&CowArray<'_, T, Ix2>) -> usize| factors.iter().map(side).fold(1, usize::saturating_mul);
    if sides(|factor| factor.nrows()) != sides(|factor| factor.ncols()) {
        return false;
    }
    if factors.iter().any(|factor| factor.iter().all(|&value| value == T::zero())) {
        return true;
    }
    if !factors.iter().all(|factor| factor.is_square()) {
        return elements();
    }
    let kinds: Vec<Kind> = factors.iter().map(|factor| kind(factor.view())).collect();
    !kinds.contains(&Kind::Neither) && kinds.iter().filter(|&&kind| kind == Kind::Skew).count() % 2 == 0
}

/// From bounds of the symmetric and skew parts where all factors are square, else by a look at the elements of the
/// product whose factors are divided by these largest magnitudes.
fn within<T: Scalar>(factors: &[CowArray<'_, T, Ix2>], tolerance: T, elements: impl FnOnce(&[T]) -> bool) -> bool {
    let largest = |factor: &CowArray<'_, T, Ix2>| factor.iter().map(|value| value.abs()).fold(T::zero(), max_or_nan);
    let magnitudes: Vec<T> = factors.iter().map(largest).collect();
    let sides = |side: fn(&CowArray<'_, T, Ix2>) -> usize| factors.iter().map(side).fold(1, usize::saturating_mul);
    if magnitudes.iter().any(|magnitude| !magnitude.is_finite())
        || sides(|factor| factor.nrows()) != sides(|factor| factor.ncols())
    {
        return false;
    }
    if magnitudes.contains(&T::zero()) {
        return true;
    }
    if !factors.iter().all(|factor| factor.is_square()) {
        return elements(&magnitudes);
    }
    // The largest |M + Mᵀ|/2 and |M − Mᵀ|/2 of a product, at most, beside its largest element.
    let half = T::from_f64_lossy(0.5);
    let (_, skew) =
        factors.iter().zip(&magnitudes).fold((T::one(), T::zero()), |(symmetric, skew), (factor, &of_one)| {
            let part = |combine: fn(T, T) -> T| {
                let pairs = factor.iter().zip(factor.t());
                pairs
                    .map(|(&x, &y)| combine(half * (x / of_one), half * (y / of_one)).abs())
                    .fold(T::zero(), max_or_nan)
            };
            let (even, odd) = (part(|x, y| x + y), part(|x, y| x - y));
            (symmetric * even + skew * odd, symmetric * odd + skew * even)
        });
    skew + skew <= tolerance
}

/// `|M[i, j] − M[j, i]| ≤ tolerance` for all.
fn elementwise<T: Scalar>(
    (rows, cols): (usize, usize),
    tolerance: T,
    element: impl Fn(usize, usize) -> Option<T>,
) -> bool {
    let agree = |i, j| matches!((element(i, j), element(j, i)), (Some(x), Some(y)) if (x - y).abs() <= tolerance);
    rows == cols && (0..rows).all(|i| (0..i).all(|j| agree(i, j)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Kron;
    use crate::test_support::{cases, chains, symmetric};
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    fn is_dense_symmetric<T: Scalar>(dense: &Array2<T>) -> bool {
        dense.is_square() && dense == dense.t()
    }

    fn agrees_with_the_dense_product<T: Scalar>(scales: [f64; 3]) {
        let skew = |size, seed| {
            let half = matrix::<T>(size, size, seed);
            &half - &half.t()
        };
        for scale in scales.map(T::from_f64_lossy) {
            let squares = |size: usize| {
                [symmetric::<T>(size, 1), skew(size, 2), matrix(size, size, 3), Array2::zeros((size, size))]
            };
            for (a, b) in squares(3).iter().flat_map(|a| squares(4).map(|b| (a.clone(), b))) {
                let k = Kron::new(&a, &b).unwrap();
                let expected = is_dense_symmetric(&k.to_dense());
                let scaled = &k * scale;
                assert_eq!(scaled.is_symmetric(), expected);
                assert_eq!(scaled.is_symmetric_within(T::from_f64_lossy(1e-3)), expected);
                for c in squares(2) {
                    let chain = KronChain::new([&a, &b, &c]).unwrap();
                    let expected = is_dense_symmetric(&chain.to_dense().unwrap());
                    let scaled = &chain * scale;
                    assert_eq!(scaled.is_symmetric(), expected);
                    assert_eq!(scaled.is_symmetric_within(T::from_f64_lossy(1e-3)), expected);
                }
            }
            let column = matrix::<T>(3, 1, 1);
            let k = Kron::new(&column, column.t()).unwrap();
            let chain = KronChain::new([column.view(), column.t()]).unwrap();
            assert!(k.is_symmetric() && chain.is_symmetric());
            // Multiplied by a number, a factor is rounded, and no longer quite the transpose of the other.
            let rounding = T::from_f64_lossy(8.0) * T::epsilon();
            assert!((k * scale).is_symmetric_within(rounding) && (chain * scale).is_symmetric_within(rounding));
            let backwards = column.slice(ndarray::s![..;-1, ..]);
            let k = Kron::new(&column, backwards.t()).unwrap() * scale;
            assert!(!k.is_symmetric() && !k.is_symmetric_within(T::from_f64_lossy(1e-3)));
        }
        for (k, dense) in cases::<T>(&[(1, 1, 1, 1), (1, 1, 3, 3), (2, 3, 3, 2), (2, 3, 2, 3)]) {
            assert_eq!(k.is_symmetric(), is_dense_symmetric(&k.to_dense()), "{dense}");
        }
        for (chain, dense) in chains::<T>() {
            assert_eq!(chain.is_symmetric(), is_dense_symmetric(&dense));
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_product_at_every_scale() {
        agrees_with_the_dense_product::<f32>([1.0, 1e-30, 1e30]);
        agrees_with_the_dense_product::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn an_asymmetry_counts_relative_to_the_size() {
        for scale in [1.0, 1e-200, 1e200] {
            let mut a = symmetric::<f64>(4, 1);
            let largest = a.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            a[[0, 3]] += 1e-12 * largest;
            let b = symmetric::<f64>(3, 2);
            let k = Kron::new(&a, &b).unwrap() * scale;
            assert!(!k.is_symmetric() && !k.is_symmetric_within(1e-13) && k.is_symmetric_within(4e-12));
            let a = Factor::from(a) * scale;
            assert!(!a.is_symmetric() && !a.is_symmetric_within(1e-13) && a.is_symmetric_within(4e-12));
            let chain = KronChain::new([a.view(), Factor::from(&b)]).unwrap();
            assert!(!chain.is_symmetric() && !chain.is_symmetric_within(1e-13) && chain.is_symmetric_within(4e-12));
        }
    }

    #[test]
    fn differences_that_vanish_beside_the_rest_are_still_differences() {
        let a = array![[1e300, 1e-300], [0.0, 1.0]];
        assert!(!Factor::from(&a).is_symmetric());
        assert!(!Kron::new(&a, array![[1e-300]]).unwrap().is_symmetric());
        assert!(Kron::new(&a, array![[0.0]]).unwrap().is_symmetric());
        assert!(Factor::from(&a).is_symmetric_within(1e-15));
    }

    #[test]
    fn values_that_are_not_finite_are_not_symmetric() {
        for value in [f64::NAN, f64::INFINITY] {
            for b in [array![[1.0]], array![[0.0]]] {
                let k = Kron::new(array![[value]], &b).unwrap();
                assert!(!k.is_symmetric() && !k.is_symmetric_within(1.0));
            }
        }
    }
}
