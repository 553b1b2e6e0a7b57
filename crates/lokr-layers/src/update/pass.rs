//! What a training forward leaves for the backward.

use lokr_core::Scalar;

use crate::buffer::Buffer;

/// What the last training forward leaves for backward. Its memory is kept from step to step.
#[derive(Debug, Clone)]
pub(super) struct Pass<T> {
    /// Whether there is one, and no parameter has changed since.
    pub(super) ready: bool,
    pub(super) kind: Kind,
    /// A factor for each row of `ΔW`; none while empty.
    pub(super) rows: Vec<T>,
    /// A factor for each value of the input, and the input times it.
    pub(super) inputs: Buffer<T>,
    pub(super) x: Buffer<T>,
    /// The gradient of the output times the factors of rows, and that of the input before its own.
    pub(super) dy: Buffer<T>,
    pub(super) dx: Buffer<T>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Nothing is left out and nothing but the factors is trained.
    Plain,
    /// All was left out.
    Skipped,
    /// The output of each term is kept. `inputs`: whether the input has factors.
    Kept { inputs: bool },
}

impl<T: Scalar> Pass<T> {
    pub(super) fn new() -> Self {
        let [inputs, x, dy, dx] = std::array::from_fn(|_| Buffer::new());
        Self { ready: false, kind: Kind::Plain, rows: Vec::new(), inputs, x, dy, dx }
    }
}
