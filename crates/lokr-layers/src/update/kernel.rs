//! Updates of convolutions: the kernel that is in their columns, and second factors in Tucker form.

use lokr_core::{Factor, Scalar};

use super::checks::{check_factor, check_scaling};
use super::lokr_update::LoKrUpdate;
use super::term::{Form, Term};
use super::tucker::TuckerFactor;
use crate::error::{LayerError, Result};

impl<T: Scalar> LoKrUpdate<T> {
    /// An update `scaling·(a ⊗ b)` of a convolution with the second factor in Tucker form, as read from a file.
    ///
    /// # Errors
    /// [`LayerError::NonFinite`], [`LayerError::InvalidRank`], [`LayerError::InvalidSetting`] as
    /// [`LoKrUpdate::from_terms`]; [`LayerError::Kron`] where sizes overflow.
    /// # Examples
    /// ```
    /// use lokr_layers::{LoKrUpdate, TuckerFactor};
    /// use ndarray::{Array2, ArrayD, IxDyn};
    ///
    /// let b = TuckerFactor::new(ArrayD::ones(IxDyn(&[2, 2, 3, 3])), Array2::ones((2, 5)), Array2::ones((2, 4)))?;
    /// let update = LoKrUpdate::<f32>::from_tucker(Array2::ones((3, 2)), b, 1.0)?;
    /// assert_eq!(update.dim(), (3 * 5, 2 * 4 * 9));
    /// assert_eq!(update.parameter_count(), 3 * 2 + 2 * 2 * 9 + 2 * 5 + 2 * 4);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn from_tucker<'f>(a: impl Into<Factor<'f, T>>, b: TuckerFactor<T>, scaling: T) -> Result<Self> {
        let a = a.into();
        check_factor("matrix_a", a.dim(), &a)?;
        check_scaling("scaling", scaling)?;
        let (rank, kernel) = (b.rank(), b.parts().0.shape()[2..].to_vec());
        let term = Term::tucker(a.into_owned(), b, None)?;
        Self::assemble(vec![term], rank, scaling * T::from_usize_lossy(rank), scaling).for_kernel(&kernel)
    }

    /// The same update of a convolution whose kernel has these sizes: the elements of a kernel are neighbouring columns
    /// of its weight `(out, channels/groups·K)`. This decides what norms of
    /// [`DoraAxis::Input`](crate::DoraAxis::Input) are over, and how many axes factors have in files.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless their product divides the columns, and for other sizes than those of an
    /// update that decomposes the weight already.
    pub fn for_kernel(mut self, kernel: &[usize]) -> Result<Self> {
        let values: usize = kernel.iter().product();
        if values == 0 || !self.dim().1.is_multiple_of(values) {
            return Err(LayerError::invalid("elements of the kernel", values, "a divisor of the weight's columns"));
        }
        if self.dora.is_some() && values != self.kernel_values() {
            return Err(LayerError::invalid("elements of the kernel", values, "those that the norms are over"));
        }
        self.kernel = kernel.to_vec();
        Ok(self)
    }

    /// The sizes of the kernel, of an update for a convolution; none for a linear layer.
    #[must_use]
    pub fn kernel(&self) -> &[usize] {
        &self.kernel
    }

    pub(super) fn kernel_values(&self) -> usize {
        self.kernel.iter().product()
    }

    /// The second factor of the first product, where it is held in Tucker form.
    #[must_use]
    pub fn tucker(&self) -> Option<&TuckerFactor<T>> {
        self.tucker_terms().next().flatten()
    }

    /// The second factor of each product of [`LoKrUpdate::terms`], where it is held in Tucker form.
    pub fn tucker_terms(&self) -> impl ExactSizeIterator<Item = Option<&TuckerFactor<T>>> {
        self.terms.iter().map(|term| match &term.form {
            Form::Tucker(tucker) => Some(&tucker.factor),
            _ => None,
        })
    }
}
