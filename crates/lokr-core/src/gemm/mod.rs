//! How is a dense product computed? Every one of the crate ends here, or in the kernels below.
//!
//! - `matmul`: [`matmul_into`], the product as users call it.
//! - `dispatch`: which library takes a product: BLAS, the strips, or the general embedded product.
//! - `backend`: [`Backend`], which BLAS was linked, if any.
//! - `details`: [`BackendDetails`], its version and its kernels on this machine.
//! - `embedded`: the call of the general embedded product.
//! - `strips`: products of a batch with a large weight, strip by strip of the result's columns.
//! - `panels`: products of large matrices, both laid out piece by piece.
//! - `packed`: [`PackedMatrix`], a weight laid out in strips once.
//! - `kernel`: products of small matrices, in vector registers.
//! - `views`: slices and matrices read as other matrices.
//! - `blend`: `α` and `β` of `C ← α·(…) + β·C`.
//! - `threads`: one thread, or all.
//! - `scratch`: memory that threads keep.
//! - `limits`: the sizes at which the library changes its way of working; `machine`: the caches that some follow from.
//!
//! The room uses only the element types and the errors.

mod backend;
mod blend;
mod details;
mod dispatch;
mod embedded;
pub(crate) mod kernel;
pub(crate) mod limits;
mod machine;
mod matmul;
mod packed;
mod panels;
mod scratch;
pub(crate) mod strips;
mod threads;
pub(crate) mod views;

pub use backend::{Backend, backend};
pub(crate) use blend::Blend;
pub use details::{BackendDetails, backend_details};
pub(crate) use dispatch::{matmul, prefers_blas, product};
pub use matmul::matmul_into;
pub use packed::PackedMatrix;
pub(crate) use scratch::with_scratch;
pub(crate) use threads::Threads;
