//! Adapters from one dialect to another.

use std::collections::{BTreeMap, BTreeSet};

use super::adapter::Adapter;
use super::assemble::{Origin, assemble};
use super::in_parts::in_parts;
use super::place::{Place, PlacedModule, network, place_modules, place_others, text_encoders};
use super::rename::Namer;
use super::resolve::Unmatched;
use crate::dialect::Holds;
use crate::dialect::part::TextEncoders;
use crate::dialects::Dialect;
use crate::error::{InFile, JobError, ModuleError, Result};
use crate::file::{FloatType, Tensor};
use crate::model::BaseModel;
use crate::module::{OtherModule, ScaleRule};

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
    /// What stands before every name, in place of what is usual: `base_model.model.` in PEFT, `lycoris_`, a prefix per
    /// model in kohya's files, `diffusion_model.` before the dotted names of an image model.
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

impl Adapter {
    /// This adapter in another dialect or element type, with the same effect.
    ///
    /// Underscored names cannot be undone, so from LyCORIS's or kohya's dialect to PEFT's or the dotted one the base
    /// model is needed. Where it is given, the new names are those of its modules, and the result is checked to mean
    /// the same weights; a module whose weight it keeps in parts becomes one for each part, where the rows of `w1` can
    /// be shared out so. In its own dialect the adapter keeps its names, unless a prefix is given.
    ///
    /// # Cost
    /// Tensors that change neither type nor value share the bytes of this adapter.
    /// # Errors
    /// Those of [`Adapter::from_modules`]; [`NameError::BaseNeeded`](crate::NameError::BaseNeeded); with a base those
    /// of [`Adapter::resolve`]; [`JobError::SeveralTerms`] from [`Dialect::Terms`] to another one;
    /// [`ModuleError::CannotHold`] for `modules_to_save` outside of PEFT, and for other algorithms than LoKr in PEFT
    /// and in sums of terms; [`ModuleError::NonFinite`] for values that
    /// overflow the new type.
    pub fn convert(&self, options: &ConvertOptions, base: Option<&BaseModel>) -> Result<Conversion> {
        self.converted(options, base).in_file(self.path())
    }

    fn converted(&self, options: &ConvertOptions, base: Option<&BaseModel>) -> Result<Conversion> {
        let dialect = options.dialect;
        if let Some((tensor, _)) = self.modules_to_save().first_key_value().filter(|_| dialect != Dialect::Peft) {
            let (module, reason) =
                (tensor.clone(), "it replaces a whole tensor of the base model, as PEFT's modules_to_save");
            return Err(ModuleError::CannotHold { module, dialect, reason }.into());
        }
        let (placed, others) = (place_modules(self, base)?, place_others(self, base)?);
        let placed = match base {
            Some(base) => in_parts(placed, base, dialect)?,
            None => placed,
        };
        if self.dialect() == Dialect::Terms && dialect != Dialect::Terms {
            let mut paths = BTreeSet::new();
            let path = |module: &PlacedModule| match &module.place {
                Place::Path(path) | Place::Flat { name: path, .. } => path.clone(),
            };
            if let Some(module) = placed.iter().map(path).find(|path| !paths.insert(path.clone())) {
                return Err(JobError::SeveralTerms { module, operation: "written in another dialect" }.into());
            }
        }
        let encoders = base.map_or_else(|| text_encoders(&placed), |base| TextEncoders::count(base.names()));
        // No program looks such names up.
        let unreadable = |name: &String| dialect == Dialect::Dotted && name.starts_with("model.diffusion_model.");
        let renamed = dialect != self.dialect() || options.prefix.is_some() || self.modules().keys().any(unreadable);
        let kept = (!renamed).then(|| self.prefix());
        let network = base.map(network).unwrap_or_default();
        let namer = Namer { dialect, prefix: options.prefix.as_deref(), encoders, network };
        let origin = Origin { adapter: Some(self), kept_prefix: kept, config: Holds::Everything };
        let mut adapter = assemble((placed, others), &namer, &origin, options.scale)?;
        let roundings = match options.dtype {
            Some(dtype) => adapter.round(dtype)?,
            None => Vec::new(),
        };
        if let Some(base) = base {
            adapter.resolve(base, Unmatched::Refuse)?;
        }
        Ok(Conversion { adapter, roundings })
    }

    /// Rounds all tensors of the modules, and tells what that cost.
    fn round(&mut self, dtype: FloatType) -> Result<Vec<Rounding>> {
        let mut roundings = Vec::new();
        let (mut modules, mut to_save) = (BTreeMap::new(), BTreeMap::new());
        let mut one = |name: &str, key, tensor: &Tensor| {
            let (rounded, relative_error) = round(tensor, &format!("{name}.{key}"), dtype)?;
            if relative_error > 0.0 {
                roundings.push(Rounding { module: name.to_owned(), key, relative_error });
            }
            Ok(rounded)
        };
        for (name, module) in &self.modules {
            modules.insert(name.clone(), module.clone().map_tensors(|key, tensor| one(name, key, tensor))?);
        }
        let round_other =
            |module: &OtherModule| module.clone().map_tensors(|key, tensor| one(module.name(), key, tensor));
        let others = self.others.iter().map(round_other).collect::<Result<_>>()?;
        for (name, tensor) in &self.modules_to_save {
            let is_float = FloatType::from_dtype(tensor.dtype()).is_some();
            let rounded = if is_float { round(tensor, name, dtype)?.0 } else { tensor.clone() };
            to_save.insert(name.clone(), rounded);
        }
        (self.modules, self.others, self.modules_to_save) = (modules, others, to_save);
        Ok(roundings)
    }
}

fn round(tensor: &Tensor, key: &str, dtype: FloatType) -> Result<(Tensor, f64)> {
    if tensor.dtype() == dtype.dtype() {
        return Ok((tensor.clone(), 0.0));
    }
    let rounded = tensor.scaled(key, 1.0, dtype)?;
    let (before, after) = (tensor.to_array::<f64>(key)?, rounded.to_array::<f64>(key)?);
    let norm = |values: &ndarray::ArrayD<f64>| values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&(&after - &before));
    Ok((rounded, if difference == 0.0 { 0.0 } else { difference / norm(&before) }))
}
