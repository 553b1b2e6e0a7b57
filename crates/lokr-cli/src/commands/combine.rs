//! `lokr combine`.

use std::fmt;

use lokr_checkpoint::{Adapter, Combination, CombineOptions, CombineReport, combine};

use super::written::{Written, unknown_kernels, warnings};
use super::{begin, one_for_each, open_base};
use crate::args::CombineArgs;
use crate::error::CliError;
use crate::outputs::check_kind;
use crate::report::Reporter;
use crate::table::{Align, Table};
use crate::text::{number, rank};

pub(crate) fn run(args: &CombineArgs, reporter: &Reporter) -> Result<(), CliError> {
    begin(&args.output)?;
    let weights = one_for_each("weight", &args.weights, args.adapters.len())?;
    let options = args.read.options();
    let adapters = args.adapters.iter().map(|path| Adapter::read(path, &options)).collect::<Result<Vec<_>, _>>()?;
    check_kind(&args.output.out, adapters[0].dialect())?;
    let base = open_base(args.base.as_ref())?;
    let pairs: Vec<_> = adapters.iter().zip(weights).collect();
    let options = CombineOptions { size: args.size.size(), dtype: args.dtype.map(Into::into) };
    let combination = reporter.job_over_modules(|progress| combine(&pairs, base.as_ref(), &options, progress));
    let Combination { adapter: combined, report } = combination?;
    combined.write(&args.output.out, args.output.overwrite())?;
    let mut warnings = warnings(adapters.iter().chain([&combined]));
    warnings.extend(adapters.iter().filter_map(|adapter| unknown_kernels(adapter, base.as_ref())));
    warnings.dedup();
    reporter.warnings(&warnings);
    reporter.summary(&Written { out: &args.output.out, dialect: combined.dialect(), report, warnings: Some(warnings) })
}

impl fmt::Display for Written<'_, CombineReport> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(vec![
            ("module", Align::Left),
            ("summands", Align::Right),
            ("rank", Align::Right),
            ("‖sum‖", Align::Right),
            ("energy captured", Align::Right),
        ]);
        for module in &self.report.modules {
            table.row(vec![
                module.name.clone(),
                module.summands.to_string(),
                rank(module.rank),
                number(Some(module.norm)),
                number(Some(module.energy)),
            ]);
        }
        writeln!(f, "{table}")?;
        write!(f, "energy of the sums captured in all: {}; ", number(Some(self.report.energy)))?;
        self.write_destination(f)
    }
}
