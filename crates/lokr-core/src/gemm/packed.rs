//! A weight laid out once for many products with it.

use ndarray::{ArrayRef2, ArrayViewMut2};

use super::blend::Blend;
use super::kernel::Strided;
use super::limits::THREADED_STRIPS_FLOPS;
use super::scratch::with_scratch;
use super::strips::{self, multiply};
use super::threads::Threads;
use super::views;
use crate::error::{KronError, Result};
use crate::scalar::{Scalar, compiled_once};

/// A matrix `W (out, in)` laid out for `Y = X·Wᵀ`, in strips of neighbouring outputs.
///
/// Making one costs a copy of `W`. Products with it then pack nothing, so that small batches are as fast as memory
/// allows, and allocate nothing. The kernels are the embedded ones on every backend.
///
/// # Examples
/// ```
/// use lokr_core::PackedMatrix;
/// use ndarray::{Array2, array};
/// let w = PackedMatrix::new(&array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])?;
/// let mut y = Array2::from_elem((1, 3), f64::NAN);
/// w.apply_into(1.0, &array![[1.0, 10.0]], 0.0, &mut y)?;
/// assert_eq!(y, array![[21.0, 43.0, 65.0]]);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PackedMatrix<T> {
    /// Strip after strip of neighbouring outputs; within one, a row with their weights for every input.
    strips: Vec<T>,
    dim: (usize, usize),
}

impl<T: Scalar> PackedMatrix<T> {
    /// Lays out a copy of `w (out, in)`.
    ///
    /// # Errors
    /// [`KronError::EmptyFactor`] for a matrix without rows or columns.
    pub fn new(w: &ArrayRef2<T>) -> Result<Self> {
        let dim @ (rows, cols) = w.dim();
        if w.is_empty() {
            return Err(KronError::EmptyFactor { name: "to be packed", rows, cols });
        }
        let w = w.as_standard_layout();
        let mut strips = vec![T::zero(); rows * cols];
        if let Some(w) = Strided::one(w.t()) {
            strips::lay_out(w, cols, rows, &mut strips);
        }
        Ok(Self { strips, dim })
    }

    /// Shape `(out, in)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        self.dim
    }

    /// `Y ← α·X·Wᵀ + β·Y`. With `beta = 0`, `y` may hold anything; with `alpha = 0`, so may `x` and `w`.
    ///
    /// # Shapes
    /// `x`: `batch × in`; `y`: `batch × out`. An `x` whose rows are not contiguous is copied into scratch memory; a `y`
    /// whose rows are not contiguous goes through scratch memory.
    /// # Cost
    /// `2·batch·in·out` flops and one pass over `W`: a piece of a strip stays in the first-level cache while all rows
    /// go past it.
    /// # Reproducibility
    /// The bits do not depend on the number of threads.
    /// # Errors
    /// [`KronError::Shape`]; `y` is then untouched.
    pub fn apply_into(&self, alpha: T, x: &ArrayRef2<T>, beta: T, y: &mut ArrayRef2<T>) -> Result<()> {
        let ((out, inputs), batch) = (self.dim, x.nrows());
        KronError::check_shape("packed product", "x", (batch, inputs), x.dim())?;
        KronError::check_shape("packed product", "y", (batch, out), y.dim())?;
        if batch == 0 {
            return Ok(());
        }
        let (blend, y) = (Blend { alpha, beta }, y.view_mut());
        if alpha == T::zero() {
            blend.keep(y);
            return Ok(());
        }
        match (x.as_slice(), strips::rows_lie(&y)) {
            (Some(x), true) => self.multiply(blend, x, y),
            (x_slice, _) => {
                let copied = if x_slice.is_some() { 0 } else { x.len() };
                with_scratch(copied + y.len(), |scratch| {
                    let (x_copy, result) = scratch.split_at_mut(copied);
                    let x = views::rows_or_copy(x, x_copy);
                    self.multiply(blend.with_beta(T::zero()), x, views::view_mut(result, out));
                    views::put(views::view(result, out), beta, y);
                });
            }
        }
        Ok(())
    }

    /// `x` row after row; `y` with contiguous rows.
    fn multiply(&self, blend: Blend<T>, x: &[T], y: ArrayViewMut2<'_, T>) {
        let (out, inputs) = self.dim;
        let flops = 2 * x.len() * out;
        let threads = Threads::All.for_flops(flops, THREADED_STRIPS_FLOPS).unless_woken(flops);
        by_strips(blend, x, &self.strips, inputs, y, threads);
    }
}

compiled_once! {
    /// [`strips::multiply`].
    fn by_strips(
        blend: Blend<T>,
        x: &[T],
        strips: &[T],
        inputs: usize,
        y: ArrayViewMut2<'_, T>,
        threads: Threads,
    ) by multiply
}
