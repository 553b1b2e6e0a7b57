//! Z-Image: the single file for ComfyUI and diffusers' names.
//!
//! Sources: `convert_z_image_transformer_checkpoint_to_diffusers` in diffusers' `loaders/single_file_utils.py`,
//! `models/transformers/transformer_z_image.py`, and `_convert_non_diffusers_z_image_lora_to_diffusers` in its
//! `loaders/lora_conversion_utils.py`.

use super::table::{Family, Lines, grouped, same};

pub(super) fn family() -> Family {
    let mut lines = Vec::new();
    for block in ["layers", "noise_refiner", "context_refiner", "siglip_refiner"] {
        let attention = |part: &str| format!("{block}.#.attention.{part}");
        let [q, k, v] = ["to_q", "to_k", "to_v"].map(attention);
        lines.push(grouped(&attention("qkv"), &[&q, &k, &v], &attention("out")));
        lines.extend(
            [("out", "to_out.0"), ("q_norm", "norm_q"), ("k_norm", "norm_k")]
                .map(|(own, other)| same(&attention(own), &attention(other))),
        );
    }
    lines.extend([same("final_layer.*", "all_final_layer.2-1.*"), same("x_embedder", "all_x_embedder.2-1")]);
    let common = &[
        "layers.#.feed_forward.w1",
        "layers.#.feed_forward.w2",
        "layers.#.feed_forward.w3",
        "layers.#.adaLN_modulation.0",
        "layers.#.attention_norm1",
        "layers.#.attention_norm2",
        "layers.#.ffn_norm1",
        "layers.#.ffn_norm2",
        "noise_refiner.#.*",
        "context_refiner.#.*",
        "siglip_refiner.#.*",
        "siglip_embedder.#",
        "t_embedder.mlp.#",
        "cap_embedder.#",
        "norm_final",
    ];
    Family { name: "Z-Image", lines: Lines(lines), common }
}
