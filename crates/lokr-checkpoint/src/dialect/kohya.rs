//! kohya's scripts and OneTrainer: a prefix per model before the underscored path.

/// What stands before the modules of an image model in checkpoints of several models.
pub(crate) const BODY: [&str; 6] =
    ["", "model.diffusion_model.", "diffusion_model.", "unet.", "transformer.", "prior."];

/// A prefix and what stands before the modules of its model in checkpoints that hold several.
type Component = (&'static str, &'static [&'static str]);

/// The longer of two prefixes that begin alike comes first.
const COMPONENTS: [Component; 7] = [
    ("lora_prior_unet_", &BODY),
    ("lora_transformer_", &BODY),
    ("lora_unet_", &BODY),
    ("lora_te1_", &["", "text_encoder.", "text_encoder_1.", "conditioner.embedders.0.transformer.", "te1."]),
    (
        "lora_te2_",
        &["", "text_encoder_2.", "conditioner.embedders.1.transformer.", "conditioner.embedders.1.model.", "te2."],
    ),
    ("lora_te3_", &["", "text_encoder_3.", "te3."]),
    (
        "lora_te_",
        &["", "text_encoder.", "cond_stage_model.transformer.", "cond_stage_model.model.", "cond_stage_model.", "te."],
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
