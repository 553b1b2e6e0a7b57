//! Chroma: the blocks of Flux.1, modulated by one small network.
//!
//! Source: `convert_chroma_transformer_checkpoint_to_diffusers` in diffusers' `loaders/single_file_utils.py`.

use super::flux::blocks;
use super::table::{Family, Lines, same};

pub(super) fn family() -> Family {
    let own = [
        same("distilled_guidance_layer.layers.#.in_layer", "distilled_guidance_layer.layers.#.linear_1"),
        same("distilled_guidance_layer.layers.#.out_layer", "distilled_guidance_layer.layers.#.linear_2"),
    ];
    let common =
        &["distilled_guidance_layer.in_proj", "distilled_guidance_layer.out_proj", "distilled_guidance_layer.norms.#"];
    Family { name: "Chroma", lines: Lines([blocks(), own.to_vec()].concat()), common }
}
