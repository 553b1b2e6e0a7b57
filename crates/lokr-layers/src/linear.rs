//! The linear layer, for both orientations of its stored weight.

use std::marker::PhantomData;

use lokr_core::{KronError, Scalar, matmul_into};
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut2};
use ndarray_rand::rand::Rng;

use crate::activation::ActivationState;
use crate::buffer::Buffer;
use crate::{Activation, GradientAt, Init, Layer, LayerError, LinearLayer, Result, Visitor, VisitorMut};

pub(crate) mod sealed {
    use ndarray::{ArrayView2, ArrayViewMut2};

    /// The way between a stored weight and `W (out, in)`, the same there and back.
    pub trait Layout: std::fmt::Debug + Copy + Send + Sync + 'static {
        const TYPE_NAME: &'static str;
        fn turn<T>(weights: ArrayView2<'_, T>) -> ArrayView2<'_, T>;
        fn turn_mut<T>(weights: ArrayViewMut2<'_, T>) -> ArrayViewMut2<'_, T>;
        fn turn_dim(dim: (usize, usize)) -> (usize, usize);
    }
}

/// How a [`Linear`] layer stores its weight. Sealed: [`crate::InputMajor`] or [`crate::OutputMajor`].
pub trait Orientation: sealed::Layout {}

/// A linear layer `y = activation(x·Wᵀ + bias)` with `W (out, in)`, stored as `O` says: [`crate::Dense`] or
/// [`crate::FullyConnected`].
///
/// Parameters, in order: the weights as stored, row-major, then the bias.
///
/// # Cost
/// A forward takes `2·batch·in·out` flops, a backward twice that. [`Layer::predict_into`] allocates nothing but what
/// [`lokr_core::matmul_into`] needs inside. [`Layer::forward_into`] keeps a copy of `x` and, unless the activation is
/// the identity, one matrix of the output's size; [`Layer::backward_into`] keeps the gradients and, with an activation,
/// another. Their memory is allocated once, and again only for more rows than ever before.
#[derive(Debug, Clone)]
pub struct Linear<T, O> {
    weights: Array2<T>,
    bias: Array1<T>,
    activation: Activation,
    gradients: Option<Gradients<T>>,
    /// The last forward's input; meaningful while `ran_forward`.
    input: Buffer<T>,
    ran_forward: bool,
    activation_state: ActivationState<T>,
    dz: Buffer<T>,
    orientation: PhantomData<O>,
}

/// Gradients in the shapes of the parameters as stored. Made by the first backward, then kept.
#[derive(Debug, Clone)]
struct Gradients<T> {
    weights: Array2<T>,
    bias: Array1<T>,
    /// Whether they hold a sum; if not, the next one overwrites them.
    present: bool,
}

impl<T: Scalar, O: Orientation> Linear<T, O> {
    /// A layer with weights drawn from `rng` as `init` says, and a bias of zeros.
    ///
    /// # Errors
    /// [`LayerError::ZeroSize`], [`LayerError::InvalidSetting`], and [`KronError::TooLarge`] for a weight that no
    /// memory could hold.
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
        let fits = input_size
            .checked_mul(output_size)
            .and_then(|count| count.checked_mul(size_of::<T>()))
            .is_some_and(|bytes| bytes <= isize::MAX as usize);
        if !fits {
            let sizes = vec![input_size, output_size];
            return Err(KronError::TooLarge { operation: O::TYPE_NAME, sizes }.into());
        }
        Self::check_sizes(input_size, output_size)?;
        activation.check()?;
        init.check::<T>()?;
        let weights = Array2::zeros(O::turn_dim((output_size, input_size)));
        let mut layer = Self::assemble(weights, Array1::zeros(output_size), activation);
        init.fill(&mut layer.weight_mut(), rng)?;
        Ok(layer)
    }

