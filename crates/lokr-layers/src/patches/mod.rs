//! Which pieces of a row does a weight act on? The patches of a convolution: cut out, and put together again.
//!
//! A convolution is a linear layer over patches: its weight `(out, in/groups, kernel…)`, read as the matrix
//! `(out, in/groups·K)`, is multiplied with what lies under the kernel at each place. So whatever is done with a linear
//! layer is done with a convolution, a Kronecker update of that matrix included, once rows are cut into patches.
//!
//! - `sizes`: [`ConvSizes`], the sizes as data.
//! - `geometry`: [`Patches`], which value of a row lies where in which patch.
//! - `copy`: patches cut out of rows, results put into rows, and both ways back.
//! - `walk`: `Walk`, a computation on patches, made block by block so that not all patches exist at a time.
//! - `groups`: the same where each group of outputs sees channels of its own.
//!
//! Uses the errors, limits and buffers of the crate; it knows matrices and no layer.

mod copy;
mod geometry;
mod groups;
mod sizes;
mod walk;

pub use geometry::Patches;
pub use sizes::ConvSizes;
pub(crate) use walk::Walk;
