//! How a linear layer's weight lies in memory.

use ndarray::{ArrayView2, ArrayViewMut2};

/// How a [`crate::Linear`] layer stores its weight. Sealed: [`crate::InputMajor`] or [`crate::OutputMajor`].
pub trait Orientation: sealed::Stored + std::fmt::Debug + Copy + Send + Sync + 'static {}

pub(super) mod sealed {
    /// Carries the way a weight is stored, for this crate alone: nobody else can make a [`Key`].
    pub trait Stored {
        fn storage(key: Key) -> Storage;
    }

    /// What it takes to ask for a [`Storage`].
    #[derive(Debug)]
    pub struct Key(pub(in crate::linear) ());

    /// A weight's order in memory.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Storage {
        /// `(in, out)`.
        InputMajor,
        /// `(out, in)`.
        OutputMajor,
    }
}

pub(super) use sealed::{Key, Storage};

impl Storage {
    /// That of `O`.
    pub(super) fn of<O: Orientation>() -> Self {
        O::storage(Key(()))
    }

    /// Name of the layer's type.
    pub(super) const fn type_name(self) -> &'static str {
        match self {
            Self::InputMajor => "Dense",
            Self::OutputMajor => "FullyConnected",
        }
    }

    /// The stored weight as `W (out, in)`.
    pub(super) fn out_by_in<T>(self, stored: ArrayView2<'_, T>) -> ArrayView2<'_, T> {
        match self {
            Self::InputMajor => stored.reversed_axes(),
            Self::OutputMajor => stored,
        }
    }

    /// The stored weight as `W (out, in)`, writable.
    pub(super) fn out_by_in_mut<T>(self, stored: ArrayViewMut2<'_, T>) -> ArrayViewMut2<'_, T> {
        match self {
            Self::InputMajor => stored.reversed_axes(),
            Self::OutputMajor => stored,
        }
    }

    /// `(out, in)` from the stored shape, or the stored shape from `(out, in)`.
    pub(super) const fn swap_dim(self, (rows, cols): (usize, usize)) -> (usize, usize) {
        match self {
            Self::InputMajor => (cols, rows),
            Self::OutputMajor => (rows, cols),
        }
    }
}
