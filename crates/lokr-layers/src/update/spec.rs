//! An update as data, without its values.

use lokr_core::{Factor, Kron, KronShape, Scalar, memory};
use ndarray::{Array1, Array2};

use super::checks::{TYPE_NAME, check_scaling};
use super::dora::{DoraAxis, DoraStrength};
use super::dropout::Dropout;
use super::halves::inner_rank;
use super::learned::Learned;
use super::lokr_update::LoKrUpdate;
use super::term::{Form, Term};
use super::tucker::TuckerFactor;
use crate::error::{LayerError, Result};

/// What it takes to make an update again, but for its values: [`LoKrUpdate::spec`]. Numbers are held in `f64`.
///
/// The multiplier is no part of it, as of no file.
///
/// # Examples
/// ```
/// use lokr_layers::LoKrSettings;
///
/// let update = LoKrSettings::<f32>::new().rank(2).alpha(1.0).update((12, 20))?;
/// let spec = update.spec();
/// assert_eq!((spec.scaling, spec.terms[0].b_rank), (0.5, Some(2))); // of a B of (4, 5)
/// assert_eq!(spec.build::<f32>()?.parameter_count(), update.parameter_count());
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct UpdateSpec {
    /// The rank asked for.
    pub rank: usize,
    /// Numerator of the scaling it was made with.
    pub alpha: f64,
    /// What the products are multiplied by.
    pub scaling: f64,
    /// The products that are added up, at least one.
    pub terms: Vec<TermSpec>,
    /// The sizes of the kernel, of an update for a convolution; none for a linear layer.
    #[cfg_attr(feature = "serde", serde(default))]
    pub kernel: Vec<usize>,
    /// Whether each product has a trained weight.
    pub term_weights: bool,
    /// Whether there is a trained number in front of all.
    pub learned_scalar: bool,
    /// How the weight is decomposed, if it is.
    pub dora: Option<(DoraAxis, DoraStrength)>,
    /// What training leaves out.
    pub dropout: DropoutSpec,
}

/// One product of an [`UpdateSpec`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct TermSpec {
    /// What of it is trained.
    #[cfg_attr(feature = "serde", serde(default))]
    pub form: TermForm,
    /// Shape `(m, n)` of `A`.
    pub a: (usize, usize),
    /// Shape `(p, q)` of `B`, or `(p, q·K)` with the elements of a kernel.
    pub b: (usize, usize),
    /// Inner size of `A`, where it is held low-rank.
    pub a_rank: Option<usize>,
    /// Inner size of `B`, where it is held low-rank.
    pub b_rank: Option<usize>,
}

/// What of a product is trained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TermForm {
    /// The matrices of both factors.
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = "lokr"))]
    LoKr,
    /// Those of the low-rank `B`; `A` is the number 1 and stays so: [`crate::LoKrBuilder::lora`].
    Lora,
    /// Those of `A`, and the core and the sides of a `B` in Tucker form: [`crate::TuckerFactor`].
    Tucker {
        /// The sizes of the core's kernel.
        kernel: Vec<usize>,
    },
}

/// The shares that training leaves out, as [`crate::LoKrBuilder`] has them, and the seed they are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct DropoutSpec {
    /// Of the values of the input.
    pub input: f64,
    /// Of the rows of `ΔW`.
    pub rank: f64,
    /// Whether the rows that stay make up for the others.
    pub rescale_rank: bool,
    /// Of whole forwards.
    pub module: f64,
    /// The seed.
    pub seed: u64,
}

impl<T: Scalar> LoKrUpdate<T> {
    /// Everything but the values and the multiplier.
    #[must_use]
    pub fn spec(&self) -> UpdateSpec {
        let Dropout { input, rank, rescale_rank, module, seed, .. } = self.dropout;
        UpdateSpec {
            rank: self.rank(),
            alpha: self.alpha().to_f64_exact(),
            scaling: self.scaling().to_f64_exact(),
            terms: self.terms.iter().map(TermSpec::of).collect(),
            kernel: self.kernel.clone(),
            term_weights: self.terms.iter().any(|term| term.weight.is_some()),
            learned_scalar: self.scalar.is_some(),
            dora: self.dora.as_ref().map(|dora| (dora.axis, dora.strength)),
            dropout: DropoutSpec { input, rank, rescale_rank, module, seed },
        }
    }
}

impl TermSpec {
    fn of<T: Scalar>(term: &Term<T>) -> Self {
        let (a, b) = (term.delta.a(), term.delta.b());
        let form = match &term.form {
            Form::LoKr => TermForm::LoKr,
            Form::Lora => TermForm::Lora,
            Form::Tucker(tucker) => TermForm::Tucker { kernel: tucker.factor.parts().0.shape()[2..].to_vec() },
        };
        Self { form, a: a.dim(), b: b.dim(), a_rank: inner_rank(a), b_rank: inner_rank(b) }
    }

