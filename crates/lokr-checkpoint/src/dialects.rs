//! The dialects there are. The room `dialect` says what each means; this is apart and below it, because errors name
//! them.

use std::fmt;

/// A way of naming tensors and of storing the scale.
///
/// | dialect | a key | the scale is in |
/// |---|---|---|
/// | PEFT | `base_model.model.down.conv.lokr_w1` | `adapter_config.json` |
/// | LyCORIS | `lycoris_down_conv.lokr_w1` | `alpha` tensors |
/// | kohya | `lora_unet_down_conv.lokr_w1` | `alpha` tensors |
/// | dotted | `diffusion_model.down.conv.lokr_w1` | `alpha` tensors |
/// | terms | `down.conv.term0.lokr_w1` | `alpha` tensors |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Dialect {
    /// PEFT: a directory, the bare names of an injected model, or a live model's state with `.default` behind each
    /// name.
    Peft,
    /// LyCORIS's wrapper: one prefix, then the module's path with `_` for `.`.
    Lycoris,
    /// kohya's scripts and OneTrainer: a prefix per model, then the path with `_` for `.`.
    Kohya,
    /// ai-toolkit and ComfyUI: the path as it is, behind the name of a model or nothing.
    Dotted,
    /// `lokr`'s own, for sums of several Kronecker products, which no other dialect holds: a module per term, named by
    /// the path and `.term0`, `.term1` and so on. The file's header says `lokr_format: sum_of_terms`; other programs
    /// find no module of theirs in it.
    Terms,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peft => "PEFT",
            Self::Lycoris => "LyCORIS",
            Self::Kohya => "kohya",
            Self::Dotted => "dotted",
            Self::Terms => "terms",
        })
    }
}
