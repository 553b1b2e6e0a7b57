//! The product added to a weight, and written out.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayRef2, ArrayView2, ArrayViewMut2, Axis, CowArray, Ix2};

use super::balance::balanced;
use super::chain::KronChain;
use super::factor::Factor;
use super::factor_list::FactorList;
use super::kron::{Kron, KronBase};
use super::kron_dense::kron_dense;
use crate::error::{KronError, Result};
use crate::gemm::kernel::add_row;
use crate::gemm::limits::MERGE_TASK;
use crate::gemm::views::row_major;
use crate::memory;
use crate::scalar::{Scalar, compiled_once};

impl<T: Scalar> Kron<'_, T> {
    /// The whole product as a matrix of its own, `(m·p, n·q)`: `m·n·p·q` values of memory.
    ///
    /// # Where memory is refused
    /// Like a `Vec` of that length, this ends the program where there is no such memory, and panics where the bytes are
    /// more than addresses, which only factors that are views of repeated values can ask for.
    /// [`KronBase::try_to_dense`] returns an error instead.
    #[must_use]
    pub fn to_dense(&self) -> Array2<T> {
        let mut dense = Array2::zeros(self.dim());
        add(T::one(), self.a().dense().view(), self.b().dense().view(), dense.view_mut());
        dense
    }
}

impl<T: Scalar> KronChain<'_, T> {
    /// The whole product as a matrix: [`KronBase::try_to_dense`] under the name that a matrix of many factors, soon too
    /// large, has it by.
    ///
    /// # Errors
    /// As [`KronBase::try_to_dense`].
    /// # Examples
    /// ```
    /// # use lokr_core::{KronChain, KronError};
    /// # use ndarray::array;
    /// let half = array![[0.5, 0.5], [0.5, 0.5]];
    /// assert_eq!(KronChain::power(&half, 2)?.to_dense()?[[3, 0]], 0.25);
    /// let mixed = KronChain::power(&half, 40)?; // applied without being formed; 2⁸⁰ values are too many to form
    /// assert!(matches!(mixed.to_dense(), Err(KronError::TooLarge { .. })));
    /// # Ok::<(), KronError>(())
    /// ```
    pub fn to_dense(&self) -> Result<Array2<T>> {
        self.try_to_dense()
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The whole product as a matrix of its own, or an error where memory does not hold it.
    ///
    /// # Errors
    /// [`KronError::TooLarge`] when its bytes are more than addresses; [`KronError::OutOfMemory`].
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronError};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[3.0]])?;
    /// assert_eq!(k.try_to_dense()?, array![[3.0, 6.0]]);
    /// let ones = array![[1.0]];
    /// let tall = ones.broadcast((1 << 30, 1)).unwrap(); // a view that repeats one value
    /// let large = Kron::new(tall.view(), tall.t())?; // 2⁶⁰ values, of one
    /// assert!(matches!(large.try_to_dense(), Err(KronError::TooLarge { .. })));
    /// # Ok::<(), KronError>(())
    /// ```
    pub fn try_to_dense(&self) -> Result<Array2<T>> {
        let mut dense = memory::zeros("to_dense", self.dim)?;
        self.add_checked(T::one(), dense.view_mut())?;
        Ok(dense)
    }

    /// The whole product, written over `out`, which may hold anything.
    ///
    /// # Errors
    /// [`KronError::Shape`] unless `out` has the shape of the product; [`KronError::OutOfMemory`] where there is none
    /// for the two halves of many factors.
    pub fn dense_into(&self, out: &mut ArrayRef2<T>) -> Result<()> {
        KronError::check_shape("dense_into", "out", self.dim, out.dim())?;
        let (a, b) = self.halves()?;
        out.fill(T::zero());
        add(T::one(), a.view(), b.view(), out.view_mut());
        Ok(())
    }

    /// The merge: `W ← W + s·(A ⊗ B)`, in place, without a temporary of `W`'s size.
    ///
    /// # Shapes
    /// `w`: `(m·p, n·q)`, any strides. Row-major and column-major matrices are walked along memory, on all threads.
    /// # Cost
    /// `2·m·n·p·q` flops: one read and one write of `w`. Every element is computed by itself, so the bits depend on
    /// nothing but the values. Many factors are multiplied to two matrices first, whose sizes are as equal as may be.
    /// With `s = 0`, `w` stays as it is, whatever the factors hold.
    ///
    /// # Errors
    /// [`KronError::Shape`]; [`KronError::OutOfMemory`] as [`KronBase::dense_into`]; `w` is then untouched.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let mut w = array![[1.0, 1.0], [1.0, 1.0]];
    /// Kron::new(array![[1.0, 2.0]], array![[1.0], [3.0]])?.add_to(0.5, &mut w)?;
    /// assert_eq!(w, array![[1.5, 2.0], [2.5, 4.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn add_to(&self, s: T, w: &mut ArrayRef2<T>) -> Result<()> {
        KronError::check_shape("add_to", "w", self.dim, w.dim())?;
        if s == T::zero() { Ok(()) } else { self.add_checked(s, w.view_mut()) }
    }

    fn add_checked(&self, s: T, w: ArrayViewMut2<'_, T>) -> Result<()> {
        let (a, b) = self.halves()?;
        add(s, a.view(), b.view(), w);
        Ok(())
    }

    /// Two matrices whose product this is.
    fn halves(&self) -> Result<(CowArray<'_, T, Ix2>, CowArray<'_, T, Ix2>)> {
        if let [a, b] = self.factors() {
            return Ok((a.dense(), b.dense()));
        }
        let factors = balanced(self.factors().iter().map(Factor::dense).collect());
        let size = |factors: &[CowArray<'_, T, Ix2>]| {
            factors.iter().fold(1_usize, |size, factor| size.saturating_mul(factor.len()))
        };
        let splits = 0..=factors.len();
        let memory = |split: &usize| size(&factors[..*split]).saturating_add(size(&factors[*split..]));
        let split = splits.min_by_key(memory).unwrap_or(0);
        Ok((multiplied(&factors[..split])?, multiplied(&factors[split..])?))
    }
}

