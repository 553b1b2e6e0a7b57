//! LoHa: the elementwise product of two low-rank matrices.

use ndarray::Array2;

use super::factor::{check_axes, check_ranks, check_tensor};
use super::lora::check_product;
use super::suffix::HADAMARD;
use super::tucker::contracted;
use crate::error::{ModuleError, Result};
use crate::file::{Tensor, flattened, product};

/// Two low-rank matrices whose elements are multiplied, `ΔW = s·(w1_a·w1_b) ∘ (w2_a·w2_b)`.
///
/// Source of the rules: LyCORIS, `functional/loha.py`, where in Tucker's form both matrices have a core and `w_a` is
/// stored transposed, `(r, out)`.
#[derive(Debug, Clone)]
pub struct LohaFactors {
    pairs: [Pair; 2],
}

/// One of the matrices.
#[derive(Debug, Clone)]
struct Pair {
    /// `(out, r)`, beside a core `(r, out)`.
    a: Tensor,
    /// `(r, in·K)` or `(r, in, kernel…)`, beside a core `(r, in)`.
    b: Tensor,
    /// `(r, r, kernel…)`.
    core: Option<Tensor>,
}

/// The suffixes of a pair's tensors: `a`, `b` and the core.
const KEYS: [[&str; 3]; 2] = [[HADAMARD[0], HADAMARD[1], HADAMARD[4]], [HADAMARD[2], HADAMARD[3], HADAMARD[5]]];

impl LohaFactors {
    /// Pairs of `a` and `b` that multiply and have one rank, and the cores of both or of none.
    pub(crate) fn new(module: &str, pairs: [(Tensor, Tensor); 2], cores: Option<[Tensor; 2]>) -> Result<Self> {
        let [first_core, second_core] = cores.map_or([None, None], |cores| cores.map(Some));
        let [(a1, b1), (a2, b2)] = pairs;
        let loha = Self { pairs: [Pair { a: a1, b: b1, core: first_core }, Pair { a: a2, b: b2, core: second_core }] };
        for (pair, keys) in loha.pairs.iter().zip(KEYS) {
            pair.check(module, keys)?;
        }
        let [first, second] = &loha.pairs;
        check_ranks(module, (KEYS[0][1], &first.b, 0), (KEYS[1][1], &second.b, 0))?;
        if first.dim() != second.dim() {
            let (found, expected) = (second.dim(), first.dim());
            let (module, algorithm) = (module.to_owned(), "LoHa");
            let hint = "; its two matrices have different shapes";
            return Err(ModuleError::ProductShape { module, algorithm, expected, found, hint }.into());
        }
        Ok(loha)
    }

    /// Its tensors with their suffixes.
    #[must_use]
    pub fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        let [first, second] = &self.pairs;
        first.tensors(KEYS[0]).into_iter().chain(second.tensors(KEYS[1])).flatten().collect()
    }

    /// The inner size `r` of both products, by which `alpha` is divided.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.pairs[0].b.shape()[0]
    }

    /// Whether it has Tucker's cores.
    #[must_use]
    pub fn is_tucker(&self) -> bool {
        self.pairs[0].core.is_some()
    }

    /// Shape of the change flattened to a matrix, `(out, in·K)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        self.pairs[0].dim()
    }

    /// An error unless it changes a weight of this shape.
    pub(super) fn check_weight(&self, module: &str, weight: &[usize]) -> Result<(), ModuleError> {
        self.pairs
            .iter()
            .zip(KEYS)
            .try_for_each(|(pair, keys)| check_product(module, "LoHa", pair.dim(), pair.kernel(keys), weight))
    }

    /// For each matrix its halves `(out, r)` and `(r, in·K)`.
    pub(super) fn halves(&self) -> Result<[[Array2<f64>; 2]; 2]> {
        let [first, second] = &self.pairs;
        Ok([first.halves(KEYS[0])?, second.halves(KEYS[1])?])
    }

    pub(super) fn map_tensors(&self, mut change: impl FnMut(&'static str, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let mut each = |pair: &Pair, [a, b, core]: [&'static str; 3]| -> Result<Pair> {
            Ok(Pair {
                a: change(a, &pair.a)?,
                b: change(b, &pair.b)?,
                core: pair.core.as_ref().map(|tensor| change(core, tensor)).transpose()?,
            })
        };
        let [first, second] = &self.pairs;
        Ok(Self { pairs: [each(first, KEYS[0])?, each(second, KEYS[1])?] })
    }
}

impl Pair {
    fn tensors(&self, [a, b, core]: [&'static str; 3]) -> [Option<(&'static str, &Tensor)>; 3] {
        [Some((a, &self.a)), Some((b, &self.b)), self.core.as_ref().map(|tensor| (core, tensor))]
    }

    fn check(&self, module: &str, [a, b, core]: [&'static str; 3]) -> Result<()> {
        check_tensor(module, a, &self.a)?;
        check_tensor(module, b, &self.b)?;
        check_axes(module, a, &self.a, self.a.shape().len() == 2, "2 axes")?;
        let Some(tensor) = &self.core else {
            check_axes(module, b, &self.b, (2..=5).contains(&self.b.shape().len()), "2 to 5 axes")?;
            return Ok(check_ranks(module, (a, &self.a, 1), (b, &self.b, 0))?);
        };
        check_tensor(module, core, tensor)?;
        check_axes(module, b, &self.b, self.b.shape().len() == 2, "2 axes")?;
        check_axes(module, core, tensor, (3..=5).contains(&tensor.shape().len()), "3 to 5 axes")?;
        check_ranks(module, (a, &self.a, 0), (core, tensor, 0))?;
        Ok(check_ranks(module, (core, tensor, 1), (b, &self.b, 0))?)
    }

    fn dim(&self) -> (usize, usize) {
        let columns = product(&self.b.shape()[1..]);
        match &self.core {
            Some(core) => (self.a.shape()[1], columns.saturating_mul(product(&core.shape()[2..]))),
            None => (self.a.shape()[0], columns),
        }
    }

    fn kernel(&self, [_, b, core]: [&'static str; 3]) -> Option<(&'static str, &[usize])> {
        let (key, tensor) = self.core.as_ref().map_or((b, &self.b), |tensor| (core, tensor));
        Some((key, &tensor.shape()[2..])).filter(|(_, kernel)| !kernel.is_empty())
    }

    fn halves(&self, [a, b, core]: [&'static str; 3]) -> Result<[Array2<f64>; 2]> {
        let (left, right) = (flattened(self.a.to_array(a)?), flattened(self.b.to_array(b)?));
        Ok(match &self.core {
            Some(tensor) => [left.reversed_axes(), contracted(tensor.to_array(core)?, &right)],
            None => [left, right],
        })
    }
}
