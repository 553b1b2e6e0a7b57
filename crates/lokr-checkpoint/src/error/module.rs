//! What is wrong with the tensors of one module, or between them and a weight.

use thiserror::Error;

use crate::dialects::Dialect;

/// What is wrong with the tensors of one module, or between them and a weight.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// One half of a pair without the other.
    #[error("{module}: {present} is there, but {missing} is not")]
    HalfMissing {
        /// The module.
        module: String,
        /// The key present.
        present: &'static str,
        /// The key missing.
        missing: &'static str,
    },
    /// A factor that is given in no form.
    #[error("{module}: neither {factor} nor {factor}_a and {factor}_b are there")]
    FactorMissing {
        /// The module.
        module: String,
        /// `lokr_w1` or `lokr_w2`.
        factor: &'static str,
    },
    /// A factor that is given both in full and in halves.
    #[error("{module}: {factor} is given in full and as {half} too")]
    FactorTwice {
        /// The module.
        module: String,
        /// `lokr_w1` or `lokr_w2`.
        factor: &'static str,
        /// A key of the other form.
        half: &'static str,
    },
    /// A tensor with a wrong number of axes.
    #[error("{module}.{key}: shape {found:?}, expected {expected}")]
    Axes {
        /// The module.
        module: String,
        /// The tensor.
        key: &'static str,
        /// What is expected, in words.
        expected: &'static str,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A tensor with an axis of length 0.
    #[error("{module}.{key}: shape {found:?} has an axis of length 0")]
    ZeroAxis {
        /// The module.
        module: String,
        /// The tensor.
        key: &'static str,
        /// The shape found.
        found: Vec<usize>,
    },
    /// The halves of one factor do not multiply, or the two factors have different ranks.
    #[error(
        "{module}: {first} {first_shape:?} has rank {first_rank}, but {second} {second_shape:?} has rank {second_rank}"
    )]
    InnerRank {
        /// The module.
        module: String,
        /// A key.
        first: &'static str,
        /// Its shape.
        first_shape: Vec<usize>,
        /// Its inner size.
        first_rank: usize,
        /// Another key.
        second: &'static str,
        /// Its shape.
        second_shape: Vec<usize>,
        /// Its inner size.
        second_rank: usize,
    },
    /// A Tucker core that is not `(r, r, kernel…)`.
    #[error("{module}.lokr_t2: shape {found:?}, expected ({rank}, {rank}, kernel…) as lokr_w2_a and lokr_w2_b say")]
    TuckerCore {
        /// The module.
        module: String,
        /// The rank of the halves.
        rank: usize,
        /// The core's shape.
        found: Vec<usize>,
    },
    /// A Tucker core for a weight without kernel axes.
    #[error("{module}.lokr_t2: a Tucker core, but the weight {weight:?} is that of a linear layer")]
    TuckerOnLinear {
        /// The module.
        module: String,
        /// The weight's shape.
        weight: Vec<usize>,
    },
    /// The kernel of a factor is not that of the weight.
    #[error("{module}.{key}: kernel {found:?}, expected {expected:?} as the base weight has")]
    Kernel {
        /// The module.
        module: String,
        /// The tensor.
        key: &'static str,
        /// The weight's kernel.
        expected: Vec<usize>,
        /// The factor's kernel.
        found: Vec<usize>,
    },
    /// The factors do not build the weight.
    #[error("{module}: w1 {w1:?} and w2 {w2:?} build a weight of {found:?}, expected {expected:?} (flattened){hint}")]
    WeightShape {
        /// The module.
        module: String,
        /// The first factor, multiplied out.
        w1: (usize, usize),
        /// The second factor, multiplied out and flattened.
        w2: (usize, usize),
        /// The base weight, `(out, in·K)`.
        expected: (usize, usize),
        /// What the factors build.
        found: (usize, usize),
        /// A likely reason, or nothing.
        hint: &'static str,
    },
    /// The factors of another algorithm than LoKr do not build the weight.
    #[error(
        "{module}: the factors of its {algorithm} build a weight of {found:?}, expected {expected:?} (flattened){hint}"
    )]
    ProductShape {
        /// The module.
        module: String,
        /// The algorithm.
        algorithm: &'static str,
        /// The base weight, `(out, in·K)`.
        expected: (usize, usize),
        /// What the factors build.
        found: (usize, usize),
        /// A likely reason, or nothing.
        hint: &'static str,
    },
    /// A stored difference that has not the shape of what it is added to.
    #[error("{module}.{key}: shape {found:?}, expected {expected:?} as in the base model")]
    DifferenceShape {
        /// The module.
        module: String,
        /// The tensor.
        key: &'static str,
        /// The shape in the base model.
        expected: Vec<usize>,
        /// The shape of the difference.
        found: Vec<usize>,
    },
    /// A change of the bias of a layer that has none.
    #[error("{module}.{key}: a change of the bias, but {layer} has none in the base model")]
    NoBias {
        /// The module.
        module: String,
        /// The tensor.
        key: &'static str,
        /// The layer in the base model.
        layer: String,
    },
    /// Two changes of one parameter in one module.
    #[error("{module}: {first} and {second} would both change its {parameter}, and programs differ in which does")]
    TwoChanges {
        /// The module.
        module: String,
        /// A key, or an algorithm.
        first: &'static str,
        /// Another one.
        second: &'static str,
        /// `weight` or `bias`.
        parameter: &'static str,
    },
    /// NaN or infinite values in a factor or in `dora_scale`.
    #[error("{module}.{key}: {} NaN or infinite", if *count == 1 { "1 value is".to_owned() } else { format!("{count} values are") })]
    NonFinite {
        /// The module.
        module: String,
        /// The tensor.
        key: &'static str,
        /// How many.
        count: usize,
    },
    /// An `alpha` that is NaN, or infinite next to a low-rank factor.
    #[error("{module}.alpha: {alpha} is not finite")]
    AlphaNotFinite {
        /// The module.
        module: String,
        /// The value.
        alpha: f64,
    },
    /// An `alpha` of 0 next to a low-rank factor: some programs read it as the rank, others as 0.
    #[error("{module}.alpha: 0 means alpha = rank to some programs and no effect to others; say which")]
    AlphaZero {
        /// The module.
        module: String,
    },
    /// `dora_scale` fits neither `(out, 1, …)` nor `(1, in, 1, …)`, or fits both.
    #[error("{module}.dora_scale: shape {found:?} {problem} the weight {weight:?}")]
    DoraShape {
        /// The module.
        module: String,
        /// Its shape.
        found: Vec<usize>,
        /// How it fails to say its axis.
        problem: &'static str,
        /// The weight's shape.
        weight: Vec<usize>,
    },
    /// A PEFT conv1d adapter with a full `lokr_w2`, whose layout is no Kronecker product.
    #[error("{module}: a PEFT conv1d adapter with a full lokr_w2 is no Kronecker product outside PEFT")]
    NotKronecker {
        /// The module.
        module: String,
    },
    /// The scale is in a configuration that was not found.
    #[error("{module}: the scale is in adapter_config.json, which was not found; give the scale or the file")]
    ScaleUnknown {
        /// The module.
        module: String,
    },
    /// What a module or tensor holds, and the dialect has no place for.
    #[error("{module}: the {dialect} dialect cannot hold it: {reason}")]
    CannotHold {
        /// The module or tensor.
        module: String,
        /// The dialect to write.
        dialect: Dialect,
        /// What stands against it.
        reason: &'static str,
    },
    /// The base of a layer is not the one that the adapter was made for.
    #[error(
        "{module}: the adapter was made for another base, with values of SHA-256 {expected}; those here have {found}"
    )]
    OtherBase {
        /// The layer.
        module: String,
        /// The hash in the file.
        expected: String,
        /// That of the base there is.
        found: String,
    },
    /// A base is to be compared with the one that the adapter was made for, and the file does not say which that was.
    #[error("{module}: the file does not say which base the adapter was made for, and it is to be checked")]
    NoBaseHash {
        /// The layer.
        module: String,
    },
}
