//! Of which kind a weight is.

use std::ops::Range;

use lokr_core::Scalar;
use ndarray::{ArrayD, IxDyn};
use safetensors::Dtype;
use serde_json::Value;

use super::beside::Beside;
use super::code::Code;
use super::encoding::{Codec, Encoding};
use super::formats;
use super::rotation::GROUPS;
use super::scales::Scales;
use super::stored_scales::StoredScales;
use crate::error::{FileError, Result};
use crate::file::{FloatType, Tensor, product};

/// A weight of a model, or some rows of one, and how its values are stored.
#[derive(Debug, Clone)]
pub(crate) struct Weight {
    pub(crate) tensor: Tensor,
    pub(crate) encoding: Encoding,
}

impl Weight {
    /// Some rows.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Self {
        let row = product(&self.tensor.shape()[1..]);
        Self { encoding: self.encoding.starting_at(rows.start * row), tensor: self.tensor.rows(rows) }
    }

    /// The values.
    pub(crate) fn to_array<T: Scalar>(&self) -> ArrayD<T> {
        let mut array = ArrayD::zeros(IxDyn(self.tensor.shape()));
        if let Some(values) = array.as_slice_mut() {
            self.encoding.decode(0, self.tensor.bytes(), values);
        }
        array
    }

    /// The Frobenius norm, summed in f64, in memory for a few values only.
    pub(crate) fn frobenius_norm(&self) -> f64 {
        let mut block = [0f64; BLOCK];
        let size = self.encoding.size();
        let square = |(number, bytes): (usize, &[u8])| {
            let values = &mut block[..bytes.len() / size];
            self.encoding.decode(number * BLOCK, bytes, values);
            values.iter().map(|x| x * x).sum::<f64>()
        };
        self.tensor.bytes().chunks(BLOCK * size).enumerate().map(square).sum::<f64>().sqrt()
    }
}

/// Elements decoded at a time: whole groups of every rotation.
const BLOCK: usize = 1024;

/// How a weight is stored.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) encoding: Encoding,
    pub(crate) scales: Option<StoredScales>,
    /// The tensors beside it that say how it is stored, or how to compute with it as it is.
    pub(crate) companions: Vec<String>,
}

/// The last part of the name of a tensor that marks a model, or one of its parts, as scaled.
const MARKER: &str = "scaled_fp8";

/// Endings of companions, behind the weight's name and behind its module's.
const BEHIND_WEIGHT: [&str; 4] = ["_scale", "_scale_inv", "_zero_point", "_format"];
const BEHIND_MODULE: [&str; 8] = [
    ".scale_weight",
    ".scale_input",
    ".input_scale",
    ".input_zero_point",
    ".SCB",
    ".comfy_quant",
    ".int8_convrot_groupsize",
    ".activation_scale",
];

/// Whether a tensor only says that others are scaled.
pub(crate) fn is_marker(name: &str) -> bool {
    name.strip_suffix(MARKER).is_some_and(|path| path.is_empty() || path.ends_with('.'))
}

/// The path below which a marker says so.
pub(crate) fn marked_path(marker: &str) -> &str {
    marker.strip_suffix(MARKER).unwrap_or(marker)
}

