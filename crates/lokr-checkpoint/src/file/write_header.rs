//! The header of a safetensors file to write.

use std::collections::BTreeMap;

use safetensors::Dtype;
use serde::Serialize;

use super::read_header::{HEADER_LIMIT, METADATA};
use super::shape::byte_size;
use crate::error::{FileError, Result};

/// Name, type and shape of a tensor to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// The name.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The shape, empty for a single number.
    pub shape: Vec<usize>,
}

/// Bytes of a tensor.
pub(super) fn size_of(spec: &TensorSpec) -> Result<usize, FileError> {
    byte_size(&spec.shape, spec.dtype)
        .ok_or_else(|| FileError::ShapeOverflow { key: spec.name.clone(), shape: spec.shape.clone() })
}

#[derive(Serialize)]
struct Entry<'a> {
    dtype: Dtype,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

/// Length and JSON of the header, padded with spaces so that the data start at a multiple of 8. The names in it are
/// those of `specs` without the prefix.
pub(super) fn header(
    prefix: &str,
    specs: &[TensorSpec],
    sizes: &[usize],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, FileError> {
    let names = specs.iter().map(|spec| spec.name.strip_prefix(prefix).unwrap_or(&spec.name));
    let mut names: Vec<_> = names.chain([METADATA]).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(FileError::DuplicateKey { key: pair[0].to_owned() });
    }
    let mut json = vec![0; 8];
    let mut separator = b'{';
    if !metadata.is_empty() {
        push(&mut json, &mut separator, METADATA, metadata)?;
    }
    let mut start = 0usize;
    for (TensorSpec { name, dtype, shape }, size) in specs.iter().zip(sizes) {
        let Some(end) = start.checked_add(*size) else {
            return Err(FileError::ShapeOverflow { key: name.clone(), shape: shape.clone() });
        };
        let name = name.strip_prefix(prefix).unwrap_or(name);
        push(&mut json, &mut separator, name, &Entry { dtype: *dtype, shape, data_offsets: [start, end] })?;
        start = end;
    }
    if separator == b'{' {
        json.push(b'{');
    }
    json.push(b'}');
    json.resize(json.len().next_multiple_of(8), b' ');
    let length = json.len() as u64 - 8;
    if length > HEADER_LIMIT {
        return Err(FileError::HeaderLength { found: length, limit: HEADER_LIMIT });
    }
    json[..8].copy_from_slice(&length.to_le_bytes());
    Ok(json)
}

/// Appends a field to a JSON object.
fn push(json: &mut Vec<u8>, separator: &mut u8, key: &str, value: &impl Serialize) -> Result<(), FileError> {
    json.push(*separator);
    serde_json::to_writer(&mut *json, key)?;
    json.push(b':');
    serde_json::to_writer(&mut *json, value)?;
    *separator = b',';
    Ok(())
}
