//! The update: what it holds, what of it can be read and set.

use lokr_core::sizes::lowest_full_rank;
use lokr_core::{Kron, Scalar, memory};
use ndarray::{Array2, ArrayRef2};

use super::checks::{TYPE_NAME, check_factor, check_scaling};
use super::dora::Dora;
use super::dropout::Dropout;
use super::halves::inner_rank;
use super::learned::Learned;
use super::pass::Pass;
use super::term::Term;
use crate::error::{LayerError, Result};

/// What an adapter adds to a weight: `μ·s·σ·Σᵢ wᵢ·(Aᵢ ⊗ Bᵢ)`, without the layer it is added to.
///
/// One term in an ordinary LoKr adapter, and then `s·(A ⊗ B)`. The scaling `s` belongs to the adapter; the multiplier
/// `μ` (1 at first) is how strongly a user applies it and is never saved; the scalar `σ` and the weights `wᵢ` of terms
/// are trained, where the adapter has them ([`LoKrBuilder::learned_scalar`], [`LoKrBuilder::term_weights`]).
///
/// Made by [`LoKrSettings::update`], or from given terms by [`LoKrUpdate::from_terms`]; a [`crate::LoKrAdapter`] puts
/// it on a layer, can hold several, and hands one back when another takes its place.
///
/// [`LoKrBuilder::learned_scalar`]: crate::LoKrBuilder::learned_scalar
/// [`LoKrBuilder::term_weights`]: crate::LoKrBuilder::term_weights
/// [`LoKrSettings::update`]: crate::LoKrSettings::update
///
/// # Examples
/// ```
/// use lokr_core::Kron;
/// use lokr_layers::LoKrUpdate;
/// use ndarray::array;
///
/// let term = Kron::new(array![[1.0, 2.0]], array![[1.0], [3.0]])?; // (2, 2)
/// let mut update = LoKrUpdate::from_terms(vec![term], 0.5)?;
/// assert_eq!(update.weight()?, array![[0.5, 1.0], [1.5, 3.0]]);
/// update.set_multiplier(2.0)?;
/// let mut y = array![[10.0, 20.0]];
/// update.apply_into(&array![[1.0, 1.0]], &mut y)?;
/// assert_eq!(y, array![[13.0, 29.0]]);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct LoKrUpdate<T: Scalar> {
    /// At least one, all of one shape as matrices.
    pub(super) terms: Vec<Term<T>>,
    /// The sizes of a convolution's kernel, whose elements are neighbouring columns; none for a linear layer.
    pub(super) kernel: Vec<usize>,
    rank: usize,
    alpha: T,
    scaling: T,
    multiplier: T,
    pub(super) scalar: Option<Learned<T>>,
    pub(super) dropout: Dropout,
    pub(super) dora: Option<Dora<T>>,
    pub(super) pass: Pass<T>,
    /// Whether the gradients are of the current parameters; else they are memory only.
    pub(super) has_gradients: bool,
}

impl<T: Scalar> LoKrUpdate<T> {
    /// An update of given products and scaling, as read from a file.
    ///
    /// The rank is the inner size of the first `B`, or of its `A`, or where both are full the smallest that makes `B`
    /// full; `alpha` is `scaling·rank`.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] without terms and for a scaling that is not finite, [`LayerError::Shape`] for
    /// terms that do not make matrices of one shape, [`LayerError::NonFinite`], [`LayerError::InvalidRank`] for a
    /// low-rank factor of inner size 0.
    pub fn from_terms(terms: Vec<Kron<'_, T>>, scaling: T) -> Result<Self> {
        let first = terms.first().ok_or_else(|| LayerError::invalid("number of terms", 0, "at least 1"))?;
        for term in &terms {
            LayerError::check_shape(TYPE_NAME, "a term", first.dim(), term.dim())?;
            check_factor("matrix_a", term.a().dim(), term.a())?;
            check_factor("matrix_b", term.b().dim(), term.b())?;
        }
        check_scaling("scaling", scaling)?;
        let rank = inner_rank(first.b()).or(inner_rank(first.a())).unwrap_or(lowest_full_rank(first.b().dim()));
        let alpha = scaling * T::from_usize_lossy(rank);
        let terms = terms.into_iter().map(|term| Term::new(term.into_owned(), None)).collect();
        Ok(Self::assemble(terms, rank, alpha, scaling))
    }

