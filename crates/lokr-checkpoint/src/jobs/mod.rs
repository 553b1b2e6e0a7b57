//! What is done with adapters and models: a function each, with its choices and its report.
//!
//! - `merge`: adapters into a model, and out of it again.
//! - `verify`: whether a model is what a base and adapters make together.
//! - `extract`: an adapter from the difference of two models.
//! - `resize`, `combine`, `lora`: another adapter of one or several.
//! - `check`: whether another program reads one.
//! - `join`: the output of a merge or an extraction that several processes did in parts.
//! - `parts`, `progress`, `for_all`, `energy`: what they share.
//!
//! They use all other rooms; nothing uses them.

mod check;
mod combine;
mod energy;
mod extract;
mod for_all;
mod join;
mod lora;
mod merge;
mod parts;
mod progress;
mod resize;
mod verify;

pub use check::{CheckReport, CheckedModule, ConvertTo, Fit, Program, Remedy, check};
pub use combine::{Combination, CombineOptions, CombineReport, CombinedModule, combine};
pub use extract::{
    ExtractOptions, ExtractReport, ExtractedModule, Extraction, NotAdapted, NotAdaptedReason, PartOutput, extract,
    extract_part,
};
pub use join::{JoinReport, join};
pub use lora::{Lora, LoraLayout, LoraModule, LoraOptions, LoraRank, LoraReport, to_lora};
pub use merge::{
    AdapterReport, AppliedModule, Measured, MergeOptions, MergeReport, QuantizedOptions, QuantizedRounding,
    ResizedTensor, Run, WeightReport, WholeTensors, merge, merge_part, unmerge,
};
pub use parts::Part;
#[allow(deprecated)] // For those who use it still.
pub use progress::JobProgress;
pub use progress::Progress;
pub use resize::{ResizeOptions, ResizeReport, Resized, ResizedModule, resize};
pub use verify::{Expectation, TensorCheck, Verdict, VerifyOptions, VerifyReport, verify};
