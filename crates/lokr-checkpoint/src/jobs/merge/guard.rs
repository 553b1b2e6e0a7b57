//! The guard of a merge: on a probe vector `x`, the merged weight must do what the base weight and the adapters' own
//! forward passes do together. The merge walks rows and forms each of the product's elements; the forward pass never
//! does. DoRA's formula is written here a second time on purpose: what the two have in common, the guard cannot find
//! wrong.

use std::ops::Range;

use lokr_core::Scalar;
use ndarray::{Array1, s};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::SplitMix64;

use super::steps::{Step, Steps};
use crate::error::Result;
use crate::module::{Dora, DoraAxis, DoraStrength};

/// How far the two may differ, in units of the arithmetic's epsilon times the norms involved. The error of a sum of `N`
/// products with random signs is about `√N` times that of one, which is what the Frobenius norm times epsilon is.
const TOLERANCE: f64 = 64.0;

/// What to expect of the merged weight on the probe vector: row `r` gives
/// `Σᵥ coefficient[v][r]·(W·x[v])[r] + constant[r]`. Without DoRA over inputs, there is one term, and its vector is the
/// probe itself.
#[derive(Debug)]
pub(super) struct Expected<T> {
    pub(super) probe: Vec<T>,
    pub(super) vectors: Vec<Vec<T>>,
    coefficients: Vec<Array1<f64>>,
    constant: Array1<f64>,
    /// `‖constant‖` without cancellation among the adapters.
    magnitude: f64,
}

/// An affine function of the base weight's products.
#[derive(Default)]
struct Affine {
    terms: Vec<(Array1<f64>, Array1<f64>)>,
    constant: Array1<f64>,
    magnitude: f64,
}

impl<T: Scalar> Expected<T> {
    /// Runs the adapters' forward passes.
    pub(super) fn new(steps: &Steps<T>) -> Result<Self> {
        let probe = signs(steps.columns);
        let Affine { terms, constant, magnitude } = forward(steps, &steps.steps, &probe)?;
        let cast = |x: &Array1<f64>| x.iter().map(|&x| T::from_f64_lossy(x)).collect();
        let probe = cast(&probe);
        let (vectors, coefficients) = terms.iter().map(|(x, c)| (cast(x), c.clone())).unzip();
        Ok(Self { probe, vectors, coefficients, constant, magnitude })
    }

    /// The relative error of `merged (out)`, the merged weight's products with the probe, beside `base[v] (out)`, the
    /// base weight's products with [`Expected::vectors`]; and whether it is small enough. `norms` is `‖merged‖` and
    /// that of the change. Rows whose expected value is not finite are left out: an adapter with such values was asked
    /// for. NaN where no row is left.
    pub(in crate::jobs) fn compare(&self, base: &[Vec<f64>], merged: &[f64], norms: f64) -> (f64, bool) {
        let (mut square, mut compared) = (0.0, false);
        for (r, merged) in merged.iter().enumerate() {
            let terms = base.iter().zip(&self.coefficients).map(|(product, c)| c[r] * product[r]);
            let expected = self.constant[r] + terms.sum::<f64>();
            if expected.is_finite() {
                compared = true;
                square += (merged - expected) * (merged - expected);
            }
        }
        let scale = [norms, self.magnitude].into_iter().filter(|x| x.is_finite()).sum::<f64>();
        if !compared && !merged.is_empty() {
            return (f64::NAN, true);
        }
        let error = if square == 0.0 { 0.0 } else { square.sqrt() / scale };
        (error, error <= TOLERANCE * T::epsilon().to_f64_exact())
    }
}

/// The product of the weight after these steps with `x`.
fn forward<T: Scalar>(all: &Steps<T>, steps: &[Step<T>], x: &Array1<f64>) -> Result<Affine> {
    let Some((step, before)) = steps.split_last() else {
        let terms = vec![(x.clone(), Array1::ones(all.rows))];
        return Ok(Affine { terms, constant: Array1::zeros(all.rows), magnitude: 0.0 });
    };
    let (s, mu, rows) = (step.scale, step.multiplier, &step.window.rows);
    match &step.dora {
        None => {
            let mut y = forward(all, before, x)?;
            y.add(&(step.forward(x)? * (mu * s)), rows);
            Ok(y)
        }
        Some(Dora { axis: DoraAxis::Output, gains, strength }) => {
            let mut y = forward(all, before, x)?;
            let change = step.forward(x)? * s;
            // Both formulas multiply what was there by 1 + μ·(g − 1); they differ in the change.
            let factors = gains.mapv(|g| 1.0 + mu * (g - 1.0));
            y.scale(&within(all.rows, rows, &factors, 1.0));
            match strength {
                DoraStrength::FromBase => y.add(&(change * gains * mu), rows),
                DoraStrength::Lycoris => y.add(&(change * &factors), rows),
            }
            Ok(y)
        }
        Some(Dora { axis: DoraAxis::Input, gains, strength }) => {
            let factor = |x: &Array1<f64>, gain: &dyn Fn(f64) -> f64| -> Array1<f64> {
                x.iter().enumerate().map(|(i, x)| x * gain(gains[i / all.kernel])).collect()
            };
            let (scaled, weight) = match strength {
                DoraStrength::FromBase => (factor(x, &|g| g), mu),
                DoraStrength::Lycoris => (factor(x, &|g| 1.0 + mu * (g - 1.0)), 1.0),
            };
            // The weight's vectors are rounded to the arithmetic's type: so must be the adapter's.
            let scaled = scaled.mapv(|x| T::from_f64_lossy(x).to_f64_exact());
            let mut y = forward(all, before, &scaled)?;
            y.add(&(step.forward(&scaled)? * s), rows);
            let own = within(all.rows, rows, &Array1::ones(rows.len()), 0.0);
            y.scale(&(&own * weight));
            if weight != 1.0 || rows.len() != all.rows {
                let mut rest = forward(all, before, x)?;
                rest.scale(&(1.0 - own * weight));
                y.terms.extend(rest.terms);
                y.constant += &rest.constant;
                y.magnitude += rest.magnitude;
            }
            Ok(y)
        }
    }
}

