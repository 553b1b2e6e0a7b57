//! LTX-Video and LTX-2: Lightricks' names, which ComfyUI's files have too, and those of diffusers.
//!
//! Sources: `convert_ltx_transformer_checkpoint_to_diffusers` and `convert_ltx2_transformer_to_diffusers` in diffusers'
//! `loaders/single_file_utils.py`, `_convert_non_diffusers_ltx2_lora_to_diffusers` in its
//! `loaders/lora_conversion_utils.py`.

use super::table::{Family, Lines, same};

pub(super) fn family() -> Family {
    let mut lines = vec![
        same("patchify_proj", "proj_in"),
        same("audio_patchify_proj", "audio_proj_in"),
        same("adaln_single.*", "time_embed.*"),
        same("audio_adaln_single.*", "audio_time_embed.*"),
        same("prompt_adaln_single.*", "prompt_adaln.*"),
        same("audio_prompt_adaln_single.*", "audio_prompt_adaln.*"),
        same("av_ca_video_scale_shift_adaln_single.*", "av_cross_attn_video_scale_shift.*"),
        same("av_ca_audio_scale_shift_adaln_single.*", "av_cross_attn_audio_scale_shift.*"),
        same("av_ca_a2v_gate_adaln_single.*", "av_cross_attn_video_a2v_gate.*"),
        same("av_ca_v2a_gate_adaln_single.*", "av_cross_attn_audio_v2a_gate.*"),
    ];
    let attentions = ["attn1", "attn2", "audio_attn1", "audio_attn2", "audio_to_video_attn", "video_to_audio_attn"];
    for attention in attentions.map(|attention| format!("transformer_blocks.#.{attention}")) {
        for (own, other) in [("q_norm", "norm_q"), ("k_norm", "norm_k")] {
            lines.push(same(&format!("{attention}.{own}"), &format!("{attention}.{other}")));
        }
    }
    let common = &[
        "transformer_blocks.#.attn1.to_q",
        "transformer_blocks.#.attn1.to_k",
        "transformer_blocks.#.attn1.to_v",
        "transformer_blocks.#.attn1.to_out.0",
        "transformer_blocks.#.attn2.to_q",
        "transformer_blocks.#.attn2.to_k",
        "transformer_blocks.#.attn2.to_v",
        "transformer_blocks.#.attn2.to_out.0",
        "transformer_blocks.#.audio_attn1.*",
        "transformer_blocks.#.audio_attn2.*",
        "transformer_blocks.#.audio_to_video_attn.*",
        "transformer_blocks.#.video_to_audio_attn.*",
        "transformer_blocks.#.ff.net.0.proj",
        "transformer_blocks.#.ff.net.2",
        "transformer_blocks.#.audio_ff.*",
        "caption_projection.linear_#",
        "audio_caption_projection.linear_#",
        "proj_out",
        "audio_proj_out",
    ];
    Family { name: "LTX", lines: Lines(lines), common }
}
