//! The header of a safetensors file, checked whole before any tensor is shown.
//!
//! Eight bytes with the length of the header, little-endian; the header, a JSON object of tensors with their byte
//! ranges; the data, which the ranges cover without gap or overlap. The checks are those of the `safetensors` crate,
//! made here because its errors do not say which tensor is wrong, and because it takes the last of two equal keys.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::de::{Deserializer, IntoDeserializer, MapAccess, Visitor};

use super::json::Fields;
use super::shape::byte_size;
use crate::error::{FileError, Result};

/// The `safetensors` crate's cap.
pub(super) const HEADER_LIMIT: u64 = 100_000_000;
pub(super) const METADATA: &str = "__metadata__";

/// Where a tensor lies, and what it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Within the file.
    pub(super) bytes: Range<usize>,
}

/// A checked header.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) tensors: BTreeMap<String, Entry>,
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// The fields of a header, not checked yet.
#[derive(Default)]
struct RawHeader {
    metadata: Vec<Fields<String>>,
    tensors: Vec<(String, RawEntry)>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<RawHeader, A::Error> {
                let mut header = RawHeader::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == METADATA {
                        // `null` is what some writers put for none.
                        header.metadata.push(map.next_value::<Option<_>>()?.unwrap_or(Fields(Vec::new())));
                    } else {
                        header.tensors.push((key, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}

/// Reads and checks the header of a whole file.
pub(super) fn parse(file: &[u8]) -> Result<Header, FileError> {
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(FileError::NoHeader { length: file.len() });
    };
    let length = u64::from_le_bytes(*length);
    let limit = HEADER_LIMIT.min(rest.len() as u64);
    if length > limit {
        return Err(FileError::HeaderLength { found: length, limit });
    }
    let (header, data) = rest.split_at(length as usize);
    let mut raw: RawHeader = serde_json::from_slice(header)?;
    if raw.metadata.len() > 1 {
        return Err(FileError::DuplicateKey { key: METADATA.to_owned() });
    }
    let metadata = raw.metadata.pop().map_or_else(|| Ok(BTreeMap::new()), Fields::unique)?;
    Ok(Header { tensors: check(raw.tensors, file.len() - data.len(), data.len())?, metadata })
}

fn check(
    mut raw: Vec<(String, RawEntry)>,
    data_start: usize,
    data_length: usize,
) -> Result<BTreeMap<String, Entry>, FileError> {
    raw.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut tensors = BTreeMap::new();
    let mut expected = 0;
    for (key, RawEntry { dtype, shape, data_offsets: (start, end) }) in raw {
        // First the name: two tensors of one name often share their range too.
        if tensors.contains_key(&key) {
            return Err(FileError::DuplicateKey { key });
        }
        let name: StrDeserializer<'_, ValueError> = dtype.as_str().into_deserializer();
        let Ok(dtype) = Dtype::deserialize(name) else {
            return Err(FileError::UnknownDtype { key, dtype });
        };
        let Some(size) = byte_size(&shape, dtype) else {
            return Err(FileError::ShapeOverflow { key, shape });
        };
        if end < start || start != expected {
            return Err(FileError::TensorRange { key, expected, start, end });
        }
        if end - start != size {
            return Err(FileError::TensorSize { key, shape, dtype, expected: size, found: end - start });
        }
        expected = end;
        // Beyond the file only until the last check below.
        let bytes = data_start.saturating_add(start)..data_start.saturating_add(end);
        tensors.insert(key, Entry { dtype, shape, bytes });
    }
    if expected != data_length {
        return Err(FileError::DataLength { expected, found: data_length });
    }
    Ok(tensors)
}
