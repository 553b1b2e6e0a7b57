//! How a system is solved by conjugate gradients, and what comes of it.

use ndarray::{Array, Array1};

use crate::operator::Kron;
use crate::scalar::Scalar;

/// Settings of [`KronTerms::conjugate_gradients`](super::KronTerms::conjugate_gradients).
///
/// # Examples
/// ```
/// use lokr_core::{CgOptions, Preconditioner};
/// let options = CgOptions { tolerance: 1e-10, ..Default::default() };
/// assert_eq!(options.max_iterations, 1000);
/// assert!(matches!(options.preconditioner, Preconditioner::Nearest));
/// ```
#[derive(Debug, Clone)]
pub struct CgOptions<'a, T: Scalar> {
    /// A row of the solution is accepted when the norm of its residual is at most this times that of the right-hand
    /// side. Default: the root of the type's machine epsilon, 1.5e−8 (`f64`) or 3.5e−4 (`f32`).
    pub tolerance: T,
    /// Iterations after which the solution so far is returned. Default 1000. Each costs one application of the
    /// operator.
    pub max_iterations: usize,
    /// By which matrix the system is made more like the identity. Default: [`Preconditioner::Nearest`].
    pub preconditioner: Preconditioner<'a, T>,
}

impl<T: Scalar> Default for CgOptions<'_, T> {
    fn default() -> Self {
        Self { tolerance: T::epsilon().sqrt(), max_iterations: 1000, preconditioner: Preconditioner::Nearest }
    }
}

/// A matrix near to that of the system, with which systems are easy to solve. The nearer it is, the fewer iterations
/// are needed; it must be positive definite, and the solution does not depend on it.
#[derive(Debug, Clone)]
pub enum Preconditioner<'a, T: Scalar> {
    /// None.
    None,
    /// The diagonal of the system (Jacobi): for a diagonal `D` of very different values that outweighs the products.
    Diagonal,
    /// The Kronecker product that is nearest to the sum, plus the mean of `D`, by the eigenvalues of its factors. Of
    /// products that split in several ways, those of the largest norm count.
    ///
    /// It is exact, and one iteration enough, for one product and a constant `D`. Each application costs about two of
    /// a product. The factors must be square.
    Nearest,
    /// A symmetric product that is known to be near to the sum, plus the mean of `D`, by the eigenvalues of its
    /// factors.
    Kron(&'a Kron<'a, T>),
}

/// What came of conjugate gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct CgSolution<T, D: ndarray::Dimension> {
    /// The solution, in the shape of the right-hand side.
    pub x: Array<T, D>,
    /// Iterations made, those of the sample that needed most.
    pub iterations: usize,
    /// For each sample `‖y − (K + D)·x‖ / ‖y‖`, computed from `x` in the end; 0 where `y` is zero.
    pub residuals: Array1<T>,
    /// Whether all residuals are within the tolerance. Where they are not, the iterations were too few, or the matrix
    /// is singular, or too ill-conditioned for the tolerance in this type.
    pub converged: bool,
}

impl<T: Scalar, D: ndarray::Dimension> CgSolution<T, D> {
    /// The largest of the residuals, NaN when one is; 0 without samples.
    #[must_use]
    pub fn residual(&self) -> T {
        self.residuals.iter().fold(T::zero(), |most, &x| if most >= x || most.is_nan() { most } else { x })
    }
}
