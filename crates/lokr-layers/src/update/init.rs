//! How the factors of a new adapter start.

use lokr_core::{Factor, Scalar, memory};
use ndarray::{Array2, ArrayD, IxDyn};
use ndarray_rand::rand::Rng;
use ndarray_rand::rand_distr::{Distribution, StandardNormal};

use super::tucker::TuckerFactor;
use crate::error::Result;

/// What a new adapter's factors hold. `Gaussian`, `Lycoris` and `Peft` make `A ⊗ B` exactly zero, so that the adapter
/// changes nothing until it is trained, while the gradient of the zero part is not zero.
///
/// *Gaussian* is normal with standard deviation `1/√columns`; *Kaiming* is uniform in `±1/√columns`, which is what
/// Kaiming's rule with `a = √5` gives.
///
/// | scheme | `A` | `A_a`, `A_b` | `B` | `B_a`, `B_b` |
/// |---|---|---|---|---|
/// | `Gaussian` | Gaussian | Gaussian, Gaussian | 0 | Gaussian, 0 |
/// | `Lycoris` | Kaiming | Kaiming, Kaiming | 0 | Kaiming, 0 |
/// | `Peft` | 0 | 0, Kaiming | Kaiming | Kaiming, Kaiming |
/// | `Random` | Kaiming | Kaiming, Kaiming | Kaiming | Kaiming, Kaiming |
///
/// With a scalar that is trained and starts at 0 ([`LoKrBuilder::learned_scalar`](crate::LoKrBuilder::learned_scalar))
/// nothing need be zero, and what stands as 0 here is drawn as its row draws the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LoKrInit {
    /// `A` Gaussian, `B` zero: the default.
    #[default]
    Gaussian,
    /// As LyCORIS starts, and PEFT with `init_weights="lycoris"`: `A` Kaiming, `B` zero.
    Lycoris,
    /// As PEFT starts: `A` zero, `B` Kaiming.
    Peft,
    /// Nothing zero, as PEFT with `init_weights=False`: for tests and experiments.
    Random,
    /// The products nearest to the base's own weight, which are taken out of it: `W` becomes `W − s·Σ Aᵢ ⊗ Bᵢ`, so that
    /// the start changes nothing up to rounding, and training moves the weight's principal part (SoKA, arXiv
    /// 2506.15251, after PiSSA, arXiv 2404.02948). Needs a base with a weight matrix and an alpha that is not zero. The
    /// adapter belongs to the base that is left, not to the one it was made from.
    Principal,
}

/// What one stored matrix is filled with.
#[derive(Clone, Copy)]
enum Fill {
    Zero,
    Gaussian,
    Kaiming,
}

/// Fills of one factor: held full, or as its left and right half.
struct Fills {
    full: Fill,
    left: Fill,
    right: Fill,
}

impl LoKrInit {
    /// The fills of `A` and of `B`: the table above.
    const fn fills(self) -> (Fills, Fills) {
        use Fill::{Gaussian, Kaiming, Zero};
        match self {
            Self::Gaussian => (Fills::all(Gaussian), Fills { full: Zero, left: Gaussian, right: Zero }),
            Self::Lycoris => (Fills::all(Kaiming), Fills { full: Zero, left: Kaiming, right: Zero }),
            Self::Peft => (Fills { full: Zero, left: Zero, right: Kaiming }, Fills::all(Kaiming)),
            Self::Random | Self::Principal => (Fills::all(Kaiming), Fills::all(Kaiming)),
        }
    }

    /// What the other parts are drawn as where nothing need be zero.
    const fn drawn(self) -> Fill {
        if matches!(self, Self::Gaussian) { Fill::Gaussian } else { Fill::Kaiming }
    }

