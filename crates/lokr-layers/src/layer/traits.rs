//! What every layer can do, and what a layer with a weight matrix can do besides. Each trait speaks of the other, so
//! they stand together.

use lokr_core::Scalar;
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2, ArrayView1, ArrayView2, ArrayViewD, ArrayViewMut2, ArrayViewMutD};

use crate::activation::Activation;
use crate::error::{LayerError, Result};

/// What a gradient handed to `backward` refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GradientAt {
    /// The layer's output.
    Output,
    /// The value before the layer's activation: the short cut of softmax with cross-entropy, whose gradient there is
    /// `(probabilities − target) / batch`.
    PreActivation,
}

/// Is shown one parameter after the other: name, values, and gradient if there is one.
pub type Visitor<'v, T> = &'v mut dyn FnMut(&str, ArrayViewD<'_, T>, Option<ArrayViewD<'_, T>>);

/// A [`Visitor`] that may change the values.
pub type VisitorMut<'v, T> = &'v mut dyn FnMut(&str, ArrayViewMutD<'_, T>, Option<ArrayViewD<'_, T>>);

/// Is shown one gradient after the other, writable: the parameter's name and its gradient.
pub type GradientVisitorMut<'v, T> = &'v mut dyn FnMut(&str, ArrayViewMutD<'_, T>);

/// A differentiable map from rows of `input_size` values to rows of `output_size` values.
///
/// Object-safe: `Box<dyn Layer<T>>` is itself a [`Layer`]. `Send + Sync`: [`Layer::predict`] takes `&self` and keeps
/// nothing, so a trained layer can be shared between threads.
///
/// Parameters are visited in one fixed order, the order of the flat vectors of [`Layer::parameters`] and
/// [`Layer::gradients`]; frozen parameters are not visited. Gradients add up over calls of [`Layer::backward`] until
/// [`Layer::clear_gradients`].
pub trait Layer<T: Scalar>: Send + Sync {
    /// Values in one row of the input.
    fn input_size(&self) -> usize;

    /// Values in one row of the output.
    fn output_size(&self) -> usize;

    /// Name of the layer's type, for messages.
    fn type_name(&self) -> &'static str;

    /// Inference: writes the output for `x` `(batch, input_size)` over `y` `(batch, output_size)`, keeping nothing.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()>;

    /// Training: like [`Layer::predict_into`], and keeps what [`Layer::backward_into`] needs.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()>;

    /// Adds to the gradients of the trainable parameters and writes the gradient of the input of the last `forward`
    /// over `dx` `(batch, input_size)`, from the gradient `dy` `(batch, output_size)`.
    ///
    /// # Errors
    /// [`LayerError::BackwardBeforeForward`], [`LayerError::Shape`], [`LayerError::NoPreActivation`].
    fn backward_into(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()>;

    /// Shows every trainable parameter, in order: its name, its values, and its gradient if there is one.
    fn visit(&self, visitor: Visitor<'_, T>);

    /// Like [`Layer::visit`], with writable values.
    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>);

    /// Shows every gradient that there is, in the order of [`Layer::visit`], writable: for clipping and scaling.
    ///
    /// # Errors
    /// [`LayerError::FixedGradients`] where the layer, or one inside it, does not implement this method; layers before
    /// that one have been visited then.
    fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        let _ = visitor;
        Err(LayerError::FixedGradients { layer: self.type_name() })
    }

    /// Drops all gradients. The next [`Layer::backward`] starts from zero.
    fn clear_gradients(&mut self);

    /// Drops the stored input and the gradients; parameters stay.
    fn reset_state(&mut self);

    /// Switches between training and inference behaviour, in this layer and all layers inside it.
    fn set_training_mode(&mut self, training: bool);

    /// Shows every number that decides which random values training draws next, with a name, and lets it be set: with
    /// the parameters restored and these, a run goes on with the same bits.
    fn visit_random_states(&mut self, visitor: &mut dyn FnMut(&str, &mut u64)) {
        let _ = visitor;
    }

    /// Whether `backward` works.
    fn supports_training(&self) -> bool {
        true
    }

    /// A deep copy behind a new box.
    fn clone_box(&self) -> Box<dyn Layer<T>>;

    /// A deep copy in which every adapter is merged into its base: [`crate::LoKrAdapter`] gives its merged base, a
    /// [`crate::Sequential`] does so for each of its layers, any other layer is copied as it is.
    ///
    /// # Errors
    /// Those of the adapters' merges, [`LayerError::NotMergeable`] and [`LayerError::MergeThroughActivation`].
    fn merged(&self) -> Result<Box<dyn Layer<T>>> {
        Ok(self.clone_box())
    }

    /// This layer as one with a weight matrix, if it has one. Adapters need it to put their delta before the
    /// activation and to merge.
    fn as_linear(&self) -> Option<&dyn LinearLayer<T>> {
        None
    }

    /// [`Layer::as_linear`], writable.
    fn as_linear_mut(&mut self) -> Option<&mut dyn LinearLayer<T>> {
        None
    }

    /// The activation that the output has passed last, where it is known: what a gradient at the pre-activation skips.
    ///
    /// That of [`Layer::as_linear`], unless the layer says otherwise. Losses are paired with it: see
    /// [`crate::LossFunction::check_activation`].
    fn output_activation(&self) -> Option<Activation> {
        self.as_linear().map(|linear| linear.activation())
    }

    /// Inference into a new matrix `(batch, output_size)`.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn predict(&self, x: &ArrayRef2<T>) -> Result<Array2<T>> {
        let mut y = Array2::zeros((x.nrows(), self.output_size()));
        self.predict_into(x, &mut y)?;
        Ok(y)
    }

    /// Training forward into a new matrix `(batch, output_size)`.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn forward(&mut self, x: &ArrayRef2<T>) -> Result<Array2<T>> {
        let mut y = Array2::zeros((x.nrows(), self.output_size()));
        self.forward_into(x, &mut y)?;
        Ok(y)
    }

    /// [`Layer::backward_into`] from a gradient of the output, into a new matrix `(batch, input_size)`.
    ///
    /// # Errors
    /// As [`Layer::backward_into`].
    fn backward(&mut self, dy: &ArrayRef2<T>) -> Result<Array2<T>> {
        let mut dx = Array2::zeros((dy.nrows(), self.input_size()));
        self.backward_into(dy, GradientAt::Output, &mut dx)?;
        Ok(dx)
    }

    /// Number of trainable values.
    fn parameter_count(&self) -> usize {
        let mut count = 0;
        self.visit(&mut |_, values, _| count += values.len());
        count
    }

    /// All trainable values in one vector, each matrix in row-major order.
    fn parameters(&self) -> Array1<T> {
        let mut flat = Vec::with_capacity(self.parameter_count());
        self.visit(&mut |_, values, _| flat.extend(values.iter().copied()));
        Array1::from_vec(flat)
    }

    /// Sets all trainable values from one vector, in the order of [`Layer::parameters`].
    ///
    /// # Errors
    /// [`LayerError::Length`], [`LayerError::NonFinite`]; nothing is changed then.
    fn set_parameters(&mut self, parameters: &ArrayRef1<T>) -> Result<()> {
        LayerError::check_length(self.type_name(), "parameters", self.parameter_count(), parameters.len())?;
        LayerError::check_finite(self.type_name(), "parameters", parameters.iter())?;
        let mut source = parameters.iter();
        self.visit_mut(&mut |_, mut values, _| values.iter_mut().zip(&mut source).for_each(|(v, &s)| *v = s));
        Ok(())
    }

    /// All gradients in one vector, in the order of [`Layer::parameters`].
    ///
    /// # Errors
    /// [`LayerError::NoGradients`].
    fn gradients(&self) -> Result<Array1<T>> {
        require_gradients(self)?;
        let mut flat = Vec::with_capacity(self.parameter_count());
        self.visit(&mut |_, _, gradient| flat.extend(gradient.iter().flatten().copied()));
        Ok(Array1::from_vec(flat))
    }

    /// A plain gradient step, `value ← value − learning_rate·gradient`.
    ///
    /// # Errors
    /// [`LayerError::NoGradients`]; [`LayerError::InvalidSetting`] for a learning rate that is not finite. Nothing is
    /// changed then.
    fn update_parameters(&mut self, learning_rate: T) -> Result<()> {
        if !learning_rate.is_finite() {
            return Err(LayerError::invalid("learning rate", learning_rate, "a finite number"));
        }
        require_gradients(self)?;
        self.visit_mut(&mut |_, mut values, gradient| {
            if let Some(gradient) = gradient {
                values.zip_mut_with(&gradient, |v, &g| *v -= learning_rate * g);
            }
        });
        Ok(())
    }
}