    /// An update of given products with a number in front of each, which are its trained weights, at scaling 1.
    ///
    /// # Errors
    /// As [`LoKrUpdate::from_terms`], and [`LayerError::InvalidSetting`] for a weight that is not finite.
    pub fn from_weighted_terms(terms: Vec<(T, Kron<'_, T>)>) -> Result<Self> {
        terms.iter().try_for_each(|(weight, _)| check_scaling("weight of a term", *weight))?;
        let (weights, terms): (Vec<T>, Vec<_>) = terms.into_iter().unzip();
        let mut update = Self::from_terms(terms, T::one())?;
        for (term, weight) in update.terms.iter_mut().zip(weights) {
            term.weight = Some(Learned::new(weight));
        }
        Ok(update)
    }

    /// Puts together what has been checked.
    pub(super) fn assemble(terms: Vec<Term<T>>, rank: usize, alpha: T, scaling: T) -> Self {
        let (multiplier, dropout, pass) = (T::one(), Dropout::none(), Pass::new());
        let (scalar, dora) = (None, None);
        let kernel = Vec::new();
        Self { terms, kernel, rank, alpha, scaling, multiplier, scalar, dropout, dora, pass, has_gradients: false }
    }

    /// Shape `(out, in)` of the weight it is added to; of a convolution `(out, channels/groups·K)`.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        self.terms[0].delta.dim()
    }

    /// The rank asked for. The factors may be full, and the rank of `A ⊗ B` is `rank(A)·rank(B)`.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Numerator of the scaling it was made with.
    #[must_use]
    pub fn alpha(&self) -> T {
        self.alpha
    }

    /// `s`, which the products are multiplied by: `alpha/rank`, or `alpha/√rank`, until [`LoKrUpdate::set_scaling`].
    #[must_use]
    pub fn scaling(&self) -> T {
        self.scaling
    }

    /// Changes the scaling; zero switches the update off. Gradients are dropped, and a backward needs a new forward.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless it is finite.
    pub fn set_scaling(&mut self, scaling: T) -> Result<()> {
        check_scaling("scaling", scaling)?;
        self.scaling = scaling;
        self.forget();
        Ok(())
    }

    /// `μ`, how strongly it is applied: 1 until [`LoKrUpdate::set_multiplier`], and never saved.
    #[must_use]
    pub fn multiplier(&self) -> T {
        self.multiplier
    }

    /// Changes how strongly it is applied, as [`LoKrUpdate::set_scaling`] does, but not what is saved.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless it is finite.
    pub fn set_multiplier(&mut self, multiplier: T) -> Result<()> {
        check_scaling("multiplier", multiplier)?;
        self.multiplier = multiplier;
        self.forget();
        Ok(())
    }

    /// `σ`, the trained number in front of the products, if it has one.
    #[must_use]
    pub fn scalar(&self) -> Option<T> {
        self.scalar.map(|scalar| scalar.value)
    }

