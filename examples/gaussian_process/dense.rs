//! The same Gaussian process with dense matrices.

use std::error::Error;

use faer::Side;
use faer::linalg::solvers::{DenseSolveCore, Llt, Solve};
use ndarray::{Array1, Array2, ArrayRef2, Axis};

use super::common::dense::{array, kron_all, to_faer};
use super::kernel::{matern, matern_by_log_length};
use super::process::{Data, Evaluation, Parameters, Prediction};

/// The covariance of the data, noise included.
fn covariance(parameters: &Parameters, data: &Data) -> Array2<f64> {
    let kernels: Vec<_> = data.axes.iter().zip(&parameters.lengths).map(|(x, &length)| matern(x, x, length)).collect();
    let mut covariance = kron_all(&kernels) * parameters.variance;
    covariance.diag_mut().map_inplace(|value| *value += parameters.noise);
    covariance
}

/// The logarithm of the likelihood alone, as cheap as it gets.
pub fn log_likelihood(parameters: &Parameters, data: &Data) -> Result<f64, Box<dyn Error>> {
    let covariance = Cholesky::new(&covariance(parameters, data))?;
    let weights = covariance.solve(&data.values.view().insert_axis(Axis(0)));
    let fit = weights.row(0).dot(&data.values);
    Ok(-0.5 * (fit + covariance.log_determinant() + data.values.len() as f64 * std::f64::consts::TAU.ln()))
}

/// The logarithm of the likelihood, and its derivatives by way of the inverse: `½·(αᵀ·dK·α − tr(K⁻¹·dK))` with
/// `α = K⁻¹·y`.
pub fn evaluate(parameters: &Parameters, data: &Data) -> Result<Evaluation, Box<dyn Error>> {
    let inverse = Cholesky::new(&covariance(parameters, data))?.inverse();
    let weights = inverse.dot(&data.values);
    let along = |d: &Array2<f64>| 0.5 * (weights.dot(&d.dot(&weights)) - (&inverse * d).sum());

    let kernels: Vec<_> = data.axes.iter().zip(&parameters.lengths).map(|(x, &length)| matern(x, x, length)).collect();
    let mut gradient = vec![along(&(kron_all(&kernels) * parameters.variance))];
    for (axis, (x, &length)) in data.axes.iter().zip(&parameters.lengths).enumerate() {
        let mut factors = kernels.clone();
        factors[axis] = matern_by_log_length(x, x, length);
        gradient.push(along(&(kron_all(&factors) * parameters.variance)));
    }
    gradient.push(along(&(Array2::eye(data.values.len()) * parameters.noise)));
    Ok(Evaluation { log_likelihood: log_likelihood(parameters, data)?, gradient })
}

/// Mean and variance at every point of another grid.
pub fn predict(parameters: &Parameters, data: &Data, axes: &[Array1<f64>]) -> Result<Prediction, Box<dyn Error>> {
    let covariance = Cholesky::new(&covariance(parameters, data))?;
    let cross = data.axes.iter().zip(axes).zip(&parameters.lengths).map(|((x, new), &length)| matern(new, x, length));
    let cross = kron_all(&cross.collect::<Vec<_>>()) * parameters.variance;
    let solved = covariance.solve(&cross);
    let mean = solved.dot(&data.values);
    let explained = (&cross * &solved).sum_axis(Axis(1));
    Ok(Prediction { mean, variance: explained.mapv(|explained| parameters.variance - explained) })
}

/// A symmetric positive definite matrix, decomposed.
struct Cholesky(Llt<f64>);

impl Cholesky {
    fn new(matrix: &ArrayRef2<f64>) -> Result<Self, Box<dyn Error>> {
        let decomposed = to_faer(matrix).llt(Side::Lower).map_err(|_| "a dense matrix is not positive definite")?;
        Ok(Self(decomposed))
    }

    /// Solves `M·x = y` for every row of `y`.
    fn solve(&self, y: &ArrayRef2<f64>) -> Array2<f64> {
        array(self.0.solve(to_faer(&y.t())).as_ref()).reversed_axes()
    }

    fn inverse(&self) -> Array2<f64> {
        array(self.0.inverse().as_ref())
    }

    fn log_determinant(&self) -> f64 {
        self.0.L().diagonal().column_vector().iter().map(|pivot| 2.0 * pivot.ln()).sum()
    }
}