/// A layer `y = activation(x·Wᵀ + bias)` whose pieces can be reached one by one.
///
/// However a layer stores its weight, here it is `W (out, in)`; a layer that keeps it input-major hands out the
/// transposed view. Merging therefore honours every orientation.
pub trait LinearLayer<T: Scalar>: Layer<T> {
    /// The weight as `W (out, in)`.
    fn weight(&self) -> ArrayView2<'_, T>;

    /// The weight as `W (out, in)`, writable.
    fn weight_mut(&mut self) -> ArrayViewMut2<'_, T>;

    /// The bias, `out` values.
    fn bias(&self) -> ArrayView1<'_, T>;

    /// The activation applied to `x·Wᵀ + bias`.
    fn activation(&self) -> Activation;

    /// The pre-activation `z ← x·Wᵀ + bias`, `(batch, out)`; keeps nothing.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn pre_activation_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()>;

    /// The input gradient `dx ← dz·W`, `(batch, in)`, from the gradient `dz` of the pre-activation.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn input_gradient_into(&self, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()>;

    /// Adds `dzᵀ·x` and the column sums of `dz` to the gradients of weight and bias.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn accumulate_gradients(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>) -> Result<()>;
}

/// `Ok` when every trainable parameter of `layer` has a gradient, else [`LayerError::NoGradients`].
pub(crate) fn require_gradients<T: Scalar>(layer: &(impl Layer<T> + ?Sized)) -> Result<()> {
    let mut missing = false;
    layer.visit(&mut |_, _, gradient| missing |= gradient.is_none());
    if missing { Err(LayerError::NoGradients { layer: layer.type_name() }) } else { Ok(()) }
}
