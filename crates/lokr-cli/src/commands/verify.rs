//! `lokr verify`.

use std::fmt;

use lokr_checkpoint::{BaseModel, Expectation, Verdict, VerifyOptions, VerifyReport, verify};
use serde::Serialize;

use super::applied::{Applied, warn_left_out, write_adapters};
use crate::args::VerifyArgs;
use crate::error::CliError;
use crate::interrupt;
use crate::report::Reporter;
use crate::table::{Align, Table};
use crate::text::{counted, number};

#[derive(Serialize)]
#[serde(transparent)]
struct Report(VerifyReport);

pub(crate) fn run(args: &VerifyArgs, reporter: &Reporter) -> Result<(), CliError> {
    interrupt::catch()?;
    let adapters = Applied::read(&args.apply)?;
    let (base, merged) = (BaseModel::open(&args.base)?, BaseModel::open(&args.merged)?);
    let options =
        VerifyOptions { unmatched: args.apply.unmatched(), whole: args.apply.whole(), tolerance: args.tolerance };
    let pairs = adapters.pairs();
    let report = reporter.job_over_bytes(|progress| verify(&base, &pairs, &merged, &options, progress))?;
    adapters.warn(reporter);
    let wrong = report.tensors.iter().filter(|tensor| tensor.verdict == Verdict::Mismatch).count();
    let others = report.missing.len() + report.extra.len();
    let report = Report(report);
    reporter.result(&report)?;
    warn_left_out(reporter, &report.0.adapters);
    match report.0.verdict {
        Verdict::Match => Ok(()),
        Verdict::Mismatch => Err(CliError::Mismatch { path: args.merged.clone(), wrong, others }),
    }
}

/// An error by its power of ten; none is `0`.
fn size(error: f64) -> String {
    if error == 0.0 { "0".to_owned() } else { format!("{error:.2e}") }
}

/// Tensors that nothing should change are listed only where they differ.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_adapters(f, &self.0.adapters)?;
        let mut table = Table::new(vec![
            ("tensor", Align::Left),
            ("verdict", Align::Left),
            ("values out", Align::Right),
            ("largest error", Align::Right),
            ("relative", Align::Right),
            ("share of the change", Align::Right),
        ]);
        let mut unchanged = 0;
        for tensor in &self.0.tensors {
            if tensor.expected == Expectation::Unchanged && tensor.verdict == Verdict::Match {
                unchanged += 1;
                continue;
            }
            table.row(vec![
                tensor.name.clone(),
                if tensor.verdict == Verdict::Match { "match" } else { "MISMATCH" }.to_owned(),
                tensor.wrong.to_string(),
                size(tensor.largest_error),
                size(tensor.relative_error),
                number(tensor.share),
            ]);
        }
        writeln!(f, "{table}")?;
        let verb = if unchanged == 1 { "is" } else { "are" };
        writeln!(f, "{} {verb} the base model's", counted(unchanged, "other tensor"))?;
        for name in &self.0.missing {
            writeln!(f, "missing: {name}")?;
        }
        for name in &self.0.extra {
            writeln!(f, "not in the base model: {name}")?;
        }
        Ok(())
    }
}
