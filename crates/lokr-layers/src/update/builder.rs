//! The settings of a new adapter, checked once.

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

/// Settings of a [`crate::LoKrAdapter`]: with its base, as [`crate::LoKrAdapter::builder`] makes them, or alone as
/// [`LoKrSettings`].
///
/// | setting | default | meaning |
/// |---|---|---|
/// | [`rank`](Self::rank) | 8 | inner size of low-rank factors, denominator of the scaling; at least 1 |
/// | [`alpha`](Self::alpha) | `rank` | numerator of the scaling; finite, not negative |
/// | [`rs_lora`](Self::rs_lora) | `false` | scaling `alpha/√rank` in place of `alpha/rank` |
/// | [`freeze_base`](Self::freeze_base) | `true` | train the adapter only |
/// | [`factor`](Self::factor) | −1, balanced | how the layer's two sizes are split |
/// | [`factor_rule`](Self::factor_rule) | LyCORIS's | whose rule reads `factor` |
/// | [`factor_shapes`](Self::factor_shapes) | from `factor` | the shapes of `A` and `B`, given outright |
/// | [`decompose_both`](Self::decompose_both) | `false` | `A` may be low-rank too |
/// | [`full_matrix`](Self::full_matrix) | `false` | neither factor is low-rank |
/// | [`terms`](Self::terms) | 1 | how many products are added up |
/// | [`term_weights`](Self::term_weights) | `false` | each of them has a trained weight |
/// | [`init`](Self::init) | [`LoKrInit::Gaussian`] | how the factors start |
/// | [`nearest_to`](Self::nearest_to) | no matrix | the factors start as those of a given change of the weight |
/// | [`learned_scalar`](Self::learned_scalar) | `false` | a trained number in front of the products |
/// | [`dora`](Self::dora) | none | along which axis the weight is decomposed, with norms that are trained |
/// | [`dora_strength`](Self::dora_strength) | from the base | what a multiplier does then |
/// | [`input_dropout`](Self::input_dropout) | 0 | share of the input's values left out in training |
/// | [`rank_dropout`](Self::rank_dropout) | 0 | share of the rows of `ΔW` left out in training |
/// | [`rescale_rank_dropout`](Self::rescale_rank_dropout) | `false` | the rows that stay make up for the others |
/// | [`module_dropout`](Self::module_dropout) | 0 | share of training forwards that leave all of `ΔW` out |
/// | [`seed`](Self::seed) | 0 | the same seed gives the same factors, and the same dropout |
/// | [`placement`](Self::placement) | before the activation if possible | where the update enters |
///
/// `B` is low-rank when `rank < max(p, q)/2`, and with `decompose_both` `A` is when `rank < max(m, n)/2`, as in LyCORIS
/// and PEFT: an adapter made here has the shapes of one made there.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, LoKrAdapter, LoKrInit};
/// use ndarray::{Array1, Array2};
///
/// let base = Dense::from_arrays(Array2::<f32>::zeros((768, 3072)), Array1::zeros(3072), Activation::Identity)?;
/// let adapter = LoKrAdapter::builder(base).rank(4).alpha(8.0).factor(8).init(LoKrInit::Lycoris).build()?;
/// assert_eq!(adapter.matrix_a_dimensions(), (8, 8)); // 3072 = 8·384 outputs, 768 = 8·96 inputs
/// assert_eq!(adapter.matrix_b_dimensions(), (384, 96));
/// assert_eq!(adapter.adapter_parameter_count(), 8 * 8 + 384 * 4 + 4 * 96);
/// assert_eq!(adapter.scaling(), 2.0);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "settings do nothing until `build`"]
pub struct LoKrBuilder<T, L> {
    pub(crate) base: L,
    pub(crate) settings: Settings<T>,
}

/// Settings of an adapter without a base, for layers to come: [`crate::Sequential::adapt`] takes them for many.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, LoKrSettings};
/// use ndarray::{Array1, Array2};
///
/// let settings = LoKrSettings::new().rank(4).alpha(8.0);
/// assert_eq!(settings.clone().update((30, 42))?.scaling(), 2.0); // of any layer from 42 to 30
/// let base = Dense::from_arrays(Array2::<f64>::zeros((42, 30)), Array1::zeros(30), Activation::Relu)?;
/// assert_eq!(settings.adapt(base)?.rank(), 4);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub type LoKrSettings<T> = LoKrBuilder<T, ()>;

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

impl<T: Scalar> LoKrBuilder<T, ()> {
    /// The defaults.
    pub fn new() -> Self {
        Self::on(())
    }

    /// The update that an adapter of a layer with a weight of this shape, `(out, in)`, starts with.
    ///
    /// # Errors
    /// As [`LoKrBuilder::build`], and [`LayerError::InvalidSetting`] for [`LoKrInit::Principal`], which needs the
    /// weight itself.
    ///
    /// [`LoKrBuilder::build`]: crate::LoKrBuilder::build
    pub fn update(self, (out, input): (usize, usize)) -> Result<LoKrUpdate<T>> {
        self.settings.update((out, input), None)
    }
}

