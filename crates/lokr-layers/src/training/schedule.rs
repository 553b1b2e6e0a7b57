//! How the learning rate changes in the course of a run.

use std::f64::consts::PI;

use crate::error::{LayerError, Result};

/// How the learning rate changes in the course of a run: a factor of the optimizer's own rate, for each step.
///
/// Over the whole run, after the warm-up, [`Schedule::linear`] and [`Schedule::cosine`] go from 1 down to
/// [`Schedule::floor`]. [`Schedule::step`] and [`Schedule::on_plateau`] lower the rate between epochs.
///
/// # Examples
/// ```
/// use lokr_layers::Schedule;
///
/// let cosine = Schedule::cosine().warmup(4); // 20 %, 40 %, 60 %, 80 %, and then down
/// let factors: Vec<f64> = [0, 3, 4, 12, 19].map(|step| cosine.factor(step, 20, 1)).into();
/// assert_eq!(factors[..3], [0.2, 0.8, 1.0]);
/// assert!((factors[3] - 0.5).abs() < 1e-15 && factors[4] < 0.01);
///
/// let steps = Schedule::step(10, 0.5).floor(0.2); // half the rate every ten epochs, but a fifth at least
/// assert_eq!([1, 10, 11, 21, 31].map(|epoch| steps.factor(0, 1, epoch)), [1.0, 1.0, 0.5, 0.25, 0.2]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Schedule {
    shape: Shape,
    warmup: usize,
    floor: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
enum Shape {
    Constant,
    Linear,
    Cosine,
    Step { epochs: usize, factor: f64 },
    Plateau(Plateau),
}

/// When [`Schedule::on_plateau`] lowers the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Plateau {
    pub(super) patience: usize,
    pub(super) factor: f64,
}

impl Schedule {
    const fn new(shape: Shape) -> Self {
        Self { shape, warmup: 0, floor: 0.0 }
    }

    /// The same rate throughout.
    #[must_use]
    pub const fn constant() -> Self {
        Self::new(Shape::Constant)
    }

    /// A straight line from 1 to the floor.
    #[must_use]
    pub const fn linear() -> Self {
        Self::new(Shape::Linear)
    }

    /// Half a cosine wave from 1 to the floor (Loshchilov & Hutter 2017, without restarts).
    #[must_use]
    pub const fn cosine() -> Self {
        Self::new(Shape::Cosine)
    }

    /// Multiplied by `factor` after every `epochs` epochs.
    #[must_use]
    pub const fn step(epochs: usize, factor: f64) -> Self {
        Self::new(Shape::Step { epochs, factor })
    }

    /// Multiplied by `factor` when the loss has not fallen for more than `patience` epochs: that of the validation
    /// samples where there are any, else that of the training samples. A fall by less than 0.01 % is none. As
    /// `ReduceLROnPlateau` in PyTorch.
    #[must_use]
    pub const fn on_plateau(patience: usize, factor: f64) -> Self {
        Self::new(Shape::Plateau(Plateau { patience, factor }))
    }

    /// Rises from `1/(steps + 1)` in equal parts during the first `steps` steps.
    #[must_use]
    pub const fn warmup(mut self, steps: usize) -> Self {
        self.warmup = steps;
        self
    }

    /// The least factor, in `[0, 1]`. 0 unless set.
    #[must_use]
    pub const fn floor(mut self, factor: f64) -> Self {
        self.floor = factor;
        self
    }

    /// The factor at `step`, from 0, of `steps`, in `epoch`, from 1. Without memory, so on a plateau it is 1.
    #[must_use]
    pub fn factor(&self, step: usize, steps: usize, epoch: usize) -> f64 {
        self.factor_after(1.0, step, steps, epoch)
    }

    /// [`Schedule::factor`], when plateaus have lowered the rate to `lowered`.
    pub(super) fn factor_after(&self, lowered: f64, step: usize, steps: usize, epoch: usize) -> f64 {
        if step < self.warmup {
            return (step + 1) as f64 / (self.warmup as f64 + 1.0);
        }
        let progress = (step - self.warmup) as f64 / steps.saturating_sub(self.warmup).max(1) as f64;
        let progress = progress.min(1.0);
        let shape = match self.shape {
            Shape::Constant => 1.0,
            Shape::Linear => return self.floor + (1.0 - self.floor) * (1.0 - progress),
            Shape::Cosine => return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + (PI * progress).cos()),
            Shape::Step { epochs, factor } => factor.powf((epoch.saturating_sub(1) / epochs.max(1)) as f64),
            Shape::Plateau(_) => lowered,
        };
        shape.max(self.floor)
    }

    /// Whether the rate stays as it is.
    pub(super) fn is_constant(&self) -> bool {
        self.shape == Shape::Constant && self.warmup == 0
    }

    /// Its plateaus, if it waits for any.
    pub(super) fn plateau(&self) -> Option<Plateau> {
        match self.shape {
            Shape::Plateau(plateau) => Some(plateau),
            _ => None,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.floor) {
            return Err(LayerError::invalid("floor of the schedule", self.floor, "a number in [0, 1]"));
        }
        match self.shape {
            Shape::Step { epochs: 0, .. } => Err(LayerError::invalid("epochs of the schedule", 0, "at least 1")),
            Shape::Step { factor, .. } | Shape::Plateau(Plateau { factor, .. }) if !(0.0..=1.0).contains(&factor) => {
                Err(LayerError::invalid("factor of the schedule", factor, "a number in [0, 1]"))
            }
            _ => Ok(()),
        }
    }
}

/// [`Schedule::constant`].
impl Default for Schedule {
    fn default() -> Self {
        Self::constant()
    }
}
