//! Which random values each part of a batch draws, whichever rank it is the turn of.

use lokr_core::Scalar;

use crate::layer::Layer;

/// The random states of a network's layers before a step. The part of a batch that begins with its `i`-th sample draws
/// from the states that are `i` further on, on any rank, and after the step all ranks are at the same states again.
#[derive(Debug, Default)]
pub(super) struct RandomStates {
    states: Vec<u64>,
}

impl RandomStates {
    /// Takes the states as they are.
    pub(super) fn remember<T: Scalar>(&mut self, network: &mut dyn Layer<T>) {
        self.states.clear();
        network.visit_random_states(&mut |_, state| self.states.push(*state));
    }

    /// Sets the states so much further on than they were.
    pub(super) fn advance<T: Scalar>(&self, network: &mut dyn Layer<T>, by: usize) {
        let mut states = self.states.iter();
        network.visit_random_states(&mut |_, state| {
            *state = states.next().map_or(*state, |before| before.wrapping_add(by as u64));
        });
    }
}
