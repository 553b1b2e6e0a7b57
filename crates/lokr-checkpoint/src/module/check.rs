//! Whether a module fits a weight, and whether its values are numbers.

use lokr_layers::DoraAxis;

use super::dora::dora_axis;
use super::factor::W2;
use super::module::Module;
use crate::error::{ModuleError, Result};
use crate::file::product;

impl Module {
    /// Checks that the adapter fits a weight `(out, in)` or `(out, in, kernel…)`.
    ///
    /// # Errors
    /// [`ModuleError::WeightShape`], with a hint where a fused weight is likely; [`ModuleError::Axes`],
    /// [`ModuleError::Kernel`], [`ModuleError::TuckerOnLinear`], [`ModuleError::DoraShape`].
    pub fn check_weight(&self, weight: &[usize]) -> Result<()> {
        self.check_weight_axes(weight)?;
        self.check_kernel(weight)?;
        let kernel = product(&weight[2..]);
        let ((m, n), (p, columns)) = (self.w1().dim(), self.w2().dim());
        let expected = (weight[0], weight[1].saturating_mul(kernel));
        let found = (m.saturating_mul(p), n.saturating_mul(columns));
        // A flat full factor is one of the flat weight, which may be cut through the kernel (ComfyUI's trainer).
        let is_flat = matches!(self.w2(), W2::Full(w2) if w2.shape().len() == 2);
        if found != expected || !(is_flat || columns.is_multiple_of(kernel.max(1))) {
            let hint = hint(expected, found);
            let (module, w1, w2) = (self.name().to_owned(), self.w1().dim(), self.w2().dim());
            return Err(ModuleError::WeightShape { module, w1, w2, expected, found, hint }.into());
        }
        self.dora_axis(weight).map(|_| ())
    }

    /// What the norms of `dora_scale` belong to in a weight of this shape; `None` without DoRA.
    ///
    /// # Errors
    /// [`ModuleError::DoraShape`]; [`ModuleError::Axes`] for a weight without rows or columns.
    pub fn dora_axis(&self, weight: &[usize]) -> Result<Option<DoraAxis>> {
        self.check_weight_axes(weight)?;
        Ok(self.dora_scale().map(|scale| dora_axis(self.name(), scale.shape(), weight)).transpose()?)
    }

    /// An error for values that are NaN or infinite.
    pub(crate) fn check_finite(&self) -> Result<()> {
        for (key, tensor) in self.tensors() {
            let count = tensor.count_non_finite(key)?;
            if count > 0 {
                return Err(ModuleError::NonFinite { module: self.name().to_owned(), key, count }.into());
            }
        }
        Ok(())
    }

    /// Whether the change is zero, because all values of a factor or of a half of one are, and there are no norms.
    pub(crate) fn changes_nothing(&self) -> Result<bool> {
        if self.dora_scale().is_some() {
            return Ok(false);
        }
        for (key, tensor) in self.tensors() {
            if tensor.frobenius_norm(key)? == 0.0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn check_weight_axes(&self, weight: &[usize]) -> Result<(), ModuleError> {
        if (2..=5).contains(&weight.len()) {
            return Ok(());
        }
        let (module, found) = (self.name().to_owned(), weight.to_vec());
        Err(ModuleError::Axes { module, key: "weight", expected: "2 to 5 axes in the base model", found })
    }

    fn check_kernel(&self, weight: &[usize]) -> Result<(), ModuleError> {
        let expected = &weight[2..];
        let module = || self.name().to_owned();
        let (key, found) = match (self.w2(), self.w2().kernel()) {
            (W2::Tucker { .. }, _) if expected.is_empty() => {
                return Err(ModuleError::TuckerOnLinear { module: module(), weight: weight.to_vec() });
            }
            // PEFT gives conv1d cores a trailing axis.
            (W2::Tucker { .. }, Some([kernel, 1])) if *expected == [*kernel] => return Ok(()),
            (W2::Tucker { .. }, Some(kernel)) => ("lokr_t2", kernel),
            (W2::LowRank { .. }, Some(kernel)) => ("lokr_w2_b", kernel),
            // Some programs store the factors of convolutions as matrices.
            (W2::Full(_), Some([])) => return Ok(()),
            (W2::Full(w), Some(kernel)) if kernel.len() != expected.len() => {
                let expected = "as many axes as the base weight";
                return Err(ModuleError::Axes {
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
        Err(ModuleError::Kernel { module: module(), key, expected: expected.to_vec(), found: found.to_vec() })
    }
}

/// A likely reason why the factors do not build the weight.
pub(super) fn hint(expected: (usize, usize), found: (usize, usize)) -> &'static str {
    let ((out, input), (rows, columns)) = (expected, found);
    if expected == found {
        "; but the columns of lokr_w2 do not split into whole kernels"
    } else if input == columns && (2..=4).any(|k| rows == out.saturating_mul(k)) {
        "; the adapter is of a fused weight such as qkv, the base has its parts"
    } else if input == columns && (2..=4).any(|k| out == rows.saturating_mul(k)) {
        "; the base weight is fused, such as qkv, the adapter is of a part"
    } else if rows == out && input > columns {
        "; the model takes more input channels here than the adapter, as inpainting and editing models do"
    } else if (rows, columns) == (input, out) {
        "; the base weight is stored transposed"
    } else {
        ""
    }
}
