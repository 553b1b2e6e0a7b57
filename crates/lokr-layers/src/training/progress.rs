//! What a training run tells while it goes on, and at its end.

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
