//! Decompositions of small dense `ndarray` matrices by `faer`, compiled once for `f32` and for `f64`.
//!
//! `faer`'s functions are generic and large: whoever calls them compiles them, again in every test and for every set of
//! features. Here stand the few that `lokr-core` calls, for the two types it has, as plain functions in a table. They
//! check nothing and scale nothing: that is done by the callers, in the room `decompose` of `lokr-core`.
//!
//! Everything runs on the calling thread. The matrices are factors and therefore small, and the bits depend neither on
//! the number of threads nor on faer's global setting.
//!
//! ```
//! use ndarray::array;
//!
//! let lower = (lokr_decompose::f64().cholesky_lower)(array![[4.0, 2.0], [2.0, 5.0]].view());
//! assert_eq!(lower, Some(array![[2.0, 0.0], [1.0, 2.0]]));
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cholesky;
mod convert;
mod decompositions;
mod eigen;
mod element;
mod hessenberg;
mod lu;
mod qr;
mod svd;

pub use decompositions::{Decompositions, f32, f64};
pub use eigen::Eigen;
pub use lu::{LuFactors, Memory, Storage, System};
pub use svd::ThinSvd;
