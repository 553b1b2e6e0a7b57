//! Reading an adapter of any dialect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::adapter::Adapter;
use super::alpha::StatedRanks;
use super::options::{NonFinite, ReadOptions};
use super::selection::Selection;
use super::sort_tensors::Sorted;
use super::warning::Warning;
use crate::dialect::{ConfigPlace, Evidence, PeftConfig, detect, lycoris, other_algorithm, peft, terms};
use crate::dialects::Dialect;
use crate::error::{FileError, InFile, JobError, NameError, Result};
use crate::file::{TensorFile, parent, pickle};
use crate::module::{Layout, Module, StoredModule, W2};

impl Adapter {
    /// Reads a safetensors file, or a PEFT directory with `adapter_config.json` and `adapter_model.safetensors`, which
    /// may be given by either of the two as well.
    ///
    /// The file's header is read and checked, and its factors are looked through for NaN; their data stay on disk until
    /// they are used. The dialect is found from the keys unless the options say it.
    ///
    /// # Errors
    /// Every error names the file. Of the container, those of [`TensorFile::open`]; of a directory,
    /// [`FileError::Missing`], [`FileError::NotAnAdapter`]; [`JobError::Option`] for a configuration of a dialect that
    /// has none, and for [`ReadOptions::only`] and [`ReadOptions::exclude`] where no module is left;
    /// [`JobError::Pattern`]; of the configuration, those of [`PeftConfig::read`] and [`PeftConfig::scale`]; of keys,
    /// [`NameError::NotLokr`], [`NameError::MixedDialects`], [`NameError::DialectUnclear`], [`NameError::NotPeft`],
    /// [`NameError::OtherAlgorithm`], [`NameError::TuckerFirstFactor`], [`NameError::SeveralAdapters`],
    /// [`NameError::UnknownKey`], [`NameError::DuplicateTarget`]; of one module,
    /// [`ModuleError::HalfMissing`](crate::ModuleError::HalfMissing),
    /// [`ModuleError::FactorMissing`](crate::ModuleError::FactorMissing),
    /// [`ModuleError::FactorTwice`](crate::ModuleError::FactorTwice),
    /// [`ModuleError::NonFinite`](crate::ModuleError::NonFinite),
    /// [`ModuleError::AlphaNotFinite`](crate::ModuleError::AlphaNotFinite),
    /// [`ModuleError::AlphaZero`](crate::ModuleError::AlphaZero) and those of [`Module::new`].
    pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        let path = path.as_ref();
        let is_config = path.file_name().is_some_and(|name| name == peft::CONFIG);
        let path = if is_config { parent(path) } else { path };
        let (file, config) = find_files(path, options).in_file(path)?;
        let file = TensorFile::open(file)?;
        Reader { options, config }.read(path, &file).in_file(file.path())
    }
}

/// The file with the tensors, and the configuration's place where there is one.
fn find_files(path: &Path, options: &ReadOptions) -> Result<(PathBuf, Option<PathBuf>)> {
    let missing = |name: &str| Err(FileError::Missing { expected: name.to_owned() }.into());
    let beside = |directory: &Path| Some(directory.join(peft::CONFIG)).filter(|config| config.is_file());
    if !path.is_dir() {
        let config = options.config.clone().or_else(|| beside(path.parent()?));
        return Ok((path.to_owned(), config));
    }
    let file = path.join(peft::TENSORS);
    if !file.is_file() {
        let old = path.join(peft::PICKLE);
        if old.is_file() {
            pickle::check_name(&old).in_file(&old)?;
        }
        return Err(not_an_adapter(path)?.into());
    }
    match options.config.clone().or_else(|| beside(path)) {
        None => missing(peft::CONFIG),
        config => Ok((file, config)),
    }
}

/// What a directory without an adapter's tensors has in their place.
fn not_an_adapter(directory: &Path) -> Result<FileError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "model_index.json" {
            return Ok(FileError::NotAnAdapter { found: "this is a pipeline, which is a model".to_owned() });
        }
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            files.push(name);
        }
    }
    files.sort();
    Ok(match files.is_empty() {
        true => FileError::Missing { expected: peft::TENSORS.to_owned() },
        false => FileError::NotAnAdapter { found: format!("give the file itself: {}", files.join(" or ")) },
    })
}

struct Reader<'a> {
    options: &'a ReadOptions,
    config: Option<PathBuf>,
}

