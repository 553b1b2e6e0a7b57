//! How results, warnings and progress are shown.

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
use crate::text::printable;

/// What results are printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Whether progress is shown, and the report of a job whose result is a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Normal,
    Quiet,
}

/// Results go to standard output, everything else to standard error.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) format: Format,
    pub(crate) verbosity: Verbosity,
}

impl Reporter {
    /// Prints what was asked for.
    pub(crate) fn result<R: Display + Serialize>(&self, report: &R) -> Result<(), CliError> {
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
    pub(crate) fn summary<R: Display + Serialize>(&self, report: &R) -> Result<(), CliError> {
        match (self.format, self.verbosity) {
            (Format::Text, Verbosity::Quiet) => Ok(()),
            _ => self.result(report),
        }
    }

    /// Warnings on standard error, of many modules with the same one only the first few. A JSON report holds them
    /// itself.
    pub(crate) fn warnings<W: Display>(&self, warnings: &[W]) {
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

    /// Runs a job under a bar over the bytes of a model; an interrupt stops it.
    pub(crate) fn job_over_bytes<R>(
        &self,
        job: impl FnOnce(&mut dyn FnMut(Progress<'_>) -> ControlFlow<()>) -> R,
    ) -> R {
        let bar = self.bar("{bar:32} {decimal_bytes}/{decimal_total_bytes}, {eta} left  {wide_msg}", 0);
        let result = job(&mut |event| {
            match event {
                Progress::Started { bytes, .. } => bar.set_length(bytes),
                Progress::Tensor { name, bytes } => {
                    bar.set_message(printable(name).into_owned());
                    bar.inc(bytes);
                }
                _ => bar.set_message("finishing"),
            }
            interrupt::continue_unless_interrupted()
        });
        bar.finish_and_clear();
        result
    }

    /// Runs a job under a bar over the modules of an adapter; an interrupt stops it.
    pub(crate) fn job_over_modules<R>(
        &self,
        job: impl FnOnce(&mut dyn FnMut(Progress<'_>) -> ControlFlow<()>) -> R,
    ) -> R {
        let bar = self.module_bar(0);
        let result = job(&mut |event| {
            if let Progress::Module { done, total, .. } = event {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            }
            interrupt::continue_unless_interrupted()
        });
        bar.finish_and_clear();
        result
    }

    /// A bar over so many modules.
    pub(crate) fn module_bar(&self, modules: usize) -> ProgressBar {
        self.bar("{msg} {bar:32} {pos}/{len}, {eta} left", modules as u64).with_message("modules")
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

/// Bytes to standard output.
pub(crate) fn print(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(CliError::Print)
}

/// A path in a JSON report, where it need not be valid Unicode.
pub(crate) fn lossy_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
