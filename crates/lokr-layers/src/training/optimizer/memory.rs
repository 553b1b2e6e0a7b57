//! What an optimizer keeps of past gradients: as many values as there are parameters, one or more times.

use lokr_core::Scalar;
use ndarray::ArrayD;

use crate::error::{LayerError, Result};
use crate::layer::Layer;
use crate::training::state::TrainingState;

/// `N` values for each parameter, in the order of [`Layer::visit`].
#[derive(Debug, Clone)]
pub(super) struct Memory<T, const N: usize> {
    /// Steps made.
    pub(super) steps: u64,
    pub(super) values: [Vec<T>; N],
}

impl<T: Scalar, const N: usize> Memory<T, N> {
    pub(super) fn zeros(count: usize) -> Self {
        Self { steps: 0, values: std::array::from_fn(|_| vec![T::zero(); count]) }
    }

    /// Number of parameters.
    pub(super) fn len(&self) -> usize {
        self.values.first().map_or(0, Vec::len)
    }

    /// As arrays by names, those of the network's parameters with one of `names` in front.
    pub(super) fn save(&self, names: [&str; N], network: &dyn Layer<T>) -> Result<TrainingState<T>> {
        let mut state = TrainingState::default();
        state.counts.insert("steps".to_owned(), self.steps);
        LayerError::check_length(network.type_name(), "parameters", self.len(), network.parameter_count())?;
        let (mut start, mut error) = (0, None);
        network.visit(&mut |name, values, _| {
            for (prefix, flat) in names.iter().zip(&self.values) {
                // Always of that length.
                let part = flat[start..start + values.len()].to_vec();
                let part = ArrayD::from_shape_vec(values.shape(), part).ok();
                let earlier = part.and_then(|part| state.arrays.insert(format!("{prefix}.{name}"), part));
                if earlier.is_some() {
                    error = Some(LayerError::RepeatedName { layer: network.type_name(), name: name.to_owned() });
                }
            }
            start += values.len();
        });
        error.map_or(Ok(state), Err)
    }

    /// The reverse of [`Memory::save`]; nothing where no step was made.
    pub(super) fn load(
        optimizer: &'static str,
        names: [&str; N],
        network: &dyn Layer<T>,
        state: &TrainingState<T>,
    ) -> Result<Option<Self>> {
        let steps = state.counts.get("steps").copied().unwrap_or(0);
        let mut values = std::array::from_fn(|_| Vec::new());
        let (mut error, mut known) = (None, 0);
        if steps > 0 {
            network.visit(&mut |name, parameter, _| {
                for (prefix, flat) in names.iter().zip(&mut values) {
                    known += 1;
                    match state.array(&format!("{prefix}.{name}"), parameter.shape()) {
                        Ok(part) => flat.extend(part.iter().copied()),
                        Err(found) => error = error.take().or(Some(found)),
                    }
                }
            });
        }
        match error {
            Some(error) => Err(error),
            None => {
                LayerError::check_length(optimizer, "arrays", known, state.arrays.len())?;
                Ok((steps > 0).then_some(Self { steps, values }))
            }
        }
    }
}
