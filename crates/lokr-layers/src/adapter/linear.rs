//! The adapter of a linear layer as one: what it computes before the activation.

use lokr_core::{Scalar, memory};
use ndarray::{ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut2, CowArray, Ix2};

use super::lokr_adapter::LoKrAdapter;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::{Layer, LinearLayer, Merges};
use crate::update::LoKrUpdate;

/// The base as a linear layer, where it has to be one.
fn linear<T: Scalar, L: Layer<T>>(base: &L) -> Result<&dyn LinearLayer<T>> {
    base.as_linear().ok_or(LayerError::NoPreActivation { layer: base.type_name() })
}

/// [`linear`], writable.
fn linear_mut<T: Scalar, L: Layer<T>>(base: &mut L) -> Result<&mut dyn LinearLayer<T>> {
    let layer = base.type_name();
    base.as_linear_mut().ok_or(LayerError::NoPreActivation { layer })
}

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    /// The base's pre-activation, in training if the base trains.
    pub(super) fn train_base(&mut self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        if self.frozen || self.base_frozen {
            linear(&self.base)?.pre_activation_into(x, z)
        } else {
            linear_mut(&mut self.base)?.train_pre_activation_into(x, z)
        }
    }

    /// Adds what the update makes of `x`, in training if it trains.
    pub(super) fn train_update(&mut self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        if self.frozen { self.update.apply_into(x, z) } else { self.update.forward_into(x, z) }
    }
}

/// What the adapter computes before the activation, in training.
pub(super) fn train_pre_activation<T: Scalar, L: Layer<T> + Clone>(
    adapter: &mut LoKrAdapter<T, L>,
    x: &ArrayRef2<T>,
    z: &mut ArrayRef2<T>,
) -> Result<()> {
    adapter.train_base(x, z)?;
    adapter.train_update(x, z)
}

/// The way back through both: adds to the gradients of what trains, the base and the update, and writes that of the
/// input over `dx`. The first gradient is that of the base's pre-activation, the second that of the update's output.
pub(super) fn backward<T: Scalar>(
    base: &mut dyn LinearLayer<T>,
    update: &mut LoKrUpdate<T>,
    (base_trains, update_trains): (bool, bool),
    x: &ArrayRef2<T>,
    (of_base, of_update): (&ArrayRef2<T>, &ArrayRef2<T>),
    dx: &mut ArrayRef2<T>,
) -> Result<()> {
    if base_trains {
        base.train_backward_into(x, of_base, dx)?;
    } else {
        base.input_gradient_into(of_base, dx)?;
    }
    if update_trains { update.backward_into(x, of_update, dx) } else { update.apply_transposed_into(of_update, dx) }
}

/// Around a base without a weight matrix the adapter is no linear layer, [`Layer::as_linear`] says so, and what is asked
/// here is empty or [`LayerError::NoPreActivation`].
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

    fn activation(&self) -> Activation {
        self.base.as_linear().map_or(Activation::Identity, |linear| linear.activation())
    }

    fn pre_activation_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        linear(&self.base)?.pre_activation_into(x, z)?;
        self.update.apply_into(x, z)
    }

    fn input_gradient_into(&self, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        linear(&self.base)?.input_gradient_into(dz, dx)?;
        self.update.apply_transposed_into(dz, dx)
    }

    /// Makes one matrix of the input's size, which [`LinearLayer::train_backward_into`] does not need.
    fn accumulate_gradients(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>) -> Result<()> {
        let mut dx = memory::zeros("an input gradient", x.dim())?;
        self.train_backward_into(x, dz, &mut dx)
    }

    fn train_pre_activation_into(&mut self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        train_pre_activation(self, x, z)
    }

    fn train_backward_into(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        let trains = (!self.frozen && !self.base_frozen, !self.frozen);
        backward(linear_mut(&mut self.base)?, &mut self.update, trains, x, (dz, dz), dx)
    }

    fn effective_weight(&self) -> Result<CowArray<'_, T, Ix2>> {
        let mut weight = linear(&self.base)?.effective_weight()?.into_owned();
        self.update.add_to(T::one(), &mut weight)?;
        Ok(weight.into())
    }

    fn merges(&mut self) -> Option<&mut Merges> {
        self.base.as_linear_mut()?.merges()
    }
}
