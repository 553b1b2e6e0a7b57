//! Applying a product and its transpose to samples.

use ndarray::{Array, ArrayRef, ArrayRef2, Dimension};

use super::factor::Factor;
use super::factor_list::FactorList;
use super::kron::KronBase;
use super::plan::Plan;
use super::samples::Samples;
use super::structure::all_finite;
use crate::contraction::{Pass, forward};
use crate::error::Result;
use crate::gemm::Blend;
use crate::memory;
use crate::scalar::Scalar;

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// Applies the product to every sample of `x` without forming it: `Y = X·(A ⊗ B)ᵀ`.
    ///
    /// # Shapes
    /// With factors `(m_i, n_i)`, `x` is one of three, with any strides, and the result, row-major, has as many axes:
    ///
    /// | `x` | | result |
    /// |---|---|---|
    /// | `Π n_i` | one vector | `Π m_i` |
    /// | `batch × Π n_i` | a sample in each row, `batch = 0` allowed | `batch × Π m_i` |
    /// | `batch × n_1 × … × n_k` | fields: images where there are two factors | `batch × m_1 × … × m_k` |
    ///
    /// # Method
    /// Read row `i` of `x` in row-major order as an `n × q` matrix `X_i`; row `i` of the result is `A·X_i·Bᵀ`, read the
    /// same way. Source: Horn & Johnson, *Topics in Matrix Analysis*, Lemma 4.3.1, restated for rows. With more factors
    /// one axis after the other is contracted.
    /// # Cost
    /// Of two factors `2·batch·min(n·p·(q + m), m·q·(n + p))` flops, the cheaper factor first (see [`crate::Order`]);
    /// the dense product would take `2·batch·m·n·p·q`. Of many: contracting axis `i` when a sample holds `S` values
    /// takes `2·S·m_i` flops and leaves `S·m_i/n_i` values; the axes are taken in ascending order of `1/n_i − 1/m_i`,
    /// which is the cheapest. A low-rank factor is applied half by half, in the cheapest order, unless multiplying it
    /// out first is cheaper. Scratch memory is a block per thread, kept by the thread.
    /// # Reproducibility
    /// On the embedded backend the bits do not depend on the number of threads.
    /// # Errors
    /// [`KronError::Length`](crate::KronError::Length) of a vector, [`KronError::Shape`](crate::KronError::Shape) of
    /// rows, [`KronError::FieldShape`](crate::KronError::FieldShape) of fields that do not fit;
    /// [`KronError::TooLarge`](crate::KronError::TooLarge) and
    /// [`KronError::OutOfMemory`](crate::KronError::OutOfMemory) for a result that memory does not hold.
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
    ///
    /// let k = Kron::new(&a, &b)?;
    /// assert_eq!(k.apply(&array![1.0, 2.0, 3.0, 4.0])?, array![7.0, 10.0, 17.0]); // a vector
    /// assert_eq!(k.apply(&array![[[1.0, 2.0], [3.0, 4.0]]])?, array![[[7.0, 10.0, 17.0]]]); // one field of 2 × 2
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply<D: Dimension>(&self, x: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let rows = self.inputs("apply", "x").rows(x, None)?;
        let mut y = memory::zeros("apply", (rows.nrows(), self.dim.0))?;
        self.apply_rows(T::one(), &rows, T::zero(), &mut y);
        self.outputs("apply", "y").array(y, x.ndim())
    }

    /// `Y ← α·X·(A ⊗ B)ᵀ + β·Y`: [`KronBase::apply`] into a given output, without a temporary of its size (but for
    /// fields whose samples do not lie one after the other).
    ///
    /// With `beta = 0`, `y` may hold anything, NaN included; with `alpha = 0`, so may `x` and the factors.
    ///
    /// # Errors
    /// As [`KronBase::apply`] for `x` and for `y`, which is then untouched.
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
    pub fn apply_into<D: Dimension>(
        &self,
        alpha: T,
        x: &ArrayRef<T, D>,
        beta: T,
        y: &mut ArrayRef<T, D>,
    ) -> Result<()> {
        let rows = self.inputs("apply", "x").rows(x, None)?;
        let outputs = self.outputs("apply", "y");
        outputs.with_rows_mut(y, rows.nrows(), |y| self.apply_rows(alpha, &rows, beta, y))
    }

    /// Applies the transpose to every sample: `X = Y·(A ⊗ B)`.
    ///
    /// # Shapes
    /// As [`KronBase::apply`], with the sides of the factors exchanged.
    /// # Cost
    /// As [`KronBase::apply`] with the factors transposed.
    /// # Errors
    /// As [`KronBase::apply`].
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 2.0]], array![[1.0], [3.0]])?; // [[1, 2], [3, 6]]
    /// assert_eq!(k.apply_transposed(&array![[1.0, 1.0]])?, array![[4.0, 8.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn apply_transposed<D: Dimension>(&self, y: &ArrayRef<T, D>) -> Result<Array<T, D>> {
        let rows = self.outputs("apply_transposed", "y").rows(y, None)?;
        let mut x = memory::zeros("apply_transposed", (rows.nrows(), self.dim.1))?;
        self.transposed().apply_rows(T::one(), &rows, T::zero(), &mut x);
        self.inputs("apply_transposed", "x").array(x, y.ndim())
    }

    /// `X ← α·Y·(A ⊗ B) + β·X`: [`KronBase::apply_transposed`] into a given output.
    ///
    /// # Errors
    /// As [`KronBase::apply`] for `y` and for `x`, which is then untouched.
    pub fn apply_transposed_into<D: Dimension>(
        &self,
        alpha: T,
        y: &ArrayRef<T, D>,
        beta: T,
        x: &mut ArrayRef<T, D>,
    ) -> Result<()> {
        let rows = self.outputs("apply_transposed", "y").rows(y, None)?;
        let inputs = self.inputs("apply_transposed", "x");
        inputs.with_rows_mut(x, rows.nrows(), |x| self.transposed().apply_rows(alpha, &rows, beta, x))
    }

    /// [`KronBase::apply_into`] of rows whose shapes have been checked.
    fn apply_rows(&self, alpha: T, x: &ArrayRef2<T>, beta: T, y: &mut ArrayRef2<T>) {
        if x.nrows() == 0 {
            return;
        }
        let plan = Plan::new(self.factors(), x.nrows(), Pass::Forward, || all_finite(x));
        forward(&plan.steps(), Blend { alpha, beta }, x, y);
    }

    /// The samples that the product is applied to.
    pub(crate) fn inputs(
        &self,
        operation: &'static str,
        argument: &'static str,
    ) -> Samples<impl Iterator<Item = usize> + Clone> {
        Samples { operation, argument, width: self.dim.1, sides: self.factors().iter().map(Factor::ncols) }
    }

    /// The samples that come out.
    pub(crate) fn outputs(
        &self,
        operation: &'static str,
        argument: &'static str,
    ) -> Samples<impl Iterator<Item = usize> + Clone> {
        Samples { operation, argument, width: self.dim.0, sides: self.factors().iter().map(Factor::nrows) }
    }

    /// The same operator in memory of its own, made ready for batches of up to `batch` samples: a low-rank factor is
    /// multiplied out if that is what [`KronBase::apply`] would do every time. Applying the result allocates nothing
    /// but the scratch memory that threads keep.
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
    pub fn prepared(&self, batch: usize) -> Result<KronBase<L::Like<'static, T>>> {
        let forms = Plan::forms(self.factors(), batch, Pass::Forward).forms;
        let mut forms = forms.iter();
        self.try_map(self.dim, |_, factor| Ok(forms.next().copied().unwrap_or_default().factor(factor)))
    }
}
