//! A strong blur, undone as far as the noise allows: the singular values of the blur are damped, or cut off, and a rule
//! says how much.
//!
//! With `K = U·Σ·Vᵀ` every one of these restorations is `V·F·Uᵀ·y`, with `f(σ) = 1/σ` for the plain inverse,
//! `σ/(σ² + λ)` for ridge regression (Tikhonov's) and `1/σ` or zero for the truncated decomposition. The rules are in
//! Hansen, *Rank-Deficient and Discrete Ill-Posed Problems* (1998), chapter 7.

use lokr::core::{KronSvd, Result};
use ndarray::{Array3, Axis};

/// How the values of a picture lie along the singular vectors of a blur.
pub struct Spectrum {
    /// The singular values, in the order of the vectors.
    values: Vec<f64>,
    /// The squares of `Uᵀ·y`, summed over the colours, in the same order.
    energy: Vec<f64>,
    /// The square of what of `y` no image explains.
    unexplained: f64,
    /// How many values `y` has, and how many colours.
    count: usize,
    colors: usize,
}

impl Spectrum {
    pub fn new(svd: &KronSvd<f64>, y: &Array3<f64>) -> Result<Self> {
        let along = svd.left()?.apply_transposed(y)?;
        let energy: Vec<f64> = (&along * &along).sum_axis(Axis(0)).into_iter().collect();
        let unexplained = ((y * y).sum() - energy.iter().sum::<f64>()).max(0.0);
        let values = svd.grid().iter().copied().collect();
        Ok(Self { values, energy, unexplained, count: y.len(), colors: y.len_of(Axis(0)) })
    }

    /// The square of what a restoration leaves over, `‖K·x − y‖²`, where `left(σ)` is the share `1 − f(σ)·σ`.
    fn residual(&self, left: impl Fn(f64) -> f64) -> f64 {
        let rest = self.values.iter().zip(&self.energy).map(|(&value, energy)| left(value).powi(2) * energy);
        self.unexplained + rest.sum::<f64>()
    }

    /// Morozov's discrepancy principle (1966): the damping `λ` of the ridge regression that leaves over as much as the
    /// noise has, `‖K·x − y‖² = count·noise²`.
    pub fn discrepancy(&self, noise: f64) -> f64 {
        let goal = self.count as f64 * noise * noise;
        let largest = self.values.iter().fold(0.0_f64, |largest, &value| largest.max(value));
        // The residual grows with λ. Halve the range of its logarithm until it is as short as a number is exact.
        let (mut low, mut high) = ((largest * f64::EPSILON).ln() * 2.0, largest.ln() * 2.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            let lambda = middle.exp();
            if self.residual(|value| lambda / (value * value + lambda)) < goal { low = middle } else { high = middle }
        }
        (0.5 * (low + high)).exp()
    }

    /// Generalised cross-validation (Golub, Heath & Wahba 1979), which need not know the noise: the number of values to
    /// keep that makes `‖K·x − y‖² / (count − kept)²` least, or all. The smallest value kept, and how many are.
    pub fn cross_validation(&self) -> (f64, usize) {
        let mut order: Vec<_> = self.values.iter().copied().zip(self.energy.iter().copied()).collect();
        order.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let mut residual = self.residual(|_| 1.0);
        let (mut best, mut found) = (f64::INFINITY, (f64::MIN_POSITIVE, order.len()));
        for (index, &(value, energy)) in order.iter().enumerate() {
            let kept = index + 1;
            residual -= energy;
            let free = self.count as f64 - (self.colors * kept) as f64;
            let score = residual.max(0.0) / (free * free);
            let parts = order.get(kept).is_some_and(|&(next, _)| next < value); // equal values stay together
            if parts && free > 0.0 && score < best {
                (best, found) = (score, (value, kept));
            }
        }
        found
    }
}

/// The filter of the truncated decomposition.
pub fn truncated(least: f64) -> impl Fn(f64) -> f64 {
    move |value| if value >= least { 1.0 / value } else { 0.0 }
}
