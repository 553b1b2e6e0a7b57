//! Sums of blocks, added in pairs.
//!
//! A sum of `n` values one by one has an error of up to `n·ε`; this one has that of a lane of a block and of `log₂` of
//! the number of blocks. The order depends on nothing but the length.

use crate::scalar::Scalar;

/// Values of a block.
pub(super) const BLOCK: usize = 1024;
/// Sums that a block is spread over, so that they fill vector registers.
const LANES: usize = 16;

/// The sum of blocks, as it stands: like a binary counter, one sum for every power of two of blocks.
pub(super) struct Pairwise<T> {
    sums: [T; usize::BITS as usize],
    blocks: usize,
}

impl<T: Scalar> Pairwise<T> {
    pub(super) fn new() -> Self {
        Self { sums: [T::zero(); usize::BITS as usize], blocks: 0 }
    }

    /// Adds the sum of the next block.
    pub(super) fn push(&mut self, mut sum: T) {
        let full = self.blocks.trailing_ones() as usize;
        for earlier in &self.sums[..full] {
            sum = *earlier + sum;
        }
        self.sums[full] = sum;
        self.blocks += 1;
    }

    /// The sum of all blocks.
    pub(super) fn total(&self) -> T {
        let held = self.sums.iter().enumerate().filter(|(level, _)| self.blocks >> level & 1 == 1);
        held.fold(T::zero(), |total, (_, &sum)| total + sum)
    }
}

/// `Σ x·y` of at most [`BLOCK`] values.
pub(super) fn block<T: Scalar>(x: &[T], y: &[T]) -> T {
    let mut sums = [T::zero(); LANES];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        for ((sum, &x), &y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    for ((sum, &x), &y) in sums.iter_mut().zip(x_rest).zip(y_rest) {
        *sum += x * y;
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        let (low, high) = sums.split_at_mut(width);
        low.iter_mut().zip(high).for_each(|(low, &mut high)| *low += high);
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_whole_numbers_are_exact_for_every_length() {
        let ones = [1.0; BLOCK];
        for length in [0, 1, 15, 16, 17, 100, 1023, 1024] {
            let values: Vec<f64> = (1..=length).map(f64::from).collect();
            assert_eq!(block(&values, &ones[..values.len()]), f64::from(length * (length + 1) / 2));
        }
        let mut sum = Pairwise::new();
        for count in 1..=100 {
            sum.push(f64::from(count));
            assert_eq!(sum.total(), f64::from(count * (count + 1) / 2));
        }
    }
}
