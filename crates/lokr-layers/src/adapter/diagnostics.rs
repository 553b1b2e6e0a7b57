//! An adapter at a glance: what it is and how strongly it acts.

use std::fmt;

use lokr_core::{KronShape, Scalar};

use super::lokr_adapter::LoKrAdapter;
use super::updates::OWN;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::{Adapter, Layer};
use crate::update::{DeltaPlacement, LoKrUpdate, TYPE_NAME, inner_rank};

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
    /// Sizes of the factors, those of the first term.
    pub shape: KronShape,
    /// How many products are added up.
    pub terms: usize,
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
    /// `‖s·(A ⊗ B)‖₂`; of several terms an upper bound, the sum of theirs.
    pub spectral_norm: f64,
    /// `‖W‖_F` of the base, if it has a weight matrix.
    pub weight_norm: Option<f64>,
    /// Root of the sum of squares of the factors' gradients, if there are any.
    pub gradient_norm: Option<f64>,
}

impl<T: Scalar, L: Layer<T> + Clone + 'static> LoKrAdapter<T, L> {
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
        LoKrDiagnostics::new(self)
    }
}

impl LoKrDiagnostics {
    /// [`LoKrAdapter::diagnostics`] of an adapter of any base.
    ///
    /// # Errors
    /// As [`LoKrAdapter::diagnostics`].
    pub fn new<T: Scalar>(adapter: &dyn Adapter<T>) -> Result<Self> {
        let updates = adapter.updates();
        let (base, unnamed) = (adapter.base(), || LayerError::UnknownName { layer: TYPE_NAME, name: OWN.to_owned() });
        let &(_, update) = updates.first().ok_or_else(unnamed)?;
        let (linear, delta) = (base.as_linear(), update.delta());
        let (out, input) = update.dim();
        Ok(Self {
            base: base.type_name(),
            activation: linear.map(|linear| linear.activation()),
            base_frozen: adapter.is_base_frozen(),
            placement: adapter.placement(),
            shape: delta.shape(),
            terms: update.terms().len(),
            a_rank: inner_rank(delta.a()),
            b_rank: inner_rank(delta.b()),
            rank: update.rank(),
            alpha: update.alpha().to_f64_exact(),
            scaling: update.scaling().to_f64_exact(),
            parameters: update.parameter_count(),
            share: update.parameter_count() as f64 / (out as f64 * input as f64),
            rank_bound: update.terms().map(|(_, term)| term.a().rank_bound() * term.b().rank_bound()).sum(),
            frobenius_norm: update.frobenius_norm()?,
            spectral_norm: update
                .terms()
                .map(|(strength, term)| magnitude(strength, term.spectral_norm()))
                .sum::<Result<_>>()?,
            weight_norm: linear.map(|linear| squares(linear.weight().iter()).sqrt()),
            gradient_norm: gradient_norm(update),
        })
    }
}

/// `|s|·‖·‖` in `f64`.
fn magnitude<T: Scalar>(strength: T, norm: lokr_core::Result<T>) -> Result<f64> {
    Ok(strength.to_f64_exact().abs() * norm?.to_f64_exact())
}

/// The root of the sum of squares of all gradients, if there are any.
fn gradient_norm<T: Scalar>(update: &LoKrUpdate<T>) -> Option<f64> {
    let mut sum = None;
    update.visit("", &mut |_, _, gradient| {
        if let Some(gradient) = gradient {
            *sum.get_or_insert(0.0) += squares(gradient.iter());
        }
    });
    sum.map(f64::sqrt)
}

/// The sum of the squares, in `f64`.
fn squares<'v, T: Scalar>(values: impl Iterator<Item = &'v T>) -> f64 {
    values.map(|value| value.to_f64_exact().powi(2)).sum()
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
        if self.terms > 1 {
            writeln!(f, "terms       {} of these, added up", self.terms)?;
        }
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
