//! What a decomposed weight is multiplied by, and the gradients that come back through it.

use lokr_core::Scalar;
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2, ArrayView1};

use super::checks::TYPE_NAME;
use super::decomposed::{Scratch, norms};
use super::dora::{Dora, DoraAxis, DoraStrength, Gains};
use super::lokr_update::LoKrUpdate;
use crate::error::{LayerError, Result};

impl<T: Scalar> LoKrUpdate<T> {
    /// The update with weight decomposition: the adapted weight is `V = W + s·(A ⊗ B)` with the norms `dora_scale`, one
    /// per row or per column, which are trained as well. The norm of `V` is a part of what is differentiated.
    ///
    /// # Errors
    /// [`LayerError::Length`] unless there is one norm for every row or column, [`LayerError::NonFinite`];
    /// [`LayerError::InvalidSetting`] beside numbers that are trained or dropout of inputs and rows.
    pub fn with_dora(mut self, axis: DoraAxis, dora_scale: &ArrayRef1<T>, strength: DoraStrength) -> Result<Self> {
        let (out, input) = self.dim();
        let span = if axis == DoraAxis::Input { self.kernel_values() } else { 1 };
        let (length, shape) = match axis {
            DoraAxis::Output => (out, (out, 1)),
            DoraAxis::Input => (input / span, (1, input / span)),
        };
        LayerError::check_length(TYPE_NAME, "dora_scale", length, dora_scale.len())?;
        LayerError::check_finite(TYPE_NAME, "dora_scale", dora_scale.iter())?;
        let plain = "nothing but module dropout beside weight decomposition";
        if self.learns_numbers() {
            return Err(LayerError::invalid("trained numbers", "some", plain));
        }
        if self.dropout.input > 0.0 || self.dropout.rank > 0.0 {
            return Err(LayerError::invalid("dropout", self.dropout.input.max(self.dropout.rank), plain));
        }
        let mut magnitude = Array2::zeros(shape);
        magnitude.iter_mut().zip(dora_scale).for_each(|(to, &from)| *to = from);
        self.dora = Some(Dora { axis, strength, span, gradient: Array2::zeros(shape), magnitude });
        Ok(self)
    }

    /// Along which axis the weight is decomposed, and its trained norms, where it is.
    #[must_use]
    pub fn dora(&self) -> Option<(DoraAxis, ArrayView1<'_, T>)> {
        self.dora.as_ref().map(|dora| (dora.axis, dora.norms()))
    }

    /// What a multiplier does to it, where the weight is decomposed.
    #[must_use]
    pub fn dora_strength(&self) -> Option<DoraStrength> {
        self.dora.as_ref().map(|dora| dora.strength)
    }

