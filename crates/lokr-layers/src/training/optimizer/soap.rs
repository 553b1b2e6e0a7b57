//! SOAP: Adam in the eigenvectors of Shampoo's curvature.

use lokr_core::Scalar;

use super::groups::{Group, Groups, Rates};
use super::moments::AdamSettings;
use super::sides::{Bases, Numbers, Slot};
use super::traits::Optimizer;
use super::update::count_parameters;
use crate::error::{LayerError, Result};
use crate::layer::Layer;
use crate::training::state::TrainingState;

/// Settings of [`Soap`]. A learning rate alone is settings too, with the rest by default.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct SoapSettings {
    /// `η`; finite in the type and not negative. 0.003 by default.
    pub learning_rate: f64,
    /// Decay of the mean of gradients, in `[0, 1)`. 0.95 by default.
    pub beta1: f64,
    /// Decay of the mean of squared gradients and of the curvatures, in `[0, 1)`. 0.95 by default.
    pub beta2: f64,
    /// `ε`, added to the root of the mean square; finite and positive. 1e-8 by default.
    pub epsilon: f64,
    /// `λ` in `θ ← θ − η·λ·θ`; finite and not negative. 0.01 by default.
    pub weight_decay: f64,
    /// Steps from one eigenvalue decomposition to the next, at least 1. 10 by default.
    pub refresh: usize,
    /// The most rows or columns that a curvature is kept for; a longer side goes without. 1024 by default.
    pub max_side: usize,
}

impl Default for SoapSettings {
    fn default() -> Self {
        Self {
            learning_rate: 3e-3,
            beta1: 0.95,
            beta2: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.01,
            refresh: 10,
            max_side: 1024,
        }
    }
}

impl From<f64> for SoapSettings {
    fn from(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }
}

/// SOAP (Vyas et al. 2024, arXiv 2409.11321): AdamW in the eigenvectors of a Kronecker-factored curvature, for
/// parameters that are matrices.
///
/// For a gradient `G (m, n)`, Shampoo takes `L ⊗ R` for the curvature, with the means `L (m, m)` of `G·Gᵀ` and `R (n,
/// n)` of `Gᵀ·G`. The eigenvectors of a Kronecker product are the products of its factors' eigenvectors,
/// [`lokr_core::Kron::symmetric_eigen`], so the gradient among them is `Q_Lᵀ·G·Q_R`. There the parameters are nearly
/// independent of each other, which is what Adam wants:
///
/// ```text
/// M ← β₁·M + (1 − β₁)·G                      V ← β₂·V + (1 − β₂)·(Q_Lᵀ·G·Q_R)²
/// θ ← θ − η·λ·θ − η·Q_L·[Q_Lᵀ·M̂·Q_R / (√V̂ + ε)]·Q_Rᵀ
/// L ← β₂·L + (1 − β₂)·G·Gᵀ                   R ← β₂·R + (1 − β₂)·Gᵀ·G
/// ```
///
/// `Q_L` and `Q_R` are taken anew every [`SoapSettings::refresh`] steps, by a whole decomposition. The first step only
/// measures: it takes the first eigenvectors and changes no parameter, as in the authors' own code. Biases and other
/// vectors are AdamW's.
///
/// # Cost
/// The factors of LoKr adapters are small matrices, for which this costs little. A step takes `8·m·n·(m + n)` flops, a
/// refresh some `9·(m³ + n³)`; held are `5·m·n + 2·(m² + n²)` values. Memory is
/// allocated at the first step and at each refresh, besides what [`lokr_core::matmul_into`] needs.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Layer, Optimizer, Soap};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[3.0, 1.0], [1.0, 3.0]], array![0.0, 0.0], Activation::Identity)?;
/// let mut soap = Soap::new(0.02)?.weight_decay(0.0)?;
/// let x = array![[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]];
/// for _ in 0..300 {
///     let error = layer.forward(&x)? - &x; // wants the identity
///     layer.clear_gradients();
///     layer.backward(&error)?;
///     soap.step(&mut layer)?;
/// }
/// assert!((layer.predict(&x)? - &x).iter().all(|d: &f64| d.abs() < 0.1)); // 4.9 at first
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Soap<T> {
    pub(super) settings: SoapSettings,
    pub(super) groups: Groups,
    memory: Option<Memory<T>>,
}

