//! Flux.2 and Flux.2 Klein: Black Forest Labs' names and those of diffusers, which keep query, key, value and MLP of a
//! single block in one tensor.
//!
//! Sources: diffusers' `scripts/convert_flux2_to_diffusers.py`, and `_convert_non_diffusers_flux2_lora_to_diffusers` in
//! its `loaders/lora_conversion_utils.py`, which also has the `sformer_blocks` of some exports.

use super::flux::attention;
use super::table::{Family, Lines, same, swapped};

pub(super) fn family() -> Family {
    let own = [
        same("double_blocks.#.img_mlp.0", "transformer_blocks.#.ff.linear_in"),
        same("double_blocks.#.img_mlp.2", "transformer_blocks.#.ff.linear_out"),
        same("double_blocks.#.txt_mlp.0", "transformer_blocks.#.ff_context.linear_in"),
        same("double_blocks.#.txt_mlp.2", "transformer_blocks.#.ff_context.linear_out"),
        same("single_blocks.#.linear1", "single_transformer_blocks.#.attn.to_qkv_mlp_proj"),
        same("single_blocks.#.linear2", "single_transformer_blocks.#.attn.to_out"),
        same("single_blocks.#.norm.query_norm", "single_transformer_blocks.#.attn.norm_q"),
        same("single_blocks.#.norm.key_norm", "single_transformer_blocks.#.attn.norm_k"),
        same("img_in", "x_embedder"),
        same("txt_in", "context_embedder"),
        same("time_in.in_layer", "time_guidance_embed.timestep_embedder.linear_1"),
        same("time_in.out_layer", "time_guidance_embed.timestep_embedder.linear_2"),
        same("guidance_in.in_layer", "time_guidance_embed.guidance_embedder.linear_1"),
        same("guidance_in.out_layer", "time_guidance_embed.guidance_embedder.linear_2"),
        same("double_stream_modulation_img.lin", "double_stream_modulation_img.linear"),
        same("double_stream_modulation_txt.lin", "double_stream_modulation_txt.linear"),
        same("single_stream_modulation.lin", "single_stream_modulation.linear"),
        same("final_layer.linear", "proj_out"),
        swapped("final_layer.adaLN_modulation.1", "norm_out.linear"),
    ];
    let mut lines = [attention(), own.to_vec()].concat();
    let other = |module: &&str| same(&format!("sformer_blocks.#.{module}"), &format!("transformer_blocks.#.{module}"));
    lines.extend(BLOCK.iter().map(other));
    Family { name: "Flux.2", lines: Lines(lines), common: &[] }
}

/// The modules of a double block.
const BLOCK: [&str; 12] = [
    "attn.to_q",
    "attn.to_k",
    "attn.to_v",
    "attn.to_out.0",
    "attn.add_q_proj",
    "attn.add_k_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
    "ff.linear_in",
    "ff.linear_out",
    "ff_context.linear_in",
    "ff_context.linear_out",
];
