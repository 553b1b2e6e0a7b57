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
//! - `scaled`: multiplication by a number, negation.
//! - `cast`: from `f32` to `f64` and back.
//!
//! The room uses the rooms `contraction` and [`gemm`](crate::gemm).

mod apply;
mod cast;
mod chain;
mod convert;
mod display;
mod equality;
mod factor;
mod gradient;
mod kron;
mod kron_dense;
mod merge;
mod plan;
mod scaled;
mod size;

pub use chain::KronChain;
pub use factor::{Factor, LowRank};
pub use gradient::KronGradients;
pub use kron::Kron;
pub use kron_dense::kron_dense;

pub use crate::contraction::Order;