impl<T: Scalar, L> LoKrBuilder<T, L> {
    /// The same with a seed of its own for the layer at this place.
    pub(crate) fn reseeded(mut self, place: u64) -> Self {
        self.settings.seed = self.settings.seed.wrapping_add(place);
        self
    }
}

impl<T: Scalar> Default for LoKrBuilder<T, ()> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Scalar, L> LoKrBuilder<T, L> {
    pub(crate) fn on(base: L) -> Self {
        let settings = Settings {
            rank: 8,
            alpha: None,
            rs_lora: false,
            freeze_base: true,
            factor: -1,
            factor_rule: FactorizationRule::default(),
            factor_shapes: None,
            decompose_both: false,
            full_matrix: false,
            terms: 1,
            term_weights: false,
            init: LoKrInit::default(),
            nearest_to: None,
            learned_scalar: false,
            dora: None,
            dora_strength: DoraStrength::default(),
            dropout: Dropout::none(),
            seed: 0,
            placement: None,
        };
        Self { base, settings }
    }

    /// Inner size of the low-rank factors and denominator of the scaling. There is no upper limit: a large rank makes
    /// both factors full.
    pub fn rank(mut self, rank: usize) -> Self {
        self.settings.rank = rank;
        self
    }

    /// Numerator of the scaling. Zero means zero.
    pub fn alpha(mut self, alpha: T) -> Self {
        self.settings.alpha = Some(alpha);
        self
    }

    /// Rank-stabilised scaling: `alpha/√rank` (Kalajdzievski, *A rank stabilization scaling factor*, 2023).
    pub fn rs_lora(mut self, rs_lora: bool) -> Self {
        self.settings.rs_lora = rs_lora;
        self
    }

    /// Whether the base's parameters are kept as they are.
    pub fn freeze_base(mut self, freeze_base: bool) -> Self {
        self.settings.freeze_base = freeze_base;
        self
    }

    /// Splits both sizes of the layer by this factor, as far as it divides them: `m` and `n` are `factor` where
    /// possible. A larger factor, up to the square root of a size, makes a smaller `B` and fewer parameters.
    ///
    /// See [`factorization`]. −1 is the balanced split. Overruled by [`LoKrBuilder::factor_shapes`].
    pub fn factor(mut self, factor: i64) -> Self {
        self.settings.factor = factor;
        self
    }

    /// Whose rule reads [`LoKrBuilder::factor`]. The two agree on the balanced split.
    pub fn factor_rule(mut self, rule: FactorizationRule) -> Self {
        self.settings.factor_rule = rule;
        self
    }

    /// Shapes of `A`, `(m, n)`, and `B`, `(p, q)`, with `m·p` outputs and `n·q` inputs.
    pub fn factor_shapes(mut self, (m, n): (usize, usize), (p, q): (usize, usize)) -> Self {
        self.settings.factor_shapes = Some(KronShape { m, n, p, q });
        self
    }

    /// Lets `A` be low-rank as well where `rank < max(m, n)/2`.
    pub fn decompose_both(mut self, decompose_both: bool) -> Self {
        self.settings.decompose_both = decompose_both;
        self
    }

    /// Keeps both factors full, whatever the rank and [`LoKrBuilder::decompose_both`] say.
    pub fn full_matrix(mut self, full_matrix: bool) -> Self {
        self.settings.full_matrix = full_matrix;
        self
    }

    /// The number of products that are added up, `s·Σ Aᵢ ⊗ Bᵢ`, all trained: a sum of `k` reaches `k` times the rank.
    pub fn terms(mut self, terms: usize) -> Self {
        self.settings.terms = terms;
        self
    }

    /// Gives every term a trained weight of its own, which starts at 1, as a mixture of Kronecker adapters has them
    /// (MoKA, arXiv 2508.03527).
    pub fn term_weights(mut self, term_weights: bool) -> Self {
        self.settings.term_weights = term_weights;
        self
    }

    /// How the factors start.
    pub fn init(mut self, init: LoKrInit) -> Self {
        self.settings.init = init;
        self
    }

    /// Starts with the products that are nearest to `delta (out, in)`, a change of the weight that is known already,
    /// such as that of a full fine-tuning. Overrules [`LoKrBuilder::init`]; see [`lokr_core::nearest_kron`] for how
    /// near that is.
    pub fn nearest_to(mut self, delta: Array2<T>) -> Self {
        self.settings.nearest_to = Some(delta);
        self
    }

    /// A trained number in front of the products that starts at 0, so that the factors need not: what
    /// [`LoKrBuilder::init`] leaves zero is drawn as the rest is. LyCORIS's `use_scalar`. Where the factors start as
    /// those of a matrix it starts at 1.
    pub fn learned_scalar(mut self, learned_scalar: bool) -> Self {
        self.settings.learned_scalar = learned_scalar;
        self
    }

    /// Weight decomposition: the weight is `W + ΔW` with norms of its own along `axis`, which are trained and start as
    /// those of `W` (DoRA, arXiv 2402.09353, in the form of LyCORIS's `weight_decompose`). The base stays frozen.
    ///
    /// # Cost
    /// Three passes over `W` a step, two of them in the backward; one for the first inference after a change.
    pub fn dora(mut self, axis: DoraAxis) -> Self {
        self.settings.dora = Some(axis);
        self
    }

