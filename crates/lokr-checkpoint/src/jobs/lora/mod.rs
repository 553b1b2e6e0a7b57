//! A LoRA from an adapter, for programs that know only LoRA.
//!
//! - `options`: which layout, rank and type.
//! - `halves`: the two matrices of a module's LoRA, from its factors.
//! - `layout`: what the tensors of a layout are called, and what else its file holds.
//! - `peft_config`: the configuration of PEFT's directory.
//! - `to_lora`: the job; `report`: what it captures.

mod halves;
mod layout;
mod options;
mod peft_config;
mod report;
mod to_lora;

pub use options::{LoraLayout, LoraOptions, LoraRank};
pub use report::{LoraModule, LoraReport};
pub use to_lora::{Lora, to_lora};
