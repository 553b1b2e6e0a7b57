//! The adapter: what it holds, how it is made, what of it can be read and set.

use std::sync::OnceLock;

use lokr_core::{Kron, KronShape, Scalar};

use super::checks::{check_decomposition, weight_shape};
use super::dora::DoraPass;
use super::updates::{OWN, Updates, check_name};
use crate::activation::ActivationState;
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::layer::Layer;
use crate::patches::Walk;
#[cfg(doc)]
use crate::update::LoKrInit;
use crate::update::{DeltaPlacement, Gains, LoKrBuilder, LoKrSettings, LoKrUpdate};

/// A base layer with a Kronecker update of its weight: `W + s·(A ⊗ B)`, `A (m, n)`, `B (p, q)`, never formed in forward
/// or backward.
///
/// `L` is any [`Layer`]: [`crate::Dense`], [`crate::FullyConnected`], `Box<dyn Layer<T>>`, or your own. Where it has a
/// weight matrix ([`Layer::as_linear`]) the update enters before its activation, so that the adapted layer equals its
/// merged layer; see [`DeltaPlacement`]. An adapter is such a layer again: adapters around adapters add up before the
/// activation.
///
/// The adapter is a layer itself. Its trainable parameters, in order: `lokr_w1` (or `lokr_w1_a`, `lokr_w1_b`),
/// `lokr_w2` (or `lokr_w2_a`, `lokr_w2_b`, in Tucker form behind `lokr_t2`), of a LoRA `lora_B` and `lora_A`, those of
/// several terms behind `term0.` and so on, then `lokr_scalar` if it has one, then the base's unless it is frozen.
/// A base that is an adapter has `base.` in front of its names.
///
/// # Cost
/// Forward adds `2·batch·min(n·p·(q + m), m·q·(n + p))` flops to the base's, backward two to three times that. The
/// buffers that training needs are kept between steps: after the first step neither direction allocates here.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Layer, LoKrAdapter};
/// use ndarray::{Array1, Array2, array};
///
/// let base = Dense::from_arrays(Array2::from_elem((4, 6), 0.5), Array1::zeros(6), Activation::Relu)?;
/// let mut adapter = LoKrAdapter::new(base.clone(), 1, None, true)?;
/// let x = array![[1.0, -2.0, 3.0, 0.5]];
/// assert_eq!(adapter.predict(&x)?, base.predict(&x)?); // a new adapter changes nothing
///
/// adapter.set_matrix_b(array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])?; // now it does
/// let merged = adapter.merge()?;
/// let difference = adapter.predict(&x)? - merged.predict(&x)?;
/// assert!(difference.iter().all(|d: &f64| d.abs() < 1e-12));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct LoKrAdapter<T: Scalar, L> {
    pub(super) base: L,
    pub(super) updates: Updates<T>,
    pub(super) placement: DeltaPlacement,
    pub(super) base_frozen: bool,
    /// Whether the update is frozen as well, and so the whole.
    pub(super) frozen: bool,
    /// What a decomposed weight is multiplied by, while nothing changes.
    pub(super) gains: OnceLock<Gains<T>>,
    pub(super) training: TrainingState<T>,
}

/// What a training step leaves for the next call. All of it can be dropped at any time.
#[derive(Debug, Clone)]
pub(super) struct TrainingState<T: Scalar> {
    /// Whether `input` is that of the last `forward`, and no parameter has changed since.
    pub(super) has_input: bool,
    pub(super) input: Buffer<T>,
    pub(super) activation: ActivationState<T>,
    /// Gradient of the pre-activation.
    pub(super) dz: Buffer<T>,
    /// Of the input, where nobody asks for it.
    pub(super) dx: Buffer<T>,
    pub(super) dora: DoraPass<T>,
    pub(super) walk: Walk<T>,
    /// Memory for the next gains.
    pub(super) spare_gains: Option<Gains<T>>,
}

