//! The adapter: what it holds, how it is made, what of it can be read and set.

use lokr_core::sizes::lowest_full_rank;
use lokr_core::{Kron, KronGradients, KronShape, Scalar};

use super::checks::{check_factor, check_scaling, weight_shape};
use super::halves::inner_rank;
use super::placement::DeltaPlacement;
use crate::activation::ActivationState;
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// A base layer with a Kronecker update of its weight: `W + s·(A ⊗ B)`, `A (m, n)`, `B (p, q)`, never formed in forward
/// or backward.
///
/// `L` is any [`Layer`]: [`crate::Dense`], [`crate::FullyConnected`], `Box<dyn Layer<T>>`, or your own. Where it has a
/// weight matrix ([`Layer::as_linear`]) the update enters before its activation, so that the adapted layer equals its
/// merged layer; see [`DeltaPlacement`].
///
/// The adapter is a layer itself. Its trainable parameters, in order: `lokr_w1` (or `lokr_w1_a`, `lokr_w1_b`),
/// `lokr_w2` (or `lokr_w2_a`, `lokr_w2_b`), then the base's unless it is frozen.
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
    pub(super) delta: Kron<'static, T>,
    rank: usize,
    alpha: T,
    pub(super) scaling: T,
    pub(super) placement: DeltaPlacement,
    pub(super) base_frozen: bool,
    pub(super) training: TrainingState<T>,
}

/// What a training step leaves for the next call. All of it can be dropped at any time.
#[derive(Debug, Clone)]
pub(super) struct TrainingState<T: Scalar> {
    /// Whether `input` is that of the last `forward`.
    pub(super) has_input: bool,
    pub(super) input: Buffer<T>,
    pub(super) activation: ActivationState<T>,
    /// Gradient of the pre-activation.
    pub(super) dz: Buffer<T>,
    /// Whether `gradients` are of the current parameters; else they are memory only.
    pub(super) has_gradients: bool,
    pub(super) gradients: Option<KronGradients<T>>,
}

impl<T: Scalar> TrainingState<T> {
    pub(super) fn new() -> Self {
        Self {
            has_input: false,
            input: Buffer::new(),
            activation: ActivationState::new(),
            dz: Buffer::new(),
            has_gradients: false,
            gradients: None,
        }
    }
}

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
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
        check_factor("matrix_a", (m, n), delta.a())?;
        check_factor("matrix_b", (p, q), delta.b())?;
        check_scaling(scaling)?;
        let rank = inner_rank(delta.b()).or(inner_rank(delta.a())).unwrap_or(lowest_full_rank((p, q)));
        let alpha = scaling * T::from_usize_lossy(rank);
        Self::assemble(base, delta.into_owned(), rank, alpha, scaling, None)
    }

    /// Puts together what has been checked; the placement is decided here.
    pub(super) fn assemble(
        base: L,
        delta: Kron<'static, T>,
        rank: usize,
        alpha: T,
        scaling: T,
        placement: Option<DeltaPlacement>,
    ) -> Result<Self> {
        let placement = match (placement, base.as_linear()) {
            (Some(DeltaPlacement::BeforeActivation), None) => {
                let expected = "AfterActivation for a base without a weight matrix";
                return Err(LayerError::invalid("placement", "BeforeActivation", expected));
            }
            (Some(placement), _) => placement,
            (None, Some(_)) => DeltaPlacement::BeforeActivation,
            (None, None) => DeltaPlacement::AfterActivation,
        };
        let training = TrainingState::new();
        Ok(Self { base, delta, rank, alpha, scaling, placement, base_frozen: true, training })
    }

    /// The adapted layer, as it was given.
    #[must_use]
    pub fn base_layer(&self) -> &L {
        &self.base
    }

    /// Takes the adapted layer out and drops the adapter.
    #[must_use]
    pub fn into_base(self) -> L {
        self.base
    }

    /// The rank asked for. The factors may be full, and the rank of `A ⊗ B` is `rank(A)·rank(B)`.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Numerator of the scaling the adapter was made with.
    #[must_use]
    pub fn alpha(&self) -> T {
        self.alpha
    }

    /// What `A ⊗ B` is multiplied by: `alpha/rank`, or `alpha/√rank` with [`crate::LoKrBuilder::rs_lora`], until
    /// [`LoKrAdapter::set_scaling`].
    ///
    /// The *scaling* is this number as a trained adapter holds and changes it. In files it is the *scale*, which
    /// `lokr-checkpoint` reads by a rule (`ScaleRule`) from an alpha, a rank or a configuration.
    #[must_use]
    pub fn scaling(&self) -> T {
        self.scaling
    }

    /// Changes the strength of the update; zero switches it off. Gradients, which belong to the old strength, are
    /// dropped.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless `scaling` is finite.
    pub fn set_scaling(&mut self, scaling: T) -> Result<()> {
        check_scaling(scaling)?;
        self.scaling = scaling;
        self.clear_all_gradients();
        Ok(())
    }

    /// Where the update enters.
    #[must_use]
    pub fn placement(&self) -> DeltaPlacement {
        self.placement
    }

    /// Whether the base's parameters are kept as they are.
    #[must_use]
    pub fn is_base_frozen(&self) -> bool {
        self.base_frozen
    }

    /// Freezes the base or lets it train. When this changes anything all gradients are dropped, so that those of the
    /// adapter and of the base always cover the same steps.
    pub fn set_base_frozen(&mut self, frozen: bool) {
        if self.base_frozen != frozen {
            self.base_frozen = frozen;
            self.clear_all_gradients();
        }
    }

    pub(super) fn clear_all_gradients(&mut self) {
        self.training.has_gradients = false;
        self.base.clear_gradients();
    }

    /// Number of trainable values of the adapter alone, without the base's.
    #[must_use]
    pub fn adapter_parameter_count(&self) -> usize {
        self.delta.parameter_count()
    }

    /// The update without its scaling: the lazy product `A ⊗ B (out, in)`, with its norms, rank and spectrum.
    #[must_use]
    pub fn delta(&self) -> &Kron<'static, T> {
        &self.delta
    }
}
