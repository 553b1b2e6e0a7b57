//! Arrays as `serde` has them: `{"shape": […], "values": […]}`, the values row by row.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayViewD, IxDyn};
use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

struct Written<'a, T>(ArrayViewD<'a, T>);

struct Values<'a, T>(ArrayViewD<'a, T>);

impl<T: Serialize> Serialize for Values<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

impl<T: Serialize> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Array", 2)?;
        fields.serialize_field("shape", self.0.shape())?;
        fields.serialize_field("values", &Values(self.0.view()))?;
        fields.end()
    }
}

#[derive(Deserialize)]
#[serde(rename = "Array", deny_unknown_fields)]
struct Read<T> {
    shape: Vec<usize>,
    values: Vec<T>,
}

/// Arrays by their names, written.
pub(crate) fn serialize<T: Serialize, S: Serializer>(
    arrays: &BTreeMap<String, ArrayD<T>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(arrays.iter().map(|(name, array)| (name, Written(array.view()))))
}

/// Arrays by their names, read.
pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, ArrayD<T>>, D::Error> {
    let read: BTreeMap<String, Read<T>> = BTreeMap::deserialize(deserializer)?;
    let array = |(name, Read { shape, values }): (String, Read<T>)| {
        let found = values.len();
        let misfit = |_| D::Error::custom(format_args!("{name} has shape {shape:?}, which {found} values do not fill"));
        let array = ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(misfit)?;
        Ok((name.clone(), array))
    };
    read.into_iter().map(array).collect()
}
