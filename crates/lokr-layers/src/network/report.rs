//! What was done to a network.

use std::fmt;

/// What [`crate::Sequential::adapt`] did. Printed, it is a table of the adapted layers and a line for each of the rest.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AdaptReport {
    /// The layers that have an adapter now, in order.
    pub adapted: Vec<AdaptedLayer>,
    /// The layers that are trained as they are.
    pub trained_whole: Vec<String>,
    /// The layers that are frozen.
    pub frozen: Vec<String>,
    /// The layers that were meant, or all were, and that have no weight matrix to adapt.
    pub passed_over: Vec<String>,
    /// Values that train.
    pub trainable: usize,
    /// Values of the network, adapters included.
    pub total: usize,
}

/// A layer with a new adapter.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AdaptedLayer {
    /// Its name.
    pub name: String,
    /// Its type.
    pub layer: &'static str,
    /// The rank asked for.
    pub rank: usize,
    /// What `A ⊗ B` is multiplied by.
    pub scaling: f64,
    /// Shapes of the first `A` and `B`.
    pub factors: ((usize, usize), (usize, usize)),
    /// Values of the adapter.
    pub parameters: usize,
}

impl fmt::Display for AdaptReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.adapted.iter().map(|layer| layer.name.chars().count()).max().unwrap_or(0);
        for AdaptedLayer { name, layer, rank, scaling, factors: ((m, n), (p, q)), parameters } in &self.adapted {
            writeln!(
                f,
                "{name:width$}  {layer}, A {m} x {n}, B {p} x {q}, rank {rank}, scaling {scaling}, {parameters} values"
            )?;
        }
        for (what, names) in
            [("trained whole", &self.trained_whole), ("frozen", &self.frozen), ("passed over", &self.passed_over)]
        {
            if !names.is_empty() {
                writeln!(f, "{what}: {}", names.join(", "))?;
            }
        }
        let share = 100.0 * self.trainable as f64 / self.total.max(1) as f64;
        write!(f, "{} of {} values train ({share:.2} %)", self.trainable, self.total)
    }
}