    /// A new `A` of the given shape, low-rank if `rank` is given; `no_zeros` where nothing need be zero.
    pub(super) fn a<T: Scalar>(
        self,
        dim: (usize, usize),
        rank: Option<usize>,
        no_zeros: bool,
        rng: &mut impl Rng,
    ) -> Result<Factor<'static, T>> {
        let fills = if no_zeros { Fills::all(self.drawn()) } else { self.fills().0 };
        fills.factor(dim, rank, rng)
    }

    /// A new `B`, as [`LoKrInit::a`] makes an `A`.
    pub(super) fn b<T: Scalar>(
        self,
        dim: (usize, usize),
        rank: Option<usize>,
        no_zeros: bool,
        rng: &mut impl Rng,
    ) -> Result<Factor<'static, T>> {
        let fills = if no_zeros { Fills::all(self.drawn()) } else { self.fills().1 };
        fills.factor(dim, rank, rng)
    }
}

impl LoKrInit {
    /// The low-rank factor of a new LoRA, `(out, rank)·(rank, in)`: the left half starts at zero, unless nothing need
    /// be.
    pub(super) fn lora<T: Scalar>(
        self,
        rank: usize,
        dim: (usize, usize),
        no_zeros: bool,
        rng: &mut impl Rng,
    ) -> Result<Factor<'static, T>> {
        let right = self.drawn();
        let left = if no_zeros || matches!(self, Self::Random) { right } else { Fill::Zero };
        Fills { full: right, left, right }.factor(dim, Some(rank), rng)
    }

    /// A new `B (p, q·K)` in Tucker form: `a` starts as the left half of a low-rank one does, `b` as the right half,
    /// and the core as what is not zero.
    pub(super) fn tucker<T: Scalar>(
        self,
        rank: usize,
        (p, q): (usize, usize),
        kernel: &[usize],
        no_zeros: bool,
        rng: &mut impl Rng,
    ) -> Result<TuckerFactor<T>> {
        let fills = if no_zeros { Fills::all(self.drawn()) } else { self.fills().1 };
        let values: usize = kernel.iter().product();
        let core: Array2<T> = self.drawn().matrix((rank, rank * values), rng)?;
        let (a, b) = (fills.left.matrix((rank, p), rng)?, fills.right.matrix((rank, q / values.max(1)), rng)?);
        // It has as many values; a core of none is refused.
        let core = core.into_dyn().into_shape_with_order([&[rank, rank], kernel].concat());
        TuckerFactor::new(core.unwrap_or_else(|_| ArrayD::zeros(IxDyn(&[0]))), a, b)
    }
}

impl Fills {
    const fn all(fill: Fill) -> Self {
        Self { full: fill, left: fill, right: fill }
    }

    fn factor<T: Scalar>(
        &self,
        (rows, cols): (usize, usize),
        rank: Option<usize>,
        rng: &mut impl Rng,
    ) -> Result<Factor<'static, T>> {
        match rank {
            None => Ok(self.full.matrix((rows, cols), rng)?.into()),
            Some(rank) => {
                let left = self.left.matrix((rows, rank), rng)?;
                Ok(Factor::low_rank(left, self.right.matrix((rank, cols), rng)?)?)
            }
        }
    }
}

