//! Adapters from modules, and from one dialect to another.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use crate::dialect::kohya::TextEncoders;
use crate::dialect::peft::whole_modules;
use crate::dialect::peft_fit::{Holds, config_for};
use crate::fit::{Surroundings, fit};
use crate::rename::{Located, Namer, Place, locate};
use crate::targets::{Names, targets};
use crate::{
    Adapter, BaseModel, CheckpointError, Dialect, FloatType, Module, Result, ScaleRule, Tensor, Unmatched, W1, W2,
};

/// What [`Adapter::convert`] makes of an adapter.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{ConvertOptions, Dialect, FloatType};
///
/// let options = ConvertOptions { dtype: Some(FloatType::Bf16), ..ConvertOptions::to(Dialect::Lycoris) };
/// assert_eq!(options.prefix, None);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ConvertOptions {
    /// The dialect to write.
    pub dialect: Dialect,
    /// What stands before every name, in place of what is usual: `base_model.model.` in PEFT, `lycoris_`, a prefix per model
    /// in kohya's files, nothing before dotted names.
    pub prefix: Option<String>,
    /// The type to round the tensors to; their own otherwise. `alpha` is not touched.
    pub dtype: Option<FloatType>,
    /// The scale that the adapter stands for.
    pub scale: ScaleRule,
}

impl ConvertOptions {
    /// With everything else as it is usual.
    #[must_use]
    pub fn to(dialect: Dialect) -> Self {
        Self { dialect, prefix: None, dtype: None, scale: ScaleRule::default() }
    }
}

/// A converted adapter, and what its tensors lost.
#[derive(Debug)]
pub struct Conversion {
    /// The adapter, whose [`Adapter::warnings`] are those of the conversion.
    pub adapter: Adapter,
    /// Tensors whose values changed by rounding to another type, by how much.
    pub roundings: Vec<Rounding>,
}

/// A tensor's loss to another element type.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounding {
    /// The module, by its new name.
    pub module: String,
    /// The tensor's suffix.
    pub key: &'static str,
    /// `‖after − before‖ / ‖before‖`, Frobenius norms.
    pub relative_error: f64,
}

/// A module on its way.
struct Part {
    module: Module,
    located: Located,
}

impl Adapter {
    /// An adapter of modules that are named by their paths in the base model, such as `layers.0.q_proj`, to be written in
    /// `dialect`: names are made from the paths, scales are placed as the dialect demands, and PEFT's configuration is made.
    ///
    /// # Errors
    /// [`CheckpointError::CannotHold`], [`CheckpointError::PeftFactors`], [`CheckpointError::NotKronecker`] for what the
    /// dialect has no place for; [`CheckpointError::DuplicateTarget`] for paths that become one name;
    /// [`CheckpointError::ScaleUnknown`], [`CheckpointError::AlphaNotFinite`]; [`CheckpointError::NotLokr`] without modules.
    /// # Examples
    /// ```
    /// use lokr_checkpoint::{Adapter, Dialect, FloatType, Module, Tensor, W1, W2};
    /// use ndarray::array;
    ///
    /// let w1 = W1::Full(Tensor::from_array(&array![[1.0, 2.0]], FloatType::F32));
    /// let w2 = W2::Full(Tensor::from_array(&array![[1.0], [3.0]], FloatType::F32));
    /// let adapter = Adapter::from_modules(Dialect::Lycoris, [Module::new("layers.0.q_proj", w1, w2, 1.0)?])?;
    /// assert_eq!(adapter.modules().keys().collect::<Vec<_>>(), ["lycoris_layers_0_q_proj"]);
    /// # Ok::<(), lokr_checkpoint::CheckpointError>(())
    /// ```
    pub fn from_modules(dialect: Dialect, modules: impl IntoIterator<Item = Module>) -> Result<Self> {
        let parts: Vec<_> = modules
            .into_iter()
            .map(|module| {
                let name = module.name().to_owned();
                let place = Place::Path(name.clone());
                Part { module, located: Located { name, place, weight: None } }
            })
            .collect();
        let namer = Namer { dialect, prefix: None, encoders: encoders(&parts) };
        assemble(parts, &namer, &Origin::default(), ScaleRule::Trained)
    }

