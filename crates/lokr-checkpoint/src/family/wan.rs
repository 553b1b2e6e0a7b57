//! Wan 2.1 and 2.2: the original names, which ComfyUI's files have too, and those of diffusers.
//!
//! Source: `convert_wan_transformer_to_diffusers` in diffusers' `loaders/single_file_utils.py`, and its
//! `scripts/convert_wan_to_diffusers.py`.

use super::table::{Family, Lines, same};

/// The modules of a block, without the normalisations that change places.
const BLOCK: [(&str, &str); 19] = [
    ("self_attn.q", "attn1.to_q"),
    ("self_attn.k", "attn1.to_k"),
    ("self_attn.v", "attn1.to_v"),
    ("self_attn.o", "attn1.to_out.0"),
    ("self_attn.norm_q", "attn1.norm_q"),
    ("self_attn.norm_k", "attn1.norm_k"),
    ("cross_attn.q", "attn2.to_q"),
    ("cross_attn.k", "attn2.to_k"),
    ("cross_attn.v", "attn2.to_v"),
    ("cross_attn.o", "attn2.to_out.0"),
    ("cross_attn.norm_q", "attn2.norm_q"),
    ("cross_attn.norm_k", "attn2.norm_k"),
    ("cross_attn.k_img", "attn2.add_k_proj"),
    ("cross_attn.v_img", "attn2.add_v_proj"),
    ("cross_attn.norm_k_img", "attn2.norm_added_k"),
    ("ffn.0", "ffn.net.0.proj"),
    ("ffn.2", "ffn.net.2"),
    ("before_proj", "proj_in"),
    ("after_proj", "proj_out"),
];

pub(super) fn family() -> Family {
    let mut lines = Vec::new();
    for block in ["blocks", "vace_blocks"] {
        let module = |(own, other): (&str, &str)| same(&format!("{block}.#.{own}"), &format!("{block}.#.{other}"));
        lines.extend(BLOCK.map(module));
    }
    // `norm2` and `norm3` change places, so that each is a name on both sides: a file's own names come first. Only
    // `norm3` of the original has a weight; it is diffusers' `norm2`.
    lines.extend([
        same("blocks.#.norm3", "blocks.#.norm2"),
        same("vace_blocks.#.norm3", "vace_blocks.#.norm2"),
        same("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
        same("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
        same("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
        same("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
        same("time_projection.1", "condition_embedder.time_proj"),
        same("head.head", "proj_out"),
        same("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
        same("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
        same("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
        same("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
    ]);
    Family { name: "Wan", lines: Lines(lines), common: &["patch_embedding", "vace_patch_embedding"] }
}
