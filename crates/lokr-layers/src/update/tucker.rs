//! A second factor in Tucker form, for the kernels of convolutions.

use lokr_core::{Factor, Scalar};
use ndarray::{Array2, ArrayD, ArrayRef2, ArrayViewD, ArrayViewMutD};

use super::checks::TYPE_NAME;
use crate::error::{LayerError, Result};

/// The factor `B[x, y, k…] = Σᵢⱼ core[i, j, k…]·a[i, x]·b[j, y]` with a core `(r, r, kernel…)`, `a (r, p)` and
/// `b (r, q)`: LyCORIS's `use_tucker`, PEFT's `use_effective_conv2d`.
///
/// It has `r·r·K + r·(p + q)` values in place of the `r·(p + q·K)` of a low-rank factor. Flattened to `(p, q·K)` it is
/// a low-rank one, `aᵀ·C` with `C[i, y·K + k] = Σⱼ core[i, j, k]·b[j, y]`: small, and made anew whenever one of the
/// three changes (`2·r·r·q·K` flops).
///
/// # Examples
/// ```
/// use lokr_layers::TuckerFactor;
/// use ndarray::{Array3, array};
///
/// let core = Array3::from_shape_vec((1, 1, 2), vec![1.0, 10.0])?; // a kernel of two elements
/// let b = TuckerFactor::new(core.into_dyn(), array![[1.0, 2.0]], array![[3.0]])?;
/// assert_eq!(b.to_factor()?.to_dense(), array![[3.0, 30.0], [6.0, 60.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TuckerFactor<T> {
    pub(super) core: ArrayD<T>,
    pub(super) a: Array2<T>,
    pub(super) b: Array2<T>,
}

impl<T: Scalar> TuckerFactor<T> {
    /// The factor of a core `(r, r, kernel…)`, `a (r, p)` and `b (r, q)`.
    ///
    /// # Errors
    /// [`LayerError::InvalidRank`] for `r = 0`; [`LayerError::NamedShape`] for a core that is none for `b`, or an
    /// `a` of
    /// other rows; [`LayerError::NonFinite`].
    pub fn new(core: ArrayD<T>, a: Array2<T>, b: Array2<T>) -> Result<Self> {
        let rank = b.nrows();
        let (axes, found) = (core.ndim().max(3), core.shape().to_vec());
        if rank == 0 {
            return Err(LayerError::InvalidRank { rank });
        }
        let mut expected = found.clone();
        expected.resize(axes, 1);
        expected[..2].fill(rank);
        if found != expected || found.contains(&0) {
            return Err(LayerError::NamedShape { layer: TYPE_NAME, name: "lokr_t2".to_owned(), expected, found });
        }
        if a.nrows() != rank {
            let (expected, found) = (vec![rank, a.ncols()], a.shape().to_vec());
            return Err(LayerError::NamedShape { layer: TYPE_NAME, name: "lokr_w2_a".to_owned(), expected, found });
        }
        LayerError::check_finite(TYPE_NAME, "lokr_t2", core.iter())?;
        LayerError::check_finite(TYPE_NAME, "lokr_w2_a", a.iter())?;
        LayerError::check_finite(TYPE_NAME, "lokr_w2_b", b.iter())?;
        let core = if core.is_standard_layout() { core } else { core.as_standard_layout().into_owned() };
        Ok(Self { core, a, b })
    }

    /// The core, `a` and `b`.
    #[must_use]
    pub fn parts(&self) -> (&ArrayD<T>, &Array2<T>, &Array2<T>) {
        (&self.core, &self.a, &self.b)
    }

    /// The inner size `r`.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.b.nrows()
    }

    /// Elements of the kernel.
    #[must_use]
    pub fn kernel_values(&self) -> usize {
        self.core.shape()[2..].iter().product()
    }

    /// The factor as a low-rank one, `(p, r)·(r, q·K)`.
    ///
    /// # Errors
    /// [`LayerError::Kron`] where its sizes overflow.
    pub fn to_factor(&self) -> Result<Factor<'static, T>> {
        Ok(Factor::low_rank(self.a.t().to_owned(), self.right())?)
    }

    /// The right half `C (r, q·K)`.
    pub(super) fn right(&self) -> Array2<T> {
        let (rank, q) = self.b.dim();
        let mut right = Array2::zeros((rank, q * self.kernel_values()));
        self.right_into(&mut right);
        right
    }

    fn right_into(&self, right: &mut ArrayRef2<T>) {
        let kernel = self.kernel_values();
        right.fill(T::zero());
        for (core, mut right) in self.core_values().chunks_exact(self.rank() * kernel).zip(right.rows_mut()) {
            for (core, b) in core.chunks_exact(kernel).zip(self.b.rows()) {
                for (mut piece, &b) in right.exact_chunks_mut(kernel).into_iter().zip(b) {
                    piece.iter_mut().zip(core).for_each(|(to, &core)| *to += b * core);
                }
            }
        }
    }

    /// The core row by row, `r·r` kernels.
    fn core_values(&self) -> &[T] {
        self.core.as_slice().unwrap_or_default() // It is row-major.
    }

    /// Writes the halves of the low-rank factor over those of another.
    pub(super) fn rebuild(&self, left: &mut ArrayRef2<T>, right: &mut ArrayRef2<T>) {
        left.assign(&self.a.t());
        self.right_into(right);
    }

    /// Adds to `gradients` what the gradients of the two halves give, and leaves zeros in their place.
    pub(super) fn pull(&self, left: &mut ArrayRef2<T>, right: &mut ArrayRef2<T>, gradients: &mut Self) {
        gradients.a += &left.t();
        let (rank, kernel) = (self.rank(), self.kernel_values());
        let of_core = gradients.core.as_slice_mut().unwrap_or_default();
        let cores = self.core_values().chunks_exact(kernel).zip(of_core.chunks_exact_mut(kernel));
        for (index, (core, of_core)) in cores.enumerate() {
            let (i, j) = (index / rank, index % rank);
            let pieces = right.row(i);
            let pieces = pieces.exact_chunks(kernel).into_iter().zip(gradients.b.row_mut(j)).zip(self.b.row(j));
            for ((piece, of_b), &b) in pieces {
                *of_b += piece.iter().zip(core).map(|(&piece, &core)| piece * core).sum::<T>();
                of_core.iter_mut().zip(piece).for_each(|(of_core, &piece)| *of_core += b * piece);
            }
        }
        left.fill(T::zero());
        right.fill(T::zero());
    }

    /// The three, in the order of [`TuckerFactor::parts`].
    pub(super) fn views(&self) -> [ArrayViewD<'_, T>; 3] {
        [self.core.view(), self.a.view().into_dyn(), self.b.view().into_dyn()]
    }

    /// [`TuckerFactor::views`], writable.
    pub(super) fn views_mut(&mut self) -> [ArrayViewMutD<'_, T>; 3] {
        [self.core.view_mut(), self.a.view_mut().into_dyn(), self.b.view_mut().into_dyn()]
    }

    /// Gradients of zero.
    pub(super) fn zeros_like(&self) -> Self {
        let (core, a, b) =
            (ArrayD::zeros(self.core.raw_dim()), Array2::zeros(self.a.dim()), Array2::zeros(self.b.dim()));
        Self { core, a, b }
    }

    pub(super) fn fill_zero(&mut self) {
        self.core.fill(T::zero());
        self.a.fill(T::zero());
        self.b.fill(T::zero());
    }
}
