//! Factors of norms that do not drift apart, and updates whose norm is limited.

use lokr_core::Scalar;
use ndarray::ArrayViewD;

use super::lokr_update::LoKrUpdate;
use crate::error::{LayerError, Result};

impl<T: Scalar> LoKrUpdate<T> {
    /// Brings the stored matrices of each product to the same norm as far as powers of two can, so that the product
    /// keeps every bit. `(c·A) ⊗ (B/c)` is the same update for all `c`, and training lets `c` drift.
    /// Gradients are dropped, and a backward needs a new forward. Whether anything was changed.
    ///
    /// Left alone are products with a matrix of zeros, and those of which a value would be rounded.
    ///
    /// # Examples
    /// ```
    /// use lokr_core::Kron;
    /// use lokr_layers::LoKrUpdate;
    /// use ndarray::array;
    ///
    /// let term = Kron::new(array![[1024.0, 0.0]], array![[0.25], [0.0]])?;
    /// let mut update = LoKrUpdate::from_terms(vec![term], 1.0)?;
    /// let before = update.weight()?;
    /// assert!(update.balance());
    /// assert_eq!(update.delta().a().to_dense(), array![[16.0, 0.0]]);
    /// assert_eq!((update.weight()?, update.balance()), (before, false));
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn balance(&mut self) -> bool {
        let mut changed = false;
        for term in &mut self.terms {
            let exponents: Vec<_> = term.parts().map(|(_, part)| exponent(&part)).collect();
            let Some(shifts) = shifts(&exponents) else { continue };
            let factors: Vec<T> = shifts.iter().map(|&shift| T::from_f64_lossy(2f64.powi(shift))).collect();
            let exact = term.parts().zip(&factors).all(|((_, part), &factor)| {
                part.iter().all(|&value| value * factor / factor == value && (value * factor).is_finite())
            });
            if exact {
                let mut factors = factors.into_iter();
                term.change_parts(false, |_, mut part, _| {
                    let factor = factors.next().unwrap_or(T::one()); // There is one for each.
                    part.mapv_inplace(|value| value * factor);
                });
                changed = true;
            }
        }
        if changed {
            self.forget();
        }
        changed
    }

    /// Makes the update smaller where `‖ΔW‖_F` is above `limit`, without its multiplier: all stored matrices by equal
    /// shares. What the norm was. LyCORIS's and kohya's "scale weight norms". Where it changes anything, gradients are
    /// dropped, and a backward needs a new forward.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] for a limit that is not positive; as [`LoKrUpdate::frobenius_norm`].
    pub fn limit_norm(&mut self, limit: f64) -> Result<f64> {
        if limit.is_nan() || limit <= 0.0 {
            return Err(LayerError::invalid("limit of an update's norm", limit, "a positive number"));
        }
        let multiplier = self.multiplier().to_f64_exact().abs();
        let unmultiplied = self.dora().is_some() || multiplier == 0.0 || multiplier == 1.0;
        let norm = self.frobenius_norm()? / if unmultiplied { 1.0 } else { multiplier };
        if norm.is_finite() && norm > limit {
            for term in &mut self.terms {
                let count = term.parts().count() as f64;
                let share = T::from_f64_lossy((limit / norm).powf(1.0 / count));
                term.change_parts(false, |_, mut part, _| part.mapv_inplace(|value| value * share));
            }
            self.forget();
        }
        Ok(norm)
    }
}

/// The logarithm to base two of a matrix's norm; `None` for zeros and for what is not finite.
fn exponent<T: Scalar>(matrix: &ArrayViewD<'_, T>) -> Option<f64> {
    let largest = matrix.iter().fold(0.0, |largest: f64, value| largest.max(value.to_f64_exact().abs()));
    let squares: f64 = matrix.iter().map(|value| (value.to_f64_exact() / largest).powi(2)).sum();
    let exponent = largest.log2() + 0.5 * squares.log2();
    exponent.is_finite().then_some(exponent)
}

/// Powers of two that bring all to the mean, and whose sum is zero; `None` where there is nothing to do.
fn shifts(exponents: &[Option<f64>]) -> Option<Vec<i32>> {
    let exponents: Vec<f64> = exponents.iter().copied().collect::<Option<_>>()?;
    let mean = exponents.iter().sum::<f64>() / exponents.len() as f64;
    // To the nearest power, and of two equally near to none: what is balanced stays as it is.
    let nearest = |distance: f64| ((distance.abs() - 0.5).ceil() * distance.signum()) as i32;
    let mut shifts: Vec<i32> = exponents.iter().map(|exponent| nearest(mean - exponent)).collect();
    let (others, last) = shifts.split_at_mut(exponents.len() - 1);
    last.iter_mut().for_each(|last| *last = -others.iter().sum::<i32>());
    shifts.iter().any(|&shift| shift != 0).then_some(shifts)
}
