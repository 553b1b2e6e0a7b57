//! Gradients of both factors and of the input, from one output gradient.

use ndarray::{Array, Array2, ArrayRef, ArrayView2, ArrayViewMut2, Dimension};
use smallvec::{SmallVec, smallvec};

use super::factor::Factor;
use super::factor_list::FactorList;
use super::kron::KronBase;
use super::plan::Plan;
use super::structure::all_finite;
use crate::contraction::{Pass, Rows, backward};
use crate::error::{KronError, Result};
use crate::gemm::{Blend, Threads, matmul, product};
use crate::memory;
use crate::scalar::Scalar;

/// Gradients of the stored matrices of a product, in the order and shapes of [`KronBase::parts`].
///
/// # Examples
/// ```
/// use lokr_core::{Kron, KronGradients};
/// use ndarray::array;
/// let k = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?;
/// let gradients = KronGradients::zeros(&k);
/// assert_eq!(gradients.parts()[0].dim(), (1, 2));
/// assert_eq!(gradients.parts()[1].dim(), (2, 1));
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct KronGradients<T> {
    parts: Vec<Array2<T>>,
}

impl<T: Scalar> KronGradients<T> {
    /// All zero, in the shapes of `kron`'s stored matrices.
    #[must_use]
    pub fn zeros<L: FactorList<Elem = T>>(kron: &KronBase<L>) -> Self {
        Self { parts: kron.parts().map(|part| Array2::zeros(part.dim())).collect() }
    }

    /// [`KronGradients::zeros`], with an error where memory is refused.
    ///
    /// # Errors
    /// [`KronError::OutOfMemory`].
    pub fn try_zeros<L: FactorList<Elem = T>>(kron: &KronBase<L>) -> Result<Self> {
        let parts = kron.parts().map(|part| memory::zeros("gradients", part.dim())).collect::<Result<_>>()?;
        Ok(Self { parts })
    }

    /// Those of the stored matrices, from the gradients of the factors multiplied out.
    pub(crate) fn of_factors<L: FactorList<Elem = T>>(
        kron: &KronBase<L>,
        gradients: impl IntoIterator<Item = Array2<T>>,
    ) -> Self {
        let mut parts = Vec::new();
        for (factor, gradient) in kron.factors().iter().zip(gradients) {
            if let Factor::LowRank(low) = factor {
                let (left, right) = (low.left().reversed_axes(), low.right().reversed_axes());
                parts.push(matmul(gradient.view(), right, Threads::All));
                parts.push(matmul(left, gradient.view(), Threads::All));
            } else {
                parts.push(gradient);
            }
        }
        Self { parts }
    }

    /// The gradients: of `A` or `A_a, A_b`, then of `B` or `B_a, B_b`, and so on.
    #[must_use]
    pub fn parts(&self) -> &[Array2<T>] {
        &self.parts
    }

    /// The gradients, writable.
    pub fn parts_mut(&mut self) -> &mut [Array2<T>] {
        &mut self.parts
    }

    /// The gradients, in memory of their own.
    #[must_use]
    pub fn into_parts(self) -> Vec<Array2<T>> {
        self.parts
    }

