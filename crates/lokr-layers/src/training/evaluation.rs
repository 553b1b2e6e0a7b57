//! How well a network does on given samples.

use lokr_core::Scalar;

use super::loss::{LossFunction, mean};
use super::samples::Samples;
use crate::buffer::Buffer;
use crate::error::Result;
use crate::layer::Layer;
use crate::limits::EVALUATION_ROWS;

/// What [`evaluate`] finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Mean loss over the samples.
    pub loss: f64,
    /// Share of samples answered right, where the loss knows right answers: where the targets are labels.
    pub accuracy: Option<f64>,
}

/// Mean loss and accuracy of `network` on `samples`, by [`Layer::predict_into`] a few hundred rows at a time.
///
/// # Errors
/// [`crate::LayerError::Shape`] and those of [`LossFunction::value`]; [`crate::LayerError::LossActivation`] for a
/// network that ends in an activation which is not the loss's; [`crate::LayerError::InvalidSetting`] without samples.
/// # Examples
/// ```
/// use lokr_layers::{Activation, CrossEntropy, Dense, Samples, Targets, evaluate};
/// use ndarray::array;
///
/// let network = Dense::from_arrays(array![[1.0, -1.0]], array![0.0, 0.0], Activation::Identity)?;
/// let x = array![[2.0], [-1.0]];
/// let found = evaluate(&network, &Samples::new(&x, Targets::Labels(&[0, 0]))?, CrossEntropy::new())?;
/// assert_eq!(found.accuracy, Some(0.5));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn evaluate<T: Scalar>(
    network: &dyn Layer<T>,
    samples: &Samples<'_, T>,
    loss: impl LossFunction<T>,
) -> Result<Evaluation> {
    evaluate_dyn(network, samples, &loss)
}

/// [`evaluate`], compiled once.
pub(super) fn evaluate_dyn<T: Scalar>(
    network: &dyn Layer<T>,
    samples: &Samples<'_, T>,
    loss: &dyn LossFunction<T>,
) -> Result<Evaluation> {
    samples.check("number of samples", network, loss)?;
    let (mut total, mut weight) = (0.0, 0.0);
    let (mut right, mut judged) = (0_usize, 0_usize);
    let mut y = Buffer::new();
    for start in (0..samples.len()).step_by(EVALUATION_ROWS) {
        let count = EVALUATION_ROWS.min(samples.len() - start);
        let Samples { x, targets } = samples.range(start, count);
        let mut y = y.resize((count, network.output_size()));
        network.predict_into(&x, &mut y)?;
        let weight_of_part = loss.total_weight(targets);
        total += loss.value(&y, targets)? * weight_of_part;
        weight += weight_of_part;
        for (i, y) in y.rows().into_iter().enumerate() {
            let is_right = loss.is_right(y, &targets.row(i));
            judged += usize::from(is_right.is_some());
            right += usize::from(is_right == Some(true));
        }
    }
    let accuracy = (judged > 0).then(|| right as f64 / judged as f64);
    Ok(Evaluation { loss: mean(total, weight), accuracy })
}
