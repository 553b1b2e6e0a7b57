//! Stable Diffusion 3 and 3.5: Stability's names and those of diffusers.
//!
//! Sources: `convert_sd3_transformer_checkpoint_to_diffusers` in diffusers' `loaders/single_file_utils.py`, and
//! `mmdit_to_diffusers` in ComfyUI's `comfy/utils.py`.

use super::table::{Family, Lines, even, same, swapped, swapped_pair};

/// The modules of a block.
const BLOCK: [(&str, &str); 14] = [
    ("x_block.attn.proj", "attn.to_out.0"),
    ("x_block.attn.ln_q", "attn.norm_q"),
    ("x_block.attn.ln_k", "attn.norm_k"),
    ("x_block.attn2.proj", "attn2.to_out.0"),
    ("x_block.attn2.ln_q", "attn2.norm_q"),
    ("x_block.attn2.ln_k", "attn2.norm_k"),
    ("x_block.adaLN_modulation.1", "norm1.linear"),
    ("x_block.mlp.fc1", "ff.net.0.proj"),
    ("x_block.mlp.fc2", "ff.net.2"),
    ("context_block.attn.proj", "attn.to_add_out"),
    ("context_block.attn.ln_q", "attn.norm_added_q"),
    ("context_block.attn.ln_k", "attn.norm_added_k"),
    ("context_block.mlp.fc1", "ff_context.net.0.proj"),
    ("context_block.mlp.fc2", "ff_context.net.2"),
];

/// Query, key and value of each attention.
const ATTENTION: [(&str, [&str; 3]); 3] = [
    ("x_block.attn.qkv", ["attn.to_q", "attn.to_k", "attn.to_v"]),
    ("x_block.attn2.qkv", ["attn2.to_q", "attn2.to_k", "attn2.to_v"]),
    ("context_block.attn.qkv", ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"]),
];

pub(super) fn family() -> Family {
    let own = |part: &str| format!("joint_blocks.#.{part}");
    let other = |part: &str| format!("transformer_blocks.#.{part}");
    let mut lines: Vec<_> = BLOCK.iter().map(|(part, name)| same(&own(part), &other(name))).collect();
    for (fused, parts) in ATTENTION {
        let parts = parts.map(other);
        lines.push(even(&own(fused), &parts.each_ref().map(String::as_str)));
    }
    lines.extend([
        // Of the last block it is shift and scale alone, which diffusers stores the other way round.
        swapped_pair(&own("context_block.adaLN_modulation.1"), &other("norm1_context.linear")),
        swapped("final_layer.adaLN_modulation.1", "norm_out.linear"),
        same("final_layer.linear", "proj_out"),
        same("x_embedder.proj", "pos_embed.proj"),
        same("t_embedder.mlp.0", "time_text_embed.timestep_embedder.linear_1"),
        same("t_embedder.mlp.2", "time_text_embed.timestep_embedder.linear_2"),
        same("y_embedder.mlp.0", "time_text_embed.text_embedder.linear_1"),
        same("y_embedder.mlp.2", "time_text_embed.text_embedder.linear_2"),
    ]);
    Family { name: "Stable Diffusion 3", lines: Lines(lines), common: &["context_embedder"] }
}
