//! A training run with all its settings.

use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};

use lokr_core::Scalar;

use super::communicator::{AllReduce, SingleProcess};
use super::log::TrainingLog;
use super::loss::LossFunction;
use super::optimizer::Optimizer;
use super::order::shuffle;
use super::plain_settings::TrainingSettings;
use super::progress::{EpochReport, Next, Progress};
use super::run::{Callback, Position, Run, Save};
use super::samples::Samples;
use super::schedule::Schedule;
use super::state::TrainingState;
use super::step::{Clip, Step};
use super::watch::{EarlyStopping, Lowered};
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// A training run with all its settings. Made by [`crate::Trainer::new`]; nothing happens until [`Training::fit`],
/// where all settings are checked.
///
/// | setting | default |
/// |---|---|
/// | [`epochs`](Self::epochs) | 1 |
/// | [`batch_size`](Self::batch_size) | 32 |
/// | [`seed`](Self::seed), of the order of the samples | 0 |
/// | [`micro_batch_size`](Self::micro_batch_size) | the batch size |
/// | [`schedule`](Self::schedule) | the optimizer's rate throughout |
/// | [`clip_norm`](Self::clip_norm), [`clip_value`](Self::clip_value) | gradients as they are |
/// | [`balance_factors`](Self::balance_factors), [`limit_update_norm`](Self::limit_update_norm) | updates as they are |
/// | [`validation`](Self::validation) | none |
/// | [`early_stopping`](Self::early_stopping) | none |
/// | [`on_progress`](Self::on_progress), [`log`](Self::log) | nobody is told |
/// | [`save_every`](Self::save_every), [`resume`](Self::resume) | nothing is saved |
/// | [`communicator`](Self::communicator), [`check_ranks_every`](Self::check_ranks_every) | one process; 100 steps |
/// | [`fixed_order`](Self::fixed_order) | gradients added up as is fastest |
///
/// # Examples
/// ```
/// use lokr_layers::rand::{SeedableRng, rngs::SmallRng};
/// use lokr_layers::{
///     Activation, Adam, CrossEntropy, Dense, Init, Progress, Samples, Schedule, Sequential, Targets, Trainer,
///     evaluate,
/// };
/// use ndarray::Array2;
///
/// // Points in a plane; their class is the side of a line.
/// let x = Array2::from_shape_fn((60, 2), |(i, j)| ((7 * i + 13 * j) % 11) as f64 / 5.0 - 1.0);
/// let labels: Vec<usize> = x.rows().into_iter().map(|row| usize::from(row[0] > 0.5 * row[1])).collect();
/// let samples = Samples::new(&x, Targets::Labels(&labels))?;
///
/// let rng = &mut SmallRng::seed_from_u64(1);
/// let first = Dense::new(2, 8, Activation::Tanh, Init::XavierUniform, rng)?;
/// let last = Dense::new(8, 2, Activation::Identity, Init::XavierUniform, rng)?;
/// let mut network = Sequential::new(vec![Box::new(first), Box::new(last)])?;
///
/// let mut steps = 0;
/// let history = Trainer::new(CrossEntropy::new())
///     .epochs(40)
///     .batch_size(10)
///     .schedule(Schedule::cosine().warmup(10))
///     .clip_norm(1.0)
///     .on_progress(|progress| {
///         if let Progress::Step(report) = progress {
///             steps = report.step;
///         }
///     })
///     .fit(&mut network, &mut Adam::new(0.05)?, &samples)?;
/// assert_eq!((history.len(), steps), (40, 240));
/// assert!(evaluate(&network, &samples, CrossEntropy::new())?.accuracy > Some(0.9));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[must_use = "settings do nothing until `fit`"]
pub struct Training<'a, T: Scalar> {
    loss: Box<dyn LossFunction<T> + 'a>,
    pub(super) settings: TrainingSettings,
    validation: Option<Samples<'a, T>>,
    callbacks: Vec<Callback<'a>>,
    save: Option<(usize, Save<'a, T>)>,
    resume: Option<TrainingState<T>>,
    pub(super) ranks: &'a dyn AllReduce<T>,
}

impl<'a, T: Scalar> Training<'a, T> {
    pub(super) fn new(loss: Box<dyn LossFunction<T> + 'a>) -> Self {
        Self {
            loss,
            settings: TrainingSettings::default(),
            validation: None,
            callbacks: Vec::new(),
            save: None,
            resume: None,
            ranks: &SingleProcess,
        }
    }

    /// The settings that are plain data.
    #[must_use]
    pub fn settings(&self) -> &TrainingSettings {
        &self.settings
    }

    /// Takes the settings that are plain data from elsewhere, all of them.
    pub fn with_settings(mut self, settings: TrainingSettings) -> Self {
        self.settings = settings;
        self
    }

