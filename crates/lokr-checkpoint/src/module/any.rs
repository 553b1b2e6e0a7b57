//! A module of whichever algorithm, for jobs that apply them all.

use lokr_layers::DoraAxis;

use super::module::Module;
use super::other::OtherModule;
use super::scale::ScaleRule;
use crate::error::Result;
use crate::file::Tensor;

/// A module of an adapter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnyModule<'a> {
    Lokr(&'a Module),
    Other(&'a OtherModule),
}

impl<'a> AnyModule<'a> {
    pub(crate) fn name(self) -> &'a str {
        match self {
            Self::Lokr(module) => module.name(),
            Self::Other(module) => module.name(),
        }
    }

    /// The algorithm, for people.
    pub(crate) fn algorithm(self) -> &'static str {
        match self {
            Self::Lokr(_) => "LoKr",
            Self::Other(module) => module.algorithm(),
        }
    }

    /// An error unless it changes a parameter of this shape.
    pub(crate) fn check_shape(self, shape: &[usize]) -> Result<()> {
        match self {
            Self::Lokr(module) => module.check_weight(shape),
            Self::Other(module) => module.check_shape(shape),
        }
    }

    /// The scale that a rule gives.
    pub(crate) fn scale_by(self, rule: ScaleRule) -> Result<f64> {
        match self {
            Self::Lokr(module) => module.scale_by(rule),
            Self::Other(module) => Ok(module.scale_by(rule)),
        }
    }

    pub(crate) fn dora_scale(self) -> Option<&'a Tensor> {
        match self {
            Self::Lokr(module) => module.dora_scale(),
            Self::Other(module) => module.dora_scale(),
        }
    }

    /// What its norms belong to in a weight of this shape, which fits.
    pub(crate) fn dora_axis(self, weight: &[usize]) -> Result<Option<DoraAxis>> {
        match self {
            Self::Lokr(module) => module.dora_axis(weight),
            Self::Other(module) => module.dora_axis(weight),
        }
    }
}