    /// The first product `A ⊗ B (out, in)`, without what it is multiplied by. Mostly the only one.
    #[must_use]
    pub fn delta(&self) -> &Kron<'static, T> {
        &self.terms[0].delta
    }

    /// Every product and the number in front of it, `μ·s·σ·wᵢ`. With weight decomposition the multiplier acts on the
    /// whole weight, and stands in front of no product.
    pub fn terms(&self) -> impl ExactSizeIterator<Item = (T, &Kron<'static, T>)> {
        self.terms.iter().map(|term| (self.strength(term), &term.delta))
    }

    /// [`LoKrUpdate::terms`] without the multiplier, `s·σ·wᵢ`: what a file of several terms holds.
    pub fn unmultiplied_terms(&self) -> impl ExactSizeIterator<Item = (T, &Kron<'static, T>)> {
        let scalar = self.scalar().unwrap_or(T::one());
        self.terms.iter().map(move |term| (self.scaling * scalar * term.weight(), &term.delta))
    }

    /// The products as files hold them: what is trained in front of them is multiplied into `A`, as LyCORIS does with
    /// its scalar, and the scaling stays apart. In memory of their own.
    ///
    /// # Errors
    /// None that the products themselves have not passed.
    pub fn stored_terms(&self) -> Result<Vec<Kron<'static, T>>> {
        let stored = |term: &Term<T>| {
            let factor = self.scalar().unwrap_or(T::one()) * term.weight();
            let (a, b) = term.delta.clone().into_parts();
            Ok(Kron::new(if factor == T::one() { a } else { a * factor }, b)?)
        };
        self.terms.iter().map(stored).collect()
    }

    /// The same update, leaving out in training what `other` leaves out, as far as it can.
    pub(crate) fn with_dropout_of(mut self, other: &Self) -> Self {
        let dropout = other.dropout;
        if self.dora.is_none() || dropout.input == 0.0 && dropout.rank == 0.0 {
            self.dropout = dropout;
        }
        self
    }

    /// What a term is multiplied by.
    pub(super) fn strength(&self, term: &Term<T>) -> T {
        let multiplier = if self.dora.is_some() { T::one() } else { self.multiplier };
        multiplier * self.scaling * self.scalar.map_or(T::one(), |scalar| scalar.value) * term.weight()
    }

    /// Number of trainable values.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        let norms = self.dora.as_ref().map_or(0, |dora| dora.magnitude.len());
        self.terms.iter().map(Term::parameter_count).sum::<usize>() + usize::from(self.scalar.is_some()) + norms
    }

    /// `Y ← Y + X·ΔWᵀ` for `x (batch, in)` and `y (batch, out)`, with nothing left out.
    ///
    /// # Errors
    /// [`LayerError::Kron`] for other shapes; `y` is then untouched.
    pub fn apply_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.terms().try_for_each(|(strength, delta)| Ok(delta.apply_into(strength, x, T::one(), y)?))
    }

    /// `X ← X + Y·ΔW`: the way back of [`LoKrUpdate::apply_into`].
    ///
    /// # Errors
    /// As [`LoKrUpdate::apply_into`].
    pub fn apply_transposed_into(&self, y: &ArrayRef2<T>, x: &mut ArrayRef2<T>) -> Result<()> {
        self.terms().try_for_each(|(strength, delta)| Ok(delta.apply_transposed_into(strength, y, T::one(), x)?))
    }

    /// `ΔW (out, in)` as a matrix of its own: `out·in` values of memory.
    ///
    /// # Errors
    /// [`LayerError::Kron`] where memory is refused.
    pub fn weight(&self) -> Result<Array2<T>> {
        let mut sum = memory::zeros("the update as a matrix", self.dim())?;
        self.add_to(T::one(), &mut sum)?;
        Ok(sum)
    }

    /// `W ← W + sign·ΔW`, in place. What it is multiplied by goes into the smaller factors, so that a product out of
    /// range on the way spoils no result in range.
    pub(crate) fn add_to(&self, sign: T, w: &mut ArrayRef2<T>) -> Result<()> {
        for (strength, delta) in self.terms().filter(|(strength, _)| *strength != T::zero()) {
            delta.scaled(sign * strength).add_to(T::one(), w)?;
        }
        Ok(())
    }

    /// An upper bound of `|ΔW|`'s elements; infinite or NaN where one may be.
    pub(crate) fn magnitude(&self) -> T {
        self.terms().map(|(strength, delta)| delta.scaled(strength).max_norm()).sum()
    }

    /// After a change of what it computes: gradients are dropped, and a backward needs a new forward.
    pub(crate) fn forget(&mut self) {
        self.has_gradients = false;
        self.pass.ready = false;
    }

    /// Drops the gradients; the next backward starts from zero.
    pub(crate) fn clear_gradients(&mut self) {
        self.has_gradients = false;
    }

    /// Whether a training forward leaves out what dropout says.
    pub(crate) fn set_training_mode(&mut self, training: bool) {
        self.dropout.training = training;
    }

    /// Shows the number of training forwards that dropout has drawn for.
    pub(crate) fn visit_random_states(&mut self, prefix: &str, visitor: &mut dyn FnMut(&str, &mut u64)) {
        if self.dropout.may_act() {
            visitor(&format!("{prefix}lokr_dropout"), &mut self.dropout.draws);
        }
    }

    /// Drops what training keeps, and the memory.
    pub(crate) fn reset(&mut self) {
        self.forget();
        self.pass = Pass::new();
        for term in &mut self.terms {
            term.gradients = None;
            term.output.clear();
        }
    }

    /// Every value that has to be finite, with its name for messages.
    ///
    /// # Errors
    /// [`LayerError::NonFinite`] with the first that is not.
    pub(crate) fn check_finite(&self) -> Result<()> {
        let mut result = Ok(());
        self.visit("", &mut |name, values, _| {
            let count = values.iter().filter(|value| !value.is_finite()).count();
            if count > 0 && result.is_ok() {
                let (name, total) = (name.to_owned(), values.len());
                result = Err(LayerError::NamedNonFinite { layer: TYPE_NAME, name, count, total });
            }
        });
        result
    }
}
