//! The share of energy that several modules capture together.

/// From the norm of each module's change and the share of its square captured: the captured part of the sum of squares,
/// and 1 where nothing changes.
pub(super) fn captured(modules: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let sum: f64 = modules.clone().map(|(norm, _)| norm.powi(2)).sum();
    let captured: f64 = modules.map(|(norm, energy)| energy * norm.powi(2)).sum();
    if sum > 0.0 { captured / sum } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::captured;

    #[test]
    fn shares_weigh_by_the_squares_of_the_norms() {
        assert_eq!(captured([(2.0, 0.5), (1.0, 1.0)].into_iter()), 3.0 / 5.0);
        assert_eq!(captured([(0.0, 1.0)].into_iter()), 1.0);
    }
}
