//! Memory for results whose size the user's shapes decide: an error where there is none.

use ndarray::Array2;

use crate::error::{KronError, Result};
use crate::scalar::Scalar;

/// From so many bytes on it is asked beforehand whether there is memory. Such blocks are the system's own everywhere,
/// so that asking costs a call and leaves no trace; memory for smaller ones is refused nowhere but at the very end.
const ASKED_FOR: usize = 64 << 20;

/// A matrix of zeros, named after the `operation` that wants it.
///
/// # Errors
/// [`KronError::TooLarge`] where the bytes cannot be counted; [`KronError::OutOfMemory`] where the system refuses them.
/// # Examples
/// ```
/// use lokr_core::{KronError, memory};
///
/// assert_eq!(memory::zeros::<f32>("a mask", (2, 3))?.dim(), (2, 3));
/// let refused = memory::zeros::<f64>("a mask", (1 << 30, 1 << 18));
/// assert_eq!(refused, Err(KronError::OutOfMemory { operation: "a mask", shape: (1 << 30, 1 << 18) }));
/// # Ok::<(), KronError>(())
/// ```
pub fn zeros<T: Scalar>(operation: &'static str, shape: (usize, usize)) -> Result<Array2<T>> {
    let length = length::<T>(operation, shape)?;
    // Cleared memory comes cheapest from `zeros`, which has no way to say that there is none.
    if length * size_of::<T>() >= ASKED_FOR {
        std::hint::black_box(reserved::<T>(operation, shape, length)?);
    }
    Ok(Array2::zeros(shape))
}

/// The matrix of `element(row, col)`.
///
/// # Errors
/// As [`zeros`].
pub(crate) fn from_elements<T: Scalar>(
    operation: &'static str,
    shape: (usize, usize),
    element: impl Fn(usize, usize) -> T,
) -> Result<Array2<T>> {
    let length = length::<T>(operation, shape)?;
    let mut data = reserved(operation, shape, length)?;
    for row in 0..shape.0 {
        data.extend((0..shape.1).map(|col| element(row, col)));
    }
    Array2::from_shape_vec(shape, data)
        .map_err(|_| KronError::TooLarge { operation, sizes: vec![shape.0, shape.1, size_of::<T>()] })
}

/// The elements of a matrix, if the bytes of its sides and of all of it can be counted.
fn length<T>(operation: &'static str, (rows, cols): (usize, usize)) -> Result<usize> {
    // A side of zero does not let the other be of any length.
    KronError::checked_product(operation, &[rows.max(1), cols.max(1), size_of::<T>()])?;
    Ok(rows * cols)
}

/// An empty list with memory for so many values.
///
/// # Errors
/// [`KronError::OutOfMemory`].
pub(crate) fn list<T>(operation: &'static str, length: usize) -> Result<Vec<T>> {
    reserved(operation, (length, 1), length)
}

fn reserved<T>(operation: &'static str, shape: (usize, usize), length: usize) -> Result<Vec<T>> {
    let mut data = Vec::new();
    match data.try_reserve_exact(length) {
        Ok(()) => Ok(data),
        Err(_) => Err(KronError::OutOfMemory { operation, shape }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_made_or_refused() {
        assert_eq!(zeros::<f32>("test", (2, 3)), Ok(Array2::zeros((2, 3))));
        assert_eq!(zeros::<f64>("test", (9000, 1000)).map(|m| m.sum()), Ok(0.0)); // asked for beforehand
        let element = |i, j| (10 * i + j) as f64;
        let expected = Array2::from_shape_fn((3, 2), |(i, j)| element(i, j));
        assert_eq!(from_elements("test", (3, 2), element), Ok(expected));
        assert_eq!(from_elements("test", (0, 2), element).map(|m| m.dim()), Ok((0, 2)));
        // More than any address space, and more than can be counted.
        let many = (1 << 30, 1 << 18);
        let refused = KronError::OutOfMemory { operation: "test", shape: many };
        assert_eq!(zeros::<f64>("test", many), Err(refused.clone()));
        assert_eq!(from_elements("test", many, element), Err(refused));
        let uncountable = KronError::TooLarge { operation: "test", sizes: vec![1 << 30, 1 << 31, 8] };
        assert_eq!(zeros::<f64>("test", (1 << 30, 1 << 31)), Err(uncountable.clone()));
        assert_eq!(from_elements("test", (1 << 30, 1 << 31), element), Err(uncountable));
        assert!(from_elements("test", (0, 1 << 62), element).is_err());
    }
}
