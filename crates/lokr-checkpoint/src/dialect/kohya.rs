//! kohya's scripts and OneTrainer: a prefix per model before the underscored path.

use super::lycoris::flatten;
use super::openclip::to_transformers;
use crate::family::BODY;

/// A prefix and what stands before the modules of its model in checkpoints that hold several.
type Component = (&'static str, &'static [&'static str]);

/// The first text encoder, or the only one.
pub(super) const FIRST_TEXT: [&str; 9] = [
    "",
    "text_encoder.",
    "text_encoder_1.",
    "conditioner.embedders.0.transformer.",
    "cond_stage_model.transformer.",
    "cond_stage_model.model.",
    "text_encoders.clip_l.transformer.",
    "clip_l.transformer.",
    "te1.",
];
/// The second one, which is T5 in Flux.
pub(super) const SECOND_TEXT: [&str; 7] = [
    "",
    "text_encoder_2.",
    "conditioner.embedders.1.transformer.",
    "conditioner.embedders.1.model.",
    "text_encoders.clip_g.transformer.",
    "text_encoders.t5xxl.transformer.",
    "te2.",
];
pub(super) const THIRD_TEXT: [&str; 4] = ["", "text_encoder_3.", "text_encoders.t5xxl.transformer.", "te3."];

/// The longer of two prefixes that begin alike comes first.
const COMPONENTS: [Component; 7] = [
    ("lora_prior_unet_", &BODY),
    ("lora_transformer_", &BODY),
    ("lora_unet_", &BODY),
    ("lora_te1_", &FIRST_TEXT),
    ("lora_te2_", &SECOND_TEXT),
    ("lora_te3_", &THIRD_TEXT),
    (
        "lora_te_",
        // Those from `model.` on are language models and T5, as the newer image and video models have them.
        &[
            "",
            "text_encoder.",
            "cond_stage_model.transformer.",
            "cond_stage_model.model.",
            "cond_stage_model.",
            "te.",
            "model.",
            "text_encoder.model.",
            "text_encoders.qwen3_06b.transformer.model.",
            "text_encoders.qwen3_4b.transformer.model.",
            "text_encoders.qwen25_7b.transformer.model.",
            "text_encoders.mistral3_24b.transformer.model.",
            "text_encoders.gemma2_2b.transformer.model.",
            "text_encoders.llama.transformer.model.",
            "text_encoders.t5xxl.transformer.",
            "text_encoders.umt5xxl.transformer.",
            "text_encoders.clip_l.transformer.",
        ],
    ),
];

/// The prefix of a name, its model's places in checkpoints, and the rest.
pub(crate) fn split(name: &str) -> Option<(&'static str, &'static [&'static str], &str)> {
    COMPONENTS.iter().find_map(|(prefix, places)| Some((*prefix, *places, name.strip_prefix(prefix)?)))
}

/// The name of a module by its path in a base model: the prefix of the model it is in, and the rest of the path.
/// Whatever is no text encoder is taken for the image model. `encoders` is the number of text encoders.
pub(crate) fn name(path: &str, encoders: TextEncoders) -> String {
    const SECOND: [&str; 3] =
        ["text_encoder_2.", "conditioner.embedders.1.transformer.", "conditioner.embedders.1.model."];
    const FIRST: [&str; 3] = ["text_encoder.", "text_encoder_1.", "conditioner.embedders.0.transformer."];
    const ONLY: [&str; 3] = ["cond_stage_model.transformer.", "cond_stage_model.model.", "cond_stage_model."];
    let first = if encoders == TextEncoders::Several { "lora_te1_" } else { "lora_te_" };
    let places = SECOND.iter().map(|place| (*place, "lora_te2_"));
    let places = places.chain([("text_encoder_3.", "lora_te3_")]);
    let places = places.chain(FIRST.iter().map(|place| (*place, first)));
    let places = places.chain(ONLY.iter().map(|place| (*place, "lora_te_")));
    let mut places = places.chain(BODY[1..].iter().map(|place| (*place, IMAGE_PREFIX)));
    let split = places.find_map(|(place, prefix)| Some((prefix, path.strip_prefix(place)?)));
    let (prefix, rest) = split.unwrap_or((IMAGE_PREFIX, path));
    let rest = flatten(rest);
    let rest = if prefix == IMAGE_PREFIX { rest } else { to_transformers(&rest).unwrap_or(rest) };
    format!("{prefix}{rest}")
}

/// The prefix of the image model.
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
        let later = |path: &str| {
            ["text_encoder_2.", "text_encoder_3.", "conditioner.embedders.1."].iter().any(|p| path.starts_with(p))
        };
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
                "lora_te_text_model_encoder_layers_3_mlp_fc1",
            ),
            ("unet.a.b_c", "lora_unet_a_b_c", "lora_unet_a_b_c"),
            ("model.diffusion_model.a", "lora_unet_a", "lora_unet_a"),
            ("layers.0.q", "lora_unet_layers_0_q", "lora_unet_layers_0_q"),
        ] {
            assert_eq!(name(path, TextEncoders::AtMostOne), one);
            assert_eq!(name(path, TextEncoders::Several), several);
        }
    }

    #[test]
    fn numbered_text_encoders_come_before_the_plain_one() {
        for (name, prefix, rest) in [
            ("lora_te1_text_model", "lora_te1_", "text_model"),
            ("lora_te2_text_model", "lora_te2_", "text_model"),
            ("lora_te3_encoder", "lora_te3_", "encoder"),
            ("lora_te_text_model", "lora_te_", "text_model"),
            ("lora_unet_conv_in", "lora_unet_", "conv_in"),
            ("lora_prior_unet_a", "lora_prior_unet_", "a"),
            ("lora_transformer_a_b", "lora_transformer_", "a_b"),
        ] {
            let (found, _, found_rest) = split(name).unwrap();
            assert_eq!((found, found_rest), (prefix, rest));
        }
        assert!(split("lycoris_a").is_none());
    }
}
