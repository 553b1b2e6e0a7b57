//! What a file leaves open without being wrong.

use std::fmt;

/// A remark of a reader or converter: it was done, by a rule that the user should know of.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// No `alpha` next to a low-rank factor, in a dialect that stores it: the scale is 1.
    AlphaAbsent {
        /// The module.
        module: String,
        /// The scale that the file's metadata give, in an entry that no reader applies.
        other_scale: Option<f64>,
    },
    /// A negative `alpha`: the adapter subtracts.
    AlphaNegative {
        /// The module.
        module: String,
        /// The value.
        alpha: f64,
    },
    /// Both factors are full, so `alpha` is ignored and the scale is 1; but the value is not the rank that programs
    /// with this rule store there, so the writer may have meant another scale.
    AlphaIgnored {
        /// The module.
        module: String,
        /// The value ignored.
        alpha: f64,
        /// The rank the file's metadata state, if any.
        network_dim: Option<f64>,
        /// The scale that may be meant.
        other_scale: f64,
    },
    /// Low-rank factors of different ranks, or of another than the metadata state, under one `alpha`: each has its own
    /// scale, where a trainer that cut the rank of small layers meant one.
    RanksDiffer {
        /// The `alpha` of all of them.
        alpha: f64,
        /// The lowest and the highest rank.
        ranks: (usize, usize),
        /// The scale that may be meant.
        other_scale: f64,
    },
    /// A PEFT conv1d adapter with a full `lokr_w2`: it means what it was trained as only in PEFT's own layout, which is
    /// applied, and is in general no Kronecker product.
    PeftConv1dLayout {
        /// The module.
        module: String,
    },
    /// Tensors of algorithms that are not understood, or of none that is known, were left out, as asked.
    Skipped {
        /// Their keys, each with its algorithm where that is known.
        keys: Vec<(String, Option<&'static str>)>,
    },
    /// Marks such as `lokr_factor`, and bare numbers that no program reads, were passed over.
    MarksIgnored {
        /// Their keys.
        keys: Vec<String>,
    },
    /// The scale was multiplied into the first factor, because the dialect written has no place for it there.
    ScaleFolded {
        /// The module.
        module: String,
        /// The scale.
        scale: f64,
    },
    /// The file is the state of a whole model; what is not the adapter's was left out.
    BaseTensorsIgnored {
        /// How many tensors.
        count: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlphaAbsent { module, other_scale: None | Some(1.0) } => {
                write!(f, "{module}: no alpha; the scale is taken as 1")
            }
            Self::AlphaAbsent { module, other_scale: Some(scale) } => {
                write!(f, "{module}: no alpha; the scale is taken as 1, but by the header {scale} may be meant")
            }
            Self::AlphaNegative { module, alpha } => write!(f, "{module}: alpha is negative ({alpha})"),
            Self::AlphaIgnored { module, alpha, network_dim, other_scale } => {
                write!(f, "{module}: both factors are full, so alpha {alpha} is ignored and the scale is 1; ")?;
                match network_dim {
                    Some(dim) => {
                        write!(f, "but ss_network_dim is {dim}, so alpha / ss_network_dim = {other_scale} may be meant")
                    }
                    None => write!(
                        f,
                        "but it is no whole number, as with rs_lora, so its cube root {other_scale} may be meant"
                    ),
                }
            }
            Self::RanksDiffer { alpha, ranks: (lowest, highest), other_scale } => {
                write!(f, "alpha {alpha} stands beside ranks ")?;
                match lowest == highest {
                    true => write!(f, "of {lowest}, which is not ss_network_dim, ")?,
                    false => write!(f, "from {lowest} to {highest}, ")?,
                }
                write!(f, "and each has the scale alpha / rank; a trainer may have meant {other_scale} for all")
            }
            Self::PeftConv1dLayout { module } => {
                write!(f, "{module}: conv1d with a full lokr_w2, applied in PEFT's own layout; other programs differ")
            }
            Self::Skipped { keys } => {
                let (count, are) = (keys.len(), if keys.len() == 1 { "tensor" } else { "tensors" });
                write!(f, "{count} {are} left out, whose effect is lost: ")?;
                for (number, (key, algorithm)) in keys.iter().enumerate() {
                    let comma = if number > 0 { ", " } else { "" };
                    write!(f, "{comma}{key}")?;
                    algorithm.map_or(Ok(()), |algorithm| write!(f, " ({algorithm})"))?;
                }
                Ok(())
            }
            Self::MarksIgnored { keys } => {
                let first = keys.first().map_or("", String::as_str);
                let marks = if keys.len() == 1 { "mark" } else { "marks" };
                write!(f, "{} {marks} passed over that change no weight, the first is {first}", keys.len())
            }
            Self::ScaleFolded { module, scale } => {
                write!(f, "{module}: the scale {scale} was multiplied into the first factor")
            }
            Self::BaseTensorsIgnored { count } => write!(f, "{count} tensors of the base model ignored"),
        }
    }
}
