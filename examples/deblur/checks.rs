//! The same results with dense matrices, and the times of both ways.

use std::error::Error;
use std::io::Write;

use lokr::core::Kron;
use lokr::layers::rand::{SeedableRng, rngs::StdRng};
use ndarray::{Array2, Array3, s};
use ndarray_rand::{RandomExt, rand_distr::StandardNormal};

use super::blur::{Edge, gaussian};
use super::common::dense::kron_all;
use super::common::measure::{Checks, time, timed};
use super::dense::{Svd, solve};
use super::restore::{Spectrum, truncated};

/// Every kind of restoration on a part of the image, held against `faer`'s decompositions of the dense blur.
pub fn against_dense(image: &Array3<f64>) -> Result<String, Box<dyn Error>> {
    let part = image.slice(s![.., 20..32, 30..40]).to_owned();
    let (colors, rows, columns) = part.dim();
    let flat =
        |image: &Array3<f64>| Array2::from_shape_vec((colors, image.len() / colors), image.iter().copied().collect());
    let blur = |sigma, edge| [gaussian(rows, sigma, edge), gaussian(columns, sigma, edge)];
    let noise = 0.01;
    let mut checks = Checks::default();

    let [a, b] = blur(0.8, Edge::Mirror);
    let (k, dense) = (Kron::new(&a, &b)?, kron_all([&a, &b]));
    let blurred = k.apply(&part)?;
    checks.near("the blur", &blurred, &flat(&part)?.dot(&dense.t()), 1e-14)?;
    checks.near("solved", &k.solve(&blurred)?, &solve(&dense, &flat(&blurred)?), 1e-11)?;

    let [a, b] = blur(0.8, Edge::Unknown);
    let (k, dense) = (Kron::new(&a, &b)?, kron_all([&a, &b]));
    let seen = k.apply(&part)?;
    let shortest = Svd::new(&dense)?.filtered(|value| 1.0 / value, &flat(&seen)?);
    checks.near("least squares", &k.least_squares(&seen)?, &shortest, 1e-11)?;

    let [a, b] = blur(1.2, Edge::Mirror);
    let (k, dense) = (Kron::new(&a, &b)?, kron_all([&a, &b]));
    let random = Array3::<f64>::random_using(part.dim(), StandardNormal, &mut StdRng::seed_from_u64(1));
    let noisy = k.apply(&part)? + random * noise;
    let (svd, y) = (k.svd()?, flat(&noisy)?);
    let dense_svd = Svd::new(&dense)?;
    checks.near("singular values", svd.values(), &dense_svd.s, 1e-13)?;

    // Cross-validation by its definition: for every number of values kept, the residual of the image that they make.
    let scores = (1..rows * columns).map(|kept| {
        let x = dense_svd.filtered(|value| if value >= dense_svd.s[kept - 1] { 1.0 / value } else { 0.0 }, &y);
        let rest = x.dot(&dense.t()) - &y;
        (kept, (&rest * &rest).sum() / ((y.len() - colors * kept) as f64).powi(2))
    });
    let best = scores.min_by(|(_, one), (_, other)| one.total_cmp(other)).map_or(0, |(kept, _)| kept);
    let spectrum = Spectrum::new(&svd, &noisy)?;
    let (least, kept) = spectrum.cross_validation();
    checks.near("values kept", &[kept as f64], &[best as f64], 0.0)?;
    let dense_cut = dense_svd.filtered(truncated(least * (1.0 - 1e-9)), &y);
    let cut = svd.apply_function(truncated(least), &noisy)?;
    checks.near("truncated", &cut, &dense_cut, 1e-9)?;

    let lambda = spectrum.discrepancy(noise);
    let mut normal = dense.t().dot(&dense);
    normal.diag_mut().map_inplace(|value| *value += lambda);
    let dense_ridge = solve(&normal, &y.dot(&dense));
    let ridge = k.ridge(lambda, &noisy)?;
    checks.near("ridge regression", &ridge, &dense_ridge, 1e-9)?;
    let rest = dense_ridge.dot(&dense.t()) - &y;
    checks.near("its residual is the noise", &[(&rest * &rest).sum()], &[y.len() as f64 * noise * noise], 1e-9)?;
    Ok(checks.report())
}

/// Times of the whole image, and of a part of it both ways.
pub fn times(out: &mut impl Write, image: &Array3<f64>) -> Result<(), Box<dyn Error>> {
    let (colors, rows, columns) = image.dim();
    let part = image.slice(s![.., ..rows / 3, ..columns / 3]).to_owned();
    let (_, part_rows, part_columns) = part.dim();
    let side = part_rows * part_columns;
    let blur = |rows, columns| Kron::new(gaussian(rows, 1.0, Edge::Mirror), gaussian(columns, 1.0, Edge::Mirror));
    let (small, large) = (blur(part_rows, part_columns)?, blur(rows, columns)?);
    let dense = small.try_to_dense()?;
    let y = Array2::from_shape_vec((colors, side), part.iter().copied().collect())?;

    let mut row =
        |name: &str, [dense, small, large]: [&str; 3]| writeln!(out, "{name:<32} {dense:>9} {small:>9} {large:>9}");
    row("", ["dense", "factors", "factors"])?;
    let sizes = [side, rows * columns].map(|side| format!("{side}²"));
    row("a blur of size", [&sizes[0], &sizes[0], &sizes[1]])?;
    let apply = [timed(|| y.dot(&dense.t())).1, timed(|| small.apply(&part)).1, timed(|| large.apply(image)).1];
    row("blur three colours", apply.map(time).each_ref().map(String::as_str))?;
    let solve = [timed(|| solve(&dense, &y)).1, timed(|| small.solve(&part)).1, timed(|| large.solve(image)).1];
    row("solve for three colours", solve.map(time).each_ref().map(String::as_str))?;
    let svd = [timed(|| Svd::new(&dense)).1, timed(|| small.svd()).1, timed(|| large.svd()).1];
    row("singular values and vectors", svd.map(time).each_ref().map(String::as_str))?;
    let bytes = (rows * columns).pow(2) * size_of::<f64>();
    writeln!(out, "the dense blur of the whole image would take {} MB", bytes / 1_000_000)?;
    Ok(())
}
