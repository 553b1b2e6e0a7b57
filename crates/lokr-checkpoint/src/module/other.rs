//! What another algorithm than LoKr changes in a layer.

use std::fmt;

use lokr_layers::DoraAxis;
use ndarray::{ArrayD, IxDyn};
use serde::Serialize;

use super::delta_rows::DeltaRows;
use super::difference::Difference;
use super::dora::dora_axis;
use super::factor::check_tensor;
use super::loha::LohaFactors;
use super::lora::LoraFactors;
use super::scale::ScaleRule;
use super::suffix::{DORA_SCALE, LORA};
use crate::error::{ModuleError, Result};
use crate::file::{Tensor, product, rows_mut};

/// A parameter of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Parameter {
    /// `weight`.
    Weight,
    /// `bias`.
    Bias,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
        })
    }
}

/// How a parameter is changed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change {
    /// LoRA, or LoCon in a convolution.
    Lora(LoraFactors),
    /// LoHa.
    Loha(LohaFactors),
    /// A difference that is stored whole.
    Difference(Difference),
}

impl Change {
    /// Whether it is a LoRA in a spelling of programs that store no `alpha` with each: all but kohya's.
    pub(crate) fn goes_without_alpha(&self) -> bool {
        matches!(self, Self::Lora(lora) if lora.tensors()[0].0 != LORA[0].up)
    }
}

/// What a file that holds LoKr modules holds beside them: the change of one parameter by another algorithm.
///
/// Shapes and types are checked when it is read; whether it fits a parameter of the base model, where it is resolved.
/// Values stay in the file until they are used.
#[derive(Debug, Clone)]
pub struct OtherModule {
    name: String,
    parameter: Parameter,
    change: Change,
    scale: f64,
    alpha: Option<f64>,
    dora_scale: Option<Tensor>,
}

impl OtherModule {
    pub(crate) fn new(name: impl Into<String>, parameter: Parameter, change: Change) -> Self {
        Self { name: name.into(), parameter, change, scale: 1.0, alpha: None, dora_scale: None }
    }

    /// What a reader found beside the factors.
    pub(crate) fn with_origin(self, scale: f64, alpha: Option<f64>, dora_scale: Option<Tensor>) -> Result<Self> {
        if let Some(norms) = &dora_scale {
            check_tensor(&self.name, DORA_SCALE, norms)?;
        }
        Ok(Self { scale, alpha, dora_scale, ..self })
    }

    /// The same change of another module.
    pub(crate) fn renamed(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// The same module with each tensor replaced by what `change` makes of it, of the same shape.
    pub(crate) fn map_tensors(self, mut change: impl FnMut(&'static str, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let dora_scale = self.dora_scale.as_ref().map(|tensor| change(DORA_SCALE, tensor)).transpose()?;
        let change = match &self.change {
            Change::Lora(lora) => Change::Lora(lora.map_tensors(change)?),
            Change::Loha(loha) => Change::Loha(loha.map_tensors(change)?),
            Change::Difference(difference) => Change::Difference(difference.map_tensors(change)?),
        };
        Ok(Self { change, dora_scale, ..self })
    }

    /// The same module with another form of its change.
    pub(crate) fn with_change(self, change: Change) -> Self {
        Self { change, ..self }
    }

    /// The name in the adapter, without suffix.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameter that is changed.
    #[must_use]
    pub fn parameter(&self) -> Parameter {
        self.parameter
    }

    /// How it is changed.
    #[must_use]
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// The algorithm, for people: `LoRA`, `LoCon`, `LoHa`, `difference`, `norm`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match &self.change {
            Change::Lora(lora) if lora.is_convolution() => "LoCon",
            Change::Lora(_) => "LoRA",
            Change::Loha(_) => "LoHa",
            Change::Difference(difference) if difference.key().ends_with("_norm") => "norm",
            Change::Difference(_) => "difference",
        }
    }

    /// The scale `s` before the product; 1 for differences.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The `alpha` stored for it, in the file's tensors or its header.
    #[must_use]
    pub fn alpha(&self) -> Option<f64> {
        self.alpha
    }

    /// The rank that `alpha` is divided by; a difference has none.
    #[must_use]
    pub fn rank(&self) -> Option<usize> {
        match &self.change {
            Change::Lora(lora) => Some(lora.rank()),
            Change::Loha(loha) => Some(loha.rank()),
            Change::Difference(_) => None,
        }
    }

    /// The norms of DoRA.
    #[must_use]
    pub fn dora_scale(&self) -> Option<&Tensor> {
        self.dora_scale.as_ref()
    }

