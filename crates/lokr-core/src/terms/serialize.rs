//! Sums of products read and written by `serde`, as their terms: `{"weights": […], "terms": […]}`, each term as a
//! [`Kron`] is.

use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::kron_terms::KronTerms;
use crate::operator::Kron;
use crate::scalar::Scalar;

/// The terms, `{"weights": […], "terms": […]}`.
///
/// # Examples
/// ```standalone_crate
/// # use lokr_core::{Kron, KronTerms};
/// # use ndarray::array;
/// let sum = KronTerms::new([(0.5, Kron::new(array![[1.0, 2.0]], array![[10.0]])?)])?;
/// let json = serde_json::to_string(&sum)?;
/// assert_eq!(serde_json::from_str::<KronTerms<'static, f64>>(&json)?, sum);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<T: Scalar + Serialize> Serialize for KronTerms<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("KronTerms", 2)?;
        fields.serialize_field("weights", self.weights())?;
        fields.serialize_field("terms", self.terms())?;
        fields.end()
    }
}

/// Weights and products as they are read.
#[derive(Deserialize)]
#[serde(rename = "KronTerms", bound = "T: Scalar + Deserialize<'de>")]
struct Read<'a, T: Scalar> {
    weights: Vec<T>,
    terms: Vec<Kron<'a, T>>,
}

/// Fails as [`Kron`]'s, as [`KronTerms::new`] does, and unless there are as many weights as products.
impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for KronTerms<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Read { weights, terms } = Read::deserialize(deserializer)?;
        if weights.len() != terms.len() {
            let (weights, terms) = (weights.len(), terms.len());
            return Err(D::Error::custom(format!("a sum of {terms} products has {weights} weights")));
        }
        KronTerms::new(weights.into_iter().zip(terms)).map_err(D::Error::custom)
    }
}
