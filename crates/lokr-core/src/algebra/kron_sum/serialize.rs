//! The Kronecker sum read and written by `serde`, as its factors: `{"factors": […]}`, each as a [`Factor`] is.

use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::sum::KronSum;
use crate::operator::Factor;
use crate::scalar::Scalar;

/// The factors, `{"factors": […]}`, the outermost first.
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
        let mut fields = serializer.serialize_struct("KronSum", 1)?;
        fields.serialize_field("factors", &self.factors)?;
        fields.end()
    }
}

/// A list of factors as it is read.
#[derive(Deserialize)]
#[serde(rename = "KronSum", bound = "T: Scalar + Deserialize<'de>")]
struct Read<'a, T: Scalar> {
    factors: Vec<Factor<'a, T>>,
}

/// Fails as [`Factor`]'s, and as [`KronSum::from_factors`] does.
impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for KronSum<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        KronSum::from_factors(Read::deserialize(deserializer)?.factors).map_err(D::Error::custom)
    }
}