    fn build<T: Scalar>(&self, weight: Option<T>) -> Result<Term<T>> {
        KronShape::new(self.a.0, self.a.1, self.b.0, self.b.1)?;
        match (&self.form, self.b_rank) {
            (TermForm::LoKr, b_rank) => {
                Ok(Term::new(Kron::new(zeros(self.a, self.a_rank)?, zeros(self.b, b_rank)?)?, weight))
            }
            (TermForm::Lora, Some(rank)) if self.a == (1, 1) && self.a_rank.is_none() => {
                Ok(Term::lora(Kron::new(Array2::ones((1, 1)), zeros(self.b, Some(rank))?)?, weight))
            }
            (TermForm::Lora, _) => {
                Err(LayerError::invalid("factors of a LoRA", Shown(self), "a full A of one element and a low-rank B"))
            }
            (TermForm::Tucker { kernel }, Some(rank)) => {
                Term::tucker(zeros(self.a, self.a_rank)?, self.tucker(rank, kernel)?, weight)
            }
            (TermForm::Tucker { .. }, None) => {
                Err(LayerError::invalid("factors in Tucker form", Shown(self), "a low-rank B"))
            }
        }
    }

    /// A second factor in Tucker form.
    fn tucker<T: Scalar>(&self, rank: usize, kernel: &[usize]) -> Result<TuckerFactor<T>> {
        let (p, columns) = self.b;
        let misfit = || LayerError::invalid("factors in Tucker form", Shown(self), "a kernel that divides the columns");
        let values = kernel.iter().try_fold(1usize, |values, &size| values.checked_mul(size));
        let values = values.filter(|&values| values > 0 && columns.is_multiple_of(values)).ok_or_else(misfit)?;
        let core: Array2<T> = memory::zeros("a factor", (rank, rank.checked_mul(values).ok_or_else(misfit)?))?;
        let core = core.into_dyn().into_shape_with_order([&[rank, rank], kernel].concat()).map_err(|_| misfit())?;
        let side = |columns| memory::zeros("a factor", (rank, columns));
        TuckerFactor::new(core, side(p)?, side(columns / values)?)
    }
}

/// The sizes of a product as a message shows them.
struct Shown<'s>(&'s TermSpec);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TermSpec { a, b, a_rank, b_rank, .. } = self.0;
        write!(f, "{a:?} of rank {a_rank:?} and {b:?} of rank {b_rank:?}")
    }
}

impl UpdateSpec {
    /// An update of that kind whose factors and norms are zero, and trained numbers one: to be filled, as by
    /// [`crate::load_values`].
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`], [`LayerError::InvalidRank`], [`LayerError::Shape`] and [`LayerError::Kron`] for
    /// what no update has.
    pub fn build<T: Scalar>(&self) -> Result<LoKrUpdate<T>> {
        if self.terms.is_empty() {
            return Err(LayerError::invalid("number of terms", 0, "at least 1"));
        }
        if self.rank == 0 {
            return Err(LayerError::InvalidRank { rank: 0 });
        }
        let (alpha, scaling) = (T::from_f64_lossy(self.alpha), T::from_f64_lossy(self.scaling));
        check_scaling("alpha", alpha)?;
        check_scaling("scaling", scaling)?;
        let weight = self.term_weights.then(T::one);
        let mut terms: Vec<Term<T>> = Vec::new();
        for term in &self.terms {
            let term: Term<T> = term.build(weight)?;
            let expected = terms.first().map_or(term.delta.dim(), |first| first.delta.dim());
            LayerError::check_shape(TYPE_NAME, "a term", expected, term.delta.dim())?;
            terms.push(term);
        }
        let mut update = LoKrUpdate::assemble(terms, self.rank, alpha, scaling).for_kernel(&self.kernel)?;
        update.scalar = self.learned_scalar.then(|| Learned::new(T::one()));
        let DropoutSpec { input, rank, rescale_rank, module, seed } = self.dropout;
        update.dropout = Dropout { input, rank, rescale_rank, module, seed, ..Dropout::none() };
        update.dropout.check()?;
        let Some((axis, strength)) = self.dora else { return Ok(update) };
        let (out, input) = update.dim();
        let length = if axis == DoraAxis::Output { out } else { input / update.kernel_values() };
        update.with_dora(axis, &Array1::zeros(length), strength)
    }
}

fn zeros<T: Scalar>((rows, cols): (usize, usize), rank: Option<usize>) -> Result<Factor<'static, T>> {
    let zeros = |dim| memory::zeros("a factor", dim);
    match rank {
        None => Ok(zeros((rows, cols))?.into()),
        Some(0) => Err(LayerError::InvalidRank { rank: 0 }),
        Some(rank) => Ok(Factor::low_rank(zeros((rows, rank))?, zeros((rank, cols))?)?),
    }
}
