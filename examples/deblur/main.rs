//! Blurs a photograph and takes the blur away again: exactly, by least squares, and against noise.
//!
//! `cargo run --release --example deblur -- --help` lists the options. Blur along rows and columns is a Kronecker
//! product; the three colours are a batch of fields, which nothing flattens.

#![allow(unreachable_pub)] // the modules of a program

mod blur;
mod checks;
#[path = "../common/mod.rs"]
mod common;
mod dense;
mod photo;
mod plot;
mod restore;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use blur::{Edge, gaussian};
use clap::Parser;
use common::paper;
use lokr::core::Kron;
use lokr::layers::rand::{SeedableRng, rngs::StdRng};
use ndarray::Array3;
use ndarray_rand::{RandomExt, rand_distr::StandardNormal};
use plot::Panel;
use restore::{Spectrum, truncated};

/// Blurs a photograph and takes the blur away again: exactly, by least squares, and against noise.
#[derive(Debug, Parser)]
#[command(name = "deblur", version)]
struct Args {
    /// Standard deviation of the strong blur, in pixels
    #[arg(long, default_value_t = 1.8)]
    blur: f64,
    /// Standard deviation of the noise on it; the image has values from 0 to 1
    #[arg(long, default_value_t = 0.01)]
    noise: f64,
    /// Seed of the noise
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to save the picture [default: target/deblur.svg in the repository]
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output, `head` perhaps, has seen enough.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/deblur.svg"));
    let path = args.plot.clone().unwrap_or_else(default);
    paper::check(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if !(0.0..=20.0).contains(&args.blur) || !(0.0..=1.0).contains(&args.noise) {
        return Err("--blur goes from 0 to 20 and --noise from 0 to 1".into());
    }
    let image = photo::load()?;
    let (colors, rows, columns) = image.dim();
    writeln!(out, "lokr {}, backend {}", env!("CARGO_PKG_VERSION"), lokr::core::backend())?;
    writeln!(out, "a photograph of {rows} × {columns} pixels in {colors} colours, values from 0 to 1")?;

    let (share, tiny) =
        (|found: &_, of: &_| format!("{:.1} %", 100.0 * error(found, of)), |value| format!("{value:.0e}"));

    writeln!(out)?;
    row(&mut out, "1. A mild blur, taken away exactly", "error")?;
    let mild = Kron::new(gaussian(rows, 0.8, Edge::Mirror), gaussian(columns, 0.8, Edge::Mirror))?;
    let blurred = mild.apply(&image)?;
    let exact = mild.solve(&blurred)?;
    let from_bytes = mild.solve(&photo::rounded(&blurred))?;
    row(&mut out, &format!("blurred; condition number {:.0}", mild.condition_number()?), &share(&blurred, &image))?;
    row(&mut out, "solved", &tiny(error(&exact, &image)))?;
    row(&mut out, "solved, from values rounded to 8 bits", &share(&from_bytes, &image))?;

    writeln!(out)?;
    row(&mut out, "2. A blur of unknown edges, by least squares", "error")?;
    let valid = Kron::new(gaussian(rows, 0.8, Edge::Unknown), gaussian(columns, 0.8, Edge::Unknown))?;
    let seen = valid.apply(&image)?;
    // Of all images that fit, the one nearest to plain grey: the shortest way from there.
    let grey = Array3::from_elem(image.dim(), 0.5);
    let nearest = &grey + valid.least_squares(&(&seen - valid.apply(&grey)?))?;
    let (equations, unknowns) = valid.dim();
    let fit = error(&valid.apply(&nearest)?, &seen);
    row(&mut out, &format!("{equations} equations for {unknowns} pixels: the fit"), &tiny(fit))?;
    row(&mut out, "the image", &share(&nearest, &image))?;

    writeln!(out)?;
    row(&mut out, &format!("3. A strong blur with noise of {}", args.noise), "error")?;
    let strong = Kron::new(gaussian(rows, args.blur, Edge::Mirror), gaussian(columns, args.blur, Edge::Mirror))?;
    let mut rng = StdRng::seed_from_u64(args.seed);
    let noise = Array3::<f64>::random_using(image.dim(), StandardNormal, &mut rng) * args.noise;
    let noisy = strong.apply(&image)? + noise;
    let plain = strong.solve(&noisy)?;
    let svd = strong.svd()?;
    let spectrum = Spectrum::new(&svd, &noisy)?;
    let (least, kept) = spectrum.cross_validation();
    let cut = svd.apply_function(truncated(least), &noisy)?;
    let lambda = spectrum.discrepancy(args.noise);
    let damped = strong.ridge(lambda, &noisy)?;
    row(&mut out, &format!("blurred; condition number {:.0e}", strong.condition_number()?), &share(&noisy, &image))?;
    row(&mut out, "solved", &tiny(error(&plain, &image)))?;
    row(&mut out, &format!("truncated: {kept} singular values, by cross-validation"), &share(&cut, &image))?;
    row(&mut out, &format!("ridge: λ = {lambda:.1e}, by the discrepancy principle"), &share(&damped, &image))?;

    writeln!(out, "\n4. The same with dense matrices, on a part of 12 × 10 pixels: largest differences")?;
    write!(out, "{}", checks::against_dense(&image)?)?;

    writeln!(out, "\n5. Times")?;
    checks::times(&mut out, &image)?;

    let pictures = [
        Panel::new("the photograph", &image),
        Panel::new("mild blur", &blurred),
        Panel::new("blur, edges unknown", &seen),
        Panel::new("its least squares", &nearest),
        Panel::new("strong blur and noise", &noisy),
        Panel::new("solved", &plain),
        Panel::new("solved, truncated", &cut),
        Panel::new("ridge regression", &damped),
    ];
    plot::save(&path, (rows, columns), &pictures).map_err(|error| format!("{}: {error}", path.display()))?;
    writeln!(out, "\nthe pictures: {}", path.display())?;
    Ok(())
}

/// A line of the report.
fn row(out: &mut impl Write, what: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{what:<62} {value:>7}")
}

/// `‖found − expected‖ / ‖expected‖`.
fn error(found: &Array3<f64>, expected: &Array3<f64>) -> f64 {
    let norm = |image: &Array3<f64>| image.iter().map(|value| value * value).sum::<f64>().sqrt();
    norm(&(found - expected)) / norm(expected)
}