/// The Kronecker product of matrices; `[[1]]` of none.
fn multiplied<'m, T: Scalar>(factors: &[CowArray<'m, T, Ix2>]) -> Result<CowArray<'m, T, Ix2>> {
    let Some((first, others)) = factors.split_first() else { return Ok(CowArray::from(Array2::ones((1, 1)))) };
    others.iter().try_fold(first.clone(), |product, factor| Ok(CowArray::from(kron_dense(&product, factor)?)))
}

compiled_once! {
    /// `W ← W + s·(A ⊗ B)`.
    fn add(s: T, a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, w: ArrayViewMut2<'_, T>) by add_rows
}

fn add_rows<T: Scalar>(s: T, a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, mut w: ArrayViewMut2<'_, T>) {
    if w.strides()[0].unsigned_abs() < w.strides()[1].unsigned_abs() {
        return add_rows(s, a.reversed_axes(), b.reversed_axes(), w.reversed_axes());
    }
    let (p, q) = b.dim();
    let (a, b) = (row_major(CowArray::from(a)), row_major(CowArray::from(b)));
    // Rows are grouped so that one task is worth its start, whatever the width of a row.
    let rows_per_task = (MERGE_TASK / w.ncols()).clamp(1, w.nrows());
    w.axis_chunks_iter_mut(Axis(0), rows_per_task).into_par_iter().enumerate().for_each(|(task, mut rows)| {
        for (offset, mut row) in rows.rows_mut().into_iter().enumerate() {
            let index = task * rows_per_task + offset;
            let (a_row, b_row) = (a.row(index / p), b.row(index % p));
            match (row.as_slice_mut(), a_row.as_slice(), b_row.as_slice()) {
                (Some(row), Some(a_row), Some(b_row)) => add_row(s, a_row, b_row, row),
                _ => {
                    for (col, w) in row.iter_mut().enumerate() {
                        *w += s * a_row[col / q] * b_row[col % q];
                    }
                }
            }
        }
    });
}
