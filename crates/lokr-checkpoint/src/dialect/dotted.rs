//! ai-toolkit, ComfyUI and OneTrainer: the module's path itself, behind the name of a model or nothing.

use super::kohya::{FIRST_TEXT, SECOND_TEXT, THIRD_TEXT};
use crate::dialects::Dialect;
use crate::error::ModuleError;
use crate::family::BODY;

/// Prefixes ComfyUI accepts, longest first where two begin alike.
const PREFIXES: [&str; 9] = [
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "unet.",
    "net.",
    "model.",
    "decoder.",
    "prior.",
];

/// What stands before the modules of text encoders, and their places in checkpoints of several models: as ComfyUI,
/// diffusers and `OneTrainer` write them.
const TEXT: [(&str, &[&str]); 10] = [
    ("text_encoders.qwen3_06b.transformer.model.", &["", "model.", "text_encoder.model."]),
    ("text_encoders.clip_l.transformer.", &FIRST_TEXT),
    ("text_encoders.clip_g.transformer.", &SECOND_TEXT),
    ("text_encoders.t5xxl.transformer.", &THIRD_TEXT),
    ("clip_l.transformer.", &FIRST_TEXT),
    ("clip_g.transformer.", &SECOND_TEXT),
    ("text_encoder_3.", &THIRD_TEXT),
    ("text_encoder_2.", &SECOND_TEXT),
    ("text_encoder_1.", &FIRST_TEXT),
    ("text_encoder.", &FIRST_TEXT),
];

/// Whether no other dialect writes names that begin so.
pub(super) fn is_unmistakable(module: &str) -> bool {
    ["diffusion_model.", "model.diffusion_model.", "text_encoders."].iter().any(|prefix| module.starts_with(prefix))
}

/// What a module may be called in the model that it is of, and that model's places in checkpoints of several, the
/// likelier first.
pub(crate) fn readings(module: &str) -> Vec<(&str, &'static [&'static str])> {
    if let Some((prefix, places)) = TEXT.iter().find(|(prefix, _)| module.starts_with(prefix)) {
        return vec![(&module[prefix.len()..], places)];
    }
    let mut readings = Vec::new();
    let mut rest = module;
    while let Some(shorter) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = shorter;
        readings.push((rest, &BODY[..]));
    }
    if readings.is_empty() {
        readings.push((module, &BODY[..]));
    }
    readings
}

/// A name without the prefixes that stand for an image model, and that no module of one has.
pub(crate) fn strip(module: &str) -> &str {
    ["model.diffusion_model.", "diffusion_model."]
        .iter()
        .find_map(|prefix| module.strip_prefix(prefix))
        .unwrap_or(module)
}

/// The name by which programs look a module up: `diffusion_model.` and the path, for CLIP what diffusers calls it, and
/// diffusers' own names of image models as they are.
pub(crate) fn written(path: &str) -> Result<String, ModuleError> {
    /// CLIP's places in checkpoints of several models, and what diffusers and ComfyUI have in their stead.
    const TEXT: [(&str, &str); 3] = [
        ("conditioner.embedders.0.transformer.", "text_encoder."),
        ("cond_stage_model.transformer.", "text_encoder."),
        ("text_encoder_1.", "text_encoder."),
    ];
    /// Names that ComfyUI and diffusers look up as they are.
    const KEPT: [&str; 6] =
        ["text_encoders.", "text_encoder.", "text_encoder_2.", "text_encoder_3.", "transformer.", "unet."];
    if let Some((rest, name)) = TEXT.iter().find_map(|(place, name)| Some((path.strip_prefix(place)?, name))) {
        return Ok(format!("{name}{rest}"));
    }
    if path.starts_with("conditioner.") || path.starts_with("cond_stage_model.") {
        let (module, reason) = (path.to_owned(), "ComfyUI has no dotted name for it; kohya's LoRA has one");
        return Err(ModuleError::CannotHold { module, dialect: Dialect::Dotted, reason });
    }
    if KEPT.iter().any(|prefix| path.starts_with(prefix)) {
        return Ok(path.to_owned());
    }
    Ok(format!("diffusion_model.{}", strip(path)))
}
