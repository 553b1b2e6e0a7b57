//! LoKr as LoRA, and LoRA as LoKr.
//!
//! The singular values of `A ⊗ B` are the products of those of `A` and of `B`, and its singular vectors Kronecker
//! products of theirs: so the best LoRA of a rank, and how far it is off, follow from the small factors alone. Of a sum
//! of terms the halves stand side by side, and the best of a rank comes from their singular values. The way back is the
//! nearest Kronecker product (Van Loan & Pitsianis 1993).

use lokr_core::{Factor, Kron, KronShape, NearestOptions, Scalar, memory, nearest_kron};
use ndarray::{Array2, Axis, Slice};

use super::lokr_update::LoKrUpdate;
use super::term::{Form, Term};
use crate::error::{LayerError, Result};

/// An update as the two matrices of a LoRA: [`LoKrUpdate::lora_halves`].
#[derive(Debug, Clone, PartialEq)]
pub struct LoraHalves<T> {
    /// `(out, r)`, PEFT's `lora_B`.
    pub left: Array2<T>,
    /// `(r, in)`, PEFT's `lora_A`.
    pub right: Array2<T>,
    /// `‖ΔW‖_F` of the update.
    pub norm: f64,
    /// `‖ΔW − left·right‖_F / ‖ΔW‖_F`; 0 for an update that is zero.
    pub error: f64,
}

impl<T: Scalar> LoKrUpdate<T> {
    /// Whether it is plain LoRA: see [`LoKrBuilder::lora`](crate::LoKrBuilder::lora).
    #[must_use]
    pub fn is_lora(&self) -> bool {
        self.terms.iter().all(|term| matches!(term.form, Form::Lora))
    }

    /// The singular values of `ΔW`, descending, as many as the factors allow: `r` of a LoRA is enough for those that
    /// are not zero.
    ///
    /// # Cost
    /// Decompositions of the factors alone for one term; for several, of matrices `(out, R)` and `(R, in)` with the
    /// sum `R` of their ranks.
    /// # Errors
    /// [`LayerError::InvalidSetting`] for an update that decomposes the weight; [`LayerError::Kron`] for values that
    /// are not finite and where memory is refused.
    pub fn singular_values(&self) -> Result<Vec<f64>> {
        self.refuse_dora("decomposed")?;
        if self.terms.len() > 1 {
            let (left, right) = self.exact_halves()?;
            let svd = as_product(left, right)?.svd()?;
            return Ok(svd.values().iter().map(|value| value.to_f64_exact()).collect());
        }
        let (strength, delta) = (self.strength(&self.terms[0]).to_f64_exact().abs(), self.delta());
        Ok(delta.svd()?.values().iter().map(|value| strength * value.to_f64_exact()).collect())
    }

    /// The relative error `‖ΔW − LoRA‖_F / ‖ΔW‖_F` of the best LoRA of this rank, known before it is made:
    /// `√(Σ_{i>rank} σᵢ²/Σ σᵢ²)`.
    ///
    /// # Errors
    /// As [`LoKrUpdate::singular_values`].
    pub fn lora_error(&self, rank: usize) -> Result<f64> {
        Ok(tail(&self.singular_values()?, rank))
    }

    /// The smallest rank of a LoRA whose relative error is at most `tolerance`; 0 for an update that is zero.
    ///
    /// # Errors
    /// As [`LoKrUpdate::singular_values`].
    pub fn lora_rank(&self, tolerance: f64) -> Result<usize> {
        let values = self.singular_values()?;
        Ok((0..values.len()).find(|&rank| tail(&values, rank) <= tolerance).unwrap_or(values.len()))
    }

    /// The two matrices of the LoRA of this rank that is nearest to the update, multiplier and all. Where the rank is
    /// what the factors' shapes allow, or more, it is the update itself, of that rank and without a decomposition.
    ///
    /// # Errors
    /// As [`LoKrUpdate::singular_values`]; [`LayerError::InvalidRank`] for rank 0.
    pub fn lora_halves(&self, rank: usize) -> Result<LoraHalves<T>> {
        if rank == 0 {
            return Err(LayerError::InvalidRank { rank });
        }
        self.refuse_dora("made a LoRA")?;
        let norm = self.frobenius_norm()?;
        let bound: usize = self.terms.iter().map(|term| bound(&term.delta)).sum();
        if rank >= bound {
            let (left, right) = self.exact_halves()?;
            return Ok(LoraHalves { left, right, norm, error: 0.0 });
        }
        let (svd, strength) = match self.terms.as_slice() {
            [term] => (term.delta.svd()?, self.strength(term)),
            _ => {
                let (left, right) = self.exact_halves()?;
                (as_product(left, right)?.svd()?, T::one())
            }
        };
        let magnitude = strength.to_f64_exact().abs();
        let values: Vec<f64> = svd.values().iter().map(|value| magnitude * value.to_f64_exact()).collect();
        let (left, right) = svd.low_rank(rank.min(values.len()))?;
        let root = strength.abs().sqrt();
        Ok(LoraHalves {
            left: left * (root * strength.signum()),
            right: right * root,
            norm,
            error: tail(&values, rank),
        })
    }