impl<T: Scalar> TrainingState<T> {
    pub(super) fn new() -> Self {
        Self {
            has_input: false,
            input: Buffer::new(),
            activation: ActivationState::new(),
            dz: Buffer::new(),
            dx: Buffer::new(),
            dora: DoraPass::new(),
            walk: Walk::new(),
            spare_gains: None,
        }
    }
}

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    /// Adapts `base` with the shapes that LyCORIS and PEFT use: balanced factors of both sizes, and `B` low-rank where
    /// `rank < max(p, q)/2`.
    ///
    /// `alpha`: numerator of the scaling `alpha/rank`; `None`, or a negative number as in the adapter that this one
    /// follows, means `alpha = rank`. `freeze_base`: train the adapter only. Everything else is for
    /// [`LoKrAdapter::builder`], where a negative `alpha` is an error.
    ///
    /// # Errors
    /// As [`LoKrBuilder::build`]. Every layer with at least one input and one output gets an adapter; a prime size is
    /// split as `1 × N`.
    pub fn new(base: L, rank: usize, alpha: Option<T>, freeze_base: bool) -> Result<Self> {
        let builder = Self::builder(base).rank(rank).freeze_base(freeze_base);
        match alpha.filter(|alpha| *alpha >= T::zero() || !alpha.is_finite()) {
            Some(alpha) => builder.alpha(alpha).build(),
            None => builder.build(),
        }
    }

    /// All settings, each with its default.
    pub fn builder(base: L) -> LoKrBuilder<T, L> {
        LoKrBuilder::on(base)
    }

    /// Adapts `base` with given factors and scaling, as read from a file; the base starts frozen.
    ///
    /// The rank is the inner size of `B`, or of `A`, or where both are full the smallest that makes `B` full; `alpha`
    /// is `scaling·rank`.
    ///
    /// # Errors
    /// [`LayerError::FactorShapes`] unless `delta` has the shape of the base's weight, [`LayerError::NonFinite`],
    /// [`LayerError::InvalidRank`] for a low-rank factor of inner size 0, [`LayerError::InvalidSetting`] for a scaling
    /// that is not finite, [`LayerError::ZeroSize`].
    pub fn from_delta(base: L, delta: Kron<'_, T>, scaling: T) -> Result<Self> {
        let KronShape { m, n, p, q } = delta.shape();
        let weight = weight_shape(&base)?;
        if delta.dim() != weight {
            return Err(LayerError::FactorShapes { m, n, p, q, weight });
        }
        Self::from_update(base, LoKrUpdate::from_terms(vec![delta], scaling)?)
    }

    /// Adapts `base` with a given update; the base starts frozen.
    ///
    /// # Errors
    /// [`LayerError::Shape`] unless `update` has the shape of the base's weight, [`LayerError::ZeroSize`].
    pub fn from_update(base: L, update: LoKrUpdate<T>) -> Result<Self> {
        let prepared = Prepared::given(OWN, &base, update, None)?;
        Ok(prepared.put_on(base))
    }

    /// The adapted layer, as it was given.
    #[must_use]
    pub fn base_layer(&self) -> &L {
        &self.base
    }

    /// Takes the adapted layer out, as it is, and drops the adapter.
    #[must_use]
    pub fn into_base(self) -> L {
        self.base
    }

    /// Takes the adapter apart: the adapted layer, as it is, and what was added to it.
    #[must_use]
    pub fn into_parts(self) -> (L, LoKrUpdate<T>) {
        (self.base, self.updates.into_own())
    }

    /// The rank asked for. The factors may be full, and the rank of `A ⊗ B` is `rank(A)·rank(B)`.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.update().rank()
    }

    /// Numerator of the scaling the adapter was made with.
    #[must_use]
    pub fn alpha(&self) -> T {
        self.update().alpha()
    }

    /// What `A ⊗ B` is multiplied by: `alpha/rank`, or `alpha/√rank` with [`crate::LoKrBuilder::rs_lora`], until
    /// [`LoKrAdapter::set_scaling`].
    ///
    /// The *scaling* is this number as a trained adapter holds and changes it. In files it is the *scale*, which
    /// `lokr-checkpoint` reads by a rule (`ScaleRule`) from an alpha, a rank or a configuration.
    #[must_use]
    pub fn scaling(&self) -> T {
        self.update().scaling()
    }

    /// Changes the strength of the update; zero switches it off. Gradients, which belong to the old strength, are
    /// dropped, and a backward needs a new forward.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless `scaling` is finite; [`LayerError::AlreadyMerged`] while the update is in
    /// the base's weight.
    pub fn set_scaling(&mut self, scaling: T) -> Result<()> {
        self.change(|updates| updates.own_mut().set_scaling(scaling))
    }

    /// How strongly the update is applied, beside its scaling: 1 until [`LoKrAdapter::set_multiplier`].
    #[must_use]
    pub fn multiplier(&self) -> T {
        self.update().multiplier()
    }

    /// Changes how strongly the update is applied, at run time: what is saved stays. Gradients are dropped, and a
    /// backward needs a new forward.
    ///
    /// # Errors
    /// As [`LoKrAdapter::set_scaling`].
    pub fn set_multiplier(&mut self, multiplier: T) -> Result<()> {
        self.change(|updates| updates.own_mut().set_multiplier(multiplier))
    }

    /// Where the update enters.
    #[must_use]
    pub fn placement(&self) -> DeltaPlacement {
        self.placement
    }

    /// Whether the base's parameters are kept as they are, which they always are where the weight is decomposed.
    #[must_use]
    pub fn is_base_frozen(&self) -> bool {
        self.base_frozen || self.updates.decomposing().is_some()
    }

    /// Freezes the base or lets it train, as far as it is not frozen itself. When this changes anything all gradients
    /// are dropped, so that those of the adapter and of the base always cover the same steps.
    pub fn set_base_frozen(&mut self, frozen: bool) {
        if self.base_frozen != frozen {
            self.base_frozen = frozen;
            self.updates.each(LoKrUpdate::clear_gradients);
            self.base.clear_gradients();
        }
    }

    /// After a change that is no step: gradients are dropped, and a backward needs a new forward.
    pub(super) fn forget(&mut self) {
        self.training.has_input = false;
        self.updates.each(LoKrUpdate::forget);
        self.base.clear_gradients();
        self.drop_gains();
    }

    /// Number of trainable values of the adapter alone, of the updates that are enabled, without the base's.
    #[must_use]
    pub fn adapter_parameter_count(&self) -> usize {
        self.updates.enabled().map(LoKrUpdate::parameter_count).sum()
    }

    /// The update without its scaling: the lazy product `A ⊗ B (out, in)`, with its norms, rank and spectrum. The first
    /// one of several terms; [`LoKrUpdate::terms`] has all.
    #[must_use]
    pub fn delta(&self) -> &Kron<'static, T> {
        self.update().delta()
    }

    /// The adapter's own update: terms, scaling, scalar and multiplier. Others are reached by
    /// [`Adapter`](crate::Adapter).
    #[must_use]
    pub fn update(&self) -> &LoKrUpdate<T> {
        self.updates.own()
    }
}

