//! Ratios that carry over from machine to machine, in one table from one run: every operator's rate as a share of the
//! backend's square product, the adapted layer against its base, the merge against the memory's bandwidth, and all of
//! them against the naive way.
//!
//! `cargo bench --bench ratios`, with options after `--`; `--help` lists them.
#![allow(unreachable_pub)] // A program of several files.
#![allow(clippy::expect_used)] // A benchmark that cannot go on should stop, and say where.

mod layers;
mod merge;
mod operators;
mod peak;
mod report;
mod settings;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use clap::Parser;
use lokr::core::Scalar;

use peak::SquareProduct;
use report::{Form, Report};
use settings::Settings;
use support::measure::Effort;

/// Measures rates and ratios; everything that is compared is measured in turns.
#[derive(Debug, Parser)]
struct Options {
    /// Print one JSON object when all is done.
    #[arg(long)]
    json: bool,
    /// Measure only rows whose name contains this, as in "apply 64x64*64x64 b512", "step", "merge", "b32".
    #[arg(long, value_name = "SUBSTR")]
    filter: Option<String>,
    /// Fewer and shorter samples, and the naive way up to 16 MiB only: numbers to work with, not to quote.
    #[arg(long)]
    quick: bool,
    /// Leave the naive way out.
    #[arg(long)]
    no_naive: bool,
    /// Measure f64 in place of f32.
    #[arg(long)]
    f64: bool,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    support::join_pool();
    let (samples, naive_samples, time) = if options.quick { (7, 1, 1) } else { (15, 3, 4) };
    let naive_bytes = match (options.no_naive, options.quick) {
        (true, _) => 0,
        (false, true) => 16 << 20,
        (false, false) => 1 << 30,
    };
    let sample_time = Duration::from_millis(time);
    let settings = Settings {
        filter: options.filter,
        effort: Effort { samples, sample_time },
        naive_effort: Effort { samples: naive_samples, sample_time },
        naive_bytes,
    };
    let form = if options.json { Form::Json } else { Form::Table };
    if options.f64 { run::<f64>(&settings, form) } else { run::<f32>(&settings, form) }
}

fn run<T: Scalar>(settings: &Settings, form: Form) {
    let mut report = Report::new(form, T::NAME);
    report.fact("processor", support::processor());
    let backend = lokr::core::backend_details();
    report.fact("backend", &backend);
    if let Some(advice) = backend.advice {
        report.fact("note", advice);
    }
    report.fact("rayon threads", rayon::current_num_threads());
    for variable in ["OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
        if let Ok(value) = std::env::var(variable) {
            report.fact(variable, value);
        }
    }
    report.fact("samples", format!("{} of at least {:?}", settings.effort.samples, settings.effort.sample_time));
    peaks("before", settings, &mut report);
    operators::run::<T>(settings, &mut report);
    layers::run::<T>(settings, &mut report);
    merge::run::<T>(settings, &mut report);
    peaks("after", settings, &mut report);
    report.finish();
}

/// The square product's rates, at its best and at its median, in both types.
fn peaks(when: &str, settings: &Settings, report: &mut Report) {
    fn peak<T: Scalar>(when: &str, settings: &Settings, report: &mut Report) {
        let mut square = SquareProduct::<T>::new();
        let times = square.measure(settings.effort);
        let rate = |seconds: f64| square.flops() / seconds / 1e9;
        report.peak(when, T::NAME, rate(times.min()), rate(times.median()));
    }
    peak::<f32>(when, settings, report);
    peak::<f64>(when, settings, report);
}
