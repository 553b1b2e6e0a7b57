//! DoRA: the direction of the adapted weight with stored norms.

use lokr_core::Scalar;
use lokr_layers::{DoraAxis, DoraStrength};
use ndarray::{Array1, ArrayView2, ArrayViewMut2, Axis};

use crate::error::{ModuleError, Result};
use crate::file::{FloatType, Tensor, product};

/// The axis that a `dora_scale` of this shape means for a weight. Files have no flag for it.
pub(crate) fn dora_axis(module: &str, found: &[usize], weight: &[usize]) -> Result<DoraAxis, ModuleError> {
    let (out, input) = (weight[0], weight[1]);
    let error = |problem| {
        let (module, found, weight) = (module.to_owned(), found.to_vec(), weight.to_vec());
        Err(ModuleError::DoraShape { module, found, problem, weight })
    };
    match *found {
        [length] if length == out && length == input => error("could be either axis of"),
        [length] if length == out => Ok(DoraAxis::Output),
        [length] if length == input => Ok(DoraAxis::Input),
        [length, ref ones @ ..] if length == out && product(ones) == 1 && !ones.is_empty() => Ok(DoraAxis::Output),
        [1, length, ref ones @ ..] if length == input && product(ones) == 1 => Ok(DoraAxis::Input),
        _ => error("matches neither axis of"),
    }
}

/// Whether the formula needs the base weight at multiplier `mu`.
pub(crate) fn needs_base(strength: DoraStrength, mu: f64) -> bool {
    strength == DoraStrength::FromBase && mu != 1.0
}

/// What a value of `V` is multiplied by, at multiplier `mu` and gain `g`.
fn factor<T: Scalar>(strength: DoraStrength, mu: T, g: T) -> T {
    match strength {
        DoraStrength::FromBase => g,
        DoraStrength::Lycoris => T::one() + mu * (g - T::one()),
    }
}

/// DoRA on one weight. Its gains are computed in `G`.
#[derive(Debug)]
pub(crate) struct Dora<G = f64> {
    pub(crate) axis: DoraAxis,
    /// `g`, along the axis.
    pub(crate) gains: Array1<G>,
    pub(crate) strength: DoraStrength,
}

impl<G: Scalar> Dora<G> {
    /// Makes of `V` the weight at multiplier `mu`, on the rows from `first` on; `kernel` is the number of the kernel's
    /// elements. `base` has the rows of the base weight where [`needs_base`] says so.
    pub(crate) fn apply<T: Scalar>(
        &self,
        v: &mut ArrayViewMut2<'_, T>,
        base: Option<&ArrayView2<'_, T>>,
        first: usize,
        mu: G,
        kernel: usize,
    ) {
        let times = |g: G| T::from_f64_lossy(factor(self.strength, mu, g).to_f64_exact());
        match self.axis {
            DoraAxis::Output => {
                for (mut row, &g) in v.rows_mut().into_iter().zip(self.gains.iter().skip(first)) {
                    row *= times(g);
                }
            }
            DoraAxis::Input => {
                for mut row in v.rows_mut() {
                    for (mut piece, &g) in row.exact_chunks_mut(kernel).into_iter().zip(&self.gains) {
                        piece *= times(g);
                    }
                }
            }
        }
        if let Some(base) = base {
            let mu = T::from_f64_lossy(mu.to_f64_exact());
            v.zip_mut_with(base, |v, &base| *v = base + mu * (*v - base));
        }
    }
}

/// `g = dora_scale / (‖V‖ + eps)` from the squares of the norms. `eps` is that of f32, in which LyCORIS keeps
/// `dora_scale` when it trains and when it loads a file of half types; for f64 that of f64.
pub(crate) fn gains(dora_scale: &Tensor, squared_norms: &Array1<f64>) -> Result<Array1<f64>> {
    let eps = dora_scale.float_type("dora_scale")?.wider(FloatType::F32).epsilon();
    let dora_scale = dora_scale.to_array::<f64>("dora_scale")?;
    Ok(dora_scale.iter().zip(squared_norms).map(|(g, square)| g / (square.sqrt() + eps)).collect())
}

/// The squares of the norms of `v (out, in·K)` along `axis`, summed in f64.
pub(crate) fn squared_norms<T: Scalar>(axis: DoraAxis, v: &ArrayView2<'_, T>, kernel: usize) -> Array1<f64> {
    match axis {
        DoraAxis::Output => v.map_axis(Axis(1), |row| row.iter().map(|x| square(*x)).sum()),
        DoraAxis::Input => {
            let mut squares = Array1::zeros(v.ncols() / kernel);
            for row in v.rows() {
                for (sum, piece) in squares.iter_mut().zip(row.exact_chunks(kernel)) {
                    *sum += piece.iter().map(|x| square(*x)).sum::<f64>();
                }
            }
            squares
        }
    }
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
        let of = |found: &[usize], weight: &[usize]| dora_axis("m", found, weight).ok();
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
            let error = dora_axis("m", found, weight).unwrap_err();
            assert!(matches!(error, ModuleError::DoraShape { .. }), "{found:?} {weight:?}");
        }
    }
}