    /// How often each sample is seen.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.settings.epochs = epochs;
        self
    }

    /// Samples per step, at least 1; the last batch of an epoch may be smaller.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.settings.batch_size = samples;
        self
    }

    /// Decides the order of the samples in each epoch: the same seed gives the same run, bit for bit, wherever the
    /// layers' products do (see [`lokr_core::matmul_into`]).
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Takes the samples of a step through the network that many at a time, and adds up the gradients: the step of the
    /// whole batch, up to rounding, with the memory of a smaller one.
    pub fn micro_batch_size(mut self, samples: usize) -> Self {
        self.settings.step.micro_batch_size = samples;
        self
    }

    /// How the learning rate changes. The optimizer has its own rate back after the run.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.settings.schedule = schedule;
        self
    }

    /// Scales gradients down whose norm is above `limit`: [`crate::clip_gradient_norm`]. In place of
    /// [`Training::clip_value`].
    pub fn clip_norm(mut self, limit: f64) -> Self {
        self.settings.step.clip = Some(Clip::Norm(limit));
        self
    }

    /// Puts all values of the gradients between `−limit` and `limit`: [`crate::clip_gradient_values`]. In place of
    /// [`Training::clip_norm`].
    pub fn clip_value(mut self, limit: f64) -> Self {
        self.settings.step.clip = Some(Clip::Value(limit));
        self
    }

    /// Measures the gradients' norm at each step for the reports, which takes one pass over them. Done in any case
    /// where the norm is clipped or a log is written.
    pub fn measure_gradient_norm(mut self) -> Self {
        self.settings.step.measures_norm = true;
        self
    }

    /// Brings the factors of each adapter's products to the same norm after each step, by powers of two, which changes
    /// no bit of the update: [`crate::LoKrUpdate::balance`]. What the optimizer remembers stays in the old scale for a
    /// while.
    pub fn balance_factors(mut self) -> Self {
        self.settings.step.shape.balance = true;
        self
    }

    /// Makes each adapter's update smaller after a step that has brought its `‖ΔW‖_F` above `limit`:
    /// [`crate::LoKrUpdate::limit_norm`], LyCORIS's and kohya's "scale weight norms". The norm comes from those of the
    /// factors.
    pub fn limit_update_norm(mut self, limit: f64) -> Self {
        self.settings.step.shape.limit = Some(limit);
        self
    }

    /// Samples to evaluate the network on after each epoch.
    pub fn validation(mut self, samples: &'a Samples<'_, T>) -> Self {
        self.validation = Some(samples.all());
        self
    }

    /// Stops when the loss has not fallen for more than `patience` epochs, and at the end of the run, however it comes,
    /// gives the network the parameters of its best epoch. The loss is that of the validation samples where there are
    /// any, else that of the training samples.
    pub fn early_stopping(mut self, patience: usize) -> Self {
        self.settings.patience = Some(patience);
        self
    }

    /// Calls `callback` after each step and each epoch, on every rank. It returns nothing, or a
    /// [`std::ops::ControlFlow`] that can stop the run. May be set more than once; all are called.
    ///
    /// One that can stop the run may do so on any rank, and all ranks stop: they ask each other after each step and
    /// each epoch, in one more message of a byte.
    pub fn on_progress<R: Into<Next>>(mut self, mut callback: impl FnMut(&Progress) -> R + 'a) -> Self {
        let call = Box::new(move |progress: &Progress| Ok(callback(progress).into()));
        // A type of one value decides nothing: that of callbacks that return nothing.
        self.callbacks.push(Callback { call, may_stop: size_of::<R>() > 0, on_every_rank: true });
        self
    }

    /// Writes each step and each epoch to `log`, on rank 0.
    pub fn log(mut self, mut log: TrainingLog<'a>) -> Self {
        self.settings.step.measures_norm = true;
        let call = Box::new(move |progress: &Progress| log.write(progress).map(|()| Next::Continue));
        self.callbacks.push(Callback { call, may_stop: false, on_every_rank: false });
        self
    }

    /// Calls `save` with the state of the whole run after every `steps` steps, and when a callback stops it after a
    /// step; on rank 0, for all. The first error ends the run.
    pub fn save_every<E: Display>(
        mut self,
        steps: usize,
        mut save: impl FnMut(&TrainingState<T>) -> std::result::Result<(), E> + 'a,
    ) -> Self {
        let save = move |state: &TrainingState<T>| {
            save(state).map_err(|error| LayerError::Output { what: "training state", message: error.to_string() })
        };
        self.save = Some((steps, Box::new(save)));
        self
    }

    /// Goes on from a saved state, to the same bits as if the run had never stopped. Network, optimizer, samples and
    /// settings are to be made as they were for the run that was saved; parameters, the optimizer's memory and its
    /// learning rate come from the state. More epochs than before are fine, though a schedule over the whole run has
    /// another shape then.
    ///
    /// # Examples
    /// ```
    /// use lokr_layers::{
    ///     Activation, Adam, Dense, MeanSquaredError, Samples, Targets, Trainer, Training, TrainingState,
    /// };
    /// use ndarray::{Array1, Array2};
    ///
    /// let x = Array2::from_shape_fn((9, 2), |(i, j)| (i + j) as f64 / 9.0);
    /// let t = x.map_axis(ndarray::Axis(1), |row| row.sum()).insert_axis(ndarray::Axis(1));
    /// let samples = Samples::new(&x, Targets::Values(t.view()))?;
    /// let network = || Dense::from_arrays(Array2::zeros((2, 1)), Array1::zeros(1), Activation::Identity);
    /// fn run<'a>() -> Training<'a, f64> {
    ///     Trainer::new(MeanSquaredError).epochs(5).batch_size(4)
    /// }
    ///
    /// let mut whole = network()?;
    /// let mut saved = Vec::new();
    /// let history = run()
    ///     .save_every(7, |state: &TrainingState<f64>| {
    ///         saved.push(state.clone());
    ///         Ok::<(), std::io::Error>(())
    ///     })
    ///     .fit(&mut whole, &mut Adam::new(0.1)?, &samples)?;
    ///
    /// let mut resumed = network()?;
    /// let again = run().resume(saved.swap_remove(0)).fit(&mut resumed, &mut Adam::new(0.1)?, &samples)?;
    /// assert_eq!(again, history);
    /// assert_eq!(resumed.weights(), whole.weights());
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn resume(mut self, state: TrainingState<T>) -> Self {
        self.resume = Some(state);
        self
    }

    /// Trains `network` on `training` samples; the reports of the complete epochs, first to last, those before a
    /// resumed state included.
    ///
    /// The network is put in training mode, and at the end in inference mode with its gradients cleared. The memory of
    /// a step is kept for the next one.
    ///
    /// # Errors
    /// - [`LayerError::InvalidSetting`] for settings out of range, no samples, or a state of another run;
    /// - [`LayerError::Shape`], [`LayerError::Length`], [`LayerError::Label`] and [`LayerError::LossActivation`] for
    ///   samples, a network and a loss that do not fit; [`LayerError::MissingName`], [`LayerError::NamedShape`] and the
    ///   like for a state of another network or optimizer: all before the first step, with nothing changed;
    /// - [`LayerError::Output`] from a log or a save; those of the layers and of the optimizer.
    pub fn fit(
        mut self,
        network: &mut dyn Layer<T>,
        optimizer: &mut dyn Optimizer<T>,
        training: &Samples<'_, T>,
    ) -> Result<Vec<EpochReport>> {
        let seed = self.settings.seed;
        self.run(network, optimizer, training, &mut |order, epoch| shuffle(order, seed, epoch))
    }

    /// [`Training::fit`], with the samples of an epoch put in order by `order`.
    pub(super) fn run(
        &mut self,
        network: &mut dyn Layer<T>,
        optimizer: &mut dyn Optimizer<T>,
        training: &Samples<'_, T>,
        order: &mut dyn FnMut(&mut [usize], u64),
    ) -> Result<Vec<EpochReport>> {
        if self.settings.batch_size == 0 {
            return Err(LayerError::invalid("batch size", 0, "at least 1"));
        }
        if self.save.as_ref().is_some_and(|(every, _)| *every == 0) {
            return Err(LayerError::invalid("steps between two saves", 0, "at least 1"));
        }
        if self.settings.check_every == 0 {
            return Err(LayerError::invalid("steps between two checks of the ranks", 0, "at least 1"));
        }
        self.settings.step.check::<T>()?;
        self.settings.schedule.check()?;
        training.check("number of training samples", network, &*self.loss)?;
        if let Some(validation) = &self.validation {
            validation.check("number of validation samples", network, &*self.loss)?;
        }
        let rate = optimizer.learning_rate();
        let mut run = Run {
            loss: &*self.loss,
            epochs: self.settings.epochs,
            batch_size: self.settings.batch_size,
            seed: self.settings.seed,
            schedule: self.settings.schedule,
            training: training.all(),
            validation: self.validation.as_ref().map(Samples::all),
            ranks: self.ranks,
            check_every: self.settings.check_every,
            callbacks: &mut self.callbacks,
            save: self.save.as_mut().map(|(every, save)| (*every, save)),
            order,
            rate,
            position: Position::START,
            lowered: Lowered::new(),
            early_stopping: self.settings.patience.map(EarlyStopping::new),
            history: Vec::new(),
            asks: false,
        };
        let mut step = Step::new(network, optimizer, &*self.loss, self.settings.step, self.ranks);
        if let Some(state) = &self.resume {
            run.resume(&mut step, state)?;
        }
        let mut hasher = DefaultHasher::new();
        (run.rate.to_bits(), format!("{:?}", self.settings)).hash(&mut hasher);
        run.check_ranks(step.network, hasher.finish())?;
        step.network.set_training_mode(true);
        let done = run.epochs(&mut step);
        step.network.set_training_mode(false);
        step.network.clear_gradients();
        // Only where it was changed: an optimizer of the user's own may have no rate to set.
        let changed = !self.settings.schedule.is_constant();
        let restored = if changed { step.optimizer.set_learning_rate(run.rate) } else { Ok(()) };
        done.and(restored).map(|()| run.history)
    }
}
