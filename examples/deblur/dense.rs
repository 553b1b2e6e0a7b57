//! The dense way.

use std::error::Error;

use faer::linalg::solvers::Solve;
use ndarray::{Array1, Array2, ArrayRef2};

use super::common::dense::{array, to_faer};

/// Solves `M·x = y` for every row of `y`.
pub fn solve(matrix: &ArrayRef2<f64>, y: &ArrayRef2<f64>) -> Array2<f64> {
    array(to_faer(matrix).partial_piv_lu().solve(to_faer(&y.t())).as_ref()).reversed_axes()
}

/// `M = U·diag(s)·Vᵀ`, the values descending.
pub struct Svd {
    pub u: Array2<f64>,
    pub s: Array1<f64>,
    pub v: Array2<f64>,
}

impl Svd {
    pub fn new(matrix: &ArrayRef2<f64>) -> Result<Self, Box<dyn Error>> {
        let svd = to_faer(matrix).thin_svd().map_err(|_| "a dense decomposition did not converge")?;
        let s = svd.S().column_vector().iter().copied().collect();
        Ok(Self { u: array(svd.U()), s, v: array(svd.V()) })
    }

    /// `V·diag(f(s))·Uᵀ·y` for every row of `y`: the pseudo-inverse where `f` is the reciprocal.
    pub fn filtered(&self, f: impl Fn(f64) -> f64, y: &ArrayRef2<f64>) -> Array2<f64> {
        (y.dot(&self.u) * self.s.mapv(f)).dot(&self.v.t())
    }
}
