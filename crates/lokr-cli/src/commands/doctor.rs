//! `lokr doctor`.

use std::fmt;
use std::time::{Duration, Instant};

use lokr_core::{Scalar, matmul_into};
use ndarray::Array2;
use serde::Serialize;

use crate::error::CliError;
use crate::report::Reporter;

/// Side of the matrices multiplied.
const SIDE: usize = 1024;
/// Time for each of the two element types.
const SPAN: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct Report {
    version: &'static str,
    backend: &'static str,
    backend_version: Option<String>,
    kernels: Option<String>,
    advice: Option<String>,
    system: &'static str,
    architecture: &'static str,
    threads: usize,
    processors: Option<usize>,
    cpu_features: Vec<&'static str>,
    product_side: usize,
    f32_gflops: f64,
    f64_gflops: f64,
}

pub(crate) fn run(reporter: &Reporter) -> Result<(), CliError> {
    let details = lokr_core::backend_details();
    reporter.result(&Report {
        version: env!("CARGO_PKG_VERSION"),
        backend: details.backend.name(),
        backend_version: details.version,
        kernels: details.kernels,
        advice: details.advice,
        system: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        threads: rayon::current_num_threads(),
        processors: std::thread::available_parallelism().ok().map(usize::from),
        cpu_features: cpu_features(),
        product_side: SIDE,
        f32_gflops: rate::<f32>()?,
        f64_gflops: rate::<f64>()?,
    })
}

/// Rate of the fastest product in the time given, after one to warm up.
fn rate<T: Scalar>() -> Result<f64, CliError> {
    let value = |(i, j): (usize, usize)| T::from_f64_lossy(((31 * i + 17 * j) % 23) as f64 / 23.0 - 0.5);
    let a = Array2::from_shape_fn((SIDE, SIDE), value);
    let b = a.t().to_owned();
    let mut c = Array2::zeros((SIDE, SIDE));
    matmul_into(T::one(), &a, &b, T::zero(), &mut c)?;
    let (start, mut fastest) = (Instant::now(), Duration::MAX);
    while start.elapsed() < SPAN || fastest == Duration::MAX {
        let begin = Instant::now();
        matmul_into(T::one(), &a, &b, T::zero(), std::hint::black_box(&mut c))?;
        fastest = fastest.min(begin.elapsed());
    }
    Ok(2.0 * (SIDE as f64).powi(3) / fastest.as_secs_f64() / 1e9)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version       {}", self.version)?;
        let version = self.backend_version.as_deref().unwrap_or_default();
        writeln!(f, "backend       {}", format!("{} {version}", self.backend).trim_end())?;
        if let Some(kernels) = &self.kernels {
            writeln!(f, "kernels       for {kernels}")?;
        }
        writeln!(f, "system        {} on {}", self.system, self.architecture)?;
        match self.processors {
            Some(processors) => writeln!(f, "threads       {} on {processors} processors", self.threads)?,
            None => writeln!(f, "threads       {}", self.threads)?,
        }
        writeln!(f, "CPU features  {}", self.cpu_features.join(" "))?;
        writeln!(f, "products      {side} × {side}, the fastest of a second", side = self.product_side)?;
        writeln!(f, "  f32         {:.1} GFLOP/s", self.f32_gflops)?;
        writeln!(f, "  f64         {:.1} GFLOP/s", self.f64_gflops)?;
        match &self.advice {
            Some(advice) => writeln!(f, "note: {advice}"),
            None => Ok(()),
        }
    }
}

/// Those of the features that the kernels use or could, which this processor has.
#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let features = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    features.into_iter().filter_map(|(name, found)| found.then_some(name)).collect()
}

/// As above.
#[cfg(target_arch = "aarch64")]
fn cpu_features() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected;
    let features = [
        ("neon", is_aarch64_feature_detected!("neon")),
        ("fp16", is_aarch64_feature_detected!("fp16")),
        ("bf16", is_aarch64_feature_detected!("bf16")),
        ("sve", is_aarch64_feature_detected!("sve")),
    ];
    features.into_iter().filter_map(|(name, found)| found.then_some(name)).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}
