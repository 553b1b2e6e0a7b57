//! `lokr combine`.

use std::fmt;
use std::path::Path;

use lokr_checkpoint::{Adapter, BaseModel, Combination, CombineOptions, CombineReport, combine};
use serde::Serialize;

use super::{open_kernels, warnings};
use crate::args::CombineArgs;
use crate::error::{CliError, check_kind, check_output};
use crate::interrupt;
use crate::report::{Reporter, lossy, number};
use crate::table::{Align, Table};

#[derive(Serialize)]
struct Report<'a> {
    #[serde(serialize_with = "lossy")]
    out: &'a Path,
    dialect: String,
    #[serde(flatten)]
    combine: CombineReport,
    warnings: Vec<String>,
}

pub fn run(args: &CombineArgs, reporter: &Reporter) -> Result<(), CliError> {
    interrupt::catch()?;
    check_output(&args.out, args.force)?;
    let (adapters, given) = (args.adapters.len(), args.weights.len());
    if given != 0 && given != adapters {
        return Err(CliError::OneForEach { what: "weight", adapters, given });
    }
    let options = args.read.options();
    let adapters = args.adapters.iter().map(|path| Adapter::read(path, &options)).collect::<Result<Vec<_>, _>>()?;
    check_kind(&args.out, adapters[0].dialect())?;
    let base = args.base.as_ref().map(BaseModel::open).transpose()?;
    let weights = args.weights.iter().copied().chain(std::iter::repeat(1.0));
    let pairs: Vec<_> = adapters.iter().zip(weights).collect();
    let options = CombineOptions { size: args.size.size(), dtype: args.dtype.map(Into::into) };
    let mut bar = reporter.module_job();
    let combination = combine(&pairs, base.as_ref(), &options, &mut |at| bar.tell_module(at));
    bar.finish();
    let Combination { adapter: combined, report } = combination?;
    combined.write(&args.out, args.overwrite())?;
    let mut warnings = warnings(adapters.iter().chain([&combined]));
    warnings.extend(adapters.iter().filter_map(|adapter| open_kernels(adapter, base.as_ref())));
    warnings.dedup();
    reporter.warnings(&warnings);
    reporter.summary(&Report { out: &args.out, dialect: combined.dialect().to_string(), combine: report, warnings })
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(vec![
            ("module", Align::Left),
            ("summands", Align::Right),
            ("rank", Align::Right),
            ("‖sum‖", Align::Right),
            ("energy captured", Align::Right),
        ]);
        for module in &self.combine.modules {
            table.row(vec![
                module.name.clone(),
                module.summands.to_string(),
                module.rank.map_or("-".to_owned(), |rank| rank.to_string()),
                number(Some(module.norm)),
                number(Some(module.energy)),
            ]);
        }
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "energy of the sums captured in all: {}; {} dialect, written to {}",
            number(Some(self.combine.energy)),
            self.dialect,
            self.out.display()
        )
    }
}
