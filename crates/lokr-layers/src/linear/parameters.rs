//! The linear layer, for both orientations of its stored weight: what it holds, how it is made, read and set.

use std::marker::PhantomData;

use lokr_core::{Scalar, memory};
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2, ArrayView2};
use ndarray_rand::rand::Rng;

use super::gradients::Gradients;
use super::init::Init;
use super::orientation::{Orientation, Storage};
use crate::activation::{Activation, ActivationState};
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::layer::Merges;

/// A linear layer `y = activation(x·Wᵀ + bias)` with `W (out, in)`, stored as `O` says: [`crate::Dense`] or
/// [`crate::FullyConnected`].
///
/// Parameters, in order: the weights as stored, row-major, then the bias.
///
/// # Cost
/// A forward takes `2·batch·in·out` flops, a backward twice that. [`predict_into`](crate::Layer::predict_into)
/// allocates nothing but what [`lokr_core::matmul_into`] needs inside. [`forward_into`](crate::Layer::forward_into)
/// keeps a copy of `x` and, unless the activation is the identity, one matrix of the output's size;
/// [`backward_into`](crate::Layer::backward_into) keeps the gradients and, with an activation, another. Their memory is
/// allocated once, and again only for more rows than ever before.
#[derive(Debug, Clone)]
pub struct Linear<T, O> {
    pub(super) weights: Array2<T>,
    pub(super) bias: Array1<T>,
    pub(super) activation: Activation,
    pub(super) gradients: Option<Gradients<T>>,
    /// The last forward's input; meaningful while `ran_forward`.
    pub(super) input: Buffer<T>,
    pub(super) ran_forward: bool,
    pub(super) activation_state: ActivationState<T>,
    pub(super) dz: Buffer<T>,
    pub(super) frozen: bool,
    pub(super) merges: Merges,
    /// Whether there is a bias; if not, what stands there is zero.
    pub(super) biased: bool,
    orientation: PhantomData<O>,
}

