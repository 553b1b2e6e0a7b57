//! What stands behind a module's name in the keys of its tensors.

/// The suffixes of LoKr tensors.
pub(crate) const FACTORS: [&str; 7] =
    ["lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"];

pub(crate) const ALPHA: &str = "alpha";

pub(crate) const DORA_SCALE: &str = "dora_scale";
