//! How well a network does on given samples.

use lokr_core::Scalar;
use ndarray::{ArrayRef2, ArrayView1};

use super::loss::{Loss, mean};
use super::samples::Samples;
use super::targets::{Targets, check_labels};
use crate::buffer::Buffer;
use crate::error::Result;
use crate::layer::Layer;
use crate::limits::EVALUATION_ROWS;

/// What [`evaluate`] finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Mean loss over the samples.
    pub loss: f64,
    /// Share of samples classified right, where the targets are labels.
    pub accuracy: Option<f64>,
}

/// Mean loss and accuracy of `network` on `samples`, by [`Layer::predict_into`] a few hundred rows at a time.
///
/// # Errors
/// [`crate::LayerError::Shape`] and those of [`Loss::value`]; [`crate::LayerError::InvalidSetting`] without samples.
pub fn evaluate<T: Scalar>(network: &dyn Layer<T>, samples: &Samples<'_, T>, loss: Loss) -> Result<Evaluation> {
    samples.check("number of samples", network, loss)?;
    let (mut total, mut right) = (0.0, 0.0);
    let mut y = Buffer::new();
    for start in (0..samples.len()).step_by(EVALUATION_ROWS) {
        let count = EVALUATION_ROWS.min(samples.len() - start);
        let Samples { x, targets } = samples.range(start, count);
        let mut y = y.resize((count, network.output_size()));
        network.predict_into(&x, &mut y)?;
        total += loss.value(&y, targets)? * count as f64;
        if let Targets::Labels(labels) = targets {
            right += accuracy(&y, labels)? * count as f64;
        }
    }
    let samples_count = samples.len() as f64;
    let labelled = matches!(samples.targets, Targets::Labels(_));
    Ok(Evaluation { loss: total / samples_count, accuracy: labelled.then_some(right / samples_count) })
}

/// Share of the rows of `y (batch, classes)` whose largest value stands at the row's label; of equal values the first
/// counts, and a row with NaN is never right. 0 for an empty batch.
///
/// # Errors
/// [`crate::LayerError::Length`], [`crate::LayerError::Label`].
/// # Examples
/// ```
/// use ndarray::array;
/// let y = array![[0.1, 0.9], [0.8, 0.2], [0.5, 0.5], [0.3, 0.7]];
/// assert_eq!(lokr_layers::accuracy(&y, &[1, 0, 0, 0])?, 0.75);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn accuracy<T: Scalar>(y: &ArrayRef2<T>, labels: &[usize]) -> Result<f64> {
    check_labels("accuracy", y.dim(), labels)?;
    let wins = |row: ArrayView1<'_, T>, label: usize| {
        row.indexed_iter().all(|(j, &v)| if j < label { row[label] > v } else { row[label] >= v })
    };
    let right = y.rows().into_iter().zip(labels).filter(|(row, label)| wins(*row, **label)).count();
    Ok(mean(right as f64, labels.len()))
}
