//! How the nearest sum of products to a dense matrix is searched.

/// Settings of [`nearest_kron`](super::nearest_kron).
///
/// # Examples
/// ```
/// let options = lokr_core::NearestOptions { seed: 7, ..Default::default() };
/// assert_eq!(options.max_iterations, 100);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearestOptions {
    /// A term is accepted when the residual `‖RᵀR v − σ² v‖` is at most this times the largest `σ²`; not less than 32
    /// machine epsilons of the element type, whatever is set. Default 1e−5: the error of the captured energy is of the
    /// order of its square. Vectors whose singular values differ by less than this share may still be mixed.
    pub tolerance: f64,
    /// Passes over the matrix, after which the best found so far is returned as not converged; at least one is made.
    /// Default 100.
    pub max_iterations: usize,
    /// Vectors iterated beyond the number of terms. Default 4. More make passes dearer and fewer.
    pub oversampling: usize,
    /// Seed of the start vectors. Default 0.
    pub seed: u64,
}

impl Default for NearestOptions {
    fn default() -> Self {
        Self { tolerance: 1e-5, max_iterations: 100, oversampling: 4, seed: 0 }
    }
}
