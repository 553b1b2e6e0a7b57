//! Gradients of both factors and of the input, from one output gradient.

use ndarray::{Array2, ArrayRef2, ArrayView2, ArrayViewMut2};
use smallvec::{SmallVec, smallvec};

use super::factor::Factor;
use super::kron::Kron;
use super::plan::Plan;
use crate::contraction::{Pass, Rows, backward};
use crate::error::{KronError, Result};
use crate::gemm::{Blend, Threads, product};
use crate::memory;
use crate::scalar::Scalar;

/// Gradients of the stored matrices of a [`Kron`], in the order and shapes of [`Kron::parts`].
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
    pub fn zeros(kron: &Kron<'_, T>) -> Self {
        Self { parts: kron.parts().map(|part| Array2::zeros(part.dim())).collect() }
    }

    /// [`KronGradients::zeros`], with an error where memory is refused.
    ///
    /// # Errors
    /// [`KronError::OutOfMemory`].
    pub fn try_zeros(kron: &Kron<'_, T>) -> Result<Self> {
        let parts = kron.parts().map(|part| memory::zeros("gradients", part.dim())).collect::<Result<_>>()?;
        Ok(Self { parts })
    }

    /// The gradients: of `A` or `A_a, A_b`, then of `B` or `B_a, B_b`.
    #[must_use]
    pub fn parts(&self) -> &[Array2<T>] {
        &self.parts
    }

    /// The gradients, writable.
    pub fn parts_mut(&mut self) -> &mut [Array2<T>] {
        &mut self.parts
    }

    /// Sets all of them to zero, keeping the memory.
    pub fn fill_zero(&mut self) {
        self.parts.iter_mut().for_each(|part| part.fill(T::zero()));
    }
}

impl<T: Scalar> Kron<'_, T> {
    /// Gradients of a loss with respect to the stored matrices and the input of [`Kron::apply`], from the gradient `dy`
    /// of its output.
    ///
    /// With `G_i = reshape(dy_i, (m, p))`, `Z_i = X_i·Bᵀ` and `H_i = Aᵀ·G_i`: `dA = Σ G_i·Z_iᵀ`, `dB = Σ H_iᵀ·X_i`,
    /// `dX_i = H_i·B`. The intermediates are shared, and the dense gradient `dyᵀ·x` is never formed.
    ///
    /// # Shapes
    /// `x`: `batch × (n·q)`; `dy`: `batch × (m·p)`. Result: the gradients of [`Kron::parts`], and `dx`,
    /// `batch × (n·q)`.
    /// # Cost
    /// About 2.5 times [`Kron::apply`]: one product is done again, four more follow.
    /// # Reproducibility
    /// Sums over the batch are split by block and added in block order: on the embedded backend the bits do not depend
    /// on the number of threads.
    /// # Errors
    /// [`KronError::Shape`]; [`KronError::TooLarge`] and [`KronError::OutOfMemory`] for a result that memory does not
    /// hold.
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
    pub fn gradients(&self, x: &ArrayRef2<T>, dy: &ArrayRef2<T>) -> Result<(KronGradients<T>, Array2<T>)> {
        let mut gradients = KronGradients::zeros(self);
        let mut dx = memory::zeros("gradients", (x.nrows(), self.dim().1))?;
        self.gradients_into(T::one(), x, dy, &mut gradients, T::zero(), &mut dx)?;
        Ok((gradients, dx))
    }

    /// [`Kron::gradients`] into given memory: adds `α` times the gradients of the stored matrices to `gradients`, and
    /// sets `dX ← α·dY·(A ⊗ B) + β·dX`. With `beta = 0`, `dx` may hold anything; with `alpha = 0`, so may `x`, `dy` and
    /// the factors.
    ///
    /// # Errors
    /// [`KronError::Shape`] when an argument does not fit; all are then untouched.
    pub fn gradients_into(
        &self,
        alpha: T,
        x: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        gradients: &mut KronGradients<T>,
        beta: T,
        dx: &mut ArrayRef2<T>,
    ) -> Result<()> {
        let (height, width) = self.dim();
        let batch = x.nrows();
        KronError::check_shape("gradients", "x", (batch, width), x.dim())?;
        KronError::check_shape("gradients", "dy", (batch, height), dy.dim())?;
        KronError::check_shape("gradients", "dx", (batch, width), dx.dim())?;
        let expected = self.parts().map(|part| part.dim());
        let found = gradients.parts.iter().map(|part| part.dim()).chain(std::iter::repeat((0, 0)));
        for (expected, found) in expected.zip(found) {
            KronError::check_shape("gradients", "the gradient of a factor", expected, found)?;
        }

        if batch == 0 || alpha == T::zero() {
            Blend { alpha, beta }.keep(dx.view_mut());
            return Ok(());
        }
        let plan = Plan::for_kron(self, batch, Pass::Backward);
        let axes = [self.a(), self.b()];
        let mut targets: SmallVec<[_; 2]> = SmallVec::new();
        let mut parts = gradients.parts.iter_mut();
        for (factor, matrices) in axes.iter().zip(&plan.axes) {
            let halves = parts.by_ref().take(factor.parts().count()).map(|part| part.view_mut()).collect();
            targets.push(Target::new(factor, matrices.len(), halves));
        }
        {
            // In the order of the steps, which visit the axes and each axis's matrices in an order of the plan's own.
            let mut slots: SmallVec<[Slots<'_, T>; 2]> = targets.iter_mut().map(Target::slots).collect();
            let mut ordered: SmallVec<[_; 4]> =
                plan.sequence.iter().filter_map(|c| slots[c.axis][c.index].take()).collect();
            let batch = Rows { x: x.view(), dy: dy.view(), dx: dx.view_mut() };
            backward(&plan.steps(), Blend { alpha, beta }, batch, &mut ordered);
        }
        targets.into_iter().for_each(Target::finish);
        Ok(())
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
