//! `lokr resize`.

use std::fmt;

use lokr_checkpoint::{Adapter, ResizeOptions, ResizeReport, Resized, resize};

use super::written::{Written, unknown_kernels, warnings};
use super::{begin, open_base};
use crate::args::ResizeArgs;
use crate::error::CliError;
use crate::outputs::check_kind;
use crate::report::Reporter;
use crate::table::{Align, Table};
use crate::text::{dimensions, number, rank};

pub(crate) fn run(args: &ResizeArgs, reporter: &Reporter) -> Result<(), CliError> {
    begin(&args.output)?;
    let adapter = Adapter::read(&args.adapter, &args.read.options())?;
    check_kind(&args.output.out, adapter.dialect())?;
    let base = open_base(args.base.as_ref())?;
    let options = ResizeOptions {
        factor: args.factor,
        size: args.size.size(),
        dtype: args.dtype.map(Into::into),
        ..ResizeOptions::default()
    };
    let resized = reporter.job_over_modules(|progress| resize(&adapter, base.as_ref(), &options, progress));
    let Resized { adapter: new, report } = resized?;
    new.write(&args.output.out, args.output.overwrite())?;
    let mut warnings = warnings([&adapter, &new]);
    if args.size.size().is_some() {
        warnings.extend(unknown_kernels(&adapter, base.as_ref()));
    }
    reporter.warnings(&warnings);
    reporter.summary(&Written { out: &args.output.out, dialect: new.dialect(), report, warnings: Some(warnings) })
}

impl fmt::Display for Written<'_, ResizeReport> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(vec![
            ("module", Align::Left),
            ("w1", Align::Left),
            ("w2", Align::Left),
            ("rank", Align::Left),
            ("‖ΔW‖", Align::Right),
            ("energy kept", Align::Right),
        ]);
        for module in &self.report.modules {
            table.row(vec![
                module.name.clone(),
                change(module.w1.map(|(rows, columns)| dimensions(&[rows, columns]))),
                change(module.w2.map(|(rows, columns)| dimensions(&[rows, columns]))),
                change(module.rank.map(rank)),
                number(Some(module.norm)),
                number(Some(module.energy)),
            ]);
        }
        writeln!(f, "{table}")?;
        write!(
            f,
            "{} values instead of {}, energy kept in all: {}; ",
            self.report.parameters,
            self.report.parameters_before,
            number(Some(self.report.energy))
        )?;
        self.write_destination(f)
    }
}

/// `before → now`, once where they are the same.
fn change([before, now]: [String; 2]) -> String {
    if before == now { now } else { format!("{before} → {now}") }
}
