//! A layer of a description, its values still zero.

use lokr_core::{Scalar, memory};
use ndarray::Array1;

use super::layer_spec::{AdapterSpec, ConvSpec, LayerSpec, LinearSpec, NamedUpdateSpec};
use crate::adapter::{LoKrAdapter, Prepared};
use crate::conv::{Conv, ConvGeometry};
use crate::error::{LayerError, Result};
use crate::layer::{Adapter, Layer};
use crate::linear::{Linear, Orientation};
use crate::network::{Sequential, Shared};
use crate::plain::{Embedding, LayerNorm};
use crate::update::{DeltaPlacement, LoKrUpdate};

impl LayerSpec {
    /// A layer of that kind whose values are zero, or one where that is how they start: to be filled, as by
    /// [`crate::load_values`].
    ///
    /// # Errors
    /// Those of the layers' own constructors, such as [`LayerError::ZeroSize`], [`LayerError::Chain`],
    /// [`LayerError::Shape`] and [`LayerError::InvalidSetting`]; [`LayerError::Kron`] where memory is refused.
    pub fn build<T: Scalar>(&self) -> Result<Box<dyn Layer<T>>> {
        match self {
            Self::Dense(linear) => Ok(Box::new(linear.build::<T, crate::InputMajor>()?) as Box<dyn Layer<T>>),
            Self::FullyConnected(linear) => Ok(Box::new(linear.build::<T, crate::OutputMajor>()?)),
            Self::Conv(conv) => match conv.sizes.input.len() {
                1 => Ok(Box::new(conv.build::<T, 1>()?)),
                2 => Ok(Box::new(conv.build::<T, 2>()?)),
                _ => Ok(Box::new(conv.build::<T, 3>()?)),
            },
            Self::Adapter { base, adapter } => Ok(Box::new(adapter.build(base.build::<T>()?)?)),
            Self::Sequential { .. } => Ok(Box::new(self.build_network::<T>()?)),
            Self::Shared { layer } => Ok(Box::new(Shared::new(layer.build::<T>()?)?)),
            Self::Embedding { tokens, values, columns, passed, frozen } => {
                let table = memory::zeros("a table", (*tokens, *values))?;
                let mut layer = Embedding::from_table(table, *columns)?.passing(*passed);
                layer.set_frozen(*frozen)?;
                Ok(Box::new(layer))
            }
            Self::LayerNorm { size, pieces, epsilon, frozen } => {
                let mut layer = LayerNorm::<T>::new(*size)?.pieces(*pieces).epsilon(*epsilon)?;
                layer.set_frozen(*frozen)?;
                Ok(Box::new(layer))
            }
        }
    }

    /// [`LayerSpec::build`] of a network, as one.
    ///
    /// # Errors
    /// As [`LayerSpec::build`]; [`LayerError::InvalidSetting`] for another layer.
    pub fn build_network<T: Scalar>(&self) -> Result<Sequential<T>> {
        let Self::Sequential { layers } = self else {
            return Err(LayerError::invalid("type of the layer", self.type_name(), "Sequential"));
        };
        if layers.is_empty() {
            return Ok(Sequential::empty());
        }
        let built = layers.iter().map(|(name, layer)| Ok((name.clone(), layer.build::<T>()?)));
        Sequential::named(built.collect::<Result<Vec<_>>>()?)
    }

    /// The type of the layer.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Dense(_) => "Dense",
            Self::FullyConnected(_) => "FullyConnected",
            Self::Conv(conv) => match conv.sizes.input.len() {
                1 => "Conv1d",
                2 => "Conv2d",
                _ => "Conv3d",
            },
            Self::Adapter { .. } => "LoKrAdapter",
            Self::Sequential { .. } => "Sequential",
            Self::Shared { .. } => "Shared",
            Self::Embedding { .. } => "Embedding",
            Self::LayerNorm { .. } => "LayerNorm",
        }
    }
}

impl LinearSpec {
    /// A layer of zeros, which stores its weight as `O` says.
    ///
    /// # Errors
    /// As [`Linear::from_arrays`]; [`LayerError::Kron`] where memory is refused.
    pub fn build<T: Scalar, O: Orientation>(&self) -> Result<Linear<T, O>> {
        let weights = memory::zeros("a weight", Linear::<T, O>::stored_dim((self.outputs, self.inputs)))?;
        let mut layer = Linear::from_arrays(weights, Array1::zeros(self.outputs), self.activation)?;
        if !self.bias {
            layer = layer.without_bias();
        }
        layer.set_frozen(self.frozen)?;
        Ok(layer)
    }
}

impl ConvSpec {
    /// A convolution of zeros.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] for sizes of another number of axes; as [`Conv::new`]; [`LayerError::Kron`] where
    /// memory is refused.
    pub fn build<T: Scalar, const N: usize>(&self) -> Result<Conv<T, N>> {
        let mut layer = Conv::zeros(&ConvGeometry::try_from(&self.sizes)?, self.outputs, self.activation)?;
        if !self.bias {
            layer = layer.without_bias();
        }
        layer.set_frozen(self.frozen)?;
        Ok(layer)
    }
}

impl AdapterSpec {
    /// The adapter of a layer, its updates still zero.
    ///
    /// # Errors
    /// As [`LoKrAdapter::from_update`] and [`Adapter::add_update`]; [`LayerError::InvalidSetting`] without updates.
    pub fn build<T: Scalar, L: Layer<T> + Clone + 'static>(&self, base: L) -> Result<LoKrAdapter<T, L>> {
        let Self { placement, base_frozen, frozen, .. } = *self;
        let built = |named: &NamedUpdateSpec| Ok((named.name.clone(), named.enabled, named.update.build()?));
        let updates = self.updates.iter().map(built).collect::<Result<_>>()?;
        adapter_of(base, Flags { placement, base_frozen, frozen }, updates)
    }
}

/// What an adapter holds beside its base and its updates.
pub(super) struct Flags {
    pub(super) placement: DeltaPlacement,
    pub(super) base_frozen: bool,
    pub(super) frozen: bool,
}

/// An adapter of updates with their names, each of which acts or not, the adapter's own first.
pub(super) fn adapter_of<T: Scalar, L: Layer<T> + Clone + 'static>(
    base: L,
    Flags { placement, base_frozen, frozen }: Flags,
    updates: Vec<(String, bool, LoKrUpdate<T>)>,
) -> Result<LoKrAdapter<T, L>> {
    let mut updates = updates.into_iter();
    let Some((name, enabled, own)) = updates.next() else {
        return Err(LayerError::invalid("number of updates", 0, "at least 1"));
    };
    let mut adapter = Prepared::given(&name, &base, own, Some(placement))?.put_on(base);
    adapter.set_enabled(&name, enabled)?;
    for (name, enabled, update) in updates {
        adapter.add_update(&name, update)?;
        adapter.set_enabled(&name, enabled)?;
    }
    adapter.set_base_frozen(base_frozen);
    adapter.set_frozen(frozen)?;
    Ok(adapter)
}

/// [`LayerSpec::build`] for one type.
#[cfg(debug_assertions)]
type Build<T> = fn(&LayerSpec) -> Result<Box<dyn Layer<T>>>;

/// All layers, compiled for both types in this crate in builds for tests: those that use it then take them from here,
/// and are not built for as long.
#[cfg(debug_assertions)]
#[used]
static COMPILED: (Build<f32>, Build<f64>) = (LayerSpec::build::<f32>, LayerSpec::build::<f64>);