    /// The LoRA of this rank that is nearest to the update, as an update of scaling 1, and its relative error, which
    /// [`LoKrUpdate::lora_error`] has known before.
    ///
    /// # Errors
    /// As [`LoKrUpdate::lora_halves`].
    /// # Examples
    /// ```
    /// use lokr_layers::{LoKrInit, LoKrSettings};
    ///
    /// // (3, 3) ⊗ (4, 2)·(2, 6)
    /// let update = LoKrSettings::<f64>::new().rank(2).init(LoKrInit::Random).update((12, 18))?;
    /// let (exact, error) = update.to_lora(6)?; // 3·2 is its rank
    /// assert!(exact.is_lora() && error == 0.0);
    /// assert_eq!(exact.parameter_count(), 6 * (12 + 18));
    /// let (smaller, error) = update.to_lora(4)?;
    /// assert_eq!(error, update.lora_error(4)?);
    /// let difference = smaller.weight()? - update.weight()?;
    /// let norm = difference.iter().map(|d| d * d).sum::<f64>().sqrt();
    /// assert!((norm - error * update.frobenius_norm()?).abs() < 1e-12);
    ///
    /// let (back, error) = exact.to_lokr((3, 3), (4, 6), 1)?;
    /// assert!(error < 1e-7 && back.terms().len() == 1);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn to_lora(&self, rank: usize) -> Result<(Self, f64)> {
        let LoraHalves { left, right, error, .. } = self.lora_halves(rank)?;
        let rank = left.ncols();
        let term = Term::lora(as_product(left, right)?, None);
        let update = Self::assemble(vec![term], rank, T::from_usize_lossy(rank), T::one());
        Ok((update.for_kernel(&self.kernel)?, error))
    }

    /// The sum of so many products `A (m, n)`, `B (p, q)` that is nearest to the update, a LoRA or another, with full
    /// factors and scaling 1, and the relative error `‖ΔW − result‖_F / ‖ΔW‖_F`. Of a convolution `q` counts channels,
    /// and `B` has the kernel besides. A start with low-rank factors: [`LoKrBuilder::nearest_to`] of
    /// [`LoKrUpdate::weight`].
    ///
    /// [`LoKrBuilder::nearest_to`]: crate::LoKrBuilder::nearest_to
    ///
    /// # Cost
    /// `ΔW` as a matrix, and the passes over it of [`nearest_kron`].
    /// # Errors
    /// [`LayerError::InvalidSetting`] for an update that decomposes the weight; [`LayerError::FactorShapes`] for
    /// shapes that do not make its weight; those of [`nearest_kron`].
    pub fn to_lokr(&self, (m, n): (usize, usize), (p, q): (usize, usize), terms: usize) -> Result<(Self, f64)> {
        self.refuse_dora("made a LoKr")?;
        let (shape, weight) = (KronShape::new(m, n, p, q.saturating_mul(self.kernel_values()))?, self.dim());
        if shape.dim() != weight {
            let KronShape { m, n, p, q } = shape;
            return Err(LayerError::FactorShapes { m, n, p, q, weight });
        }
        let nearest = nearest_kron(&self.weight()?, shape, terms, &NearestOptions::default())?;
        let update = Self::from_terms(nearest.terms, T::one())?.for_kernel(&self.kernel)?;
        Ok((update, (1.0 - nearest.energy).max(0.0).sqrt()))
    }

    /// Matrices whose product is `ΔW`, with the inner size that the factors' shapes bound. With `A = A₁·A₂` and
    /// `B = B₁·B₂`, as they are held or with an identity, `A ⊗ B = (A₁ ⊗ B₁)·(A₂ ⊗ B₂)`.
    fn exact_halves(&self) -> Result<(Array2<T>, Array2<T>)> {
        let (out, input) = self.dim();
        let total = self.terms.iter().map(|term| bound(&term.delta)).sum();
        let mut left = memory::zeros("the left half of a LoRA", (out, total))?;
        let mut right = memory::zeros("the right half of a LoRA", (total, input))?;
        let mut first = 0;
        for (strength, delta) in self.terms() {
            let place = Slice::from(first..first + bound(delta));
            let ((a_left, a_right), (b_left, b_right)) = (split(delta.a()), split(delta.b()));
            Kron::new(a_left, b_left)?.add_to(strength, &mut left.slice_axis_mut(Axis(1), place))?;
            Kron::new(a_right, b_right)?.add_to(T::one(), &mut right.slice_axis_mut(Axis(0), place))?;
            first += bound(delta);
        }
        Ok((left, right))
    }
}

/// What the rank of a product is at most, by the shapes of its factors.
fn bound<T: Scalar>(delta: &Kron<'_, T>) -> usize {
    delta.a().rank_bound() * delta.b().rank_bound()
}

/// `1 ⊗ left·right`.
fn as_product<T: Scalar>(left: Array2<T>, right: Array2<T>) -> Result<Kron<'static, T>> {
    Ok(Kron::new(Array2::ones((1, 1)), Factor::low_rank(left, right)?)?)
}

/// Two matrices whose product the factor is, with the smallest inner size that its shape allows.
fn split<T: Scalar>(factor: &Factor<'_, T>) -> (Array2<T>, Array2<T>) {
    let (rows, columns) = factor.dim();
    match factor {
        Factor::LowRank(low) if low.rank() < rows.min(columns) => (low.left().to_owned(), low.right().to_owned()),
        _ if rows <= columns => (Array2::eye(rows), factor.to_dense()),
        _ => (factor.to_dense(), Array2::eye(columns)),
    }
}

/// The share of a norm that the singular values behind the first `rank` have.
fn tail(values: &[f64], rank: usize) -> f64 {
    let largest = values.first().copied().filter(|&largest| largest > 0.0).unwrap_or(1.0);
    let squares = |values: &[f64]| values.iter().rev().map(|value| (value / largest).powi(2)).sum::<f64>();
    let all = squares(values);
    if all > 0.0 { (squares(values.get(rank..).unwrap_or_default()) / all).sqrt() } else { 0.0 }
}
