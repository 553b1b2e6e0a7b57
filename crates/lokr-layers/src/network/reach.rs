//! Layers and adapters by their names.

use lokr_core::Scalar;

use super::sequential::Sequential;
use crate::adapter::{CompiledLoKr, LoKrDiagnostics};
use crate::error::{LayerError, Result};
use crate::layer::{Adapter, Layer};

impl<T: Scalar> Sequential<T> {
    /// The layer of that name, in networks inside this one too.
    ///
    /// # Errors
    /// [`LayerError::NoSuchLayer`].
    pub fn layer(&self, name: &str) -> Result<&dyn Layer<T>> {
        find(self, name).ok_or_else(|| self.no_such(name))
    }

    /// [`Sequential::layer`], to be changed, or replaced by a layer of the same sizes.
    ///
    /// # Errors
    /// [`LayerError::NoSuchLayer`].
    pub fn layer_mut(&mut self, name: &str) -> Result<&mut Box<dyn Layer<T>>> {
        if find(self, name).is_none() {
            return Err(self.no_such(name));
        }
        let error = LayerError::NoSuchLayer { wanted: name.to_owned(), layers: Vec::new() };
        find_mut(self, name).ok_or(error)
    }

    /// The adapter of that name, whatever it adapts and whoever put it there.
    ///
    /// # Errors
    /// [`LayerError::NoSuchLayer`]; [`LayerError::NotAnAdapter`].
    /// # Examples
    /// ```
    /// use lokr_layers::{Activation, Dense, Layer, LoKrAdapter, Sequential};
    /// use ndarray::{Array1, Array2};
    ///
    /// let base = Dense::<f32>::from_arrays(Array2::zeros((6, 4)), Array1::zeros(4), Activation::Relu)?;
    /// let mut network = Sequential::empty();
    /// network.push(LoKrAdapter::new(base, 2, Some(1.0), true)?)?;
    /// assert_eq!(network.adapter("0")?.named_update("default")?.scaling(), 0.5);
    /// network.adapter_mut("0")?.set_scaling(0.25)?;
    /// assert_eq!(network.diagnostics("0")?.scaling, 0.25);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn adapter(&self, name: &str) -> Result<&dyn Adapter<T>> {
        let layer = self.layer(name)?;
        layer.as_adapter().ok_or_else(|| no_adapter(name, layer.type_name()))
    }

    /// [`Sequential::adapter`], writable.
    ///
    /// # Errors
    /// As [`Sequential::adapter`].
    pub fn adapter_mut(&mut self, name: &str) -> Result<&mut dyn Adapter<T>> {
        let layer = self.layer_mut(name)?;
        let type_name = layer.type_name();
        layer.as_adapter_mut().ok_or_else(|| no_adapter(name, type_name))
    }

    /// The whole names of the layers that are made of no others, those of networks inside this one included, first to
    /// last: what adapters are put on, and files name.
    #[must_use]
    pub fn layer_names(&self) -> Vec<String> {
        leaf_names(self)
    }

    /// All adapters with the names of their layers, first to last.
    #[must_use]
    pub fn adapters(&self) -> Vec<(String, &dyn Adapter<T>)> {
        leaves(self).into_iter().filter_map(|(name, layer)| Some((name, layer.as_adapter()?))).collect()
    }

    /// [`Sequential::adapters`], writable.
    pub fn adapters_mut(&mut self) -> Vec<(String, &mut dyn Adapter<T>)> {
        leaves_mut(self).into_iter().filter_map(|(name, layer)| Some((name, layer.as_adapter_mut()?))).collect()
    }

    /// What the adapter of that name says of itself: [`crate::LoKrAdapter::diagnostics`].
    ///
    /// # Errors
    /// As [`Sequential::adapter`] and [`crate::LoKrAdapter::diagnostics`].
    pub fn diagnostics(&self, name: &str) -> Result<LoKrDiagnostics> {
        LoKrDiagnostics::new(self.adapter(name)?)
    }

    /// The adapter of that name made ready for inference: [`crate::LoKrAdapter::compile`].
    ///
    /// # Errors
    /// As [`Sequential::adapter`] and [`crate::LoKrAdapter::compile`].
    pub fn compile(&self, name: &str, max_batch: usize) -> Result<CompiledLoKr<T>> {
        CompiledLoKr::new(self.adapter(name)?, max_batch)
    }

    fn no_such(&self, name: &str) -> LayerError {
        LayerError::NoSuchLayer { wanted: name.to_owned(), layers: leaf_names(self) }
    }
}

fn no_adapter(name: &str, layer: &'static str) -> LayerError {
    LayerError::NotAnAdapter { name: name.to_owned(), layer }
}

/// What of `name` is left behind the name of a layer and a dot.
fn inside<'n>(name: &'n str, layer: &str) -> Option<&'n str> {
    name.strip_prefix(layer)?.strip_prefix('.')
}

fn find<'l, T: Scalar>(layer: &'l dyn Layer<T>, name: &str) -> Option<&'l dyn Layer<T>> {
    layer.children().into_iter().find_map(|(own, child)| match inside(name, own) {
        _ if own == name => Some(child),
        Some(rest) => find(child, rest),
        None => None,
    })
}

fn find_mut<'l, T: Scalar>(layer: &'l mut dyn Layer<T>, name: &str) -> Option<&'l mut Box<dyn Layer<T>>> {
    layer.children_mut().into_iter().find_map(|(own, child)| match inside(name, own) {
        _ if own == name => Some(child),
        Some(rest) => find_mut(&mut **child, rest),
        None => None,
    })
}

/// The layers that are made of no others, with their whole names, first to last.
pub(super) fn leaves<T: Scalar>(layer: &dyn Layer<T>) -> Vec<(String, &dyn Layer<T>)> {
    let mut found = Vec::new();
    for (name, child) in layer.children() {
        let inner = leaves(child);
        if inner.is_empty() {
            found.push((name.to_owned(), child));
        }
        found.extend(inner.into_iter().map(|(rest, leaf)| (format!("{name}.{rest}"), leaf)));
    }
    found
}

/// [`leaves`], writable.
pub(super) fn leaves_mut<T: Scalar>(layer: &mut dyn Layer<T>) -> Vec<(String, &mut Box<dyn Layer<T>>)> {
    let mut found = Vec::new();
    for (name, child) in layer.children_mut() {
        if child.children().is_empty() {
            found.push((name.to_owned(), child));
        } else {
            let inner = leaves_mut(&mut **child);
            found.extend(inner.into_iter().map(|(rest, leaf)| (format!("{name}.{rest}"), leaf)));
        }
    }
    found
}

/// The names of [`leaves`].
pub(super) fn leaf_names<T: Scalar>(network: &Sequential<T>) -> Vec<String> {
    leaves(network).into_iter().map(|(name, _)| name).collect()
}
