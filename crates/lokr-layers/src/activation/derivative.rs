//! The derivative of an activation, and what a forward pass must keep for it.

use lokr_core::{Scalar, memory};
use ndarray::{Array2, ArrayRef1, ArrayRef2, Zip};

use super::function::Activation;
use super::special::{normal_cdf, normal_density, sigmoid};
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::limits::PARALLEL_VALUES;

/// What the derivative is computed from.
enum Kept {
    Nothing,
    PreActivation,
    Output,
}

impl Activation {
    const fn keeps(self) -> Kept {
        match self {
            Self::Identity => Kept::Nothing,
            Self::LeakyRelu { .. } | Self::Gelu | Self::Silu => Kept::PreActivation,
            Self::Relu | Self::Tanh | Self::Sigmoid | Self::Softmax => Kept::Output,
        }
    }
}

impl Activation {
    /// The gradient of the pre-activation `z`, one sample per row, from the gradient `dy` of the activation of it.
    ///
    /// # Errors
    /// [`LayerError::Shape`] unless `dy` has the shape of `z`; [`LayerError::Kron`] where memory is refused.
    /// # Examples
    /// ```
    /// use lokr_layers::Activation;
    /// use ndarray::array;
    ///
    /// let (z, dy) = (array![[-1.0, 2.0]], array![[3.0, 5.0]]);
    /// assert_eq!(Activation::LeakyRelu { slope: 0.5 }.backward(&z, &dy)?, array![[1.5, 5.0]]);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn backward<T: Scalar>(self, z: &ArrayRef2<T>, dy: &ArrayRef2<T>) -> Result<Array2<T>> {
        LayerError::check_shape(self.name(), "dy", z.dim(), dy.dim())?;
        let mut state = ActivationState::new();
        state.forward(self, &mut z.to_owned())?;
        let mut dz = memory::zeros("a gradient", z.dim())?;
        state.backward_into(self, dy, &mut dz);
        Ok(dz)
    }

    /// The derivative at each value of `z`; `None` of the softmax, whose outputs depend on all values of a row: see
    /// [`Activation::jacobian`].
    ///
    /// # Errors
    /// [`LayerError::Kron`](crate::LayerError::Kron) where memory is refused.
    /// # Examples
    /// ```
    /// use lokr_layers::Activation;
    /// use ndarray::array;
    ///
    /// assert_eq!(Activation::Relu.derivative(&array![[-1.0, 2.0]])?, Some(array![[0.0, 1.0]]));
    /// assert_eq!(Activation::Softmax.derivative(&array![[-1.0, 2.0]])?, None);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn derivative<T: Scalar>(self, z: &ArrayRef2<T>) -> Result<Option<Array2<T>>> {
        match self {
            Self::Softmax => Ok(None),
            _ => self.backward(z, &Array2::ones(z.dim())).map(Some),
        }
    }

    /// The derivatives `∂yᵢ/∂zⱼ` at one row `z`, `(values, values)`.
    ///
    /// # Errors
    /// [`LayerError::Kron`](crate::LayerError::Kron) where memory is refused.
    /// # Examples
    /// ```
    /// use lokr_layers::Activation;
    /// use ndarray::array;
    ///
    /// let jacobian = Activation::Softmax.jacobian(&array![0.0, 0.0])?;
    /// assert_eq!(jacobian, array![[0.25, -0.25], [-0.25, 0.25]]);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn jacobian<T: Scalar>(self, z: &ArrayRef1<T>) -> Result<Array2<T>> {
        // A row for each output, with the gradient of that one.
        let mut rows: Array2<T> = memory::zeros("a Jacobian", (z.len(), z.len()))?;
        rows.rows_mut().into_iter().for_each(|mut row| row.assign(z));
        self.backward(&rows, &Array2::eye(z.len()))
    }
}

/// What an activation's backward pass needs of its forward pass. Its memory is kept from step to step.
#[derive(Debug, Clone)]
pub(crate) struct ActivationState<T> {
    kept: Buffer<T>,
}

impl<T: Scalar> ActivationState<T> {
    pub(crate) fn new() -> Self {
        Self { kept: Buffer::new() }
    }

    /// Replaces `z` by its activation and keeps what [`ActivationState::backward_into`] needs.
    ///
    /// # Errors
    /// [`crate::LayerError::Kron`] where memory is refused; `z` is then as it was.
    pub(crate) fn forward(&mut self, activation: Activation, z: &mut ArrayRef2<T>) -> Result<()> {
        match activation.keeps() {
            Kept::Nothing => activation.apply(z),
            Kept::PreActivation => {
                self.kept.try_store(z)?;
                activation.apply(z);
            }
            Kept::Output => {
                let mut kept = self.kept.try_resize(z.dim())?;
                activation.apply(z);
                kept.assign(z);
            }
        }
        Ok(())
    }

    /// Writes over `dz` the gradient of the pre-activation, given the gradient `dy` of the output. Both have the shape
    /// of the last `forward`, and the activation is the same: the caller has checked that.
    pub(crate) fn backward_into(&self, activation: Activation, dy: &ArrayRef2<T>, dz: &mut ArrayRef2<T>) {
        let (zero, one) = (T::zero(), T::one());
        match activation {
            Activation::Identity => dz.assign(dy),
            Activation::Relu => self.chain(dy, dz, |y| if y > zero { one } else { zero }),
            Activation::LeakyRelu { slope } => {
                let slope = T::from_f64_lossy(slope);
                self.chain(dy, dz, |z| if z > zero { one } else { slope });
            }
            Activation::Gelu => self.chain(dy, dz, |z| normal_cdf(z) + z * normal_density(z)),
            Activation::Silu => self.chain(dy, dz, |z| {
                let s = sigmoid(z);
                s * (one + z * (one - s))
            }),
            Activation::Tanh => self.chain(dy, dz, |y| one - y * y),
            Activation::Sigmoid => self.chain(dy, dz, |y| y * (one - y)),
            Activation::Softmax => {
                // J = diag(y) − y·yᵀ, so J·dy = y∘(dy − ⟨y, dy⟩).
                let y = self.kept.view();
                for ((mut dz, dy), y) in dz.rows_mut().into_iter().zip(dy.rows()).zip(y.rows()) {
                    let mean = y.iter().zip(&dy).map(|(&y, &dy)| y * dy).sum::<T>();
                    Zip::from(&mut dz).and(&dy).and(&y).for_each(|dz, &dy, &y| *dz = y * (dy - mean));
                }
            }
        }
    }

    /// Gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// `dz ← dy∘slope(kept)`.
    fn chain(&self, dy: &ArrayRef2<T>, dz: &mut ArrayRef2<T>, slope: impl Fn(T) -> T + Send + Sync) {
        let zip = Zip::from(dz).and(dy).and(self.kept.view());
        let each = |dz: &mut T, dy: &T, kept: &T| *dz = *dy * slope(*kept);
        if dy.len() >= PARALLEL_VALUES { zip.par_for_each(each) } else { zip.for_each(each) }
    }
}
