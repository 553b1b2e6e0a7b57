//! The Kronecker sum, held as its summands.

use ndarray::Array2;

use crate::error::{KronError, Result};
use crate::memory;
use crate::operator::{Factor, FactorList};
use crate::scalar::Scalar;

/// The Kronecker sum `A ⊕ B = A ⊗ I_p + I_n ⊗ B` of square factors `A (n, n)` and `B (p, p)`, `(n·p, n·p)`, or of any
/// number of them, `A₁ ⊕ … ⊕ A_k`: in turn each stands in the product of all the identities in its place. It is held as
/// its factors, each borrowed or owned, full or low-rank.
///
/// On a row read as an `n × p` matrix `X` the sum of two acts as `A·X + X·Bᵀ`; that of more on every axis of a field.
/// The Laplacian of a grid is one.
///
/// # Examples
/// ```
/// use lokr_core::KronSum;
/// use ndarray::array;
/// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?;
/// assert_eq!(sum.to_dense(), array![[11.0, 2.0], [3.0, 14.0]]);
/// assert_eq!(sum.apply(&array![[1.0, 1.0]])?, array![[13.0, 17.0]]);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Clone)]
pub struct KronSum<'a, T> {
    pub(super) factors: Vec<Factor<'a, T>>,
    pub(super) side: usize,
}

/// What a sum may be made of: factors, from whatever a [`Factor`] is made of, and sums, whose summands take their
/// place.
pub trait IntoSummands<'a, T: Scalar> {
    /// The summands, the outermost first.
    fn into_summands(self) -> impl Iterator<Item = Factor<'a, T>>;
}

impl<'a, T: Scalar, F: Into<Factor<'a, T>>> IntoSummands<'a, T> for F {
    fn into_summands(self) -> impl Iterator<Item = Factor<'a, T>> {
        std::iter::once(self.into())
    }
}

impl<'a, T: Scalar> IntoSummands<'a, T> for KronSum<'a, T> {
    fn into_summands(self) -> impl Iterator<Item = Factor<'a, T>> {
        self.factors.into_iter()
    }
}

