//! HunyuanVideo and HunyuanVideo 1.5: Tencent's names, those of ComfyUI's files and those of diffusers.
//!
//! Sources: `convert_hunyuan_video_transformer_to_diffusers` in diffusers' `loaders/single_file_utils.py`, its
//! `scripts/convert_hunyuan_video1_5_to_diffusers.py`, and the layout `HunyuanVideo` in ComfyUI's `comfy/lora.py`.

use super::flux;
use super::table::{Family, Line, Lines, columns, even, same, swapped};

pub(super) fn family() -> Family {
    let mut lines = flux::attention();
    lines.extend([
        same("double_blocks.#.img_attn_q", "transformer_blocks.#.attn.to_q"),
        same("double_blocks.#.img_attn_k", "transformer_blocks.#.attn.to_k"),
        same("double_blocks.#.img_attn_v", "transformer_blocks.#.attn.to_v"),
        same("double_blocks.#.txt_attn_q", "transformer_blocks.#.attn.add_q_proj"),
        same("double_blocks.#.txt_attn_k", "transformer_blocks.#.attn.add_k_proj"),
        same("double_blocks.#.txt_attn_v", "transformer_blocks.#.attn.add_v_proj"),
        even(
            "double_blocks.#.img_attn_qkv",
            &["transformer_blocks.#.attn.to_q", "transformer_blocks.#.attn.to_k", "transformer_blocks.#.attn.to_v"],
        ),
        even(
            "double_blocks.#.txt_attn_qkv",
            &[
                "transformer_blocks.#.attn.add_q_proj",
                "transformer_blocks.#.attn.add_k_proj",
                "transformer_blocks.#.attn.add_v_proj",
            ],
        ),
        same("double_blocks.#.img_attn_proj", "transformer_blocks.#.attn.to_out.0"),
        same("double_blocks.#.txt_attn_proj", "transformer_blocks.#.attn.to_add_out"),
        same("double_blocks.#.img_attn_q_norm", "transformer_blocks.#.attn.norm_q"),
        same("double_blocks.#.img_attn_k_norm", "transformer_blocks.#.attn.norm_k"),
        same("double_blocks.#.txt_attn_q_norm", "transformer_blocks.#.attn.norm_added_q"),
        same("double_blocks.#.txt_attn_k_norm", "transformer_blocks.#.attn.norm_added_k"),
        columns(
            "single_blocks.#.linear1",
            &[
                "single_transformer_blocks.#.attn.to_q",
                "single_transformer_blocks.#.attn.to_k",
                "single_transformer_blocks.#.attn.to_v",
                "single_transformer_blocks.#.proj_mlp",
            ],
        ),
        same("single_blocks.#.linear2", "single_transformer_blocks.#.proj_out"),
        same("single_blocks.#.q_norm", "single_transformer_blocks.#.attn.norm_q"),
        same("single_blocks.#.k_norm", "single_transformer_blocks.#.attn.norm_k"),
        same("single_blocks.#.norm.query_norm", "single_transformer_blocks.#.attn.norm_q"),
        same("single_blocks.#.norm.key_norm", "single_transformer_blocks.#.attn.norm_k"),
        same("img_in.*", "x_embedder.*"),
        same("vector_in.in_layer", "time_text_embed.text_embedder.linear_1"),
        same("vector_in.out_layer", "time_text_embed.text_embedder.linear_2"),
        same("time_in.mlp.0", "time_embed.timestep_embedder.linear_1"),
        same("time_in.mlp.2", "time_embed.timestep_embedder.linear_2"),
        same("time_r_in.mlp.0", "time_embed.timestep_embedder_r.linear_1"),
        same("time_r_in.mlp.2", "time_embed.timestep_embedder_r.linear_2"),
        same("cond_type_embedding", "cond_type_embed"),
        same("byt5_in.layernorm", "context_embedder_2.norm"),
        same("byt5_in.fc#", "context_embedder_2.linear_#"),
        same("vision_in.proj.0", "image_embedder.norm_in"),
        same("vision_in.proj.1", "image_embedder.linear_1"),
        same("vision_in.proj.3", "image_embedder.linear_2"),
        same("vision_in.proj.4", "image_embedder.norm_out"),
        same("final_layer.linear", "proj_out"),
        swapped("final_layer.adaLN_modulation.1", "norm_out.linear"),
    ]);
    lines.extend(spelt_twice("double_blocks.#.img_mlp", "transformer_blocks.#.ff"));
    lines.extend(spelt_twice("double_blocks.#.txt_mlp", "transformer_blocks.#.ff_context"));
    // Tencent's spelling and ComfyUI's.
    for linear in ["linear", "lin"] {
        lines.extend([
            same(&format!("double_blocks.#.img_mod.{linear}"), "transformer_blocks.#.norm1.linear"),
            same(&format!("double_blocks.#.txt_mod.{linear}"), "transformer_blocks.#.norm1_context.linear"),
            same(&format!("single_blocks.#.modulation.{linear}"), "single_transformer_blocks.#.norm.linear"),
        ]);
    }
    for (own, layers) in
        [("mlp.0", "linear_1"), ("mlp.2", "linear_2"), ("in_layer", "linear_1"), ("out_layer", "linear_2")]
    {
        for (embedder, name) in [("time_in", "timestep_embedder"), ("guidance_in", "guidance_embedder")] {
            lines.push(same(&format!("{embedder}.{own}"), &format!("time_text_embed.{name}.{layers}")));
        }
    }
    lines.extend(refiner());
    Family { name: "HunyuanVideo", lines: Lines(lines), common: &[] }
}

/// The refiner of the text's tokens.
fn refiner() -> Vec<Line> {
    const OTHER: &str = "context_embedder.token_refiner.refiner_blocks.#";
    let [q, k, v] = ["to_q", "to_k", "to_v"].map(|part| format!("{OTHER}.attn.{part}"));
    let own = |part: &str| format!("txt_in.individual_token_refiner.blocks.#.{part}");
    let mut lines = vec![
        same(&own("norm1"), &format!("{OTHER}.norm1")),
        same(&own("norm2"), &format!("{OTHER}.norm2")),
        same(&own("adaLN_modulation.1"), &format!("{OTHER}.norm_out.linear")),
        same("txt_in.input_embedder", "context_embedder.proj_in"),
    ];
    for spelling in ["self_attn_", "self_attn."] {
        lines.push(even(&own(&format!("{spelling}qkv")), &[&q, &k, &v]));
        lines.push(same(&own(&format!("{spelling}proj")), &format!("{OTHER}.attn.to_out.0")));
    }
    lines.extend(spelt_twice(&own("mlp"), &format!("{OTHER}.ff")));
    for (first, second) in [("mlp.0", "mlp.2"), ("in_layer", "out_layer"), ("linear_1", "linear_2")] {
        for (own, other) in [("t_embedder", "timestep_embedder"), ("c_embedder", "text_embedder")] {
            let other = format!("context_embedder.time_text_embed.{other}");
            lines.push(same(&format!("txt_in.{own}.{first}"), &format!("{other}.linear_1")));
            lines.push(same(&format!("txt_in.{own}.{second}"), &format!("{other}.linear_2")));
        }
    }
    lines
}

/// The two layers of an MLP, as Tencent and as ComfyUI call them.
fn spelt_twice(own: &str, other: &str) -> [Line; 4] {
    [("fc1", "net.0.proj"), ("fc2", "net.2"), ("0", "net.0.proj"), ("2", "net.2")]
        .map(|(layer, name)| same(&format!("{own}.{layer}"), &format!("{other}.{name}")))
}
