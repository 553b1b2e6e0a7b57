//! JSON objects whose keys are unique.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::error::{FileError, Result};

/// The fields of a JSON object in their order, duplicates included: what a map would hide.
pub(crate) struct Fields<V>(pub(crate) Vec<(String, V)>);

impl<V> Fields<V> {
    /// As a map.
    ///
    /// # Errors
    /// [`FileError::DuplicateKey`].
    pub(crate) fn unique(self) -> Result<BTreeMap<String, V>, FileError> {
        let mut map = BTreeMap::new();
        for (key, value) in self.0 {
            if map.contains_key(&key) {
                return Err(FileError::DuplicateKey { key });
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Fields<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct FieldsVisitor<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for FieldsVisitor<V> {
            type Value = Fields<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_is_named() {
        let fields: Fields<u8> = serde_json::from_str(r#"{"a": 1, "b": 2, "a": 3}"#).unwrap();
        assert!(matches!(fields.unique(), Err(FileError::DuplicateKey { key }) if key == "a"));
        let fields: Fields<u8> = serde_json::from_str(r#"{"b": 2, "a": 1}"#).unwrap();
        assert_eq!(fields.unique().unwrap(), BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    }
}