impl<'a, T: Scalar> KronSum<'a, T> {
    /// The sum of two square factors, or of sums: then of all their summands, in order. Nothing is computed or copied.
    ///
    /// # Errors
    /// [`KronError::NotSquare`]; [`KronError::EmptyFactor`]; [`KronError::TooLarge`] when the number of rows overflows.
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let a = array![[2.0, -1.0], [-1.0, 2.0]];
    /// let plane = KronSum::new(&a, &a)?;
    /// let space = KronSum::new(plane, &a)?; // of three summands
    /// assert_eq!((space.factors().len(), space.dim()), (3, (8, 8)));
    /// assert_eq!(space.diag()[0], 6.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn new(a: impl IntoSummands<'a, T>, b: impl IntoSummands<'a, T>) -> Result<Self> {
        Self::from_list(a.into_summands().chain(b.into_summands()).collect())
    }

    /// The sum of the factors, in order. No factor at all is the same as the one factor `[[0]]`.
    ///
    /// # Errors
    /// As [`KronSum::new`].
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::from_factors([array![[1.0]], array![[10.0]], array![[100.0, 0.0], [0.0, 200.0]]])?;
    /// assert_eq!(sum.to_dense(), array![[111.0, 0.0], [0.0, 211.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn from_factors<F: IntoSummands<'a, T>>(factors: impl IntoIterator<Item = F>) -> Result<Self> {
        Self::from_list(factors.into_iter().flat_map(F::into_summands).collect())
    }

    fn from_list(mut factors: Vec<Factor<'a, T>>) -> Result<Self> {
        if factors.is_empty() {
            factors.push(Factor::from(Array2::zeros((1, 1))));
        }
        let names = names(factors.len());
        let mut sides = Vec::with_capacity(factors.len());
        for (index, factor) in factors.iter().enumerate() {
            sides.push(KronError::check_square("Kronecker sum", names(index), factor.dim())?);
        }
        if let Some(index) = sides.iter().position(|&side| side == 0) {
            return Err(KronError::EmptyFactor { name: names(index), rows: 0, cols: 0 });
        }
        Ok(Self { side: KronError::checked_product("Kronecker sum", &sides)?, factors })
    }

    /// The summands, the outermost first.
    #[must_use]
    pub fn factors(&self) -> &[Factor<'a, T>] {
        &self.factors
    }

    /// The first summand.
    #[must_use]
    pub fn a(&self) -> &Factor<'a, T> {
        &self.factors[0]
    }

    /// The last summand, the second of two.
    #[must_use]
    pub fn b(&self) -> &Factor<'a, T> {
        &self.factors[self.factors.len() - 1]
    }

    /// Shape: as many rows and columns as all sides multiplied, `(n·p, n·p)` of two summands.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        (self.side, self.side)
    }

    /// Rows of the sum.
    #[must_use]
    pub fn nrows(&self) -> usize {
        self.side
    }

    /// Columns of the sum, as many as rows.
    #[must_use]
    pub fn ncols(&self) -> usize {
        self.side
    }

    /// One element: zero where more than one index differs; where one does, that of its factor; on the diagonal the sum
    /// of one of every factor. Of two summands, at row `i·p + k` and column `j·p + l`, it is
    /// `A[i, j]·[k = l] + [i = j]·B[k, l]`.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`].
    pub fn element(&self, row: usize, col: usize) -> Result<T> {
        let outside = || KronError::OutOfBounds { operation: "element", row, col, shape: self.dim() };
        if row >= self.side || col >= self.side {
            return Err(outside());
        }
        let mut after = self.side;
        let mut sum = T::zero();
        for factor in &self.factors {
            // All other indices agree where the rows differ by steps of this axis alone.
            let side = factor.nrows();
            let before = after;
            after /= side;
            let (i, j) = (row / after % side, col / after % side);
            if row / before == col / before && row % after == col % after {
                sum += factor.get(i, j).ok_or_else(outside)?;
            }
        }
        Ok(sum)
    }

    /// The whole sum as a matrix of its own: as many values of memory as rows times columns.
    ///
    /// # Where memory is refused
    /// Like a `Vec` of that length, this ends the program where there is no such memory, and panics where the bytes are
    /// more than addresses. [`KronSum::try_to_dense`] returns an error instead.
    #[must_use]
    pub fn to_dense(&self) -> Array2<T> {
        let mut dense = Array2::zeros(self.dim());
        self.fill(&mut dense);
        dense
    }

    /// The whole sum as a matrix of its own, or an error where memory does not hold it.
    ///
    /// # Errors
    /// [`KronError::TooLarge`] when its bytes are more than addresses; [`KronError::OutOfMemory`].
    /// # Examples
    /// ```
    /// # use lokr_core::{KronError, KronSum};
    /// # use ndarray::array;
    /// let flip = array![[0.0, 1.0], [1.0, 0.0]];
    /// let chain = KronSum::from_factors([&flip; 40])?; // 40 spins, each of which may flip
    /// assert!(matches!(chain.try_to_dense(), Err(KronError::TooLarge { .. })));
    /// assert_eq!(chain.element(0, 1 << 39)?, 1.0);
    /// # Ok::<(), KronError>(())
    /// ```
    pub fn try_to_dense(&self) -> Result<Array2<T>> {
        let mut dense = memory::zeros("to_dense", self.dim())?;
        self.fill(&mut dense);
        Ok(dense)
    }

    /// Adds the sum to zeros.
    fn fill(&self, dense: &mut Array2<T>) {
        for (factor, before, after) in self.axes() {
            let (matrix, side) = (factor.dense(), factor.nrows());
            for (start, within) in (0..before).flat_map(|b| (0..after).map(move |w| (b * side * after, w))) {
                for ((i, j), &value) in matrix.indexed_iter() {
                    dense[[start + i * after + within, start + j * after + within]] += value;
                }
            }
        }
    }

    /// Each factor with the product of the sides before it and of those after it.
    pub(super) fn axes(&self) -> impl Iterator<Item = (&Factor<'a, T>, usize, usize)> {
        let (mut before, mut after) = (1, self.side);
        self.factors.iter().map(move |factor| {
            after /= factor.nrows();
            let axis = (factor, before, after);
            before *= factor.nrows();
            axis
        })
    }

    /// The factors with their names in messages.
    pub(in super::super) fn named(&self) -> impl Iterator<Item = (&'static str, &Factor<'a, T>)> + Clone {
        let names = names(self.factors.len());
        self.factors.iter().enumerate().map(move |(index, factor)| (names(index), factor))
    }

    /// The name of the whole, with a multiple of the identity added or not.
    pub(super) fn name(&self, shifted: bool) -> &'static str {
        match (self.factors.len(), shifted) {
            (2, false) => "A ⊕ B",
            (2, true) => "A ⊕ B + c·I",
            (_, false) => "A₁ ⊕ … ⊕ A_k",
            (_, true) => "A₁ ⊕ … ⊕ A_k + c·I",
        }
    }
}

