//! The Kronecker sum read and written by `serde`, as its factors: `{"a": …, "b": …}`, each as a [`Factor`] is.

use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::kron_sum::KronSum;
use crate::operator::Factor;
use crate::scalar::Scalar;

/// The factors, `{"a": …, "b": …}`.
///
/// # Examples
/// ```standalone_crate
/// # use lokr_core::KronSum;
/// # use ndarray::array;
/// let sum = KronSum::new(array![[1.0, 2.0], [3.0, 4.0]], array![[10.0]])?;
/// let json = serde_json::to_string(&sum)?;
/// assert_eq!(serde_json::from_str::<KronSum<'static, f64>>(&json)?, sum);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<T: Scalar + Serialize> Serialize for KronSum<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("KronSum", 2)?;
        fields.serialize_field("a", self.a())?;
        fields.serialize_field("b", self.b())?;
        fields.end()
    }
}

/// Two factors as they are read.
#[derive(Deserialize)]
#[serde(rename = "KronSum", bound = "T: Scalar + Deserialize<'de>")]
struct Read<'a, T: Scalar> {
    a: Factor<'a, T>,
    b: Factor<'a, T>,
}

/// Fails as [`Factor`]'s, and as [`KronSum::new`] does.
impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for KronSum<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Read { a, b } = Read::deserialize(deserializer)?;
        KronSum::new(a, b).map_err(D::Error::custom)
    }
}
