//! Operators read and written by `serde`: as their factors, with shapes, which are checked when they are read.
//!
//! A full factor is `{"full": {"shape": [rows, cols], "values": [row after row]}}`, a low-rank one
//! `{"low_rank": {"left": …, "right": …}}` with the same of each half; a product is `{"a": …, "b": …}`, a chain
//! `{"factors": […]}`. What is read is owned. JSON has no numbers that are not finite, and
//! `serde_json` reads the bits that were written only with its feature `float_roundtrip`.

use ndarray::{Array2, ArrayView2};
use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::chain::KronChain;
use super::factor::{Factor, LowRank};
use super::kron::Kron;
use crate::scalar::Scalar;

/// A matrix as it is written.
struct Written<'a, T>(ArrayView2<'a, T>);

/// Its values, row after row.
struct Values<'a, T>(ArrayView2<'a, T>);

impl<T: Serialize> Serialize for Values<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

impl<T: Serialize> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Matrix", 2)?;
        fields.serialize_field("shape", &self.0.dim())?;
        fields.serialize_field("values", &Values(self.0))?;
        fields.end()
    }
}

/// A matrix as it is read, not checked yet.
#[derive(Deserialize)]
#[serde(rename = "Matrix")]
struct Read<T> {
    shape: (usize, usize),
    values: Vec<T>,
}

impl<T> Read<T> {
    fn matrix<E: serde::de::Error>(self, name: &str) -> Result<Array2<T>, E> {
        let ((rows, cols), found) = (self.shape, self.values.len());
        let misfit = || E::custom(format_args!("{name} has shape ({rows}, {cols}), which {found} values do not fill"));
        Array2::from_shape_vec(self.shape, self.values).map_err(|_| misfit())
    }
}

/// A factor as it is written.
#[derive(Serialize)]
#[serde(rename = "Factor", rename_all = "snake_case")]
enum WrittenFactor<'a, T: Serialize> {
    Full(Written<'a, T>),
    LowRank { left: Written<'a, T>, right: Written<'a, T> },
}

/// A factor as it is read.
#[derive(Deserialize)]
#[serde(rename = "Factor", rename_all = "snake_case")]
enum ReadFactor<T> {
    Full(Read<T>),
    LowRank { left: Read<T>, right: Read<T> },
}

/// `{"full": …}` or `{"low_rank": …}`: a low-rank factor stays low-rank.
///
/// # Examples
/// ```standalone_crate
/// # use lokr_core::Factor;
/// # use ndarray::array;
/// let json = serde_json::to_string(&Factor::from(array![[1.0, 2.0]]))?;
/// assert_eq!(json, r#"{"full":{"shape":[1,2],"values":[1.0,2.0]}}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
impl<T: Scalar + Serialize> Serialize for Factor<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            Self::Full(matrix) => WrittenFactor::Full(Written(matrix.view())),
            Self::LowRank(low) => WrittenFactor::LowRank { left: Written(low.left()), right: Written(low.right()) },
        };
        written.serialize(serializer)
    }
}

/// Fails with the shape where values are missing or left over, or where halves do not multiply.
impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for Factor<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match ReadFactor::deserialize(deserializer)? {
            ReadFactor::Full(matrix) => Ok(Self::from(matrix.matrix::<D::Error>("a factor")?)),
            ReadFactor::LowRank { left, right } => {
                let (left, right) = (left.matrix::<D::Error>("the left half")?, right.matrix("the right half")?);
                Self::low_rank(left, right).map_err(D::Error::custom)
            }
        }
    }
}

/// `{"left": …, "right": …}`.
impl<T: Scalar + Serialize> Serialize for LowRank<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("LowRank", 2)?;
        fields.serialize_field("left", &Written(self.left()))?;
        fields.serialize_field("right", &Written(self.right()))?;
        fields.end()
    }
}

/// The factors, `{"a": …, "b": …}`.
///
/// # Examples
/// ```standalone_crate
/// # use lokr_core::Kron;
/// # use ndarray::array;
/// let k = Kron::new(array![[1.0, 2.0]], array![[3.0]])?;
/// let json = serde_json::to_string(&k)?;
/// let read: Kron<'static, f64> = serde_json::from_str(&json)?;
/// assert_eq!(read, k);
///
/// let broken = json.replace("[1,2]", "[1,3]");
/// let error = serde_json::from_str::<Kron<'static, f64>>(&broken).unwrap_err();
/// assert!(error.to_string().starts_with("a factor has shape (1, 3), which 2 values do not fill"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<T: Scalar + Serialize> Serialize for Kron<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Kron", 2)?;
        fields.serialize_field("a", self.a())?;
        fields.serialize_field("b", self.b())?;
        fields.end()
    }
}

/// Two factors as they are read.
#[derive(Deserialize)]
#[serde(rename = "Kron", bound = "T: Scalar + Deserialize<'de>")]
struct ReadKron<'a, T: Scalar> {
    a: Factor<'a, T>,
    b: Factor<'a, T>,
}

/// Fails as [`Factor`]'s, and as [`Kron::new`] does.
impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for Kron<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ReadKron { a, b } = ReadKron::deserialize(deserializer)?;
        Kron::new(a, b).map_err(D::Error::custom)
    }
}

/// The factors, `{"factors": […]}`, the outermost first.
///
/// # Examples
/// ```standalone_crate
/// # use lokr_core::KronChain;
/// # use ndarray::array;
/// let chain = KronChain::new([array![[1.0, 2.0]], array![[3.0]]])?;
/// let json = serde_json::to_string(&chain)?;
/// assert_eq!(serde_json::from_str::<KronChain<'static, f64>>(&json)?, chain);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<T: Scalar + Serialize> Serialize for KronChain<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("KronChain", 1)?;
        fields.serialize_field("factors", self.factors())?;
        fields.end()
    }
}

/// A list of factors as it is read.
#[derive(Deserialize)]
#[serde(rename = "KronChain", bound = "T: Scalar + Deserialize<'de>")]
struct ReadChain<'a, T: Scalar> {
    factors: Vec<Factor<'a, T>>,
}

/// Fails as [`Factor`]'s, and as [`KronChain::new`] does.
impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for KronChain<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        KronChain::new(ReadChain::deserialize(deserializer)?.factors).map_err(D::Error::custom)
    }
}