    /// A layer from its weights, in the orientation `O`, and its bias.
    ///
    /// # Errors
    /// [`LayerError::ZeroSize`], [`LayerError::Length`] of the bias, [`LayerError::NonFinite`],
    /// [`LayerError::InvalidSetting`].
    pub fn from_arrays(weights: Array2<T>, bias: Array1<T>, activation: Activation) -> Result<Self> {
        let (output_size, input_size) = O::turn_dim(weights.dim());
        Self::check_sizes(input_size, output_size)?;
        LayerError::check_length(O::TYPE_NAME, "bias", output_size, bias.len())?;
        LayerError::check_finite(O::TYPE_NAME, "weights", weights.iter())?;
        LayerError::check_finite(O::TYPE_NAME, "bias", bias.iter())?;
        activation.check()?;
        // Row-major, so that values and gradients lie alike.
        let weights = if weights.is_standard_layout() { weights } else { weights.as_standard_layout().into_owned() };
        Ok(Self::assemble(weights, bias, activation))
    }

    /// The weights as stored: `(in, out)` in a [`crate::Dense`], `(out, in)` in a [`crate::FullyConnected`].
    #[must_use]
    pub fn weights(&self) -> ArrayView2<'_, T> {
        self.weights.view()
    }

    /// Overwrites the weights, given as stored.
    ///
    /// # Errors
    /// [`LayerError::Shape`], [`LayerError::NonFinite`].
    pub fn set_weights(&mut self, weights: &ArrayRef2<T>) -> Result<()> {
        LayerError::check_shape(O::TYPE_NAME, "weights", self.weights.dim(), weights.dim())?;
        LayerError::check_finite(O::TYPE_NAME, "weights", weights.iter())?;
        self.weights.assign(weights);
        Ok(())
    }

    /// Overwrites the bias.
    ///
    /// # Errors
    /// [`LayerError::Length`], [`LayerError::NonFinite`].
    pub fn set_bias(&mut self, bias: &ArrayRef1<T>) -> Result<()> {
        LayerError::check_length(O::TYPE_NAME, "bias", self.bias.len(), bias.len())?;
        LayerError::check_finite(O::TYPE_NAME, "bias", bias.iter())?;
        self.bias.assign(bias);
        Ok(())
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
            orientation: PhantomData,
        }
    }

    fn check_sizes(input_size: usize, output_size: usize) -> Result<()> {
        if input_size == 0 || output_size == 0 {
            return Err(LayerError::ZeroSize { layer: O::TYPE_NAME, input_size, output_size });
        }
        Ok(())
    }

    fn check_columns(argument: &'static str, expected: usize, matrix: &ArrayRef2<T>) -> Result<()> {
        LayerError::check_shape(O::TYPE_NAME, argument, (matrix.nrows(), expected), matrix.dim())
    }
}

/// Adds `dzᵀ·x` and the column sums of `dz`; the shapes must have been checked.
fn accumulate<T: Scalar, O: Orientation>(
    gradients: &mut Option<Gradients<T>>,
    x: &ArrayRef2<T>,
    dz: &ArrayRef2<T>,
) -> Result<()> {
    let gradients = gradients.get_or_insert_with(|| Gradients {
        weights: Array2::zeros(O::turn_dim((dz.ncols(), x.ncols()))),
        bias: Array1::zeros(dz.ncols()),
        present: false,
    });
    let beta = if gradients.present { T::one() } else { T::zero() };
    matmul_into(T::one(), &dz.t(), x, beta, &mut O::turn_mut(gradients.weights.view_mut()))?;
    if !gradients.present {
        gradients.bias.fill(T::zero());
    }
    for row in dz.rows() {
        gradients.bias += &row;
    }
    gradients.present = true;
    Ok(())
}

impl<T: Scalar, O: Orientation> Layer<T> for Linear<T, O> {
    fn input_size(&self) -> usize {
        self.weight().ncols()
    }

    fn output_size(&self) -> usize {
        self.bias.len()
    }