    /// Where the weight is decomposed, what `w (out, in)` and `V = w + ΔW` are multiplied by: the decomposed weight is
    /// `b·w + g∘V`, with a `g` for each row or column.
    ///
    /// # Errors
    /// [`LayerError::Shape`] for a weight of another shape.
    /// # Examples
    /// ```
    /// use lokr_core::Kron;
    /// use lokr_layers::{DoraAxis, DoraStrength, LoKrUpdate};
    /// use ndarray::array;
    ///
    /// let update = LoKrUpdate::from_terms(vec![Kron::new(array![[0.0]], array![[1.0, 1.0]])?], 1.0)?;
    /// let update = update.with_dora(DoraAxis::Output, &array![10.0], DoraStrength::FromBase)?;
    /// let (base, gains) = update.dora_gains(&array![[3.0, 4.0]])?.unwrap_or_default(); // a row of norm 5
    /// assert!(base == 0.0 && (gains[0] - 2.0_f64).abs() < 1e-12);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn dora_gains(&self, w: &ArrayRef2<T>) -> Result<Option<(T, Array1<T>)>> {
        LayerError::check_shape(TYPE_NAME, "the weight", self.dim(), w.dim())?;
        let gains = self.dora.as_ref().map(|dora| self.gains(dora, w, &mut Scratch::new(), None));
        Ok(gains.map(|gains| (gains.base, gains.values)))
    }

    pub(crate) fn decomposition(&self) -> Option<&Dora<T>> {
        self.dora.as_ref()
    }

    /// The gains over the weight `w (out, in)`; `spare` is memory to reuse.
    pub(crate) fn gains(
        &self,
        dora: &Dora<T>,
        w: &ArrayRef2<T>,
        scratch: &mut Scratch<T>,
        spare: Option<Gains<T>>,
    ) -> Gains<T> {
        let length = dora.magnitude.len() * dora.span;
        let spare = spare.filter(|spare| spare.values.len() == length);
        let fresh = || Gains { base: T::zero(), values: Array1::zeros(length), norms: Array1::zeros(length) };
        let mut gains = spare.unwrap_or_else(fresh);
        norms(Some(self), w, dora.axis, scratch, &mut gains.norms);
        for mut norms in gains.norms.exact_chunks_mut(dora.span) {
            let norm = joined(&norms);
            norms.fill(norm);
        }
        let (mu, one) = (self.multiplier(), T::one());
        gains.base = if dora.strength == DoraStrength::FromBase { one - mu } else { T::zero() };
        let magnitudes = dora.magnitude.iter().flat_map(|magnitude| std::iter::repeat_n(magnitude, dora.span));
        for ((value, &norm), &magnitude) in gains.values.iter_mut().zip(&gains.norms).zip(magnitudes) {
            let g = magnitude / (norm + T::epsilon());
            *value = match dora.strength {
                DoraStrength::FromBase => mu * g,
                DoraStrength::Lycoris => one + mu * (g - one),
            };
        }
        gains
    }

    /// From `dh`, the gradient of the gains: adds that of `dora_scale`, and replaces `dh` by what every row or column
    /// of `V` is multiplied by in its gradient through the norm, `c = −∂L/∂g·g/((‖V‖ + eps)·‖V‖)`.
    pub(crate) fn gain_gradients(&mut self, gains: &Gains<T>, dh: &mut ArrayRef1<T>) {
        let mu = self.multiplier();
        let Some(dora) = &mut self.dora else { return };
        let lanes = dh.exact_chunks_mut(dora.span).into_iter().zip(gains.norms.exact_chunks(dora.span));
        let parts = lanes.zip(dora.magnitude.iter().zip(&mut dora.gradient));
        for ((mut dh, norms), (&magnitude, gradient)) in parts {
            let norm = norms[0]; // They share it.
            let (dg, shifted) = (mu * dh.sum(), norm + T::epsilon());
            *gradient += dg / shifted;
            // A norm of zero has no direction to pull in.
            dh.fill(if norm == T::zero() { T::zero() } else { -(dg / shifted) * (magnitude / shifted) / norm });
        }
    }
}

/// The norm of what has these norms.
fn joined<T: Scalar>(norms: &ArrayRef1<T>) -> T {
    if norms.len() == 1 {
        return norms[0];
    }
    let largest = norms.iter().fold(0.0, |largest: f64, norm| largest.max(norm.to_f64_exact()));
    let divisor = if largest > 0.0 { largest } else { 1.0 };
    let squares: f64 = norms.iter().map(|norm| (norm.to_f64_exact() / divisor).powi(2)).sum();
    T::from_f64_lossy(largest * squares.sqrt())
}

/// `‖W‖` along `axis`, over so many columns at a time, which `dora_scale` starts as.
pub(super) fn start<T: Scalar>(w: &ArrayRef2<T>, axis: DoraAxis, kernel: usize) -> Array1<T> {
    let length = if axis == DoraAxis::Output { w.nrows() } else { w.ncols() };
    let mut found = Array1::zeros(length);
    norms(None, w, axis, &mut Scratch::new(), &mut found);
    let span = if axis == DoraAxis::Input { kernel } else { 1 };
    found.exact_chunks(span).into_iter().map(|norms| joined(&norms)).collect()
}
