//! One module of the adapter, as it is reported.

use lokr_checkpoint::{Adapter, BaseModel, Module, Resolution, Tensor};
use serde::Serialize;

use super::size::Size;
use crate::error::CliError;

#[derive(Serialize)]
pub(super) struct ModuleReport {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) dora: bool,
    pub(super) w1: Vec<Vec<usize>>,
    pub(super) w2: Vec<Vec<usize>>,
    /// The weight that the factors build, kernel axes flattened.
    pub(super) weight: (usize, usize),
    pub(super) rank: Option<usize>,
    /// The rank of the change is at most this.
    pub(super) rank_bound: usize,
    pub(super) alpha: Option<f64>,
    pub(super) scale: Option<f64>,
    pub(super) parameters: usize,
    pub(super) bytes: usize,
    pub(super) dtype: String,
    /// Norms of `s·(w1 ⊗ w2)`, where it is a Kronecker product and `s` is known.
    pub(super) frobenius_norm: Option<f64>,
    pub(super) spectral_norm: Option<f64>,
    /// With a base: its weight, and the Frobenius norm relative to that weight's.
    pub(super) target: Option<String>,
    pub(super) relative_norm: Option<f64>,
}

impl ModuleReport {
    pub(super) fn new(
        name: &str,
        module: &Module,
        adapter: &Adapter,
        base: Option<&(BaseModel, Resolution)>,
    ) -> Result<Self, CliError> {
        let ((m, n), (p, columns)) = (module.w1().dim(), module.w2().dim());
        let (mut frobenius_norm, mut spectral_norm) = (None, None);
        if let (Some(scale), true) = (module.scale(), module.is_kronecker()) {
            let kron = module.kron::<f64>()?;
            frobenius_norm = Some(scale.abs() * kron.frobenius_norm());
            // Values that are not finite, where allowed, have no singular values.
            spectral_norm = kron.spectral_norm().ok().map(|norm| scale.abs() * norm);
        }
        let target = base.and_then(|(base, resolution)| Some((base, resolution.target(name)?)));
        let relative_norm = match (target, frobenius_norm) {
            (Some((base, target)), Some(norm)) => Some(norm / base.frobenius_norm(target)?),
            _ => None,
        };
        let tensors = module.tensors();
        let mut dtypes: Vec<_> = tensors.iter().map(|(_, tensor)| tensor.dtype().to_string()).collect();
        dtypes.dedup();
        let weight_shape = target.and_then(|(base, target)| base.info(target)).map(|(_, shape)| shape);
        Ok(Self {
            name: name.to_owned(),
            kind: kind(module, weight_shape),
            dora: module.dora_scale().is_some(),
            w1: shapes(&module.w1().tensors()),
            w2: shapes(&module.w2().tensors()),
            weight: (m * p, n * columns),
            rank: module.rank(),
            rank_bound: module.rank_bound(),
            alpha: module.alpha().or_else(|| adapter.config()?.alpha(name)),
            scale: module.scale(),
            parameters: module.parameter_count(),
            bytes: tensors.iter().map(|(_, tensor)| tensor.bytes().len()).sum(),
            dtype: dtypes.join("+"),
            frobenius_norm,
            spectral_norm,
            target: target.map(|(_, target)| target.to_owned()),
            relative_norm,
        })
    }

    /// A matrix of that many values, in this module's type.
    pub(super) fn size(&self, parameters: usize) -> Size {
        let each = self.bytes as u64 / self.parameters.max(1) as u64;
        Size { parameters: parameters as u64, bytes: parameters as u64 * each }
    }

    /// A LoRA of that rank, in this module's type.
    pub(super) fn lora(&self, rank: usize) -> Size {
        self.size(rank * (self.weight.0 + self.weight.1))
    }
}

/// The layer's kind, from the weight where there is one. A flat low-rank factor may be that of a convolution too.
fn kind(module: &Module, weight: Option<&[usize]>) -> &'static str {
    let kernel_axes = weight.map(|shape| shape.len().saturating_sub(2)).or(module.w2().kernel().map(<[usize]>::len));
    match kernel_axes {
        Some(0) => "linear",
        Some(1) => "conv1d",
        Some(2) => "conv2d",
        Some(_) => "conv3d",
        None => "linear?",
    }
}

fn shapes(tensors: &[(&'static str, &Tensor)]) -> Vec<Vec<usize>> {
    tensors.iter().map(|(_, tensor)| tensor.shape().to_vec()).collect()
}
