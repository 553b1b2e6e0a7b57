//! The adapter of a linear layer as one: what it computes before the activation.

use lokr_core::{Scalar, memory};
use ndarray::{ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut2, CowArray, Ix2};

use super::dora;
use super::lokr_adapter::LoKrAdapter;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::{Layer, LinearLayer, Merges, RowUpdates};
use crate::update::{DoraAxis, Gains, Scratch};

/// The base as a linear layer, where it has to be one.
pub(super) fn linear<T: Scalar, L: Layer<T>>(base: &L) -> Result<&dyn LinearLayer<T>> {
    base.as_linear().ok_or(LayerError::NoPreActivation { layer: base.type_name() })
}

/// [`linear`], writable.
fn linear_mut<T: Scalar, L: Layer<T>>(base: &mut L) -> Result<&mut dyn LinearLayer<T>> {
    let layer = base.type_name();
    base.as_linear_mut().ok_or(LayerError::NoPreActivation { layer })
}

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    /// Whether the base trains with the adapter. Below norms of the weight it does not.
    pub(super) fn base_trains(&self) -> bool {
        !self.frozen && !self.base_frozen && self.updates.decomposing().is_none()
    }

    /// The base's pre-activation, in training if the base trains.
    pub(super) fn train_base(&mut self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        if self.base_trains() {
            linear_mut(&mut self.base)?.train_pre_activation_into(x, z)
        } else {
            linear(&self.base)?.pre_activation_into(x, z)
        }
    }

    /// Adds what the updates make of `x`, in training if they train.
    pub(super) fn train_updates(&mut self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        if self.frozen { self.updates.apply_into(x, z) } else { self.updates.forward_into(x, z) }
    }

    /// What the adapter computes before the activation, in training.
    pub(super) fn train_before(&mut self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        if self.updates.decomposing().is_none() {
            self.train_base(x, z)?;
            return self.train_updates(x, z);
        }
        self.prepare_gains()?;
        if !self.frozen && self.updates.own_mut().begin_forward() {
            return self.train_base(x, z);
        }
        let (base, own) = (linear(&self.base)?, self.updates.own());
        match (own.dora(), self.gains.get()) {
            (Some((axis, _)), Some(gains)) => {
                dora::train_pre_activation(base, own, (axis, gains), &mut self.training.dora, x, z)
            }
            _ => Ok(()),
        }
    }

    /// The way back of [`LoKrAdapter::train_before`]: adds to the gradients of what trains and writes that of the input
    /// over `dx`, from the gradient of the base's pre-activation and that of the updates' output. Where that of the
    /// input is not asked for, the base's part of it is left out.
    pub(super) fn back_before(
        &mut self,
        x: &ArrayRef2<T>,
        (of_base, of_updates): (&ArrayRef2<T>, &ArrayRef2<T>),
        (dx, asked): (&mut ArrayRef2<T>, bool),
    ) -> Result<()> {
        if self.updates.decomposing().is_some() {
            return self.back_decomposed(x, of_base, dx);
        }
        match (self.base_trains(), asked) {
            (true, true) => linear_mut(&mut self.base)?.train_backward_into(x, of_base, dx)?,
            (true, false) => linear_mut(&mut self.base)?.accumulate_gradients(x, of_base)?,
            (false, true) => linear(&self.base)?.input_gradient_into(of_base, dx)?,
            (false, false) => {}
        }
        if !asked {
            if self.frozen {
                return Ok(());
            }
            dx.fill(T::zero()); // The updates add to it.
        }
        self.back_updates(x, of_updates, dx)
    }

    /// The updates' part of [`LoKrAdapter::back_before`].
    pub(super) fn back_updates(&mut self, x: &ArrayRef2<T>, dy: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        if self.frozen { self.updates.apply_transposed_into(dy, dx) } else { self.updates.backward_into(x, dy, dx) }
    }

    fn back_decomposed(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        let base = linear(&self.base)?;
        let own = self.updates.own_mut();
        if !self.frozen && own.begin_backward()? {
            return base.input_gradient_into(dz, dx);
        }
        match (own.dora().map(|(axis, _)| axis), self.gains.get()) {
            (Some(axis), Some(gains)) if self.frozen => dora::input_gradient(base, own, (axis, gains), dz, dx),
            (Some(axis), Some(gains)) => dora::backward(base, own, (axis, gains), &mut self.training.dora, (x, dz), dx),
            _ => Err(LayerError::BackwardBeforeForward { layer: self.base.type_name() }),
        }
    }

    /// The gains of a decomposed weight and their axis, made once while nothing changes.
    pub(super) fn decomposition(&self) -> Result<Option<(DoraAxis, &Gains<T>)>> {
        let Some(update) = self.updates.decomposing() else { return Ok(None) };
        let Some(dora) = update.decomposition() else { return Ok(None) };
        if self.gains.get().is_none() {
            let weight = linear(&self.base)?.effective_weight()?;
            let gains = update.gains(dora, &weight, &mut Scratch::new(), None);
            return Ok(Some((dora.axis, self.gains.get_or_init(|| gains))));
        }
        Ok(self.gains.get().map(|gains| (dora.axis, gains)))
    }

    /// [`LoKrAdapter::decomposition`] in memory that steps keep.
    fn prepare_gains(&mut self) -> Result<()> {
        if self.gains.get().is_none()
            && let Some(update) = self.updates.decomposing()
            && let Some(dora) = update.decomposition()
        {
            let weight = linear(&self.base)?.effective_weight()?;
            let (scratch, spare) = (&mut self.training.dora.scratch, self.training.spare_gains.take());
            let gains = update.gains(dora, &weight, scratch, spare);
            self.gains.get_or_init(|| gains);
        }
        Ok(())
    }

    /// After a change of what the gains are made of.
    pub(super) fn drop_gains(&mut self) {
        if let Some(gains) = self.gains.take() {
            self.training.spare_gains = Some(gains);
        }
    }
}

