//! The two Kronecker factors as they are stored.

use lokr_core::{Factor, Scalar};
use ndarray::Array2;

use super::tucker::contracted;
use crate::error::{ModuleError, Result};
use crate::file::{Tensor, flattened, product, reshaped};

/// The first factor `(m, n)`, `lokr_w1`.
#[derive(Debug, Clone)]
pub enum W1 {
    /// `lokr_w1 (m, n)`.
    Full(Tensor),
    /// `lokr_w1_a (m, r) · lokr_w1_b (r, n)`.
    LowRank {
        /// `lokr_w1_a`.
        a: Tensor,
        /// `lokr_w1_b`.
        b: Tensor,
    },
}

/// The second factor `(p, q, kernel…)`, `lokr_w2`.
#[derive(Debug, Clone)]
pub enum W2 {
    /// `lokr_w2 (p, q, kernel…)`.
    Full(Tensor),
    /// `lokr_w2_a (p, r) · lokr_w2_b (r, q·K)`, or `(r, q, kernel…)`.
    LowRank {
        /// `lokr_w2_a`.
        a: Tensor,
        /// `lokr_w2_b`.
        b: Tensor,
    },
    /// `B[x, y, k…] = Σ_ij core[i, j, k…]·a[i, x]·b[j, y]` (Tucker form; PEFT's `use_effective_conv2d`).
    Tucker {
        /// `lokr_t2 (r, r, kernel…)`.
        core: Tensor,
        /// `lokr_w2_a (r, p)`: transposed, unlike in the low-rank form.
        a: Tensor,
        /// `lokr_w2_b (r, q)`.
        b: Tensor,
    },
}

impl W1 {
    /// Its tensors with their suffixes.
    #[must_use]
    pub fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        match self {
            Self::Full(w) => vec![("lokr_w1", w)],
            Self::LowRank { a, b } => vec![("lokr_w1_a", a), ("lokr_w1_b", b)],
        }
    }

    /// Shape `(m, n)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        match self {
            Self::Full(w) => (w.shape()[0], w.shape()[1]),
            Self::LowRank { a, b } => (a.shape()[0], b.shape()[1]),
        }
    }

    /// The inner size `r` of a low-rank factor.
    #[must_use]
    pub fn rank(&self) -> Option<usize> {
        match self {
            Self::Full(_) => None,
            Self::LowRank { b, .. } => Some(b.shape()[0]),
        }
    }

    /// What its rank is at most: the inner size of a low-rank factor, where that is less than its sides.
    #[must_use]
    pub fn rank_bound(&self) -> usize {
        rank_bound(self.dim(), self.rank())
    }

    /// Checks the numbers of axes and the inner sizes, which every other method relies on.
    pub(crate) fn check(&self, module: &str) -> Result<()> {
        for (key, tensor) in self.tensors() {
            check_tensor(module, key, tensor)?;
            check_axes(module, key, tensor, tensor.shape().len() == 2, "2 axes")?;
        }
        match self {
            Self::Full(_) => {}
            Self::LowRank { a, b } => check_ranks(module, ("lokr_w1_a", a, 1), ("lokr_w1_b", b, 0))?,
        }
        Ok(())
    }

    pub(super) fn to_factor<T: Scalar>(&self) -> Result<Factor<'static, T>> {
        match self {
            Self::Full(w) => Ok(matrix(w, "lokr_w1")?.into()),
            Self::LowRank { a, b } => Ok(Factor::low_rank(matrix(a, "lokr_w1_a")?, matrix(b, "lokr_w1_b")?)?),
        }
    }
}

