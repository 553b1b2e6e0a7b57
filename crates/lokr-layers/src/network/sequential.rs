//! Layers one after the other, with names.

use lokr_core::Scalar;

use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// The type's name, for messages.
pub(super) const TYPE_NAME: &str = "Sequential";

/// A network of layers, each fed by the one before. Itself a [`Layer`].
///
/// Every layer has a name, its index unless another is given, and names of parameters have it in front: `"0.weight"`. A
/// gradient at the pre-activation is one at that of the last layer. Between two layers lies one matrix, used by forward
/// and backward and kept from step to step.
///
/// Layers can be frozen, wrapped in adapters and reached by their names; those of a network inside a network have that
/// network's name and a dot in front.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, FullyConnected, Layer, LoKrSettings, Sequential};
/// use ndarray::array;
///
/// let mut network = Sequential::empty();
/// network
///     .push(Dense::from_arrays(array![[1.0, -1.0]], array![0.0, 0.0], Activation::Relu)?)?
///     .push_named("head", FullyConnected::from_arrays(array![[1.0, 1.0]], array![0.5], Activation::Identity)?)?;
/// assert_eq!(network.predict(&array![[3.0], [-4.0]])?, array![[3.5], [4.5]]); // |x| + 0.5
///
/// let report = network.adapt("head", LoKrSettings::new().rank(1))?; // the rest is frozen
/// assert_eq!((report.adapted[0].name.as_str(), report.frozen), ("head", vec!["0".to_owned()]));
/// assert_eq!(network.adapter("head")?.named_update("default")?.rank(), 1);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Clone)]
pub struct Sequential<T: Scalar> {
    /// Their sizes chain.
    pub(super) layers: Vec<Box<dyn Layer<T>>>,
    /// One for each layer, each another.
    pub(super) names: Vec<String>,
    /// `between[i]` holds the output of layer `i`, or the gradient of it.
    pub(super) between: Vec<Buffer<T>>,
}

impl<T: Scalar> Sequential<T> {
    /// A network of `layers`, first to last, named by their indices.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] without layers; [`LayerError::Chain`] where a layer does not take what the one
    /// before gives.
    pub fn new(layers: Vec<Box<dyn Layer<T>>>) -> Result<Self> {
        Self::named((0..layers.len()).map(|index| index.to_string()).zip(layers))
    }

    /// A network of layers with names, first to last.
    ///
    /// # Errors
    /// As [`Sequential::new`] and [`Sequential::push_named`].
    /// # Examples
    /// ```
    /// use lokr_layers::{Activation, Dense, Init, Layer, Sequential, rand::{SeedableRng, rngs::SmallRng}};
    ///
    /// let rng = &mut SmallRng::seed_from_u64(1);
    /// let body: Box<dyn Layer<f32>> = Box::new(Dense::new(8, 6, Activation::Relu, Init::HeNormal, rng)?);
    /// let head: Box<dyn Layer<f32>> = Box::new(Dense::new(6, 2, Activation::Softmax, Init::XavierNormal, rng)?);
    /// let network = Sequential::named([("body", body), ("head", head)])?;
    /// assert_eq!(network.names(), ["body", "head"]);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn named<N: Into<String>>(layers: impl IntoIterator<Item = (N, Box<dyn Layer<T>>)>) -> Result<Self> {
        let mut network = Self::empty();
        for (name, layer) in layers {
            network.push_box(name.into(), layer)?;
        }
        if network.layers.is_empty() {
            return Err(LayerError::invalid("number of layers", 0, "at least 1"));
        }
        Ok(network)
    }

    /// A network without layers, which takes no values and gives none, for [`Sequential::push`].
    #[must_use]
    pub fn empty() -> Self {
        Self { layers: Vec::new(), names: Vec::new(), between: Vec::new() }
    }

    /// Adds a layer behind the last one, named by its index.
    ///
    /// # Errors
    /// As [`Sequential::push_named`].
    pub fn push(&mut self, layer: impl Layer<T> + 'static) -> Result<&mut Self> {
        self.push_named(self.layers.len().to_string(), layer)
    }

    /// Adds a layer with a name behind the last one. Names may have dots in them, such as `blocks.0.q`.
    ///
    /// # Errors
    /// [`LayerError::Chain`] where it does not take what the last one gives, [`LayerError::DuplicateName`],
    /// [`LayerError::InvalidName`] for an empty one. Nothing is added then.
    pub fn push_named(&mut self, name: impl Into<String>, layer: impl Layer<T> + 'static) -> Result<&mut Self> {
        self.push_box(name.into(), Box::new(layer))
    }

    fn push_box(&mut self, name: String, layer: Box<dyn Layer<T>>) -> Result<&mut Self> {
        if let Some(last) = self.layers.last() {
            let (outputs, inputs) = (last.output_size(), layer.input_size());
            if outputs != inputs {
                let index = self.layers.len();
                return Err(LayerError::Chain { layer: layer.type_name(), index, inputs, outputs });
            }
        }
        if self.names.contains(&name) {
            return Err(LayerError::DuplicateName { layer: TYPE_NAME, name });
        }
        if name.is_empty() {
            return Err(LayerError::InvalidName { layer: TYPE_NAME, name, problem: "it is empty" });
        }
        if !self.layers.is_empty() {
            self.between.push(Buffer::new());
        }
        self.layers.push(layer);
        self.names.push(name);
        Ok(self)
    }

    /// The layers, first to last.
    #[must_use]
    pub fn layers(&self) -> &[Box<dyn Layer<T>>] {
        &self.layers
    }

    /// The names of the layers, first to last.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// The layers, first to last, taken out of the network.
    #[must_use]
    pub fn into_layers(self) -> Vec<Box<dyn Layer<T>>> {
        self.layers
    }

    /// A network of what `f` makes of each layer, given its index and the layer; names stay. [`Sequential::adapt`]
    /// wraps layers in adapters, [`Layer::merged`] is the way back.
    ///
    /// # Errors
    /// The first error of `f`; [`LayerError::Chain`].
    pub fn map_layers(self, mut f: impl FnMut(usize, Box<dyn Layer<T>>) -> Result<Box<dyn Layer<T>>>) -> Result<Self> {
        let layers: Vec<_> =
            self.layers.into_iter().enumerate().map(|(i, layer)| f(i, layer)).collect::<Result<_>>()?;
        Self::named(self.names.into_iter().zip(layers))
    }
}

impl<T: Scalar> std::fmt::Debug for Sequential<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unnamed = self.names.iter().enumerate().all(|(index, name)| *name == index.to_string());
        let layers = self.layers.iter().zip(&self.names).map(|(layer, name)| {
            let sizes = format!("{} {} → {}", layer.type_name(), layer.input_size(), layer.output_size());
            if unnamed { sizes } else { format!("{name}: {sizes}") }
        });
        f.debug_list().entries(layers).finish()
    }
}
