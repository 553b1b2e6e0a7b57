//! Writing an adapter in its dialect.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use serde_json::Value;

use super::adapter::Adapter;
use super::alpha::{alpha_type, stored_alpha, stored_alpha_of};
use super::stated::Stated;
use crate::dialect::{Holds, config_for, peft};
use crate::dialects::Dialect;
use crate::error::{InFile, Result};
use crate::file::{FloatType, OutputDirectory, Overwrite, Tensor, write_tensors};
use crate::module::ALPHA;

impl Adapter {
    /// The tensors of its file by their keys, `alpha` included where the dialect stores it.
    ///
    /// # Errors
    /// [`ModuleError::ScaleUnknown`](crate::ModuleError::ScaleUnknown);
    /// [`FileError::OutOfRange`](crate::FileError::OutOfRange) for an `alpha` beyond the type it is stored in.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let placeholder = Stated::new(self.metadata(), true).placeholder();
        // LyCORIS's prefix is part of its modules' names.
        let prefix = if self.dialect() == Dialect::Peft { self.prefix() } else { "" };
        let mut tensors = BTreeMap::new();
        for (name, module) in self.modules() {
            let own = module.tensors().into_iter();
            tensors.extend(own.map(|(suffix, tensor)| (format!("{prefix}{name}.{suffix}"), tensor.clone())));
            if self.dialect().stores_alpha() {
                let alpha = ArrayD::from_elem(IxDyn(&[]), stored_alpha(module, placeholder)?);
                let key = format!("{name}.{ALPHA}");
                let alpha = Tensor::rounded(&key, &alpha, alpha_type(module))?;
                tensors.insert(key, alpha);
            }
        }
        for module in self.others() {
            let name = module.name();
            let own = module.tensors().into_iter();
            tensors.extend(own.map(|(suffix, tensor)| (format!("{name}.{suffix}"), tensor.clone())));
            if let Some(alpha) = stored_alpha_of(module) {
                let key = format!("{name}.{ALPHA}");
                let alpha = ArrayD::from_elem(IxDyn(&[]), alpha);
                tensors.insert(key.clone(), Tensor::rounded(&key, &alpha, FloatType::F32)?);
            }
        }
        tensors.extend(self.modules_to_save().iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())));
        Ok(tensors)
    }

    /// Writes it in its dialect: a directory with `adapter_config.json` and `adapter_model.safetensors` for PEFT, one
    /// safetensors file for the others. What is there is replaced only as a whole and at the end; the same adapter
    /// gives the same bytes.
    ///
    /// # Errors
    /// [`ModuleError::ScaleUnknown`](crate::ModuleError::ScaleUnknown); for PEFT without a configuration those of
    /// making one, as in [`Adapter::from_modules`]; those of [`write_tensors`] and [`OutputDirectory`].
    /// # Examples
    /// ```
    /// use lokr_checkpoint::{Adapter, Dialect, FloatType, Module, Overwrite, ReadOptions, Tensor, W1, W2};
    /// use ndarray::array;
    ///
    /// // Factors as PEFT makes them of a 2 × 2 weight: it does not take their shapes from the file.
    /// let w1 = W1::Full(Tensor::from_array(&array![[2.0]], FloatType::F32));
    /// let w2 = W2::Full(Tensor::from_array(&array![[1.0, 0.0], [3.0, 1.0]], FloatType::F32));
    /// let adapter = Adapter::from_modules(Dialect::Peft, [Module::new("layers.0.q", w1, w2, 0.5)?])?;
    ///
    /// let folder = tempfile::tempdir()?;
    /// adapter.write(folder.path().join("mine"), Overwrite::Refuse)?;
    /// let back = Adapter::read(folder.path().join("mine"), &ReadOptions::default())?;
    /// assert_eq!(back.modules()["layers.0.q"].scale(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write(&self, path: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        let path = path.as_ref();
        let tensors = self.tensors().in_file(path)?;
        if self.dialect() != Dialect::Peft {
            return write_tensors(path, &tensors, self.metadata(), overwrite);
        }
        let config = self.peft_config().in_file(path)?;
        write_peft(path, &tensors, self.metadata().clone(), &config, overwrite)
    }

    /// The configuration's text, its fields sorted as PEFT sorts them.
    fn peft_config(&self) -> Result<Vec<u8>> {
        let config =
            config_for(self.modules(), &BTreeMap::new(), self.config().map(|config| (config, Holds::Everything)))?;
        Ok(serde_json::to_vec_pretty(&Value::Object(config.fields().clone()))?)
    }
}

/// Writes a directory as PEFT does, which appears whole or not at all.
pub(crate) fn write_peft(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    mut metadata: BTreeMap<String, String>,
    config: &[u8],
    overwrite: Overwrite,
) -> Result<()> {
    let output = OutputDirectory::create(path, overwrite)?;
    // What PEFT writes there, and other programs ask for.
    metadata.entry("format".to_owned()).or_insert_with(|| "pt".to_owned());
    write_tensors(output.path().join(peft::TENSORS), tensors, &metadata, Overwrite::Refuse)?;
    std::fs::write(output.path().join(peft::CONFIG), config).in_file(path)?;
    output.finish()
}
