//! The singular values of a module's change, and a small picture of them.

use std::fmt::Write;

use lokr_checkpoint::Module;

use crate::text::number;

const WIDTH: f64 = 110.0;
const HEIGHT: f64 = 30.0;
/// The picture's lowest value is this power of ten of the largest.
const DECADES: f64 = 5.0;
/// More points than this cannot be told apart.
const POINTS: usize = 70;

/// Singular values, the largest first.
pub(super) struct Spectrum {
    values: Vec<f64>,
    /// Squares of the first `i + 1` values, summed.
    energy: Vec<f64>,
}

impl Spectrum {
    /// Those of `s·(w1 ⊗ w2)`, where they are known: of a Kronecker product of finite values whose scale is.
    pub(super) fn of(module: &Module) -> Option<Self> {
        let scale = module.scale()?.abs();
        // In f32: a picture shows no more.
        let svd = module.kron::<f32>().ok()?.svd().ok()?;
        let values: Vec<f64> = svd.values().iter().map(|&value| scale * f64::from(value)).collect();
        let mut sum = 0.0;
        let energy = values
            .iter()
            .map(|value| {
                sum += value * value;
                sum
            })
            .collect();
        Some(Self { values, energy })
    }

    /// How many of the largest hold this share of the squares.
    pub(super) fn rank_of(&self, share: f64) -> Option<usize> {
        let total = *self.energy.last().filter(|total| **total > 0.0)?;
        Some(self.energy.partition_point(|energy| *energy < share * total) + 1)
    }

    /// `‖ΔW‖F² / ‖ΔW‖2²`.
    pub(super) fn stable_rank(&self) -> Option<f64> {
        let first = *self.values.first().filter(|first| **first > 0.0)?;
        Some(self.energy.last()? / (first * first))
    }

    /// The values by their number, on a scale of powers of ten.
    pub(super) fn svg(&self) -> String {
        let Some(first) = self.values.first().copied().filter(|first| *first > 0.0) else {
            return String::new();
        };
        let count = self.values.len();
        let last = count.saturating_sub(1).max(1) as f64;
        let step = count.div_ceil(POINTS).max(1);
        let shown = (0..count).filter(|number| number % step == 0 || *number + 1 == count);
        let mut points = String::new();
        for number in shown {
            let decades = if self.values[number] > 0.0 { (first / self.values[number]).log10() } else { DECADES };
            let (x, y) = (WIDTH * number as f64 / last, HEIGHT * decades.clamp(0.0, DECADES) / DECADES);
            let _ = write!(points, "{x:.1},{y:.1} ");
        }
        let (smallest, largest) = (number(self.values.last().copied()), number(Some(first)));
        format!(
            "<svg class=\"spectrum\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"-2 -2 {} {}\" role=\"img\">\
             <title>{count} singular values from {largest} to {smallest}</title>\
             <polyline points=\"{}\"/></svg>",
            WIDTH + 4.0,
            HEIGHT + 4.0,
            points.trim_end(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_squares() {
        let spectrum = Spectrum { values: vec![3.0, 2.0, 1.0], energy: vec![9.0, 13.0, 14.0] };
        assert_eq!([0.5, 0.9, 1.0].map(|share| spectrum.rank_of(share)), [Some(1), Some(2), Some(3)]);
        assert_eq!(spectrum.stable_rank(), Some(14.0 / 9.0));
        assert!(spectrum.svg().contains("3 singular values from 3 to 1"));
        let zero = Spectrum { values: vec![0.0], energy: vec![0.0] };
        assert_eq!((zero.rank_of(0.9), zero.stable_rank(), zero.svg()), (None, None, String::new()));
    }
}
