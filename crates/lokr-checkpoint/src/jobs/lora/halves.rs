//! The two matrices of a module's LoRA: those of [`LoKrUpdate::lora_halves`], which has the formulas.

use lokr_layers::{LoKrUpdate, LoraHalves};

use super::options::LoraRank;
use crate::error::{JobError, ModuleError, Result};
use crate::module::{Module, ScaleRule};

/// The halves of the sum of the modules' changes; most often there is one module.
pub(super) fn halves(modules: &[&Module], rank: LoraRank, scale: ScaleRule) -> Result<LoraHalves<f64>> {
    let (mut terms, mut expected) = (Vec::new(), None);
    for module in modules {
        if module.dora_scale().is_some() {
            return Err(JobError::Dora { module: module.name().to_owned(), operation: "converted to LoRA" }.into());
        }
        let (kron, s) = (module.kron::<f64>()?, module.scale_by(scale)?);
        let (expected, found) = (*expected.get_or_insert(kron.dim()), kron.dim());
        if found != expected {
            let (w1, w2, hint) = (module.w1().dim(), module.w2().dim(), "; the other terms of its sum build it");
            let module = module.name().to_owned();
            return Err(ModuleError::WeightShape { module, w1, w2, expected, found, hint }.into());
        }
        terms.push((s, kron));
    }
    let rank = match rank {
        LoraRank::Exact => usize::MAX,
        LoraRank::Best(rank) => rank,
    };
    Ok(LoKrUpdate::from_weighted_terms(terms)?.lora_halves(rank)?)
}
