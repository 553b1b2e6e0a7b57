//! An adapter at a glance: what it is and how strongly it acts.

use std::fmt;

use lokr_core::{Kron, KronShape, Scalar};

use super::lokr_adapter::LoKrAdapter;
use super::updates::OWN;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::{Adapter, Layer};
use crate::update::{DeltaPlacement, LoKrUpdate, TYPE_NAME, inner_rank};

/// What [`LoKrAdapter::diagnostics`] finds. Printed, it is a few lines of text; with the feature `serde` it can be
/// written in other forms.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
    #[cfg_attr(feature = "serde", serde(serialize_with = "shapes_of_factors"))]
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
    /// Bytes that they take.
    pub bytes: usize,
    /// The largest rank the update can have.
    pub rank_bound: usize,
    /// `‖A‖_F`, of the first term.
    pub a_norm: f64,
    /// `‖B‖_F`, of the first term.
    pub b_norm: f64,
    /// `‖s·(A ⊗ B)‖_F`.
    pub frobenius_norm: f64,
    /// `‖s·(A ⊗ B)‖₂`; of several terms an upper bound, the sum of theirs.
    pub spectral_norm: f64,
    /// `‖ΔW‖_F²/‖ΔW‖₂²`: how many directions the update has as strong as its strongest. 0 of a zero update, and `None`
    /// of several terms, whose singular values do not follow from those of the factors.
    pub stable_rank: Option<f64>,
    /// The exponential of the entropy of the singular values as shares of their sum (Roy & Vetterli 2007): how many
    /// directions the update uses evenly. As [`LoKrDiagnostics::stable_rank`].
    pub effective_rank: Option<f64>,
    /// `‖W‖_F` of the base, if it has a weight matrix.
    pub weight_norm: Option<f64>,
    /// `‖ΔW‖_F/‖W‖_F`, where the base has a weight that is not zero.
    pub relative_norm: Option<f64>,
    /// Root of the sum of squares of all gradients of the update, if there are any.
    pub gradient_norm: Option<f64>,
    /// The same of the matrices of all `A`.
    pub a_gradient_norm: Option<f64>,
    /// The same of the matrices of all `B`.
    pub b_gradient_norm: Option<f64>,
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
        let frobenius_norm = update.frobenius_norm()?;
        let weight_norm = linear.map(|linear| squares(linear.weight().iter()).sqrt());
        let ranks = if update.terms().len() == 1 { Some(ranks(delta)?) } else { None };
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
            bytes: update.parameter_count() * size_of::<T>(),
            rank_bound: update.terms().map(|(_, term)| term.a().rank_bound() * term.b().rank_bound()).sum(),
            a_norm: squares(delta.a().dense().iter()).sqrt(),
            b_norm: squares(delta.b().dense().iter()).sqrt(),
            frobenius_norm,
            spectral_norm: update
                .terms()
                .map(|(strength, term)| magnitude(strength, term.spectral_norm()))
                .sum::<Result<_>>()?,
            stable_rank: ranks.map(|(stable, _)| stable),
            effective_rank: ranks.map(|(_, effective)| effective),
            weight_norm,
            relative_norm: weight_norm.filter(|&norm| norm > 0.0).map(|norm| frobenius_norm / norm),
            gradient_norm: gradient_norm(update, |_| true),
            a_gradient_norm: gradient_norm(update, |name| name.contains("lokr_w1")),
            b_gradient_norm: gradient_norm(update, |name| name.contains("lokr_w2")),
        })
    }
}

/// `|s|·‖·‖` in `f64`.
fn magnitude<T: Scalar>(strength: T, norm: lokr_core::Result<T>) -> Result<f64> {
    Ok(strength.to_f64_exact().abs() * norm?.to_f64_exact())
}

/// Stable and effective rank of a product, from the singular values of its factors.
fn ranks<T: Scalar>(delta: &Kron<'static, T>) -> Result<(f64, f64)> {
    let values: Vec<f64> = delta.svd()?.values().iter().map(|value| value.to_f64_exact()).collect();
    let largest = values.first().copied().unwrap_or(0.0);
    if largest == 0.0 {
        return Ok((0.0, 0.0));
    }
    let shares = || values.iter().map(|value| value / largest);
    let (sum, stable) = (shares().sum::<f64>(), shares().map(|share| share * share).sum());
    let entropy: f64 = shares().map(|share| share / sum).filter(|share| *share > 0.0).map(|p| -p * p.ln()).sum();
    Ok((stable, entropy.exp()))
}

/// A shape as `{"a": [m, n], "b": [p, q]}`.
#[cfg(feature = "serde")]
fn shapes_of_factors<S: serde::Serializer>(shape: &KronShape, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeStruct;
    let mut fields = serializer.serialize_struct("KronShape", 2)?;
    fields.serialize_field("a", &(shape.m, shape.n))?;
    fields.serialize_field("b", &(shape.p, shape.q))?;
    fields.end()
}

/// The root of the sum of squares of the gradients that are meant, if there are any.
fn gradient_norm<T: Scalar>(update: &LoKrUpdate<T>, is_meant: impl Fn(&str) -> bool) -> Option<f64> {
    let mut sum = None;
    update.visit("", &mut |name, _, gradient| {
        if let Some(gradient) = gradient.filter(|_| is_meant(name)) {
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
        writeln!(
            f,
            "parameters  {} ({:.3} % of the weight), {} bytes",
            self.parameters,
            100.0 * self.share,
            self.bytes
        )?;
        write!(f, "rank        at most {}", self.rank_bound)?;
        match self.stable_rank.zip(self.effective_rank) {
            Some((stable, effective)) => writeln!(f, ", stable {stable:.2}, effective {effective:.2}")?,
            None => writeln!(f)?,
        }
        writeln!(f, "factors     A {:.4e}, B {:.4e}", self.a_norm, self.b_norm)?;
        write!(f, "norms       Frobenius {:.4e}, spectral {:.4e}", self.frobenius_norm, self.spectral_norm)?;
        if let Some((weight, share)) = self.weight_norm.zip(self.relative_norm) {
            write!(f, "; {:.3} % of the weight's {weight:.4e}", 100.0 * share)?;
        }
        match (self.gradient_norm, self.a_gradient_norm.zip(self.b_gradient_norm)) {
            (Some(norm), Some((a, b))) => write!(f, "\ngradients   {norm:.4e} (A {a:.4e}, B {b:.4e})"),
            (Some(norm), None) => write!(f, "\ngradients   {norm:.4e}"),
            (None, _) => write!(f, "\ngradients   none"),
        }
    }
}
