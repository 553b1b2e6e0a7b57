//! What training leaves out at random.

use lokr_core::Scalar;
use ndarray::ArrayViewMut2;
use ndarray_rand::rand::{Rng, SeedableRng, rngs::StdRng};

use crate::error::{LayerError, Result};

/// The shares that are left out in training, and where the random numbers come from.
///
/// Every training forward has a generator of its own, made of the seed and the number of forwards before it: whoever
/// keeps these two can go on with the same bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dropout {
    /// Of the values of the input.
    pub(super) input: f64,
    /// Of the rows of `ΔW`.
    pub(super) rank: f64,
    /// Whether the rows that are kept make up for the others.
    pub(super) rescale_rank: bool,
    /// Of whole forwards.
    pub(super) module: f64,
    pub(super) seed: u64,
    /// Training forwards with dropout so far.
    pub(super) draws: u64,
    /// Off in inference.
    pub(super) training: bool,
}

/// What one training forward leaves out.
pub(super) struct Drawn {
    generator: StdRng,
    /// Everything.
    pub(super) all: bool,
}

impl Dropout {
    pub(super) fn none() -> Self {
        Self { input: 0.0, rank: 0.0, rescale_rank: false, module: 0.0, seed: 0, draws: 0, training: true }
    }

    /// # Errors
    /// [`LayerError::InvalidSetting`] for a share outside of `[0, 1)`.
    pub(super) fn check(&self) -> Result<()> {
        for (setting, share) in
            [("input dropout", self.input), ("rank dropout", self.rank), ("module dropout", self.module)]
        {
            if !(0.0..1.0).contains(&share) {
                return Err(LayerError::invalid(setting, share, "a number in [0, 1)"));
            }
        }
        Ok(())
    }

    /// Whether a training forward leaves anything out.
    pub(super) fn may_act(&self) -> bool {
        self.input > 0.0 || self.rank > 0.0 || self.module > 0.0
    }

    /// Whether a forward in this mode does.
    pub(super) fn acts(&self) -> bool {
        self.training && self.may_act()
    }

    /// Begins a forward.
    pub(super) fn draw(&mut self) -> Drawn {
        let seed = self.seed ^ self.draws.wrapping_mul(0x9e37_79b9_7f4a_7c15); // 2⁶⁴ divided by the golden ratio
        let mut generator = StdRng::seed_from_u64(seed);
        self.draws = self.draws.wrapping_add(1);
        let all = self.module > 0.0 && generator.random::<f64>() < self.module;
        Drawn { generator, all }
    }

    /// A factor for each row of `ΔW`: zero, or what the row is multiplied by.
    pub(super) fn rows<T: Scalar>(&self, drawn: &mut Drawn, rows: usize, mask: &mut Vec<T>) {
        mask.clear();
        mask.extend((0..rows).map(|_| if drawn.generator.random::<f64>() < self.rank { T::zero() } else { T::one() }));
        let kept = mask.iter().filter(|&&value| value != T::zero()).count();
        if self.rescale_rank && kept > 0 {
            let factor = T::from_f64_lossy(rows as f64 / kept as f64);
            mask.iter_mut().for_each(|value| *value *= factor);
        }
    }

    /// A factor for each value of the input: zero, or `1/(1 − p)`.
    pub(super) fn inputs<T: Scalar>(&self, drawn: &mut Drawn, mut mask: ArrayViewMut2<'_, T>) {
        let keep = T::from_f64_lossy(1.0 / (1.0 - self.input));
        for value in &mut mask {
            *value = if drawn.generator.random::<f64>() < self.input { T::zero() } else { keep };
        }
    }
}
