//! A whole network made ready for inference.

use lokr_core::{Scalar, memory};
use ndarray::{Array2, ArrayRef2, ArrayView2, ArrayViewMut2, Axis};

use super::compiled_conv::CompiledConv;
use super::sequential::{Sequential, TYPE_NAME};
use crate::adapter::{CompiledLoKr, linear_base};
use crate::error::{LayerError, Result};
use crate::layer::{Form, Layer};
use crate::plain::Embedding;

/// A network that only infers: weights packed, factors laid out, nothing left to decide. Immutable, so that threads can
/// share it; each has a [`Workspace`] of its own.
///
/// Updates stay apart from the weights of linear layers, as in [`CompiledLoKr`], and go into those of convolutions,
/// where they cost nothing then.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, CompiledNetwork, Dense, Layer, LayerNorm, LoKrInit, LoKrSettings, Sequential};
/// use ndarray::{Array1, Array2};
///
/// let base = Dense::from_arrays(Array2::from_elem((6, 4), 0.5), Array1::zeros(4), Activation::Tanh)?;
/// let mut network = Sequential::empty();
/// network.push(LoKrSettings::new().rank(1).init(LoKrInit::Random).adapt(base)?)?.push(LayerNorm::new(4)?)?;
///
/// let compiled = CompiledNetwork::new(&network, 8)?;
/// let mut workspace = compiled.workspace()?;
/// let (x, mut y) = (Array2::from_shape_fn((20, 6), |(i, j)| (i + 2 * j) as f64 / 30.0), Array2::zeros((20, 4)));
/// compiled.forward_into(&x, &mut workspace, &mut y)?; // allocates nothing
/// let difference = y - network.predict(&x)?;
/// assert!(difference.iter().all(|d: &f64| d.abs() < 1e-9));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub struct CompiledNetwork<T: Scalar> {
    /// At least one.
    stages: Vec<Stage<T>>,
    max_batch: usize,
}

/// A layer.
enum Stage<T: Scalar> {
    Linear(CompiledLoKr<T>),
    Conv(CompiledConv<T>),
    Embedding(Embedding<T>),
    /// One that is ready as it is.
    Plain(Box<dyn Layer<T>>),
}

/// The memory between the layers of a [`CompiledNetwork`].
#[derive(Debug, Clone)]
pub struct Workspace<T> {
    /// What goes into a layer, and what comes out of it.
    sides: [Vec<T>; 2],
    /// Patches of a convolution, and what is made of them.
    patches: [Vec<T>; 2],
}

/// Whether a network, or a layer, has a compiled form, and else which layer is in the way and why. Nothing is computed.
///
/// # Errors
/// [`LayerError::NotCompilable`] with the first such layer.
/// # Examples
/// ```
/// use lokr_layers::{LayerNorm, LoKrAdapter, Sequential, supports_compilation};
///
/// let mut network = Sequential::<f32>::empty();
/// network.push_named("norm", LayerNorm::new(6)?)?;
/// supports_compilation(&network)?;
/// network.push_named("own", LoKrAdapter::new(LayerNorm::new(6)?, 1, None, true)?)?;
/// let error = supports_compilation(&network).unwrap_err();
/// let reason = "it is the base of an adapter and has no weight matrix";
/// assert_eq!(error.to_string(), format!("\"own.base\" (LayerNorm) cannot be compiled: {reason}"));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn supports_compilation<T: Scalar>(layer: &dyn Layer<T>) -> Result<()> {
    walk("", layer, &mut |_, _| Ok(()))
}

/// Shows the layers that become stages, first to last.
fn walk<'l, T: Scalar>(
    name: &str,
    layer: &'l dyn Layer<T>,
    each: &mut dyn FnMut(&'l dyn Layer<T>, Form<'l, T>) -> Result<()>,
) -> Result<()> {
    let joined = |inner: &str| if name.is_empty() { inner.to_owned() } else { format!("{name}.{inner}") };
    let refuse = |reason| Err(LayerError::NotCompilable { name: name.to_owned(), layer: layer.type_name(), reason });
    match layer.form() {
        Form::Sequence(layers) if layers.is_empty() => refuse("it has no layers"),
        Form::Sequence(layers) => layers.into_iter().try_for_each(|(own, inner)| walk(&joined(own), inner, each)),
        Form::Shared(inner) => walk(name, inner, each),
        Form::Adapter(adapter) if adapter.patches().is_some() => each(layer, Form::Adapter(adapter)),
        Form::Adapter(adapter) => {
            let renamed = |error| match error {
                LayerError::NotCompilable { name, layer, reason } => {
                    LayerError::NotCompilable { name: joined(&name), layer, reason }
                }
                error => error,
            };
            linear_base(adapter).map_err(renamed)?;
            each(layer, Form::Adapter(adapter))
        }
        Form::Dense(linear) | Form::FullyConnected(linear) | Form::Linear(linear)
            if linear.weight().dim() != (layer.output_size(), layer.input_size()) =>
        {
            refuse("its weight has another shape than (outputs, inputs)")
        }
        Form::Unknown => refuse("it does not say what it is made of"),
        form => each(layer, form),
    }
}

