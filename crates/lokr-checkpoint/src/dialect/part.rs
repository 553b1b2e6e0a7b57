//! The names that are written: which model of several a path is in, and what a program calls it there.
//!
//! Checkpoints put a prefix before the names of each model they hold. Programs look modules up by the path within that
//! model, behind prefixes of their own: `ComfyUI` under `diffusion_model.<path>`, `lora_unet_<path>` and
//! `lycoris_<path>`, and text encoders under `text_encoder.<path>` and `lora_te1_<path>` (`comfy/lora.py`,
//! `model_lora_keys_unet` and `model_lora_keys_clip`).

use std::collections::BTreeSet;

use super::kohya;
use super::lycoris::flatten;
use super::openclip::{to_transformers, to_transformers_dotted};

/// One of the models that a checkpoint or a pipeline holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The image model, or whatever is no text encoder.
    Image,
    /// A text encoder, by its number from 1.
    TextEncoder(u8),
}

/// What stands before the paths of text encoders.
const TEXT_ENCODERS: [(&str, u8); 10] = [
    ("text_encoder_2.", 2),
    ("text_encoder_3.", 3),
    ("text_encoder_1.", 1),
    ("text_encoder.", 1),
    ("conditioner.embedders.0.transformer.", 1),
    ("conditioner.embedders.1.transformer.", 2),
    ("conditioner.embedders.1.model.", 2),
    ("cond_stage_model.transformer.", 1),
    ("cond_stage_model.model.", 1),
    ("cond_stage_model.", 1),
];

/// What the paths of a CLIP text encoder alone begin with.
const CLIP: &str = "text_model.encoder.";

/// What stands before the paths of image models, and is never a part of one.
const IMAGE: [&str; 2] = ["model.diffusion_model.", "diffusion_model."];

/// The same for models of `diffusers` and others of their components. Modules of networks of another kind may be called
/// so.
const IMAGE_COMPONENTS: [&str; 3] = ["unet.", "transformer.", "prior."];

/// What follows `net.` in Cosmos' models and those made of them, such as Anima, and not in a network that calls its
/// layers so.
const AFTER_NET: [&str; 6] =
    ["blocks.", "llm_adapter.", "x_embedder.", "t_embedder.", "final_layer.", "extra_pos_embedder."];

/// The part a path is in, and the path there.
fn split(path: &str) -> (Part, &str) {
    let text = |&(place, number): &(&'static str, u8)| Some((Part::TextEncoder(number), path.strip_prefix(place)?));
    if let Some(found) = TEXT_ENCODERS.iter().find_map(text) {
        return found;
    }
    if path.starts_with(CLIP) {
        return (Part::TextEncoder(1), path);
    }
    let image = within_image(path);
    let component = || IMAGE_COMPONENTS.iter().find_map(|place| path.strip_prefix(place));
    (Part::Image, image.or_else(component).unwrap_or(path))
}

/// The path within an image model, where a prefix shows that it is one.
fn within_image(path: &str) -> Option<&str> {
    let net = || path.strip_prefix("net.").filter(|rest| AFTER_NET.iter().any(|start| rest.starts_with(start)));
    IMAGE.iter().find_map(|place| path.strip_prefix(place)).or_else(net)
}

/// The name in kohya's dialect. `encoders` is the number of text encoders, `prefix` what stands before the name in
/// place of what is usual.
pub(crate) fn kohya_name(path: &str, encoders: TextEncoders, prefix: Option<&str>) -> String {
    let (part, rest) = split(path);
    let rest = flatten(rest);
    let (usual, rest) = match part {
        Part::Image => (IMAGE_PREFIX.to_owned(), rest),
        Part::TextEncoder(1) if encoders == TextEncoders::AtMostOne => {
            ("lora_te_".to_owned(), to_transformers(&rest).unwrap_or(rest))
        }
        Part::TextEncoder(number) => (format!("lora_te{number}_"), to_transformers(&rest).unwrap_or(rest)),
    };
    format!("{}{rest}", prefix.unwrap_or(&usual))
}

/// The name in the dotted dialect.
pub(crate) fn dotted_name(path: &str, prefix: Option<&str>) -> String {
    let (part, rest) = split(path);
    match (part, prefix) {
        (Part::Image, prefix) => format!("{}{rest}", prefix.unwrap_or("diffusion_model.")),
        (Part::TextEncoder(_), Some(prefix)) => format!("{prefix}{path}"),
        (Part::TextEncoder(number), None) => {
            let number = if number == 1 { String::new() } else { format!("_{number}") };
            format!("text_encoder{number}.{}", to_transformers_dotted(rest).unwrap_or_else(|| rest.to_owned()))
        }
    }
}

/// The path in LyCORIS's dialect, and in PEFT's, which know of networks of any kind: components are taken off only
/// where it is known that they are.
pub(crate) fn network_path(path: &str, of: Network) -> &str {
    match of {
        Network::Any => within_image(path).unwrap_or(path),
        Network::Pipeline => match split(path) {
            (Part::Image, rest) => rest,
            (Part::TextEncoder(_), _) => path,
        },
    }
}

/// What a path is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Network {
    /// A network of any kind, or a checkpoint of several.
    #[default]
    Any,
    /// A pipeline of components.
    Pipeline,
}

