//! OpenCLIP's text encoder, which SDXL's second one and that of Stable Diffusion 2 are: its own names, in checkpoints
//! of one file, and those of `transformers`, which adapters carry.
//!
//! Source: `convert_open_clip_checkpoint` in diffusers' `loaders/single_file_utils.py`, and `transformers_convert` in
//! ComfyUI's `comfy/utils.py`.

use super::table::{Family, Lines, even, same};

const BLOCK: [(&str, &str); 5] = [
    ("attn.out_proj", "self_attn.out_proj"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
];

pub(super) fn family() -> Family {
    let own = |part: &str| format!("transformer.resblocks.#.{part}");
    let other = |part: &str| format!("text_model.encoder.layers.#.{part}");
    let [q, k, v] = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].map(other);
    let mut lines = vec![even(&own("attn.in_proj"), &[&q, &k, &v])];
    lines.extend(BLOCK.map(|(part, name)| same(&own(part), &other(name))));
    lines.extend([
        same("token_embedding", "text_model.embeddings.token_embedding"),
        same("ln_final", "text_model.final_layer_norm"),
    ]);
    Family { name: "CLIP's text encoder", lines: Lines(lines), common: &["text_projection"] }
}
