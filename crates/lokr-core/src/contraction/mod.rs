//! How is a batch taken through an operator? One axis of its rows after the other.
//!
//! Every operator of this crate (two full factors, low-rank factors, chains of many) becomes a list of [`Step`]s: one
//! axis of every row multiplied by one small matrix.
//!
//! - `order`: in which order, on integers only.
//! - `step`: one contraction, forwards, backwards, and the gradient of its matrix.
//! - `multiply`: the product behind a step, by the kernel that suits the sizes.
//! - `walk`: into which blocks a batch is cut.
//! - `forward`: a batch through all steps.
//! - `backward`: the gradients of all matrices and of the batch.
//!
//! The room uses `gemm`, the element types and the four sizes.

mod backward;
mod forward;
mod multiply;
mod order;
mod step;
mod walk;

pub(crate) use backward::{Rows, backward};
pub(crate) use forward::forward;
pub use order::Order;
pub(crate) use order::{AxisChain, Contraction, Pass, Sequence, cheapest_interleaving};
pub(crate) use step::{Step, Steps};
