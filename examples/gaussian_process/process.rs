//! A Gaussian process on a grid: the covariance of the data is `K = v·K₁ ⊗ … ⊗ K_k + noise·I`, with a matrix for each
//! axis. This is where the library is used.
//!
//! With `K_i = Q_i·Λ_i·Q_iᵀ` everything that a Gaussian process needs costs what the factors cost (Saatçi, *Scalable
//! Inference for Structured Gaussian Process Models*, 2011, chapter 5).

use std::f64::consts::TAU;

use lokr::core::{KronChain, Result};
use ndarray::{Array1, ArrayRef2};

use super::kernel::{matern, matern_by_log_length};

/// Values of zero mean on a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// The points of each axis.
    pub axes: Vec<Array1<f64>>,
    /// A value for each point, the last axis running fastest.
    pub values: Array1<f64>,
}

/// What is learned from the data. All are positive.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// Of the process.
    pub variance: f64,
    /// How far the values of an axis see each other.
    pub lengths: Vec<f64>,
    /// Variance of the noise.
    pub noise: f64,
}

/// The logarithm of the marginal likelihood, and its derivatives by the logarithms of the parameters, in the order of
/// [`Parameters::logarithms`].
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    pub log_likelihood: f64,
    pub gradient: Vec<f64>,
}

/// Of the process itself, without noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    pub mean: Array1<f64>,
    pub variance: Array1<f64>,
}

impl Parameters {
    /// Of the variance, the lengths, and the noise.
    pub fn logarithms(&self) -> Vec<f64> {
        let all = [self.variance].into_iter().chain(self.lengths.iter().copied()).chain([self.noise]);
        all.map(f64::ln).collect()
    }

    pub fn from_logarithms(logarithms: &[f64]) -> Self {
        let all: Vec<f64> = logarithms.iter().map(|value| value.exp()).collect();
        let (variance, noise) = (all[0], all[all.len() - 1]);
        Self { variance, lengths: all[1..all.len() - 1].to_vec(), noise }
    }

    /// The covariance of two grids, `K₁ ⊗ … ⊗ K_k`, the variance in `K₁`.
    fn covariance(&self, one: &[Array1<f64>], other: &[Array1<f64>]) -> Result<KronChain<'static, f64>> {
        let kernels =
            one.iter().zip(other).enumerate().map(|(axis, (x, y))| self.scale(axis) * matern(x, y, self.lengths[axis]));
        KronChain::new(kernels)
    }

    fn scale(&self, axis: usize) -> f64 {
        if axis == 0 { self.variance } else { 1.0 }
    }
}

/// The likelihood of `data` and its gradient.
pub fn evaluate(parameters: &Parameters, data: &Data) -> Result<Evaluation> {
    let Parameters { noise, .. } = *parameters;
    let covariance = parameters.covariance(&data.axes, &data.axes)?;
    let eigen = covariance.symmetric_eigen()?;
    let weights = eigen.solve_shifted(noise, &data.values)?; // (K + noise·I)⁻¹·y
    let log_determinant = eigen.log_determinant_shifted(noise).ln_abs;
    let fit = data.values.dot(&weights);

    // By each factor and by the noise; the fit is yᵀ times the solution.
    let (of_fit, fit_by_noise, _) = eigen.solve_shifted_gradients(&covariance, noise, &weights, &data.values)?;
    let (of_determinant, determinant_by_noise) = eigen.log_determinant_shifted_gradients(&covariance, noise)?;
    let by_factor = |axis: usize| -0.5 * (&of_fit.parts()[axis] + &of_determinant.parts()[axis]);

    let along = |axis: usize, direction: &ArrayRef2<f64>| (by_factor(axis) * direction).sum();
    let mut gradient = vec![along(0, &covariance.factors()[0].dense())];
    for (axis, (x, &length)) in data.axes.iter().zip(&parameters.lengths).enumerate() {
        gradient.push(along(axis, &(matern_by_log_length(x, x, length) * parameters.scale(axis))));
    }
    gradient.push(-0.5 * noise * (fit_by_noise + determinant_by_noise));
    let log_likelihood = -0.5 * (fit + log_determinant + data.values.len() as f64 * TAU.ln());
    Ok(Evaluation { log_likelihood, gradient })
}

/// Raises the likelihood by steps along its gradient, whose sizes follow from its signs (Rprop, Riedmiller & Braun
/// 1993). The parameters, and the likelihood before each step and at the end.
pub fn train(start: &Parameters, data: &Data, steps: usize) -> Result<(Parameters, Vec<f64>)> {
    let mut at = start.logarithms();
    let mut sizes = vec![0.2_f64; at.len()];
    let mut last = vec![0.0; at.len()];
    let mut likelihoods = Vec::new();
    for _ in 0..steps {
        let Evaluation { log_likelihood, gradient } = evaluate(&Parameters::from_logarithms(&at), data)?;
        likelihoods.push(log_likelihood);
        for (((at, size), last), slope) in at.iter_mut().zip(&mut sizes).zip(&mut last).zip(gradient) {
            *size *= if slope * *last < 0.0 { 0.5 } else { 1.2 };
            *at += size.min(1.0) * slope.signum();
            *last = slope;
        }
    }
    let found = Parameters::from_logarithms(&at);
    likelihoods.push(evaluate(&found, data)?.log_likelihood);
    Ok((found, likelihoods))
}

/// Mean and variance of the process at every point of another grid.
pub fn predict(parameters: &Parameters, data: &Data, axes: &[Array1<f64>]) -> Result<Prediction> {
    let Parameters { noise, variance, .. } = *parameters;
    let eigen = parameters.covariance(&data.axes, &data.axes)?.symmetric_eigen()?;
    let cross = parameters.covariance(axes, &data.axes)?;
    let mean = cross.apply(&eigen.solve_shifted(noise, &data.values)?)?;
    // The diagonal of C·(K + noise·I)⁻¹·Cᵀ is (C·Q)∘(C·Q) applied to the reciprocals of the eigenvalues.
    let rotated = cross.matmul(eigen.vectors())?;
    let squares = rotated.hadamard(&rotated)?;
    let reciprocals: Array1<f64> = eigen.grid().iter().map(|value| 1.0 / (value + noise)).collect();
    let explained = squares.apply(&reciprocals)?;
    Ok(Prediction { mean, variance: explained.mapv(|explained| variance - explained) })
}
