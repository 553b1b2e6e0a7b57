//! What can a Kronecker sum `A₁ ⊕ … ⊕ A_k` be asked? It is held as its summands, two or any number of them.
//!
//! - `sum`: [`KronSum`], made, looked at, written out.
//! - `elements`: its diagonal, sums of its elements, its trace, its symmetry.
//! - `apply`: [`KronSum::apply`] and its transpose, for vectors, rows and fields.
//! - `solve`: [`KronSum::solve`], shifted systems, [`KronSum::pseudo_solve`].
//! - `eigen`: eigenvalues and determinants.
//! - `exponential`: [`KronSum::exp`], a product.
//! - `traits`: taken apart, compared, printed, multiplied by a number, cast.
//! - `approximate`, `serialize`: the traits of `approx` and `serde`, with these features.
//!
//! Part of the room [`algebra`](super).

mod apply;
#[cfg(feature = "approx")]
mod approximate;
mod eigen;
mod elements;
mod exponential;
#[cfg(feature = "serde")]
mod serialize;
mod solve;
mod sum;
mod traits;

#[cfg(test)]
mod cases;

pub use sum::{IntoSummands, KronSum};
