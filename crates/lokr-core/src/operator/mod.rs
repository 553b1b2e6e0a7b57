//! Kronecker products that are held as their factors: applied, differentiated and merged without being formed.
//!
//! - `factor`: [`Factor`], a full matrix or a low-rank product of two.
//! - `kron`: [`KronBase`], a product: what it is made of, its elements, its transpose; [`Kron`], of two factors.
//! - `chain`: [`KronChain`], of any number of factors.
//! - `factor_list`: [`FactorList`], in which the two differ.
//! - `apply`: [`KronBase::apply`] and its transpose; `samples`: to vectors, rows or fields.
//! - `gradient`: [`KronBase::gradients`], of the factors and of the input.
//! - `merge`: [`KronBase::add_to`], `W ← W + s·(A ⊗ B)`, and the product written out.
//! - `balance`: factors of opposite scale, brought to the same one.
//! - `plan`: from an operator to the contractions that apply it.
//! - `axis`: what acts on one axis in a plan: matrices, a diagonal, nothing.
//! - `structure`: how it is seen that a matrix is an identity or a diagonal.
//! - `group`: neighbouring small factors, multiplied together.
//! - `kron_dense`: [`kron_dense()`], the slow way.
//!
//! What is expected of a type:
//!
//! - `convert`: arrays of every ownership become a [`Factor`].
//! - `display`: shapes and a few values, printed.
//! - `equality`: `==`.
//! - `size`: rows, columns, square or not.
//! - `lines`: rows, columns, rectangles.
//! - `diagonal`: the diagonal.
//! - `totals`: sums of elements, along an axis or of all.
//! - `outer`: Kronecker products of vectors, for these.
//! - `scaled`: multiplication by a number, negation.
//! - `cast`: from `f32` to `f64` and back.
//! - `approximate`: the traits of `approx`, with the feature of that name.
//! - `serialize`: those of `serde`, with the feature of that name.
//!
//! # Values at the ends
//! - `alpha = 0` reads neither factors nor data, as in BLAS: `Y ← β·Y`, whatever they hold. `beta = 0` does not read
//!   `Y`. [`KronBase::add_to`] with `s = 0` leaves the weight as it is.
//! - A NaN in a factor or in the data makes NaN of every value that it reaches in the dense product. Identities and
//!   diagonals, whose zeros are passed over where all values are finite, are multiplied by like other factors then.
//! - An infinity makes every value that it reaches in the dense product infinite or NaN; which of the two, may differ
//!   from the dense product, because sums are made before products with the other factor: with `A = [[∞]]` and
//!   `B = [[0, 1]]`, [`KronBase::element`] and [`Kron::to_dense`] say `∞·0`, NaN, and `A·(B·x)` is `∞·x₁`.
//! - Factors of opposite scale, such as `1e200` and `1e-200`, are balanced by powers of two before they are applied, so
//!   that what stands between them does not leave the range of the type. It costs next to nothing where three elements
//!   of each (the corners and the middle of the diagonal) show no such scale, which is the rule. Not balanced are the
//!   gradients, factors whose elements differ so much that balancing would round them, and those whose scale the three
//!   elements do not show; a low-rank factor whose product leaves the range is out of it.
//!
//! The room uses the rooms `contraction`, [`gemm`](crate::gemm) and `sums`.

mod apply;
#[cfg(feature = "approx")]
mod approximate;
mod axis;
mod balance;
mod cast;
mod chain;
mod convert;
mod diagonal;
mod display;
mod equality;
mod factor;
mod factor_list;
mod gradient;
mod group;
mod kron;
mod kron_dense;
mod lines;
mod merge;
mod outer;
mod plan;
mod samples;
mod scaled;
#[cfg(feature = "serde")]
mod serialize;
mod size;
mod structure;
mod totals;

pub use chain::{IntoFactors, KronChain};
pub use factor::{Factor, LowRank};
pub use factor_list::FactorList;
pub use gradient::KronGradients;
pub use kron::{Kron, KronBase};
pub use kron_dense::kron_dense;
pub(crate) use samples::Samples;

#[cfg(feature = "approx")]
pub(crate) use approximate::agree;

pub use crate::contraction::Order;

#[cfg(test)]
mod edge_tests;
#[cfg(test)]
mod structured_tests;
