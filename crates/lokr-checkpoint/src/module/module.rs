//! The adapter of one layer.

use std::ops::Range;

use lokr_layers::DoraAxis;

use super::factor::{W1, W2, check_ranks};
use super::suffix::DORA_SCALE;
use crate::error::{ModuleError, Result};
use crate::file::Tensor;

/// How the product of the factors is laid out in the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `ΔW[i·p + a, j·q + b, k…] = s·w1[i, j]·w2[a, b, k…]`.
    Kronecker,
    /// PEFT's conv1d with a full `w2 (p, q, k)`: the array `T[a, i·q + b, j·k + t] = w1[i, j]·w2[a, b, t]`, read in
    /// row-major order as `(out, in, k)`.
    PeftConv1d,
}

/// The LoKr adapter of one layer, as stored: two factors, their scale, and the norms of DoRA where it has them.
///
/// Shapes and types are checked on construction, so the factors fit each other; whether they fit a weight is asked with
/// [`Module::check_weight`]. Values stay in the file until they are used.
///
/// # Examples
/// ```
/// use lokr_checkpoint::{FloatType, Module, Tensor, W1, W2};
/// use ndarray::array;
///
/// let w1 = W1::Full(Tensor::from_array(&array![[1.0, 2.0]], FloatType::F32));
/// let w2 = W2::Full(Tensor::from_array(&array![[1.0], [3.0]], FloatType::F32));
/// let module = Module::new("layer", w1, w2, 0.5)?;
/// assert_eq!(module.delta::<f32>(&[2, 2], module.scale().unwrap_or(1.0))?, array![[0.5, 1.0], [1.5, 3.0]].into_dyn());
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Module {
    name: String,
    w1: W1,
    w2: W2,
    scale: Option<f64>,
    alpha: Option<f64>,
    dora_scale: Option<Tensor>,
    layout: Layout,
}

impl Module {
    /// A module of two factors with scale `s`; the name is for errors and for writing.
    ///
    /// # Errors
    /// [`FileError::TensorDtype`](crate::FileError::TensorDtype), [`ModuleError::ZeroAxis`], [`ModuleError::Axes`],
    /// [`ModuleError::InnerRank`] and [`ModuleError::TuckerCore`] for factors that are none.
    pub fn new(name: impl Into<String>, w1: W1, w2: W2, scale: f64) -> Result<Self> {
        let name = name.into();
        w1.check(&name)?;
        w2.check(&name)?;
        if let (W1::LowRank { b: first, .. }, W2::LowRank { b: second, .. } | W2::Tucker { b: second, .. }) = (&w1, &w2)
        {
            check_ranks(&name, ("lokr_w1_b", first, 0), ("lokr_w2_b", second, 0))?;
        }
        Ok(Self { name, w1, w2, scale: Some(scale), alpha: None, dora_scale: None, layout: Layout::Kronecker })
    }

    /// The same module with the norms of DoRA, `(out, 1, …)` or `(1, in, 1, …)`.
    ///
    /// # Errors
    /// [`FileError::TensorDtype`](crate::FileError::TensorDtype), [`ModuleError::ZeroAxis`].
    pub fn with_dora_scale(mut self, dora_scale: Tensor) -> Result<Self> {
        dora_scale.float_type(&format!("{}.{DORA_SCALE}", self.name))?;
        if dora_scale.shape().contains(&0) {
            let found = dora_scale.shape().to_vec();
            return Err(ModuleError::ZeroAxis { module: self.name, key: DORA_SCALE, found }.into());
        }
        self.dora_scale = Some(dora_scale);
        Ok(self)
    }

    /// What a reader found beside the factors.
    pub(crate) fn with_origin(self, scale: Option<f64>, alpha: Option<f64>, layout: Layout) -> Self {
        Self { scale, alpha, layout, ..self }
    }