#[derive(Debug, Clone)]
struct Memory<T> {
    /// Steps that changed parameters.
    updates: u64,
    slots: Vec<Slot<T>>,
}

const NAME: &str = "Soap";

impl SoapSettings {
    fn adam(&self) -> AdamSettings {
        let Self { learning_rate, beta1, beta2, epsilon, weight_decay, .. } = *self;
        AdamSettings { learning_rate, beta1, beta2, epsilon, weight_decay }
    }

    fn check<T: Scalar>(&self, groups: &Groups) -> Result<()> {
        if self.refresh == 0 {
            return Err(LayerError::invalid("steps from one refresh to the next", 0, "at least 1"));
        }
        self.adam().check::<T>(groups)
    }
}

impl<T: Scalar> Soap<T> {
    /// With a learning rate, and the defaults of [`SoapSettings`] and of the authors: `Soap::new(3e-3)`. Or with all
    /// settings.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`].
    pub fn new(settings: impl Into<SoapSettings>) -> Result<Self> {
        Self { settings: settings.into(), groups: Groups::default(), memory: None }.checked()
    }

    pub(super) fn checked(self) -> Result<Self> {
        self.settings.check::<T>(&self.groups)?;
        Ok(self)
    }

    /// Decays of the mean of gradients and of the mean of their squares, both in `[0, 1)`. 0.95 by default.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`].
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Result<Self> {
        (self.settings.beta1, self.settings.beta2) = (beta1, beta2);
        self.checked()
    }

    /// `λ`; finite and not negative. 0.01 by default.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`].
    pub fn weight_decay(mut self, decay: f64) -> Result<Self> {
        self.settings.weight_decay = decay;
        self.checked()
    }

    /// Takes new eigenvectors every `steps` steps. 10 by default.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] for 0.
    pub fn refresh(mut self, steps: usize) -> Result<Self> {
        self.settings.refresh = steps;
        self.checked()
    }

    /// Adds a group of parameters with settings of their own, after those given before.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`].
    pub fn group(mut self, group: Group) -> Result<Self> {
        self.groups.push(group);
        self.checked()
    }

    /// The first step: measures, and changes no parameter.
    fn start(&self, network: &dyn Layer<T>) -> Result<Memory<T>> {
        let mut slots = Vec::new();
        network.visit(&mut |_, values, gradient| {
            let mut slot = Slot::zeros(values.shape(), self.settings.max_side);
            if let Some(gradient) = gradient {
                slot.store_gradient(&gradient);
            }
            slots.push(slot);
        });
        for slot in &mut slots {
            slot.add_covariances(T::zero(), T::from_f64_lossy(1.0 - self.settings.beta2))?;
            slot.set_bases(slot.eigenvectors()?);
        }
        Ok(Memory { updates: 0, slots })
    }
}

impl<T: Scalar> Memory<T> {
    /// Checks that the parameters have the shapes that they had at the first step.
    fn check(&self, network: &dyn Layer<T>) -> Result<()> {
        let (mut slots, mut fits) = (self.slots.iter(), true);
        network.visit(&mut |_, values, _| fits &= slots.next().is_some_and(|slot| slot.mean.len() == values.len()));
        if fits && slots.next().is_none() {
            return Ok(());
        }
        Err(LayerError::invalid("network of the optimizer", "another one", "that of the first step"))
    }
}

