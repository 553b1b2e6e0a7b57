//! The adapter: what it holds, how it is made, what of it can be read and set.

use lokr_core::{Factor, Kron, KronGradients, KronShape, Scalar};
use ndarray::{ArrayView2, CowArray, Ix2};

use super::{DeltaPlacement, LoKrBuilder};
use crate::activation::ActivationState;
use crate::buffer::Buffer;
use crate::{Layer, LayerError, Result};

/// Name in messages.
pub(super) const NAME: &str = "LoKrAdapter";

/// A base layer with a Kronecker update of its weight: `W + s·(A ⊗ B)`, `A (m, n)`, `B (p, q)`, never formed in forward
/// or backward.
///
/// `L` is any [`Layer`]: [`crate::Dense`], [`crate::FullyConnected`], `Box<dyn Layer<T>>`, or your own. Where it has a
/// weight matrix ([`Layer::as_linear`]) the update enters before its activation, so that the adapted layer equals its
/// merged layer; see [`DeltaPlacement`].
///
/// The adapter is a layer itself. Its trainable parameters, in order: `lokr_w1` (or `lokr_w1_a`, `lokr_w1_b`), `lokr_w2`
/// (or `lokr_w2_a`, `lokr_w2_b`), then the base's unless it is frozen.
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

/// The shape `(out, in)` of the weight that the update is added to.
pub(super) fn weight_shape<T: Scalar, L: Layer<T>>(base: &L) -> Result<(usize, usize)> {
    let (layer, input_size, output_size) = (base.type_name(), base.input_size(), base.output_size());
    if input_size == 0 || output_size == 0 {
        return Err(LayerError::ZeroSize { layer, input_size, output_size });
    }
    let expected = (output_size, input_size);
    if let Some(linear) = base.as_linear() {
        LayerError::check_shape(layer, "weight", expected, linear.weight().dim())?;
    }
    Ok(expected)
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
        let rank = inner_rank(delta.b()).or(inner_rank(delta.a())).unwrap_or(p.max(q).div_ceil(2));
        let alpha = scaling * T::from_usize_lossy(rank);
        Self::assemble(base, delta.into_owned(), rank, alpha, scaling, None)
    }

    /// Puts checked parts together; the placement is decided here.
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

    /// What `A ⊗ B` is multiplied by: `alpha/rank`, or `alpha/√rank` with [`LoKrBuilder::rs_lora`], until
    /// [`LoKrAdapter::set_scaling`].
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

    /// Shape `(m, n)` of `A`.
    #[must_use]
    pub fn matrix_a_dimensions(&self) -> (usize, usize) {
        self.delta.a().dim()
    }

    /// Shape `(p, q)` of `B`.
    #[must_use]
    pub fn matrix_b_dimensions(&self) -> (usize, usize) {
        self.delta.b().dim()
    }

    /// `A (m, n)`: a view when it is held full, the product of its halves when low-rank.
    #[must_use]
    pub fn matrix_a(&self) -> CowArray<'_, T, Ix2> {
        self.delta.a().dense()
    }

    /// `B (p, q)`: a view when it is held full, the product of its halves when low-rank.
    #[must_use]
    pub fn matrix_b(&self) -> CowArray<'_, T, Ix2> {
        self.delta.b().dense()
    }

    /// The halves `A_a (m, r)` and `A_b (r, n)`, if `A` is held low-rank.
    #[must_use]
    pub fn matrix_a_halves(&self) -> Option<(ArrayView2<'_, T>, ArrayView2<'_, T>)> {
        halves(self.delta.a())
    }

    /// The halves `B_a (p, r)` and `B_b (r, q)`, if `B` is held low-rank.
    #[must_use]
    pub fn matrix_b_halves(&self) -> Option<(ArrayView2<'_, T>, ArrayView2<'_, T>)> {
        halves(self.delta.b())
    }

    /// Replaces `A` by a full matrix, or by a [`Factor::low_rank`] of any inner size, of the same shape `(m, n)`.
    /// Stored gradients are dropped; the number of parameters changes with the form.
    ///
    /// # Errors
    /// [`LayerError::Shape`], [`LayerError::NonFinite`], [`LayerError::InvalidRank`] for an inner size of 0; nothing is
    /// changed then.
    pub fn set_matrix_a<'f>(&mut self, a: impl Into<Factor<'f, T>>) -> Result<()> {
        let a = a.into();
        check_factor("matrix_a", self.matrix_a_dimensions(), &a)?;
        let b = self.delta.b().clone();
        self.set_delta(Kron::new(a.into_owned(), b)?);
        Ok(())
    }

    /// Replaces `B`, as [`LoKrAdapter::set_matrix_a`] replaces `A`; the shape is `(p, q)`.
    ///
    /// # Errors
    /// As [`LoKrAdapter::set_matrix_a`].
    pub fn set_matrix_b<'f>(&mut self, b: impl Into<Factor<'f, T>>) -> Result<()> {
        let b = b.into();
        check_factor("matrix_b", self.matrix_b_dimensions(), &b)?;
        let a = self.delta.a().clone();
        self.set_delta(Kron::new(a, b.into_owned())?);
        Ok(())
    }

    fn set_delta(&mut self, delta: Kron<'static, T>) {
        self.delta = delta;
        self.training.gradients = None;
        self.clear_all_gradients();
    }
}

fn halves<'f, T: Scalar>(factor: &'f Factor<'_, T>) -> Option<(ArrayView2<'f, T>, ArrayView2<'f, T>)> {
    match factor {
        Factor::Full(_) => None,
        Factor::LowRank(low) => Some((low.left(), low.right())),
    }
}

fn inner_rank<T: Scalar>(factor: &Factor<'_, T>) -> Option<usize> {
    halves(factor).map(|(left, _)| left.ncols())
}

fn check_factor<T: Scalar>(argument: &'static str, expected: (usize, usize), factor: &Factor<'_, T>) -> Result<()> {
    LayerError::check_shape(NAME, argument, expected, factor.dim())?;
    if inner_rank(factor) == Some(0) {
        return Err(LayerError::InvalidRank { rank: 0 });
    }
    factor.parts().try_for_each(|part| LayerError::check_finite(NAME, argument, part.iter()))
}

fn check_scaling<T: Scalar>(scaling: T) -> Result<()> {
    if scaling.is_finite() { Ok(()) } else { Err(LayerError::invalid("scaling", scaling, "a finite number")) }
}
