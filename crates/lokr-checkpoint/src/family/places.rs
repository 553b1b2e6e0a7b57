//! What stands before the names of one model in files of several.

/// The places of image, video and sound models; nothing first, and then the longer of two that begin alike.
pub(crate) const BODY: [&str; 11] = [
    "",
    "model.diffusion_model.decoder.",
    "model.diffusion_model.",
    "diffusion_model.decoder.",
    "diffusion_model.",
    "unet.",
    "transformer.",
    "prior.",
    "net.",
    "model.net.",
    "decoder.",
];

/// The places of the text encoders whose own names are not those of `transformers`.
pub(crate) const TEXT: [&str; 2] = ["conditioner.embedders.1.model.", "cond_stage_model.model."];
