//! What the settings of a new adapter are, and the update that they make.

use lokr_core::sizes::is_low_rank;
use lokr_core::{FactorizationRule, Kron, KronShape, Scalar, factorization};
use ndarray::{Array2, ArrayRef2};
use ndarray_rand::rand::{SeedableRng, rngs::StdRng};

use super::dora::{DoraAxis, DoraStrength};
use super::dropout::Dropout;
use super::gains::start as start_norms;
use super::init::LoKrInit;
use super::learned::Learned;
use super::lokr_update::LoKrUpdate;
use super::placement::DeltaPlacement;
use super::principal::nearest_terms;
use super::term::Term;
use crate::error::{LayerError, Result};

/// All settings but the base.
#[derive(Debug, Clone)]
pub(crate) struct Settings<T> {
    pub(super) rank: usize,
    pub(super) alpha: Option<T>,
    pub(super) rs_lora: bool,
    pub(crate) freeze_base: bool,
    pub(super) factor: i64,
    pub(super) factor_rule: FactorizationRule,
    pub(super) factor_shapes: Option<KronShape>,
    pub(super) decompose_both: bool,
    pub(super) full_matrix: bool,
    pub(super) tucker: bool,
    pub(super) lora: bool,
    pub(super) terms: usize,
    pub(super) term_weights: bool,
    pub(super) init: LoKrInit,
    pub(super) nearest_to: Option<Array2<T>>,
    pub(super) learned_scalar: bool,
    pub(super) dora: Option<DoraAxis>,
    pub(super) dora_strength: DoraStrength,
    pub(super) dropout: Dropout,
    pub(super) seed: u64,
    pub(crate) placement: Option<DeltaPlacement>,
}

impl<T: Scalar> Settings<T> {
    /// Whether the factors are taken out of the base's weight.
    pub(crate) fn starts_from_weight(&self) -> bool {
        self.init == LoKrInit::Principal && self.nearest_to.is_none()
    }

    /// Whether it takes a base's weight to make the update.
    pub(crate) fn needs_weight(&self) -> bool {
        self.starts_from_weight() || self.dora.is_some()
    }

    /// The update for a weight of this shape, `(out, in)` or `(out, channels/groups·K)` with the sizes of a kernel;
    /// `weight` is the weight itself, where one is needed.
    pub(crate) fn update(
        &self,
        dim: (usize, usize),
        kernel: &[usize],
        weight: Option<&ArrayRef2<T>>,
    ) -> Result<LoKrUpdate<T>> {
        let kernel_values = kernel.iter().product();
        let (scaling, shape) = (self.scaling()?, self.shape(dim, kernel_values)?);
        self.dropout.check()?;
        if self.terms == 0 {
            return Err(LayerError::invalid("number of terms", 0, "at least 1"));
        }
        let ranks = self.ranks(shape, kernel_values);
        let start = match (&self.nearest_to, self.init, weight) {
            (Some(delta), ..) => Some(&**delta),
            (None, LoKrInit::Principal, None) => {
                return Err(LayerError::invalid("init", "Principal", "another start, where there is no weight"));
            }
            (None, LoKrInit::Principal, weight) => weight,
            _ => None,
        };
        let given = weight;
        let weight = self.term_weights.then(T::one);
        let tucker = ranks.1.filter(|_| self.tucker && kernel_values > 1 && !self.lora);
        let terms: Vec<_> = match (start, tucker) {
            (Some(matrix), None) => {
                LayerError::check_finite("LoKrBuilder", "the matrix to start from", matrix.iter())?;
                let deltas = nearest_terms(matrix, shape, self.terms, scaling, ranks)?;
                deltas.into_iter().map(|delta| self.term(delta, weight)).collect::<Result<_>>()?
            }
            (Some(_), Some(_)) => {
                let expected = "false for factors that start as those of a matrix";
                return Err(LayerError::invalid("tucker", true, expected));
            }
            (None, None) => {
                let draw = |rng: &mut StdRng| self.term(self.drawn(shape, ranks, rng)?, weight);
                self.draw(draw)?
            }
            (None, Some(rank)) => self.draw(|rng| {
                let a = self.init.a((shape.m, shape.n), ranks.0, self.learned_scalar, rng)?;
                let b = self.init.tucker(rank, (shape.p, shape.q), kernel, self.learned_scalar, rng)?;
                Term::tucker(a, b, weight)
            })?,
        };
        let mut update = LoKrUpdate::assemble(terms, self.rank, self.alpha(), scaling).for_kernel(kernel)?;
        if self.learned_scalar {
            update.scalar = Some(Learned::new(if start.is_some() { T::one() } else { T::zero() }));
        }
        update.dropout = Dropout { seed: self.seed, ..self.dropout };
        match (self.dora, given) {
            (None, _) => Ok(update),
            (Some(axis), Some(given)) => {
                update.with_dora(axis, &start_norms(given, axis, kernel_values), self.dora_strength)
            }
            (Some(_), None) => Err(LayerError::invalid("dora", "set", "none, where there is no weight")),
        }
    }