    /// This adapter in another dialect or element type, with the same effect.
    ///
    /// Underscored names cannot be undone, so from LyCORIS's or kohya's dialect to PEFT's or the dotted one the base model
    /// is needed. Where it is given, the new names are those of its modules, and the result is checked to mean the same
    /// weights. In its own dialect the adapter keeps its names, unless a prefix is given.
    ///
    /// # Cost
    /// Tensors that change neither type nor value share the bytes of this adapter.
    /// # Errors
    /// Those of [`Adapter::from_modules`]; [`CheckpointError::BaseNeeded`]; with a base those of [`Adapter::resolve`];
    /// [`CheckpointError::CannotHold`] for `modules_to_save` outside of PEFT; [`CheckpointError::NonFinite`] for values that
    /// overflow the new type.
    pub fn convert(&self, options: &ConvertOptions, base: Option<&BaseModel>) -> Result<Conversion> {
        self.converted(options, base).map_err(|error| error.in_file(self.path()))
    }

    fn converted(&self, options: &ConvertOptions, base: Option<&BaseModel>) -> Result<Conversion> {
        let dialect = options.dialect;
        if let Some((tensor, _)) = self.extra().first_key_value().filter(|_| dialect != Dialect::Peft) {
            let (module, reason) =
                (tensor.clone(), "it replaces a whole tensor of the base model, as PEFT's modules_to_save");
            return Err(CheckpointError::CannotHold { module, dialect, reason });
        }
        let parts: Vec<_> = locate(self, base)?
            .into_iter()
            .filter_map(|located| Some(Part { module: self.modules().get(&located.name)?.clone(), located }))
            .collect();
        let encoders = base.map_or_else(|| encoders(&parts), |base| TextEncoders::count(base.names()));
        let kept = (dialect == self.dialect() && options.prefix.is_none()).then(|| self.prefix());
        let namer = Namer { dialect, prefix: options.prefix.as_deref(), encoders };
        let origin = Origin { adapter: Some(self), kept_prefix: kept, config: Holds::Everything };
        let mut adapter = assemble(parts, &namer, &origin, options.scale)?;
        let roundings = match options.dtype {
            Some(kind) => adapter.round(kind)?,
            None => Vec::new(),
        };
        if let Some(base) = base {
            adapter.resolve(base, Unmatched::Refuse)?;
        }
        Ok(Conversion { adapter, roundings })
    }

    /// An adapter like this one, in its dialect and with its metadata, of other modules and whole tensors, named as those of
    /// this file are. What PEFT's configuration says of shapes, ranks and scales is made anew where it no longer holds.
    pub(crate) fn with_modules(
        &self,
        modules: BTreeMap<String, Module>,
        extra: BTreeMap<String, Tensor>,
        base: Option<&BaseModel>,
    ) -> Result<Self> {
        let same_splits = modules.iter().all(|(name, module)| self.splits_as(name, module));
        let same_whole = extra.keys().all(|key| self.extra().contains_key(key));
        let config = match &self.config {
            Some(config) if !same_whole => Some(config.with_field("modules_to_save", json!(whole_modules(&extra)))),
            config => config.clone(),
        };
        let new = Self {
            path: self.path.clone(),
            dialect: self.dialect,
            prefix: self.prefix.clone(),
            modules,
            extra,
            config,
            metadata: self.metadata.clone(),
            warnings: Vec::new(),
        };
        let holds = if same_splits { Holds::Splits } else { Holds::Rest };
        new.rebuilt(holds, base).map_err(|error| error.in_file(self.path()))
    }

    /// Whether PEFT would make the factors of both in the same form, up to their rank.
    fn splits_as(&self, name: &str, module: &Module) -> bool {
        let form = |module: &Module| {
            let low_rank_w1 = matches!(module.w1(), W1::LowRank { .. });
            (module.w1().dim(), module.w2().dim(), low_rank_w1, matches!(module.w2(), W2::Tucker { .. }))
        };
        self.modules().get(name).is_some_and(|own| form(own) == form(module))
    }

    fn rebuilt(&self, holds: Holds, base: Option<&BaseModel>) -> Result<Self> {
        let weights: BTreeMap<_, _> = match base {
            Some(_) => targets(self, base, Names::Adapter)?.into_iter().map(|t| (t.name, t.weight)).collect(),
            None => BTreeMap::new(),
        };
        let part = |(name, module): (&String, &Module)| {
            if !self.dialect.accepts(name, &self.prefix) {
                let (module, reason) = (name.clone(), "its name is none of this file's");
                return Err(CheckpointError::CannotHold { module, dialect: self.dialect, reason });
            }
            let place = Place::Flat { name: name.clone(), rest: name.clone() };
            let weight = weights.get(name).cloned().flatten();
            Ok(Part { module: module.clone(), located: Located { name: name.clone(), place, weight } })
        };
        let parts = self.modules.iter().map(part).collect::<Result<Vec<_>>>()?;
        let namer = Namer { dialect: self.dialect, prefix: None, encoders: encoders(&parts) };
        let origin = Origin { adapter: Some(self), kept_prefix: Some(self.prefix()), config: holds };
        assemble(parts, &namer, &origin, ScaleRule::Trained)
    }

