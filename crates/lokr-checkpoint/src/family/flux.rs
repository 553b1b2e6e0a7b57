//! Flux.1: Black Forest Labs' names and those of diffusers.
//!
//! Sources: `flux_to_diffusers` in ComfyUI's `comfy/utils.py`, `convert_flux_transformer_checkpoint_to_diffusers` in
//! diffusers' `loaders/single_file_utils.py`; `linear1_qkv` is in `comfy/lora.py`.

use super::table::{Family, Line, Lines, columns, even, same, swapped};

pub(super) fn family() -> Family {
    let own = [
        same("double_blocks.#.img_mod.lin", "transformer_blocks.#.norm1.linear"),
        same("double_blocks.#.txt_mod.lin", "transformer_blocks.#.norm1_context.linear"),
        same("single_blocks.#.modulation.lin", "single_transformer_blocks.#.norm.linear"),
        same("time_in.in_layer", "time_text_embed.timestep_embedder.linear_1"),
        same("time_in.out_layer", "time_text_embed.timestep_embedder.linear_2"),
        same("vector_in.in_layer", "time_text_embed.text_embedder.linear_1"),
        same("vector_in.out_layer", "time_text_embed.text_embedder.linear_2"),
        same("guidance_in.in_layer", "time_text_embed.guidance_embedder.linear_1"),
        same("guidance_in.out_layer", "time_text_embed.guidance_embedder.linear_2"),
        swapped("final_layer.adaLN_modulation.1", "norm_out.linear"),
    ];
    Family { name: "Flux.1", lines: Lines([blocks(), own.to_vec()].concat()), common: &[] }
}

/// What Chroma has too.
pub(super) fn blocks() -> Vec<Line> {
    const QKV_MLP: [&str; 4] = [
        "single_transformer_blocks.#.attn.to_q",
        "single_transformer_blocks.#.attn.to_k",
        "single_transformer_blocks.#.attn.to_v",
        "single_transformer_blocks.#.proj_mlp",
    ];
    let mut lines = attention();
    lines.extend([
        same("double_blocks.#.img_mlp.0", "transformer_blocks.#.ff.net.0.proj"),
        same("double_blocks.#.img_mlp.2", "transformer_blocks.#.ff.net.2"),
        same("double_blocks.#.txt_mlp.0", "transformer_blocks.#.ff_context.net.0.proj"),
        same("double_blocks.#.txt_mlp.2", "transformer_blocks.#.ff_context.net.2"),
        columns("single_blocks.#.linear1", &QKV_MLP),
        even("single_blocks.#.linear1_qkv", &QKV_MLP[..3]),
        same("single_blocks.#.linear2", "single_transformer_blocks.#.proj_out"),
        same("single_blocks.#.norm.query_norm", "single_transformer_blocks.#.attn.norm_q"),
        same("single_blocks.#.norm.key_norm", "single_transformer_blocks.#.attn.norm_k"),
        same("img_in", "x_embedder"),
        same("txt_in", "context_embedder"),
        same("final_layer.linear", "proj_out"),
    ]);
    lines
}

/// The attention of the double blocks, which Flux.2 has too.
pub(super) fn attention() -> Vec<Line> {
    vec![
        even(
            "double_blocks.#.img_attn.qkv",
            &["transformer_blocks.#.attn.to_q", "transformer_blocks.#.attn.to_k", "transformer_blocks.#.attn.to_v"],
        ),
        even(
            "double_blocks.#.txt_attn.qkv",
            &[
                "transformer_blocks.#.attn.add_q_proj",
                "transformer_blocks.#.attn.add_k_proj",
                "transformer_blocks.#.attn.add_v_proj",
            ],
        ),
        same("double_blocks.#.img_attn.proj", "transformer_blocks.#.attn.to_out.0"),
        same("double_blocks.#.txt_attn.proj", "transformer_blocks.#.attn.to_add_out"),
        same("double_blocks.#.img_attn.norm.query_norm", "transformer_blocks.#.attn.norm_q"),
        same("double_blocks.#.img_attn.norm.key_norm", "transformer_blocks.#.attn.norm_k"),
        same("double_blocks.#.txt_attn.norm.query_norm", "transformer_blocks.#.attn.norm_added_q"),
        same("double_blocks.#.txt_attn.norm.key_norm", "transformer_blocks.#.attn.norm_added_k"),
    ]
}
