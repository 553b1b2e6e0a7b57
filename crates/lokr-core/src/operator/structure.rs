//! What a matrix does, as far as its zeros say it: nothing, scaling, or mixing.

use ndarray::{ArrayRef2, ArrayView2};
use rayon::prelude::*;

use crate::gemm::limits::SCAN_TASK;
use crate::scalar::Scalar;

/// The kinds of matrices that a plan treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Structure {
    /// Ones on the diagonal, zeros elsewhere.
    Identity,
    /// Square, with zeros off the diagonal.
    Diagonal,
    /// Anything else.
    Full,
}

impl Structure {
    /// Looks at the elements until one says that the matrix is full: for most matrices at one element. Exact zeros and
    /// ones count, nothing near them.
    pub(super) fn of<T: Scalar>(matrix: &ArrayRef2<T>) -> Self {
        let size = matrix.nrows();
        if size != matrix.ncols() || matrix.get((0, 1)).is_some_and(|&value| value != T::zero()) {
            return Self::Full;
        }
        // Along the memory; a diagonal matrix is its own transpose.
        let matrix: ArrayView2<'_, T> = if matrix.is_standard_layout() { matrix.view() } else { matrix.t() };
        let mut ones = true;
        for (index, row) in matrix.rows().into_iter().enumerate() {
            // The whole row, without a branch for every element.
            let others = row.iter().enumerate().filter(|&(column, _)| column != index);
            if others.fold(false, |any, (_, &value)| any | (value != T::zero())) {
                return Self::Full;
            }
            ones &= row[index] == T::one();
        }
        if ones { Self::Identity } else { Self::Diagonal }
    }
}

/// Whether no value is NaN or infinite.
pub(super) fn all_finite<T: Scalar>(matrix: &ArrayRef2<T>) -> bool {
    // Without a branch for every value.
    let finite = |values: &[T]| values.iter().fold(true, |all, value| all & value.is_finite());
    match matrix.as_slice_memory_order() {
        Some(values) if values.len() > SCAN_TASK => values.par_chunks(SCAN_TASK).all(finite),
        Some(values) => finite(values),
        None => matrix.iter().all(|value| value.is_finite()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lokr_testing::{LAYOUTS, matrix, with_layout};
    use ndarray::{Array2, array};

    #[test]
    fn identities_and_diagonals_are_told_from_all_other_matrices() {
        for size in [1, 2, 3, 5, 8, 17, 64] {
            let identity = Array2::<f64>::eye(size);
            let diagonal = &identity * 3.0;
            for layout in LAYOUTS {
                assert_eq!(with_layout(&identity, layout, |m| Structure::of(m)), Structure::Identity, "{size}");
                assert_eq!(with_layout(&diagonal, layout, |m| Structure::of(m)), Structure::Diagonal, "{size}");
            }
            // Any single element off the diagonal makes it full, and any on it no identity.
            for index in 0..size {
                let mut other = identity.clone();
                other[[index, index]] = 0.0;
                assert_eq!(Structure::of(&other), Structure::Diagonal);
                other[[index, index]] = f64::NAN;
                assert_eq!(Structure::of(&other), Structure::Diagonal);
                for column in (0..size).filter(|&column| column != index) {
                    for value in [1e-300, f64::NAN] {
                        let mut other = identity.clone();
                        other[[index, column]] = value;
                        assert_eq!(Structure::of(&other), Structure::Full, "{size}: {index}, {column}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_square_matrices_have_a_structure() {
        assert_eq!(Structure::of(&array![[1.0_f32, 0.0]]), Structure::Full);
        assert_eq!(Structure::of(&array![[1.0_f32], [0.0]]), Structure::Full);
        assert_eq!(Structure::of(&matrix::<f32>(3, 3, 1)), Structure::Full);
        assert_eq!(Structure::of(&array![[-0.0_f32, -0.0], [0.0, 1.0]]), Structure::Diagonal);
    }
}