impl Fill {
    /// Drawn in `f64` and rounded, so that `f32` and `f64` adapters of one seed start from the same numbers.
    fn matrix<T: Scalar>(self, dim: (usize, usize), rng: &mut impl Rng) -> Result<Array2<T>> {
        let width = 1.0 / (dim.1 as f64).sqrt();
        let mut matrix = memory::zeros("a factor", dim)?;
        match self {
            Self::Zero => {}
            Self::Gaussian => matrix.iter_mut().for_each(|value| {
                let z: f64 = StandardNormal.sample(rng);
                *value = T::from_f64_lossy(width * z);
            }),
            Self::Kaiming => matrix.iter_mut().for_each(|value| {
                *value = T::from_f64_lossy(width * (2.0 * rng.random::<f64>() - 1.0));
            }),
        }
        Ok(matrix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray_rand::rand::{SeedableRng, rngs::StdRng};

    /// Mean and variance of every stored matrix of a factor.
    fn moments(factor: &Factor<'_, f64>) -> Vec<(f64, f64)> {
        factor
            .parts()
            .map(|matrix| {
                let mean = matrix.iter().sum::<f64>() / matrix.len() as f64;
                (mean, matrix.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / matrix.len() as f64)
            })
            .collect()
    }

    /// Asserts zero, or the variance `variances[i]/columns` within a tenth, for each matrix.
    fn assert_variances(factor: &Factor<'_, f64>, variances: &[f64]) {
        for (((mean, variance), matrix), &variance_of_one) in
            moments(factor).into_iter().zip(factor.parts()).zip(variances)
        {
            let expected = variance_of_one / matrix.ncols() as f64;
            assert!(
                mean.abs() <= 4.0 * (expected / matrix.len() as f64).sqrt(),
                "mean {mean}, expected variance {expected}"
            );
            assert!((variance - expected).abs() <= 0.1 * expected, "variance {variance}, expected {expected}");
        }
    }

    #[test]
    fn every_scheme_fills_as_its_table_row_says() {
        const GAUSSIAN: f64 = 1.0;
        const KAIMING: f64 = 1.0 / 3.0; // variance of the uniform distribution on ±1
        let table = [
            (LoKrInit::Gaussian, [GAUSSIAN, GAUSSIAN, GAUSSIAN], [0.0, GAUSSIAN, 0.0]),
            (LoKrInit::Lycoris, [KAIMING, KAIMING, KAIMING], [0.0, KAIMING, 0.0]),
            (LoKrInit::Peft, [0.0, 0.0, KAIMING], [KAIMING, KAIMING, KAIMING]),
            (LoKrInit::Random, [KAIMING, KAIMING, KAIMING], [KAIMING, KAIMING, KAIMING]),
        ];
        for (init, a, b) in table {
            let mut rng = StdRng::seed_from_u64(5);
            assert_variances(&init.a((120, 90), None, false, &mut rng).unwrap(), &a[..1]);
            assert_variances(&init.a((120, 90), Some(60), false, &mut rng).unwrap(), &a[1..]);
            assert_variances(&init.b((90, 120), None, false, &mut rng).unwrap(), &b[..1]);
            assert_variances(&init.b((90, 120), Some(60), false, &mut rng).unwrap(), &b[1..]);
        }
    }

    #[test]
    fn nothing_is_zero_where_a_scalar_is() {
        for (init, variance) in [(LoKrInit::Gaussian, 1.0), (LoKrInit::Lycoris, 1.0 / 3.0), (LoKrInit::Peft, 1.0 / 3.0)]
        {
            let mut rng = StdRng::seed_from_u64(6);
            for factor in [
                init.a((120, 90), None, true, &mut rng).unwrap(),
                init.a((120, 90), Some(60), true, &mut rng).unwrap(),
                init.b((120, 90), None, true, &mut rng).unwrap(),
                init.b((120, 90), Some(60), true, &mut rng).unwrap(),
            ] {
                assert_variances(&factor, &[variance; 2]);
            }
        }
    }

    #[test]
    fn a_factor_that_memory_does_not_hold_is_an_error() {
        let mut rng = StdRng::seed_from_u64(6);
        let error = LoKrInit::Random.a::<f64>((1 << 30, 1 << 18), None, false, &mut rng).unwrap_err();
        assert!(matches!(error, crate::LayerError::Kron(lokr_core::KronError::OutOfMemory { .. })), "{error}");
    }

    #[test]
    fn uniform_values_stay_inside_their_bound_and_use_both_signs() {
        let a = LoKrInit::Lycoris.a::<f64>((50, 16), None, false, &mut StdRng::seed_from_u64(1)).unwrap().to_dense();
        assert!(a.iter().all(|v| v.abs() <= 0.25));
        assert!(a.iter().any(|&v| v > 0.2) && a.iter().any(|&v| v < -0.2));
    }

    #[test]
    fn both_float_types_start_from_the_same_numbers() {
        let wide = LoKrInit::Gaussian.a::<f64>((3, 4), None, false, &mut StdRng::seed_from_u64(9)).unwrap().to_dense();
        let narrow =
            LoKrInit::Gaussian.a::<f32>((3, 4), None, false, &mut StdRng::seed_from_u64(9)).unwrap().to_dense();
        assert_eq!(wide.mapv(|v| v as f32), narrow);
    }
}
