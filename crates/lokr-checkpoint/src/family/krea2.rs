//! Krea 2: the original names, which ComfyUI and ai-toolkit have too, and those of diffusers. Keys and values have
//! fewer heads than queries.
//!
//! Sources: `_convert_non_diffusers_krea2_lora_to_diffusers` in diffusers' `loaders/lora_conversion_utils.py`, its
//! `models/transformers/transformer_krea2.py`, and `krea2/krea2_mmdit.py` of musubi-tuner.

use super::table::{Family, Lines, same};

const BLOCK: [(&str, &str); 12] = [
    ("attn.wq", "attn.to_q"),
    ("attn.wk", "attn.to_k"),
    ("attn.wv", "attn.to_v"),
    ("attn.wo", "attn.to_out.0"),
    ("attn.gate", "attn.to_gate"),
    ("attn.qknorm.qnorm", "attn.norm_q"),
    ("attn.qknorm.knorm", "attn.norm_k"),
    ("mlp.gate", "ff.gate"),
    ("mlp.up", "ff.up"),
    ("mlp.down", "ff.down"),
    ("prenorm", "norm1"),
    ("postnorm", "norm2"),
];

pub(super) fn family() -> Family {
    let mut lines = Vec::new();
    for (own, other) in [
        ("blocks.#", "transformer_blocks.#"),
        ("txtfusion.layerwise_blocks.#", "text_fusion.layerwise_blocks.#"),
        ("txtfusion.refiner_blocks.#", "text_fusion.refiner_blocks.#"),
    ] {
        lines.extend(BLOCK.map(|(part, name)| same(&format!("{own}.{part}"), &format!("{other}.{name}"))));
    }
    lines.extend([
        same("first", "img_in"),
        same("last.linear", "final_layer.linear"),
        same("last.norm", "final_layer.norm"),
        same("tmlp.0", "time_embed.linear_1"),
        same("tmlp.2", "time_embed.linear_2"),
        same("tproj.1", "time_mod_proj"),
        same("txtmlp.0", "txt_in.norm"),
        same("txtmlp.1", "txt_in.linear_1"),
        same("txtmlp.3", "txt_in.linear_2"),
        same("txtfusion.projector", "text_fusion.projector"),
    ]);
    Family { name: "Krea 2", lines: Lines(lines), common: &[] }
}
