//! The door to training: a run in three settings, or one with all of them.

use std::ops::ControlFlow;

use lokr_core::Scalar;
use ndarray_rand::rand::Rng;
use ndarray_rand::rand::seq::SliceRandom;

use super::loss::{Loss, LossFunction};
use super::optimizer::Optimizer;
use super::progress::{EpochReport, Progress, StepReport};
use super::samples::Samples;
use super::settings::Training;
use crate::error::Result;
use crate::layer::Layer;

/// The plainest training run, in three settings and with a generator of the caller's. [`Trainer::new`] is the door to
/// one with schedules, clipping, early stopping, logs and all else: [`Training`].
///
/// # Examples
/// ```
/// use std::ops::ControlFlow;
/// use lokr_layers::rand::{SeedableRng, rngs::SmallRng};
/// use lokr_layers::{Activation, Dense, Init, Loss, Progress, Samples, Sgd, SgdSettings, Targets, Trainer};
/// use ndarray::array;
///
/// let mut rng = SmallRng::seed_from_u64(1);
/// let mut network = Dense::<f64>::new(1, 1, Activation::Identity, Init::XavierUniform, &mut rng)?;
/// let mut sgd = Sgd::new(SgdSettings { learning_rate: 0.1, ..Default::default() })?;
/// let (x, t) = (array![[-1.0], [0.0], [1.0], [2.0]], array![[-3.0], [-1.0], [1.0], [3.0]]); // t = 2·x − 1
/// let samples = Samples::new(&x, Targets::Values(t.view()))?;
///
/// let trainer = Trainer { epochs: 200, batch_size: 3, loss: Loss::MeanSquaredError };
/// let history = trainer.fit(&mut network, &mut sgd, &samples, None, &mut rng, &mut |progress| match progress {
///     Progress::Epoch(report) if report.loss < 1e-6 => ControlFlow::Break(()), // good enough
///     _ => ControlFlow::Continue(()),
/// })?;
/// assert!(history.len() < 200);
/// assert!((network.weights()[[0, 0]] - 2.0).abs() < 0.01);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Trainer {
    /// How often each sample is seen.
    pub epochs: usize,
    /// Samples per step, at least 1; the last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// What is made small.
    pub loss: Loss,
}

impl Trainer {
    /// A run that makes `loss` small, whose settings are chained: see [`Training`].
    ///
    /// # Examples
    /// ```
    /// use lokr_layers::{Activation, Dense, MeanSquaredError, Samples, Sgd, Targets, Trainer};
    /// use ndarray::array;
    ///
    /// let mut network = Dense::from_arrays(array![[0.0]], array![0.0], Activation::Identity)?;
    /// let (x, t) = (array![[-1.0], [0.0], [1.0], [2.0]], array![[-3.0], [-1.0], [1.0], [3.0]]); // t = 2·x − 1
    /// let samples = Samples::new(&x, Targets::Values(t.view()))?;
    /// Trainer::new(MeanSquaredError).epochs(100).batch_size(4).fit(&mut network, &mut Sgd::new(0.2)?, &samples)?;
    /// assert!((network.weights()[[0, 0]] - 2.0_f64).abs() < 0.01);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    #[allow(clippy::new_ret_no_self)] // The run has more settings than the fields that a `Trainer` is written with.
    pub fn new<'a, T: Scalar>(loss: impl LossFunction<T> + 'a) -> Training<'a, T> {
        Training::new(Box::new(loss))
    }

    /// Trains `network` on `training` samples, in an order that is drawn from `rng` for each epoch; the reports of the
    /// complete epochs, first to last.
    ///
    /// `on_progress` is called after each batch and each epoch, and stops the run by [`ControlFlow::Break`]: early
    /// stopping and progress bars are the caller's. The network is put in training mode, and at the end in inference
    /// mode with its gradients cleared. The same seed gives the same bits, wherever the layers' products do (see
    /// [`lokr_core::matmul_into`]). The memory of a step is kept for the next one.
    ///
    /// # Errors
    /// [`crate::LayerError::InvalidSetting`] for a batch size of 0 or no samples, [`crate::LayerError::Shape`],
    /// [`crate::LayerError::Length`] and [`crate::LayerError::Label`] for samples that do not fit: all before the first
    /// step. Those of the layers and of the optimizer.
    pub fn fit<T: Scalar>(
        &self,
        network: &mut dyn Layer<T>,
        optimizer: &mut dyn Optimizer<T>,
        training: &Samples<'_, T>,
        validation: Option<&Samples<'_, T>>,
        rng: &mut (impl Rng + ?Sized),
        on_progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Vec<EpochReport>> {
        let mut run = Training::new(Box::new(self.loss)).epochs(self.epochs).batch_size(self.batch_size);
        if let Some(validation) = validation {
            run = run.validation(validation);
        }
        run.on_progress(|progress| match *progress {
            Progress::Step(StepReport { epoch, batch, batches, loss, .. }) => {
                on_progress(&Progress::Batch { epoch, batch, batches, loss })
            }
            ref other => on_progress(other),
        })
        .run(network, optimizer, training, &mut |order, _| order.shuffle(rng))
    }
}
