//! Learns the air temperature over Great Britain and Ireland from every second point of a grid, and predicts it, with
//! its uncertainty, between them.
//!
//! `cargo run --release --example gaussian_process -- --help` lists the options. [`process`] is where the library is
//! used.

#![allow(unreachable_pub)] // the modules of a program

#[path = "../common/mod.rs"]
mod common;
mod data;
mod dense;
mod kernel;
mod plot;
mod process;
mod study;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::measure::{Checks, time, timed};
use common::paper;
use data::Temperature;
use process::{Parameters, evaluate, predict};
use study::{Learned, Study, compare};

/// Learns the air temperature over Great Britain and Ireland from every second point of a grid, and predicts it, with
/// its uncertainty, between them.
#[derive(Debug, Parser)]
#[command(name = "gaussian_process", version)]
struct Args {
    /// Steps of the training
    #[arg(long, default_value_t = 50)]
    steps: usize,
    /// Where to save the picture [default: target/gaussian_process.svg in the repository]
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

/// The map that is looked at, 14 h: not among the hours that the second study learns from.
const MAP: usize = 7;

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/gaussian_process.svg"));
    let path = args.plot.clone().unwrap_or_else(default);
    paper::check(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let day = Temperature::load()?;
    let (hours, latitudes, longitudes) = day.values.dim();
    writeln!(out, "lokr {}, backend {}", env!("CARGO_PKG_VERSION"), lokr::core::backend())?;
    writeln!(out, "air temperature on 30 March 2019: {hours} hours, {latitudes} latitudes, {longitudes} longitudes")?;

    writeln!(out, "\n1. The map of one hour, from every second latitude and longitude: K = v·K₁ ⊗ K₂ + noise·I")?;
    let map = Study::new(&day.at(MAP), 1)?;
    let start = Parameters { variance: 4.0, lengths: vec![2.0, 2.0], noise: 0.1 };
    let map = map.learn(&start, args.steps)?;
    write!(out, "{}", map.report(&["latitude (°)", "longitude (°)"])?)?;

    writeln!(out, "\n2. The day, from every second hour, too: K = v·K₁ ⊗ K₂ ⊗ K₃ + noise·I")?;
    let whole = Study::new(&day, 2)?;
    let start = Parameters { lengths: vec![8.0, 2.0, 2.0], ..start };
    let whole = whole.learn(&start, args.steps)?;
    write!(out, "{}", whole.report(&["hours", "latitude (°)", "longitude (°)"])?)?;

    writeln!(out, "\n3. The same with dense matrices, on a part of the points: largest differences")?;
    let mut checks = Checks::default();
    compare(&mut checks, &map.parameters, &Study::new(&day.at(MAP).thinned([1, 4, 4]), 1)?)?;
    compare(&mut checks, &whole.parameters, &Study::new(&day.thinned([2, 8, 8]), 2)?)?;
    write!(out, "{}", checks.report())?;

    writeln!(out, "\n4. Times")?;
    let mut row = |name: &str, [dense, factors]: [&str; 2]| writeln!(out, "{name:<52} {dense:>9} {factors:>9}");
    row("", ["dense", "factors"])?;
    let Learned { study: Study { data, axes, truth, .. }, parameters, .. } = &map;
    let points = data.values.len();
    let (slow, fast) = (timed(|| dense::evaluate(parameters, data)).1, timed(|| evaluate(parameters, data)).1);
    row(&format!("{points} points: likelihood and gradient"), [&time(slow), &time(fast)])?;
    let slow = timed(|| dense::predict(parameters, data, axes)).1;
    let fast = timed(|| predict(parameters, data, axes)).1;
    row(&format!("  mean and variance at {} points", truth.len()), [&time(slow), &time(fast)])?;
    let Learned { study: Study { data, .. }, parameters, .. } = &whole;
    let points = data.values.len();
    let (expected, slow) = timed(|| dense::log_likelihood(parameters, data));
    let (found, fast) = timed(|| evaluate(parameters, data));
    checks.near("the likelihood of the day", &[found?.log_likelihood], &[expected?], 1e-9)?;
    row(&format!("{points} points: likelihood (from factors: and gradient)"), [&time(slow), &time(fast)])?;

    plot::save(&path, &map, &whole, &day, MAP).map_err(|error| format!("{}: {error}", path.display()))?;
    writeln!(out, "\nthe maps: {}", path.display())?;
    Ok(())
}
