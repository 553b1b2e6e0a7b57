//! A small training loop.

use std::ops::ControlFlow;

use lokr_core::Scalar;
use ndarray::{ArrayRef2, ArrayView2, Axis, Slice};
use ndarray_rand::rand::Rng;
use ndarray_rand::rand::seq::SliceRandom;

use crate::buffer::Buffer;
use crate::{Layer, LayerError, Loss, Optimizer, Result, Targets, accuracy};

/// Rows that [`evaluate`] takes at a time.
const EVALUATION_BATCH: usize = 512;

/// Inputs, one sample per row, and as many targets. Borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a, T> {
    x: ArrayView2<'a, T>,
    targets: Targets<'a, T>,
}

impl<'a, T: Scalar> Samples<'a, T> {
    /// Inputs `x (samples, inputs)` with their targets.
    ///
    /// # Errors
    /// [`LayerError::Length`] unless there are as many targets as rows.
    pub fn new(x: &'a ArrayRef2<T>, targets: Targets<'a, T>) -> Result<Self> {
        LayerError::check_length("Samples", "targets", x.nrows(), targets.len())?;
        Ok(Self { x: x.view(), targets })
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.x.nrows()
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that there are samples, that `network` takes them and that `loss` takes their targets.
    fn check(&self, name: &'static str, network: &dyn Layer<T>, loss: Loss) -> Result<()> {
        if self.is_empty() {
            return Err(LayerError::invalid(name, 0, "at least 1"));
        }
        let expected = (self.len(), network.input_size());
        LayerError::check_shape(network.type_name(), "x", expected, self.x.dim())?;
        loss.check((self.len(), network.output_size()), self.targets)
    }
}

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
/// [`LayerError::Shape`] and those of [`Loss::value`]; [`LayerError::InvalidSetting`] without samples.
pub fn evaluate<T: Scalar>(network: &dyn Layer<T>, samples: &Samples<'_, T>, loss: Loss) -> Result<Evaluation> {
    samples.check("number of samples", network, loss)?;
    let (mut total, mut right) = (0.0, 0.0);
    let mut y = Buffer::new();
    for start in (0..samples.len()).step_by(EVALUATION_BATCH) {
        let count = EVALUATION_BATCH.min(samples.len() - start);
        let x = samples.x.slice_axis(Axis(0), Slice::from(start..start + count));
        let targets = samples.targets.part(start, count);
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

/// One epoch of training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochReport {
    /// Its number, from 1.
    pub epoch: usize,
    /// Mean loss over the training samples, each measured just before the step it took part in.
    pub loss: f64,
    /// The validation samples after the epoch, if there are any.
    pub validation: Option<Evaluation>,
}

/// What a training run tells its caller while it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Progress {
    /// A step was made.
    Batch {
        /// The epoch, from 1.
        epoch: usize,
        /// The batch, from 1.
        batch: usize,
        /// Batches in an epoch.
        batches: usize,
        /// Mean loss of the batch before the step.
        loss: f64,
    },
    /// An epoch is complete.
    Epoch(EpochReport),
}

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
        let history = self.run(network, optimizer, training, validation, rng, on_progress);
        network.set_training_mode(false);
        network.clear_gradients();
        history
    }

    fn run<T: Scalar>(
        &self,
        network: &mut dyn Layer<T>,
        optimizer: &mut dyn Optimizer<T>,
        training: &Samples<'_, T>,
        validation: Option<&Samples<'_, T>>,
        rng: &mut (impl Rng + ?Sized),
        on_progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Vec<EpochReport>> {
        let mut history = Vec::new();
        let mut order: Vec<usize> = (0..training.len()).collect();
        let batches = training.len().div_ceil(self.batch_size);
        let mut step = Step::new();
        for epoch in 1..=self.epochs {
            order.shuffle(rng);
            let mut total = 0.0;
            for (index, indices) in order.chunks(self.batch_size).enumerate() {
                let loss = step.run(network, optimizer, self.loss, training, indices)?;
                total += loss * indices.len() as f64;
                let progress = Progress::Batch { epoch, batch: index + 1, batches, loss };
                if on_progress(&progress).is_break() {
                    return Ok(history);
                }
            }
            let validation = validation.map(|samples| evaluate(network, samples, self.loss)).transpose()?;
            let report = EpochReport { epoch, loss: total / training.len() as f64, validation };
            history.push(report);
            if on_progress(&Progress::Epoch(report)).is_break() {
                break;
            }
        }
        Ok(history)
    }
}

/// The memory of one step, kept for the next.
struct Step<T> {
    x: Buffer<T>,
    labels: Vec<usize>,
    values: Buffer<T>,
    y: Buffer<T>,
    dy: Buffer<T>,
    dx: Buffer<T>,
}

impl<T: Scalar> Step<T> {
    fn new() -> Self {
        let [x, values, y, dy, dx] = std::array::from_fn(|_| Buffer::new());
        Self { x, labels: Vec::new(), values, y, dy, dx }
    }

    /// One step on the samples at `indices`; the loss before it.
    fn run(
        &mut self,
        network: &mut dyn Layer<T>,
        optimizer: &mut dyn Optimizer<T>,
        loss: Loss,
        samples: &Samples<'_, T>,
        indices: &[usize],
    ) -> Result<f64> {
        gather_rows(&samples.x, indices, &mut self.x);
        let targets = match samples.targets {
            Targets::Labels(labels) => {
                self.labels.clear();
                self.labels.extend(indices.iter().map(|&i| labels[i]));
                Targets::Labels(&self.labels)
            }
            Targets::Values(values) => {
                gather_rows(&values, indices, &mut self.values);
                Targets::Values(self.values.view())
            }
        };
        let x = self.x.view();
        let outputs = (x.nrows(), network.output_size());
        let (mut y, mut dy, mut dx) = (self.y.resize(outputs), self.dy.resize(outputs), self.dx.resize(x.dim()));
        network.clear_gradients();
        network.forward_into(&x, &mut y)?;
        let value = loss.gradient_into(&y, targets, &mut dy)?;
        network.backward_into(&dy, loss.gradient_at(), &mut dx)?;
        optimizer.step(network)?;
        Ok(value)
    }
}

fn gather_rows<T: Scalar>(from: &ArrayRef2<T>, indices: &[usize], to: &mut Buffer<T>) {
    let mut to = to.resize((indices.len(), from.ncols()));
    for (mut row, &index) in to.rows_mut().into_iter().zip(indices) {
        row.assign(&from.row(index));
    }
}

#[cfg(test)]
mod tests;
