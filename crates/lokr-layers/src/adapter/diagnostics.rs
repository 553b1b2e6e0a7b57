//! An adapter at a glance: what it is and how strongly it acts.

use std::fmt;

use lokr_core::{KronShape, Scalar};
use ndarray::ArrayView2;

use super::halves::inner_rank;
use super::lokr_adapter::LoKrAdapter;
use super::placement::DeltaPlacement;
use crate::activation::Activation;
use crate::error::Result;
use crate::layer::Layer;

/// What [`LoKrAdapter::diagnostics`] finds. Printed, it is a few lines of text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoKrDiagnostics {
    /// Type of the adapted layer.
    pub base: &'static str,
    /// Its activation, if it has a weight matrix.
    pub activation: Option<Activation>,
    /// Whether its parameters are kept as they are.
    pub base_frozen: bool,
    /// Where the update enters.
    pub placement: DeltaPlacement,
    /// Sizes of the factors.
    pub shape: KronShape,
    /// Inner size of `A`, where it is held low-rank.
    pub a_rank: Option<usize>,
    /// Inner size of `B`, where it is held low-rank.
    pub b_rank: Option<usize>,
    /// The rank asked for.
    pub rank: usize,
    /// Numerator of the scaling the adapter was made with.
    pub alpha: f64,
    /// What `A ⊗ B` is multiplied by.
    pub scaling: f64,
    /// Values of the adapter.
    pub parameters: usize,
    /// The same as a share of the weight's `out·in`.
    pub share: f64,
    /// The largest rank the update can have.
    pub rank_bound: usize,
    /// `‖s·(A ⊗ B)‖_F`.
    pub frobenius_norm: f64,
    /// `‖s·(A ⊗ B)‖₂`.
    pub spectral_norm: f64,
    /// `‖W‖_F` of the base, if it has a weight matrix.
    pub weight_norm: Option<f64>,
    /// Root of the sum of squares of the factors' gradients, if there are any.
    pub gradient_norm: Option<f64>,
}

impl<T: Scalar, L: Layer<T> + Clone> LoKrAdapter<T, L> {
    /// Shapes, counts and norms. The norms of the update come from the factors; it is not formed.
    ///
    /// # Cost
    /// The singular values of the factors, and one pass over the base's weight.
    /// # Errors
    /// [`lokr_core::KronError::NonFinite`] when training has made a factor hold values that are not finite.
    /// # Examples
    /// ```
    /// use lokr_layers::{Activation, Dense, LoKrAdapter};
    /// use ndarray::{Array1, Array2, array};
    ///
    /// let base = Dense::from_arrays(Array2::from_elem((4, 6), 0.5), Array1::zeros(6), Activation::Relu)?;
    /// let mut adapter = LoKrAdapter::new(base, 2, None, true)?;
    /// adapter.set_matrix_a(array![[3.0, 0.0], [0.0, 4.0]])?;
    /// adapter.set_matrix_b(array![[1.0, 0.0], [0.0, 2.0], [0.0, 2.0]])?;
    /// let found = adapter.diagnostics()?;
    /// assert_eq!((found.parameters, found.rank_bound), (4 + 6, 2 * 2));
    /// assert!((found.frobenius_norm - 5.0 * 3.0_f64).abs() < 1e-12);
    /// println!("{found}");
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn diagnostics(&self) -> Result<LoKrDiagnostics> {
        let (delta, linear) = (self.delta(), self.base.as_linear());
        let scaling = self.scaling.to_f64_exact();
        let (out, input) = delta.dim();
        let gradients = self.training.gradients.as_ref().filter(|_| self.training.has_gradients);
        Ok(LoKrDiagnostics {
            base: self.base.type_name(),
            activation: linear.map(|linear| linear.activation()),
            base_frozen: self.base_frozen,
            placement: self.placement,
            shape: delta.shape(),
            a_rank: inner_rank(delta.a()),
            b_rank: inner_rank(delta.b()),
            rank: self.rank(),
            alpha: self.alpha().to_f64_exact(),
            scaling,
            parameters: delta.parameter_count(),
            share: delta.parameter_count() as f64 / (out as f64 * input as f64),
            rank_bound: delta.a().rank_bound() * delta.b().rank_bound(),
            frobenius_norm: scaling.abs() * delta.frobenius_norm().to_f64_exact(),
            spectral_norm: scaling.abs() * delta.spectral_norm()?.to_f64_exact(),
            weight_norm: linear.map(|linear| squares(linear.weight()).sqrt()),
            gradient_norm: gradients
                .map(|g| g.parts().iter().map(|gradient| squares(gradient.view())).sum::<f64>().sqrt()),
        })
    }
}

/// The sum of the squares, in `f64`.
fn squares<T: Scalar>(matrix: ArrayView2<'_, T>) -> f64 {
    matrix.iter().map(|value| value.to_f64_exact().powi(2)).sum()
}

impl fmt::Display for LoKrDiagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KronShape { m, n, p, q } = self.shape;
        let (out, input) = self.shape.dim();
        let frozen = if self.base_frozen { "frozen" } else { "trained too" };
        let activation = self.activation.map_or("unknown activation", Activation::name);
        writeln!(f, "base        {}, {input} -> {out}, {activation}, {frozen}", self.base)?;
        let placement = match self.placement {
            DeltaPlacement::BeforeActivation => "before the activation",
            DeltaPlacement::AfterActivation => "after the activation",
        };
        let held = |rank: Option<usize>| rank.map_or("full".to_owned(), |rank| format!("rank {rank}"));
        writeln!(
            f,
            "update      A {m} x {n} ({}), B {p} x {q} ({}), {placement}",
            held(self.a_rank),
            held(self.b_rank)
        )?;
        writeln!(f, "scaling     {} (alpha {}, rank {})", self.scaling, self.alpha, self.rank)?;
        writeln!(f, "parameters  {} ({:.3} % of the weight)", self.parameters, 100.0 * self.share)?;
        writeln!(f, "rank        at most {}", self.rank_bound)?;
        write!(f, "norms       Frobenius {:.4e}, spectral {:.4e}", self.frobenius_norm, self.spectral_norm)?;
        if let Some(weight) = self.weight_norm.filter(|&norm| norm > 0.0) {
            write!(f, "; {:.3} % of the weight's {weight:.4e}", 100.0 * self.frobenius_norm / weight)?;
        }
        match self.gradient_norm {
            Some(norm) => write!(f, "\ngradients   {norm:.4e}"),
            None => write!(f, "\ngradients   none"),
        }
    }
}