impl<T: Scalar, O: Orientation> Linear<T, O> {
    /// A layer with weights drawn from `rng` as `init` says, and a bias of zeros.
    ///
    /// # Errors
    /// [`LayerError::ZeroSize`], [`LayerError::InvalidSetting`], and [`LayerError::Kron`] for a weight that no memory
    /// could hold, or for which it is refused.
    /// # Examples
    /// ```
    /// use lokr_layers::{Activation, FullyConnected, Init, Layer, rand::{SeedableRng, rngs::SmallRng}};
    ///
    /// let mut rng = SmallRng::seed_from_u64(7);
    /// let layer = FullyConnected::<f32>::new(64, 10, Activation::Softmax, Init::XavierUniform, &mut rng)?;
    /// assert_eq!(layer.parameter_count(), 64 * 10 + 10);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn new(
        input_size: usize,
        output_size: usize,
        activation: Activation,
        init: Init,
        rng: &mut (impl Rng + ?Sized),
    ) -> Result<Self> {
        Self::check_sizes(input_size, output_size)?;
        activation.check::<T>()?;
        init.check::<T>()?;
        let weights = memory::zeros(Self::name(), Self::storage().swap_dim((output_size, input_size)))?;
        let mut layer = Self::assemble(weights, Array1::zeros(output_size), activation);
        init.fill(&mut Self::storage().out_by_in_mut(layer.weights.view_mut()), rng)?;
        Ok(layer)
    }

    /// A layer from its weights, in the orientation `O`, and its bias.
    ///
    /// # Errors
    /// [`LayerError::ZeroSize`], [`LayerError::Length`] of the bias, [`LayerError::NonFinite`],
    /// [`LayerError::InvalidSetting`].
    pub fn from_arrays(weights: Array2<T>, bias: Array1<T>, activation: Activation) -> Result<Self> {
        let (output_size, input_size) = Self::storage().swap_dim(weights.dim());
        Self::check_sizes(input_size, output_size)?;
        LayerError::check_length(Self::name(), "bias", output_size, bias.len())?;
        LayerError::check_finite(Self::name(), "weights", weights.iter())?;
        LayerError::check_finite(Self::name(), "bias", bias.iter())?;
        activation.check::<T>()?;
        // Row-major, so that values and gradients lie alike.
        let weights = if weights.is_standard_layout() { weights } else { weights.as_standard_layout().into_owned() };
        Ok(Self::assemble(weights, bias, activation))
    }

    /// The weights as stored: `(in, out)` in a [`crate::Dense`], `(out, in)` in a [`crate::FullyConnected`].
    #[must_use]
    pub fn weights(&self) -> ArrayView2<'_, T> {
        self.weights.view()
    }

    /// Overwrites the weights, given as stored. Gradients are dropped, and a backward needs a new forward.
    ///
    /// # Errors
    /// [`LayerError::Shape`], [`LayerError::NonFinite`].
    pub fn set_weights(&mut self, weights: &ArrayRef2<T>) -> Result<()> {
        LayerError::check_shape(Self::name(), "weights", self.weights.dim(), weights.dim())?;
        LayerError::check_finite(Self::name(), "weights", weights.iter())?;
        self.weights.assign(weights);
        self.merges.clear();
        self.forget();
        Ok(())
    }

    /// The layer `y = activation(x·Wᵀ)`, whose only parameters are the weights.
    ///
    /// # Examples
    /// ```
    /// use lokr_layers::{Activation, Dense, Layer};
    /// use ndarray::array;
    ///
    /// let layer = Dense::from_arrays(array![[1.0, 2.0]], array![5.0, 5.0], Activation::Identity)?.without_bias();
    /// assert_eq!(layer.predict(&array![[3.0]])?, array![[3.0, 6.0]]);
    /// assert_eq!(layer.parameter_count(), 2);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias.fill(T::zero());
        self.biased = false;
        self.gradients = None;
        self.ran_forward = false;
        self
    }

    /// Overwrites the bias. Gradients are dropped, and a backward needs a new forward.
    ///
    /// # Errors
    /// [`LayerError::Length`], [`LayerError::NonFinite`]; [`LayerError::InvalidSetting`] for a layer without one.
    pub fn set_bias(&mut self, bias: &ArrayRef1<T>) -> Result<()> {
        if !self.biased {
            return Err(LayerError::invalid("bias", "given", "none, for a layer without bias"));
        }
        LayerError::check_length(Self::name(), "bias", self.bias.len(), bias.len())?;
        LayerError::check_finite(Self::name(), "bias", bias.iter())?;
        self.bias.assign(bias);
        self.forget();
        Ok(())
    }

    /// After a change of parameters that is no step: see [`crate::Layer`].
    pub(super) fn forget(&mut self) {
        self.ran_forward = false;
        if let Some(gradients) = &mut self.gradients {
            gradients.present = false;
        }
    }

    /// How the weight is stored.
    pub(super) fn storage() -> Storage {
        Storage::of::<O>()
    }

    /// The shape as stored of a weight `(out, in)`.
    pub(crate) fn stored_dim(weight: (usize, usize)) -> (usize, usize) {
        Self::storage().swap_dim(weight)
    }

    /// The layer's type, for messages.
    pub(super) fn name() -> &'static str {
        Self::storage().type_name()
    }

    fn assemble(weights: Array2<T>, bias: Array1<T>, activation: Activation) -> Self {
        Self {
            weights,
            bias,
            activation,
            gradients: None,
            input: Buffer::new(),
            ran_forward: false,
            activation_state: ActivationState::new(),
            dz: Buffer::new(),
            frozen: false,
            merges: Merges::default(),
            biased: true,
            orientation: PhantomData,
        }
    }

    fn check_sizes(input_size: usize, output_size: usize) -> Result<()> {
        if input_size == 0 || output_size == 0 {
            return Err(LayerError::ZeroSize { layer: Self::name(), input_size, output_size });
        }
        Ok(())
    }
}
