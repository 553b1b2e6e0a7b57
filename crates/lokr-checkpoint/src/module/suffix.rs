//! What stands behind a module's name in the keys of its tensors, algorithm by algorithm.

/// The suffixes of LoKr tensors.
pub(crate) const FACTORS: [&str; 7] =
    ["lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"];

pub(crate) const ALPHA: &str = "alpha";

pub(crate) const DORA_SCALE: &str = "dora_scale";

/// Other names of the norms of DoRA, all over outputs: PEFT's without and with its parameter's name, ai-toolkit's.
/// Sources: PEFT, `tuners/lora/dora.py`; ai-toolkit, `toolkit/models/DoRA.py`.
pub(crate) const MAGNITUDES: [&str; 3] = ["lora_magnitude_vector", "lora_magnitude_vector.weight", "magnitude"];

/// How a program names the tensors of a LoRA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoraKeys {
    /// `(r, in, kernel…)`.
    pub(crate) down: &'static str,
    /// `(out, r)`.
    pub(crate) up: &'static str,
    /// The bias that is added with it (`lora_bias` in PEFT).
    pub(crate) bias: &'static str,
}

/// Tucker's core of a LoRA, which kohya's spelling alone has (LyCORIS, `modules/locon.py`).
pub(crate) const LORA_MID: &str = "lora_mid.weight";

/// The spellings of a LoRA. Source: ComfyUI, `comfy/weight_adapter/lora.py`, which reads them all.
pub(crate) const LORA: [LoraKeys; 5] = [
    // kohya's scripts, LyCORIS, OneTrainer.
    LoraKeys { down: "lora_down.weight", up: "lora_up.weight", bias: "lora_up.bias" },
    // PEFT and diffusers, and with the adapter's name before `weight` the state of a live model.
    LoraKeys { down: "lora_A.weight", up: "lora_B.weight", bias: "lora_B.bias" },
    LoraKeys { down: "lora.down.weight", up: "lora.up.weight", bias: "lora.up.bias" },
    LoraKeys {
        down: "lora_linear_layer.down.weight",
        up: "lora_linear_layer.up.weight",
        bias: "lora_linear_layer.up.bias",
    },
    // Mochi's.
    LoraKeys { down: "lora_A", up: "lora_B", bias: "lora_B_bias" },
];

/// The tensors of a LoHa (LyCORIS, `modules/loha.py`).
pub(crate) const HADAMARD: [&str; 6] = ["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"];

/// Stored differences: of a weight and a bias (LyCORIS, `modules/full.py`; ComfyUI's trainer), of a norm's (LyCORIS,
/// `modules/norms.py`).
pub(crate) const DIFFERENCES: [&str; 4] = ["diff", "diff_b", "w_norm", "b_norm"];

/// All suffixes of other algorithms than LoKr.
pub(crate) fn others() -> impl Iterator<Item = &'static str> {
    let lora = LORA.iter().flat_map(|keys| [keys.down, keys.up, keys.bias]).chain([LORA_MID]);
    lora.chain(HADAMARD).chain(DIFFERENCES)
}
