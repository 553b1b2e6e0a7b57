//! What a stored `alpha` means, and which to store: the factor `s` before the Kronecker product.
//!
//! A file that stores `alpha` means `s = alpha / r`, where `r` is the rank of its low-rank factors. With both factors
//! full there is no rank to divide by, `alpha` is a placeholder and `s = 1`. PEFT stores `alpha` and `r` in its
//! configuration and divides in both cases.

use std::collections::BTreeMap;

use super::options::ZeroAlpha;
use super::warning::Warning;
use crate::error::{ModuleError, Result};
use crate::file::FloatType;
use crate::module::Module;

/// Ranks that a file's metadata state: `ss_network_dim`, and `conv_dim` for convolutions.
#[derive(Debug, Default)]
pub(super) struct StatedRanks {
    network_dim: Option<f64>,
    conv_dim: Option<f64>,
}

impl StatedRanks {
    pub(super) fn from_metadata(metadata: &BTreeMap<String, String>) -> Self {
        let network_dim = metadata.get("ss_network_dim").and_then(|text| text.parse().ok());
        let args: Option<BTreeMap<String, serde_json::Value>> =
            metadata.get("ss_network_args").and_then(|text| serde_json::from_str(text).ok());
        let conv_dim = args.and_then(|args| match args.get("conv_dim")? {
            serde_json::Value::String(text) => text.parse().ok(),
            value => value.as_f64(),
        });
        Self { network_dim, conv_dim }
    }

    /// What to store as an `alpha` that is ignored: the rank, so that readers are not warned.
    pub(super) fn placeholder(&self) -> f64 {
        self.network_dim.unwrap_or(1.0)
    }

    /// Whether an ignored `alpha` is what LyCORIS writes there, the rank, up to rounding in bf16.
    fn explain(&self, alpha: f64) -> bool {
        let close = |dim: f64| (alpha - dim).abs() <= dim.abs() / 128.0;
        match self.network_dim {
            // Half types round placeholders, and f16 rounds whole numbers from 2048 on, but never to fractions.
            None => alpha.fract() == 0.0,
            Some(dim) => close(dim) || self.conv_dim.is_some_and(close),
        }
    }

    /// The scale a stored `alpha` means next to low-rank factors of rank `rank`, or next to full ones.
    pub(super) fn scale(
        &self,
        module: &str,
        alpha: Option<f64>,
        rank: Option<usize>,
        zero_alpha: ZeroAlpha,
        warnings: &mut Vec<Warning>,
    ) -> Result<f64, ModuleError> {
        let name = || module.to_owned();
        match (alpha, rank) {
            (Some(alpha), _) if alpha.is_nan() || alpha == f64::NEG_INFINITY => {
                Err(ModuleError::AlphaNotFinite { module: name(), alpha })
            }
            (None, None) => Ok(1.0),
            // A placeholder rank such as 1e10, which f16 cannot hold.
            (Some(f64::INFINITY), None) => Ok(1.0),
            (Some(alpha), None) => {
                if alpha < 0.0 {
                    warnings.push(Warning::AlphaNegative { module: name(), alpha });
                } else if !self.explain(alpha) {
                    warnings.push(Warning::AlphaIgnored { module: name(), alpha, network_dim: self.network_dim });
                }
                Ok(1.0)
            }
            (None, Some(_)) => {
                warnings.push(Warning::AlphaAbsent { module: name() });
                Ok(1.0)
            }
            (Some(f64::INFINITY), Some(_)) => Err(ModuleError::AlphaNotFinite { module: name(), alpha: f64::INFINITY }),
            (Some(0.0), Some(_)) => match zero_alpha {
                ZeroAlpha::Refuse => Err(ModuleError::AlphaZero { module: name() }),
                ZeroAlpha::Rank => Ok(1.0),
                ZeroAlpha::Zero => Ok(0.0),
            },
            (Some(alpha), Some(rank)) => {
                if alpha < 0.0 {
                    warnings.push(Warning::AlphaNegative { module: name(), alpha });
                }
                Ok(alpha / rank as f64)
            }
        }
    }
}

/// The `alpha` that the target's own rule turns into the module's scale. The stored one is kept where it does so
/// already; beside two full factors any value does, and `placeholder` is written.
pub(super) fn stored_alpha(module: &Module, placeholder: f64) -> Result<f64, ModuleError> {
    let s = module.scale().ok_or_else(|| ModuleError::ScaleUnknown { module: module.name().to_owned() })?;
    Ok(match (module.rank(), module.alpha()) {
        (None, alpha) => alpha.unwrap_or(placeholder),
        (Some(rank), Some(alpha)) if alpha / rank as f64 == s => alpha,
        (Some(rank), _) => s * rank as f64,
    })
}

/// The type `alpha` is written in: exact for all that programs compute in f32.
pub(super) fn alpha_type(module: &Module) -> FloatType {
    let wide = module.tensors().iter().any(|(key, tensor)| tensor.float_type(key).is_ok_and(|t| t == FloatType::F64));
    if wide { FloatType::F64 } else { FloatType::F32 }
}
