//! Why a job cannot be done, or was not.

use thiserror::Error;

use super::list::list;
use crate::dialects::Dialect;

/// Why a job cannot be done, or was not.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobError {
    /// An option of a job that makes no sense.
    #[error("{option}: {found}, expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is expected, in words.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// A pattern of an option that is no regular expression.
    #[error("{option}: {pattern:?} is not a regular expression: {source}")]
    Pattern {
        /// The option.
        option: &'static str,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// The caller stopped the job.
    #[error("interrupted")]
    Interrupted,
    /// A tensor that an adapter stores whole, of another shape than the one it would take the place of.
    #[error("{key}: the adapter stores it whole, with shape {found:?}; in the base model it is {expected:?}")]
    ReplacementShape {
        /// The tensor.
        key: String,
        /// The base model's shape.
        expected: Vec<usize>,
        /// The adapter's.
        found: Vec<usize>,
    },
    /// Tensors that an adapter stores whole, that the base model does not have, and that are not known to be new to it.
    #[error("the adapter stores tensors whole that the base model does not have: {}", list(tensors))]
    NewTensors {
        /// Their names.
        tensors: Vec<String>,
    },
    /// A merged weight does not do what base and adapters do together.
    #[error(
        "{key}: the merged weight differs from base and adapter together by {error:e} (relative) on a probe vector; \
         nothing was written"
    )]
    Guard {
        /// The weight.
        key: String,
        /// The relative error.
        error: f64,
    },
    /// A change that is lost to rounding.
    #[error(
        "{key}: rounding to its type leaves {:.0} % of the change, less than the {:.0} % asked for",
        100.0 * kept,
        100.0 * least
    )]
    ChangeLost {
        /// The weight.
        key: String,
        /// The share of the change that is left.
        kept: f64,
        /// The least share allowed.
        least: f64,
    },
    /// A weight that the model before quantisation does not have, or in another shape.
    #[error(
        "{key}: expected {expected:?} as in the quantised model, found {}",
        found.as_ref().map_or("none".to_owned(), |shape| format!("{shape:?}"))
    )]
    Original {
        /// The weight.
        key: String,
        /// Its shape in the quantised model.
        expected: Vec<usize>,
        /// That in the other one, if it is there.
        found: Option<Vec<usize>>,
    },
    /// A model that was given as one before quantisation and is not.
    #[error("{key}: is quantised here too; expected the model as it was before")]
    OriginalQuantized {
        /// The weight.
        key: String,
    },
    /// An adapter that cannot be taken out of a model again.
    #[error("{key} cannot be taken out again: it {reason}")]
    CannotUnmerge {
        /// The module or tensor.
        key: String,
        /// Why not.
        reason: &'static str,
    },
    /// Two models without a tensor of the same name.
    #[error("the two models have no tensor name in common ({example} is only here): are they of one kind?")]
    NothingShared {
        /// A tensor of the second model.
        example: String,
    },
    /// Two models without a weight that differs and can be adapted.
    #[error(
        "no weight that can be adapted differs between the two models ({compared} compared; {others} tensors differ that \
         cannot be adapted or were left out)"
    )]
    NothingChanged {
        /// Weights compared value by value.
        compared: usize,
        /// Tensors that differ otherwise: in shape, in one model only, excluded, no weights.
        others: usize,
    },
    /// Adapters whose modules are named in different ways.
    #[error("a {first} adapter cannot be combined with a {second} one: their names differ; convert one")]
    CombineDialects {
        /// A dialect.
        first: Dialect,
        /// Another one.
        second: Dialect,
    },
    /// A weighted sum of modules whose factors have different shapes.
    #[error(
        "{module}: w1 {first_w1:?} with w2 {first_w2:?} cannot be combined with w1 {w1:?} and w2 {w2:?}; resize one"
    )]
    CombineShapes {
        /// The module.
        module: String,
        /// `w1` in the first adapter that has the module.
        first_w1: (usize, usize),
        /// `w2` there, flattened.
        first_w2: (usize, usize),
        /// `w1` in another.
        w1: (usize, usize),
        /// `w2` there, flattened.
        w2: (usize, usize),
    },
    /// A tensor stored whole in several adapters, with different values, or with a weight that is not 1.
    #[error("{key} is stored whole, not as a change, and cannot be weighted or summed")]
    CombineModulesToSave {
        /// The tensor.
        key: String,
    },
    /// A job on a DoRA module that is possible without its norms only.
    #[error("{module}: a DoRA module, which depends on the base weight, cannot be {operation}")]
    Dora {
        /// The module.
        module: String,
        /// What was to be done with it.
        operation: &'static str,
    },
    /// A job that is possible for LoKr alone, on an adapter that holds other algorithms too.
    #[error("{module}: a module of another algorithm ({algorithm}) beside those of LoKr cannot be {operation}")]
    OtherAlgorithm {
        /// The module.
        module: String,
        /// Its algorithm.
        algorithm: &'static str,
        /// What was to be done with it.
        operation: &'static str,
    },
    /// A job on a weight's change that is possible for a single Kronecker product only.
    #[error("{module}: a sum of several Kronecker products cannot be {operation}; combine it into the best single one")]
    SeveralTerms {
        /// The module.
        module: String,
        /// What was to be done with it.
        operation: &'static str,
    },
    /// An adapter around an adapter, of which a file has no place for the second.
    #[error("{layer}: an adapter around an adapter; merge the inner one, or make both updates of one layer")]
    StackedAdapters {
        /// The layer.
        layer: String,
    },
    /// An adapter whose base trains with it.
    #[error("{layer}: the base trains beside its adapter, and an adapter's file holds no base; save the whole network")]
    TrainedBase {
        /// The layer.
        layer: String,
    },
    /// A low-rank factor stored flat whose sizes PEFT would not make for a linear layer: it is a convolution's, and the
    /// base model tells its kernel.
    #[error(
        "{module}: the low-rank factors are those of a convolution, whose kernel only the base model tells; give it"
    )]
    KernelUnknown {
        /// The module.
        module: String,
    },
}