impl<T: Scalar> LoKrBuilder<T, ()> {
    /// The adapter of `base` with these settings.
    ///
    /// # Errors
    /// As [`LoKrBuilder::build`].
    pub fn adapt<L: Layer<T> + Clone>(self, base: L) -> Result<LoKrAdapter<T, L>> {
        LoKrBuilder { base, settings: self.settings }.build()
    }
}

impl<T: Scalar, L: Layer<T> + Clone> LoKrBuilder<T, L> {
    /// Checks the settings and makes the adapter.
    ///
    /// # Errors
    /// - [`LayerError::ZeroSize`] for a base without inputs or outputs.
    /// - [`LayerError::InvalidRank`] for rank 0.
    /// - [`LayerError::InvalidSetting`] for an `alpha` that is negative or not finite, for a dropout outside of
    ///   `[0, 1)`, for [`DeltaPlacement::BeforeActivation`] or [`LoKrInit::Principal`] on a base without a weight
    ///   matrix, and for no terms.
    /// - [`LayerError::FactorShapes`] for shapes that do not multiply to the layer's, [`LayerError::Kron`] for empty or
    ///   overflowing ones, for factors that memory does not hold, and where the nearest product of a matrix is not
    ///   found.
    pub fn build(self) -> Result<LoKrAdapter<T, L>> {
        let prepared = Prepared::new(&self.base, &LoKrBuilder { base: (), settings: self.settings })?;
        Ok(prepared.put_on(self.base))
    }
}

