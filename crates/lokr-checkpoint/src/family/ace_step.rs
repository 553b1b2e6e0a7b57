//! ACE-Step 1.5: the original names, whose transformer is the `decoder.` of its model, and those of diffusers. Keys and
//! values have fewer heads than queries.
//!
//! Sources: diffusers' `scripts/convert_ace_step_to_diffusers.py`, `models/transformers/ace_step_transformer.py` and
//! `_convert_non_diffusers_ace_step_lora_to_diffusers` in its `loaders/lora_conversion_utils.py`.

use super::table::{Family, Lines, same};

const ATTENTION: [(&str, &str); 6] = [
    ("q_proj", "to_q"),
    ("k_proj", "to_k"),
    ("v_proj", "to_v"),
    ("o_proj", "to_out.0"),
    ("q_norm", "norm_q"),
    ("k_norm", "norm_k"),
];

pub(super) fn family() -> Family {
    let mut lines = Vec::new();
    for attention in ["layers.#.self_attn", "layers.#.cross_attn"] {
        lines
            .extend(ATTENTION.map(|(own, other)| same(&format!("{attention}.{own}"), &format!("{attention}.{other}"))));
    }
    lines.extend([same("proj_in.1", "proj_in_conv"), same("proj_out.1", "proj_out_conv")]);
    let common = &[
        "layers.#.mlp.gate_proj",
        "layers.#.mlp.up_proj",
        "layers.#.mlp.down_proj",
        "layers.#.self_attn_norm",
        "layers.#.cross_attn_norm",
        "layers.#.mlp_norm",
        "time_embed.linear_#",
        "time_embed.time_proj",
        "time_embed_r.linear_#",
        "time_embed_r.time_proj",
        "condition_embedder",
        "norm_out",
    ];
    Family { name: "ACE-Step", lines: Lines(lines), common }
}