/// The layout of the tensor `name`, or of what is stored in its place if `stored` is nothing.
///
/// # Errors
/// [`FileError::QuantizedBase`] for layouts that are not read, by their names; [`FileError::ScaleMissing`],
/// [`FileError::ScalesTwice`], [`FileError::ScaleDtype`], [`FileError::ScaleShape`], [`FileError::ScaleValue`].
pub(crate) fn layout(name: &str, stored: Option<(Dtype, &[usize])>, beside: &Beside<'_>) -> Result<Layout> {
    let refuse = |format: String| Err(FileError::QuantizedBase { key: name.to_owned(), format }.into());
    let module = name.strip_suffix(".weight").unwrap_or(name);
    let Some((dtype, shape)) = stored else {
        return refuse(formats::refused(module, beside).unwrap_or("a layout that is not known").to_owned());
    };
    if let Some(float) = FloatType::from_dtype(dtype).filter(|float| float.fp8().is_none()) {
        return Ok(Layout { encoding: Encoding::plain(float), scales: None, companions: Vec::new() });
    }
    if let Some(format) = formats::refused(module, beside) {
        return refuse(format.to_owned());
    }
    let told = beside.layer(module);
    let format = told.as_ref().map(|(_, layer)| layer["format"].as_str().unwrap_or("unknown").to_owned());
    let code = match (dtype, format.as_deref()) {
        (Dtype::F8_E4M3, None | Some("float8_e4m3fn")) | (Dtype::U8, Some("float8_e4m3fn")) => {
            Code::Float(FloatType::E4m3)
        }
        (Dtype::F8_E5M2, None | Some("float8_e5m2")) | (Dtype::U8, Some("float8_e5m2")) => Code::Float(FloatType::E5m2),
        (Dtype::I8, None | Some("int8_tensorwise")) => Code::Int8,
        (dtype, None) => return refuse(dtype.to_string()),
        (dtype, Some(format)) => return refuse(format!("{dtype} in ComfyUI's layout {format}")),
    };
    if beside.number(&format!("{name}_format")).is_some_and(|format| format != 0) {
        return refuse("I8 in tiles (bitsandbytes before 0.45)".to_owned());
    }
    let zero_points = (beside.find)(&format!("{name}_zero_point"));
    if zero_points.is_some_and(|zero_points| zero_points.bytes().iter().any(|&byte| byte != 0)) {
        return refuse(format!("{dtype} with zero points"));
    }

    let mut found = [
        (format!("{module}.scale_weight"), 1.0),
        (format!("{name}_scale"), 1.0),
        (format!("{name}_scale_inv"), 1.0),
        // The largest value of a row.
        (format!("{module}.SCB"), Code::Int8.largest()),
    ]
    .into_iter()
    .filter_map(|(name, unit)| (beside.find)(&name).map(|tensor| (name, tensor, unit)));
    let scales = match (found.next(), found.next()) {
        (Some((first, ..)), Some((second, ..))) => {
            return Err(FileError::ScalesTwice { key: name.to_owned(), first, second }.into());
        }
        // Exponents of two for each 32 columns, in an order of their own.
        (Some((_, tensor, _)), None) if tensor.dtype() == Dtype::U8 => return refuse("MXFP8".to_owned()),
        (Some((scales, tensor, unit)), None) => Some(StoredScales::read(scales, &tensor, unit, shape, beside)?),
        (None, _) => match told.as_ref().map(|(by, _)| by.clone()).or_else(|| beside.claims_scale(name, shape)) {
            Some(told_by) => {
                let expected =
                    if format.is_some() { "weight_scale" } else { "scale_weight, weight_scale or weight_scale_inv" };
                return Err(FileError::ScaleMissing { key: name.to_owned(), dtype, expected, told_by }.into());
            }
            None if code == Code::Int8 => return refuse(format!("{dtype} without a scale")),
            None => None,
        },
    };
    let rotation = match group_size(module, told.as_ref().map(|(_, layer)| layer), beside) {
        Some(group) if shape.len() != 2 || shape[1] % group != 0 || !GROUPS.contains(&group) => {
            return refuse(format!("{dtype} rotated in groups of {group} columns"));
        }
        group => group,
    };
    let (stored_scales, scales): (_, Option<Scales>) = scales.unzip();
    let companions = possible_companions(name).filter(|name| beside.has(name)).collect();
    Ok(Layout { encoding: Encoding::new(code, scales, rotation), scales: stored_scales, companions })
}

/// The names of tensors that would say how a weight is stored.
pub(crate) fn possible_companions(name: &str) -> impl Iterator<Item = String> {
    let module = name.strip_suffix(".weight").unwrap_or(name);
    let behind_weight = BEHIND_WEIGHT.iter().map(move |ending| format!("{name}{ending}"));
    behind_weight.chain(BEHIND_MODULE.iter().map(move |ending| format!("{module}{ending}")))
}

/// Whether values of that type can be codes.
pub(crate) fn may_be_codes(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F8_E4M3 | Dtype::F8_E5M2 | Dtype::I8 | Dtype::U8)
}

/// The groups of columns that `ComfyUI`'s `convrot` has rotated, as it says so itself or musubi-tuner's number
/// beside the weight does.
fn group_size(module: &str, layer: Option<&Value>, beside: &Beside<'_>) -> Option<usize> {
    const DEFAULT: u64 = 256;
    let field = |name: &str| layer.and_then(|layer| layer.get(name).or_else(|| layer.get("params")?.get(name)));
    if field("convrot").and_then(Value::as_bool) == Some(true) {
        return Some(field("convrot_groupsize").and_then(Value::as_u64).unwrap_or(DEFAULT) as usize);
    }
    let number = (beside.find)(&format!("{module}.int8_convrot_groupsize"))?;
    let bytes = number.bytes().first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes) as usize)
}
