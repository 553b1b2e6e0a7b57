//! How well a LoRA captures an adapter.

use serde::Serialize;

/// How well a LoRA captures an adapter.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LoraReport {
    /// The modules, by their names in the LoRA.
    pub modules: Vec<LoraModule>,
    /// Share of the squared norm of all modules' changes that is captured.
    pub energy: f64,
    /// Values of the adapter.
    pub lokr_parameters: usize,
    /// Values of the LoRA.
    pub lora_parameters: usize,
}

/// One module of a [`LoraReport`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoraModule {
    /// Its name in the LoRA, without PEFT's prefix.
    pub name: String,
    /// Rank of the LoRA; the tensors of PEFT's layout may be filled up with zeros to a larger one.
    pub rank: usize,
    /// `‖ΔW‖_F` of the adapter.
    pub norm: f64,
    /// Share of its square captured; 1 for a change that is zero.
    pub energy: f64,
}
