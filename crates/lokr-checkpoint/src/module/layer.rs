//! Between modules on disk and the adapters of `lokr-layers`.

use lokr_core::{Factor, Scalar};
use lokr_layers::{DoraAxis, DoraStrength, Layer, LoKrAdapter, LoKrUpdate};
use ndarray::{Array1, Axis};

use super::factor::{W1, W2};
use super::module::Module;
use super::scale::ScaleRule;
use super::suffix::DORA_SCALE;
#[cfg(doc)]
use crate::error::ModuleError;
use crate::error::{JobError, Result};
use crate::file::{FloatType, Tensor};

impl Module {
    /// The adapter of a layer with these factors, the scale that `rule` gives and the norms of DoRA, its base frozen.
    ///
    /// # Errors
    /// [`ModuleError::DoraShape`]; those of [`Module::check_weight`] for the layer's weight `(out, in)`, of
    /// [`Module::scale_by`] and [`Module::kron`]; [`CheckpointError::Layer`](crate::CheckpointError::Layer) for values
    /// that are not finite.
    /// # Examples
    /// ```
    /// use lokr_checkpoint::{FloatType, Module, ScaleRule, Tensor, W1, W2};
    /// use lokr_layers::{Activation, FullyConnected, Layer};
    /// use ndarray::{Array1, Array2, array};
    ///
    /// let w1 = W1::Full(Tensor::from_array(&array![[1.0, 2.0]], FloatType::F32));
    /// let w2 = W2::Full(Tensor::from_array(&array![[1.0], [3.0]], FloatType::F32));
    /// let module = Module::new("layer", w1, w2, 0.5)?;
    ///
    /// let base = FullyConnected::from_arrays(Array2::zeros((2, 2)), Array1::zeros(2), Activation::Identity)?;
    /// let adapter = module.to_layer(base, ScaleRule::Trained)?;
    /// assert_eq!(adapter.predict(&array![[1.0f32, 1.0]])?, array![[1.5, 4.5]]);
    /// let saved = Module::from_layer("layer", &adapter, FloatType::F32)?;
    /// assert_eq!(saved.scale(), Some(0.5));
    /// # Ok::<(), lokr_checkpoint::CheckpointError>(())
    /// ```
    pub fn to_layer<T: Scalar, L: Layer<T> + Clone>(&self, base: L, rule: ScaleRule) -> Result<LoKrAdapter<T, L>> {
        let weight = [base.output_size(), base.input_size()];
        self.check_weight(&weight)?;
        let mut update = LoKrUpdate::from_terms(vec![self.kron()?], T::from_f64_lossy(self.scale_by(rule)?))?;
        if let (Some(axis), Some(scale)) = (self.dora_axis(&weight)?, self.dora_scale()) {
            let scale = Array1::from_iter(scale.to_array::<T>(DORA_SCALE)?);
            update = update.with_dora(axis, &scale, DoraStrength::default())?;
        }
        Ok(LoKrAdapter::from_update(base, update)?)
    }

    /// The module of a layer's adapter: its factors in the form they have, rounded once to `dtype`, and its scaling. A
    /// scalar that is trained is multiplied into `lokr_w1`, as LyCORIS does; the norms of DoRA stand beside them; a
    /// multiplier and updates that were added by name are not saved.
    ///
    /// # Errors
    /// [`JobError::SeveralTerms`] for a sum of several products; [`ModuleError::NonFinite`] for values that are not
    /// finite, or not in `dtype`, which could not be read back; those of [`Module::new`].
    pub fn from_layer<T: Scalar, L: Layer<T> + Clone>(
        name: impl Into<String>,
        adapter: &LoKrAdapter<T, L>,
        dtype: FloatType,
    ) -> Result<Self> {
        let name = name.into();
        let terms = adapter.update().stored_terms()?;
        let [delta] = terms.as_slice() else {
            return Err(JobError::SeveralTerms { module: name, operation: "saved as one module" }.into());
        };
        let w1 = match delta.a() {
            Factor::Full(w) => W1::Full(Tensor::from_array(w, dtype)),
            Factor::LowRank(halves) => W1::LowRank {
                a: Tensor::from_array(&halves.left(), dtype),
                b: Tensor::from_array(&halves.right(), dtype),
            },
        };
        let w2 = match delta.b() {
            Factor::Full(w) => W2::Full(Tensor::from_array(w, dtype)),
            Factor::LowRank(halves) => W2::LowRank {
                a: Tensor::from_array(&halves.left(), dtype),
                b: Tensor::from_array(&halves.right(), dtype),
            },
        };
        let mut module = Self::new(name, w1, w2, adapter.scaling().to_f64_exact())?;
        if let Some((axis, scale)) = adapter.update().dora() {
            let lanes = if axis == DoraAxis::Output { Axis(1) } else { Axis(0) };
            module = module.with_dora_scale(Tensor::from_array(&scale.insert_axis(lanes), dtype))?;
        }
        module.check_finite()?;
        Ok(module)
    }
}
