//! The settings of a run that are plain data.

use super::schedule::Schedule;
use super::step::StepSettings;

/// The settings of a [`Training`](super::Training) that are plain data: all but the loss, samples, callbacks, logs,
/// what is saved and resumed, and the communicator, which are given where the run is made. Set there too, read by
/// [`Training::settings`](super::Training::settings), and put on another run by
/// [`Training::with_settings`](super::Training::with_settings).
///
/// With the feature `serde` they are read and written by the names of the methods that set them; what is not given has
/// its default, and what is given is checked where the run begins.
///
/// # Examples
/// ```
/// use lokr_layers::{MeanSquaredError, Schedule, Trainer, Training, TrainingSettings};
///
/// let run: Training<'_, f32> = Trainer::new(MeanSquaredError).epochs(5).schedule(Schedule::cosine().warmup(20));
/// let settings: TrainingSettings = *run.settings();
/// let again: Training<'_, f64> = Trainer::new(MeanSquaredError).with_settings(settings);
/// assert_eq!(again.settings(), run.settings());
/// assert_ne!(settings, TrainingSettings::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingSettings {
    pub(super) epochs: usize,
    pub(super) batch_size: usize,
    pub(super) seed: u64,
    pub(super) step: StepSettings,
    pub(super) schedule: Schedule,
    pub(super) patience: Option<usize>,
    pub(super) check_every: usize,
}

/// Those of [`Trainer::new`](super::Trainer::new).
impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            epochs: 1,
            batch_size: 32,
            seed: 0,
            step: StepSettings::PLAIN,
            schedule: Schedule::constant(),
            patience: None,
            check_every: 100,
        }
    }
}