/// Around a base without a weight matrix the adapter is no linear layer, [`Layer::as_linear`] says so, and what is
/// asked here is empty or [`LayerError::NoPreActivation`].
impl<T: Scalar, L: Layer<T> + Clone + 'static> LinearLayer<T> for LoKrAdapter<T, L> {
    fn weight(&self) -> ArrayView2<'_, T> {
        let empty: &[[T; 0]; 0] = &[];
        self.base.as_linear().map_or(empty.into(), |linear| linear.weight())
    }

    fn weight_mut(&mut self) -> ArrayViewMut2<'_, T> {
        self.forget();
        let empty: &mut [[T; 0]; 0] = &mut [];
        self.base.as_linear_mut().map_or(empty.into(), |linear| linear.weight_mut())
    }

    fn bias(&self) -> ArrayView1<'_, T> {
        self.base.as_linear().map_or((&[]).into(), |linear| linear.bias())
    }

    fn has_bias(&self) -> bool {
        self.base.as_linear().is_some_and(|linear| linear.has_bias())
    }

    fn activation(&self) -> Activation {
        self.base.as_linear().map_or(Activation::Identity, |linear| linear.activation())
    }

    fn pre_activation_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        let base = linear(&self.base)?;
        if let Some(decomposition) = self.decomposition()? {
            return dora::pre_activation(base, self.updates.own(), decomposition, x, z);
        }
        base.pre_activation_into(x, z)?;
        self.updates.apply_into(x, z)
    }

    fn pre_activation_mixed_into(&self, x: &ArrayRef2<T>, rows: &RowUpdates<'_>, z: &mut ArrayRef2<T>) -> Result<()> {
        self.check_mixed(x, rows)?;
        linear(&self.base)?.pre_activation_mixed_into(x, rows, z)?;
        self.add_mixed(x, rows, z)
    }

    fn input_gradient_into(&self, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        let base = linear(&self.base)?;
        if let Some(decomposition) = self.decomposition()? {
            return dora::input_gradient(base, self.updates.own(), decomposition, dz, dx);
        }
        base.input_gradient_into(dz, dx)?;
        self.updates.apply_transposed_into(dz, dx)
    }

    /// Makes one matrix of the input's size, which [`LinearLayer::train_backward_into`] does not need.
    fn accumulate_gradients(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>) -> Result<()> {
        let mut dx = memory::zeros("an input gradient", x.dim())?;
        self.back_before(x, (dz, dz), (&mut dx, false))
    }

    fn train_pre_activation_into(&mut self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        self.refuse_merged()?;
        self.train_before(x, z)
    }

    fn train_backward_into(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        self.back_before(x, (dz, dz), (dx, true))
    }

    fn keeps_forward(&self) -> bool {
        let base = self.base_trains() && self.base.as_linear().is_some_and(|linear| linear.keeps_forward());
        base || !self.frozen && (self.updates.decomposing().is_some() || self.updates.keep_forward())
    }

    fn effective_weight(&self) -> Result<CowArray<'_, T, Ix2>> {
        let weight = linear(&self.base)?.effective_weight()?;
        if self.updates.active().next().is_none() {
            return Ok(weight);
        }
        let mut weight = weight.into_owned();
        match self.decomposition()? {
            Some(decomposition) => dora::decompose(self.updates.own(), decomposition, &mut weight),
            None => self.updates.active().try_for_each(|update| update.add_to(T::one(), &mut weight))?,
        }
        Ok(weight.into())
    }

    fn merges(&mut self) -> Option<&mut Merges> {
        self.base.as_linear_mut()?.merges()
    }
}
