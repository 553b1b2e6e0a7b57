//! What can go wrong in a layer, said in shapes and names.

use lokr_core::{KronError, Scalar};
use thiserror::Error;

/// Result of the operations of this crate.
pub type Result<T, E = LayerError> = std::result::Result<T, E>;

/// An error of a layer, an adapter or a training step.
///
/// Every method checks first and computes afterwards: a failed call leaves the layer and its arguments as they were.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum LayerError {
    /// An error of the Kronecker mathematics below.
    #[error(transparent)]
    Kron(#[from] KronError),
    /// A matrix argument has the wrong shape.
    #[error("{layer}: {argument} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Type of the layer.
        layer: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// The shape it needs.
        expected: (usize, usize),
        /// The shape it has.
        found: (usize, usize),
    },
    /// A vector argument has the wrong length.
    #[error("{layer}: {argument} has length {found}, expected {expected}")]
    Length {
        /// Type of the layer.
        layer: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// The length it needs.
        expected: usize,
        /// The length it has.
        found: usize,
    },
    /// A layer needs at least one input and one output.
    #[error("{layer}: a layer from {input_size} inputs to {output_size} outputs has no weights")]
    ZeroSize {
        /// Type of the layer.
        layer: &'static str,
        /// Its inputs.
        input_size: usize,
        /// Its outputs.
        output_size: usize,
    },
    /// `backward` needs the input of the last `forward`.
    #[error("{layer}: backward was called before forward")]
    BackwardBeforeForward {
        /// Type of the layer.
        layer: &'static str,
    },
    /// The layer holds no gradients: `backward` has not run since they were cleared.
    #[error("{layer}: there are no gradients; run forward and backward first")]
    NoGradients {
        /// Type of the layer.
        layer: &'static str,
    },
    /// Values that must be finite are not.
    #[error("{layer}: {count} of {total} values of {argument} are not finite")]
    NonFinite {
        /// Type of the layer.
        layer: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// How many values are NaN or infinite.
        count: usize,
        /// How many values there are.
        total: usize,
    },
    /// Values given for a parameter by its name have the wrong shape.
    #[error("{layer}: {name} has shape {found:?}, expected {expected:?}")]
    NamedShape {
        /// Type of the layer.
        layer: &'static str,
        /// The parameter's name.
        name: String,
        /// The shape it has in the layer.
        expected: Vec<usize>,
        /// The shape that was given.
        found: Vec<usize>,
    },
    /// Values given for a parameter by its name are not finite.
    #[error("{layer}: {count} of {total} values of {name} are not finite")]
    NamedNonFinite {
        /// Type of the layer.
        layer: &'static str,
        /// The parameter's name.
        name: String,
        /// How many values are NaN or infinite.
        count: usize,
        /// How many values there are.
        total: usize,
    },
    /// A name is given that no trainable parameter has.
    #[error("{layer}: there is no parameter named {name}")]
    UnknownName {
        /// Type of the layer.
        layer: &'static str,
        /// The name that was given.
        name: String,
    },
    /// A trainable parameter is not given.
    #[error("{layer}: no values are given for {name}")]
    MissingName {
        /// Type of the layer.
        layer: &'static str,
        /// The parameter's name.
        name: String,
    },
    /// Two trainable parameters have the same name.
    #[error("{layer}: more than one parameter is named {name}")]
    RepeatedName {
        /// Type of the layer.
        layer: &'static str,
        /// The name.
        name: String,
    },
    /// The rank of an adapter must be at least one.
    #[error("rank is {rank}, but an adapter needs a rank of at least 1")]
    InvalidRank {
        /// The rank asked for.
        rank: usize,
    },
    /// A setting is out of its range.
    #[error("{setting} is {value}, expected {expected}")]
    InvalidSetting {
        /// The setting's name.
        setting: &'static str,
        /// Its value, printed.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// Explicit factor shapes do not multiply to the layer's weight.
    #[error(
        "factors ({m}, {n}) and ({p}, {q}) make a weight of shape {:?}, but the layer's is {weight:?}",
        (m.saturating_mul(*p), n.saturating_mul(*q))
    )]
    FactorShapes {
        /// Rows of `A`.
        m: usize,
        /// Columns of `A`.
        n: usize,
        /// Rows of `B`.
        p: usize,
        /// Columns of `B`.
        q: usize,
        /// The layer's weight, `(out, in)`.
        weight: (usize, usize),
    },
    /// The base layer has no weight matrix that a delta could be added to.
    #[error("cannot merge into a {layer}: it has no weight matrix")]
    NotMergeable {
        /// Type of the base layer.
        layer: &'static str,
    },
    /// A layer that has no compiled form.
    #[error("{name:?} ({layer}) cannot be compiled: {reason}")]
    NotCompilable {
        /// The layer's name in the network; empty for the network itself, or a layer alone.
        name: String,
        /// Its type.
        layer: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A delta that is added after the activation can be merged only where the activation is the identity.
    #[error(
        "cannot merge a delta that is added after the activation {activation}: the merged layer would compute something else"
    )]
    MergeThroughActivation {
        /// The activation's name.
        activation: &'static str,
    },
    /// An update is merged into a weight that holds it already.
    #[error("{layer}: this update has been merged already; merged twice it would count twice")]
    AlreadyMerged {
        /// Type of the layer.
        layer: &'static str,
    },
    /// An update is taken off a weight that does not hold it.
    #[error("{layer}: this update is not in the weight: it was never merged, or values have changed since")]
    NotMerged {
        /// Type of the layer.
        layer: &'static str,
    },
    /// A layer with parameters that does not know how to keep them as they are.
    #[error("{layer}: has parameters and cannot be frozen; implement `Layer::set_frozen`")]
    NotFreezable {
        /// Type of the layer.
        layer: &'static str,
    },
    /// Two layers of a network, or two updates of an adapter, would have one name.
    #[error("{layer}: the name {name:?} is taken")]
    DuplicateName {
        /// Type of the network or adapter.
        layer: &'static str,
        /// The name.
        name: String,
    },
    /// A name that cannot be given.
    #[error("{layer}: {name:?} cannot be a name here: {problem}")]
    InvalidName {
        /// Type of the network or adapter.
        layer: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No layer of a network is meant by what should name one.
    #[error("{wanted:?} names no layer; there are {}", .layers.join(", "))]
    NoSuchLayer {
        /// The name or the pattern.
        wanted: String,
        /// The names of the layers there are.
        layers: Vec<String>,
    },
    /// A layer of a network is asked what only an adapter knows.
    #[error("{name:?} is a {layer} and no adapter")]
    NotAnAdapter {
        /// The layer's name.
        name: String,
        /// Its type.
        layer: &'static str,
    },
    /// A pattern of names that is no regular expression.
    #[error("{pattern:?} is not a regular expression: {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A layer that does not say what it is made of, or is of a type that cannot be made again from that.
    #[error("{name:?} ({layer}) does not say what it is made of, so that it could be made again")]
    NotDescribed {
        /// The layer's name in the network; empty for the network itself.
        name: String,
        /// Its type.
        layer: &'static str,
    },
    /// The layer cannot take a gradient with respect to its pre-activation.
    #[error("{layer}: has no pre-activation that a gradient could refer to")]
    NoPreActivation {
        /// Type of the layer.
        layer: &'static str,
    },
    /// The layer does not hand out its gradients for writing.
    #[error("{layer}: gradients cannot be changed, since the layer does not implement visit_gradients_mut")]
    FixedGradients {
        /// Type of the layer.
        layer: &'static str,
    },
    /// The optimizer does not hand out what it remembers.
    #[error("{optimizer} cannot be saved and resumed, since it does not implement save_state and load_state")]
    NotResumable {
        /// Type of the optimizer.
        optimizer: &'static str,
    },
    /// What a training run writes could not be written.
    #[error("cannot write the {what}: {message}")]
    Output {
        /// What was to be written.
        what: &'static str,
        /// The error of the writer.
        message: String,
    },
    /// Ranks that train together could not reach each other.
    #[error("cannot {what} over the ranks: {message}")]
    Communication {
        /// What was to be done.
        what: &'static str,
        /// What went wrong.
        message: String,
    },
    /// Ranks that train together do not have the same.
    #[error("{} of {size} ranks {} other {what} than most, after step {step}: {}", ranks.len(), verb(ranks), list(ranks))]
    RanksDiffer {
        /// What they do not have in common.
        what: &'static str,
        /// Steps that were made before.
        step: usize,
        /// Those that do not have what most ranks have.
        ranks: Vec<usize>,
        /// How many ranks there are.
        size: usize,
    },
    /// A loss does not fit the activation that a network ends in.
    #[error("{loss} is for networks that end in {expected}, but this one ends in {found}")]
    LossActivation {
        /// The loss's name.
        loss: &'static str,
        /// What the network should end in.
        expected: &'static str,
        /// The activation it ends in.
        found: &'static str,
    },
    /// Two layers of a network do not fit together.
    #[error("layer {index} ({layer}) takes {inputs} inputs, but the layer before it gives {outputs} outputs")]
    Chain {
        /// Type of the later layer.
        layer: &'static str,
        /// Its index, from 0.
        index: usize,
        /// Its inputs.
        inputs: usize,
        /// Outputs of the layer before.
        outputs: usize,
    },
    /// What should be the number of a token is none.
    #[error("{layer}: row {row}, column {column} is {value}, expected a whole number in 0..{count}")]
    Token {
        /// Type of the layer.
        layer: &'static str,
        /// The row of the batch.
        row: usize,
        /// The column.
        column: usize,
        /// What stands there.
        value: f64,
        /// How many tokens there are.
        count: usize,
    },
    /// Class labels do not fit.
    #[error("label {label} of sample {sample} is outside 0..{classes}")]
    Label {
        /// Index of the sample.
        sample: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
}

fn verb(ranks: &[usize]) -> &'static str {
    if ranks.len() == 1 { "has" } else { "have" }
}

