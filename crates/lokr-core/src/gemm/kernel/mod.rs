//! How is a product of small matrices computed? With operands that lie in the cache and are too small, or too oddly
//! shaped, for a packing matrix product to pay.
//!
//! Two forms cover every contraction of one axis by a small matrix, without packing or transposing the batch:
//! [`outer()`] walks rows of `B` with the vector lanes along the columns of `C`; [`dot()`] walks two sets of rows with
//! the lanes along the inner dimension. Where rows of `C` fill half a register, [`outer()`] does two steps of the inner
//! dimension at a time (`pairs`).
//!
//! - `outer`, `dot`: the two forms.
//! - `pairs`: [`outer()`] for rows of half a register.
//! - `panels`: the first form for a large product, whose operands were laid out for it.
//! - `transpose`: rows laid out as columns; `turn`: squares of them in registers; `sums`: of their lanes.
//! - `narrow`: matrices of two to four rows, over short rows of the data.
//! - `add_row`: one row of a merge.
//! - `scale`: a diagonal instead of a matrix.
//! - `strided`: operands and results as slices with strides, and where their last element lies.
//! - `operands`: one product as pointers.
//! - `lanes`: vector registers, and the choice of the instruction set.
//!
//! `lanes`, `outer`, `pairs`, `panels` and `dot` hold unsafe code, beside the room's neighbour `embedded` the only such
//! in the crate: every public entry checks that all the elements it will touch exist, and the loops then use raw
//! pointers.
//!
//! The room uses the scratch memory, the limits and the blends of the room around it.

mod add_row;
mod dot;
mod lanes;
mod narrow;
mod operands;
mod outer;
mod pairs;
mod panels;
mod scale;
mod strided;
mod sums;
mod transpose;
mod turn;

pub(crate) use add_row::add_row;
pub(crate) use dot::{dot, dot_into};
pub(crate) use lanes::prefetch;
pub(crate) use narrow::{is_narrow, narrow};
pub(crate) use outer::{outer, outer_into};
pub(crate) use panels::{Panel, Strips, panels, piece};
pub(crate) use scale::scale;
pub(crate) use strided::{Sizes, Strided, StridedMut};
pub(crate) use transpose::transpose;

#[cfg(test)]
mod tests;