impl<T: Scalar> Optimizer<T> for Soap<T> {
    /// # Errors
    /// Also those of the eigenvalue decomposition, [`lokr_core::KronError::NonFinite`] for gradients that were not
    /// finite.
    fn step(&mut self, network: &mut dyn Layer<T>) -> Result<()> {
        let count = |memory: &Memory<T>| memory.slots.iter().map(|slot| slot.mean.len()).sum();
        count_parameters(NAME, network, self.memory.as_ref().map(count), &self.groups)?;
        let Some(memory) = &mut self.memory else {
            self.memory = Some(self.start(network)?);
            return Ok(());
        };
        memory.check(network)?;
        if memory.updates > 0 && memory.updates.is_multiple_of(self.settings.refresh as u64) {
            // All of them before any is used: a decomposition may fail.
            let bases = memory.slots.iter().map(Slot::eigenvectors).collect::<Result<Vec<Bases<T>>>>()?;
            memory.slots.iter_mut().zip(bases).for_each(|(slot, bases)| slot.set_bases(bases));
        }
        memory.updates = memory.updates.saturating_add(1);

        let AdamSettings { beta1, beta2, epsilon, learning_rate, weight_decay } = self.settings.adam();
        let t = memory.updates as f64;
        let correction = |beta: f64| 1.0 - beta.powf(t);
        let (mean_correction, root_correction) = (correction(beta1), 1.0 / correction(beta2).sqrt());
        let numbers = Numbers {
            keep1: T::from_f64_lossy(beta1),
            add1: T::from_f64_lossy(1.0 - beta1),
            keep2: T::from_f64_lossy(beta2),
            add2: T::from_f64_lossy(1.0 - beta2),
            root_correction: T::from_f64_lossy(root_correction),
            epsilon: T::from_f64_lossy(epsilon),
            rate: T::zero(),
            keep_value: T::one(),
        };
        let (groups, all) = (&self.groups, Rates { rate: learning_rate, decay: weight_decay });
        let (mut slots, mut done) = (memory.slots.iter_mut(), Ok(()));
        network.visit_mut(&mut |name, values, gradient| {
            let (Some(slot), Some(gradient)) = (slots.next(), gradient) else { return };
            let Rates { rate, decay } = groups.rates(name, all);
            let numbers = Numbers {
                rate: T::from_f64_lossy(rate / mean_correction),
                keep_value: T::from_f64_lossy(1.0 - rate * decay),
                ..numbers
            };
            slot.store_gradient(&gradient);
            let step = slot.step(&numbers, values).and_then(|()| slot.add_covariances(numbers.keep2, numbers.add2));
            if done.is_ok() {
                done = step;
            }
        });
        done
    }

    fn learning_rate(&self) -> f64 {
        self.settings.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        let settings = SoapSettings { learning_rate, ..self.settings };
        settings.check::<T>(&self.groups)?;
        self.settings = settings;
        Ok(())
    }

    fn reset(&mut self) {
        self.memory = None;
    }

    fn save_state(&self, network: &dyn Layer<T>) -> Result<TrainingState<T>> {
        let mut state = TrainingState::default();
        let Some(memory) = &self.memory else { return Ok(state) };
        memory.check(network)?;
        state.counts.insert("updates".to_owned(), memory.updates);
        let (mut slots, mut repeated) = (memory.slots.iter(), None);
        network.visit(&mut |name, _, _| {
            let parts = slots.next().into_iter().flat_map(Slot::parts);
            for (part, values) in parts {
                if state.arrays.insert(format!("{part}.{name}"), values.clone().into_dyn()).is_some() {
                    repeated = Some(name.to_owned());
                }
            }
        });
        match repeated {
            Some(name) => Err(LayerError::RepeatedName { layer: network.type_name(), name }),
            None => Ok(state),
        }
    }

    fn load_state(&mut self, network: &dyn Layer<T>, state: &TrainingState<T>) -> Result<()> {
        let (mut slots, mut error, mut known) = (Vec::new(), None, 0);
        let updates = state.counts.get("updates").copied();
        if updates.is_some() {
            network.visit(&mut |name, values, _| {
                let mut slot = Slot::zeros(values.shape(), self.settings.max_side);
                for (part, values) in slot.parts_mut() {
                    known += 1;
                    match state.array(&format!("{part}.{name}"), values.shape()) {
                        Ok(saved) => values.iter_mut().zip(&saved).for_each(|(v, &saved)| *v = saved),
                        Err(found) => error = error.take().or(Some(found)),
                    }
                }
                slots.push(slot);
            });
        }
        if let Some(error) = error {
            return Err(error);
        }
        LayerError::check_length(NAME, "arrays", known, state.arrays.len())?;
        self.memory = updates.map(|updates| Memory { updates, slots });
        Ok(())
    }
}