    /// Rounds all tensors of the modules, and tells what that cost.
    fn round(&mut self, kind: FloatType) -> Result<Vec<Rounding>> {
        let mut roundings = Vec::new();
        let (mut modules, mut extra) = (BTreeMap::new(), BTreeMap::new());
        for (name, module) in &self.modules {
            let rounded = module.clone().map_tensors(|key, tensor| {
                let (rounded, relative_error) = round(tensor, key, kind)?;
                let count = rounded.count_non_finite(key)?;
                if count > tensor.count_non_finite(key)? {
                    return Err(CheckpointError::NonFinite { module: name.clone(), key, count });
                }
                if relative_error > 0.0 {
                    roundings.push(Rounding { module: name.clone(), key, relative_error });
                }
                Ok(rounded)
            })?;
            modules.insert(name.clone(), rounded);
        }
        for (name, tensor) in &self.extra {
            let is_float = FloatType::from_dtype(tensor.dtype()).is_some();
            let rounded = if is_float { round(tensor, name, kind)?.0 } else { tensor.clone() };
            extra.insert(name.clone(), rounded);
        }
        (self.modules, self.extra) = (modules, extra);
        Ok(roundings)
    }
}

fn round(tensor: &Tensor, key: &str, kind: FloatType) -> Result<(Tensor, f64)> {
    if tensor.dtype() == kind.dtype() {
        return Ok((tensor.clone(), 0.0));
    }
    let rounded = tensor.scaled(key, 1.0, kind)?;
    let (before, after) = (tensor.to_array::<f64>(key)?, rounded.to_array::<f64>(key)?);
    let norm = |values: &ndarray::ArrayD<f64>| values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&(&after - &before));
    Ok((rounded, if difference == 0.0 { 0.0 } else { difference / norm(&before) }))
}

fn encoders(parts: &[Part]) -> TextEncoders {
    TextEncoders::count(parts.iter().filter_map(|part| match &part.located.place {
        Place::Path(path) => Some(path.as_str()),
        Place::Flat { .. } => None,
    }))
}

/// What an adapter is made from, besides its modules.
#[derive(Default)]
struct Origin<'a> {
    adapter: Option<&'a Adapter>,
    /// The prefix of names that stay as they are.
    kept_prefix: Option<&'a str>,
    /// What of its configuration holds for the modules.
    config: Holds,
}

fn assemble(parts: Vec<Part>, namer: &Namer<'_>, origin: &Origin<'_>, rule: ScaleRule) -> Result<Adapter> {
    let dialect = namer.dialect;
    let source = origin.adapter.map(Adapter::dialect);
    let (mut modules, mut weights, mut warnings) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for Part { module, located } in parts {
        let name = if origin.kept_prefix.is_some() { located.name.clone() } else { namer.name(&located.place)? };
        if let Some(first) = names.insert(name.clone(), located.name.clone()) {
            return Err(CheckpointError::DuplicateTarget { first, second: located.name, target: name });
        }
        let scale = module.scale_by(rule)?;
        let surroundings = Surroundings { source, target: dialect, weight: located.weight.as_deref(), scale };
        modules.insert(name.clone(), fit(module.renamed(&name), surroundings, &mut warnings)?);
        weights.extend(located.weight.map(|weight| (name, weight)));
    }
    if modules.is_empty() {
        return Err(CheckpointError::NotLokr);
    }
    let config = match dialect {
        Dialect::Peft => Some(config_for(
            &modules,
            &weights,
            origin.adapter.and_then(Adapter::config).map(|config| (config, origin.config)),
        )?),
        _ => None,
    };
    Ok(Adapter {
        path: origin.adapter.map_or_else(PathBuf::new, |adapter| adapter.path().to_owned()),
        dialect,
        prefix: origin.kept_prefix.unwrap_or(namer.file_prefix()).to_owned(),
        modules,
        extra: origin.adapter.map(|adapter| adapter.extra().clone()).unwrap_or_default(),
        config,
        metadata: origin.adapter.map(|adapter| adapter.metadata().clone()).unwrap_or_default(),
        warnings,
    })
}
