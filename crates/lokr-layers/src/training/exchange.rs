//! The gradients of all ranks, added up: in one message for a whole network, however many adapters it has.

use lokr_core::Scalar;

use super::communicator::{AllReduce, share};
use crate::error::Result;
use crate::layer::{Layer, require_gradients};

/// Adds up the gradients of ranks. Its memory is kept from step to step.
pub(super) struct Exchange<'a, T> {
    pub(super) ranks: &'a dyn AllReduce<T>,
    /// The gradients of all parameters in the order of [`Layer::visit`], and what is added up with them.
    flat: Vec<T>,
    /// The sum of the losses of blocks.
    loss: f64,
    /// Blocks of this rank and of all ranks: of each its loss, in `f64`, and its gradients.
    own: Vec<u8>,
    all: Vec<u8>,
}

impl<'a, T: Scalar> Exchange<'a, T> {
    pub(super) fn new(ranks: &'a dyn AllReduce<T>) -> Self {
        Self { ranks, flat: Vec::new(), loss: 0.0, own: Vec::new(), all: Vec::new() }
    }

    /// Replaces the gradients by their sums over the ranks, and gives that of the losses, which travels with them in
    /// `T`.
    pub(super) fn sum(&mut self, network: &mut dyn Layer<T>, loss: f64) -> Result<f64> {
        require_gradients(network)?;
        self.flat.clear();
        network.visit(&mut |_, _, gradient| self.flat.extend(gradient.iter().flatten().copied()));
        self.flat.push(T::from_f64_lossy(loss));
        self.ranks.sum(&mut self.flat)?;
        self.write_to(network)?;
        Ok(self.flat.last().map_or(0.0, |loss| loss.to_f64_exact()))
    }

    /// Forgets the blocks of the step before.
    pub(super) fn begin_blocks(&mut self) {
        self.flat.clear();
        self.own.clear();
        self.loss = 0.0;
    }

    /// Takes the gradients of this rank's next block, and the sum of its losses.
    pub(super) fn take_block(&mut self, network: &dyn Layer<T>, loss: f64) -> Result<()> {
        require_gradients(network)?;
        if self.ranks.size() == 1 {
            // The same additions as below, and no copy of every block.
            let mut sums = Sums::new(&mut self.flat);
            network.visit(&mut |_, _, gradient| gradient.iter().flatten().for_each(|&g| sums.add(g)));
            self.loss += loss;
            return Ok(());
        }
        self.own.extend_from_slice(&loss.to_le_bytes());
        network.visit(&mut |_, _, gradient| gradient.iter().flatten().for_each(|&g| put(g, &mut self.own)));
        Ok(())
    }

    /// Puts the sum of all ranks' blocks, added one after another, in the place of the gradients; the sum of the
    /// losses. There are `blocks` of them, dealt out to the ranks as [`share`] says.
    pub(super) fn add_blocks(&mut self, network: &mut dyn Layer<T>, blocks: usize) -> Result<f64> {
        let size = self.ranks.size();
        if size > 1 {
            let length = size_of::<f64>() + network.parameter_count() * size_of::<T>();
            let lengths: Vec<_> = (0..size).map(|rank| share(blocks, rank, size).len() * length).collect();
            self.ranks.gather(&self.own, &lengths, &mut self.all)?;
            for block in self.all.chunks_exact(length) {
                let (loss, gradients) = block.split_at(size_of::<f64>());
                self.loss += f64::from_le_bytes(fixed(loss));
                let mut sums = Sums::new(&mut self.flat);
                gradients.chunks_exact(size_of::<T>()).for_each(|bytes| sums.add(get(bytes)));
            }
        }
        self.write_to(network)?;
        Ok(self.loss)
    }

    /// Puts the values in the place of the gradients.
    fn write_to(&self, network: &mut dyn Layer<T>) -> Result<()> {
        let mut values = self.flat.iter();
        network.visit_gradients_mut(&mut |_, mut gradient| {
            gradient.iter_mut().zip(&mut values).for_each(|(own, &value)| *own = value);
        })
    }
}

/// Adds values to those that are there already; the first ones are kept as they are.
struct Sums<'v, T> {
    values: &'v mut Vec<T>,
    next: usize,
    is_first: bool,
}

impl<'v, T: Scalar> Sums<'v, T> {
    fn new(values: &'v mut Vec<T>) -> Self {
        Self { is_first: values.is_empty(), values, next: 0 }
    }

    fn add(&mut self, value: T) {
        if self.is_first {
            self.values.push(value);
        } else if let Some(sum) = self.values.get_mut(self.next) {
            *sum += value;
        }
        self.next += 1;
    }
}

/// Appends the bytes of a value, every bit of it.
fn put<T: Scalar>(value: T, bytes: &mut Vec<u8>) {
    let value = value.to_f64_exact();
    if size_of::<T>() == size_of::<f32>() {
        bytes.extend_from_slice(&(value as f32).to_le_bytes());
    } else {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
}

/// The value whose bytes these are.
fn get<T: Scalar>(bytes: &[u8]) -> T {
    if size_of::<T>() == size_of::<f32>() {
        T::from_f64_lossy(f32::from_le_bytes(fixed(bytes)).into())
    } else {
        T::from_f64_lossy(f64::from_le_bytes(fixed(bytes)))
    }
}

/// So many bytes of a slice that has them.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use super::{get, put, share};

    #[test]
    fn values_travel_with_every_bit() {
        let (mut bytes, mut long) = (Vec::new(), Vec::new());
        for value in [0.0_f32, -0.0, 1e-45, f32::MAX, f32::NEG_INFINITY, 0.1] {
            bytes.clear();
            put(value, &mut bytes);
            assert_eq!((bytes.len(), get::<f32>(&bytes).to_bits()), (4, value.to_bits()));
        }
        for value in [0.1_f64, -0.0, 5e-324, f64::MAX] {
            long.clear();
            put(value, &mut long);
            assert_eq!((long.len(), get::<f64>(&long).to_bits()), (8, value.to_bits()));
        }
    }

    #[test]
    fn shares_are_neighbours_and_leave_nothing_out() {
        for (count, size) in [(0, 1), (7, 1), (7, 3), (2, 5), (12, 4), (1, 2)] {
            let shares: Vec<_> = (0..size).map(|rank| share(count, rank, size)).collect();
            let all: Vec<usize> = shares.iter().cloned().flatten().collect();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
            assert!(shares.iter().all(|share| share.len() == count / size || share.len() == count / size + 1));
        }
    }
}
