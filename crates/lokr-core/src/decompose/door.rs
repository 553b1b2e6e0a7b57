//! The decompositions of dense matrices, for every element type.
//!
//! The crate `lokr-decompose` has a table of them for `f32` and one for `f64`. Here stands which is whose.

use lokr_decompose::Decompositions;

use crate::scalar::{PerType, Scalar, per_type};

/// The decompositions of matrices of `T`.
pub(super) fn door<T: Scalar>() -> Decompositions<T> {
    per_type::<T, _>(Doors)
}

struct Doors;

impl PerType for Doors {
    type Of<T: Scalar> = Decompositions<T>;

    fn f32(self) -> Self::Of<f32> {
        lokr_decompose::f32()
    }

    fn f64(self) -> Self::Of<f64> {
        lokr_decompose::f64()
    }
}
