//! What is done to the adapters' updates after each step, besides the step.

use lokr_core::Scalar;

use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// How updates are kept in shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    /// Whether the norms of their factors are brought together.
    pub(super) balance: bool,
    /// What their norm is at most.
    pub(super) limit: Option<f64>,
}

impl Shape {
    pub(super) const NONE: Self = Self { balance: false, limit: None };

    pub(super) fn check(&self) -> Result<()> {
        match self.limit {
            Some(limit) if limit.is_nan() || limit <= 0.0 => {
                Err(LayerError::invalid("limit of an update's norm", limit, "a positive number"))
            }
            _ => Ok(()),
        }
    }

    /// Shapes the updates of all adapters in `layer`; costs nothing where there is nothing to do.
    pub(super) fn apply<T: Scalar>(&self, layer: &mut dyn Layer<T>) -> Result<()> {
        if *self == Self::NONE {
            return Ok(());
        }
        if let Some(adapter) = layer.as_adapter_mut() {
            return adapter.change_updates(&mut |update| {
                if let Some(limit) = self.limit {
                    update.limit_norm(limit)?;
                }
                if self.balance {
                    update.balance();
                }
                Ok(())
            });
        }
        layer.children_mut().into_iter().try_for_each(|(_, child)| self.apply(&mut **child))
    }
}
