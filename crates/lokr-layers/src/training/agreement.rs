//! What all ranks must have in common, and how they find out that they do not.

use std::hash::{DefaultHasher, Hash, Hasher};

use lokr_core::Scalar;

use super::communicator::Communicator;
use super::samples::Samples;
use super::targets::Targets;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// Checks that every rank has the same numbers, each of which stands for something by that name.
///
/// # Errors
/// [`LayerError::RanksDiffer`], on every rank, with the ranks whose number is not the one that most ranks have.
pub(super) fn check_same(ranks: &dyn Communicator, step: usize, own: &[(&'static str, u64)]) -> Result<()> {
    let size = ranks.size();
    if size == 1 {
        return Ok(());
    }
    let bytes: Vec<u8> = own.iter().flat_map(|(_, number)| number.to_le_bytes()).collect();
    let mut all = Vec::new();
    ranks.gather(&bytes, &vec![bytes.len(); size], &mut all)?;
    for (i, (what, _)) in own.iter().enumerate() {
        let place = i * size_of::<u64>()..(i + 1) * size_of::<u64>();
        let found: Vec<&[u8]> = all.chunks_exact(bytes.len()).map(|of_rank| &of_rank[place.clone()]).collect();
        let others = unlike_most(&found);
        if !others.is_empty() {
            return Err(LayerError::RanksDiffer { what, step, ranks: others, size });
        }
    }
    Ok(())
}

/// The places of the values that are not the most frequent one; of equally frequent ones the first counts.
fn unlike_most<V: PartialEq>(values: &[V]) -> Vec<usize> {
    let count = |value: &V| values.iter().filter(|other| *other == value).count();
    let most = values.iter().map(count).max().unwrap_or(0);
    let Some(usual) = values.iter().find(|value| count(value) == most) else { return Vec::new() };
    (0..values.len()).filter(|&i| values[i] != *usual).collect()
}

/// Whether any rank says yes.
pub(super) fn any(ranks: &dyn Communicator, own: bool) -> Result<bool> {
    if ranks.size() == 1 {
        return Ok(own);
    }
    let mut all = Vec::new();
    ranks.gather(&[u8::from(own)], &vec![1; ranks.size()], &mut all)?;
    Ok(all.iter().any(|&answer| answer != 0))
}

/// A number for all trained values and for what is drawn next.
pub(super) fn of_parameters<T: Scalar>(network: &mut dyn Layer<T>) -> u64 {
    let mut hasher = DefaultHasher::new();
    network.visit(&mut |name, values, _| {
        (name, values.shape()).hash(&mut hasher);
        values.iter().for_each(|&value| bits(value).hash(&mut hasher));
    });
    network.visit_random_states(&mut |name, state| (name, *state).hash(&mut hasher));
    hasher.finish()
}

/// A number for all values, frozen ones too.
pub(super) fn of_values<T: Scalar>(network: &dyn Layer<T>) -> u64 {
    let mut hasher = DefaultHasher::new();
    network.visit_values(&mut |name, values| {
        (name, values.shape()).hash(&mut hasher);
        values.iter().for_each(|&value| bits(value).hash(&mut hasher));
    });
    hasher.finish()
}

/// A number for samples.
pub(super) fn of_samples<T: Scalar>(samples: &Samples<'_, T>) -> u64 {
    let mut hasher = DefaultHasher::new();
    samples.x.dim().hash(&mut hasher);
    samples.x.iter().for_each(|&value| bits(value).hash(&mut hasher));
    match samples.targets {
        Targets::Labels(labels) => labels.hash(&mut hasher),
        Targets::Values(values) => values.iter().for_each(|&value| bits(value).hash(&mut hasher)),
    }
    hasher.finish()
}

fn bits<T: Scalar>(value: T) -> u64 {
    value.to_f64_exact().to_bits()
}

#[cfg(test)]
mod tests {
    use super::unlike_most;

    #[test]
    fn those_who_differ_from_most_are_named() {
        assert_eq!(unlike_most(&[7, 7, 7]), []);
        assert_eq!(unlike_most(&[7, 8, 8, 8]), [0]);
        assert_eq!(unlike_most(&[7, 8, 7, 9]), [1, 3]);
        assert_eq!(unlike_most(&[7, 8]), [1]);
        assert_eq!(unlike_most::<u8>(&[]), []);
    }
}
