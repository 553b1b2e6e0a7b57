//! Anima, and Cosmos-Predict 2, whose architecture it has: the original names and those of diffusers. The released
//! files have `net.` before all names.
//!
//! Sources: `_convert_non_diffusers_anima_lora_to_diffusers` in diffusers' `loaders/lora_conversion_utils.py`, and
//! `convert_cosmos_transformer_checkpoint_to_diffusers` in its `loaders/single_file_utils.py`.

use super::table::{Family, Lines, same};

const BLOCK: [(&str, &str); 20] = [
    ("self_attn.q_proj", "attn1.to_q"),
    ("self_attn.k_proj", "attn1.to_k"),
    ("self_attn.v_proj", "attn1.to_v"),
    ("self_attn.output_proj", "attn1.to_out.0"),
    ("self_attn.q_norm", "attn1.norm_q"),
    ("self_attn.k_norm", "attn1.norm_k"),
    ("cross_attn.q_proj", "attn2.to_q"),
    ("cross_attn.k_proj", "attn2.to_k"),
    ("cross_attn.v_proj", "attn2.to_v"),
    ("cross_attn.output_proj", "attn2.to_out.0"),
    ("cross_attn.q_norm", "attn2.norm_q"),
    ("cross_attn.k_norm", "attn2.norm_k"),
    ("mlp.layer1", "ff.net.0.proj"),
    ("mlp.layer2", "ff.net.2"),
    ("adaln_modulation_self_attn.1", "norm1.linear_1"),
    ("adaln_modulation_self_attn.2", "norm1.linear_2"),
    ("adaln_modulation_cross_attn.1", "norm2.linear_1"),
    ("adaln_modulation_cross_attn.2", "norm2.linear_2"),
    ("adaln_modulation_mlp.1", "norm3.linear_1"),
    ("adaln_modulation_mlp.2", "norm3.linear_2"),
];

pub(super) fn family() -> Family {
    let block = |(own, other): (&str, &str)| same(&format!("blocks.#.{own}"), &format!("transformer_blocks.#.{other}"));
    let mut lines = BLOCK.map(block).to_vec();
    lines.extend([
        same("x_embedder.proj.1", "patch_embed.proj"),
        same("t_embedder.1.*", "time_embed.t_embedder.*"),
        same("t_embedding_norm", "time_embed.norm"),
        same("final_layer.linear", "proj_out"),
        same("final_layer.adaln_modulation.1", "norm_out.linear_1"),
        same("final_layer.adaln_modulation.2", "norm_out.linear_2"),
    ]);
    Family { name: "Anima", lines: Lines(lines), common: &["llm_adapter.*"] }
}
