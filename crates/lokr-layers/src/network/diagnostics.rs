//! All adapters of a network at a glance.

use std::fmt;

use lokr_core::{KronShape, Scalar};

use super::sequential::Sequential;
use crate::adapter::LoKrDiagnostics;
use crate::error::Result;

/// What [`Sequential::all_diagnostics`] finds. Printed, it is a table with a row for each adapter; with the feature
/// `serde` it can be written in other forms.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NetworkDiagnostics {
    /// The adapters with the names of their layers, first to last.
    pub adapters: Vec<(String, LoKrDiagnostics)>,
}

impl NetworkDiagnostics {
    /// Values of all adapters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.adapters.iter().map(|(_, adapter)| adapter.parameters).sum()
    }

    /// Bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.adapters.iter().map(|(_, adapter)| adapter.bytes).sum()
    }
}

impl<T: Scalar> Sequential<T> {
    /// What every adapter says of itself, of its own update: [`crate::LoKrAdapter::diagnostics`].
    ///
    /// # Errors
    /// As there.
    /// # Examples
    /// ```
    /// use lokr_layers::{Activation, Dense, LoKrSettings, Sequential};
    /// use ndarray::{Array1, Array2};
    ///
    /// let mut network = Sequential::<f32>::empty();
    /// network.push_named("q", Dense::from_arrays(Array2::eye(24), Array1::zeros(24), Activation::Silu)?)?;
    /// network.adapt("q", LoKrSettings::new().rank(2))?;
    /// let found = network.all_diagnostics()?;
    /// assert_eq!(found.adapters[0].1.relative_norm, Some(0.0)); // it is new
    /// println!("{found}");
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn all_diagnostics(&self) -> Result<NetworkDiagnostics> {
        let of = |(name, adapter)| Ok((name, LoKrDiagnostics::new(adapter)?));
        Ok(NetworkDiagnostics { adapters: self.adapters().into_iter().map(of).collect::<Result<_>>()? })
    }
}

const HEAD: [&str; 10] =
    ["layer", "A", "B", "rank", "scaling", "values", "stable rank", "norm", "of the weight's", "gradient"];

impl fmt::Display for NetworkDiagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(self.adapters.iter().map(|(name, adapter)| row(name, adapter)));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; HEAD.len()] = std::array::from_fn(width);
        for row in &rows {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        write!(f, "{} adapters, {} values, {} bytes", self.adapters.len(), self.parameters(), self.bytes())
    }
}

fn row(name: &str, of: &LoKrDiagnostics) -> [String; HEAD.len()] {
    let KronShape { m, n, p, q } = of.shape;
    let held = |rows: usize, cols: usize, rank: Option<usize>| {
        let dim = format!("{rows}x{cols}");
        rank.map_or(dim.clone(), |rank| format!("{dim} r{rank}"))
    };
    let or_dash = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    [
        name.to_owned(),
        held(m, n, of.a_rank),
        held(p, q, of.b_rank),
        of.rank.to_string(),
        of.scaling.to_string(),
        of.parameters.to_string(),
        or_dash(of.stable_rank.map(|rank| format!("{rank:.2}"))),
        format!("{:.3e}", of.frobenius_norm),
        or_dash(of.relative_norm.map(|share| format!("{:.3} %", 100.0 * share))),
        or_dash(of.gradient_norm.map(|norm| format!("{norm:.3e}"))),
    ]
}
