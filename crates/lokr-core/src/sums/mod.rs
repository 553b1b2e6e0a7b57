//! How is a long sum made, and what becomes of a number that leaves the range of its type?
//!
//! - `scaled`: [`Scaled`], a number with an exponent of its own, and powers of two.
//! - `pairwise`: sums of blocks, added in pairs: short errors, and an order that depends on the length only.
//! - `dot`: [`dot()`], the sum of the products of equal elements, right at every scale.
//!
//! The room uses only the element types.

mod dot;
mod pairwise;
mod scaled;

pub(crate) use dot::dot;
pub(crate) use scaled::{Scaled, exponent, exponents, times_two_to, wide_exponent};
