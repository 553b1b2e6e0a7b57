//! The adapter without the type of its base.

use lokr_core::Scalar;

use super::lokr_adapter::LoKrAdapter;
use crate::error::{LayerError, Result};
use crate::layer::{Adapter, Layer};
use crate::update::{DeltaPlacement, LoKrUpdate, TYPE_NAME};

/// The name of an adapter's own update, as in PEFT.
pub(super) const OWN: &str = "default";

impl<T: Scalar, L: Layer<T> + Clone + 'static> Adapter<T> for LoKrAdapter<T, L> {
    fn base(&self) -> &dyn Layer<T> {
        &self.base
    }

    fn updates(&self) -> Vec<(&str, &LoKrUpdate<T>)> {
        vec![(OWN, &self.update)]
    }

    fn update(&self, name: &str) -> Result<&LoKrUpdate<T>> {
        if name == OWN { Ok(&self.update) } else { Err(unknown(name)) }
    }

    fn replace_update(&mut self, name: &str, update: LoKrUpdate<T>) -> Result<LoKrUpdate<T>> {
        if name != OWN {
            return Err(unknown(name));
        }
        LayerError::check_shape(TYPE_NAME, "an update", self.update.dim(), update.dim())?;
        let old = std::mem::replace(&mut self.update, update);
        self.forget();
        Ok(old)
    }

    fn set_scaling(&mut self, scaling: T) -> Result<()> {
        self.set_scaling(scaling)
    }

    fn set_multiplier(&mut self, name: &str, multiplier: T) -> Result<()> {
        if name == OWN { self.set_multiplier(multiplier) } else { Err(unknown(name)) }
    }

    fn placement(&self) -> DeltaPlacement {
        self.placement
    }

    fn is_base_frozen(&self) -> bool {
        self.base_frozen
    }

    fn set_base_frozen(&mut self, frozen: bool) {
        self.set_base_frozen(frozen);
    }
}

fn unknown(name: &str) -> LayerError {
    LayerError::UnknownName { layer: TYPE_NAME, name: name.to_owned() }
}