impl W2 {
    /// Its tensors with their suffixes.
    #[must_use]
    pub fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        match self {
            Self::Full(w) => vec![("lokr_w2", w)],
            Self::LowRank { a, b } => vec![("lokr_w2_a", a), ("lokr_w2_b", b)],
            Self::Tucker { core, a, b } => vec![("lokr_t2", core), ("lokr_w2_a", a), ("lokr_w2_b", b)],
        }
    }

    /// Shape of the factor flattened to a matrix, `(p, q·K)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        match self {
            Self::Full(w) => (w.shape()[0], product(&w.shape()[1..])),
            Self::LowRank { a, b } => (a.shape()[0], product(&b.shape()[1..])),
            Self::Tucker { core, a, b } => (a.shape()[1], b.shape()[1].saturating_mul(product(&core.shape()[2..]))),
        }
    }

    /// The kernel's sizes, where the tensors tell: a low-rank factor may be stored flat. Empty for a matrix.
    #[must_use]
    pub fn kernel(&self) -> Option<&[usize]> {
        match self {
            Self::Full(w) => Some(&w.shape()[2..]),
            Self::LowRank { b, .. } => (b.shape().len() > 2).then(|| &b.shape()[2..]),
            Self::Tucker { core, .. } => Some(&core.shape()[2..]),
        }
    }

    /// The inner size `r` of a low-rank or Tucker factor.
    #[must_use]
    pub fn rank(&self) -> Option<usize> {
        match self {
            Self::Full(_) => None,
            Self::LowRank { b, .. } | Self::Tucker { b, .. } => Some(b.shape()[0]),
        }
    }

    /// What its rank is at most, flattened: the inner size of a low-rank factor, where that is less than its sides.
    #[must_use]
    pub fn rank_bound(&self) -> usize {
        rank_bound(self.dim(), self.rank())
    }

    /// Checks the numbers of axes and the inner sizes, which every other method relies on.
    pub(crate) fn check(&self, module: &str) -> Result<()> {
        for (key, tensor) in self.tensors() {
            check_tensor(module, key, tensor)?;
            let axes = tensor.shape().len();
            match (key, self) {
                ("lokr_w2_a", _) | ("lokr_w2_b", Self::Tucker { .. }) => {
                    check_axes(module, key, tensor, axes == 2, "2 axes")?;
                }
                ("lokr_t2", _) => check_axes(module, key, tensor, (3..=5).contains(&axes), "3 to 5 axes")?,
                _ => check_axes(module, key, tensor, (2..=5).contains(&axes), "2 to 5 axes")?,
            }
        }
        match self {
            Self::Full(_) => {}
            Self::LowRank { a, b } => check_ranks(module, ("lokr_w2_a", a, 1), ("lokr_w2_b", b, 0))?,
            Self::Tucker { core, a, b } => {
                let rank = b.shape()[0];
                check_ranks(module, ("lokr_w2_a", a, 0), ("lokr_w2_b", b, 0))?;
                if core.shape()[..2] != [rank, rank] {
                    let found = core.shape().to_vec();
                    return Err(ModuleError::TuckerCore { module: module.to_owned(), rank, found }.into());
                }
            }
        }
        Ok(())
    }

    /// The factor flattened to `(p, q·K)`. A Tucker factor is low-rank too: `aᵀ (p, r)` times
    /// `C[i, y·K + k] = Σ_j core[i, j, k]·b[j, y]`.
    pub(super) fn to_factor<T: Scalar>(&self) -> Result<Factor<'static, T>> {
        match self {
            Self::Full(w) => Ok(flattened(w.to_array("lokr_w2")?).into()),
            Self::LowRank { a, b } => {
                Ok(Factor::low_rank(matrix(a, "lokr_w2_a")?, flattened(b.to_array("lokr_w2_b")?))?)
            }
            Self::Tucker { core, a, b } => {
                let right = contracted(core.to_array::<T>("lokr_t2")?, &matrix(b, "lokr_w2_b")?);
                Ok(Factor::low_rank(matrix(a, "lokr_w2_a")?.reversed_axes(), right)?)
            }
        }
    }
}

fn rank_bound((rows, columns): (usize, usize), rank: Option<usize>) -> usize {
    rows.min(columns).min(rank.unwrap_or(usize::MAX))
}

pub(super) fn check_tensor(module: &str, key: &'static str, tensor: &Tensor) -> Result<()> {
    tensor.float_type(&format!("{module}.{key}"))?;
    if tensor.shape().contains(&0) {
        return Err(ModuleError::ZeroAxis { module: module.to_owned(), key, found: tensor.shape().to_vec() }.into());
    }
    Ok(())
}

pub(super) fn check_axes(
    module: &str,
    key: &'static str,
    tensor: &Tensor,
    right: bool,
    expected: &'static str,
) -> Result<(), ModuleError> {
    if right {
        return Ok(());
    }
    Err(ModuleError::Axes { module: module.to_owned(), key, expected, found: tensor.shape().to_vec() })
}

/// A key, its tensor and the axis of the rank.
type Inner<'a> = (&'static str, &'a Tensor, usize);

/// An error unless two inner sizes agree.
pub(super) fn check_ranks(module: &str, first: Inner<'_>, second: Inner<'_>) -> Result<(), ModuleError> {
    let ((first, a, a_axis), (second, b, b_axis)) = (first, second);
    let (first_rank, second_rank) = (a.shape()[a_axis], b.shape()[b_axis]);
    if first_rank == second_rank {
        return Ok(());
    }
    let (module, first_shape, second_shape) = (module.to_owned(), a.shape().to_vec(), b.shape().to_vec());
    Err(ModuleError::InnerRank { module, first, first_shape, first_rank, second, second_shape, second_rank })
}

pub(super) fn matrix<T: Scalar>(tensor: &Tensor, key: &str) -> Result<Array2<T>> {
    let shape = (tensor.shape()[0], tensor.shape()[1]);
    Ok(reshaped(tensor.to_array(key)?, shape))
}
