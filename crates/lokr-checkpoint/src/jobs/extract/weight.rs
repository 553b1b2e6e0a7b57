//! The nearest LoKr of one weight's difference.

use lokr_core::Scalar;

use super::difference::{difference, frobenius};
use super::options::ExtractOptions;
use super::report::ExtractedModule;
use super::survey::Candidate;
use super::terms::{find, reaches};
use crate::error::{InFile, ModuleError, Result};
use crate::file::flattened;
use crate::model::BaseModel;
use crate::module::{FactorSize, Module, NewModule};

/// The modules of one weight, one per term; `None` when it did not change.
pub(super) fn extract_weight<T: Scalar>(
    base: &BaseModel,
    tuned: &BaseModel,
    candidate: &Candidate,
    options: &ExtractOptions,
) -> Result<Option<(Vec<Module>, ExtractedModule)>> {
    let (difference, norm) = difference::<T>(base, tuned, &candidate.tensors)?;
    let count = difference.iter().filter(|x| !x.is_finite()).count();
    if count > 0 {
        let error = ModuleError::NonFinite { module: candidate.module.clone(), key: "weight", count };
        return Err(error.in_file(tuned.path()));
    }
    let change = frobenius(&difference);
    if change == 0.0 || change <= options.min_change * norm {
        return Ok(None);
    }
    let weight = difference.shape().to_vec();
    let flat = flattened(difference);
    let found = find(&flat, &weight, options)?;

    let dtype = options.dtype.unwrap_or(candidate.dtype);
    let new = NewModule { name: &candidate.module, kernel: &weight[2..], dtype, scale: 1.0 };
    let modules: Vec<Module> = found.terms.iter().map(|(a, b)| new.of(a, b)).collect::<Result<_>>()?;
    let reached = match options.size {
        FactorSize::Energy(share) => reaches(found.energy, share),
        _ => true,
    };
    let line = ExtractedModule {
        w1: modules[0].w1().dim().into(),
        w2: modules[0].w2().dim().into(),
        name: candidate.module.clone(),
        rank: modules[0].rank(),
        terms: modules.len(),
        parameters: modules.iter().map(Module::parameter_count).sum(),
        norm: change,
        relative_change: if norm > 0.0 { change / norm } else { f64::INFINITY },
        energy: found.energy,
        converged: found.converged,
        reached,
        weight,
    };
    Ok(Some((modules, line)))
}
