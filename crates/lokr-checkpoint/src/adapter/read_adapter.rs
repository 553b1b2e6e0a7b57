//! Reading an adapter of any dialect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::adapter::Adapter;
use super::alpha::different_ranks;
use super::options::{NonFinite, ReadOptions};
use super::selection::Selection;
use super::sort_tensors::Sorted;
use super::stated::Stated;
use super::warning::Warning;
use crate::dialect::{ConfigPlace, Evidence, Key, PeftConfig, detect, lycoris, other_algorithm, peft, terms};
use crate::dialects::Dialect;
use crate::error::{FileError, InFile, JobError, NameError, Result};
use crate::file::{TensorFile, parent};
use crate::module::{Layout, Module, ModuleTensors, OtherModule, Parameter, StoredChange, StoredModule, W2};

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
    /// has none, for [`ReadOptions::rename`] of what is in no name, and for [`ReadOptions::only`] and
    /// [`ReadOptions::exclude`] where no module is left; [`JobError::Pattern`]; of the configuration, those of
    /// [`PeftConfig::read`] and [`PeftConfig::scale`]; of keys, [`NameError::NotLokr`], [`NameError::MixedDialects`],
    /// [`NameError::DialectUnclear`], [`NameError::NotPeft`], [`NameError::OtherAlgorithm`],
    /// [`NameError::TuckerFirstFactor`], [`NameError::SeveralAdapters`], [`NameError::UnknownKey`],
    /// [`NameError::DuplicateTarget`]; of one module, [`ModuleError::HalfMissing`](crate::ModuleError::HalfMissing),
    /// [`ModuleError::FactorMissing`](crate::ModuleError::FactorMissing),
    /// [`ModuleError::FactorTwice`](crate::ModuleError::FactorTwice),
    /// [`ModuleError::NonFinite`](crate::ModuleError::NonFinite),
    /// [`ModuleError::AlphaNotFinite`](crate::ModuleError::AlphaNotFinite),
    /// [`ModuleError::AlphaZero`](crate::ModuleError::AlphaZero),
    /// [`ModuleError::TwoChanges`](crate::ModuleError::TwoChanges) and those of [`Module::new`], which those of other
    /// algorithms have as well.
    pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        let path = path.as_ref();
        let is_config = path.file_name().is_some_and(|name| name == peft::CONFIG);
        let path = if is_config { parent(path) } else { path };
        let (file, config) = find_files(path, options).in_file(path)?;
        let file = TensorFile::open(file)?.renamed(&options.rename)?;
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
            TensorFile::open(&old)?;
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
        let keys = || file.names().filter_map(Key::split);
        let (has_lokr, has_lora) = (keys().any(|key| key.is_factor()), keys().any(|key| key.is_peft_lora()));
        let is_wrong = |config: &&PeftConfig| if config.is_lora() { has_lokr } else { has_lora && !has_lokr };
        if let Some((config, path)) = config.as_ref().filter(is_wrong).zip(self.config.as_ref()) {
            return Err(config.wrong_kind().in_file(path));
        }
        let peft_lora = dialect == Dialect::Peft && !has_lokr;
        let mut sorted = Sorted::new(file, dialect, prefix, peft_lora, self.options.foreign)?;
        let mut selection = Selection::new(self.options)?;
        selection.keep_modules(&mut sorted.modules)?;
        selection.keep_whole(&mut sorted.modules_to_save);
        let config = config.map(|config| selection.config(config, &sorted.modules, &sorted.modules_to_save));
        let has_alphas = sorted.modules.values().any(ModuleTensors::has_alpha);
        let beside = self.config_beside(dialect, file, has_alphas).filter(|config| config.is_lora() != has_lokr);
        let mut reader = ModuleReader {
            options: self.options,
            dialect,
            config: config.as_ref(),
            beside: beside.as_ref(),
            stated: Stated::new(file.metadata(), has_alphas),
            warnings: Vec::new(),
        };
        let (mut modules, mut others) = (BTreeMap::new(), Vec::new());
        for (name, tensors) in sorted.modules {
            let stored = tensors.put_together(&name)?;
            others.extend(reader.read_others(&name, &stored)?);
            if let Some(module) = reader.read(&name, stored)? {
                modules.insert(name, module);
            }
        }
        let ModuleReader { stated, mut warnings, .. } = reader;
        if modules.is_empty() && others.is_empty() {
            return Err(NameError::NotLokr.into());
        }
        warnings.extend(different_ranks(modules.values(), &stated));
        if !sorted.marks.is_empty() {
            warnings.push(Warning::MarksIgnored { keys: sorted.marks });
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
            others,
            modules_to_save: sorted.modules_to_save,
            config,
            metadata: file.metadata().clone(),
            left_out: selection.left_out,
            warnings,
        })
    }

    /// PEFT's configuration beside PEFT's file, whose names are those of `ComfyUI`: so writes diffusion-pipe
    /// (`models/base.py`). One that does not fit is there by chance.
    fn config_beside(&self, dialect: Dialect, file: &TensorFile, has_alphas: bool) -> Option<PeftConfig> {
        let is_pefts = file.path().file_name().is_some_and(|name| name == peft::TENSORS);
        let path = self.config.as_ref().filter(|_| is_pefts && dialect == Dialect::Dotted && !has_alphas)?;
        PeftConfig::read(path).ok()
    }

    /// A file of another algorithm alone is named as that, not as an empty one.
    fn detect(&self, file: &TensorFile, evidence: &Evidence<'_>) -> Result<Dialect, NameError> {
        let names: Vec<_> = file.names().collect();
        detect(names.iter().copied(), evidence).map_err(|error| {
            let foreign = || names.iter().filter_map(|key| Some((*key, other_algorithm(key)?)));
            let (NameError::NotLokr, Some((key, (_, algorithm)))) = (&error, foreign().next()) else { return error };
            let modules: BTreeSet<_> = foreign().map(|(_, (module, _))| module.to_owned()).collect();
            NameError::OtherAlgorithm { key: key.to_owned(), algorithm, modules: modules.into_iter().collect() }
        })
    }
}

