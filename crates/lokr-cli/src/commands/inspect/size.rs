//! What something takes: values, and bytes.

use std::iter::Sum;

use serde::Serialize;

#[derive(Serialize, Default, Clone, Copy)]
pub(super) struct Size {
    pub(super) parameters: u64,
    pub(super) bytes: u64,
}

impl Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), |sum, size| Self {
            parameters: sum.parameters + size.parameters,
            bytes: sum.bytes + size.bytes,
        })
    }
}
