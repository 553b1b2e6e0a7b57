//! What the tests of several crates share. Not published; a `dev-dependency` only.
//!
//! Slow and plain on purpose, and independent of the code under test: nothing here uses a crate of this workspace, so
//! that unit tests can use it too.
//!
//! - [`Numbers`] and [`matrix`]: distinct values from a seed.
//! - [`Layout`] and [`with_layout`]: the same values, lying otherwise in memory.
//! - [`dense_kron`] and [`dense_product`]: the definitions, as loops.
//! - [`central_difference`]: derivatives without formulas.
//! - [`assert_close`]: comparison by machine epsilon, length and magnitude.
//! - [`CountingAllocator`]: what is allocated, as the allocator sees it.

mod allocator;
mod close;
mod dense;
mod difference;
mod layout;
mod numbers;

pub use allocator::CountingAllocator;
pub use close::assert_close;
pub use dense::{dense_kron, dense_product};
pub use difference::central_difference;
pub use layout::{LAYOUTS, Layout, with_layout};
pub use numbers::{Numbers, matrix, vector};

use ndarray::NdFloat;

/// `f32` or `f64`, by the bounds that every generic test has at hand.
fn from_f64<T: NdFloat>(value: f64) -> T {
    T::from(value).unwrap_or_else(T::nan)
}

/// NaN where there is no such value.
fn to_f64<T: NdFloat>(value: T) -> f64 {
    value.to_f64().unwrap_or(f64::NAN)
}
