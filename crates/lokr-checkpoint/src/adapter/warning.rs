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
    },
    /// A PEFT conv1d adapter with a full `lokr_w2`: it means what it was trained as only in PEFT's own layout, which is
    /// applied, and is in general no Kronecker product.
    PeftConv1dLayout {
        /// The module.
        module: String,
    },
    /// Tensors that are not LoKr's were left out, as asked.
    Skipped {
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
            Self::AlphaAbsent { module } => write!(f, "{module}: no alpha; the scale is taken as 1"),
            Self::AlphaNegative { module, alpha } => write!(f, "{module}: alpha is negative ({alpha})"),
            Self::AlphaIgnored { module, alpha, network_dim } => {
                write!(f, "{module}: both factors are full, so alpha {alpha} is ignored and the scale is 1; ")?;
                match network_dim {
                    Some(dim) => write!(f, "but ss_network_dim is {dim}, so another scale may be meant"),
                    None => write!(f, "but it is no whole number, as with rs_lora, so another scale may be meant"),
                }
            }
            Self::PeftConv1dLayout { module } => {
                write!(f, "{module}: conv1d with a full lokr_w2, applied in PEFT's own layout; other programs differ")
            }
            Self::Skipped { keys } => {
                let (count, are) = (keys.len(), if keys.len() == 1 { "tensor that is" } else { "tensors that are" });
                write!(f, "{count} {are} not LoKr's left out: {}", keys.join(", "))
            }
            Self::ScaleFolded { module, scale } => {
                write!(f, "{module}: the scale {scale} was multiplied into the first factor")
            }
            Self::BaseTensorsIgnored { count } => write!(f, "{count} tensors of the base model ignored"),
        }
    }
}
