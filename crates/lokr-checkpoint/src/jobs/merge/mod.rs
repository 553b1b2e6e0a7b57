//! Merging adapters into a base model, and taking them out again.
//!
//! - `options`, `report`: what is asked for, and what was done.
//! - `plan`: which adapters change which tensors, checked before anything is computed.
//! - `steps`: what adapters do to one weight, on any of its rows.
//! - `guard`: what the merged weight must do on a probe vector, by other arithmetic.
//! - `rows`, `weight`, `model`: some rows, one weight, the whole model.
//! - `whole`: tensors that adapters store whole, which may be new to the model.
//! - `outputs`: what becomes of weights of eight bits and of what belongs to them; `quantized`: one of them.
//! - `limits`: how much is worked on at a time; `other_files`, `rewrite`: what else lies beside a model, and which of
//!   it must follow a change.

mod guard;
mod limits;
mod model;
mod options;
mod other_files;
mod outputs;
mod plan;
mod quantized;
mod report;
mod rewrite;
mod rows;
mod steps;
mod weight;
mod whole;

pub use model::{merge, merge_part, unmerge};
pub use options::{MergeOptions, QuantizedOptions, QuantizedRounding, Run};
pub(super) use plan::{Direction, Misfits, Plan};
pub use report::{AdapterReport, AppliedModule, Measured, MergeReport, ResizedTensor, WeightReport};
pub(super) use steps::{Applied, Steps};
pub use whole::WholeTensors;
