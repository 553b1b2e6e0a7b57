//! ai-toolkit and ComfyUI: the module's path itself, behind the name of a model or nothing.

use super::kohya::BODY;

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