    /// All its tensors with their suffixes, except `alpha`.
    #[must_use]
    pub fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        let mut tensors = match &self.change {
            Change::Lora(lora) => lora.tensors(),
            Change::Loha(loha) => loha.tensors(),
            Change::Difference(difference) => vec![(difference.key(), difference.tensor())],
        };
        tensors.extend(self.dora_scale.as_ref().map(|tensor| (DORA_SCALE, tensor)));
        tensors
    }

    /// Values stored, except `alpha`.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.tensors().iter().map(|(_, tensor)| tensor.element_count()).sum()
    }

    /// Checks that it fits a parameter of this shape.
    ///
    /// # Errors
    /// [`ModuleError::ProductShape`], [`ModuleError::Kernel`], [`ModuleError::Axes`] for factors;
    /// [`ModuleError::DifferenceShape`]; [`ModuleError::DoraShape`].
    pub fn check_shape(&self, shape: &[usize]) -> Result<()> {
        match &self.change {
            Change::Lora(lora) => lora.check_weight(&self.name, shape)?,
            Change::Loha(loha) => loha.check_weight(&self.name, shape)?,
            Change::Difference(difference) => difference.check_shape(&self.name, shape)?,
        }
        self.dora_axis(shape).map(|_| ())
    }

    /// The scale that a rule gives. LyCORIS's `merge_to` scales LoHa twice, as it does LoKr, but LoRA once (its
    /// `get_merged_weight`). A difference has no scale.
    pub(crate) fn scale_by(&self, rule: ScaleRule) -> f64 {
        match (rule, &self.change) {
            (_, Change::Difference(_)) | (ScaleRule::Trained, _) => self.scale,
            (ScaleRule::LikeLycorisMerge, Change::Loha(_)) => self.scale * self.scale,
            (ScaleRule::LikeLycorisMerge, _) => self.scale,
            (ScaleRule::Fixed(s), _) => s,
        }
    }

    /// What the norms of `dora_scale` belong to in a weight of this shape, which fits; `None` without DoRA.
    pub(crate) fn dora_axis(&self, weight: &[usize]) -> Result<Option<DoraAxis>> {
        Ok(self.dora_scale.as_ref().map(|scale| dora_axis(&self.name, scale.shape(), weight)).transpose()?)
    }

    /// An error for values that are NaN or infinite.
    pub(crate) fn check_finite(&self) -> Result<()> {
        for (key, tensor) in self.tensors() {
            let count = tensor.count_non_finite(key)?;
            if count > 0 {
                return Err(ModuleError::NonFinite { module: self.name.clone(), key, count }.into());
            }
        }
        Ok(())
    }

    /// The change `s·Δ` as an array of the parameter's shape, without DoRA.
    ///
    /// # Errors
    /// Those of [`OtherModule::check_shape`].
    pub fn delta(&self, shape: &[usize], s: f64) -> Result<ArrayD<f64>> {
        self.check_shape(shape)?;
        let mut delta = ArrayD::zeros(IxDyn(shape));
        let columns = product(shape.get(1..).unwrap_or_default());
        if let Some(values) = delta.as_slice_mut() {
            let mut matrix = rows_mut(values, columns);
            let rows = 0..matrix.nrows();
            DeltaRows::new(&self.change)?.add(s, &mut matrix, rows);
        }
        Ok(delta)
    }

    /// The Frobenius norm of `s·Δ`, computed in memory for a few rows.
    ///
    /// # Cost
    /// For LoHa, that of forming the change; for LoRA, that of its halves' inner products.
    /// # Errors
    /// None that reading it would not have given.
    pub fn frobenius_norm(&self) -> Result<f64> {
        let square = match &self.change {
            Change::Lora(lora) => {
                let [up, down] = lora.halves()?;
                (up.t().dot(&up) * down.dot(&down.t())).sum()
            }
            Change::Loha(loha) => {
                let rows = DeltaRows::new(&self.change)?;
                let (count, columns) = loha.dim();
                let mut row = vec![0f64; columns];
                let mut square = 0.0;
                for index in 0..count {
                    row.fill(0.0);
                    rows.add(1.0, &mut rows_mut(&mut row, columns), index..index + 1);
                    square += row.iter().map(|x| x * x).sum::<f64>();
                }
                square
            }
            Change::Difference(difference) => difference.tensor().frobenius_norm(difference.key())?.powi(2),
        };
        // Rounding may leave a sum of squares a little below zero.
        Ok(self.scale.abs() * f64::max(square, 0.0).sqrt())
    }
}

/// The axes of a parameter flattened to `(rows, columns, kernel)`; a vector is a column.
pub(crate) fn flat(shape: &[usize]) -> (usize, usize, usize) {
    let columns = product(shape.get(1..).unwrap_or_default());
    (shape.first().copied().unwrap_or(1), columns, product(shape.get(2..).unwrap_or_default()))
}
