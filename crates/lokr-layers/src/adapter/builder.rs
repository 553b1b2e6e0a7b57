//! The settings of a new adapter, checked once.

use lokr_core::sizes::is_low_rank;
use lokr_core::{FactorizationRule, Kron, KronShape, Scalar, factorization};
use ndarray_rand::rand::{SeedableRng, rngs::StdRng};

use super::checks::weight_shape;
use super::init::LoKrInit;
use super::lokr_adapter::LoKrAdapter;
use super::placement::DeltaPlacement;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// Settings of a [`LoKrAdapter`], made by [`LoKrAdapter::builder`].
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
/// | [`init`](Self::init) | [`LoKrInit::Gaussian`] | how the factors start |
/// | [`seed`](Self::seed) | 0 | the same seed gives the same factors |
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
    base: L,
    rank: usize,
    alpha: Option<T>,
    rs_lora: bool,
    freeze_base: bool,
    factor: i64,
    factor_rule: FactorizationRule,
    factor_shapes: Option<KronShape>,
    decompose_both: bool,
    full_matrix: bool,
    init: LoKrInit,
    seed: u64,
    placement: Option<DeltaPlacement>,
}

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    /// Adapts `base` with the shapes that LyCORIS and PEFT use: balanced factors of both sizes, and `B` low-rank where
    /// `rank < max(p, q)/2`.
    ///
    /// `alpha`: numerator of the scaling `alpha/rank`; `None` means `alpha = rank`. `freeze_base`: train the adapter
    /// only. Everything else is for [`LoKrAdapter::builder`].
    ///
    /// # Errors
    /// As [`LoKrBuilder::build`]. Every layer with at least one input and one output gets an adapter; a prime size is
    /// split as `1 × N`.
    pub fn new(base: L, rank: usize, alpha: Option<T>, freeze_base: bool) -> Result<Self> {
        let builder = Self::builder(base).rank(rank).freeze_base(freeze_base);
        match alpha {
            Some(alpha) => builder.alpha(alpha).build(),
            None => builder.build(),
        }
    }

    /// All settings, each with its default.
    pub fn builder(base: L) -> LoKrBuilder<T, L> {
        LoKrBuilder::new(base)
    }
}

impl<T: Scalar, L: Layer<T> + Clone> LoKrBuilder<T, L> {
    fn new(base: L) -> Self {
        Self {
            base,
            rank: 8,
            alpha: None,
            rs_lora: false,
            freeze_base: true,
            factor: -1,
            factor_rule: FactorizationRule::default(),
            factor_shapes: None,
            decompose_both: false,
            full_matrix: false,
            init: LoKrInit::default(),
            seed: 0,
            placement: None,
        }
    }

    /// Inner size of the low-rank factors and denominator of the scaling. There is no upper limit: a large rank makes
    /// both factors full.
    pub fn rank(mut self, rank: usize) -> Self {
        self.rank = rank;
        self
    }

    /// Numerator of the scaling. Zero means zero.
    pub fn alpha(mut self, alpha: T) -> Self {
        self.alpha = Some(alpha);
        self
    }

    /// Rank-stabilised scaling: `alpha/√rank` (Kalajdzievski, *A rank stabilization scaling factor*, 2023).
    pub fn rs_lora(mut self, rs_lora: bool) -> Self {
        self.rs_lora = rs_lora;
        self
    }

    /// Whether the base's parameters are kept as they are.
    pub fn freeze_base(mut self, freeze_base: bool) -> Self {
        self.freeze_base = freeze_base;
        self
    }

    /// Splits both sizes of the layer by this factor, as far as it divides them: `m` and `n` are `factor` where
    /// possible. A larger factor, up to the square root of a size, makes a smaller `B` and fewer parameters.
    ///
    /// See [`factorization`]. −1 is the balanced split. Overruled by [`LoKrBuilder::factor_shapes`].
    pub fn factor(mut self, factor: i64) -> Self {
        self.factor = factor;
        self
    }

    /// Whose rule reads [`LoKrBuilder::factor`]. The two agree on the balanced split.
    pub fn factor_rule(mut self, rule: FactorizationRule) -> Self {
        self.factor_rule = rule;
        self
    }

    /// Shapes of `A`, `(m, n)`, and `B`, `(p, q)`, with `m·p` outputs and `n·q` inputs.
    pub fn factor_shapes(mut self, (m, n): (usize, usize), (p, q): (usize, usize)) -> Self {
        self.factor_shapes = Some(KronShape { m, n, p, q });
        self
    }

    /// Lets `A` be low-rank as well where `rank < max(m, n)/2`.
    pub fn decompose_both(mut self, decompose_both: bool) -> Self {
        self.decompose_both = decompose_both;
        self
    }

    /// Keeps both factors full, whatever the rank and [`LoKrBuilder::decompose_both`] say.
    pub fn full_matrix(mut self, full_matrix: bool) -> Self {
        self.full_matrix = full_matrix;
        self
    }

    /// How the factors start.
    pub fn init(mut self, init: LoKrInit) -> Self {
        self.init = init;
        self
    }

    /// Seed of the random start. Two adapters of one shape and one seed start equal.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Where the update enters.
    pub fn placement(mut self, placement: DeltaPlacement) -> Self {
        self.placement = Some(placement);
        self
    }

    /// Checks the settings and makes the adapter.
    ///
    /// # Errors
    /// - [`LayerError::ZeroSize`] for a base without inputs or outputs.
    /// - [`LayerError::InvalidRank`] for rank 0.
    /// - [`LayerError::InvalidSetting`] for an `alpha` that is negative or not finite, and for
    ///   [`DeltaPlacement::BeforeActivation`] on a base without a weight matrix.
    /// - [`LayerError::FactorShapes`] for shapes that do not multiply to the layer's, [`LayerError::Kron`] for empty or
    ///   overflowing ones.
    pub fn build(self) -> Result<LoKrAdapter<T, L>> {
        let weight = weight_shape(&self.base)?;
        let scaling = self.scaling()?;
        let shape = self.shape(weight)?;
        let mut rng = StdRng::seed_from_u64(self.seed);
        let a_rank = self.low_rank((shape.m, shape.n)).filter(|_| self.decompose_both);
        let a = self.init.a((shape.m, shape.n), a_rank, &mut rng)?;
        let b = self.init.b((shape.p, shape.q), self.low_rank((shape.p, shape.q)), &mut rng)?;
        let alpha = self.alpha.unwrap_or_else(|| T::from_usize_lossy(self.rank));
        let mut adapter =
            LoKrAdapter::assemble(self.base, Kron::new(a, b)?, self.rank, alpha, scaling, self.placement)?;
        adapter.set_base_frozen(self.freeze_base);
        Ok(adapter)
    }

    fn scaling(&self) -> Result<T> {
        if self.rank == 0 {
            return Err(LayerError::InvalidRank { rank: 0 });
        }
        let rank = T::from_usize_lossy(self.rank);
        let alpha = self.alpha.unwrap_or(rank);
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
