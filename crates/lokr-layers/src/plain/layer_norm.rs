//! Rows of mean 0 and variance 1.

use lokr_core::Scalar;
use ndarray::{ArrayRef2, ArrayView1, Axis};

use super::parameters::Parameter;
use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::layer::{Form, GradientAt, GradientVisitorMut, Layer, ValueVisitor, ValueVisitorMut, Visitor, VisitorMut};

const TYPE_NAME: &str = "LayerNorm";
const NAMES: [&str; 2] = ["weight", "bias"];

/// Layer normalisation (Ba, Kiros & Hinton 2016): `y = (x − mean)/√(variance + ε)·weight + bias`, over each row, or
/// over each of its pieces ([`LayerNorm::pieces`]) with the same weight and bias.
///
/// The numbers are those of PyTorch's `LayerNorm`: the variance is that of the values themselves, divided by their
/// number, and `ε` is 1e-5 unless it is set. Means and variances are summed in `f64`.
///
/// # Examples
/// ```
/// use lokr_layers::{Layer, LayerNorm};
/// use ndarray::array;
///
/// let layer = LayerNorm::<f64>::new(2)?.pieces(2); // of four values, two and two
/// let y = layer.predict(&array![[1.0, 3.0, 10.0, 10.0]])?;
/// assert!((y - array![[-1.0, 1.0, 0.0, 0.0]]).iter().all(|d| d.abs() < 1e-5));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct LayerNorm<T> {
    weight: Parameter<T>,
    bias: Parameter<T>,
    pieces: usize,
    epsilon: f64,
    /// Of the last forward: `(x − mean)/√(variance + ε)`, and for each piece what it was divided by, inverted.
    normalized: Buffer<T>,
    inverses: Vec<T>,
    ran_forward: bool,
    frozen: bool,
}

impl<T: Scalar> LayerNorm<T> {
    /// For pieces of `size` values, with a weight of ones and a bias of zeros.
    ///
    /// # Errors
    /// [`LayerError::ZeroSize`].
    pub fn new(size: usize) -> Result<Self> {
        if size == 0 {
            return Err(LayerError::ZeroSize { layer: TYPE_NAME, input_size: 0, output_size: 0 });
        }
        Ok(Self {
            weight: Parameter::vector(vec![T::one(); size]),
            bias: Parameter::vector(vec![T::zero(); size]),
            pieces: 1,
            epsilon: 1e-5,
            normalized: Buffer::new(),
            inverses: Vec::new(),
            ran_forward: false,
            frozen: false,
        })
    }

    /// How many pieces a row has, each of which is normalised by itself: the tokens of an [`crate::Embedding`]. At
    /// least 1 is taken.
    #[must_use]
    pub fn pieces(mut self, pieces: usize) -> Self {
        self.pieces = pieces.max(1);
        self.ran_forward = false;
        self
    }

    /// `ε`; finite and positive in `T`.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`].
    pub fn epsilon(mut self, epsilon: f64) -> Result<Self> {
        let in_type = T::from_f64_lossy(epsilon);
        if !(in_type.is_finite() && in_type > T::zero()) {
            return Err(LayerError::invalid("epsilon", epsilon, "a finite positive number"));
        }
        self.epsilon = epsilon;
        Ok(self)
    }

    fn size(&self) -> usize {
        self.weight.values.ncols()
    }

    fn check(&self, x: &ArrayRef2<T>, y: &ArrayRef2<T>) -> Result<()> {
        LayerError::check_shape(TYPE_NAME, "x", (x.nrows(), self.input_size()), x.dim())?;
        LayerError::check_shape(TYPE_NAME, "y", (x.nrows(), self.input_size()), y.dim())
    }

    /// The mean of a piece, and the inverse root of its variance and `ε`.
    fn moments(&self, piece: &ArrayView1<'_, T>) -> (T, T) {
        let count = piece.len() as f64;
        let mean = piece.iter().map(|x| x.to_f64_exact()).sum::<f64>() / count;
        let square = |x: &T| (x.to_f64_exact() - mean).powi(2);
        let variance = piece.iter().map(square).sum::<f64>() / count;
        (T::from_f64_lossy(mean), T::from_f64_lossy(1.0 / (variance + self.epsilon).sqrt()))
    }

    fn backward_checked(&mut self, dy: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        let size = self.size();
        let normalized = self.normalized.view();
        if !self.frozen {
            let (of_weight, of_bias) = (self.weight.accumulate()?, self.bias.accumulate()?);
            for (dy, normalized) in dy.rows().into_iter().zip(normalized.rows()) {
                let pieces = dy.axis_chunks_iter(Axis(0), size).zip(normalized.axis_chunks_iter(Axis(0), size));
                for (dy, normalized) in pieces {
                    let sums = of_weight.iter_mut().zip(&mut *of_bias);
                    for ((of_weight, of_bias), (&dy, &x)) in sums.zip(dy.iter().zip(normalized)) {
                        *of_weight += dy * x;
                        *of_bias += dy;
                    }
                }
            }
        }
        let weight = self.weight.values.row(0);
        let mut inverses = self.inverses.iter();
        for ((dy, normalized), mut dx) in dy.rows().into_iter().zip(normalized.rows()).zip(dx.rows_mut()) {
            let pieces = dy.axis_chunks_iter(Axis(0), size).zip(normalized.axis_chunks_iter(Axis(0), size));
            for ((dy, normalized), dx) in pieces.zip(dx.axis_chunks_iter_mut(Axis(0), size)) {
                let values = || dy.iter().zip(weight).zip(normalized);
                let count = size as f64;
                let of_mean = values().map(|((&dy, &w), _)| (dy * w).to_f64_exact()).sum::<f64>() / count;
                let of_variance =
                    values().map(|((&dy, &w), &x)| (dy * w).to_f64_exact() * x.to_f64_exact()).sum::<f64>() / count;
                let (of_mean, of_variance) = (T::from_f64_lossy(of_mean), T::from_f64_lossy(of_variance));
                let inverse = inverses.next().copied().unwrap_or_else(T::nan); // One for each piece.
                for (dx, ((&dy, &w), &x)) in dx.into_iter().zip(values()) {
                    *dx = inverse * (dy * w - of_mean - x * of_variance);
                }
            }
        }
        Ok(())
    }
}