    /// The same module under another name.
    pub(crate) fn renamed(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// The same module with each tensor replaced by what `change` makes of it, of the same shape.
    pub(crate) fn map_tensors(self, mut change: impl FnMut(&'static str, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let w1 = match &self.w1 {
            W1::Full(w) => W1::Full(change("lokr_w1", w)?),
            W1::LowRank { a, b } => W1::LowRank { a: change("lokr_w1_a", a)?, b: change("lokr_w1_b", b)? },
        };
        let w2 = match &self.w2 {
            W2::Full(w) => W2::Full(change("lokr_w2", w)?),
            W2::LowRank { a, b } => W2::LowRank { a: change("lokr_w2_a", a)?, b: change("lokr_w2_b", b)? },
            W2::Tucker { core, a, b } => {
                W2::Tucker { core: change("lokr_t2", core)?, a: change("lokr_w2_a", a)?, b: change("lokr_w2_b", b)? }
            }
        };
        let dora_scale = self.dora_scale.as_ref().map(|tensor| change(DORA_SCALE, tensor)).transpose()?;
        Ok(Self { w1, w2, dora_scale, ..self })
    }

    /// The module of some rows of its weight, which has this shape: of those of the first factor. Nothing where the
    /// rows are not whole blocks of the second one, or where norms of DoRA are over all rows.
    pub(crate) fn rows(&self, weight: &[usize], rows: Range<usize>) -> Result<Option<Self>> {
        let (p, _) = self.w2.dim();
        let norms = match (self.dora_axis(weight)?, &self.dora_scale) {
            (Some(DoraAxis::Output), Some(norms)) => Some(norms.rows(rows.clone())),
            (None, _) | (_, None) => None,
            _ => return Ok(None),
        };
        if !self.is_kronecker() || !rows.start.is_multiple_of(p) || !rows.end.is_multiple_of(p) {
            return Ok(None);
        }
        let blocks = rows.start / p..rows.end / p;
        let w1 = match &self.w1 {
            W1::Full(w) => W1::Full(w.rows(blocks)),
            W1::LowRank { a, b } => W1::LowRank { a: a.rows(blocks), b: b.clone() },
        };
        Ok(Some(Self { w1, dora_scale: norms, ..self.clone() }))
    }

    /// The same module with another form of its second factor.
    pub(crate) fn with_w2(self, w2: W2) -> Self {
        Self { w2, ..self }
    }

    /// The name in the adapter, without PEFT's prefix and without suffix.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first factor.
    #[must_use]
    pub fn w1(&self) -> &W1 {
        &self.w1
    }

    /// The second factor.
    #[must_use]
    pub fn w2(&self) -> &W2 {
        &self.w2
    }

    /// The scale `s` it was trained with, or `None` where the configuration that holds it is not there.
    #[must_use]
    pub fn scale(&self) -> Option<f64> {
        self.scale
    }

    /// The `alpha` stored in the file, whether or not the scale depends on it.
    #[must_use]
    pub fn alpha(&self) -> Option<f64> {
        self.alpha
    }

    /// The norms of DoRA.
    #[must_use]
    pub fn dora_scale(&self) -> Option<&Tensor> {
        self.dora_scale.as_ref()
    }

    /// The rank of its low-rank factors, or `None` when both are full.
    #[must_use]
    pub fn rank(&self) -> Option<usize> {
        self.w1.rank().or(self.w2.rank())
    }

    /// What the rank of the change is at most: the product of the factors' bounds.
    #[must_use]
    pub fn rank_bound(&self) -> usize {
        self.w1.rank_bound() * self.w2.rank_bound()
    }

    /// Whether the change is a Kronecker product, which PEFT's conv1d with a full `w2` is not.
    #[must_use]
    pub fn is_kronecker(&self) -> bool {
        self.layout == Layout::Kronecker
    }

    /// All its tensors with their suffixes, except `alpha`.
    #[must_use]
    pub fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        let mut tensors = self.w1.tensors();
        tensors.extend(self.w2.tensors());
        tensors.extend(self.dora_scale.as_ref().map(|tensor| (DORA_SCALE, tensor)));
        tensors
    }

    /// Values stored, except `alpha`.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.tensors().iter().map(|(_, tensor)| tensor.element_count()).sum()
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }
}
