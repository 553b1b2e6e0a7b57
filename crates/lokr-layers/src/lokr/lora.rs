//! The adapter as one of the LoRA family: the trait's methods are the adapter's own.

use lokr_core::Scalar;
use ndarray::Array2;

use super::adapter::LoKrAdapter;
use crate::error::Result;
use crate::layer::{Layer, LoraAdapter};

impl<T: Scalar, L: Layer<T> + Clone + 'static> LoraAdapter<T> for LoKrAdapter<T, L> {
    type Base = L;

    fn base_layer(&self) -> &L {
        self.base_layer()
    }
    fn into_base(self) -> L {
        self.into_base()
    }
    fn rank(&self) -> usize {
        self.rank()
    }
    fn alpha(&self) -> T {
        self.alpha()
    }
    fn scaling(&self) -> T {
        self.scaling()
    }
    fn set_scaling(&mut self, scaling: T) -> Result<()> {
        self.set_scaling(scaling)
    }
    fn is_base_frozen(&self) -> bool {
        self.is_base_frozen()
    }
    fn set_base_frozen(&mut self, frozen: bool) {
        self.set_base_frozen(frozen);
    }
    fn adapter_parameter_count(&self) -> usize {
        self.adapter_parameter_count()
    }
    fn delta_weight(&self) -> Array2<T> {
        self.delta_weight()
    }
    fn merge(&self) -> Result<L> {
        self.merge()
    }
    fn merge_into(&self, layer: &mut L) -> Result<()> {
        self.merge_into(layer)
    }
    fn unmerge_from(&self, layer: &mut L) -> Result<()> {
        self.unmerge_from(layer)
    }
}
