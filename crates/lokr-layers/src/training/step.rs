//! One step of training: forward, loss, backward, clipping, and the optimizer's.

use lokr_core::Scalar;
use ndarray::ArrayRef2;

use super::clip::{check_limit, clip_gradient_norm, clip_gradient_values, gradient_norm};
use super::communicator::AllReduce;
use super::exchange::Exchange;
use super::loss::{LossFunction, mean};
use super::optimizer::Optimizer;
use super::random::RandomStates;
use super::samples::Samples;
use super::shape::Shape;
use super::targets::Targets;
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// How gradients become a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StepSettings {
    pub(super) clip: Option<Clip>,
    /// The most samples that pass the network at a time.
    pub(super) micro_batch_size: usize,
    /// Whether their gradients are computed each by themselves and added in their order.
    pub(super) fixed_order: bool,
    pub(super) measures_norm: bool,
    pub(super) shape: Shape,
}

/// What is done with gradients that are too long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Clip {
    Norm(f64),
    Value(f64),
}

impl StepSettings {
    pub(super) const PLAIN: Self =
        Self { clip: None, micro_batch_size: usize::MAX, fixed_order: false, measures_norm: false, shape: Shape::NONE };

    pub(super) fn check<T: Scalar>(&self) -> Result<()> {
        if self.micro_batch_size == 0 {
            return Err(LayerError::invalid("micro-batch size", 0, "at least 1"));
        }
        self.shape.check()?;
        match self.clip {
            None => Ok(()),
            Some(Clip::Norm(limit)) => check_limit::<T>("limit of the gradient's norm", limit),
            Some(Clip::Value(limit)) => check_limit::<T>("limit of the gradient's values", limit),
        }
    }
}

/// What makes steps on a network. Its memory is kept from step to step.
pub(super) struct Step<'n, T: Scalar> {
    pub(super) network: &'n mut dyn Layer<T>,
    pub(super) optimizer: &'n mut dyn Optimizer<T>,
    loss: &'n dyn LossFunction<T>,
    settings: StepSettings,
    exchange: Exchange<'n, T>,
    random: RandomStates,
    x: Buffer<T>,
    labels: Vec<usize>,
    values: Buffer<T>,
    y: Buffer<T>,
    dy: Buffer<T>,
}

/// What a step found on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// The mean loss before the step.
    pub(super) loss: f64,
    /// The weight of the samples in the mean.
    pub(super) weight: f64,
    /// The norm of the gradients before they were clipped, where it was measured.
    pub(super) gradient_norm: Option<f64>,
}

impl<'n, T: Scalar> Step<'n, T> {
    pub(super) fn new(
        network: &'n mut dyn Layer<T>,
        optimizer: &'n mut dyn Optimizer<T>,
        loss: &'n dyn LossFunction<T>,
        settings: StepSettings,
        ranks: &'n dyn AllReduce<T>,
    ) -> Self {
        let [x, values, y, dy] = std::array::from_fn(|_| Buffer::new());
        let (exchange, random, labels) = (Exchange::new(ranks), RandomStates::default(), Vec::new());
        Self { network, optimizer, loss, settings, exchange, random, x, labels, values, y, dy }
    }

    /// One step on the samples at `indices`, which have been checked.
    pub(super) fn run(&mut self, samples: &Samples<'_, T>, indices: &[usize]) -> Result<Found> {
        let weight = indices.iter().map(|&i| self.loss.weight(&samples.targets.row(i))).sum();
        let sum = self.gradients(samples, indices, weight)?;
        let gradient_norm = match self.settings.clip {
            Some(Clip::Norm(limit)) => Some(clip_gradient_norm(self.network, limit)?),
            clip => {
                let norm = self.settings.measures_norm.then(|| gradient_norm(self.network)).transpose()?;
                if let Some(Clip::Value(limit)) = clip {
                    clip_gradient_values(self.network, limit)?;
                }
                norm
            }
        };
        self.optimizer.step(self.network)?;
        self.settings.shape.apply(self.network)?;
        Ok(Found { loss: mean(sum, weight), weight, gradient_norm })
    }

    /// Brings the gradients of a batch that weighs `weight` into the network, on every rank; the sum of its losses.
    fn gradients(&mut self, samples: &Samples<'_, T>, indices: &[usize], weight: f64) -> Result<f64> {
        let ranks = self.exchange.ranks;
        if ranks.size() == 1 && !self.settings.fixed_order {
            self.network.clear_gradients();
            let parts = indices.chunks(self.settings.micro_batch_size);
            return parts.map(|part| self.accumulate(samples, part, weight)).sum();
        }
        self.random.remember(self.network);
        let sum = match self.settings.fixed_order {
            true => self.gradients_of_blocks(samples, indices, weight),
            false => self.gradients_of_share(samples, indices, weight),
        };
        self.random.advance(self.network, indices.len());
        sum
    }

    /// Of this rank's samples, added up with those of the other ranks.
    fn gradients_of_share(&mut self, samples: &Samples<'_, T>, indices: &[usize], weight: f64) -> Result<f64> {
        let own = self.exchange.ranks.share(indices.len());
        self.network.clear_gradients();
        let (mut sum, mut start) = (0.0, own.start);
        // A rank without samples passes an empty part through the network, for gradients of zero.
        loop {
            let end = own.end.min(start.saturating_add(self.settings.micro_batch_size));
            self.random.advance(self.network, start);
            sum += self.accumulate(samples, &indices[start..end], weight)?;
            start = end;
            if end == own.end {
                break;
            }
        }
        self.exchange.sum(self.network, sum)
    }

    /// Of this rank's blocks, each by itself, added up with those of the other ranks in the order of blocks.
    fn gradients_of_blocks(&mut self, samples: &Samples<'_, T>, indices: &[usize], weight: f64) -> Result<f64> {
        let block = self.settings.micro_batch_size;
        let blocks = indices.len().div_ceil(block);
        let own = self.exchange.ranks.share(blocks);
        self.exchange.begin_blocks();
        for start in own.clone().map(|i| i * block) {
            let end = indices.len().min(start.saturating_add(block));
            self.network.clear_gradients();
            self.random.advance(self.network, start);
            let loss = self.accumulate(samples, &indices[start..end], weight)?;
            self.exchange.take_block(self.network, loss)?;
        }
        if own.is_empty() {
            self.network.clear_gradients();
            self.accumulate(samples, &[], weight)?;
        }
        self.exchange.add_blocks(self.network, blocks)
    }

    /// Adds the gradients of some samples of a batch that weighs `weight`; the sum of their losses.
    fn accumulate(&mut self, samples: &Samples<'_, T>, indices: &[usize], weight: f64) -> Result<f64> {
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
        let outputs = (x.nrows(), self.network.output_size());
        let (mut y, mut dy) = (self.y.resize(outputs), self.dy.resize(outputs));
        self.network.forward_into(&x, &mut y)?;
        let sum = self.loss.part_gradient_into(&y, targets, weight, &mut dy)?;
        self.network.backward_parameters(&dy, self.loss.gradient_at())?;
        Ok(sum)
    }
}

fn gather_rows<T: Scalar>(from: &ArrayRef2<T>, indices: &[usize], to: &mut Buffer<T>) {
    let mut to = to.resize((indices.len(), from.ncols()));
    for (mut row, &index) in to.rows_mut().into_iter().zip(indices) {
        row.assign(&from.row(index));
    }
}
