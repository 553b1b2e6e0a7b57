//! One product of an update.

use lokr_core::{Factor, Kron, KronGradients, Scalar};

use super::learned::Learned;
use crate::buffer::Buffer;

/// A product, a weight of its own if it has one, and what training keeps of both.
#[derive(Debug, Clone)]
pub(super) struct Term<T: Scalar> {
    pub(super) delta: Kron<'static, T>,
    pub(super) weight: Option<Learned<T>>,
    pub(super) gradients: Option<KronGradients<T>>,
    /// `x·(A ⊗ B)ᵀ` of the last training forward, where backward needs it.
    pub(super) output: Buffer<T>,
}

impl<T: Scalar> Term<T> {
    pub(super) fn new(delta: Kron<'static, T>, weight: Option<T>) -> Self {
        Self { delta, weight: weight.map(Learned::new), gradients: None, output: Buffer::new() }
    }

    /// Its weight, one if it has none.
    pub(super) fn weight(&self) -> T {
        self.weight.map_or(T::one(), |weight| weight.value)
    }

    pub(super) fn parameter_count(&self) -> usize {
        self.delta.parameter_count() + usize::from(self.weight.is_some())
    }

    /// Names of the stored matrices, in the order of [`Kron::parts`], as they stand in files.
    pub(super) fn matrix_names(&self) -> impl Iterator<Item = &'static str> + use<T> {
        let a: &'static [&'static str] = match self.delta.a() {
            Factor::Full(_) => &["lokr_w1"],
            Factor::LowRank(_) => &["lokr_w1_a", "lokr_w1_b"],
        };
        let b: &'static [&'static str] = match self.delta.b() {
            Factor::Full(_) => &["lokr_w2"],
            Factor::LowRank(_) => &["lokr_w2_a", "lokr_w2_b"],
        };
        a.iter().chain(b).copied()
    }
}
