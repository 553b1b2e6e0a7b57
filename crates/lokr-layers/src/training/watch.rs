//! The best loss so far, and for how long there was no better one.

use lokr_core::Scalar;
use ndarray::{Array1, ArrayD};

use super::schedule::Plateau;
use super::state::TrainingState;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// The best loss so far. NaN is never better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Watch {
    pub(super) best: f64,
    /// Epochs since then.
    pub(super) stale: u64,
}

impl Watch {
    pub(super) const fn new() -> Self {
        Self { best: f64::INFINITY, stale: 0 }
    }

    /// Whether `loss` is better than the best by more than that part of it; then it is the best.
    pub(super) fn is_better(&mut self, loss: f64, part: f64) -> bool {
        let is_better = loss < self.best - if self.best.is_finite() { part * self.best.abs() } else { 0.0 };
        if is_better {
            *self = Self { best: loss, stale: 0 };
        } else {
            self.stale += 1;
        }
        is_better
    }

    pub(super) fn save<T>(&self, name: &str, state: &mut TrainingState<T>) {
        state.numbers.insert(format!("{name}.best"), self.best);
        state.counts.insert(format!("{name}.stale"), self.stale);
    }

    pub(super) fn load<T>(name: &str, state: &TrainingState<T>) -> Result<Self> {
        Ok(Self { best: state.number(&format!("{name}.best"))?, stale: state.count(&format!("{name}.stale"))? })
    }
}

/// What a schedule on plateaus has done so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lowered {
    watch: Watch,
    /// What the rate is multiplied by.
    pub(super) factor: f64,
}

impl Lowered {
    pub(super) const fn new() -> Self {
        Self { watch: Watch::new(), factor: 1.0 }
    }

    /// Takes the loss of an epoch into account.
    pub(super) fn see(&mut self, loss: f64, Plateau { patience, factor }: Plateau) {
        self.watch.is_better(loss, 1e-4);
        if self.watch.stale > patience as u64 {
            self.factor *= factor;
            self.watch.stale = 0;
        }
    }

    pub(super) fn save<T>(&self, state: &mut TrainingState<T>) {
        self.watch.save("plateau", state);
        state.numbers.insert("plateau.factor".to_owned(), self.factor);
    }

    pub(super) fn load<T>(state: &TrainingState<T>) -> Result<Self> {
        Ok(Self { watch: Watch::load("plateau", state)?, factor: state.number("plateau.factor")? })
    }
}

/// When to stop, and the parameters of the best epoch.
#[derive(Debug, Clone)]
pub(super) struct EarlyStopping<T> {
    patience: usize,
    watch: Watch,
    /// Empty until there was a best epoch.
    best: Array1<T>,
}

impl<T: Scalar> EarlyStopping<T> {
    pub(super) fn new(patience: usize) -> Self {
        Self { patience, watch: Watch::new(), best: Array1::zeros(0) }
    }

    /// Takes the loss of an epoch and the parameters after it into account; whether to stop.
    pub(super) fn see(&mut self, loss: f64, network: &dyn Layer<T>) -> bool {
        if self.watch.is_better(loss, 0.0) {
            let parameters = network.parameters();
            // The loss may have been measured before the step that spoilt them.
            if parameters.iter().all(|value| value.is_finite()) {
                self.best = parameters;
            }
        }
        self.watch.stale > self.patience as u64
    }

    /// Gives the network the parameters of the best epoch, if there was one.
    pub(super) fn restore(&self, network: &mut dyn Layer<T>) -> Result<()> {
        if self.best.is_empty() { Ok(()) } else { network.set_parameters(&self.best) }
    }

    pub(super) fn save(&self, network: &dyn Layer<T>, state: &mut TrainingState<T>) {
        self.watch.save("early_stopping", state);
        if self.best.is_empty() {
            return;
        }
        let mut values = self.best.iter().copied();
        network.visit(&mut |name, parameter, _| {
            let best = ArrayD::from_shape_simple_fn(parameter.shape(), || values.next().unwrap_or_else(T::nan));
            state.arrays.insert(format!("best.{name}"), best);
        });
    }

    pub(super) fn load(&mut self, network: &dyn Layer<T>, state: &TrainingState<T>) -> Result<()> {
        let watch = Watch::load("early_stopping", state)?;
        let (mut best, mut error) = (Vec::new(), None::<LayerError>);
        if state.arrays.keys().any(|name| name.starts_with("best.")) {
            network.visit(&mut |name, parameter, _| match state.array(&format!("best.{name}"), parameter.shape()) {
                Ok(values) => best.extend(values.iter().copied()),
                Err(found) => error = error.take().or(Some(found)),
            });
        }
        match error {
            Some(error) => Err(error),
            None => {
                (self.watch, self.best) = (watch, Array1::from_vec(best));
                Ok(())
            }
        }
    }
}
