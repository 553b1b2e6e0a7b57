//! Qwen-Image: the names of diffusers are those of everyone.
//!
//! Sources: the list of names in musubi-tuner's `convert_lora.py`, the layout `QwenImage` in ComfyUI's `comfy/lora.py`.

use super::table::{Family, Lines};

pub(super) fn family() -> Family {
    let common = &[
        "img_in",
        "txt_in",
        "txt_norm",
        "time_text_embed.timestep_embedder.linear_1",
        "time_text_embed.timestep_embedder.linear_2",
        "transformer_blocks.#.img_mod.1",
        "transformer_blocks.#.txt_mod.1",
        "transformer_blocks.#.attn.to_q",
        "transformer_blocks.#.attn.to_k",
        "transformer_blocks.#.attn.to_v",
        "transformer_blocks.#.attn.to_out.0",
        "transformer_blocks.#.attn.add_q_proj",
        "transformer_blocks.#.attn.add_k_proj",
        "transformer_blocks.#.attn.add_v_proj",
        "transformer_blocks.#.attn.to_add_out",
        "transformer_blocks.#.attn.norm_q",
        "transformer_blocks.#.attn.norm_k",
        "transformer_blocks.#.attn.norm_added_q",
        "transformer_blocks.#.attn.norm_added_k",
        "transformer_blocks.#.img_mlp.net.0.proj",
        "transformer_blocks.#.img_mlp.net.2",
        "transformer_blocks.#.txt_mlp.net.0.proj",
        "transformer_blocks.#.txt_mlp.net.2",
        "norm_out.linear",
        "proj_out",
    ];
    Family { name: "Qwen-Image", lines: Lines::default(), common }
}
