//! One step of training: forward, loss, backward, and the optimizer's.

use lokr_core::Scalar;
use ndarray::ArrayRef2;

use super::loss::Loss;
use super::optimizer::Optimizer;
use super::samples::Samples;
use super::targets::Targets;
use crate::buffer::Buffer;
use crate::error::Result;
use crate::layer::Layer;

/// What makes steps on a network. Its memory is kept from step to step.
pub(super) struct Step<'n, T: Scalar> {
    network: &'n mut dyn Layer<T>,
    optimizer: &'n mut dyn Optimizer<T>,
    loss: Loss,
    x: Buffer<T>,
    labels: Vec<usize>,
    values: Buffer<T>,
    y: Buffer<T>,
    dy: Buffer<T>,
    dx: Buffer<T>,
}

impl<'n, T: Scalar> Step<'n, T> {
    pub(super) fn new(network: &'n mut dyn Layer<T>, optimizer: &'n mut dyn Optimizer<T>, loss: Loss) -> Self {
        let [x, values, y, dy, dx] = std::array::from_fn(|_| Buffer::new());
        Self { network, optimizer, loss, x, labels: Vec::new(), values, y, dy, dx }
    }

    /// The network as it is after the last step.
    pub(super) fn network(&self) -> &dyn Layer<T> {
        self.network
    }

    /// One step on the samples at `indices`; the loss before it.
    pub(super) fn run(&mut self, samples: &Samples<'_, T>, indices: &[usize]) -> Result<f64> {
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
        let (mut y, mut dy, mut dx) = (self.y.resize(outputs), self.dy.resize(outputs), self.dx.resize(x.dim()));
        self.network.clear_gradients();
        self.network.forward_into(&x, &mut y)?;
        let value = self.loss.gradient_into(&y, targets, &mut dy)?;
        self.network.backward_into(&dy, self.loss.gradient_at(), &mut dx)?;
        self.optimizer.step(self.network)?;
        Ok(value)
    }
}

fn gather_rows<T: Scalar>(from: &ArrayRef2<T>, indices: &[usize], to: &mut Buffer<T>) {
    let mut to = to.resize((indices.len(), from.ncols()));
    for (mut row, &index) in to.rows_mut().into_iter().zip(indices) {
        row.assign(&from.row(index));
    }
}
