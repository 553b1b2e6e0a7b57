//! How is a long sum made, and what becomes of a number that leaves the range of its type?
//!
//! - `extended`: [`Extended`], a number with an exponent of its own, and powers of two.
//! - `pairwise`: sums of blocks, added in pairs: short errors, and an order that depends on the length only.
//! - `dot`: [`dot()`], the sum of the products of equal elements, right at every scale.
//!
//! The room uses only the element types.

mod dot;
mod extended;
mod pairwise;

pub(crate) use dot::dot;
pub(crate) use extended::{Extended, exponent, exponents, times_two_to, wide_exponent};
