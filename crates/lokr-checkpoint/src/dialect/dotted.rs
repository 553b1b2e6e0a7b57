//! ai-toolkit and ComfyUI: the module's path itself, behind the name of a model or nothing.

use super::kohya::BODY;
use crate::dialects::Dialect;
use crate::error::ModuleError;

/// Prefixes ComfyUI accepts, longest first where two begin alike.
const PREFIXES: [&str; 6] =
    ["base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "unet.", "model."];

/// Whether no other dialect writes names that begin so.
pub(super) fn is_unmistakable(module: &str) -> bool {
    ["diffusion_model.", "model.diffusion_model.", "text_encoders."].iter().any(|prefix| module.starts_with(prefix))
}

/// The names a module may have in a base model, besides its own: without its prefix and behind another one.
pub(crate) fn alternatives(module: &str) -> impl Iterator<Item = String> {
    let bare = PREFIXES.iter().find_map(|prefix| module.strip_prefix(prefix)).unwrap_or(module);
    BODY.iter().map(move |place| format!("{place}{bare}"))
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
