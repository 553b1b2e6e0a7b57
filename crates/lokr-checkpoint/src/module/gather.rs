//! The tensors of one module, gathered by suffix and put together.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::difference::Difference;
use super::factor::{W1, W2};
use super::loha::LohaFactors;
use super::lora::LoraFactors;
use super::other::{Change, Parameter};
use super::suffix::{ALPHA, DIFFERENCES, DORA_SCALE, FACTORS, HADAMARD, LORA, LORA_MID, LoraKeys, MAGNITUDES};
use crate::error::{CheckpointError, ModuleError, NameError, Result};
use crate::file::Tensor;

/// Tensors of one module, each with the key it came from.
#[derive(Debug, Default)]
pub(crate) struct ModuleTensors {
    tensors: BTreeMap<&'static str, (String, Tensor)>,
}

/// What the tensors make up.
pub(crate) struct StoredModule {
    /// LoKr's factors.
    pub(crate) lokr: Option<(W1, W2)>,
    /// Changes by other algorithms, one of each parameter, and of the weight none beside LoKr's.
    pub(crate) others: Vec<StoredChange>,
    /// Of the factors, whichever they are.
    pub(crate) alpha: Option<f64>,
    pub(crate) dora_scale: Option<Tensor>,
}

impl StoredModule {
    /// The rank of the factors of another algorithm, by which `alpha` is divided.
    pub(crate) fn rank(&self) -> Option<usize> {
        self.others.iter().find_map(|other| match &other.change {
            Change::Lora(lora) => Some(lora.rank()),
            Change::Loha(loha) => Some(loha.rank()),
            Change::Difference(_) => None,
        })
    }
}

/// A change of one parameter.
pub(crate) struct StoredChange {
    pub(crate) parameter: Parameter,
    pub(crate) change: Change,
    /// Whether `alpha` scales it.
    pub(crate) is_scaled: bool,
}

