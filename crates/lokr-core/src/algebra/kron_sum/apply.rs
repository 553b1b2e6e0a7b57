//! Applying a Kronecker sum and its transpose to samples.

use ndarray::{Array, ArrayRef, ArrayRef2, CowArray, Dimension, Ix2};
use smallvec::{SmallVec, smallvec};

use super::sum::KronSum;
use crate::contraction::{Operand, Step, Steps, forward};
use crate::error::Result;
use crate::gemm::Blend;
use crate::gemm::views::either_major;
use crate::memory;
use crate::operator::{Factor, Samples};
use crate::scalar::Scalar;

impl<T: Scalar> KronSum<'_, T> {
    /// Applies the sum to every sample of `x`: `Y = X·(A ⊕ B)ᵀ`, `Y_i = A·X_i + X_i·Bᵀ`; of more summands, the matrix
    /// of each along its axis, added up.
    ///
    /// # Shapes
    /// `x` is a vector, rows or fields, any strides, as in [`KronBase::apply`](crate::operator::KronBase::apply).
    /// Result: the same shape, row-major.
    /// # Cost
    /// `2·batch·n·p·(n + p)` flops for two summands; for more, the sizes multiplied, times their sum. A low-rank factor
    /// is applied half by half where that is less. The bits do not depend on the number of threads, which share large
    /// batches and large samples.
    /// # Errors
    /// [`KronError::Length`](crate::KronError::Length), [`KronError::Shape`](crate::KronError::Shape),
    /// [`KronError::FieldShape`](crate::KronError::FieldShape);
    /// [`KronError::TooLarge`](crate::KronError::TooLarge) and
    /// [`KronError::OutOfMemory`](crate::KronError::OutOfMemory) for a result that memory does not hold.
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// // The Laplacian of a 2 × 3 grid, applied to one field.
    /// let two = array![[1.0, -1.0], [-1.0, 1.0]];
    /// let three = array![[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]];
    /// let laplacian = KronSum::new(&two, &three)?;
    /// let y = laplacian.apply(&array![[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])?;
    /// assert_eq!(y, array![[[0.0, -1.0, 0.0], [-1.0, 3.0, -1.0]]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply<D: Dimension>(&self, x: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let rows = self.samples("apply", "x").rows(x, None)?;
        let mut y = memory::zeros("apply", rows.dim())?;
        self.apply_rows(T::one(), &rows, T::zero(), &mut y);
        self.samples("apply", "y").array(y, x.ndim())
    }

    /// `Y ← α·X·(A ⊕ B)ᵀ + β·Y`: [`KronSum::apply`] into a given output.
    ///
    /// With `beta = 0`, `y` may hold anything, NaN included; with `alpha = 0`, so may `x` and the factors.
    ///
    /// # Errors
    /// As [`KronSum::apply`] for `x` and for `y`, which is then untouched.
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let mut y = array![100.0, 200.0];
    /// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?; // [[11, 2], [3, 14]]
    /// sum.apply_into(2.0, &array![1.0, 1.0], 1.0, &mut y)?;
    /// assert_eq!(y, array![126.0, 234.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply_into<D: Dimension>(
        &self,
        alpha: T,
        x: &ArrayRef<T, D>,
        beta: T,
        y: &mut ArrayRef<T, D>,
    ) -> Result<()> {
        let rows = self.samples("apply", "x").rows(x, None)?;
        let outputs = self.samples("apply", "y");
        outputs.with_rows_mut(y, rows.nrows(), |y| self.apply_rows(alpha, &rows, beta, y))
    }

    /// Applies the transpose to every sample: `X = Y·(A ⊕ B)`.
    ///
    /// # Shapes and cost
    /// Those of [`KronSum::apply`].
    /// # Errors
    /// As [`KronSum::apply`].
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?; // [[11, 2], [3, 14]]
    /// assert_eq!(sum.apply_transposed(&array![1.0, 0.0])?, array![11.0, 2.0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply_transposed<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let rows = self.samples("apply_transposed", "y").rows(y, None)?;
        let mut x = memory::zeros("apply_transposed", rows.dim())?;
        self.transposed().apply_rows(T::one(), &rows, T::zero(), &mut x);
        self.samples("apply_transposed", "x").array(x, y.ndim())
    }

    /// `X ← α·Y·(A ⊕ B) + β·X`: [`KronSum::apply_transposed`] into a given output.
    ///
    /// # Errors
    /// As [`KronSum::apply`] for `y` and for `x`, which is then untouched.
    pub fn apply_transposed_into<D: Dimension>(
        &self,
        alpha: T,
        y: &ArrayRef<T, D>,
        beta: T,
        x: &mut ArrayRef<T, D>,
    ) -> Result<()> {
        let rows = self.samples("apply_transposed", "y").rows(y, None)?;
        let inputs = self.samples("apply_transposed", "x");
        inputs.with_rows_mut(x, rows.nrows(), |x| self.transposed().apply_rows(alpha, &rows, beta, x))
    }

    /// [`KronSum::apply_into`] of rows whose shapes have been checked.
    fn apply_rows(&self, alpha: T, x: &ArrayRef2<T>, beta: T, y: &mut ArrayRef2<T>) {
        let mut blend = Blend { alpha, beta };
        for (factor, before, after) in self.axes() {
            let matrices = matrices(factor);
            let operands = matrices.iter().map(|matrix| Operand::Matrix(matrix.view()));
            let steps: Steps<'_, T> = operands.map(|operand| Step::new(operand, before, after)).collect();
            forward(&steps, blend, x, y);
            blend = blend.with_beta(T::one());
        }
    }

    /// The samples that the sum is applied to, and that come out.
    pub(super) fn samples(
        &self,
        operation: &'static str,
        argument: &'static str,
    ) -> Samples<impl Iterator<Item = usize> + Clone> {
        Samples { operation, argument, width: self.side, sides: self.factors.iter().map(Factor::nrows) }
    }
}

