//! What becomes of weights that are stored in eight bits a value, and of the tensors that belong to them.

use std::collections::{BTreeMap, BTreeSet};

use safetensors::Dtype;
use serde_json::Value;

use super::options::QuantizedOptions;
use super::plan::Plan;
use crate::error::{InFile, JobError, Result};
use crate::file::{FloatType, TensorFile, TensorSpec};
use crate::model::BaseModel;
use crate::quantized::{Layout, METADATA, marked_path, may_be_codes, names_module};

/// A weight of eight bits that is not only copied.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) layout: Layout,
    /// The type of the floats that it becomes, if it does.
    pub(super) float: Option<FloatType>,
}

/// What becomes of a model's quantised weights.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// Those that are not only copied, by the names of their tensors.
    pub(super) weights: BTreeMap<String, Rewritten>,
    /// Scales that are made anew, and the weight of each.
    pub(super) scales: BTreeMap<String, String>,
    /// Tensors that are left out.
    pub(super) left_out: BTreeSet<String>,
    /// Those that no adapter changes and that become floats.
    pub(super) dequantized: Vec<String>,
    /// How many weights of eight bits stay as they are.
    pub(super) still_quantized: usize,
    /// Whether none is left.
    pub(super) none_left: bool,
}

impl Outputs {
    pub(super) fn new(base: &BaseModel, plan: &Plan<'_>, options: &QuantizedOptions<'_>) -> Result<Self> {
        check(options)?;
        let mut outputs = Self::default();
        let adapted: BTreeSet<_> = plan.applied.keys().map(|weight| base.stored_in(weight)).collect();
        let companions = base.companions();
        let is_weight = |name: &&str| {
            let dtype = base.info(name).map(|(dtype, _)| dtype);
            dtype.is_some_and(may_be_codes)
                && !companions.contains_key(*name)
                && !base.markers().iter().any(|m| m == name)
        };
        for name in base.names().filter(is_weight) {
            let is_adapted = adapted.contains(name);
            let float = options.out_dtype.filter(|_| is_adapted || base.is_quantized_by_config());
            if !is_adapted && float.is_none() {
                outputs.still_quantized += usize::from(is_fp8(base, name) || companions.values().any(|of| *of == name));
                continue;
            }
            if !is_adapted && base.encoding(name)?.is_none() {
                continue;
            }
            let layout = base.layout(name)?;
            match (float, &layout.scales) {
                (Some(_), _) => outputs.left_out.extend(layout.companions.iter().cloned()),
                (None, Some(scales)) => drop(outputs.scales.insert(scales.name.clone(), name.to_owned())),
                (None, None) => {}
            }
            if !is_adapted {
                outputs.dequantized.push(name.to_owned());
            }
            outputs.weights.insert(name.to_owned(), Rewritten { layout, float });
        }
        outputs.leave_out_markers(base);
        let kept = outputs.weights.values().filter(|weight| weight.float.is_none()).count();
        outputs.none_left = outputs.still_quantized + kept == 0;
        Ok(outputs)
    }

    /// Marks of parts of the model in which no weight is scaled any more.
    fn leave_out_markers(&mut self, base: &BaseModel) {
        for marker in base.markers() {
            let path = marked_path(marker);
            let below =
                |name: &&str| name.starts_with(path) && is_fp8(base, name) && !base.markers().iter().any(|m| m == name);
            let mut weights = base.names().filter(below).peekable();
            let is_float = |name| self.weights.get(name).is_some_and(|weight| weight.float.is_some());
            if weights.peek().is_some() && weights.all(is_float) {
                self.left_out.insert(marker.clone());
            }
        }
    }

    /// Whether any weight becomes floats.
    pub(super) fn makes_floats(&self) -> bool {
        self.weights.values().any(|weight| weight.float.is_some())
    }

    /// What is written for a tensor of the base, if anything.
    pub(super) fn spec(&self, file: &TensorFile, name: &str) -> Option<TensorSpec> {
        let (dtype, shape) = file.info(name).filter(|_| !self.left_out.contains(name))?;
        let dtype = self.weights.get(name).and_then(|weight| weight.float).map_or(dtype, FloatType::dtype);
        Some(TensorSpec { name: name.to_owned(), dtype, shape: shape.to_vec() })
    }

    /// A header's free texts, without the layers that are no longer quantised.
    pub(super) fn metadata(&self, file: &TensorFile) -> BTreeMap<String, String> {
        let mut metadata = file.metadata().clone();
        let floats: Vec<_> = self.weights.iter().filter(|(_, weight)| weight.float.is_some()).collect();
        let list = metadata.get(METADATA).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let Some(mut list) = list.filter(|_| !floats.is_empty()) else { return metadata };
        let Some(layers) = list["layers"].as_object_mut() else { return metadata };
        layers.retain(|layer, _| {
            !floats.iter().any(|(name, _)| name.strip_suffix(".weight").is_some_and(|m| names_module(layer, m)))
        });
        match layers.is_empty() {
            true => drop(metadata.remove(METADATA)),
            false => drop(metadata.insert(METADATA.to_owned(), list.to_string())),
        }
        metadata
    }
}

fn is_fp8(base: &BaseModel, name: &str) -> bool {
    matches!(base.info(name), Some((Dtype::F8_E4M3 | Dtype::F8_E5M2, _)))
}

fn check(options: &QuantizedOptions<'_>) -> Result<(), JobError> {
    if let Some(dtype) = options.out_dtype.filter(|dtype| dtype.fp8().is_some()) {
        let expected = "f16, bf16, f32 or f64; without it, weights of eight bits stay what they are";
        return Err(JobError::Option { option: "out_dtype", expected, found: dtype.dtype().to_string() });
    }
    if !(0.0..=1.0).contains(&options.min_kept) {
        let expected = "a share from 0 to 1";
        return Err(JobError::Option { option: "min_kept", expected, found: options.min_kept.to_string() });
    }
    Ok(())
}

/// The weights of the model before it was quantised, where there is one: each must be there, of the same shape.
pub(super) fn check_original(base: &BaseModel, original: &BaseModel, outputs: &Outputs) -> Result<()> {
    for name in outputs.weights.keys() {
        let expected = base.info(name).map(|(_, shape)| shape).unwrap_or_default();
        let found = original.info(name).map(|(_, shape)| shape.to_vec());
        if found.as_deref() != Some(expected) {
            let error = JobError::Original { key: name.clone(), expected: expected.to_vec(), found };
            return Err(error.in_file(original.path()));
        }
        let weight = original.layout(name)?;
        if weight.encoding.unquantized().is_none() {
            return Err(JobError::OriginalQuantized { key: name.clone() }.in_file(original.path()));
        }
    }
    Ok(())
}