/// Values for some rows, and `others` for the rest.
fn within(length: usize, rows: &Range<usize>, values: &Array1<f64>, others: f64) -> Array1<f64> {
    let mut all = Array1::from_elem(length, others);
    all.slice_mut(s![rows.clone()]).assign(values);
    all
}

impl Affine {
    /// Adds to some rows.
    fn add(&mut self, change: &Array1<f64>, rows: &Range<usize>) {
        let mut own = self.constant.slice_mut(s![rows.clone()]);
        own += change;
        self.magnitude += norm(change);
    }

    fn scale(&mut self, factors: &Array1<f64>) {
        self.terms.iter_mut().for_each(|(_, c)| *c *= factors);
        self.constant *= factors;
        self.magnitude *= factors.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    }
}

fn norm(x: &Array1<f64>) -> f64 {
    x.dot(x).sqrt()
}

/// Signs from a fixed seed, one per column: no column is favoured, and every product is exact.
fn signs(length: usize) -> Array1<f64> {
    let mut random = SplitMix64::seed_from_u64(0x6c6f_6b72);
    Array1::from_shape_simple_fn(length, || if random.next_u64() & 1 == 0 { 1.0 } else { -1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{FloatType, Tensor};
    use crate::jobs::merge::steps::{Applied, Window};
    use crate::module::{AnyModule, Module, Strength, W1, W2};
    use crate::quantized::{Encoding, Weight};
    use ndarray::{Array2, ArrayD, IxDyn};

    fn matrix(rows: usize, columns: usize, step: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| ((i * columns + j) * step % 23) as f64 / 8.0 - 1.0)
    }

    fn stored(matrix: &Array2<f64>) -> Tensor {
        Tensor::from_array(matrix, FloatType::F32)
    }

    fn weight(matrix: &Array2<f64>) -> Weight {
        Weight { tensor: stored(matrix), encoding: Encoding::plain(FloatType::F32) }
    }

    /// The verdict on a merged weight.
    fn passes(module: &Module, base: &Array2<f64>, merged: &Array2<f64>) -> bool {
        let window = Window { rows: 0..base.nrows(), first: 0, weight: base.shape().to_vec() };
        let (module, strength) = (AnyModule::Lokr(module), Strength::default());
        let applied = [Applied { adapter: 0, module, strength, window, elsewhere: Vec::new() }];
        let steps = Steps::<f32>::new(&applied, &weight(base)).unwrap();
        let expected = Expected::new(&steps).unwrap();
        let product = |w: &Array2<f64>, x: &[f32]| -> Vec<f64> {
            w.rows().into_iter().map(|row| row.iter().zip(x).map(|(w, &x)| w * f64::from(x)).sum()).collect()
        };
        let base_products: Vec<_> = expected.vectors.iter().map(|x| product(base, x)).collect();
        let norms = [base, merged].map(|w| w.mapv(|x| x * x).sum().sqrt()).into_iter().sum();
        expected.compare(&base_products, &product(merged, &expected.probe), norms).1
    }

    #[test]
    fn only_the_right_weight_passes() {
        let (base, a, b) = (matrix(6, 20, 5), matrix(2, 5, 7), matrix(3, 4, 11));
        let module = Module::new("m", W1::Full(stored(&a)), W2::Full(stored(&b)), 0.5).unwrap();
        let merged = |s: f64, element: &dyn Fn(usize, usize) -> f64| {
            Array2::from_shape_fn(base.dim(), |(i, j)| base[[i, j]] + s * element(i, j))
        };
        let right = |i: usize, j: usize| a[[i / 3, j / 4]] * b[[i % 3, j % 4]];
        let swapped = |i: usize, j: usize| a[[i % 2, j % 5]] * b[[i / 2, j / 5]];
        assert!(passes(&module, &base, &merged(0.5, &right)));
        assert!(!passes(&module, &base, &merged(0.25, &right)), "the scale twice");
        assert!(!passes(&module, &base, &merged(0.5, &swapped)), "the factors the wrong way round");
        assert!(!passes(&module, &base, &base), "nothing merged");
        let mut one_wrong = merged(0.5, &right);
        one_wrong[[3, 7]] += 0.01;
        assert!(!passes(&module, &base, &one_wrong), "one value");
        one_wrong[[3, 7]] = f64::NAN;
        assert!(!passes(&module, &base, &one_wrong), "not a number");
    }

    /// Over inputs, the norms belong to columns: the adapter's own pass sees a scaled vector.
    #[test]
    fn norms_over_inputs_are_part_of_the_forward_pass() {
        let (base, a, b) = (matrix(6, 20, 5), matrix(2, 5, 7), matrix(3, 4, 11));
        let norms = Tensor::from_array(&ArrayD::from_elem(IxDyn(&[1, 20]), 2.0), FloatType::F32);
        let module = Module::new("m", W1::Full(stored(&a)), W2::Full(stored(&b)), 0.5).unwrap();
        let module = module.with_dora_scale(norms).unwrap();
        let mut merged =
            Array2::from_shape_fn(base.dim(), |(i, j)| base[[i, j]] + 0.5 * a[[i / 3, j / 4]] * b[[i % 3, j % 4]]);
        assert!(!passes(&module, &base, &merged));
        for mut column in merged.columns_mut() {
            let norm = column.dot(&column).sqrt();
            column *= 2.0 / norm;
        }
        assert!(passes(&module, &base, &merged));
    }
}