    fn term(&self, delta: Kron<'static, T>, weight: Option<T>) -> Result<Term<T>> {
        if !self.lora {
            return Ok(Term::new(delta, weight));
        }
        // The nearest product of a matrix may have another number than 1 as its `A`.
        let (a, b) = delta.into_parts();
        let number = a.get(0, 0).unwrap_or(T::one());
        let b = if number == T::one() { b } else { b * number };
        Ok(Term::lora(Kron::new(Array2::ones((1, 1)), b)?, weight))
    }

    /// Each term by `draw`.
    fn draw(&self, draw: impl Fn(&mut StdRng) -> Result<Term<T>>) -> Result<Vec<Term<T>>> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        (0..self.terms).map(|_| draw(&mut rng)).collect()
    }

    fn drawn(
        &self,
        shape: KronShape,
        (a_rank, b_rank): (Option<usize>, Option<usize>),
        rng: &mut StdRng,
    ) -> Result<Kron<'static, T>> {
        if self.lora {
            let b = self.init.lora(self.rank, (shape.p, shape.q), self.learned_scalar, rng)?;
            return Ok(Kron::new(Array2::ones((1, 1)), b)?);
        }
        let a = self.init.a((shape.m, shape.n), a_rank, self.learned_scalar, rng)?;
        let b = self.init.b((shape.p, shape.q), b_rank, self.learned_scalar, rng)?;
        Ok(Kron::new(a, b)?)
    }

    /// The inner sizes of `A` and of `B`, as far as they are to be low-rank.
    fn ranks(&self, shape: KronShape, kernel: usize) -> (Option<usize>, Option<usize>) {
        if self.lora {
            return (None, Some(self.rank));
        }
        let a_rank = self.low_rank((shape.m, shape.n)).filter(|_| self.decompose_both);
        (a_rank, self.low_rank((shape.p, shape.q / kernel)))
    }

    fn alpha(&self) -> T {
        self.alpha.unwrap_or_else(|| T::from_usize_lossy(self.rank))
    }

    fn scaling(&self) -> Result<T> {
        if self.rank == 0 {
            return Err(LayerError::InvalidRank { rank: 0 });
        }
        let (rank, alpha) = (T::from_usize_lossy(self.rank), self.alpha());
        if !alpha.is_finite() || alpha < T::zero() {
            return Err(LayerError::invalid("alpha", alpha, "a finite number that is not negative"));
        }
        Ok(alpha / if self.rs_lora { rank.sqrt() } else { rank })
    }

    /// The shapes of the factors of a weight; those of a kernel have its elements in `q`.
    fn shape(&self, weight: (usize, usize), kernel: usize) -> Result<KronShape> {
        let (out, input) = weight;
        if self.lora {
            return Ok(KronShape::new(1, 1, out, input)?);
        }
        let KronShape { m, n, p, q } = match self.factor_shapes {
            Some(shape) => shape,
            None => {
                let (m, p) = factorization(out, self.factor, self.factor_rule)?;
                let (n, q) = factorization(input / kernel, self.factor, self.factor_rule)?;
                KronShape { m, n, p, q }
            }
        };
        let q = q.saturating_mul(kernel);
        let shape = KronShape::new(m, n, p, q)?;
        if shape.dim() == weight { Ok(shape) } else { Err(LayerError::FactorShapes { m, n, p, q, weight }) }
    }

    /// The inner size of a factor of this shape, if it is to be low-rank.
    fn low_rank(&self, dim: (usize, usize)) -> Option<usize> {
        (!self.full_matrix && is_low_rank(self.rank, dim)).then_some(self.rank)
    }
}
