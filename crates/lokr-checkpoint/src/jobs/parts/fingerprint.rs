//! Numbers for what a job was given: equal for the same, and by all likelihood for nothing else.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::adapter::Adapter;
use crate::error::Result;
use crate::model::BaseModel;
use crate::module::Strength;

/// What a job was given, each with its number.
pub(in crate::jobs) type Fingerprints = BTreeMap<String, String>;

/// The names, types and shapes of a model's tensors, and the sizes of its files. Their values are not read: they may
/// take an hour.
pub(in crate::jobs) fn model(model: &BaseModel) -> String {
    let mut hasher = DefaultHasher::new();
    for file in model.files() {
        (model.relative(file.path()), file.data_bytes(), file.metadata()).hash(&mut hasher);
        for name in file.names() {
            (name, format!("{:?}", file.info(name))).hash(&mut hasher);
        }
    }
    text(&hasher)
}

/// Everything that adapters change, and how strongly.
pub(in crate::jobs) fn adapters(adapters: &[(&Adapter, Strength)]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for (adapter, strength) in adapters {
        (adapter.dialect(), format!("{strength:?}")).hash(&mut hasher);
        for module in adapter.modules().values() {
            (module.name(), module.scale().map(f64::to_bits), module.alpha().map(f64::to_bits)).hash(&mut hasher);
        }
        for module in adapter.others() {
            (module.name(), module.parameter(), module.scale().to_bits()).hash(&mut hasher);
        }
        for (key, tensor) in adapter.tensors()? {
            (key, tensor.shape(), format!("{:?}", tensor.dtype())).hash(&mut hasher);
            hasher.write(tensor.bytes());
        }
    }
    Ok(text(&hasher))
}

/// Options, as they are printed.
pub(in crate::jobs) fn options(options: &impl Debug) -> String {
    let mut hasher = DefaultHasher::new();
    format!("{options:?}").hash(&mut hasher);
    text(&hasher)
}

fn text(hasher: &DefaultHasher) -> String {
    format!("{:016x}", hasher.finish())
}