impl Reader<'_> {
    fn read(&self, path: &Path, file: &TensorFile) -> Result<Adapter> {
        let prefix = self.options.prefix.as_deref().unwrap_or(lycoris::PREFIX);
        let config = match &self.config {
            None => ConfigPlace::Nowhere,
            Some(_) if path.is_dir() || self.options.config.is_some() => ConfigPlace::Given,
            Some(_) => ConfigPlace::Beside,
        };
        let evidence = Evidence { prefix, config };
        let dialect = match self.options.dialect {
            Some(dialect) => dialect,
            None if terms::declared(file.metadata()) => Dialect::Terms,
            None => self.detect(file, &evidence)?,
        };
        if dialect != Dialect::Peft && self.options.config.is_some() {
            let expected = "that of PEFT, which alone has a configuration";
            let found = format!("the {dialect} dialect");
            return Err(JobError::Option { option: "config", expected, found }.into());
        }
        let config = match (&self.config, dialect) {
            (Some(path), Dialect::Peft) => Some(PeftConfig::read(path)?),
            _ => None,
        };
        let mut sorted = Sorted::new(file, dialect, prefix, self.options.foreign)?;
        let mut selection = Selection::new(self.options)?;
        selection.keep_modules(&mut sorted.modules)?;
        selection.keep_whole(&mut sorted.modules_to_save);
        let config = config.map(|config| selection.config(config, &sorted.modules, &sorted.modules_to_save));
        let mut reader = ModuleReader {
            options: self.options,
            dialect,
            config: config.as_ref(),
            stated: StatedRanks::from_metadata(file.metadata()),
            warnings: Vec::new(),
        };
        let mut modules = BTreeMap::new();
        for (name, tensors) in sorted.modules {
            let module = reader.read(&name, tensors.put_together(&name)?)?;
            modules.insert(name, module);
        }
        let mut warnings = reader.warnings;
        if modules.is_empty() {
            return Err(NameError::NotLokr.into());
        }
        if !sorted.skipped.is_empty() {
            warnings.push(Warning::Skipped { keys: sorted.skipped });
        }
        if sorted.base_tensors > 0 {
            warnings.push(Warning::BaseTensorsIgnored { count: sorted.base_tensors });
        }
        let prefix = match dialect {
            Dialect::Lycoris => prefix.to_owned(),
            Dialect::Peft if file.names().any(|name| name.starts_with(peft::PREFIX)) => peft::PREFIX.to_owned(),
            _ => String::new(),
        };
        Ok(Adapter {
            path: path.to_owned(),
            dialect,
            prefix,
            modules,
            modules_to_save: sorted.modules_to_save,
            config,
            metadata: file.metadata().clone(),
            left_out: selection.left_out,
            warnings,
        })
    }

    /// A file of another algorithm alone is named as that, not as an empty one.
    fn detect(&self, file: &TensorFile, evidence: &Evidence<'_>) -> Result<Dialect, NameError> {
        let names: Vec<_> = file.names().collect();
        detect(names.iter().copied(), evidence).map_err(|error| {
            let foreign = names.iter().find_map(|key| Some((*key, other_algorithm(key)?.1)));
            match (error, foreign) {
                (NameError::NotLokr, Some((key, algorithm))) => {
                    NameError::OtherAlgorithm { key: key.to_owned(), algorithm }
                }
                (error, _) => error,
            }
        })
    }
}

/// What a module's meaning depends on besides its tensors.
struct ModuleReader<'a> {
    options: &'a ReadOptions,
    dialect: Dialect,
    config: Option<&'a PeftConfig>,
    stated: StatedRanks,
    warnings: Vec<Warning>,
}

impl ModuleReader<'_> {
    fn read(&mut self, name: &str, stored: StoredModule) -> Result<Module> {
        let StoredModule { w1, w2, alpha, dora_scale } = stored;
        let mut module = Module::new(name, w1, w2, 1.0)?;
        if let Some(dora_scale) = dora_scale {
            if self.dialect == Dialect::Terms {
                let (module, operation) = (name.to_owned(), "one of several terms");
                return Err(JobError::Dora { module, operation }.into());
            }
            module = module.with_dora_scale(dora_scale)?;
        }
        if self.options.non_finite == NonFinite::Refuse {
            module.check_finite()?;
        }
        let scale = if self.dialect.stores_alpha() {
            let zero_alpha = self.options.zero_alpha;
            Some(self.stated.scale(name, alpha, module.rank(), zero_alpha, &mut self.warnings)?)
        } else {
            self.config.map(|config| config.scale(name, module.rank())).transpose()?
        };
        let layout = match module.w2() {
            W2::Full(w2) if self.dialect == Dialect::Peft && w2.shape().len() == 3 => {
                self.warnings.push(Warning::PeftConv1dLayout { module: name.to_owned() });
                Layout::PeftConv1d
            }
            _ => Layout::Kronecker,
        };
        Ok(module.with_origin(scale, alpha, layout))
    }
}
