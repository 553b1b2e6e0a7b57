//! How results, warnings and progress are shown.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::ops::ControlFlow;
use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lokr_checkpoint::Progress;
use serde::{Serialize, Serializer};

use crate::error::CliError;
use crate::interrupt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verbosity {
    Normal,
    Quiet,
}

/// Results go to standard output, everything else to standard error.
#[derive(Debug)]
pub struct Reporter {
    format: Format,
    verbosity: Verbosity,
}

impl Reporter {
    pub fn new(json: bool, quiet: bool) -> Self {
        Self {
            format: if json { Format::Json } else { Format::Text },
            verbosity: if quiet { Verbosity::Quiet } else { Verbosity::Normal },
        }
    }

    /// Prints what was asked for.
    pub fn result<R: Display + Serialize>(&self, report: &R) -> Result<(), CliError> {
        match self.format {
            Format::Text => {
                let text = report.to_string();
                let lines: String = text.lines().flat_map(|line| [printable(line), "\n".into()]).collect();
                print(lines.as_bytes())
            }
            Format::Json => {
                let mut text = serde_json::to_vec_pretty(report).map_err(|error| CliError::Print(error.into()))?;
                text.push(b'\n');
                print(&text)
            }
        }
    }

    /// Prints what a job did, unless that is not wanted: its result is a file.
    pub fn summary<R: Display + Serialize>(&self, report: &R) -> Result<(), CliError> {
        match (self.format, self.verbosity) {
            (Format::Text, Verbosity::Quiet) => Ok(()),
            _ => self.result(report),
        }
    }

    /// Warnings on standard error, of many modules with the same one only the first few. A JSON report holds them itself.
    pub fn warnings<W: Display>(&self, warnings: &[W]) {
        const SHOWN: usize = 3;
        if self.format != Format::Text {
            return;
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for warning in warnings {
            let text = warning.to_string();
            let of_module = text.split_once(": ").map_or("", |(_, rest)| rest).to_owned();
            let count = counts.entry(of_module).or_default();
            *count += 1;
            if *count <= SHOWN || !text.contains(": ") {
                let _ = writeln!(stderr(), "warning: {}", printable(&text));
            }
        }
        for (text, count) in counts.into_iter().filter(|(text, count)| !text.is_empty() && *count > SHOWN) {
            let _ = writeln!(stderr(), "warning: {} more: {}", count - SHOWN, printable(&text));
        }
    }

    /// A bar over the bytes of a job.
    pub fn job(&self) -> JobBar {
        JobBar { bar: self.bar("{bar:32} {decimal_bytes}/{decimal_total_bytes}, {eta} left  {wide_msg}", 0) }
    }

    /// A bar over the modules of a job.
    pub fn module_job(&self) -> JobBar {
        JobBar { bar: self.progress("modules", 0) }
    }

    /// A bar over so many things.
    pub fn progress(&self, what: &'static str, length: usize) -> ProgressBar {
        self.bar("{msg} {bar:32} {pos}/{len}, {eta} left", length as u64).with_message(what)
    }

    /// A bar on a terminal, nothing elsewhere.
    fn bar(&self, template: &str, length: u64) -> ProgressBar {
        if self.verbosity == Verbosity::Quiet || !stderr().is_terminal() {
            return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(length).with_style(style)
    }
}

/// The progress of a job, which an interrupt stops.
pub struct JobBar {
    bar: ProgressBar,
}

impl JobBar {
    /// Of a job on a model's bytes.
    pub fn tell(&mut self, event: Progress<'_>) -> ControlFlow<()> {
        match event {
            Progress::Started { bytes, .. } => self.bar.set_length(bytes),
            Progress::Tensor { name, bytes } => {
                self.bar.set_message(printable(name).into_owned());
                self.bar.inc(bytes);
            }
            _ => self.bar.set_message("finishing"),
        }
        go_on()
    }

    /// Of a job on an adapter's modules.
    pub fn tell_module(&mut self, event: Progress<'_>) -> ControlFlow<()> {
        if let Progress::Module { done, total, .. } = event {
            self.bar.set_length(total as u64);
            self.bar.set_position(done as u64);
        }
        go_on()
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn go_on() -> ControlFlow<()> {
    if interrupt::happened() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Bytes to standard output.
pub fn print(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(CliError::Print)
}

/// A text from a file, its control characters escaped, those of the writing direction too: names must not steer the terminal.
pub fn printable(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return text.into();
    }
    let mut safe = String::new();
    for c in text.chars() {
        if steers(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe.into()
}

/// A path in a JSON report, where it need not be valid Unicode.
pub fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// `1 module`, `2 modules`.
pub fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// `1234567` as `1.23 MB`.
pub fn bytes(count: u64) -> String {
    let (mut value, mut unit) = (count as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    let digits = if unit == "B" || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

/// Four significant digits, or a dash.
pub fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(value) if (1e-3..1e4).contains(&value.abs()) => {
            let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
            let text = format!("{value:.digits$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
        Some(value) => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        for (value, text) in [
            (1.0, "1"),
            (0.5, "0.5"),
            (12.3456, "12.35"),
            (1234.5, "1234"),
            (0.012345, "0.01235"),
            (9999.9, "10000"),
            (-0.25, "-0.25"),
            (100.0, "100"),
            (1.5e-5, "1.500e-5"),
            (0.0, "0"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(Some(value)), text);
        }
        assert_eq!(number(None), "-");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("‖ΔW‖ é"), "‖ΔW‖ é");
        assert_eq!(printable("a\u{1b}[31m\nb\t"), r"a\u{1b}[31m\nb\t");
        assert_eq!(printable("a\u{202e}b"), r"a\u{202e}b");
    }

    #[test]
    fn sizes_have_three_digits() {
        for (count, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (12_345, "12.3 kB"), (123_456_789, "123 MB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
