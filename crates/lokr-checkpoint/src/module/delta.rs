//! From factors to weights.

use lokr_core::{Kron, Scalar};
use lokr_layers::DoraStrength;
use ndarray::{ArrayD, ArrayRef, Axis, Dimension, IxDyn};

use super::dora::{Dora, gains, needs_base, squared_norms};
use super::factor::W2;
use super::module::{Layout, Module};
use super::scale::ScaleRule;
use crate::error::{ModuleError, Result};
use crate::file::{product, rows, rows_mut};

/// How strongly an adapter is applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strength {
    /// The multiplier `μ`: 1 is the adapter as trained, 0 the base.
    pub multiplier: f64,
    /// Which scale stands before the product.
    pub scale: ScaleRule,
    /// What the multiplier does to a DoRA adapter.
    pub dora: DoraStrength,
}

impl Default for Strength {
    fn default() -> Self {
        Self { multiplier: 1.0, scale: ScaleRule::default(), dora: DoraStrength::default() }
    }
}

impl Module {
    /// The lazy product `w1 ⊗ w2` without scale, `(m·p, n·q·K)`: the weight's change with its kernel axes flattened.
    ///
    /// # Errors
    /// [`ModuleError::NotKronecker`]; [`CheckpointError::Kron`](crate::CheckpointError::Kron) when the sizes overflow.
    pub fn kron<T: Scalar>(&self) -> Result<Kron<'static, T>> {
        if !self.is_kronecker() {
            return Err(self.not_kronecker().into());
        }
        Ok(Kron::new(self.w1().to_factor::<T>()?, self.w2().to_factor::<T>()?)?)
    }

    /// The change `s·(w1 ⊗ w2)` as an array of the weight's shape, without DoRA.
    ///
    /// # Errors
    /// Those of [`Module::check_weight`] and [`Module::kron`].
    pub fn delta<T: Scalar>(&self, weight: &[usize], s: f64) -> Result<ArrayD<T>> {
        self.check_weight(weight)?;
        let mut delta = ArrayD::zeros(IxDyn(weight));
        if let Some(values) = delta.as_slice_mut() {
            self.add_delta(T::from_f64_lossy(s), values, weight)?;
        }
        Ok(delta)
    }

    /// The merge, in place: `W ← W + μ·s·(w1 ⊗ w2)`, or with DoRA the formula of [`DoraStrength`].
    ///
    /// # Shapes
    /// `weight`: `(out, in)` or `(out, in, kernel…)`, any strides; those that are not row-major are copied and back.
    /// # Cost
    /// One multiplication and one addition per element, on all threads; DoRA takes two more passes, and where `μ ≠ 1` a
    /// copy of the weight under [`DoraStrength::FromBase`].
    /// # Errors
    /// Those of [`Module::check_weight`], [`Module::scale_by`] and [`Module::kron`]; the weight is then untouched.
    /// # Examples
    /// ```
    /// use lokr_checkpoint::{FloatType, Module, Strength, Tensor, W1, W2};
    /// use ndarray::array;
    ///
    /// let w1 = W1::Full(Tensor::from_array(&array![[1.0, 2.0]], FloatType::F32));
    /// let w2 = W2::Full(Tensor::from_array(&array![[1.0], [3.0]], FloatType::F32));
    /// let module = Module::new("layer", w1, w2, 0.5)?;
    /// let mut weight = array![[1.0f32, 1.0], [1.0, 1.0]];
    /// module.merge_into(&mut weight, &Strength { multiplier: 2.0, ..Strength::default() })?;
    /// assert_eq!(weight, array![[2.0, 3.0], [4.0, 7.0]]);
    /// # Ok::<(), lokr_checkpoint::CheckpointError>(())
    /// ```
    pub fn merge_into<T: Scalar, D: Dimension>(&self, weight: &mut ArrayRef<T, D>, strength: &Strength) -> Result<()> {
        let shape = weight.shape().to_vec();
        self.check_weight(&shape)?;
        let s = self.scale_by(strength.scale)?;
        if let Some(values) = weight.as_slice_mut() {
            return self.merge_slice(values, &shape, s, strength);
        }
        let mut copy: Vec<T> = weight.iter().copied().collect();
        self.merge_slice(&mut copy, &shape, s, strength)?;
        weight.iter_mut().zip(copy).for_each(|(w, merged)| *w = merged);
        Ok(())
    }

    fn merge_slice<T: Scalar>(&self, w: &mut [T], shape: &[usize], s: f64, strength: &Strength) -> Result<()> {
        let (Some(axis), Some(dora_scale)) = (self.dora_axis(shape)?, self.dora_scale()) else {
            return self.add_delta(T::from_f64_lossy(strength.multiplier * s), w, shape);
        };
        let base = needs_base(strength.dora, strength.multiplier).then(|| w.to_vec());
        self.add_delta(T::from_f64_lossy(s), w, shape)?;
        let kernel = product(&shape[2..]);
        let columns = shape[1] * kernel;
        let gains = gains(dora_scale, &squared_norms(axis, &rows(w, columns), kernel))?.mapv(T::from_f64_lossy);
        // Without the base, at μ = 1, both formulas are `V·g`; in this type it has always been computed as LyCORIS's.
        let formula = if base.is_some() { strength.dora } else { DoraStrength::Lycoris };
        let base = base.as_ref().map(|base| rows(base, columns));
        let mu = T::from_f64_lossy(strength.multiplier);
        Dora { axis, gains, strength: formula }.apply(&mut rows_mut(w, columns), base.as_ref(), 0, mu, kernel);
        Ok(())
    }

    /// `w ← w + s·ΔW` on the row-major values of a weight that fits.
    fn add_delta<T: Scalar>(&self, s: T, w: &mut [T], shape: &[usize]) -> Result<()> {
        let columns = product(&shape[1..]);
        match (self.layout(), self.w2()) {
            (Layout::PeftConv1d, W2::Full(w2)) => {
                let w2 = w2.to_array::<T>("lokr_w2")?;
                let (a, (m, _)) = (self.w1().to_factor::<T>()?, self.w1().dim());
                let (q, k) = (w2.shape()[1], w2.shape()[2]);
                // The array T of `Layout::PeftConv1d` is, for each row of w2, the Kronecker product with that row.
                let mut grid = rows_mut(w, self.w1().dim().1 * k);
                for (w2_row, mut rows) in w2.axis_iter(Axis(0)).zip(grid.axis_chunks_iter_mut(Axis(0), m * q)) {
                    let b = w2_row.into_shape_with_order((q, k)).map_err(|_| self.not_kronecker())?;
                    Kron::new(a.view(), b)?.add_to(s, &mut rows)?;
                }
                Ok(())
            }
            _ => Ok(self.kron::<T>()?.add_to(s, &mut rows_mut(w, columns))?),
        }
    }

    pub(super) fn not_kronecker(&self) -> ModuleError {
        ModuleError::NotKronecker { module: self.name().to_owned() }
    }
}
