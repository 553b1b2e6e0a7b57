//! The tensors of one module, gathered by suffix and put together.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::factor::{W1, W2};
use super::suffix::{ALPHA, DORA_SCALE, FACTORS};
use crate::error::{CheckpointError, ModuleError, NameError, Result};
use crate::file::Tensor;

/// Tensors of one module, each with the key it came from.
#[derive(Debug, Default)]
pub(crate) struct ModuleTensors {
    tensors: BTreeMap<&'static str, (String, Tensor)>,
}

/// What the tensors make up.
pub(crate) struct StoredModule {
    pub(crate) w1: W1,
    pub(crate) w2: W2,
    pub(crate) alpha: Option<f64>,
    pub(crate) dora_scale: Option<Tensor>,
}

impl ModuleTensors {
    /// Adds a tensor, unless another key means the same one.
    pub(crate) fn insert(
        &mut self,
        module: &str,
        suffix: &'static str,
        key: String,
        tensor: Tensor,
    ) -> Result<(), NameError> {
        if let Some((first, _)) = self.tensors.get(suffix) {
            let target = format!("{module}.{suffix}");
            return Err(NameError::DuplicateTarget { first: first.clone(), second: key, target });
        }
        self.tensors.insert(suffix, (key, tensor));
        Ok(())
    }

    /// Whether any factor is here, not only `alpha` or `dora_scale`.
    pub(crate) fn has_factors(&self) -> bool {
        FACTORS.iter().any(|suffix| self.tensors.contains_key(suffix))
    }

    /// The factors, each in exactly one form.
    pub(crate) fn put_together(mut self, module: &str) -> Result<StoredModule> {
        let w1 = match self.take_pair(module, ["lokr_w1", "lokr_w1_a", "lokr_w1_b"], None)? {
            (Some(full), _) => W1::Full(full),
            (None, Some((a, b))) => W1::LowRank { a, b },
            (None, None) => return Err(missing(module, "lokr_w1")),
        };
        let core = self.take("lokr_t2");
        let w2 = match (self.take_pair(module, ["lokr_w2", "lokr_w2_a", "lokr_w2_b"], core.as_ref())?, core) {
            ((Some(full), _), _) => W2::Full(full),
            ((None, Some((a, b))), None) => W2::LowRank { a, b },
            ((None, Some((a, b))), Some(core)) => W2::Tucker { core, a, b },
            ((None, None), _) => return Err(missing(module, "lokr_w2")),
        };
        let alpha = self.take(ALPHA).map(|tensor| number(module, &tensor)).transpose()?;
        Ok(StoredModule { w1, w2, alpha, dora_scale: self.take(DORA_SCALE) })
    }

    fn take(&mut self, suffix: &str) -> Option<Tensor> {
        self.tensors.remove(suffix).map(|(_, tensor)| tensor)
    }

    /// The full form or both halves, where `core` needs the halves.
    fn take_pair(&mut self, module: &str, keys: [&'static str; 3], core: Option<&Tensor>) -> Result<Pair, ModuleError> {
        let [full_key, a_key, b_key] = keys;
        let (full, a, b) = (self.take(full_key), self.take(a_key), self.take(b_key));
        let half = |present, missing| Err(ModuleError::HalfMissing { module: module.to_owned(), present, missing });
        if full.is_some() {
            let other = if a.is_some() {
                a_key
            } else if b.is_some() {
                b_key
            } else if core.is_some() {
                "lokr_t2"
            } else {
                return Ok((full, None));
            };
            return Err(ModuleError::FactorTwice { module: module.to_owned(), factor: full_key, half: other });
        }
        match (a, b, core) {
            (Some(a), Some(b), _) => Ok((None, Some((a, b)))),
            (Some(_), None, _) => half(a_key, b_key),
            (None, Some(_), _) => half(b_key, a_key),
            (None, None, Some(_)) => half("lokr_t2", a_key),
            (None, None, None) => Ok((None, None)),
        }
    }
}

type Pair = (Option<Tensor>, Option<(Tensor, Tensor)>);

fn missing(module: &str, factor: &'static str) -> CheckpointError {
    ModuleError::FactorMissing { module: module.to_owned(), factor }.into()
}

/// The one number of an `alpha` tensor, of any shape with one element. Some trainers store it as an integer.
fn number(module: &str, tensor: &Tensor) -> Result<f64> {
    if tensor.element_count() != 1 {
        return Err(ModuleError::Axes {
            module: module.to_owned(),
            key: ALPHA,
            expected: "one element",
            found: tensor.shape().to_vec(),
        }
        .into());
    }
    match (tensor.dtype(), tensor.bytes()) {
        (Dtype::I32, &[a, b, c, d]) => Ok(i32::from_le_bytes([a, b, c, d]).into()),
        (Dtype::I64, &[a, b, c, d, e, f, g, h]) => Ok(i64::from_le_bytes([a, b, c, d, e, f, g, h]) as f64),
        _ => Ok(tensor.to_array::<f64>(&format!("{module}.{ALPHA}"))?.sum()),
    }
}
