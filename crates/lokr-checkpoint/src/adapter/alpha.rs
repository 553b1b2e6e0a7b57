//! What a stored `alpha` means, and which to store: the factor `s` before the product.
//!
//! A file that stores `alpha` means `s = alpha / r`, where `r` is the rank of its low-rank factors. With both factors
//! of a LoKr full there is no rank to divide by, `alpha` is a placeholder and `s = 1`. PEFT stores `alpha` and `r` in
//! its configuration and divides in both cases.

use std::collections::{BTreeMap, BTreeSet};

use super::options::ZeroAlpha;
use super::stated::{Stated, is_full_marker};
use super::warning::Warning;
use crate::error::{ModuleError, Result};
use crate::file::FloatType;
use crate::module::{Change, Module, OtherModule};

impl Stated {
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
                } else if !self.explains(alpha) {
                    let (network_dim, other_scale) = (self.network_dim, self.scale_of_full_factors(alpha));
                    warnings.push(Warning::AlphaIgnored { module: name(), alpha, network_dim, other_scale });
                }
                Ok(1.0)
            }
            (None, Some(rank)) => {
                let other_scale = self.scale_without_alpha(rank);
                warnings.push(Warning::AlphaAbsent { module: name(), other_scale });
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

    /// The `alpha` and the scale of another algorithm's factors of rank `rank`.
    ///
    /// Without an `alpha` of its own a LoRA has that of the header, where its program writes it there, and else scale
    /// 1, as all readers have it.
    pub(super) fn scale_of_other(
        &self,
        module: &str,
        change: &Change,
        alpha: Option<f64>,
        rank: usize,
        zero_alpha: ZeroAlpha,
        warnings: &mut Vec<Warning>,
    ) -> Result<(Option<f64>, f64), ModuleError> {
        if alpha.is_none() {
            if let Some((alpha, scale)) = self.lora_scale(module, rank) {
                return Ok((Some(alpha), scale));
            }
            if change.goes_without_alpha() && self.scale_without_alpha(rank).is_none_or(|scale| scale == 1.0) {
                return Ok((None, 1.0));
            }
        }
        Ok((alpha, self.scale(module, alpha, Some(rank), zero_alpha, warnings)?))
    }
}

/// What to say of low-rank factors of different ranks under one `alpha`: the file's rule gives each its own scale, but
/// trainers that cut a rank down to a layer's size divide by the rank that was asked for. Where the header does not
/// state one, an `alpha` is taken for that of a setting only if all modules have it.
pub(super) fn different_ranks<'a>(modules: impl Iterator<Item = &'a Module>, stated: &Stated) -> Vec<Warning> {
    let mut by_alpha: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
    for module in modules {
        if let (Some(alpha), Some(rank)) = (module.alpha().filter(|alpha| *alpha > 0.0), module.rank()) {
            by_alpha.entry(alpha.to_bits()).or_default().insert(rank);
        }
    }
    let is_setting = stated.network_dim.is_some() || by_alpha.len() == 1;
    let warning = |(alpha, ranks): (u64, BTreeSet<usize>)| {
        let (alpha, lowest, highest) = (f64::from_bits(alpha), *ranks.first()?, *ranks.last()?);
        let asked_for = stated.network_dim.filter(|dim| !is_full_marker(*dim));
        // Of one rank, only an alpha that is as it was set says that the rank is not.
        let divisor = match asked_for {
            Some(dim) if lowest < highest || stated.network_alpha == Some(alpha) => dim,
            _ => highest as f64,
        };
        let is_usual = |rank: &usize| *rank as f64 == divisor || stated.conv_dim == Some(*rank as f64);
        let other_scale = alpha / divisor;
        (!ranks.iter().all(is_usual)).then_some(Warning::RanksDiffer { alpha, ranks: (lowest, highest), other_scale })
    };
    by_alpha.into_iter().filter(|_| is_setting).filter_map(warning).collect()
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

/// The same for another algorithm: nothing for differences, and for factors of scale 1 in names that go without.
pub(super) fn stored_alpha_of(module: &OtherModule) -> Option<f64> {
    let rank = module.rank()? as f64;
    let is_usual = module.alpha().is_some() || module.scale() != 1.0 || !module.change().goes_without_alpha();
    let stored = module.alpha().filter(|alpha| alpha / rank == module.scale());
    is_usual.then(|| stored.unwrap_or(module.scale() * rank))
}

/// The type `alpha` is written in: exact for all that programs compute in f32.
pub(super) fn alpha_type(module: &Module) -> FloatType {
    let wide = module.tensors().iter().any(|(key, tensor)| tensor.float_type(key).is_ok_and(|t| t == FloatType::F64));
    if wide { FloatType::F64 } else { FloatType::F32 }
}
