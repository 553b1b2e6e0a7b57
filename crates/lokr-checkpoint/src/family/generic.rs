//! What holds for any model: the layers that several libraries fuse.
//!
//! Sources: torch's `MultiheadAttention` (`in_proj_weight`: query, key, value, equally many rows); `modeling_phi3.py`
//! of `transformers` (`qkv_proj`, `gate_up_proj`) and its `modeling_gpt2.py` (`Conv1D`); Qwen's first
//! `modeling_qwen.py` (`c_attn`); `fuse_projections` in diffusers' `models/attention.py` (`to_qkv`,
//! `to_added_qkv`, `to_kv`), which SimpleTuner trains on when it is told `fused_qkv_projections`, also where keys and
//! values have fewer heads (`models/krea2/transformer.py` there).

use std::sync::LazyLock;

use super::table::{Lines, columns, even, grouped};

/// The lines that hold for any model.
pub(crate) static GENERIC: LazyLock<Lines> = LazyLock::new(|| {
    Lines(vec![
        even("*.in_proj", &["*.q_proj", "*.k_proj", "*.v_proj"]),
        grouped("*.qkv_proj", &["*.q_proj", "*.k_proj", "*.v_proj"], "*.o_proj"),
        // A Linear's rows. GPT-2 stores the layer of this name transposed, where the parts are columns and no rows:
        // there the sizes do not add up, and only the whole is found.
        columns("*.c_attn", &["*.q_proj", "*.k_proj", "*.v_proj"]),
        even("*.gate_up_proj", &["*.gate_proj", "*.up_proj"]),
        grouped("*.to_qkv", &["*.to_q", "*.to_k", "*.to_v"], "*.to_out.0"),
        grouped("*.to_added_qkv", &["*.add_q_proj", "*.add_k_proj", "*.add_v_proj"], "*.to_add_out"),
        even("*.to_kv", &["*.to_k", "*.to_v"]),
    ])
});
