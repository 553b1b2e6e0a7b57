//! The adapter of one layer.

use crate::factor::{check_ranks, product};
use crate::parts::DORA_SCALE;
use crate::{CheckpointError, DoraAxis, Result, ScaleRule, Tensor, W1, W2};

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
    /// [`CheckpointError::TensorDtype`], [`CheckpointError::ZeroAxis`], [`CheckpointError::Axes`],
    /// [`CheckpointError::InnerRank`] and [`CheckpointError::TuckerCore`] for factors that are none.
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
    /// [`CheckpointError::TensorDtype`], [`CheckpointError::ZeroAxis`].
    pub fn with_dora_scale(mut self, dora_scale: Tensor) -> Result<Self> {
        dora_scale.float_type(&format!("{}.{DORA_SCALE}", self.name))?;
        if dora_scale.shape().contains(&0) {
            let found = dora_scale.shape().to_vec();
            return Err(CheckpointError::ZeroAxis { module: self.name, key: DORA_SCALE, found });
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

    /// The scale that a rule gives.
    ///
    /// # Errors
    /// [`CheckpointError::ScaleUnknown`].
    pub fn scale_by(&self, rule: ScaleRule) -> Result<f64> {
        let trained = || self.scale.ok_or_else(|| CheckpointError::ScaleUnknown { module: self.name.clone() });
        match rule {
            ScaleRule::Trained => trained(),
            ScaleRule::LikeLycorisMerge => trained().map(|s| s * s),
            ScaleRule::Fixed(s) => Ok(s),
        }
    }

    /// What the norms of `dora_scale` belong to in a weight of this shape; `None` without DoRA.
    ///
    /// # Errors
    /// [`CheckpointError::DoraShape`]; [`CheckpointError::Axes`] for a weight without rows or columns.
    pub fn dora_axis(&self, weight: &[usize]) -> Result<Option<DoraAxis>> {
        self.check_weight_axes(weight)?;
        self.dora_scale.as_ref().map(|scale| DoraAxis::of(&self.name, scale.shape(), weight)).transpose()
    }

    /// Checks that the adapter fits a weight `(out, in)` or `(out, in, kernel…)`.
    ///
    /// # Errors
    /// [`CheckpointError::WeightShape`], with a hint where a fused weight is likely; [`CheckpointError::Axes`],
    /// [`CheckpointError::Kernel`], [`CheckpointError::TuckerOnLinear`], [`CheckpointError::DoraShape`].
    pub fn check_weight(&self, weight: &[usize]) -> Result<()> {
        self.check_weight_axes(weight)?;
        self.check_kernel(weight)?;
        let kernel = product(&weight[2..]);
        let ((m, n), (p, columns)) = (self.w1.dim(), self.w2.dim());
        let expected = (weight[0], weight[1].saturating_mul(kernel));
        let found = (m.saturating_mul(p), n.saturating_mul(columns));
        if found != expected || !columns.is_multiple_of(kernel.max(1)) {
            let hint = hint(expected, found);
            let (module, w1, w2) = (self.name.clone(), self.w1.dim(), self.w2.dim());
            return Err(CheckpointError::WeightShape { module, w1, w2, expected, found, hint });
        }
        self.dora_axis(weight).map(|_| ())
    }

    /// An error for values that are NaN or infinite.
    pub(crate) fn check_finite(&self) -> Result<()> {
        for (key, tensor) in self.tensors() {
            let count = tensor.count_non_finite(key)?;
            if count > 0 {
                return Err(CheckpointError::NonFinite { module: self.name.clone(), key, count });
            }
        }
        Ok(())
    }

    fn check_weight_axes(&self, weight: &[usize]) -> Result<()> {
        if (2..=5).contains(&weight.len()) {
            return Ok(());
        }
        let (module, found) = (self.name.clone(), weight.to_vec());
        Err(CheckpointError::Axes { module, key: "weight", expected: "2 to 5 axes in the base model", found })
    }

    fn check_kernel(&self, weight: &[usize]) -> Result<()> {
        let expected = &weight[2..];
        let module = || self.name.clone();
        let (key, found) = match (&self.w2, self.w2.kernel()) {
            (W2::Tucker { .. }, _) if expected.is_empty() => {
                return Err(CheckpointError::TuckerOnLinear { module: module(), weight: weight.to_vec() });
            }
            // PEFT gives conv1d cores a trailing axis.
            (W2::Tucker { .. }, Some([kernel, 1])) if *expected == [*kernel] => return Ok(()),
            (W2::Tucker { .. }, Some(kernel)) => ("lokr_t2", kernel),
            (W2::LowRank { .. }, Some(kernel)) => ("lokr_w2_b", kernel),
            // Some programs store the factors of 1×1 convolutions as matrices.
            (W2::Full(_), Some([])) if product(expected) == 1 => return Ok(()),
            (W2::Full(w), Some(kernel)) if kernel.len() != expected.len() => {
                let expected = "as many axes as the base weight";
                return Err(CheckpointError::Axes {
                    module: module(),
                    key: "lokr_w2",
                    expected,
                    found: w.shape().to_vec(),
                });
            }
            (W2::Full(_), Some(kernel)) => ("lokr_w2", kernel),
            (_, None) => return Ok(()),
        };
        if found == expected {
            return Ok(());
        }
        Err(CheckpointError::Kernel { module: module(), key, expected: expected.to_vec(), found: found.to_vec() })
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }
}

/// A likely reason why the factors do not build the weight.
fn hint(expected: (usize, usize), found: (usize, usize)) -> &'static str {
    let ((out, input), (rows, columns)) = (expected, found);
    if expected == found {
        "; but the columns of lokr_w2 do not split into whole kernels"
    } else if input == columns && (2..=4).any(|k| rows == out.saturating_mul(k)) {
        "; the adapter is of a fused weight such as qkv, the base has its parts"
    } else if input == columns && (2..=4).any(|k| out == rows.saturating_mul(k)) {
        "; the base weight is fused, such as qkv, the adapter is of a part"
    } else if (rows, columns) == (input, out) {
        "; the base weight is stored transposed"
    } else {
        ""
    }
}