    fn type_name(&self) -> &'static str {
        O::TYPE_NAME
    }

    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.pre_activation_into(x, y)?;
        self.activation.apply(y);
        Ok(())
    }

    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.pre_activation_into(x, y)?;
        self.activation_state.forward(self.activation, y);
        self.input.store(x);
        self.ran_forward = true;
        Ok(())
    }

    fn backward_into(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        if !self.ran_forward {
            return Err(LayerError::BackwardBeforeForward { layer: O::TYPE_NAME });
        }
        let batch = self.input.view().nrows();
        LayerError::check_shape(O::TYPE_NAME, "dy", (batch, self.output_size()), dy.dim())?;
        LayerError::check_shape(O::TYPE_NAME, "dx", (batch, self.input_size()), dx.dim())?;
        let scratch;
        let dz = match (at, self.activation) {
            (GradientAt::PreActivation, _) | (GradientAt::Output, Activation::Identity) => dy,
            (GradientAt::Output, activation) => {
                let mut dz = self.dz.resize(dy.dim());
                self.activation_state.backward_into(activation, dy, &mut dz);
                scratch = dz;
                &*scratch
            }
        };
        accumulate::<T, O>(&mut self.gradients, &self.input.view(), dz)?;
        Ok(matmul_into(T::one(), dz, &O::turn(self.weights.view()), T::zero(), dx)?)
    }

    fn visit(&self, visitor: Visitor<'_, T>) {
        let gradients = self.gradients.as_ref().filter(|g| g.present);
        visitor("weight", self.weights.view().into_dyn(), gradients.map(|g| g.weights.view().into_dyn()));
        visitor("bias", self.bias.view().into_dyn(), gradients.map(|g| g.bias.view().into_dyn()));
    }

    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        let gradients = self.gradients.as_ref().filter(|g| g.present);
        visitor("weight", self.weights.view_mut().into_dyn(), gradients.map(|g| g.weights.view().into_dyn()));
        visitor("bias", self.bias.view_mut().into_dyn(), gradients.map(|g| g.bias.view().into_dyn()));
    }

    fn clear_gradients(&mut self) {
        if let Some(gradients) = &mut self.gradients {
            gradients.present = false;
        }
    }

    /// Also gives the memory of the stored input and the gradients back.
    fn reset_state(&mut self) {
        self.gradients = None;
        self.ran_forward = false;
        self.input.clear();
        self.activation_state.clear();
        self.dz.clear();
    }

    /// Does nothing: this layer behaves alike in both modes.
    fn set_training_mode(&mut self, _training: bool) {}

    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }

    fn as_linear(&self) -> Option<&dyn LinearLayer<T>> {
        Some(self)
    }

    fn as_linear_mut(&mut self) -> Option<&mut dyn LinearLayer<T>> {
        Some(self)
    }
}

impl<T: Scalar, O: Orientation> LinearLayer<T> for Linear<T, O> {
    fn weight(&self) -> ArrayView2<'_, T> {
        O::turn(self.weights.view())
    }

    fn weight_mut(&mut self) -> ArrayViewMut2<'_, T> {
        O::turn_mut(self.weights.view_mut())
    }

    fn bias(&self) -> ArrayView1<'_, T> {
        self.bias.view()
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn pre_activation_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        Self::check_columns("x", self.input_size(), x)?;
        LayerError::check_shape(O::TYPE_NAME, "y", (x.nrows(), self.output_size()), z.dim())?;
        // The product is added to the bias in place, without a temporary of the output's size.
        z.assign(&self.bias);
        Ok(matmul_into(T::one(), x, &self.weight().t(), T::one(), z)?)
    }

    fn input_gradient_into(&self, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        Self::check_columns("dz", self.output_size(), dz)?;
        LayerError::check_shape(O::TYPE_NAME, "dx", (dz.nrows(), self.input_size()), dx.dim())?;
        Ok(matmul_into(T::one(), dz, &self.weight(), T::zero(), dx)?)
    }

    fn accumulate_gradients(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>) -> Result<()> {
        Self::check_columns("x", self.input_size(), x)?;
        LayerError::check_shape(O::TYPE_NAME, "dz", (x.nrows(), self.output_size()), dz.dim())?;
        accumulate::<T, O>(&mut self.gradients, x, dz)
    }
}

#[cfg(test)]
mod tests;
