//! LoRA and LoCon: a product of two low-rank halves.

use ndarray::Array2;

use super::factor::{check_axes, check_ranks, check_tensor};
use super::tucker::contracted;
use crate::error::{ModuleError, Result};
use crate::file::{Tensor, flattened, product};

/// A tensor with the suffix it is stored under.
pub(crate) type Stored = (&'static str, Tensor);

/// The halves of a LoRA, `ΔW = s·up·down`, and with a core in Tucker's form
/// `ΔW[o, i, k…] = s·Σ_ab up[o, a]·mid[a, b, k…]·down[b, i]`.
///
/// Sources of the rules: LyCORIS, `functional/locon.py`; kohya's scripts, `networks/lora.py`; PEFT,
/// `tuners/lora/layer.py`. Files of ComfyUI's trainer hold the `down` of a convolution as a matrix.
#[derive(Debug, Clone)]
pub struct LoraFactors {
    /// `(out, r)`, with trailing axes of 1 in a convolution.
    up: Stored,
    /// `(r, in, kernel…)` or `(r, in·K)`; beside a core `(r, in, 1…)`.
    down: Stored,
    /// `(r, r, kernel…)`.
    mid: Option<Stored>,
}

impl LoraFactors {
    /// Halves that multiply.
    pub(crate) fn new(module: &str, up: Stored, down: Stored, mid: Option<Stored>) -> Result<Self> {
        let lora = Self { up, down, mid };
        for (key, tensor) in lora.tensors() {
            check_tensor(module, key, tensor)?;
            check_axes(module, key, tensor, (2..=5).contains(&tensor.shape().len()), "2 to 5 axes")?;
        }
        let (up, down) = (&lora.up, &lora.down);
        check_axes(module, up.0, &up.1, product(&up.1.shape()[2..]) == 1, "(out, rank) and axes of 1")?;
        let Some((key, core)) = &lora.mid else {
            check_ranks(module, (up.0, &up.1, 1), (down.0, &down.1, 0))?;
            return Ok(lora);
        };
        check_axes(module, down.0, &down.1, product(&down.1.shape()[2..]) == 1, "(rank, in) and axes of 1")?;
        check_axes(module, key, core, core.shape().len() > 2, "3 to 5 axes")?;
        check_ranks(module, (up.0, &up.1, 1), (key, core, 0))?;
        check_ranks(module, (key, core, 1), (down.0, &down.1, 0))?;
        Ok(lora)
    }

    /// Its tensors with their suffixes in the file.
    #[must_use]
    pub fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        [Some(&self.up), Some(&self.down), self.mid.as_ref()].into_iter().flatten().map(|(key, t)| (*key, t)).collect()
    }

    /// The inner size `r`, by which `alpha` is divided.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.down.1.shape()[0]
    }

    /// Whether its tensors are those of a convolution; one that is stored flat does not say so.
    #[must_use]
    pub fn is_convolution(&self) -> bool {
        self.kernel().is_some()
    }

    /// Whether it has Tucker's core.
    #[must_use]
    pub fn is_tucker(&self) -> bool {
        self.mid.is_some()
    }

    /// Shape of the change flattened to a matrix, `(out, in·K)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        let columns = product(&self.down.1.shape()[1..]);
        let kernel = self.mid.as_ref().map_or(1, |(_, core)| product(&core.shape()[2..]));
        (self.up.1.shape()[0], columns.saturating_mul(kernel))
    }

    /// The kernel's sizes and the tensor that has them; nothing where it is stored flat, or has none.
    fn kernel(&self) -> Option<(&'static str, &[usize])> {
        let (key, tensor) = self.mid.as_ref().unwrap_or(&self.down);
        Some((*key, &tensor.shape()[2..])).filter(|(_, kernel)| !kernel.is_empty())
    }

    /// An error unless it changes a weight of this shape.
    pub(super) fn check_weight(&self, module: &str, weight: &[usize]) -> Result<(), ModuleError> {
        check_product(module, "LoRA", self.dim(), self.kernel(), weight)
    }

    /// `up (out, r)` and `down (r, in·K)`, a core multiplied into `down`.
    pub(super) fn halves(&self) -> Result<[Array2<f64>; 2]> {
        let matrix = |(key, tensor): &Stored| -> Result<Array2<f64>> { Ok(flattened(tensor.to_array(key)?)) };
        let down = matrix(&self.down)?;
        let down = match &self.mid {
            Some((key, core)) => contracted(core.to_array(key)?, &down),
            None => down,
        };
        Ok([matrix(&self.up)?, down])
    }

    pub(super) fn map_tensors(&self, mut change: impl FnMut(&'static str, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let mut each = |(key, tensor): &Stored| -> Result<Stored> { Ok((*key, change(key, tensor)?)) };
        Ok(Self { up: each(&self.up)?, down: each(&self.down)?, mid: self.mid.as_ref().map(each).transpose()? })
    }

    /// The same with the suffixes of another spelling, `up`, `down` and `mid`.
    pub(crate) fn spelled(&self, [up, down, mid]: [&'static str; 3]) -> Self {
        let core = self.mid.as_ref().map(|(_, core)| (mid, core.clone()));
        Self { up: (up, self.up.1.clone()), down: (down, self.down.1.clone()), mid: core }
    }
}

/// An error unless a change of `dim (out, in·K)`, whose kernel is `kernel` where it is not stored flat, is one of a
/// weight of this shape.
pub(super) fn check_product(
    module: &str,
    algorithm: &'static str,
    dim: (usize, usize),
    kernel: Option<(&'static str, &[usize])>,
    weight: &[usize],
) -> Result<(), ModuleError> {
    let module = module.to_owned();
    if !(2..=5).contains(&weight.len()) {
        let expected = "2 to 5 axes in the base model";
        return Err(ModuleError::Axes { module, key: "weight", expected, found: weight.to_vec() });
    }
    let expected = (weight[0], product(&weight[1..]));
    if dim != expected {
        let hint = super::check::hint(expected, dim);
        return Err(ModuleError::ProductShape { module, algorithm, expected, found: dim, hint });
    }
    match kernel {
        // Axes of 1 say nothing: a linear layer in one program is a 1×1 convolution in another.
        Some((key, found)) if found != &weight[2..] && (product(found) != 1 || product(&weight[2..]) != 1) => {
            let (expected, found) = (weight[2..].to_vec(), found.to_vec());
            Err(ModuleError::Kernel { module, key, expected, found })
        }
        _ => Ok(()),
    }
}
