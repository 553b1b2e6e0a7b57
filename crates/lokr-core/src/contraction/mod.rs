//! How is a batch taken through an operator? One axis of its rows after the other.
//!
//! Every operator of this crate (two full factors, low-rank factors, chains of many) becomes a list of [`Step`]s: one
//! axis of every row multiplied by one small matrix, scaled by a diagonal, or left as it is.
//!
//! - `order`: in which order, on integers only.
//! - `cost`: what a step costs, apart from flops.
//! - `operand`: what is done to an axis.
//! - `step`: one contraction, forwards, backwards, and the gradient of its matrix.
//! - `multiply`: the product behind a step, by the kernel that suits the sizes.
//! - `scale`: the same for a diagonal.
//! - `walk`: into which blocks a batch is cut.
//! - `block`: one block through step after step.
//! - `stage`: steps on neighbouring axes of rows longer than the cache, taken together.
//! - `forward`: a batch through all steps.
//! - `backward`: the gradients of all matrices and of the batch.
//!
//! The room uses `gemm`, the element types and the four sizes.

mod backward;
mod block;
mod cost;
mod forward;
mod multiply;
mod operand;
mod order;
mod scale;
mod stage;
mod step;
mod walk;

pub(crate) use backward::{Rows, backward};
pub(crate) use cost::{diagonal_cost, matrix_cost};
pub(crate) use forward::forward;
pub(crate) use operand::Operand;
pub use order::Order;
pub(crate) use order::{AxisChain, Contraction, Pass, Sequence, cheapest_interleaving};
pub(crate) use step::{Step, Steps};
