//! What a training run tells while it goes on, and at its end.

use std::ops::ControlFlow;
use std::time::Duration;

use super::evaluation::Evaluation;

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

impl EpochReport {
    /// The loss that tells whether the network gets better: of the validation samples, if there are any.
    pub(super) fn watched(&self) -> f64 {
        self.validation.map_or(self.loss, |validation| validation.loss)
    }
}

/// One step of training.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The batch in its epoch, from 1.
    pub batch: usize,
    /// Batches in an epoch.
    pub batches: usize,
    /// The step in the whole run, from 1.
    pub step: usize,
    /// Steps in the whole run, if nothing stops it.
    pub steps: usize,
    /// Mean loss of the batch before the step.
    pub loss: f64,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// The norm of all gradients before they were clipped, where it is measured: see [`crate::Training::clip_norm`] and
    /// [`crate::Training::measure_gradient_norm`].
    pub gradient_norm: Option<f64>,
    /// Time since the run was started or resumed.
    pub elapsed: Duration,
    /// Time until the end, at the pace of the steps so far.
    pub time_left: Duration,
}

/// What a training run tells its caller while it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Progress {
    /// A step was made. From [`crate::Trainer::fit`].
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
    /// A step was made. From [`crate::Training::fit`].
    Step(StepReport),
    /// An epoch is complete.
    Epoch(EpochReport),
}

/// What a callback wants: its return value, made of `()` or of a [`ControlFlow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// The run goes on.
    Continue,
    /// The run stops here, as if it were complete.
    Stop,
}

impl From<()> for Next {
    fn from((): ()) -> Self {
        Self::Continue
    }
}

impl From<ControlFlow<()>> for Next {
    fn from(flow: ControlFlow<()>) -> Self {
        if flow.is_break() { Self::Stop } else { Self::Continue }
    }
}