impl StoredChange {
    /// The key, or the algorithm, for errors.
    fn name(&self) -> &'static str {
        match &self.change {
            Change::Lora(_) => "LoRA",
            Change::Loha(_) => "LoHa",
            Change::Difference(difference) => difference.key(),
        }
    }
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

    /// Whether anything is here that changes a parameter, not only `alpha` or `dora_scale`.
    pub(crate) fn has_changes(&self) -> bool {
        self.tensors.keys().any(|suffix| *suffix != ALPHA && *suffix != DORA_SCALE && !MAGNITUDES.contains(suffix))
    }

    pub(crate) fn has_alpha(&self) -> bool {
        self.tensors.contains_key(ALPHA)
    }

    /// The factors of each algorithm, and the differences.
    pub(crate) fn put_together(mut self, module: &str) -> Result<StoredModule> {
        let others = self.take_others(module)?;
        let has_factors = FACTORS.iter().any(|suffix| self.tensors.contains_key(suffix));
        let lokr = if has_factors || others.is_empty() { Some(self.take_lokr(module)?) } else { None };
        let of_lokr = lokr.is_some().then_some(("LoKr", Parameter::Weight));
        let mut changed = of_lokr.into_iter().chain(others.iter().map(|other| (other.name(), other.parameter)));
        let mut seen: BTreeMap<Parameter, &'static str> = BTreeMap::new();
        if let Some((second, parameter, first)) =
            changed.find_map(|(name, parameter)| seen.insert(parameter, name).map(|first| (name, parameter, first)))
        {
            let parameter = if parameter == Parameter::Weight { "weight" } else { "bias" };
            return Err(ModuleError::TwoChanges { module: module.to_owned(), first, second, parameter }.into());
        }
        let alpha = self.take(ALPHA).map(|tensor| number(module, &tensor)).transpose()?;
        let axes = others.iter().find_map(|other| match &other.change {
            Change::Lora(lora) => Some(lora.tensors()[0].1.shape().len()),
            _ => None,
        });
        Ok(StoredModule { lokr, others, alpha, dora_scale: self.take_norms(module, axes.unwrap_or(2))? })
    }

    fn take_lokr(&mut self, module: &str) -> Result<(W1, W2)> {
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
        Ok((w1, w2))
    }

    fn take_others(&mut self, module: &str) -> Result<Vec<StoredChange>> {
        let mut changes = Vec::new();
        let mut add = |parameter, change, is_scaled| changes.push(StoredChange { parameter, change, is_scaled });
        for keys in LORA {
            let bias = self.take(keys.bias);
            let Some(lora) = self.take_lora(module, keys)? else {
                if bias.is_some() {
                    return Err(half(module, keys.bias, keys.up).into());
                }
                continue;
            };
            add(Parameter::Weight, Change::Lora(lora), true);
            if let Some(bias) = bias {
                let difference = Difference::new(module, (keys.bias, bias))?;
                add(Parameter::Bias, Change::Difference(difference), true);
            }
        }
        if let Some(loha) = self.take_loha(module)? {
            add(Parameter::Weight, Change::Loha(loha), true);
        }
        for key in DIFFERENCES {
            if let Some(tensor) = self.take(key) {
                let difference = Difference::new(module, (key, tensor))?;
                add(Difference::parameter(key), Change::Difference(difference), false);
            }
        }
        Ok(changes)
    }

    /// A LoRA in one spelling.
    fn take_lora(&mut self, module: &str, keys: LoraKeys) -> Result<Option<LoraFactors>> {
        let (up, down) = (self.take(keys.up), self.take(keys.down));
        let mid = if keys == LORA[0] { self.take(LORA_MID) } else { None };
        match (up, down, mid) {
            (None, None, None) => Ok(None),
            (Some(up), Some(down), mid) => {
                let mid = mid.map(|mid| (LORA_MID, mid));
                Ok(Some(LoraFactors::new(module, (keys.up, up), (keys.down, down), mid)?))
            }
            (Some(_), None, _) => Err(half(module, keys.up, keys.down).into()),
            (None, Some(_), _) => Err(half(module, keys.down, keys.up).into()),
            (None, None, Some(_)) => Err(half(module, LORA_MID, keys.up).into()),
        }
    }

    fn take_loha(&mut self, module: &str) -> Result<Option<LohaFactors>> {
        let tensors = HADAMARD.map(|key| self.take(key));
        let Some(present) = tensors.iter().position(Option::is_some) else { return Ok(None) };
        let lacking = |place: usize| Err(half(module, HADAMARD[present], HADAMARD[place]).into());
        match tensors {
            [Some(a1), Some(b1), Some(a2), Some(b2), t1, t2] => {
                let cores = match (t1, t2) {
                    (None, None) => None,
                    (Some(t1), Some(t2)) => Some([t1, t2]),
                    (Some(_), None) => return Err(half(module, HADAMARD[4], HADAMARD[5]).into()),
                    (None, Some(_)) => return Err(half(module, HADAMARD[5], HADAMARD[4]).into()),
                };
                Ok(Some(LohaFactors::new(module, [(a1, b1), (a2, b2)], cores)?))
            }
            [None, ..] => lacking(0),
            [_, None, ..] => lacking(1),
            [_, _, None, ..] => lacking(2),
            [_, _, _, None, ..] => lacking(3),
        }
    }

    /// The norms of DoRA in whichever spelling, with so many axes where they are norms over outputs by their name.
    fn take_norms(&mut self, module: &str, axes: usize) -> Result<Option<Tensor>> {
        let mut norms = self.tensors.remove(DORA_SCALE);
        for key in MAGNITUDES {
            let Some((key, tensor)) = self.tensors.remove(key) else { continue };
            if let Some((first, _)) = norms {
                let target = format!("{module}.{DORA_SCALE}");
                return Err(NameError::DuplicateTarget { first, second: key, target }.into());
            }
            // Over outputs, whatever the axes: those of PEFT's convolutions are `(1, out, 1, 1)`.
            let mut column = vec![1; axes];
            column[0] = tensor.element_count();
            norms = Some((key, tensor.reshaped(column)));
        }
        Ok(norms.map(|(_, tensor)| tensor))
    }

    fn take(&mut self, suffix: &str) -> Option<Tensor> {
        self.tensors.remove(suffix).map(|(_, tensor)| tensor)
    }

    /// The full form or both halves, where `core` needs the halves.
    fn take_pair(&mut self, module: &str, keys: [&'static str; 3], core: Option<&Tensor>) -> Result<Pair, ModuleError> {
        let [full_key, a_key, b_key] = keys;
        let (full, a, b) = (self.take(full_key), self.take(a_key), self.take(b_key));
        let half = |present, missing| Err(half(module, present, missing));
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

fn half(module: &str, present: &'static str, missing: &'static str) -> ModuleError {
    ModuleError::HalfMissing { module: module.to_owned(), present, missing }
}

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
