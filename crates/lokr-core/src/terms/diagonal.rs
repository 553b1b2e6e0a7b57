//! A diagonal matrix that is added to a sum of products.

use ndarray::{Array1, ArrayBase, ArrayRef1, ArrayView1, Data, Ix1};

use crate::error::{KronError, Result};
use crate::scalar::Scalar;

/// A diagonal matrix `D`, by one number or by a vector of values: what [`KronTerms::conjugate_gradients`] adds to a sum
/// of products. Made by `From` from a number and from a vector, which is borrowed.
///
/// [`KronTerms::conjugate_gradients`]: crate::KronTerms::conjugate_gradients
/// # Examples
/// ```
/// use lokr_core::Diagonal;
/// use ndarray::array;
/// let noise = array![0.1, 0.2];
/// assert_eq!(Diagonal::from(&noise), Diagonal::Values(noise.view()));
/// assert_eq!(Diagonal::from(0.5), Diagonal::Constant(0.5));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Diagonal<'a, T> {
    /// `c·I`. With `c = 0` nothing is added.
    Constant(T),
    /// One value for each row.
    Values(ArrayView1<'a, T>),
}

impl<T: Scalar> From<T> for Diagonal<'_, T> {
    fn from(value: T) -> Self {
        Self::Constant(value)
    }
}

impl<'a, T> From<ArrayView1<'a, T>> for Diagonal<'a, T> {
    fn from(values: ArrayView1<'a, T>) -> Self {
        Self::Values(values)
    }
}

impl<'a, T, S: Data<Elem = T>> From<&'a ArrayBase<S, Ix1>> for Diagonal<'a, T> {
    fn from(values: &'a ArrayBase<S, Ix1>) -> Self {
        Self::Values(values.view())
    }
}

impl<'a, T> From<&'a ArrayRef1<T>> for Diagonal<'a, T> {
    fn from(values: &'a ArrayRef1<T>) -> Self {
        Self::Values(values.view())
    }
}

impl<T: Scalar> Diagonal<'_, T> {
    /// The values, as many as `size`, which must be finite.
    ///
    /// # Errors
    /// [`KronError::Length`]; [`KronError::NonFinite`].
    pub(super) fn values(&self, operation: &'static str, size: usize) -> Result<Array1<T>> {
        let values = match self {
            Self::Constant(value) => Array1::from_elem(size, *value),
            Self::Values(values) if values.len() == size => values.to_owned(),
            Self::Values(values) => {
                return Err(KronError::Length { operation, argument: "d", expected: size, found: values.len() });
            }
        };
        KronError::check_all_finite(operation, "d", values.iter().filter(|value| !value.is_finite()).count())?;
        Ok(values)
    }
}
