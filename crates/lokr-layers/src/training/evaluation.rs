//! How well a network does on given samples.

use lokr_core::Scalar;

use super::communicator::{Communicator, SingleProcess, share};
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
    evaluate_dyn(network, samples, &loss, &SingleProcess)
}

/// [`evaluate`], compiled once. Ranks share the samples, a few hundred rows at a time; what they find is added up in
/// the order of samples, so that the bits do not depend on how many ranks there are.
pub(super) fn evaluate_dyn<T: Scalar>(
    network: &dyn Layer<T>,
    samples: &Samples<'_, T>,
    loss: &dyn LossFunction<T>,
    ranks: &dyn Communicator,
) -> Result<Evaluation> {
    samples.check("number of samples", network, loss)?;
    let parts = samples.len().div_ceil(EVALUATION_ROWS);
    let (mut own, mut all, mut y) = (Vec::new(), Vec::new(), Buffer::new());
    for part in ranks.share(parts) {
        let start = part * EVALUATION_ROWS;
        let count = EVALUATION_ROWS.min(samples.len() - start);
        own.extend(evaluate_part(network, &samples.range(start, count), loss, &mut y)?.map(f64::to_le_bytes).concat());
    }
    let lengths = (0..ranks.size()).map(|rank| share(parts, rank, ranks.size()).len() * size_of::<Part>());
    ranks.gather(&own, &lengths.collect::<Vec<_>>(), &mut all)?;
    let mut sums: Part = [0.0; 4];
    for (i, bytes) in all.as_chunks().0.iter().enumerate() {
        sums[i % sums.len()] += f64::from_le_bytes(*bytes);
    }
    let [total, weight, right, judged] = sums;
    Ok(Evaluation { loss: mean(total, weight), accuracy: (judged > 0.0).then(|| right / judged) })
}

/// The sum of the losses of some samples, that of their weights, and how many of them have right answers and of how
/// many that is known.
type Part = [f64; 4];

fn evaluate_part<T: Scalar>(
    network: &dyn Layer<T>,
    samples: &Samples<'_, T>,
    loss: &dyn LossFunction<T>,
    y: &mut Buffer<T>,
) -> Result<Part> {
    let Samples { x, targets } = *samples;
    let mut y = y.resize((samples.len(), network.output_size()));
    network.predict_into(&x, &mut y)?;
    let weight = loss.total_weight(targets);
    let (mut right, mut judged) = (0_usize, 0_usize);
    for (i, y) in y.rows().into_iter().enumerate() {
        let is_right = loss.is_right(y, &targets.row(i));
        judged += usize::from(is_right.is_some());
        right += usize::from(is_right == Some(true));
    }
    Ok([loss.value(&y, targets)? * weight, weight, right as f64, judged as f64])
}
