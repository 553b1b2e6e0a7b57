//! A sum of products written out, in whole and in part.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayRef2};

use super::kron_terms::KronTerms;
use crate::error::{KronError, Result};
use crate::memory;
use crate::operator::Kron;
use crate::scalar::Scalar;
use crate::sums::Extended;

impl<T: Scalar> KronTerms<'_, T> {
    /// The whole sum as a matrix of its own.
    ///
    /// # Where memory is refused
    /// As for [`Kron::to_dense`], this ends the program; [`KronTerms::try_to_dense`] returns an error instead.
    #[must_use]
    pub fn to_dense(&self) -> Array2<T> {
        let mut dense = Array2::zeros(self.dim());
        self.add_checked(T::one(), &mut dense);
        dense
    }

    /// The whole sum as a matrix of its own, or an error where memory does not hold it.
    ///
    /// # Errors
    /// [`KronError::TooLarge`] when its bytes are more than addresses; [`KronError::OutOfMemory`].
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0]])?;
    /// let sum = KronTerms::new([(1.0, k.view()), (0.5, k.view())])?;
    /// assert_eq!(sum.try_to_dense()?, array![[4.5, 9.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn try_to_dense(&self) -> Result<Array2<T>> {
        let mut dense = memory::zeros("to_dense", self.dim())?;
        self.add_checked(T::one(), &mut dense);
        Ok(dense)
    }

    /// The whole sum, written over `out`, which may hold anything.
    ///
    /// # Errors
    /// [`KronError::Shape`] unless `out` has the shape of the sum; it is then untouched.
    pub fn dense_into(&self, out: &mut ArrayRef2<T>) -> Result<()> {
        KronError::check_shape("dense_into", "out", self.dim(), out.dim())?;
        out.fill(T::zero());
        self.add_checked(T::one(), out);
        Ok(())
    }

    /// The merge: `W ← W + s·Σ wₜ·(Aₜ ⊗ Bₜ)`, in place, without a temporary of `W`'s size. With `s = 0`, `w` stays as
    /// it is, whatever the terms hold.
    ///
    /// # Cost
    /// That of [`Kron::add_to`] for every term.
    /// # Errors
    /// [`KronError::Shape`]; `w` is then untouched.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0]])?;
    /// let l = Kron::new(array![[1.0]], array![[0.0, 1.0]])?;
    /// let mut w = array![[1.0, 1.0]];
    /// KronTerms::new([(1.0, k), (-4.0, l)])?.add_to(0.5, &mut w)?;
    /// assert_eq!(w, array![[2.5, 2.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn add_to(&self, s: T, w: &mut ArrayRef2<T>) -> Result<()> {
        KronError::check_shape("add_to", "w", self.dim(), w.dim())?;
        if s != T::zero() {
            self.add_checked(s, w);
        }
        Ok(())
    }

    fn add_checked(&self, s: T, w: &mut ArrayRef2<T>) {
        for term in self.weighted() {
            // The shape, the one thing that can be wrong, has been checked.
            let added = term.add_to(s, w);
            debug_assert!(added.is_ok());
        }
    }

    /// One element, `Σ wₜ·Aₜ[i, j]·Bₜ[k, l]`.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`].
    pub fn element(&self, row: usize, col: usize) -> Result<T> {
        self.pairs().try_fold(T::zero(), |sum, (weight, term)| {
            let shape = term.shape();
            let (a, b) = (term.a().get(row / shape.p, col / shape.q), term.b().get(row % shape.p, col % shape.q));
            match (a, b) {
                (Some(a), Some(b)) => Ok(sum + (Extended::new(weight) * Extended::new(a) * Extended::new(b)).value()),
                _ => Err(KronError::OutOfBounds { operation: "element", row, col, shape: self.dim() }),
            }
        })
    }

    /// One row of the sum.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`]; [`KronError::TooLarge`] and [`KronError::OutOfMemory`] when the memory is refused.
    pub fn row(&self, row: usize) -> Result<Array1<T>> {
        self.add_up(|term| term.row(row))
    }

    /// One column of the sum.
    ///
    /// # Errors
    /// As [`KronTerms::row`].
    pub fn column(&self, col: usize) -> Result<Array1<T>> {
        self.add_up(|term| term.column(col))
    }

    /// Any rectangle of the sum, `(rows.len(), cols.len())`; only that rectangle of every term is formed.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`] when a range ends outside the sum or before it starts; [`KronError::TooLarge`] and
    /// [`KronError::OutOfMemory`] for a rectangle that memory does not hold.
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 10.0]], array![[1.0, 2.0], [3.0, 4.0]])?;
    /// let sum = KronTerms::new([(1.0, k.view()), (2.0, k.view())])?;
    /// assert_eq!(sum.slice(1..2, 1..4)?, array![[12.0, 90.0, 120.0]]);
    /// assert_eq!(sum.row(0)?, array![3.0, 6.0, 30.0, 60.0]);
    /// assert_eq!((sum.column(0)?, sum.diag()?), (array![3.0, 9.0], array![3.0, 12.0]));
    /// assert_eq!(sum.element(1, 3)?, 120.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn slice(&self, rows: Range<usize>, cols: Range<usize>) -> Result<Array2<T>> {
        self.add_up(|term| term.slice(rows.clone(), cols.clone()))
    }

    /// The diagonal, as many values as the smaller side.
    ///
    /// # Errors
    /// [`KronError::TooLarge`] when the memory is refused.
    pub fn diag(&self) -> Result<Array1<T>> {
        self.add_up(|term| term.diag())
    }

    /// Sum of the diagonal.
    ///
    /// # Errors
    /// [`KronError::NotSquare`].
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?;
    /// let l = Kron::new(array![[1.0]], array![[1.0, 0.0], [0.0, 1.0]])?;
    /// assert_eq!(KronTerms::new([(1.0, k), (-3.0, l)])?.trace()?, 50.0 - 6.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn trace(&self) -> Result<T> {
        KronError::check_square("trace", "the sum of products", self.dim())?;
        self.weighted().try_fold(T::zero(), |sum, term| Ok(sum + term.trace()?))
    }

    /// The sum of all elements, `Σ wₜ·ΣAₜ·ΣBₜ`.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronTerms};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?; // [[3, 6], [4, 8]]
    /// assert_eq!(KronTerms::new([(1.0, k.view()), (2.0, k.view())])?.sum(), 63.0);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn sum(&self) -> T {
        self.weighted().map(|term| term.sum()).sum()
    }

    /// The sum of what is asked of every term.
    fn add_up<D: ndarray::Dimension>(
        &self,
        part: impl Fn(&Kron<'_, T>) -> Result<ndarray::Array<T, D>>,
    ) -> Result<ndarray::Array<T, D>> {
        let mut weighted = self.weighted();
        let Some(first) = weighted.next() else {
            return Err(KronError::ZeroSize { operation: "KronTerms", name: "the number of terms" });
        };
        let mut sum = part(&first)?;
        for term in weighted {
            sum += &part(&term)?;
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::test_sums::{close_to, sums};
    use crate::test_support::{close, kron_of};
    use lokr_testing::{LAYOUTS, matrix, with_layout};
    use ndarray::s;

    fn agree_with_the_dense_sum<T: Scalar>(scales: [f64; 3]) {
        for ((sum, dense), scale) in sums::<T>().into_iter().flat_map(|case| scales.map(|scale| (case.clone(), scale)))
        {
            let scale = T::from_f64_lossy(scale);
            let sum = sum * scale;
            let (height, width) = dense.dim();
            let same = |found: Array1<T>, expected: ndarray::ArrayView1<'_, T>| {
                close_to(&(found / scale).insert_axis(ndarray::Axis(0)), &expected.insert_axis(ndarray::Axis(0)));
            };
            close_to(&(sum.to_dense() / scale), &dense);
            assert_eq!(sum.try_to_dense(), Ok(sum.to_dense()));
            let mut out = Array2::from_elem(dense.dim(), T::nan());
            sum.dense_into(&mut out).unwrap();
            assert_eq!(out, sum.to_dense());
            let w = matrix::<T>(height, width, 9);
            for layout in LAYOUTS {
                with_layout(&w, layout, |w| {
                    let mut w = w.to_owned();
                    sum.add_to(T::from_f64_lossy(-2.0) / scale, &mut w).unwrap();
                    close_to(&w, &(matrix::<T>(height, width, 9) - &dense * T::from_f64_lossy(2.0)));
                });
            }
            for ((row, col), &expected) in dense.indexed_iter() {
                close(sum.element(row, col).unwrap() / scale, expected, T::one());
            }
            (0..height).for_each(|row| same(sum.row(row).unwrap(), dense.row(row)));
            (0..width).for_each(|col| same(sum.column(col).unwrap(), dense.column(col)));
            let part = sum.slice(height / 3..height, width / 2..width).unwrap();
            close_to(&(part / scale), &dense.slice(s![height / 3.., width / 2..]));
            same(sum.diag().unwrap(), dense.diag());
            close(sum.sum() / scale, dense.sum(), T::from_usize_lossy(dense.len()));
            match sum.trace() {
                Ok(trace) => close(trace / scale, dense.diag().sum(), T::from_usize_lossy(height)),
                Err(error) => {
                    let name = "the sum of products";
                    assert_eq!(error, KronError::NotSquare { operation: "trace", name, shape: dense.dim() });
                }
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_sum_at_every_scale() {
        agree_with_the_dense_sum::<f32>([1.0, 1e-30, 1e30]);
        agree_with_the_dense_sum::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn what_lies_outside_is_an_error_and_a_wrong_shape_changes_nothing() {
        let sum = KronTerms::from(kron_of::<f64>(2, 3, 2, 1)).plus(kron_of(1, 1, 4, 3)).unwrap();
        let outside = |operation, row, col| KronError::OutOfBounds { operation, row, col, shape: (4, 3) };
        assert_eq!(sum.element(4, 0), Err(outside("element", 4, 0)));
        assert_eq!(sum.element(0, 3), Err(outside("element", 0, 3)));
        assert_eq!(sum.row(4).map(|_| ()), sum.terms()[0].row(4).map(|_| ()));
        assert_eq!(sum.column(3), Err(outside("column", 0, 3)));
        assert_eq!(sum.slice(0..5, 0..1), Err(outside("slice", 5, 1)));
        let mut w = matrix::<f64>(3, 4, 1);
        let shape = |operation, argument| KronError::Shape { operation, argument, expected: (4, 3), found: (3, 4) };
        assert_eq!(sum.add_to(1.0, &mut w), Err(shape("add_to", "w")));
        assert_eq!(sum.dense_into(&mut w), Err(shape("dense_into", "out")));
        assert_eq!(w, matrix(3, 4, 1));
        let mut w = matrix::<f64>(4, 3, 1);
        (&sum * f64::NAN).add_to(0.0, &mut w).unwrap();
        assert_eq!(w, matrix(4, 3, 1));
    }
}