impl<T: Scalar> CompiledNetwork<T> {
    /// A copy of a network, or of any layer, for inference on batches of up to `max_batch` rows; larger ones are cut,
    /// and each piece goes through all layers before the next.
    ///
    /// # Cost
    /// Copies all weights once.
    /// # Errors
    /// [`LayerError::NotCompilable`] as [`supports_compilation`]; [`LayerError::InvalidSetting`] for a `max_batch` of
    /// 0; [`LayerError::Kron`] where memory is refused.
    pub fn new(network: &dyn Layer<T>, max_batch: usize) -> Result<Self> {
        if max_batch == 0 {
            return Err(LayerError::invalid("max_batch", 0, "at least 1"));
        }
        supports_compilation(network)?;
        let mut stages = Vec::new();
        walk("", network, &mut |layer, form| {
            stages.push(Stage::of(layer, form, max_batch)?);
            Ok(())
        })?;
        Ok(Self { stages, max_batch })
    }

    /// Values in one row of the input.
    #[must_use]
    pub fn input_size(&self) -> usize {
        self.stages.first().map_or(0, Stage::input_size)
    }

    /// Values in one row of the output.
    #[must_use]
    pub fn output_size(&self) -> usize {
        self.stages.last().map_or(0, Stage::output_size)
    }

    /// Memory for [`CompiledNetwork::forward_into`]: twice `max_batch` rows of the widest layer inside, and a block of
    /// patches and its outputs for the largest convolution.
    ///
    /// # Errors
    /// [`LayerError::Kron`] where it is refused.
    pub fn workspace(&self) -> Result<Workspace<T>> {
        let inner = self.stages.iter().rev().skip(1);
        let widest = inner.map(Stage::output_size).max().unwrap_or(0);
        let zeros = |dim| memory::zeros("a workspace", dim).map(|zeros| zeros.into_raw_vec_and_offset().0);
        let side = || zeros((self.max_batch, widest));
        let mut patches = [0, 0];
        for stage in &self.stages {
            if let Stage::Conv(conv) = stage {
                for (most, (rows, columns)) in patches.iter_mut().zip(conv.memory(self.max_batch)) {
                    *most = rows.saturating_mul(columns).max(*most);
                }
            }
        }
        let [of_patches, of_outputs] = patches;
        Ok(Workspace { sides: [side()?, side()?], patches: [zeros((1, of_patches))?, zeros((1, of_outputs))?] })
    }

    /// The output for `x (batch, input_size)`, written over `y (batch, output_size)`, which may hold anything.
    ///
    /// Allocates nothing once every thread that takes part has its scratch memory, as
    /// [`CompiledLoKr::forward_into`]; but a convolution copies rows of `x` whose values are not neighbours.
    ///
    /// # Errors
    /// [`LayerError::Shape`]; [`LayerError::Token`] for what is no token of an embedding; [`LayerError::Length`] for
    /// the workspace of a smaller network. `y` is untouched, unless it is an embedding behind another layer that fails.
    pub fn forward_into(&self, x: &ArrayRef2<T>, workspace: &mut Workspace<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        let batch = x.nrows();
        LayerError::check_shape(TYPE_NAME, "x", (batch, self.input_size()), x.dim())?;
        LayerError::check_shape(TYPE_NAME, "y", (batch, self.output_size()), y.dim())?;
        if let Some(Stage::Embedding(embedding)) = self.stages.first() {
            embedding.check_tokens(x)?;
        }
        let x = x.axis_chunks_iter(Axis(0), self.max_batch);
        x.zip(y.axis_chunks_iter_mut(Axis(0), self.max_batch)).try_for_each(|(x, y)| self.rows(x, workspace, y))
    }

    /// [`CompiledNetwork::forward_into`] into a new matrix, with a workspace of its own.
    ///
    /// # Errors
    /// As there; [`LayerError::Kron`] where memory is refused.
    pub fn forward(&self, x: &ArrayRef2<T>) -> Result<Array2<T>> {
        let mut y = memory::zeros("an output", (x.nrows(), self.output_size()))?;
        self.forward_into(x, &mut self.workspace()?, &mut y)?;
        Ok(y)
    }

