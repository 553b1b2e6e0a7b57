//! The matrix `K + D` of a system, brought to a scale of about one.

use ndarray::{Array1, Array2};

use super::diagonal::Diagonal;
use super::kron_terms::KronTerms;
use crate::error::{KronError, Result};
use crate::nearest::UnitTerm;
use crate::operator::Kron;
use crate::scalar::Scalar;
use crate::sums::{exponent, times_two_to};

/// `2^−exponent·(K + D)`, ready to be applied again and again.
pub(super) struct System<T: Scalar> {
    terms: Vec<Kron<'static, T>>,
    pub(super) d: Array1<T>,
    /// That of the whole matrix, positive.
    pub(super) diagonal: Array1<T>,
    pub(super) exponent: i64,
}

impl<T: Scalar> System<T> {
    /// For batches of up to `batch` rows; `k` is square.
    ///
    /// # Errors
    /// [`KronError::Length`]; [`KronError::NonFinite`]; [`KronError::NotPositiveDefinite`]
    /// when a value on the diagonal is not positive.
    pub(super) fn new(
        operation: &'static str,
        k: &KronTerms<'_, T>,
        d: &Diagonal<'_, T>,
        batch: usize,
    ) -> Result<Self> {
        let d = d.values(operation, k.nrows())?;
        KronError::check_all_finite(operation, "K", k.count_non_finite())?;
        let terms: Vec<_> = k.pairs().map(|(weight, term)| UnitTerm::new(weight, term.view())).collect();
        let of_d = d.iter().filter_map(|&value| exponent(value)).max();
        let scale = UnitTerm::largest_exponent(&terms).max(of_d).unwrap_or(0);
        let d = d.mapv(|value| times_two_to(value, -scale));
        let scaled = |term: UnitTerm<T>| (term.kron * term.weight.times_two_to(-scale).value()).prepared(batch);
        let terms = terms.into_iter().filter(|term| !term.is_zero).map(scaled).collect::<Result<Vec<_>>>()?;
        let mut diagonal = d.clone();
        for term in &terms {
            diagonal += &term.diag()?;
        }
        if diagonal.iter().any(|&value| value <= T::zero()) {
            return Err(KronError::NotPositiveDefinite { operation, name: "K + D" });
        }
        Ok(Self { terms, d, diagonal, exponent: scale })
    }

    /// The products whose sum is `K` at this scale; none where `K` is zero.
    pub(super) fn terms(&self) -> &[Kron<'static, T>] {
        &self.terms
    }

    /// The matrix times every row.
    pub(super) fn apply(&self, x: &Array2<T>) -> Result<Array2<T>> {
        let mut y = x * &self.d;
        for term in &self.terms {
            term.apply_into(T::one(), x, T::one(), &mut y)?;
        }
        Ok(y)
    }
}
