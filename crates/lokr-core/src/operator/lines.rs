//! Columns, rows and rectangles of a product, without the rest of it.

use std::ops::Range;

use ndarray::{Array1, Array2};

use super::factor::Factor;
use super::factor_list::FactorList;
use super::kron::KronBase;
use super::outer::{factor_row, outer};
use crate::error::{KronError, Result};
use crate::memory;
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// One row of the product: the Kronecker product of a row of every factor.
    ///
    /// # Cost
    /// Little more than one multiplication for each value of the row.
    /// # Errors
    /// [`KronError::OutOfBounds`]; [`KronError::TooLarge`] when the memory is refused.
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let chain = KronChain::new([array![[1.0, 10.0]], array![[1.0, 2.0], [3.0, 4.0]]])?;
    /// assert_eq!(chain.row(1)?, array![3.0, 4.0, 30.0, 40.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn row(&self, row: usize) -> Result<Array1<T>> {
        if row >= self.nrows() {
            return Err(KronError::OutOfBounds { operation: "row", row, col: 0, shape: self.dim });
        }
        line("row", self.factors().iter().map(Factor::view), row)
    }

    /// One column of the product: the Kronecker product of a column of every factor.
    ///
    /// # Cost
    /// Little more than one multiplication for each value of the column.
    /// # Errors
    /// [`KronError::OutOfBounds`]; [`KronError::TooLarge`] when the memory is refused.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 10.0]], array![[1.0, 2.0], [3.0, 4.0]])?;
    /// assert_eq!(k.column(3)?, array![20.0, 40.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn column(&self, col: usize) -> Result<Array1<T>> {
        if col >= self.ncols() {
            return Err(KronError::OutOfBounds { operation: "column", row: 0, col, shape: self.dim });
        }
        line("column", self.factors().iter().map(Factor::transposed), col)
    }

    /// Any rectangle of the product, `(rows.len(), cols.len())`; only that rectangle is formed.
    ///
    /// # Cost
    /// A multiplication per factor for each of its values. A low-rank factor is multiplied out first.
    /// # Errors
    /// [`KronError::OutOfBounds`] when a range ends outside the product or before it starts; [`KronError::TooLarge`]
    /// and [`KronError::OutOfMemory`] for a rectangle that memory does not hold.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 10.0]], array![[1.0, 2.0], [3.0, 4.0]])?;
    /// assert_eq!(k.slice(1..2, 1..4)?, array![[4.0, 30.0, 40.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn slice(&self, rows: Range<usize>, cols: Range<usize>) -> Result<Array2<T>> {
        let (height, width) = self.dim;
        if rows.end > height || cols.end > width || rows.start > rows.end || cols.start > cols.end {
            return Err(KronError::OutOfBounds { operation: "slice", row: rows.end, col: cols.end, shape: self.dim });
        }
        let factors: Vec<_> = self.factors().iter().map(Factor::dense).collect();
        memory::from_elements("slice", (rows.len(), cols.len()), |r, c| {
            let (mut row, mut col, mut value) = (rows.start + r, cols.start + c, T::one());
            for factor in factors.iter().rev() {
                let (height, width) = factor.dim();
                value *= factor[[row % height, col % width]];
                (row, col) = (row / height, col / width);
            }
            value
        })
    }
}

/// The row `index` of the product of these factors.
fn line<'f, T: Scalar>(
    operation: &'static str,
    factors: impl Iterator<Item = Factor<'f, T>>,
    mut index: usize,
) -> Result<Array1<T>> {
    let factors: Vec<_> = factors.collect();
    let mut rows = Vec::with_capacity(factors.len());
    for factor in factors.iter().rev() {
        let height = factor.nrows();
        rows.push(factor_row(factor, index % height));
        index /= height;
    }
    outer(operation, rows.iter().rev().map(|row| row.view()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::KronChain;
    use crate::test_support::{all_close, cases, chains, close};
    use ndarray::s;

    fn agree_with_the_dense_product<T: Scalar>(scales: [f64; 3]) {
        for (k, dense) in cases::<T>(&[(1, 1, 1, 1), (2, 3, 5, 7), (7, 1, 2, 3)]) {
            for (col, expected) in dense.columns().into_iter().enumerate() {
                let found = k.column(col).unwrap();
                found.iter().zip(expected).for_each(|(&found, &expected)| close(found, expected, T::one()));
            }
            let error = k.column(dense.ncols()).unwrap_err();
            let expected = KronError::OutOfBounds { operation: "column", row: 0, col: dense.ncols(), shape: k.dim() };
            assert_eq!(error, expected);
        }
        for (chain, dense) in chains::<T>() {
            for scale in scales.map(T::from_f64_lossy) {
                let chain = &chain * scale;
                let (height, width) = dense.dim();
                let all = |found: Array2<T>| all_close(&(found / scale), &dense, T::one());
                let rows = (0..height).flat_map(|row| chain.row(row).unwrap()).collect();
                all(Array2::from_shape_vec((height, width), rows).unwrap());
                let columns = (0..width).flat_map(|col| chain.column(col).unwrap()).collect();
                all(Array2::from_shape_vec((width, height), columns).unwrap().reversed_axes());
                all(chain.slice(0..height, 0..width).unwrap());
                let part = chain.slice(height / 3..height, width / 2..width / 2).unwrap();
                assert_eq!(part.dim(), (height - height / 3, 0));
                let part = chain.slice(height / 3..height, width / 2..width).unwrap();
                all_close(&(part / scale), &dense.slice(s![height / 3.., width / 2..]), T::one());
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_product_at_every_scale() {
        agree_with_the_dense_product::<f32>([1.0, 1e-30, 1e30]);
        agree_with_the_dense_product::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn a_row_has_the_bits_of_its_elements() {
        for (chain, dense) in chains::<f32>() {
            let row = chain.row(dense.nrows() - 1).unwrap();
            row.iter().enumerate().for_each(|(col, &value)| {
                assert_eq!(chain.element(dense.nrows() - 1, col), Ok(value));
            });
        }
    }

    #[test]
    fn what_lies_outside_is_an_error_and_so_is_what_memory_cannot_hold() {
        let a = Array2::<f64>::ones((2, 2));
        let chain = KronChain::power(&a, 2).unwrap();
        let outside = |operation, row, col| KronError::OutOfBounds { operation, row, col, shape: (4, 4) };
        assert_eq!(chain.row(4), Err(outside("row", 4, 0)));
        assert_eq!(chain.column(4), Err(outside("column", 0, 4)));
        assert_eq!(chain.slice(0..5, 0..1), Err(outside("slice", 5, 1)));
        #[allow(clippy::reversed_empty_ranges)]
        let backwards = chain.slice(2..1, 0..1);
        assert_eq!(backwards, Err(outside("slice", 1, 1)));
        let chain = KronChain::power(&a, 60).unwrap();
        assert!(matches!(chain.row(7), Err(KronError::TooLarge { operation: "row", .. })));
        assert!(matches!(chain.column(7), Err(KronError::TooLarge { operation: "column", .. })));
        assert!(matches!(chain.slice(0..1 << 30, 0..1 << 30), Err(KronError::TooLarge { operation: "slice", .. })));
        assert_eq!(chain.slice(3..4, 5..7).unwrap(), Array2::ones((1, 2)));
    }
}
