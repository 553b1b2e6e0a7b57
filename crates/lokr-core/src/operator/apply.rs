//! Applying `A ⊗ B` and its transpose to a batch of rows.

use ndarray::{Array2, ArrayRef2};

use super::kron::Kron;
use super::plan::Plan;
use crate::contraction::{Pass, forward};
use crate::error::{KronError, Result};
use crate::gemm::Blend;
use crate::memory;
use crate::scalar::Scalar;

impl<T: Scalar> Kron<'_, T> {
    /// Applies `A ⊗ B` to every row of `x` without forming the product: `Y = X·(A ⊗ B)ᵀ`.
    ///
    /// # Shapes
    /// `x`: `batch × (n·q)`, any strides, `batch = 0` allowed. Result: `batch × (m·p)`, row-major.
    /// # Method
    /// Read row `i` of `x` in row-major order as an `n × q` matrix `X_i`; row `i` of the result is `A·X_i·Bᵀ`, read the
    /// same way. Source: Horn & Johnson, *Topics in Matrix Analysis*, Lemma 4.3.1, restated for rows.
    /// # Cost
    /// `2·batch·min(n·p·(q + m), m·q·(n + p))` flops, the cheaper factor first (see [`crate::Order`]); the dense
    /// product would take `2·batch·m·n·p·q`. A low-rank factor is applied half by half, in the cheapest order, unless
    /// multiplying it out first is cheaper. Scratch memory is a block per thread, kept by the thread.
    /// # Reproducibility
    /// On the embedded backend the bits do not depend on the number of threads.
    /// # Errors
    /// [`KronError::Shape`] if `x` does not have `n·q` columns; [`KronError::TooLarge`] and [`KronError::OutOfMemory`]
    /// for a result that memory does not hold.
    /// # Examples
    /// ```
    /// use lokr_core::{Kron, kron_dense};
    /// use ndarray::array;
    /// let a = array![[1.0, 2.0]]; // 1 × 2
    /// let b = array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]; // 3 × 2
    /// let x = array![[1.0, 2.0, 3.0, 4.0]];
    /// let y = Kron::new(&a, &b)?.apply(&x)?;
    /// assert_eq!(y, array![[7.0, 10.0, 17.0]]); // worked by hand
    /// assert_eq!(y, x.dot(&kron_dense(&a, &b)?.t())); // the slow way
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply(&self, x: &ArrayRef2<T>) -> Result<Array2<T>> {
        let (height, width) = self.dim();
        KronError::check_shape("apply", "x", (x.nrows(), width), x.dim())?;
        let mut y = memory::zeros("apply", (x.nrows(), height))?;
        self.apply_into(T::one(), x, T::zero(), &mut y)?;
        Ok(y)
    }

    /// `Y ← α·X·(A ⊗ B)ᵀ + β·Y`: [`Kron::apply`] into a given output, without a temporary of its size.
    ///
    /// With `beta = 0`, `y` may hold anything, NaN included; with `alpha = 0`, so may `x` and the factors.
    ///
    /// # Errors
    /// [`KronError::Shape`] unless `x` is `batch × (n·q)` and `y` is `batch × (m·p)`; `y` is then untouched.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let mut y = array![[100.0, 200.0]];
    /// let k = Kron::new(array![[2.0]], array![[1.0, 0.0], [0.0, 1.0]])?;
    /// k.apply_into(0.5, &array![[3.0, 4.0]], 1.0, &mut y)?;
    /// assert_eq!(y, array![[103.0, 204.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply_into(&self, alpha: T, x: &ArrayRef2<T>, beta: T, y: &mut ArrayRef2<T>) -> Result<()> {
        let (height, width) = self.dim();
        KronError::check_shape("apply", "x", (x.nrows(), width), x.dim())?;
        KronError::check_shape("apply", "y", (x.nrows(), height), y.dim())?;
        if x.nrows() == 0 {
            return Ok(());
        }
        let plan = Plan::for_kron(self, x.nrows(), Pass::Forward);
        forward(&plan.steps(), Blend { alpha, beta }, x, y);
        Ok(())
    }

    /// Applies the transpose to every row: `X = Y·(A ⊗ B)`.
    ///
    /// # Shapes
    /// `y`: `batch × (m·p)`; result: `batch × (n·q)`.
    /// # Cost
    /// As [`Kron::apply`] with the factors transposed.
    /// # Errors
    /// [`KronError::Shape`] if `y` does not have `m·p` columns; as [`Kron::apply`] for too large a result.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[1.0], [3.0]])?; // [[1, 2], [3, 6]]
    /// assert_eq!(k.apply_transposed(&array![[1.0, 1.0]])?, array![[4.0, 8.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply_transposed(&self, y: &ArrayRef2<T>) -> Result<Array2<T>> {
        let (height, width) = self.dim();
        KronError::check_shape("apply_transposed", "y", (y.nrows(), height), y.dim())?;
        let mut x = memory::zeros("apply_transposed", (y.nrows(), width))?;
        self.apply_transposed_into(T::one(), y, T::zero(), &mut x)?;
        Ok(x)
    }

    /// `X ← α·Y·(A ⊗ B) + β·X`: [`Kron::apply_transposed`] into a given output.
    ///
    /// # Errors
    /// [`KronError::Shape`] unless `y` is `batch × (m·p)` and `x` is `batch × (n·q)`; `x` is then untouched.
    pub fn apply_transposed_into(&self, alpha: T, y: &ArrayRef2<T>, beta: T, x: &mut ArrayRef2<T>) -> Result<()> {
        let (height, width) = self.dim();
        KronError::check_shape("apply_transposed", "y", (y.nrows(), height), y.dim())?;
        KronError::check_shape("apply_transposed", "x", (y.nrows(), width), x.dim())?;
        if y.nrows() == 0 {
            return Ok(());
        }
        let transposed = self.transposed();
        let plan = Plan::for_kron(&transposed, y.nrows(), Pass::Forward);
        forward(&plan.steps(), Blend { alpha, beta }, y, x);
        Ok(())
    }

    /// The same operator in memory of its own, made ready for batches of up to `batch` rows: a low-rank factor is
    /// multiplied out if that is what [`Kron::apply`] would do every time. Applying the result allocates nothing but
    /// the scratch memory that threads keep.
    ///
    /// # Errors
    /// None that the operator itself has not passed.
    /// # Examples
    /// ```
    /// # use lokr_core::{Factor, Kron};
    /// # use ndarray::{Array2, array};
    /// // 1 × 1, of rank 3 for no reason:
    /// let b = Factor::low_rank(array![[1.0, 0.0, 1.0]], array![[1.0], [2.0], [3.0]])?;
    /// let k = Kron::new(array![[5.0]], b)?;
    /// assert_eq!(k.parameter_count(), 7);
    /// assert_eq!(k.prepared(100)?.parameter_count(), 2);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn prepared(&self, batch: usize) -> Result<Kron<'static, T>> {
        Plan::multiplied_out(self, batch)
    }
}
