//! Preconditioners made ready for a system.

use ndarray::{Array1, Array2};

use super::cg_options::Preconditioner;
use super::kron_terms::KronTerms;
use super::system::System;
use crate::decompose::Symmetry;
use crate::error::{KronError, Result};
use crate::nearest::{UnitTerm, nearest_to_sum};
use crate::operator::Kron;
use crate::scalar::Scalar;
use crate::sums::times_two_to;

/// `M⁻¹` of a preconditioner `M`, for a system at its own scale.
pub(super) enum Inverse<T: Scalar> {
    Identity,
    /// The reciprocals of the diagonal.
    Diagonal(Array1<T>),
    /// `(Q_A ⊗ Q_B)·Λ⁻¹·(Q_A ⊗ Q_B)ᵀ`.
    Eigen {
        vectors: Box<Kron<'static, T>>,
        values: Array1<T>,
    },
}

impl<T: Scalar> Inverse<T> {
    /// # Errors
    /// [`KronError::NotSquare`], [`KronError::NotSymmetric`] and [`KronError::NonFinite`] for factors of a
    /// preconditioner; [`KronError::NotPositiveDefinite`].
    pub(super) fn new(operation: &'static str, of: &Preconditioner<'_, T>, system: &System<T>) -> Result<Self> {
        match of {
            Preconditioner::None => Ok(Self::Identity),
            Preconditioner::Diagonal => {
                let one = T::one();
                Ok(Self::Diagonal(system.diagonal.mapv(|value| one / value.max(T::min_positive_value()))))
            }
            Preconditioner::Nearest => match nearest(system.terms())? {
                Some(kron) => Self::eigen(operation, &kron, 0, Symmetry::Average, system),
                None => Ok(Self::Identity),
            },
            Preconditioner::Kron(kron) => {
                let unit = UnitTerm::new(T::one(), kron.view());
                let kron = unit.kron * unit.weight.times_two_to(-unit.weight.exponent()).value();
                let exponent = unit.weight.exponent() - system.exponent;
                Self::eigen(operation, &kron, exponent, Symmetry::Rounding, system)
            }
        }
    }

    /// Of `2^exponent·kron` plus the mean of `D`.
    fn eigen(
        operation: &'static str,
        kron: &Kron<'_, T>,
        exponent: i64,
        symmetry: Symmetry<T>,
        system: &System<T>,
    ) -> Result<Self> {
        KronError::check_square(operation, "A of the preconditioner", kron.a().dim())?;
        KronError::check_square(operation, "B of the preconditioner", kron.b().dim())?;
        let eigen = kron.symmetric_eigen_with(symmetry)?;
        let mean = system.d.sum() / T::from_usize_lossy(system.d.len());
        let (size, mut values) = (kron.shape().p, Array1::zeros(system.d.len()));
        for (&value, &(i, j)) in eigen.values().iter().zip(eigen.pairs()) {
            values[i * size + j] = times_two_to(value, exponent) + mean;
        }
        let largest = values.iter().copied().fold(T::zero(), T::max);
        if largest <= T::zero() || !largest.is_finite() {
            return Err(KronError::NotPositiveDefinite { operation, name: "the preconditioner" });
        }
        // Values that are zero or less by rounding, or because the product is only near, are lifted.
        let least = (T::epsilon() * largest).max(T::min_positive_value());
        values.mapv_inplace(|value| value.max(least));
        Ok(Self::Eigen { vectors: Box::new(eigen.vectors().clone()), values })
    }

    /// `M⁻¹·r` for every row.
    pub(super) fn apply(&self, r: &Array2<T>) -> Result<Array2<T>> {
        match self {
            Self::Identity => Ok(r.clone()),
            Self::Diagonal(reciprocals) => Ok(r * reciprocals),
            Self::Eigen { vectors, values } => {
                let mut z = vectors.apply_transposed(r)?;
                z /= values;
                vectors.apply(&z)
            }
        }
    }
}

/// The product nearest to those of the terms that split alike and have together the largest norms.
fn nearest<T: Scalar>(terms: &[Kron<'static, T>]) -> Result<Option<Kron<'static, T>>> {
    let Ok(sum) = KronTerms::new(terms.iter().map(|term| (T::one(), term.view()))) else { return Ok(None) };
    let norms = |split: &[(T, &Kron<'_, T>)]| split.iter().map(|(_, term)| term.frobenius_norm()).sum::<T>();
    let splits = sum.splits().into_iter().map(|split| (norms(&split), split));
    // The first of equals.
    let largest = splits.reduce(|most, other| if other.0 > most.0 { other } else { most });
    match largest {
        Some((_, split)) if split.len() > 1 => Ok(nearest_to_sum(&split, 1)?.terms.into_iter().next()),
        Some((_, split)) => Ok(split.first().map(|(_, term)| (*term).clone().into_owned())),
        None => Ok(None),
    }
}
