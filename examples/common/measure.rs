//! Checks of one result against another, and times.

use std::fmt::Write;
use std::time::{Duration, Instant};

/// Results that agree with those of another way, each with its largest error.
#[derive(Debug, Default)]
pub struct Checks(Vec<(String, f64)>);

impl Checks {
    /// Notes the largest difference between `found` and `expected`, as a share of the largest value expected.
    ///
    /// # Errors
    /// A message when it is more than `tolerance`, or not a number, or when the counts differ.
    pub fn near<'a>(
        &mut self,
        name: &str,
        found: impl IntoIterator<Item = &'a f64>,
        expected: impl IntoIterator<Item = &'a f64>,
        tolerance: f64,
    ) -> Result<(), String> {
        let (mut found, mut expected) = (found.into_iter(), expected.into_iter());
        let (mut error, mut size) = (0.0_f64, 0.0_f64);
        loop {
            match (found.next(), expected.next()) {
                (Some(found), Some(expected)) => {
                    let difference = (found - expected).abs();
                    error = if difference <= error { error } else { difference }; // NaN stays
                    size = size.max(expected.abs());
                }
                (None, None) => break,
                _ => return Err(format!("{name}: not as many values as expected")),
            }
        }
        let error = if error == 0.0 { 0.0 } else { error / size };
        if error <= tolerance {
            self.0.push((name.to_owned(), error));
            Ok(())
        } else {
            Err(format!("{name}: differs from the dense way by {error:.1e} of its size, more than {tolerance:.0e}"))
        }
    }

    /// A line for each check.
    pub fn report(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        self.0.iter().fold(String::new(), |mut text, (name, error)| {
            let error = if *error == 0.0 { "none".to_owned() } else { format!("{error:.0e}") };
            let _ = writeln!(text, "{name:<width$}  {error}");
            text
        })
    }
}

/// The result of `work` and the time of its fastest run, of several where they are short.
pub fn timed<R>(mut work: impl FnMut() -> R) -> (R, Duration) {
    let begin = Instant::now();
    let mut result = work();
    let mut fastest = begin.elapsed();
    while begin.elapsed() < Duration::from_millis(100) {
        let start = Instant::now();
        result = work();
        fastest = fastest.min(start.elapsed());
    }
    (result, fastest)
}

/// In a unit that suits it.
pub fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}
