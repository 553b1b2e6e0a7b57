//! The adapter made ready for inference.

use lokr_core::{Kron, PackedMatrix, Scalar};
use ndarray::{Array1, Array2, ArrayRef2, ArrayView2, ArrayViewMut2, Axis};

use super::lokr_adapter::LoKrAdapter;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::{Adapter, Layer, LinearLayer};
use crate::update::{DeltaPlacement, TYPE_NAME};

/// An adapted layer that only infers: weight packed, factors laid out, nothing left to decide. Immutable, so that
/// threads can share it.
///
/// Made by [`LoKrAdapter::compile`]. The update stays apart from the weight; where it need not, [`LoKrAdapter::merge`]
/// gives a layer that costs nothing extra.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Layer, LoKrAdapter, LoKrInit};
/// use ndarray::{Array1, Array2};
///
/// let base = Dense::from_arrays(Array2::from_elem((6, 4), 0.5), Array1::zeros(4), Activation::Tanh)?;
/// let adapter = LoKrAdapter::builder(base).rank(1).init(LoKrInit::Random).build()?;
/// let compiled = adapter.compile(8)?;
/// let x = Array2::from_shape_fn((3, 6), |(i, j)| (i + j) as f64 / 10.0);
/// let mut y = Array2::zeros((3, 4));
/// compiled.forward_into(&x, &mut y)?;
/// let difference = y - adapter.predict(&x)?;
/// assert!(difference.iter().all(|d: &f64| d.abs() < 1e-12));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CompiledLoKr<T: Scalar> {
    weight: PackedMatrix<T>,
    bias: Array1<T>,
    activation: Activation,
    placement: DeltaPlacement,
    /// Products, each with what it is multiplied by.
    terms: Vec<(T, Kron<'static, T>)>,
    max_batch: usize,
}

impl<T: Scalar, L: Layer<T> + Clone + 'static> LoKrAdapter<T, L> {
    /// A copy of the adapted layer for inference on batches of up to `max_batch` rows; larger ones are cut.
    ///
    /// # Cost
    /// Copies the base's weight once. [`CompiledLoKr::forward_into`] then allocates nothing.
    /// # Errors
    /// [`LayerError::NotCompilable`] for a base without a weight matrix, and for a convolution, which
    /// [`crate::CompiledNetwork`] takes, [`LayerError::InvalidSetting`] for a
    /// `max_batch` of 0.
    pub fn compile(&self, max_batch: usize) -> Result<CompiledLoKr<T>> {
        CompiledLoKr::new(self, max_batch)
    }
}

/// The base of an adapter that can be compiled.
///
/// # Errors
/// [`LayerError::NotCompilable`].
pub(crate) fn linear_base<T: Scalar>(adapter: &dyn Adapter<T>) -> Result<&dyn LinearLayer<T>> {
    let base = adapter.base();
    let reason = match base.patches() {
        Some(_) => "its weight acts on patches, which a compiled network cuts out and an adapter alone does not",
        None => "it is the base of an adapter and has no weight matrix",
    };
    let error = LayerError::NotCompilable { name: "base".to_owned(), layer: base.type_name(), reason };
    base.as_linear().filter(|_| base.patches().is_none()).ok_or(error)
}

impl<T: Scalar> CompiledLoKr<T> {
    /// A linear layer without updates.
    pub(crate) fn of_linear(linear: &dyn LinearLayer<T>, max_batch: usize) -> Result<Self> {
        Ok(Self {
            weight: PackedMatrix::new(&linear.effective_weight()?)?,
            bias: linear.bias().to_owned(),
            activation: linear.activation(),
            placement: DeltaPlacement::BeforeActivation,
            terms: Vec::new(),
            max_batch,
        })
    }

    /// [`LoKrAdapter::compile`] of an adapter of any base. One around an adapter has that one's update in its
    /// weight, and one that decomposes the weight its own.
    ///
    /// # Errors
    /// As [`LoKrAdapter::compile`].
    pub fn new(adapter: &dyn Adapter<T>, max_batch: usize) -> Result<Self> {
        if max_batch == 0 {
            return Err(LayerError::invalid("max_batch", 0, "at least 1"));
        }
        let linear = linear_base(adapter)?;
        let mut updates = Vec::new();
        for (name, update) in adapter.updates() {
            if adapter.is_enabled(name)? && !adapter.is_merged() {
                updates.push(update);
            }
        }
        // A weight with norms of its own is no sum.
        let whole = adapter.as_linear().filter(|_| updates.iter().any(|update| update.dora().is_some()));
        if whole.is_some() {
            updates.clear();
        }
        let terms = updates.into_iter().flat_map(|update| update.terms());
        Ok(Self {
            weight: PackedMatrix::new(&whole.unwrap_or(linear).effective_weight()?)?,
            bias: linear.bias().to_owned(),
            activation: linear.activation(),
            placement: adapter.placement(),
            terms: terms.map(|(s, delta)| Ok((s, delta.prepared(max_batch)?))).collect::<Result<_>>()?,
            max_batch,
        })
    }

    /// Values in one row of the input.
    #[must_use]
    pub fn input_size(&self) -> usize {
        self.weight.dim().1
    }

    /// Values in one row of the output.
    #[must_use]
    pub fn output_size(&self) -> usize {
        self.weight.dim().0
    }

    /// The adapted output for `x (batch, input_size)`, written over `y (batch, output_size)`, which may hold anything.
    ///
    /// Allocates nothing once every thread that takes part has its scratch memory, which its first call makes. (A call
    /// from outside a rayon pool may make rayon extend its queue of jobs now and then.)
    ///
    /// # Errors
    /// [`LayerError::Shape`]; `y` is then untouched.
    pub fn forward_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        let batch = x.nrows();
        LayerError::check_shape(TYPE_NAME, "x", (batch, self.input_size()), x.dim())?;
        LayerError::check_shape(TYPE_NAME, "y", (batch, self.output_size()), y.dim())?;
        let x = x.axis_chunks_iter(Axis(0), self.max_batch);
        x.zip(y.axis_chunks_iter_mut(Axis(0), self.max_batch)).try_for_each(|(x, y)| self.forward_rows(x, y))
    }

    /// [`CompiledLoKr::forward_into`] into a new matrix.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    pub fn forward(&self, x: &ArrayRef2<T>) -> Result<Array2<T>> {
        let mut y = Array2::zeros((x.nrows(), self.output_size()));
        self.forward_into(x, &mut y)?;
        Ok(y)
    }

    fn forward_rows(&self, x: ArrayView2<'_, T>, mut y: ArrayViewMut2<'_, T>) -> Result<()> {
        y.assign(&self.bias);
        self.weight.apply_into(T::one(), &x, T::one(), &mut y)?;
        match self.placement {
            DeltaPlacement::BeforeActivation => {
                self.add_terms(&x, &mut y)?;
                self.activation.apply(&mut y);
            }
            DeltaPlacement::AfterActivation => {
                self.activation.apply(&mut y);
                self.add_terms(&x, &mut y)?;
            }
        }
        Ok(())
    }

    fn add_terms(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.terms.iter().try_for_each(|(strength, delta)| Ok(delta.apply_into(*strength, x, T::one(), y)?))
    }
}
