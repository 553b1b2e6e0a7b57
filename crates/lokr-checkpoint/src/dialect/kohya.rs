//! kohya's scripts and OneTrainer: a prefix per model before the underscored path.

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

#[cfg(test)]
mod tests {
    use super::*;

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