fn list(ranks: &[usize]) -> String {
    ranks.iter().map(|rank| format!("rank {rank}")).collect::<Vec<_>>().join(", ")
}

impl LayerError {
    /// `Ok` when `found == expected`, else [`LayerError::Shape`].
    pub(crate) fn check_shape(
        layer: &'static str,
        argument: &'static str,
        expected: (usize, usize),
        found: (usize, usize),
    ) -> Result<()> {
        if expected == found { Ok(()) } else { Err(Self::Shape { layer, argument, expected, found }) }
    }

    /// `Ok` when `found == expected`, else [`LayerError::Length`].
    pub(crate) fn check_length(
        layer: &'static str,
        argument: &'static str,
        expected: usize,
        found: usize,
    ) -> Result<()> {
        if expected == found { Ok(()) } else { Err(Self::Length { layer, argument, expected, found }) }
    }

    /// `Ok` when all values are finite, else [`LayerError::NonFinite`].
    pub(crate) fn check_finite<'a, T: Scalar>(
        layer: &'static str,
        argument: &'static str,
        values: impl ExactSizeIterator<Item = &'a T>,
    ) -> Result<()> {
        let total = values.len();
        let count = values.filter(|v| !v.is_finite()).count();
        if count == 0 { Ok(()) } else { Err(Self::NonFinite { layer, argument, count, total }) }
    }

    /// [`LayerError::InvalidSetting`] with the value printed.
    pub(crate) fn invalid(setting: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self::InvalidSetting { setting, value: value.to_string(), expected }
    }
}
