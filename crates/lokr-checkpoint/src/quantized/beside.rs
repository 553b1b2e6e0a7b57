//! What tells how a weight is stored: tensors beside it, the header, and the model's configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::layout::marked_path;
use crate::file::Tensor;

/// The header's free text in which `ComfyUI` lists quantised layers.
pub(crate) const METADATA: &str = "_quantization_metadata";

/// Whether a header's name of a layer, which may be less than its whole path, is that of a module.
pub(crate) fn names_module(layer: &str, module: &str) -> bool {
    module.strip_suffix(layer).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What a model tells of its weights in one place.
#[derive(Debug, Default)]
pub(crate) struct Description {
    /// Layers by their names, each with what a `comfy_quant` beside it would say.
    layers: BTreeMap<String, Value>,
    /// `quantization_config` of `config.json`.
    config: Option<Value>,
}

impl Description {
    /// Takes in the free text of a header; one that is no list of layers tells nothing.
    pub(crate) fn add_header(&mut self, metadata: &BTreeMap<String, String>) {
        let list = metadata.get(METADATA).and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let Some(layers) = list.as_ref().and_then(|list| list["layers"].as_object()) {
            self.layers.extend(layers.iter().map(|(name, layer)| (name.clone(), layer.clone())));
        }
    }

    /// Takes in a model's `config.json`; one that is not there, or not to be understood, tells nothing.
    pub(crate) fn add_config(&mut self, path: &Path) {
        let Ok(text) = std::fs::read(path) else { return };
        let config = serde_json::from_slice::<Value>(&text).ok();
        self.config = config.and_then(|config| config.get("quantization_config").cloned()).filter(Value::is_object);
    }

    /// Whether `config.json` says that weights are quantised, all in one way.
    pub(crate) fn has_config(&self) -> bool {
        self.config.is_some()
    }

    /// What the header says of a layer.
    fn layer(&self, module: &str) -> Option<&Value> {
        self.layers.iter().find(|(name, _)| names_module(name, module)).map(|(_, layer)| layer)
    }

    /// The size of blocks: `weight_block_size` of transformers, `block_structure` of compressed-tensors.
    fn block(&self) -> Option<[usize; 2]> {
        let config = self.config.as_ref()?;
        let groups = config["config_groups"].as_object().into_iter().flat_map(|groups| groups.values());
        let told = groups.map(|group| &group["weights"]["block_structure"]).chain([&config["weight_block_size"]]);
        told.into_iter().find_map(|block| serde_json::from_value(block.clone()).ok())
    }
}

/// What lies beside a weight in its model.
pub(crate) struct Beside<'a> {
    pub(crate) description: &'a Description,
    /// Finds a tensor by its name.
    pub(crate) find: &'a dyn Fn(&str) -> Option<Tensor>,
    /// Tensors that say that weights below their path have scales: `….scaled_fp8`.
    pub(crate) markers: &'a [String],
}

impl Beside<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        (self.find)(name).is_some()
    }

    /// The first byte of a tensor that holds a small number.
    pub(super) fn number(&self, name: &str) -> Option<u8> {
        (self.find)(name)?.bytes().first().copied()
    }

    /// What `ComfyUI`'s files say of a layer, and which tensor or text says it.
    pub(super) fn layer(&self, module: &str) -> Option<(String, Value)> {
        let name = format!("{module}.comfy_quant");
        match (self.find)(&name) {
            Some(tensor) => Some((name, serde_json::from_slice(tensor.bytes()).unwrap_or_default())),
            None => self.description.layer(module).map(|layer| (METADATA.to_owned(), layer.clone())),
        }
    }

    /// Who says that a weight has a scale; vectors have none.
    pub(super) fn claims_scale(&self, name: &str, shape: &[usize]) -> Option<String> {
        if shape.len() < 2 {
            return None;
        }
        let is_below = |marker: &&String| name.starts_with(marked_path(marker));
        let config = || self.description.has_config().then(|| "quantization_config in config.json".to_owned());
        self.markers.iter().find(is_below).cloned().or_else(config)
    }

    pub(super) fn block(&self) -> Option<[usize; 2]> {
        self.description.block()
    }

    /// Whether scales are powers of two, whatever type holds them.
    pub(super) fn has_exponents(&self) -> bool {
        self.description.config.as_ref().is_some_and(|config| config["scale_fmt"] == "ue8m0")
    }
}