/// How so many factors are called: as those of a product of as many.
fn names(factors: usize) -> fn(usize) -> &'static str {
    if factors == 2 {
        <[Factor<'static, f64>; 2] as FactorList>::name
    } else {
        <Vec<Factor<'static, f64>> as FactorList>::name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::kron_sum::cases::sums;
    use crate::test_support::{all_close, close};
    use lokr_testing::matrix;
    use ndarray::array;

    fn agrees_with_the_dense_sum<T: Scalar>(scales: [f64; 3]) {
        for (sum, dense) in sums::<T>() {
            for scale in scales.map(T::from_f64_lossy) {
                let sum = &sum * scale;
                let allowed = T::from_f64_lossy(8.0);
                all_close(&(sum.to_dense() / scale), &dense, allowed);
                assert_eq!(sum.try_to_dense().unwrap(), sum.to_dense());
                assert_eq!(sum.transposed().to_dense(), sum.to_dense().t());
                for ((i, j), &value) in dense.indexed_iter() {
                    close(sum.element(i, j).unwrap() / scale, value, allowed);
                }
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_sum_at_every_scale() {
        agrees_with_the_dense_sum::<f32>([1.0, 1e-30, 1e30]);
        agrees_with_the_dense_sum::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn sums_of_sums_are_sums_of_all() {
        let (a, b, c) = (matrix::<f64>(2, 2, 1), matrix::<f64>(3, 3, 2), matrix::<f64>(2, 2, 3));
        let all = KronSum::from_factors([&a, &b, &c]).unwrap();
        assert_eq!(KronSum::new(KronSum::new(&a, &b).unwrap(), &c).unwrap(), all);
        assert_eq!(KronSum::new(&a, KronSum::new(&b, &c).unwrap()).unwrap(), all);
        assert_eq!(KronSum::from_factors([all.view()]).unwrap(), all);
        assert_eq!((all.a(), all.b()), (&Factor::from(&a), &Factor::from(&c)));
        let nothing = KronSum::<f64>::from_factors(Vec::<Factor<'_, f64>>::new()).unwrap();
        assert_eq!(nothing.to_dense(), array![[0.0]]);
        assert_eq!(KronSum::new(nothing, &a).unwrap().to_dense(), a);
    }

    #[test]
    fn each_error_is_named() {
        let operation = "Kronecker sum";
        let error = KronSum::new(matrix::<f64>(2, 2, 1), matrix(2, 3, 1)).unwrap_err();
        assert_eq!(error, KronError::NotSquare { operation, name: "B", shape: (2, 3) });
        let error = KronSum::from_factors([matrix::<f64>(2, 2, 1), matrix(2, 3, 1), matrix(1, 1, 1)]).unwrap_err();
        assert_eq!(error, KronError::NotSquare { operation, name: "A₂", shape: (2, 3) });
        let error = KronSum::new(matrix::<f64>(0, 0, 1), matrix(2, 2, 1)).unwrap_err();
        assert_eq!(error, KronError::EmptyFactor { name: "A", rows: 0, cols: 0 });
        let sum = KronSum::new(array![[1.0]], array![[-1.0, 3.0], [0.0, 1.0]]).unwrap();
        for (row, col) in [(0, 2), (2, 0)] {
            let error = KronError::OutOfBounds { operation: "element", row, col, shape: (2, 2) };
            assert_eq!(sum.element(row, col), Err(error));
        }
        let eye = Array2::<f64>::eye(2);
        assert!(matches!(KronSum::from_factors([&eye; 64]), Err(KronError::TooLarge { .. })));
    }
}