    /// What [`LoKrAdapter::set_multiplier`](crate::LoKrAdapter::set_multiplier) does to a decomposed weight.
    pub fn dora_strength(mut self, strength: DoraStrength) -> Self {
        self.settings.dora_strength = strength;
        self
    }

    /// Share of the values of the update's input that training leaves out, each by itself; the others are divided by
    /// what is kept, so that the mean stays.
    pub fn input_dropout(mut self, share: f64) -> Self {
        self.settings.dropout.input = share;
        self
    }

    /// Share of the rows of `ΔW` that training leaves out, each by itself, for a whole batch: PEFT's `rank_dropout`.
    pub fn rank_dropout(mut self, share: f64) -> Self {
        self.settings.dropout.rank = share;
        self
    }

    /// Whether the rows that [`LoKrBuilder::rank_dropout`] keeps are divided by their share of all rows, as it is in
    /// that batch: PEFT's `rank_dropout_scale`.
    pub fn rescale_rank_dropout(mut self, rescale: bool) -> Self {
        self.settings.dropout.rescale_rank = rescale;
        self
    }

    /// Share of the training forwards that go without the update: PEFT's `module_dropout`.
    pub fn module_dropout(mut self, share: f64) -> Self {
        self.settings.dropout.module = share;
        self
    }

    /// Seed of the random start and of dropout. Two adapters of one shape and one seed start equal.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Where the update enters.
    pub fn placement(mut self, placement: DeltaPlacement) -> Self {
        self.settings.placement = Some(placement);
        self
    }
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

    /// The update for a weight of this shape, `(out, in)`; `weight` is the weight itself, where one is needed.
    pub(crate) fn update(&self, dim: (usize, usize), weight: Option<&ArrayRef2<T>>) -> Result<LoKrUpdate<T>> {
        let (scaling, shape) = (self.scaling()?, self.shape(dim)?);
        self.dropout.check()?;
        if self.terms == 0 {
            return Err(LayerError::invalid("number of terms", 0, "at least 1"));
        }
        let a_rank = self.low_rank((shape.m, shape.n)).filter(|_| self.decompose_both);
        let ranks = (a_rank, self.low_rank((shape.p, shape.q)));
        let start = match (&self.nearest_to, self.init, weight) {
            (Some(delta), ..) => Some(&**delta),
            (None, LoKrInit::Principal, None) => {
                return Err(LayerError::invalid("init", "Principal", "another start, where there is no weight"));
            }
            (None, LoKrInit::Principal, weight) => weight,
            _ => None,
        };
        let deltas = match start {
            Some(matrix) => {
                LayerError::check_finite("LoKrBuilder", "the matrix to start from", matrix.iter())?;
                nearest_terms(matrix, shape, self.terms, scaling, ranks)?
            }
            None => self.drawn(shape, ranks)?,
        };
        let given = weight;
        let weight = self.term_weights.then(T::one);
        let terms = deltas.into_iter().map(|delta| Term::new(delta, weight)).collect();
        let mut update = LoKrUpdate::assemble(terms, self.rank, self.alpha(), scaling);
        if self.learned_scalar {
            update.scalar = Some(Learned::new(if start.is_some() { T::one() } else { T::zero() }));
        }
        update.dropout = Dropout { seed: self.seed, ..self.dropout };
        match (self.dora, given) {
            (None, _) => Ok(update),
            (Some(axis), Some(given)) => update.with_dora(axis, &start_norms(given, axis), self.dora_strength),
            (Some(_), None) => Err(LayerError::invalid("dora", "set", "none, where there is no weight")),
        }
    }

    fn drawn(
        &self,
        shape: KronShape,
        (a_rank, b_rank): (Option<usize>, Option<usize>),
    ) -> Result<Vec<Kron<'static, T>>> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let term = |_| {
            let a = self.init.a((shape.m, shape.n), a_rank, self.learned_scalar, &mut rng)?;
            let b = self.init.b((shape.p, shape.q), b_rank, self.learned_scalar, &mut rng)?;
            Ok(Kron::new(a, b)?)
        };
        (0..self.terms).map(term).collect()
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

    fn shape(&self, weight: (usize, usize)) -> Result<KronShape> {
        let (out, input) = weight;
        let KronShape { m, n, p, q } = match self.factor_shapes {
            Some(shape) => shape,
            None => {
                let (m, p) = factorization(out, self.factor, self.factor_rule)?;
                let (n, q) = factorization(input, self.factor, self.factor_rule)?;
                KronShape { m, n, p, q }
            }
        };
        let shape = KronShape::new(m, n, p, q)?;
        if shape.dim() == weight { Ok(shape) } else { Err(LayerError::FactorShapes { m, n, p, q, weight }) }
    }

    /// The inner size of a factor of this shape, if it is to be low-rank.
    fn low_rank(&self, dim: (usize, usize)) -> Option<usize> {
        (!self.full_matrix && is_low_rank(self.rank, dim)).then_some(self.rank)
    }
}
