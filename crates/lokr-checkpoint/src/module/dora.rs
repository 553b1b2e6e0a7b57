//! DoRA: the direction of the adapted weight with stored norms.

use lokr_core::Scalar;
use ndarray::{Array1, ArrayView2, Axis};

use crate::error::{ModuleError, Result};
use crate::file::{FloatType, Tensor, product};

/// What a norm of `dora_scale` belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DoraAxis {
    /// One norm per output row, `dora_scale (out, 1, …)`: LyCORIS since 3.2.
    Output,
    /// One norm per input column, over outputs and kernel, `dora_scale (1, in, 1, …)`.
    Input,
}

/// What a multiplier `μ` does to a DoRA adapter. With `V = W + s·(w1 ⊗ w2)` and `g = dora_scale / (‖V‖ + eps)`:
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DoraStrength {
    /// `W + μ·(V·g − W)`: 0 gives the base weight, as in ComfyUI.
    #[default]
    FromBase,
    /// `V·(1 + μ·(g − 1))`: 0 gives `V`, not `W`. LyCORIS's formula.
    Lycoris,
}

impl DoraAxis {
    /// The axis that a `dora_scale` of this shape means for a weight. Files have no flag for it.
    pub(crate) fn of(module: &str, found: &[usize], weight: &[usize]) -> Result<Self, ModuleError> {
        let (out, input) = (weight[0], weight[1]);
        let error = |problem| {
            let (module, found, weight) = (module.to_owned(), found.to_vec(), weight.to_vec());
            Err(ModuleError::DoraShape { module, found, problem, weight })
        };
        match *found {
            [length] if length == out && length == input => error("could be either axis of"),
            [length] if length == out => Ok(Self::Output),
            [length] if length == input => Ok(Self::Input),
            [length, ref ones @ ..] if length == out && product(ones) == 1 && !ones.is_empty() => Ok(Self::Output),
            [1, length, ref ones @ ..] if length == input && product(ones) == 1 => Ok(Self::Input),
            _ => error("matches neither axis of"),
        }
    }
}

/// `g = dora_scale / (‖V‖ + eps)` along `axis`, for `v (out, in·K)`; norms are summed in f64. `eps` is that of f32, in which
/// LyCORIS keeps `dora_scale` when it trains and when it loads a file of half types; for f64 that of f64.
pub(crate) fn gains<T: Scalar>(
    scale: &Tensor,
    axis: DoraAxis,
    v: &ArrayView2<'_, T>,
    kernel_size: usize,
) -> Result<Array1<T>> {
    Ok(gains_of(scale, &squares(axis, v, kernel_size))?.mapv(T::from_f64_lossy))
}

/// The squares of the norms of `v (out, in·K)` along `axis`.
pub(crate) fn squares<T: Scalar>(axis: DoraAxis, v: &ArrayView2<'_, T>, kernel_size: usize) -> Array1<f64> {
    match axis {
        DoraAxis::Output => v.map_axis(Axis(1), |row| row.iter().map(|x| square(*x)).sum()),
        DoraAxis::Input => {
            let mut squares = Array1::zeros(v.ncols() / kernel_size);
            for row in v.rows() {
                for (sum, piece) in squares.iter_mut().zip(row.exact_chunks(kernel_size)) {
                    *sum += piece.iter().map(|x| square(*x)).sum::<f64>();
                }
            }
            squares
        }
    }
}

/// [`gains`] from the squares of the norms.
pub(crate) fn gains_of(scale: &Tensor, squares: &Array1<f64>) -> Result<Array1<f64>> {
    let eps = scale.float_type("dora_scale")?.wider(FloatType::F32).epsilon();
    let scale = scale.to_array::<f64>("dora_scale")?;
    Ok(scale.iter().zip(squares).map(|(g, square)| g / (square.sqrt() + eps)).collect())
}

fn square<T: Scalar>(x: T) -> f64 {
    let x = x.to_f64_exact();
    x * x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_says_the_axis() {
        let of = |found: &[usize], weight: &[usize]| DoraAxis::of("m", found, weight).ok();
        assert_eq!(of(&[3, 1], &[3, 5]), Some(DoraAxis::Output));
        assert_eq!(of(&[1, 5], &[3, 5]), Some(DoraAxis::Input));
        assert_eq!(of(&[3, 1, 1, 1], &[3, 5, 2, 2]), Some(DoraAxis::Output));
        assert_eq!(of(&[1, 5, 1, 1], &[3, 5, 2, 2]), Some(DoraAxis::Input));
        assert_eq!(of(&[4, 1], &[4, 4]), Some(DoraAxis::Output));
        assert_eq!(of(&[1, 4], &[4, 4]), Some(DoraAxis::Input));
        assert_eq!(of(&[3], &[3, 5]), Some(DoraAxis::Output));
        assert_eq!(of(&[5], &[3, 5]), Some(DoraAxis::Input));
        assert_eq!(of(&[1, 5], &[1, 5]), Some(DoraAxis::Input));
        assert_eq!(of(&[1, 1], &[1, 5]), Some(DoraAxis::Output));
    }

    #[test]
    fn a_shape_that_does_not_say_is_an_error() {
        for (found, weight) in [(&[4][..], &[4, 4][..]), (&[3, 5], &[3, 5]), (&[5, 1], &[3, 5]), (&[], &[3, 5])] {
            let error = DoraAxis::of("m", found, weight).unwrap_err();
            assert!(matches!(error, ModuleError::DoraShape { .. }), "{found:?} {weight:?}");
        }
    }
}