/// What a module's meaning depends on besides its tensors.
struct ModuleReader<'a> {
    options: &'a ReadOptions,
    dialect: Dialect,
    config: Option<&'a PeftConfig>,
    /// A configuration that only the scale is taken from.
    beside: Option<&'a PeftConfig>,
    stated: Stated,
    warnings: Vec<Warning>,
}

impl ModuleReader<'_> {
    /// The LoKr module, where there is one.
    fn read(&mut self, name: &str, stored: StoredModule) -> Result<Option<Module>> {
        let StoredModule { lokr, alpha, dora_scale, .. } = stored;
        let Some((w1, w2)) = lokr else { return Ok(None) };
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
        let beside = self.beside.and_then(|config| config.scale(name, module.rank()).ok());
        let scale = if beside.is_some() {
            beside
        } else if self.dialect.stores_alpha() {
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
        Ok(Some(module.with_origin(scale, alpha, layout)))
    }

    /// What other algorithms change.
    fn read_others(&mut self, name: &str, stored: &StoredModule) -> Result<Vec<OtherModule>> {
        let mut read = |StoredChange { parameter, change, is_scaled }: &StoredChange| {
            let mut module = OtherModule::new(name, *parameter, change.clone());
            if let Some(rank) = stored.rank().filter(|_| *is_scaled) {
                if self.dialect == Dialect::Peft && self.config.is_none() && *parameter == Parameter::Weight {
                    self.warnings.push(Warning::AlphaAbsent { module: name.to_owned(), other_scale: None });
                }
                let beside = self.beside.and_then(|config| config.scale(name, Some(rank)).ok().zip(config.alpha(name)));
                let (alpha, scale) = match (self.config, beside) {
                    (Some(config), _) => (config.alpha(name), config.scale(name, Some(rank))?),
                    (None, Some((scale, alpha))) => (Some(alpha), scale),
                    (None, None) => self.stated.scale_of_other(
                        name,
                        change,
                        stored.alpha,
                        rank,
                        self.options.zero_alpha,
                        &mut self.warnings,
                    )?,
                };
                let norms = stored.dora_scale.clone().filter(|_| *parameter == Parameter::Weight);
                module = module.with_origin(scale, alpha, norms)?;
            }
            if self.options.non_finite == NonFinite::Refuse {
                module.check_finite()?;
            }
            Ok(module)
        };
        stored.others.iter().map(&mut read).collect()
    }
}
