//! Between modules on disk and the adapters of `lokr-layers`.

use lokr_core::{Factor, Kron, Scalar};
use lokr_layers::{DoraAxis, DoraStrength, Layer, LoKrAdapter, LoKrUpdate, TuckerFactor};
use ndarray::{Array1, Array2, Axis, Ix2, s};

use super::factor::{W1, W2, matrix};
use super::module::{Layout, Module};
use super::scale::ScaleRule;
use super::suffix::DORA_SCALE;
#[cfg(doc)]
use crate::error::ModuleError;
use crate::error::{JobError, Result};
use crate::file::{FloatType, Tensor, product};

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
        let update = self.to_update(&weight_shape(&base), rule)?;
        Ok(LoKrAdapter::from_update(base, update)?)
    }

    /// The update that [`Module::to_layer`] puts on a layer with a weight of this shape, `(out, in)` or
    /// `(out, channels/groups, kernel…)`. A second factor in Tucker form stays in it, and is trained as such.
    ///
    /// PEFT's conv1d with a full `lokr_w2` is no Kronecker product but a sum of as many as its kernel has elements
    /// ([`ModuleError::NotKronecker`] says where this matters): its update is that sum.
    ///
    /// # Errors
    /// As [`Module::to_layer`].
    pub fn to_update<T: Scalar>(&self, weight: &[usize], rule: ScaleRule) -> Result<LoKrUpdate<T>> {
        self.check_weight(weight)?;
        let scale = T::from_f64_lossy(self.scale_by(rule)?);
        let update = match self.w2() {
            W2::Tucker { core, a, b } => {
                let factor =
                    TuckerFactor::new(core.to_array("lokr_t2")?, matrix(a, "lokr_w2_a")?, matrix(b, "lokr_w2_b")?)?;
                LoKrUpdate::from_tucker(self.w1().to_factor::<T>()?, factor, scale)?
            }
            W2::Full(w2) if self.layout() == Layout::PeftConv1d => {
                LoKrUpdate::from_terms(self.peft_conv1d_terms(w2)?, scale)?
            }
            _ => LoKrUpdate::from_terms(vec![self.kron()?], scale)?,
        };
        let mut update = update.for_kernel(weight.get(2..).unwrap_or_default())?;
        if let (Some(axis), Some(scale)) = (self.dora_axis(weight)?, self.dora_scale()) {
            let scale = Array1::from_iter(scale.to_array::<T>(DORA_SCALE)?);
            update = update.with_dora(axis, &scale, DoraStrength::default())?;
        }
        Ok(update)
    }

    /// The terms of [`Layout::PeftConv1d`], one for each element `t` of the kernel. There
    /// `ΔW[a·m + i, b·n·k + j·k + t] = A[i, j]·B[a, b, t]`, which is `Σ_t B[:, :, t] ⊗ (A ⊗ e_t)`, and `A ⊗ e_t`
    /// has the
    /// columns of `A` every `k` places.
    fn peft_conv1d_terms<T: Scalar>(&self, w2: &Tensor) -> Result<Vec<Kron<'static, T>>> {
        let (a, b) = (self.w1().to_factor::<T>()?.into_dense(), w2.to_array::<T>("lokr_w2")?);
        let ((m, n), kernel) = (a.dim(), b.shape()[2]);
        let term = |t: usize| {
            let mut spread = Array2::zeros((m, n * kernel));
            spread.slice_mut(s![.., t..; kernel]).assign(&a);
            let of_b = b.index_axis(Axis(2), t).into_dimensionality::<Ix2>().map_err(|_| self.not_kronecker())?;
            Ok(Kron::new(of_b.to_owned(), spread)?)
        };
        (0..kernel).map(term).collect()
    }

    /// The module of a layer's adapter: of its own update, as [`Module::from_update`] makes it. Updates that were added
    /// by name are saved each by itself, or with a whole network by [`save_adapters`](crate::save_adapters).
    ///
    /// # Errors
    /// As [`Module::from_update`].
    pub fn from_layer<T: Scalar, L: Layer<T> + Clone>(
        name: impl Into<String>,
        adapter: &LoKrAdapter<T, L>,
        dtype: FloatType,
    ) -> Result<Self> {
        Self::from_update(name, adapter.update(), dtype)
    }

    /// The module of an update: its factors in the form they have, rounded once to `dtype`, and its scaling. A scalar
    /// that is trained is multiplied into `lokr_w1`, as LyCORIS does; the norms of DoRA stand beside them; a multiplier
    /// is not saved.
    ///
    /// # Errors
    /// [`JobError::SeveralTerms`] for a sum of several products; [`ModuleError::NonFinite`] for values that are not
    /// finite, or not in `dtype`, which could not be read back; those of [`Module::new`].
    pub fn from_update<T: Scalar>(name: impl Into<String>, update: &LoKrUpdate<T>, dtype: FloatType) -> Result<Self> {
        let name = name.into();
        let terms = update.stored_terms()?;
        let [delta] = terms.as_slice() else {
            return Err(JobError::SeveralTerms { module: name, operation: "saved as one module" }.into());
        };
        let mut module = Self::of_product(name, delta, update, update.scaling(), dtype)?;
        if let Some((axis, scale)) = update.dora() {
            let lanes = if axis == DoraAxis::Output { Axis(1) } else { Axis(0) };
            let scale = scale.insert_axis(lanes);
            let shape = [scale.shape(), &vec![1; update.kernel().len()]].concat();
            module = module.with_dora_scale(Tensor::from_array(&scale, dtype).reshaped(shape))?;
        }
        module.check_finite()?;
        Ok(module)
    }

    /// The modules of an update, one for each of its terms; what is trained in front of a term is in its scale.
    ///
    /// # Errors
    /// As [`Module::from_update`], and [`JobError::Dora`] for one that decomposes the weight, of which terms are none.
    pub(crate) fn of_terms<T: Scalar>(name: &str, update: &LoKrUpdate<T>, dtype: FloatType) -> Result<Vec<Self>> {
        if update.dora().is_some() {
            return Err(JobError::Dora { module: name.to_owned(), operation: "saved as a sum of terms" }.into());
        }
        let module = |(number, delta): (T, &Kron<'static, T>)| {
            let module = Self::of_product(name.to_owned(), delta, update, number, dtype)?;
            module.check_finite()?;
            Ok(module)
        };
        update.unmultiplied_terms().map(module).collect()
    }

    /// The module of one product of an update.
    fn of_product<T: Scalar>(
        name: String,
        delta: &Kron<'static, T>,
        update: &LoKrUpdate<T>,
        scaling: T,
        dtype: FloatType,
    ) -> Result<Self> {
        let w1 = match delta.a() {
            Factor::Full(w) => W1::Full(Tensor::from_array(w, dtype)),
            Factor::LowRank(halves) => W1::LowRank {
                a: Tensor::from_array(&halves.left(), dtype),
                b: Tensor::from_array(&halves.right(), dtype),
            },
        };
        let tucker = update.tucker().filter(|_| update.terms().len() == 1);
        let w2 = match (delta.b(), tucker.map(TuckerFactor::parts)) {
            (_, Some((core, a, b))) => W2::Tucker {
                core: Tensor::from_array(core, dtype),
                a: Tensor::from_array(a, dtype),
                b: Tensor::from_array(b, dtype),
            },
            (Factor::Full(w), None) => W2::Full(with_kernel(Tensor::from_array(w, dtype), w.dim(), update.kernel())),
            (Factor::LowRank(halves), None) => W2::LowRank {
                a: Tensor::from_array(&halves.left(), dtype),
                b: Tensor::from_array(&halves.right(), dtype),
            },
        };
        Self::new(name, w1, w2, scaling.to_f64_exact())
    }
}

/// A full factor `(p, q·K)` with the axes of the kernel, unless it is cut through one.
fn with_kernel(tensor: Tensor, (p, columns): (usize, usize), kernel: &[usize]) -> Tensor {
    let values = product(kernel);
    if kernel.is_empty() || !columns.is_multiple_of(values.max(1)) {
        return tensor;
    }
    tensor.reshaped([&[p, columns / values], kernel].concat())
}

/// The shape of a layer's weight in files: `(out, in)`, of a convolution `(out, channels/groups, kernel…)`.
pub(crate) fn weight_shape<T: Scalar>(layer: &(impl Layer<T> + ?Sized)) -> Vec<usize> {
    match layer.patches() {
        None => vec![layer.output_size(), layer.input_size()],
        Some(patches) => {
            let (out, channels) = (layer.output_size() / patches.places(), patches.channels() / patches.groups());
            [&[out, channels], patches.kernel()].concat()
        }
    }
}