    /// Sets all of them to zero, keeping the memory.
    pub fn fill_zero(&mut self) {
        self.parts.iter_mut().for_each(|part| part.fill(T::zero()));
    }
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// Gradients of a loss with respect to the stored matrices and the input of [`KronBase::apply`], from the gradient
    /// `dy` of its output.
    ///
    /// With `G_i = reshape(dy_i, (m, p))`, `Z_i = X_i·Bᵀ` and `H_i = Aᵀ·G_i`: `dA = Σ G_i·Z_iᵀ`, `dB = Σ H_iᵀ·X_i`,
    /// `dX_i = H_i·B`. The intermediates are shared, and the dense gradient `dyᵀ·x` is never formed.
    ///
    /// # Shapes
    /// `x` and `dy` are samples as [`KronBase::apply`] takes and makes them: vectors, rows or fields. Result: the
    /// gradients of [`KronBase::parts`], and `dx`, in the shape of `x`.
    /// # Cost
    /// With two factors about 2.5 times [`KronBase::apply`]: one product is done again, four more follow. With many
    /// about three times.
    /// # Reproducibility
    /// Sums over the batch are split by block and added in block order: on the embedded backend the bits do not depend
    /// on the number of threads.
    /// # Errors
    /// As [`KronBase::apply`] for `x` and for `dy`.
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0]], array![[3.0, 5.0]])?; // y = 2·(3·x₀ + 5·x₁)
    /// let (gradients, dx) = k.gradients(&array![[1.0, 10.0]], &array![[1.0]])?;
    /// assert_eq!(gradients.parts()[0], array![[53.0]]); // 3·1 + 5·10
    /// assert_eq!(gradients.parts()[1], array![[2.0, 20.0]]); // 2·x
    /// assert_eq!(dx, array![[6.0, 10.0]]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn gradients<D: Dimension>(
        &self,
        x: &ArrayRef<T, D>,
        dy: &ArrayRef<T, D>,
    ) -> Result<(KronGradients<T>, Array<T, D>)> {
        let inputs = self.inputs("gradients", "x");
        let x_rows = inputs.rows(x, None)?;
        let dy_rows = self.outputs("gradients", "dy").rows(dy, Some(x_rows.nrows()))?;
        let mut gradients = KronGradients::zeros(self);
        let mut dx = memory::zeros("gradients", x_rows.dim())?;
        let rows = Rows { x: x_rows.view(), dy: dy_rows.view(), dx: dx.view_mut() };
        self.gradients_of_rows(Blend::overwrite(), rows, &mut gradients);
        Ok((gradients, inputs.array(dx, x.ndim())?))
    }

    /// [`KronBase::gradients`] into given memory: adds `α` times the gradients of the stored matrices to `gradients`,
    /// and sets `dX ← α·dY·(A ⊗ B) + β·dX`. With `beta = 0`, `dx` may hold anything; with `alpha = 0`, so may `x`, `dy`
    /// and the factors.
    ///
    /// # Errors
    /// As [`KronBase::apply`] when an argument does not fit; all are then untouched.
    pub fn gradients_into<D: Dimension>(
        &self,
        alpha: T,
        x: &ArrayRef<T, D>,
        dy: &ArrayRef<T, D>,
        gradients: &mut KronGradients<T>,
        beta: T,
        dx: &mut ArrayRef<T, D>,
    ) -> Result<()> {
        let x = self.inputs("gradients", "x").rows(x, None)?;
        let batch = x.nrows();
        let dy = self.outputs("gradients", "dy").rows(dy, Some(batch))?;
        let inputs = self.inputs("gradients", "dx");
        inputs.count(dx.shape(), Some(batch))?;
        let expected = self.parts().map(|part| part.dim());
        let found = gradients.parts.iter().map(|part| part.dim()).chain(std::iter::repeat((0, 0)));
        for (expected, found) in expected.zip(found) {
            KronError::check_shape("gradients", "the gradient of a factor", expected, found)?;
        }
        inputs.with_rows_mut(dx, batch, |dx| {
            let rows = Rows { x: x.view(), dy: dy.view(), dx: dx.view_mut() };
            self.gradients_of_rows(Blend { alpha, beta }, rows, gradients);
        })
    }

    /// [`KronBase::gradients_into`] of rows, when all shapes have been checked.
    fn gradients_of_rows(&self, blend: Blend<T>, mut rows: Rows<'_, T>, gradients: &mut KronGradients<T>) {
        let batch = rows.x.nrows();
        if batch == 0 || blend.alpha == T::zero() {
            blend.keep(rows.dx.view_mut());
            return;
        }
        let plan = Plan::new(self.factors(), batch, Pass::Backward, || all_finite(&rows.x) && all_finite(&rows.dy));
        let mut targets: SmallVec<[_; 2]> = SmallVec::new();
        let mut parts = gradients.parts.iter_mut();
        for (factor, matrices) in self.factors().iter().zip(&plan.axes) {
            let halves = parts.by_ref().take(factor.parts().count()).map(|part| part.view_mut()).collect();
            targets.push(Target::new(factor, matrices.len(), halves));
        }
        {
            // In the order of the steps, which visit the axes and each axis's matrices in an order of the plan's own.
            let mut slots: SmallVec<[Slots<'_, T>; 2]> = targets.iter_mut().map(Target::slots).collect();
            let mut ordered: SmallVec<[_; 4]> =
                plan.sequence.iter().filter_map(|c| slots[c.axis][c.index].take()).collect();
            backward(&plan.steps(), blend, rows, &mut ordered);
        }
        targets.into_iter().for_each(Target::finish);
    }
}

/// The one or two stored matrices of a factor.
type Parts<'g, T> = SmallVec<[ArrayViewMut2<'g, T>; 2]>;

/// Where the matrices of a plan's axis put their gradients, each to be taken once.
type Slots<'g, T> = SmallVec<[Option<ArrayViewMut2<'g, T>>; 2]>;

/// Where the gradient of one factor goes.
enum Target<'g, 'f, T> {
    /// Straight to the stored matrices, listed in the order in which they are applied.
    Direct(Parts<'g, T>),
    /// To the multiplied-out factor first, then by the chain rule to its halves.
    Dense { gradient: Array2<T>, left: ArrayView2<'f, T>, right: ArrayView2<'f, T>, halves: Parts<'g, T> },
}

impl<'g, 'f, T: Scalar> Target<'g, 'f, T> {
    fn new(factor: &'f Factor<'_, T>, matrices: usize, mut halves: Parts<'g, T>) -> Self {
        match factor {
            Factor::LowRank(low) if matrices == 1 => {
                Self::Dense { gradient: Array2::zeros(factor.dim()), left: low.left(), right: low.right(), halves }
            }
            _ => {
                halves.reverse(); // The right half is applied first.
                Self::Direct(halves)
            }
        }
    }

    fn slots(&mut self) -> Slots<'_, T> {
        match self {
            Self::Direct(parts) => parts.iter_mut().map(|part| Some(part.view_mut())).collect(),
            Self::Dense { gradient, .. } => smallvec![Some(gradient.view_mut())],
        }
    }

    /// `d(left) += dB·rightᵀ`, `d(right) += leftᵀ·dB`.
    fn finish(self) {
        if let Self::Dense { gradient, left, right, mut halves } = self
            && let [d_left, d_right] = halves.as_mut_slice()
        {
            let (right, left) = (right.reversed_axes(), left.reversed_axes());
            product(Blend::add(), gradient.view(), right, d_left.view_mut(), Threads::All);
            product(Blend::add(), left, gradient.view(), d_right.view_mut(), Threads::All);
        }
    }
}
