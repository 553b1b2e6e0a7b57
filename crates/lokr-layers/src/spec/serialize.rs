//! Layers, networks, adapters and updates, read and written by `serde`: `{"spec": what it is, "values": by name}`.
//!
//! What is read is made by the ordinary constructors and filled by [`load_values`], so nothing comes out that could not
//! have been made by hand: shapes fit, values are finite, no name is missing or unknown. Gradients, stored inputs and
//! multipliers are not kept, and updates that are in their base's weight are refused.

use std::collections::BTreeMap;

use lokr_core::Scalar;
use ndarray::ArrayD;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::arrays;
use super::build::{Flags, adapter_of};
use super::layer_spec::{AdapterSpec, LayerSpec};
use crate::adapter::LoKrAdapter;
use crate::conv::Conv;
use crate::error::{LayerError, Result};
use crate::layer::{Adapter, Layer, Loading, load_values, named_values};
use crate::linear::{Dense, FullyConnected};
use crate::network::Sequential;
use crate::update::{DeltaPlacement, LoKrUpdate, UpdateSpec};

/// A description and the values to it.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Layer", deny_unknown_fields, bound(serialize = "T: Serialize, D: Serialize"))]
#[serde(bound(deserialize = "T: Deserialize<'de>, D: Deserialize<'de>"))]
struct Record<T, D> {
    spec: D,
    #[serde(with = "arrays")]
    values: BTreeMap<String, ArrayD<T>>,
}

impl<T: Scalar> Record<T, LayerSpec> {
    fn of(layer: &dyn Layer<T>) -> Result<Self> {
        let spec = LayerSpec::of(layer)?;
        let values = named_values(layer)?;
        check_finite(layer.type_name(), &values)?;
        Ok(Self { spec, values })
    }

    fn build(&self) -> Result<Box<dyn Layer<T>>> {
        self.fill(self.spec.build()?)
    }
}

impl<T: Scalar, D> Record<T, D> {
    fn fill<L: Layer<T>>(&self, mut layer: L) -> Result<L> {
        load_values(&mut layer, &self.values, Loading::Complete)?;
        Ok(layer)
    }
}

/// Numbers that are not finite would be refused when they are read.
fn check_finite<T: Scalar>(layer: &'static str, values: &BTreeMap<String, ArrayD<T>>) -> Result<()> {
    for (name, values) in values {
        let (count, total) = (values.iter().filter(|value| !value.is_finite()).count(), values.len());
        if count > 0 {
            return Err(LayerError::NamedNonFinite { layer, name: name.clone(), count, total });
        }
    }
    Ok(())
}

/// Any layer that says what it is made of.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, FullyConnected, Layer, LoKrAdapter};
/// use ndarray::array;
///
/// let base = FullyConnected::from_arrays(array![[1.0, 2.0]], array![0.5], Activation::Relu)?;
/// let layer: Box<dyn Layer<f64>> = Box::new(LoKrAdapter::new(base, 1, None, true)?);
/// let json = serde_json::to_string(&layer)?;
/// let read: Box<dyn Layer<f64>> = serde_json::from_str(&json)?;
/// assert_eq!(read.predict(&array![[1.0, 1.0]])?, array![[3.5]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<T: Scalar + Serialize> Serialize for Box<dyn Layer<T>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Record::of(&**self).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// Fails as [`LayerSpec::build`] and [`load_values`].
impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for Box<dyn Layer<T>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Record::deserialize(deserializer)?.build().map_err(D::Error::custom)
    }
}

/// As any layer.
impl<T: Scalar + Serialize> Serialize for Sequential<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Record::of(self).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// Fails for a layer that is no network, and as any layer.
impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for Sequential<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = Record::<T, LayerSpec>::deserialize(deserializer)?;
        record.spec.build_network().and_then(|network| record.fill(network)).map_err(D::Error::custom)
    }
}

macro_rules! linear {
    ($layer:ident) => {
        /// As any layer.
        impl<T: Scalar + Serialize> Serialize for $layer<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Record::of(self).map_err(S::Error::custom)?.serialize(serializer)
            }
        }

        /// Fails for a layer of another type, and as any layer.
        impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for $layer<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let record = Record::<T, LayerSpec>::deserialize(deserializer)?;
                let layer = match &record.spec {
                    LayerSpec::$layer(linear) => linear.build(),
                    other => Err(LayerError::invalid("type of the layer", other.type_name(), stringify!($layer))),
                };
                layer.and_then(|layer| record.fill(layer)).map_err(D::Error::custom)
            }
        }
    };
}

linear!(Dense);
linear!(FullyConnected);

/// As any layer.
impl<T: Scalar + Serialize, const N: usize> Serialize for Conv<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Record::of(self).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// Fails for a layer of another type, one of another number of axes included, and as any layer.
impl<'de, T: Scalar + Deserialize<'de>, const N: usize> Deserialize<'de> for Conv<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = Record::<T, LayerSpec>::deserialize(deserializer)?;
        let layer = match &record.spec {
            LayerSpec::Conv(conv) => conv.build(),
            other => Err(LayerError::invalid("type of the layer", other.type_name(), "a convolution")),
        };
        layer.and_then(|layer| record.fill(layer)).map_err(D::Error::custom)
    }
}