    fn rows(&self, x: ArrayView2<'_, T>, workspace: &mut Workspace<T>, mut y: ArrayViewMut2<'_, T>) -> Result<()> {
        let rows = x.nrows();
        let Some((last, inner)) = self.stages.split_last() else { return Ok(()) };
        let Workspace { sides: [from, to], patches } = workspace;
        let (mut from, mut to) = (from, to);
        let mut width = None;
        for stage in inner {
            let mut next = matrix_mut(to, (rows, stage.output_size()))?;
            match width {
                None => stage.forward_into(&x, patches, &mut next)?,
                Some(width) => stage.forward_into(&matrix(from, (rows, width))?, patches, &mut next)?,
            }
            width = Some(stage.output_size());
            std::mem::swap(&mut from, &mut to);
        }
        match width {
            None => last.forward_into(&x, patches, &mut y),
            Some(width) => last.forward_into(&matrix(from, (rows, width))?, patches, &mut y),
        }
    }
}

/// The front of a workspace's side as a matrix.
fn matrix<T>(side: &[T], (rows, cols): (usize, usize)) -> Result<ArrayView2<'_, T>> {
    let found = side.len();
    let front = side.get(..rows * cols).and_then(|front| ArrayView2::from_shape((rows, cols), front).ok());
    front.ok_or_else(|| too_short(rows * cols, found))
}

/// [`matrix`], writable.
fn matrix_mut<T>(side: &mut [T], (rows, cols): (usize, usize)) -> Result<ArrayViewMut2<'_, T>> {
    let found = side.len();
    let front = side.get_mut(..rows * cols).and_then(|front| ArrayViewMut2::from_shape((rows, cols), front).ok());
    front.ok_or_else(|| too_short(rows * cols, found))
}

fn too_short(expected: usize, found: usize) -> LayerError {
    LayerError::Length { layer: TYPE_NAME, argument: "the workspace", expected, found }
}

impl<T: Scalar> Stage<T> {
    fn of(layer: &dyn Layer<T>, form: Form<'_, T>, max_batch: usize) -> Result<Self> {
        if let (Some(patches), Some(linear)) = (layer.patches(), layer.as_linear()) {
            return Ok(Self::Conv(CompiledConv::new(linear, patches)?));
        }
        match form {
            Form::Adapter(adapter) => Ok(Self::Linear(CompiledLoKr::new(adapter, max_batch)?)),
            Form::Dense(linear) | Form::FullyConnected(linear) | Form::Linear(linear) => {
                Ok(Self::Linear(CompiledLoKr::of_linear(linear, max_batch)?))
            }
            Form::Embedding { table, columns, passed } => {
                Ok(Self::Embedding(Embedding::from_table(table.to_owned(), columns)?.passing(passed)))
            }
            _ => {
                let mut layer = layer.clone_box();
                layer.reset_state();
                Ok(Self::Plain(layer))
            }
        }
    }

    fn input_size(&self) -> usize {
        match self {
            Self::Linear(linear) => linear.input_size(),
            Self::Conv(conv) => conv.input_size(),
            Self::Embedding(embedding) => embedding.input_size(),
            Self::Plain(layer) => layer.input_size(),
        }
    }

    fn output_size(&self) -> usize {
        match self {
            Self::Linear(linear) => linear.output_size(),
            Self::Conv(conv) => conv.output_size(),
            Self::Embedding(embedding) => embedding.output_size(),
            Self::Plain(layer) => layer.output_size(),
        }
    }

    /// `memory` is that of a workspace for convolutions.
    fn forward_into(&self, x: &ArrayRef2<T>, memory: &mut [Vec<T>; 2], y: &mut ArrayRef2<T>) -> Result<()> {
        match self {
            Self::Linear(linear) => linear.forward_into(x, y),
            Self::Conv(conv) => {
                let ([of_patches, of_outputs], [patches, outputs]) = (conv.memory(x.nrows()), memory);
                let (mut patches, mut outputs) = (matrix_mut(patches, of_patches)?, matrix_mut(outputs, of_outputs)?);
                conv.forward_into(x, (&mut patches, &mut outputs), y)
            }
            Self::Embedding(embedding) => embedding.predict_into(x, y),
            Self::Plain(layer) => layer.predict_into(x, y),
        }
    }
}

impl<T: Scalar> std::fmt::Debug for CompiledNetwork<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stages = self.stages.iter().map(|stage| format!("{} → {}", stage.input_size(), stage.output_size()));
        f.debug_list().entries(stages).finish()
    }
}

impl<T: Scalar> Sequential<T> {
    /// The whole network made ready for inference: [`CompiledNetwork::new`]. [`Sequential::compile`] is for one adapter
    /// in it.
    ///
    /// # Errors
    /// As [`CompiledNetwork::new`].
    pub fn compiled(&self, max_batch: usize) -> Result<CompiledNetwork<T>> {
        CompiledNetwork::new(self, max_batch)
    }
}
