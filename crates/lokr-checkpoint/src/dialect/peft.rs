//! PEFT: dotted names behind `base_model.model.`, and modules stored whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::file::Tensor;

/// What stands before the names of a saved adapter; an injected model's adapter has bare names.
pub(crate) const PREFIX: &str = "base_model.model.";

/// The files of a PEFT directory, and what it holds instead if it was saved as a pickle.
pub(crate) const TENSORS: &str = "adapter_model.safetensors";
pub(crate) const CONFIG: &str = "adapter_config.json";
pub(crate) const PICKLE: &str = "adapter_model.bin";

/// A name without PEFT's prefix.
pub(crate) fn strip(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// The base tensor that a tensor of `modules_to_save` replaces, or `None` when the key is the base model's own.
///
/// A saved adapter holds nothing but adapters and such tensors, under their plain names. The state of a live model
/// (`live`) holds the whole base model too, and marks them.
pub(crate) fn tensor_to_save(key: &str, live: bool) -> Option<String> {
    let key = strip(key);
    if !live {
        return Some(key.to_owned());
    }
    let (module, rest) = key.split_once(".modules_to_save.")?;
    let (_adapter, parameter) = rest.split_once('.')?;
    Some(format!("{module}.{parameter}"))
}

/// The module that such a tensor belongs to.
pub(crate) fn module_of(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or(tensor, |(module, _)| module)
}

/// The modules of such tensors.
pub(crate) fn modules_to_save(tensors: &BTreeMap<String, Tensor>) -> BTreeSet<&str> {
    tensors.keys().map(|key| module_of(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_to_save_replace_tensors_of_the_base() {
        assert_eq!(tensor_to_save("base_model.model.classifier.weight", false).as_deref(), Some("classifier.weight"));
        let key = "base_model.model.head.out.modules_to_save.default.bias";
        assert_eq!(tensor_to_save(key, true).as_deref(), Some("head.out.bias"));
        assert_eq!(tensor_to_save("base_model.model.fc.base_layer.weight", true), None);
    }
}
