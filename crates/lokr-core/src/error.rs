//! What can go wrong, said in shapes and names.

use thiserror::Error;

use crate::hint::{factors_text, shape_text};

/// Result of the operations of this crate.
pub type Result<T> = std::result::Result<T, KronError>;

/// An error of the Kronecker mathematics.
///
/// Every function checks first and computes afterwards: when it returns an error, its arguments are as they were.
///
/// # Examples
/// ```
/// use lokr_core::{Kron, KronError};
/// use ndarray::array;
///
/// let k = Kron::new(array![[1.0, 2.0]], array![[3.0], [4.0]])?; // (2, 2)
/// let error = k.apply(&array![[1.0, 2.0, 3.0]]).unwrap_err();
/// assert!(matches!(error, KronError::Shape { .. }));
/// assert_eq!(error.to_string(), "apply: x has shape (1, 3), expected (1, 2)");
/// # Ok::<(), KronError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum KronError {
    /// A factor has no rows or no columns.
    #[error("factor {name} has shape ({rows}, {cols}), but a factor needs at least one row and one column")]
    EmptyFactor {
        /// Which factor.
        name: &'static str,
        /// Its rows.
        rows: usize,
        /// Its columns.
        cols: usize,
    },
    /// The two halves of a low-rank factor do not multiply.
    #[error("low-rank factor: left half has shape {left:?} and right half {right:?}; columns and rows must agree")]
    InnerRank {
        /// Shape of the left half, `(rows, rank)`.
        left: (usize, usize),
        /// Shape of the right half, `(rank, cols)`.
        right: (usize, usize),
    },
    /// A size of the product, in elements or bytes, does not fit in memory addresses.
    #[error("{operation}: the sizes {sizes:?} overflow when multiplied")]
    TooLarge {
        /// What was attempted.
        operation: &'static str,
        /// The sizes that were to be multiplied.
        sizes: Vec<usize>,
    },
    /// There is no memory for a result.
    #[error("{operation}: no memory for a matrix of shape {shape:?}")]
    OutOfMemory {
        /// What was attempted.
        operation: &'static str,
        /// Shape of the result.
        shape: (usize, usize),
    },
    /// A matrix argument has the wrong shape. The text says what may be meant where the sizes suggest it: a batch that
    /// is transposed, a field that is not flattened.
    #[error("{operation}: {}", shape_text(.argument, *.expected, *.found))]
    Shape {
        /// What was attempted.
        operation: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// The shape it needs.
        expected: (usize, usize),
        /// The shape it has.
        found: (usize, usize),
    },
    /// A vector argument has the wrong length.
    #[error("{operation}: {argument} has length {found}, expected {expected}")]
    Length {
        /// What was attempted.
        operation: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// The length it needs.
        expected: usize,
        /// The length it has.
        found: usize,
    },
    /// A batch of fields has the wrong shape.
    #[error(
        "{operation}: {argument} has shape {found:?}, expected {expected:?}: the batch, then an axis for each factor"
    )]
    FieldShape {
        /// What was attempted.
        operation: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// The shape it needs.
        expected: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// An index or range lies outside the product.
    #[error("{operation}: index ({row}, {col}) is outside a matrix of shape {shape:?}")]
    OutOfBounds {
        /// What was attempted.
        operation: &'static str,
        /// Row index asked for (for a range, its end).
        row: usize,
        /// Column index asked for (for a range, its end).
        col: usize,
        /// Shape of the matrix.
        shape: (usize, usize),
    },
    /// A matrix has two axes, and this is none of them.
    #[error("{operation}: a matrix has the axes 0 and 1, not {axis}")]
    NoSuchAxis {
        /// What was attempted.
        operation: &'static str,
        /// The axis asked for.
        axis: usize,
    },
    /// The factors of two products do not fit each other.
    #[error("{operation}: the factors {} and {} do not fit each other", factors_text(.left), factors_text(.right))]
    FactorShapes {
        /// What was attempted.
        operation: &'static str,
        /// Shapes of the first product's factors.
        left: Vec<(usize, usize)>,
        /// Shapes of the second product's factors.
        right: Vec<(usize, usize)>,
    },
    /// The operation needs square factors.
    #[error("{operation}: {name} has shape {shape:?} and must be square")]
    NotSquare {
        /// What was attempted.
        operation: &'static str,
        /// Which matrix.
        name: &'static str,
        /// Its shape.
        shape: (usize, usize),
    },
    /// The operation needs a symmetric factor.
    #[error("{operation}: {name} is not symmetric (largest difference {difference:e})")]
    NotSymmetric {
        /// What was attempted.
        operation: &'static str,
        /// Which matrix.
        name: &'static str,
        /// Largest `|M[i, j] − M[j, i]|`.
        difference: f64,
    },
    /// A factor has no inverse.
    #[error("{operation}: {name} is singular")]
    Singular {
        /// What was attempted.
        operation: &'static str,
        /// Which matrix.
        name: &'static str,
    },
    /// A factor has not the rank that its shape allows, up to rounding.
    #[error("{operation}: {name} has not full rank; the pseudo-inverse serves such products")]
    RankDeficient {
        /// What was attempted.
        operation: &'static str,
        /// Which matrix.
        name: &'static str,
    },
    /// A factor has no Cholesky decomposition.
    #[error("{operation}: {name} is not positive definite")]
    NotPositiveDefinite {
        /// What was attempted.
        operation: &'static str,
        /// Which matrix.
        name: &'static str,
    },
    /// A size is zero where at least one element is needed.
    #[error("{operation}: {name} is zero")]
    ZeroSize {
        /// What was attempted.
        operation: &'static str,
        /// Which size.
        name: &'static str,
    },
    /// An argument holds NaN or an infinity where only finite values make sense.
    #[error("{operation}: {argument} holds {count} values that are not finite")]
    NonFinite {
        /// What was attempted.
        operation: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// How many of its values are NaN or infinite.
        count: usize,
    },
    /// A number is negative that must not be.
    #[error("{operation}: {argument} is {value}, but must not be negative")]
    Negative {
        /// What was attempted.
        operation: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// Its value.
        value: f64,
    },
    /// A sum of Kronecker products of so many terms is not possible here.
    #[error("{operation}: {asked} terms asked for, but 1 to {possible} are possible")]
    TermCount {
        /// What was attempted.
        operation: &'static str,
        /// Terms asked for.
        asked: usize,
        /// The largest possible number of terms.
        possible: usize,
    },
    /// An iterative decomposition of finite values did not converge. (Values that are not finite are
    /// [`KronError::NonFinite`].)
    #[error("{operation}: the decomposition of {name} did not converge")]
    NoConvergence {
        /// What was attempted.
        operation: &'static str,
        /// Which matrix.
        name: &'static str,
    },
}
