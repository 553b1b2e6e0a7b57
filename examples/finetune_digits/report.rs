//! What is printed: progress while a network trains, the table at the end.

use std::io::{self, IsTerminal, Write, stderr, stdout};

use indicatif::{ProgressBar, ProgressStyle};
use lokr::layers::EpochReport;

use super::training::Run;

/// Lines of progress for a whole run where there is no terminal.
const LINES: usize = 5;

/// Progress of one training run: a bar on a terminal, a few plain lines otherwise.
pub struct Meter {
    epochs: usize,
    show: Show,
}

enum Show {
    Nothing,
    Lines,
    Bar(ProgressBar),
}

impl Meter {
    pub fn new(name: &str, epochs: usize, quiet: bool) -> Self {
        let show = if quiet {
            Show::Nothing
        } else if stderr().is_terminal() {
            let style = ProgressStyle::with_template("{prefix:<22} {bar:16} {pos:>3}/{len}  {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            Show::Bar(ProgressBar::new(epochs as u64).with_style(style).with_prefix(name.to_owned()))
        } else {
            say(format_args!("{name}"));
            Show::Lines
        };
        Self { epochs, show }
    }

    /// To be called after each epoch.
    pub fn epoch(&self, report: &EpochReport) {
        let message = || {
            let accuracy = report.validation.and_then(|v| v.accuracy).unwrap_or(f64::NAN);
            format!("loss {:.4}  validation {}", report.loss, percent(accuracy))
        };
        match &self.show {
            Show::Nothing => {}
            Show::Lines => {
                if report.epoch.is_multiple_of(self.epochs.div_ceil(LINES)) || report.epoch == self.epochs {
                    say(format_args!("  epoch {:>3}/{}  {}", report.epoch, self.epochs, message()));
                }
            }
            Show::Bar(bar) => {
                bar.set_message(message());
                bar.inc(1);
                if report.epoch == self.epochs {
                    bar.finish();
                }
            }
        }
    }
}

/// A line of progress. If nobody reads it any more, the report, which follows, will find out.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(stdout(), "{line}");
}

/// Writes a table of `runs`, with the share that each trains of `full` parameters.
pub fn write_table<'a>(out: &mut impl Write, runs: impl IntoIterator<Item = &'a Run>, full: usize) -> io::Result<()> {
    writeln!(out, "{:<28} {:>10} {:>9} {:>14} {:>8}", "method", "trainable", "of full", "shifted test", "seconds")?;
    for run in runs {
        writeln!(
            out,
            "{:<28} {:>10} {:>9} {:>14} {:>8.1}",
            run.name,
            run.trainable,
            percent(run.trainable as f64 / full as f64),
            percent(run.test_accuracy),
            run.time.as_secs_f64()
        )?;
    }
    Ok(())
}

/// `0.973` as `97.3 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
