//! Kronecker products that are held as their factors: applied, differentiated and merged without being formed.
//!
//! - `factor`: [`Factor`], a full matrix or a low-rank product of two.
//! - `kron`: [`Kron`], `A ⊗ B`: what it is made of, its elements, its transpose.
//! - `apply`: [`Kron::apply`] and its transpose.
//! - `gradient`: [`Kron::gradients`], of the factors and of the input.
//! - `merge`: [`Kron::add_to`], `W ← W + s·(A ⊗ B)`, and the product written out.
//! - `chain`: [`KronChain`], products of any number of factors.
//! - `plan`: from an operator to the contractions that apply it.
//! - `kron_dense`: [`kron_dense()`], the slow way.
//!
//! What is expected of a type:
//!
//! - `convert`: arrays of every ownership become a [`Factor`].
//! - `display`: shapes and a few values, printed.
//! - `equality`: `==`.
//! - `size`: rows, columns, square or not.
//! - `lines`: rows, columns, rectangles.
//! - `diagonal`: the diagonal, and the trace of a chain.
//! - `totals`: sums of elements, along an axis or of all.
//! - `vector`: one vector instead of a batch.
//! - `outer`: Kronecker products of vectors, for these.
//! - `scaled`: multiplication by a number, negation.
//! - `cast`: from `f32` to `f64` and back.
//! - `approximate`: the traits of `approx`, with the feature of that name.
//! - `serialize`: those of `serde`, with the feature of that name.
//!
//! The room uses the rooms `contraction` and [`gemm`](crate::gemm).

mod apply;
#[cfg(feature = "approx")]
mod approximate;
mod cast;
mod chain;
mod convert;
mod diagonal;
mod display;
mod equality;
mod factor;
mod gradient;
mod kron;
mod kron_dense;
mod lines;
mod merge;
mod outer;
mod plan;
mod scaled;
#[cfg(feature = "serde")]
mod serialize;
mod size;
mod totals;
mod vector;

pub use chain::KronChain;
pub use factor::{Factor, LowRank};
pub use gradient::KronGradients;
pub use kron::Kron;
pub use kron_dense::kron_dense;

#[cfg(feature = "approx")]
pub(crate) use approximate::agree;
pub(crate) use vector::one_row;

pub use crate::contraction::Order;