/// What the first names begin with and the second ones do not, as far as it tells one model of a pipeline from another.
pub(crate) fn beginnings<'a>(names: impl Iterator<Item = &'a String>, others: &[String]) -> Vec<String> {
    let dotted = |name: &str| {
        let prefix = name.len() - split(name).1.len();
        (prefix > 0).then(|| name[..prefix].to_owned())
    };
    let of = |name: &str| kohya::split(name).map(|(prefix, ..)| prefix.to_owned()).or_else(|| dotted(name));
    let of_others: BTreeSet<_> = others.iter().map(|name| of(name)).collect();
    let own: BTreeSet<_> = names.map(|name| of(name)).collect();
    if own.contains(&None) || own.iter().any(|beginning| of_others.contains(beginning)) {
        return Vec::new();
    }
    own.into_iter().flatten().collect()
}

/// The prefix of the image model in kohya's dialect.
pub(crate) const IMAGE_PREFIX: &str = "lora_unet_";

/// How many text encoders a model has, which changes the first one's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextEncoders {
    AtMostOne,
    Several,
}

impl TextEncoders {
    /// From the paths of a model's modules.
    pub(crate) fn count<'a>(mut paths: impl Iterator<Item = &'a str>) -> Self {
        let later = |path: &str| matches!(split(path).0, Part::TextEncoder(2..));
        if paths.any(later) { Self::Several } else { Self::AtMostOne }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_has_its_prefix() {
        for (path, one, several) in [
            ("text_encoder.a.b", "lora_te_a_b", "lora_te1_a_b"),
            ("text_encoder_2.a", "lora_te2_a", "lora_te2_a"),
            ("text_encoder_3.a", "lora_te3_a", "lora_te3_a"),
            (
                "conditioner.embedders.1.model.transformer.resblocks.3.attn.q_proj",
                "lora_te2_text_model_encoder_layers_3_self_attn_q_proj",
                "lora_te2_text_model_encoder_layers_3_self_attn_q_proj",
            ),
            (
                "cond_stage_model.model.transformer.resblocks.3.mlp.c_fc",
                "lora_te_text_model_encoder_layers_3_mlp_fc1",
                "lora_te1_text_model_encoder_layers_3_mlp_fc1",
            ),
            ("unet.a.b_c", "lora_unet_a_b_c", "lora_unet_a_b_c"),
            ("model.diffusion_model.a", "lora_unet_a", "lora_unet_a"),
            ("net.blocks.0.q", "lora_unet_blocks_0_q", "lora_unet_blocks_0_q"),
            ("net.0.q", "lora_unet_net_0_q", "lora_unet_net_0_q"),
            ("layers.0.q", "lora_unet_layers_0_q", "lora_unet_layers_0_q"),
            (
                "text_model.encoder.layers.0.q",
                "lora_te_text_model_encoder_layers_0_q",
                "lora_te1_text_model_encoder_layers_0_q",
            ),
        ] {
            assert_eq!(kohya_name(path, TextEncoders::AtMostOne, None), one);
            assert_eq!(kohya_name(path, TextEncoders::Several, None), several);
        }
        assert_eq!(kohya_name("unet.a.b", TextEncoders::Several, Some("lora_transformer_")), "lora_transformer_a_b");
    }

    #[test]
    fn dotted_names_are_those_that_comfyui_looks_up() {
        for (path, name) in [
            ("model.diffusion_model.double_blocks.0.img_attn.qkv", "diffusion_model.double_blocks.0.img_attn.qkv"),
            ("diffusion_model.a", "diffusion_model.a"),
            ("double_blocks.0.img_attn.qkv", "diffusion_model.double_blocks.0.img_attn.qkv"),
            ("net.blocks.0.q", "diffusion_model.blocks.0.q"),
            ("transformer.blocks.0.q", "diffusion_model.blocks.0.q"),
            ("text_encoder.text_model.a", "text_encoder.text_model.a"),
            ("conditioner.embedders.0.transformer.text_model.a", "text_encoder.text_model.a"),
            (
                "conditioner.embedders.1.model.transformer.resblocks.3.attn.q_proj",
                "text_encoder_2.text_model.encoder.layers.3.self_attn.q_proj",
            ),
        ] {
            assert_eq!(dotted_name(path, None), name);
        }
        assert_eq!(dotted_name("model.diffusion_model.a", Some("transformer.")), "transformer.a");
        assert_eq!(dotted_name("a", Some("")), "a");
    }

    #[test]
    fn networks_of_any_kind_keep_their_paths() {
        for (path, kept) in [
            ("model.diffusion_model.a.b", "a.b"),
            ("net.blocks.0.q", "blocks.0.q"),
            ("net.0.q", "net.0.q"),
            ("transformer.h.0.attn", "transformer.h.0.attn"),
        ] {
            assert_eq!(network_path(path, Network::Any), kept);
        }
        for (path, kept) in [("transformer.blocks.0.q", "blocks.0.q"), ("text_encoder.a", "text_encoder.a")] {
            assert_eq!(network_path(path, Network::Pipeline), kept);
        }
    }
}