impl<T: Scalar> Layer<T> for LayerNorm<T> {
    fn input_size(&self) -> usize {
        self.size() * self.pieces
    }

    fn output_size(&self) -> usize {
        self.input_size()
    }

    fn type_name(&self) -> &'static str {
        TYPE_NAME
    }

    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check(x, y)?;
        let (weight, bias) = (self.weight.values.row(0), self.bias.values.row(0));
        for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
            for (x, y) in x.axis_chunks_iter(Axis(0), self.size()).zip(y.axis_chunks_iter_mut(Axis(0), self.size())) {
                let (mean, inverse) = self.moments(&x);
                for ((y, &x), (&w, &b)) in y.into_iter().zip(x).zip(weight.iter().zip(bias)) {
                    *y = (x - mean) * inverse * w + b;
                }
            }
        }
        Ok(())
    }

    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.check(x, y)?;
        self.ran_forward = false;
        let mut buffer = std::mem::replace(&mut self.normalized, Buffer::new());
        let mut normalized = buffer.try_resize(x.dim())?;
        self.inverses.clear();
        let (weight, bias) = (self.weight.values.row(0), self.bias.values.row(0));
        for ((x, mut y), mut kept) in x.rows().into_iter().zip(y.rows_mut()).zip(normalized.rows_mut()) {
            let pieces = x.axis_chunks_iter(Axis(0), self.size()).zip(y.axis_chunks_iter_mut(Axis(0), self.size()));
            for ((x, y), kept) in pieces.zip(kept.axis_chunks_iter_mut(Axis(0), self.size())) {
                let (mean, inverse) = self.moments(&x);
                self.inverses.push(inverse);
                let values = y.into_iter().zip(kept).zip(x).zip(weight.iter().zip(bias));
                for (((y, kept), &x), (&w, &b)) in values {
                    *kept = (x - mean) * inverse;
                    *y = *kept * w + b;
                }
            }
        }
        self.normalized = buffer;
        self.ran_forward = true;
        Ok(())
    }

    fn backward_into(&mut self, dy: &ArrayRef2<T>, _at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        if !self.ran_forward {
            return Err(LayerError::BackwardBeforeForward { layer: TYPE_NAME });
        }
        let expected = self.normalized.view().dim();
        LayerError::check_shape(TYPE_NAME, "dy", expected, dy.dim())?;
        LayerError::check_shape(TYPE_NAME, "dx", expected, dx.dim())?;
        self.backward_checked(dy, dx)
    }

    fn visit(&self, visitor: Visitor<'_, T>) {
        if !self.frozen {
            for (name, parameter) in NAMES.into_iter().zip([&self.weight, &self.bias]) {
                visitor(name, parameter.view(), parameter.gradient());
            }
        }
    }

    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        if !self.frozen {
            self.ran_forward = false;
            for (name, parameter) in NAMES.into_iter().zip([&mut self.weight, &mut self.bias]) {
                let (values, gradient) = parameter.both();
                visitor(name, values, gradient);
            }
        }
    }

    fn visit_values(&self, visitor: ValueVisitor<'_, T>) {
        NAMES.into_iter().zip([&self.weight, &self.bias]).for_each(|(name, values)| visitor(name, values.view()));
    }

    fn visit_values_mut(&mut self, visitor: ValueVisitorMut<'_, T>) {
        self.ran_forward = false;
        for (name, parameter) in NAMES.into_iter().zip([&mut self.weight, &mut self.bias]) {
            parameter.clear_gradient();
            visitor(name, parameter.both().0);
        }
    }

    fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        if !self.frozen {
            for (name, parameter) in NAMES.into_iter().zip([&mut self.weight, &mut self.bias]) {
                if let Some(gradient) = parameter.gradient_mut() {
                    visitor(name, gradient);
                }
            }
        }
        Ok(())
    }

    fn clear_gradients(&mut self) {
        self.weight.clear_gradient();
        self.bias.clear_gradient();
    }

    fn reset_state(&mut self) {
        self.weight.reset();
        self.bias.reset();
        self.normalized.clear();
        (self.inverses, self.ran_forward) = (Vec::new(), false);
    }

    /// Does nothing: this layer behaves alike in both modes.
    fn set_training_mode(&mut self, _training: bool) {}

    fn set_frozen(&mut self, frozen: bool) -> Result<()> {
        if self.frozen != frozen {
            self.frozen = frozen;
            self.clear_gradients();
        }
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        self.frozen
    }

    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }

    fn form(&self) -> Form<'_, T> {
        let (weight, bias) = (self.weight.values.row(0), self.bias.values.row(0));
        Form::LayerNorm { weight, bias, pieces: self.pieces, epsilon: self.epsilon }
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(Activation::Identity)
    }
}
