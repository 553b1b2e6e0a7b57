//! HiDream-I1: the names of diffusers are those of everyone.
//!
//! Sources: `convert_hidream_transformer_to_diffusers` in diffusers' `loaders/single_file_utils.py`, which only takes a
//! prefix off, and ComfyUI's `comfy/ldm/hidream/model.py`.

use super::table::{Family, Lines};

pub(super) fn family() -> Family {
    let common = &[
        "double_stream_blocks.#.block.*",
        "single_stream_blocks.#.block.*",
        "caption_projection.#.linear",
        "t_embedder.timestep_embedder.linear_#",
        "p_embedder.pooled_embedder.linear_#",
        "x_embedder.proj",
        "final_layer.linear",
        "final_layer.adaLN_modulation.1",
    ];
    Family { name: "HiDream", lines: Lines::default(), common }
}
