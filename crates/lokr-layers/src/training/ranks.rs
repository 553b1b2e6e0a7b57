//! The settings of a run that several ranks make together.

use lokr_core::Scalar;

use super::communicator::AllReduce;
use super::settings::Training;
#[cfg(doc)]
use crate::{LayerError, layer::Layer};

impl<'a, T: Scalar> Training<'a, T> {
    /// Trains together with the other ranks of a communicator: each takes its share of every batch, the gradients of
    /// all are added up in one message, and every rank makes the same step. The run is set up in the same way on all
    /// ranks, the whole set of samples and the size of the whole batch included; logs and saved states are written by
    /// rank 0. Layers hand out their gradients for it ([`Layer::visit_gradients_mut`]).
    ///
    /// The result is that of one process, up to rounding and, where layers leave something out at random, to the draw;
    /// with [`Training::fixed_order`], to the bit. Shares may be uneven, and empty.
    pub fn communicator(mut self, ranks: &'a dyn AllReduce<T>) -> Self {
        self.ranks = ranks;
        self
    }

    /// After how many steps ranks compare a checksum of their parameters, at least 1: [`LayerError::RanksDiffer`] names
    /// those that have others. At the start they compare all values, samples and settings as well.
    pub fn check_ranks_every(mut self, steps: usize) -> Self {
        self.settings.check_every = steps;
        self
    }

    /// Computes the gradients of each `block` samples of a batch by themselves and adds them up in the order of blocks,
    /// so that runs of any number of ranks, one included, end with the same bits. The ranks are dealt whole blocks, and
    /// more of them than blocks have nothing to do.
    ///
    /// Blocks take the place of [`Training::micro_batch_size`]. Every rank gets the gradients of every block: as many
    /// messages' bytes as a batch has blocks. Which products a layer computes in which way may depend on the processor;
    /// the same bits take processors of one kind.
    ///
    /// # Examples
    /// ```
    /// use lokr_layers::{Activation, Dense, MeanSquaredError, Samples, Sgd, Targets, Trainer};
    /// use ndarray::array;
    ///
    /// let mut network = Dense::from_arrays(array![[0.0]], array![0.0], Activation::Identity)?;
    /// let (x, t) = (array![[-1.0], [0.0], [1.0], [2.0]], array![[-3.0], [-1.0], [1.0], [3.0]]); // t = 2·x − 1
    /// let samples = Samples::new(&x, Targets::Values(t.view()))?;
    /// let run = Trainer::new(MeanSquaredError).epochs(100).batch_size(4).fixed_order(1);
    /// run.fit(&mut network, &mut Sgd::new(0.2)?, &samples)?;
    /// assert!((network.weights()[[0, 0]] - 2.0_f64).abs() < 0.01);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn fixed_order(mut self, block: usize) -> Self {
        self.settings.step.micro_batch_size = block;
        self.settings.step.fixed_order = true;
        self
    }
}
