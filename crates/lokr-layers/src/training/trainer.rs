//! A small training loop.

use std::ops::ControlFlow;

use lokr_core::Scalar;
use ndarray_rand::rand::Rng;
use ndarray_rand::rand::seq::SliceRandom;

use super::evaluation::evaluate;
use super::loss::Loss;
use super::optimizer::Optimizer;
use super::progress::{EpochReport, Progress};
use super::samples::Samples;
use super::step::Step;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// Settings of a training run.
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
pub struct Trainer {
    /// How often each sample is seen.
    pub epochs: usize,
    /// Samples per step, at least 1; the last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// What is made small.
    pub loss: Loss,
}

impl Trainer {
    /// Trains `network` on `training` samples, in an order that is drawn from `rng` for each epoch; the reports of the
    /// complete epochs, first to last.
    ///
    /// `on_progress` is called after each batch and each epoch, and stops the run by [`ControlFlow::Break`]: early
    /// stopping and progress bars are the caller's. The network is put in training mode, and at the end in inference
    /// mode with its gradients cleared. The same seed gives the same bits, wherever the layers' products do (see
    /// [`lokr_core::matmul_into`]). The memory of a step is kept for the next one.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] for a batch size of 0 or no samples, [`LayerError::Shape`],
    /// [`LayerError::Length`] and [`LayerError::Label`] for samples that do not fit: all before the first step. Those
    /// of the layers and of the optimizer.
    pub fn fit<T: Scalar>(
        &self,
        network: &mut dyn Layer<T>,
        optimizer: &mut dyn Optimizer<T>,
        training: &Samples<'_, T>,
        validation: Option<&Samples<'_, T>>,
        rng: &mut (impl Rng + ?Sized),
        on_progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Vec<EpochReport>> {
        if self.batch_size == 0 {
            return Err(LayerError::invalid("batch size", 0, "at least 1"));
        }
        training.check("number of training samples", network, self.loss)?;
        if let Some(validation) = validation {
            validation.check("number of validation samples", network, self.loss)?;
        }
        network.set_training_mode(true);
        let mut step = Step::new(network, optimizer, self.loss);
        let history = self.epochs(&mut step, training, validation, rng, on_progress);
        network.set_training_mode(false);
        network.clear_gradients();
        history
    }

    fn epochs<T: Scalar>(
        &self,
        step: &mut Step<'_, T>,
        training: &Samples<'_, T>,
        validation: Option<&Samples<'_, T>>,
        rng: &mut (impl Rng + ?Sized),
        on_progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Vec<EpochReport>> {
        let mut history = Vec::new();
        let mut order: Vec<usize> = (0..training.len()).collect();
        let batches = training.len().div_ceil(self.batch_size);
        for epoch in 1..=self.epochs {
            order.shuffle(rng);
            let mut total = 0.0;
            for (index, indices) in order.chunks(self.batch_size).enumerate() {
                let loss = step.run(training, indices)?;
                total += loss * indices.len() as f64;
                let progress = Progress::Batch { epoch, batch: index + 1, batches, loss };
                if on_progress(&progress).is_break() {
                    return Ok(history);
                }
            }
            let validation = validation.map(|samples| evaluate(step.network(), samples, self.loss)).transpose()?;
            let report = EpochReport { epoch, loss: total / training.len() as f64, validation };
            history.push(report);
            if on_progress(&Progress::Epoch(report)).is_break() {
                break;
            }
        }
        Ok(history)
    }
}
