//! What a layer is, without its values.

use lokr_core::Scalar;

use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::{Adapter, Form, Layer, LinearLayer};
use crate::patches::ConvSizes;
use crate::update::{DeltaPlacement, UpdateSpec};

/// What it takes to make a layer again, but for its values: its type, sizes, activation and settings, and whether it is
/// frozen. With the feature `serde` it is read and written by that; `lokr-checkpoint` keeps it in the header of the
/// files of whole networks.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Layer, LayerSpec, Loading, LoKrAdapter, load_values, named_values};
/// use ndarray::{Array1, Array2};
///
/// let base = Dense::from_arrays(Array2::from_elem((6, 4), 0.5), Array1::ones(4), Activation::Tanh)?;
/// let adapter = LoKrAdapter::new(base, 2, None, true)?;
/// let spec = LayerSpec::of(&adapter)?;
///
/// let mut again = spec.build::<f64>()?; // a layer of the same kind, of zeros
/// load_values(&mut again, &named_values(&adapter)?, Loading::Complete)?;
/// let x = Array2::ones((3, 6));
/// assert_eq!(again.predict(&x)?, adapter.predict(&x)?);
/// assert_eq!(LayerSpec::of(&again)?, spec);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LayerSpec {
    /// [`crate::Dense`].
    Dense(LinearSpec),
    /// [`crate::FullyConnected`].
    FullyConnected(LinearSpec),
    /// [`crate::Conv`].
    Conv(ConvSpec),
    /// [`crate::LoKrAdapter`].
    Adapter {
        /// The adapted layer.
        base: Box<LayerSpec>,
        /// What is put on it.
        adapter: AdapterSpec,
    },
    /// [`crate::Sequential`].
    Sequential {
        /// The layers with their names, first to last.
        layers: Vec<(String, LayerSpec)>,
    },
    /// [`crate::Shared`]. Who shares the layer is not known; made again, it is alone.
    Shared {
        /// The layer itself.
        layer: Box<LayerSpec>,
    },
    /// [`crate::Embedding`].
    Embedding {
        /// Rows of the table.
        tokens: usize,
        /// Values in each.
        values: usize,
        /// Columns of the input that are tokens.
        columns: usize,
        /// Columns behind them that are passed through.
        passed: usize,
        /// Whether it is frozen.
        frozen: bool,
    },
    /// [`crate::LayerNorm`].
    LayerNorm {
        /// Values in a piece.
        size: usize,
        /// Pieces of a row.
        pieces: usize,
        /// Added to the variance.
        epsilon: f64,
        /// Whether it is frozen.
        frozen: bool,
    },
}

/// What a [`crate::Linear`] layer is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct LinearSpec {
    /// Values in one row of the input.
    pub inputs: usize,
    /// Values in one row of the output.
    pub outputs: usize,
    /// Its activation.
    pub activation: Activation,
    /// Whether it has a bias.
    pub bias: bool,
    /// Whether it is frozen.
    pub frozen: bool,
}

/// What a [`crate::Conv`] is.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct ConvSpec {
    /// Channels of the output.
    pub outputs: usize,
    /// What it slides over what.
    pub sizes: ConvSizes,
    /// Its activation.
    pub activation: Activation,
    /// Whether it has a bias.
    pub bias: bool,
    /// Whether it is frozen.
    pub frozen: bool,
}

/// What an adapter is, beside its base.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct AdapterSpec {
    /// Where the updates enter.
    pub placement: DeltaPlacement,
    /// Whether the base's parameters are kept as they are.
    pub base_frozen: bool,
    /// Whether the updates are as well.
    pub frozen: bool,
    /// The updates, the adapter's own first.
    pub updates: Vec<NamedUpdateSpec>,
}

/// An update of an adapter.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct NamedUpdateSpec {
    /// Its name.
    pub name: String,
    /// Whether it acts.
    pub enabled: bool,
    /// What it is.
    pub update: UpdateSpec,
}

impl LayerSpec {
    /// That of a layer.
    ///
    /// # Errors
    /// [`LayerError::NotDescribed`] with the name of the first layer that does not say what it is, or is of a type that
    /// cannot be made again; [`LayerError::AlreadyMerged`] while updates are in the weight of their base.
    pub fn of<T: Scalar>(layer: &dyn Layer<T>) -> Result<Self> {
        of("", layer)
    }
}

fn of<T: Scalar>(name: &str, layer: &dyn Layer<T>) -> Result<LayerSpec> {
    let frozen = layer.is_frozen();
    match layer.form() {
        Form::Dense(linear) => Ok(LayerSpec::Dense(LinearSpec::of(linear))),
        Form::FullyConnected(linear) => Ok(LayerSpec::FullyConnected(LinearSpec::of(linear))),
        Form::Conv { linear, patches, .. } => Ok(LayerSpec::Conv(ConvSpec {
            outputs: linear.weight().nrows(),
            sizes: patches.sizes().clone(),
            activation: linear.activation(),
            bias: linear.has_bias(),
            frozen,
        })),
        Form::Adapter(adapter) => {
            let base = Box::new(of(&joined(name, "base"), adapter.base())?);
            Ok(LayerSpec::Adapter { base, adapter: AdapterSpec::of(adapter)? })
        }
        Form::Sequence(layers) => {
            let layers = layers.into_iter().map(|(own, layer)| Ok((own.to_owned(), of(&joined(name, own), layer)?)));
            Ok(LayerSpec::Sequential { layers: layers.collect::<Result<_>>()? })
        }
        Form::Shared(inner) => Ok(LayerSpec::Shared { layer: Box::new(of(name, inner)?) }),
        Form::Embedding { table, columns, passed } => {
            let (tokens, values) = table.dim();
            Ok(LayerSpec::Embedding { tokens, values, columns, passed, frozen })
        }
        Form::LayerNorm { weight, pieces, epsilon, .. } => {
            Ok(LayerSpec::LayerNorm { size: weight.len(), pieces, epsilon, frozen })
        }
        Form::Linear(_) | Form::Unknown => {
            Err(LayerError::NotDescribed { name: name.to_owned(), layer: layer.type_name() })
        }
    }
}

fn joined(outer: &str, inner: &str) -> String {
    if outer.is_empty() { inner.to_owned() } else { format!("{outer}.{inner}") }
}

impl LinearSpec {
    /// That of a linear layer.
    pub(super) fn of<T: Scalar>(layer: &dyn LinearLayer<T>) -> Self {
        Self {
            inputs: layer.input_size(),
            outputs: layer.output_size(),
            activation: layer.activation(),
            bias: layer.has_bias(),
            frozen: layer.is_frozen(),
        }
    }
}

impl AdapterSpec {
    /// That of an adapter, without its base.
    pub(super) fn of<T: Scalar>(adapter: &dyn Adapter<T>) -> Result<Self> {
        if adapter.is_merged() {
            return Err(LayerError::AlreadyMerged { layer: adapter.type_name() });
        }
        let (placement, frozen) = (adapter.placement(), adapter.is_frozen());
        let named = |(name, update): (&str, &crate::update::LoKrUpdate<T>)| {
            let enabled = adapter.is_enabled(name)?;
            Ok(NamedUpdateSpec { name: name.to_owned(), enabled, update: update.spec() })
        };
        let updates = adapter.updates().into_iter().map(named).collect::<Result<_>>()?;
        Ok(Self { placement, base_frozen: adapter.is_base_frozen(), frozen, updates })
    }
}