/// An update in the place of a layer, for its values.
fn values_of<T: Scalar>(update: &LoKrUpdate<T>) -> BTreeMap<String, ArrayD<T>> {
    let mut values = BTreeMap::new();
    update.visit("", &mut |name, array, _| drop(values.insert(name.to_owned(), array.to_owned())));
    values
}

/// The update without a layer; its multiplier is not kept.
impl<T: Scalar + Serialize> Serialize for LoKrUpdate<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = Record { spec: self.spec(), values: values_of(self) };
        check_finite("LoKrUpdate", &record.values).map_err(S::Error::custom)?;
        record.serialize(serializer)
    }
}

/// Fails as [`UpdateSpec::build`], and for values that do not fit.
impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for LoKrUpdate<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Record { spec, values } = Record::<T, UpdateSpec>::deserialize(deserializer)?;
        let update = spec.build().and_then(|update| filled(update, values));
        update.map_err(D::Error::custom)
    }
}

/// An update with these values, each of which it has.
fn filled<T: Scalar>(mut update: LoKrUpdate<T>, mut values: BTreeMap<String, ArrayD<T>>) -> Result<LoKrUpdate<T>> {
    const LAYER: &str = "LoKrUpdate";
    check_finite(LAYER, &values)?;
    let mut problem = None;
    update.visit_mut("", &mut |name, mut own, _| match values.remove(name) {
        Some(given) if given.shape() == own.shape() => own.assign(&given),
        Some(given) => {
            let (name, expected, found) = (name.to_owned(), own.shape().to_vec(), given.shape().to_vec());
            problem.get_or_insert(LayerError::NamedShape { layer: LAYER, name, expected, found });
        }
        None => {
            problem.get_or_insert(LayerError::MissingName { layer: LAYER, name: name.to_owned() });
        }
    });
    match (problem, values.into_keys().next()) {
        (Some(problem), _) => Err(problem),
        (None, Some(name)) => Err(LayerError::UnknownName { layer: LAYER, name }),
        (None, None) => Ok(update),
    }
}

/// An adapter with its updates and its base, as they are written themselves.
#[derive(Serialize, Deserialize)]
#[serde(rename = "LoKrAdapter", deny_unknown_fields)]
struct AdapterRecord<U, L> {
    placement: DeltaPlacement,
    base_frozen: bool,
    frozen: bool,
    /// The adapter's own first.
    updates: Vec<UpdateRecord<U>>,
    base: L,
}

/// An update with its name.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Update", deny_unknown_fields)]
struct UpdateRecord<U> {
    name: String,
    enabled: bool,
    update: U,
}

/// Its updates, and the base as that is written. Refused while the updates are in the base's weight.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, LoKrAdapter};
/// use ndarray::{Array1, Array2};
///
/// let base = Dense::<f32>::from_arrays(Array2::ones((6, 4)), Array1::zeros(4), Activation::Tanh)?;
/// let adapter = LoKrAdapter::new(base, 2, Some(1.0), true)?;
/// let read: LoKrAdapter<f32, Dense<f32>> = serde_json::from_str(&serde_json::to_string(&adapter)?)?;
/// assert_eq!((read.scaling(), read.matrix_a()), (0.5, adapter.matrix_a()));
/// assert_eq!(read.base_layer().weights(), adapter.base_layer().weights());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<T: Scalar + Serialize, L: Layer<T> + Clone + Serialize + 'static> Serialize for LoKrAdapter<T, L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let AdapterSpec { placement, base_frozen, frozen, updates } =
            AdapterSpec::of(self).map_err(S::Error::custom)?;
        let of_names = updates.iter().zip(self.updates());
        let updates = of_names.map(|(spec, (name, update))| {
            let (name, enabled) = (name.to_owned(), spec.enabled);
            UpdateRecord { name, enabled, update }
        });
        let (updates, base) = (updates.collect(), self.base_layer());
        AdapterRecord { placement, base_frozen, frozen, updates, base }.serialize(serializer)
    }
}

/// Fails for a base that does not take the updates, and as updates and bases do.
impl<'de, T, L> Deserialize<'de> for LoKrAdapter<T, L>
where
    T: Scalar + Deserialize<'de>,
    L: Layer<T> + Clone + Deserialize<'de> + 'static,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = AdapterRecord::<LoKrUpdate<T>, L>::deserialize(deserializer)?;
        let updates = record.updates.into_iter().map(|UpdateRecord { name, enabled, update }| (name, enabled, update));
        let flags = Flags { placement: record.placement, base_frozen: record.base_frozen, frozen: record.frozen };
        adapter_of(record.base, flags, updates.collect()).map_err(D::Error::custom)
    }
}