/// What a factor is applied by, the first to be applied first: its halves where they hold fewer values.
fn matrices<'f, T: Scalar>(factor: &'f Factor<'_, T>) -> SmallVec<[CowArray<'f, T, Ix2>; 2]> {
    match factor {
        Factor::LowRank(low) if low.rank() > 0 && 2 * low.rank() < factor.nrows() => {
            smallvec![either_major(low.right().into()), either_major(low.left().into())]
        }
        _ => smallvec![either_major(factor.dense())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::kron_sum::cases::sums;
    use crate::error::KronError;
    use crate::test_support::all_close;
    use lokr_testing::{LAYOUTS, matrix, with_layout};
    use ndarray::{Array2, Array3, array, s};

    fn agrees_with_the_dense_sum<T: Scalar>(scales: [f64; 3]) {
        for (sum, dense) in sums::<T>() {
            let size = dense.nrows();
            let allowed = T::from_usize_lossy(4 * size);
            for scale in scales.map(T::from_f64_lossy) {
                let sum = &sum * scale;
                for batch in [0, 1, 4] {
                    let x = matrix::<T>(batch, size, 7);
                    let (forth, back) = (x.dot(&dense.t()), x.dot(&dense));
                    for layout in LAYOUTS {
                        with_layout(&x, layout, |x| {
                            all_close(&(sum.apply(x).unwrap() / scale), &forth, allowed);
                            all_close(&(sum.apply_transposed(x).unwrap() / scale), &back, allowed);
                        });
                    }
                    for (alpha, beta) in [(1.0, 0.0), (-0.5, 2.0), (0.0, 1.0)] {
                        let (alpha, beta) = (T::from_f64_lossy(alpha), T::from_f64_lossy(beta));
                        let before = matrix::<T>(batch, size, 8) * scale;
                        let start = if beta == T::zero() { before.mapv(|_| T::nan()) } else { before.clone() };
                        let expected = |plain: &Array2<T>| plain * alpha + &before / scale * beta;
                        let mut y = start.clone();
                        sum.apply_into(alpha, &x, beta, &mut y).unwrap();
                        all_close(&(y / scale), &expected(&forth), allowed);
                        let mut y = start;
                        sum.apply_transposed_into(alpha, &x, beta, &mut y).unwrap();
                        all_close(&(y / scale), &expected(&back), allowed);
                    }
                }
            }
            let x = matrix::<T>(3, size, 9);
            let rows = sum.apply(&x).unwrap();
            assert_eq!(sum.apply(&x.row(1)).unwrap(), sum.apply(&x.slice(s![1..2, ..])).unwrap().row(0));
            if let [a, b] = sum.factors() {
                let fields = x.into_shape_with_order((3, a.nrows(), b.nrows())).unwrap();
                let mut y = Array3::from_elem(fields.dim(), T::nan());
                sum.apply_into(T::one(), &fields, T::zero(), &mut y.slice_mut(s![.., ..;-1, ..])).unwrap();
                let y =
                    Array2::from_shape_vec((3, size), y.slice(s![.., ..;-1, ..]).iter().copied().collect()).unwrap();
                assert_eq!(
                    (sum.apply(&fields).unwrap().into_shape_with_order((3, size)).unwrap(), y),
                    (rows.clone(), rows)
                );
            }
        }
    }

    #[test]
    fn f32_and_f64_agree_with_the_dense_sum_at_every_scale() {
        agrees_with_the_dense_sum::<f32>([1.0, 1e-30, 1e30]);
        agrees_with_the_dense_sum::<f64>([1.0, 1e-200, 1e200]);
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        let plane = KronSum::new(matrix::<f32>(137, 137, 1), matrix(29, 29, 2)).unwrap();
        let space = KronSum::new(plane.view(), matrix(11, 11, 3)).unwrap();
        let (rows, one) = (matrix(11, 137 * 29, 3), matrix(1, 137 * 29 * 11, 4));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (plane.apply(&rows), space.apply(&one), space.apply_transposed(&one)))
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn nothing_is_read_without_alpha_and_nan_is_kept_with_it() {
        let sum = KronSum::new(array![[f64::NAN]], array![[1.0, 0.0], [0.0, 1.0]]).unwrap();
        let mut y = array![3.0, 4.0];
        sum.apply_into(0.0, &array![f64::NAN, 1.0], 2.0, &mut y).unwrap();
        assert_eq!(y, array![6.0, 8.0]);
        assert!(sum.apply(&array![0.0, 1.0]).unwrap().iter().all(|y| y.is_nan()));
    }

    #[test]
    fn each_error_is_named() {
        let sum = KronSum::new(array![[1.0]], array![[-1.0, 3.0], [0.0, 1.0]]).unwrap();
        let shape = |operation, argument| KronError::Shape { operation, argument, expected: (1, 2), found: (1, 3) };
        let wide = array![[1.0, 2.0, 3.0]];
        assert_eq!(sum.apply(&wide), Err(shape("apply", "x")));
        assert_eq!(sum.apply_transposed(&wide), Err(shape("apply_transposed", "y")));
        let length = KronError::Length { operation: "apply", argument: "x", expected: 2, found: 1 };
        assert_eq!(sum.apply(&array![1.0]), Err(length));
        let mut y = wide.clone();
        assert_eq!(sum.apply_into(1.0, &array![[1.0, 2.0]], 0.0, &mut y), Err(shape("apply", "y")));
        assert_eq!(y, wide);
        let field =
            KronError::FieldShape { operation: "apply", argument: "x", expected: vec![1, 1, 2], found: vec![1, 2, 1] };
        assert_eq!(sum.apply(&array![[[1.0], [2.0]]]), Err(field));
    }
}
