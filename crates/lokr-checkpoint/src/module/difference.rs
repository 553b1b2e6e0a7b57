//! A difference that is stored whole: of a weight, a bias or a norm.

use super::factor::check_tensor;
use super::lora::Stored;
use super::other::Parameter;
use crate::error::{ModuleError, Result};
use crate::file::Tensor;

/// What is added to a parameter, value by value, times the multiplier.
///
/// Sources: LyCORIS, `modules/full.py` (`diff`, `diff_b`) and `modules/norms.py` (`w_norm`, `b_norm`); ComfyUI,
/// `comfy/lora.py`, which adds all four.
#[derive(Debug, Clone)]
pub struct Difference {
    stored: Stored,
}

impl Difference {
    pub(crate) fn new(module: &str, stored: Stored) -> Result<Self> {
        check_tensor(module, stored.0, &stored.1)?;
        Ok(Self { stored })
    }

    /// Its suffix in the file.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.stored.0
    }

    /// The values.
    #[must_use]
    pub fn tensor(&self) -> &Tensor {
        &self.stored.1
    }

    /// Which parameter of its module a suffix changes.
    pub(crate) fn parameter(suffix: &str) -> Parameter {
        if matches!(suffix, "diff" | "w_norm") { Parameter::Weight } else { Parameter::Bias }
    }

    /// An error unless it has the shape of the parameter, up to trailing axes of 1, which a linear layer has in some
    /// programs.
    pub(super) fn check_shape(&self, module: &str, expected: &[usize]) -> Result<(), ModuleError> {
        let (key, tensor) = &self.stored;
        if trimmed(tensor.shape()) == trimmed(expected) {
            return Ok(());
        }
        let (module, expected, found) = (module.to_owned(), expected.to_vec(), tensor.shape().to_vec());
        Err(ModuleError::DifferenceShape { module, key, expected, found })
    }

    pub(super) fn map_tensors(&self, mut change: impl FnMut(&'static str, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let (key, tensor) = &self.stored;
        Ok(Self { stored: (key, change(key, tensor)?) })
    }
}

/// A shape without its trailing axes of 1.
fn trimmed(shape: &[usize]) -> &[usize] {
    let end = shape.iter().rposition(|&length| length != 1).map_or(0, |last| last + 1);
    &shape[..end]
}