/// An update that fits a certain layer, to be put on it: what can fail has been done.
pub(crate) struct Prepared<T: Scalar> {
    name: String,
    update: LoKrUpdate<T>,
    placement: DeltaPlacement,
    base_frozen: bool,
    /// Whether the base's weight is to lose what the update adds.
    out_of_weight: bool,
}

impl<T: Scalar> Prepared<T> {
    pub(crate) fn new(base: &dyn Layer<T>, settings: &LoKrSettings<T>) -> Result<Self> {
        let settings = &settings.settings;
        let dim = weight_shape(base)?;
        let out_of_weight = settings.starts_from_weight();
        let kernel = base.patches().map_or(&[][..], |patches| patches.kernel());
        let update = match base.as_linear().filter(|_| settings.needs_weight()) {
            Some(linear) => settings.update(dim, kernel, Some(&linear.effective_weight()?))?,
            None => settings.update(dim, kernel, None)?,
        };
        let placement = placement_on(base, settings.placement)?;
        check_decomposition(base, placement, &update)?;
        if update.dora().is_some() && !settings.freeze_base {
            return Err(LayerError::invalid("freeze_base", false, "true where the weight is decomposed"));
        }
        let after = placement == DeltaPlacement::AfterActivation;
        if out_of_weight && after && base.as_linear().is_some_and(|linear| !linear.activation().is_identity()) {
            let expected = "BeforeActivation for an update that is taken out of the weight";
            return Err(LayerError::invalid("placement", "AfterActivation", expected));
        }
        Ok(Self { name: OWN.to_owned(), update, placement, base_frozen: settings.freeze_base, out_of_weight })
    }

    /// A given update under a name, on a base that stays frozen.
    pub(crate) fn given(
        name: &str,
        base: &dyn Layer<T>,
        update: LoKrUpdate<T>,
        placement: Option<DeltaPlacement>,
    ) -> Result<Self> {
        check_name(name)?;
        LayerError::check_shape(base.type_name(), "an update", weight_shape(base)?, update.dim())?;
        let placement = placement_on(base, placement)?;
        check_decomposition(base, placement, &update)?;
        Ok(Self { name: name.to_owned(), update, placement, base_frozen: true, out_of_weight: false })
    }

    pub(crate) fn update(&self) -> &LoKrUpdate<T> {
        &self.update
    }

    /// The adapter of that layer.
    pub(crate) fn put_on<L: Layer<T> + Clone>(self, mut base: L) -> LoKrAdapter<T, L> {
        let Self { name, update, placement, base_frozen, out_of_weight } = self;
        if let Some(linear) = base.as_linear_mut().filter(|_| out_of_weight) {
            // Its shape is that of the weight.
            let _ = update.add_to(-T::one(), &mut linear.weight_mut());
        }
        let (updates, training) = (Updates::new(&name, update), TrainingState::new());
        LoKrAdapter { base, updates, placement, base_frozen, frozen: false, gains: OnceLock::new(), training }
    }
}

/// Where an update enters: as wanted, if the base allows it.
fn placement_on<T: Scalar>(base: &dyn Layer<T>, wanted: Option<DeltaPlacement>) -> Result<DeltaPlacement> {
    match (wanted, base.as_linear()) {
        (Some(DeltaPlacement::BeforeActivation), None) => {
            let expected = "AfterActivation for a base without a weight matrix";
            Err(LayerError::invalid("placement", "BeforeActivation", expected))
        }
        (Some(DeltaPlacement::AfterActivation), Some(linear))
            if base.patches().is_some() && !linear.activation().is_identity() =>
        {
            let expected = "BeforeActivation for a base whose weight acts on patches";
            Err(LayerError::invalid("placement", "AfterActivation", expected))
        }
        (Some(placement), _) => Ok(placement),
        (None, Some(_)) => Ok(DeltaPlacement::BeforeActivation),
        (None, None) => Ok(DeltaPlacement::AfterActivation),
    }
}
