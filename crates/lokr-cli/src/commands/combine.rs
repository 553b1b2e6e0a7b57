//! `lokr combine`.

use std::fmt;
use std::path::Path;

use lokr_checkpoint::{Adapter, CombineOptions, CombineReport, Dialect, FactorSize, combine};
use serde::Serialize;

use crate::args::CombineArgs;
use crate::error::{CliError, check_absent};
use crate::interrupt;
use crate::report::{Reporter, number};
use crate::table::{Align, Table};

#[derive(Serialize)]
struct Report<'a> {
    out: &'a Path,
    #[serde(flatten)]
    combine: CombineReport,
}

pub fn run(args: &CombineArgs, reporter: &Reporter) -> Result<(), CliError> {
    interrupt::catch()?;
    check_absent(&args.out, args.force)?;
    let (adapters, multipliers) = (args.adapters.len(), args.weights.len());
    if multipliers != 0 && multipliers != adapters {
        return Err(CliError::Multipliers { adapters, multipliers });
    }
    let options = args.read.options();
    let adapters = args.adapters.iter().map(|path| Adapter::read(path, &options)).collect::<Result<Vec<_>, _>>()?;
    // Names of the other dialects are not those of the model, so a new file could not be named like the old ones.
    let unsuited = |adapter: &&Adapter| adapter.dialect() != Dialect::Peft || !adapter.extra().is_empty();
    if let Some(adapter) = adapters.iter().find(unsuited) {
        return Err(CliError::Combine { path: adapter.path().to_owned(), dialect: adapter.dialect() });
    }
    let weights = args.weights.iter().copied().chain(std::iter::repeat(1.0));
    let pairs: Vec<_> = adapters.iter().zip(weights).collect();
    let size = match (args.rank, args.energy) {
        (Some(rank), _) => Some(FactorSize::Rank(rank)),
        (None, Some(share)) => Some(FactorSize::Energy(share)),
        (None, None) => None,
    };
    let bar = reporter.progress("modules", 0);
    let combination = combine(&pairs, &CombineOptions { size, kind: args.dtype.map(Into::into) }, &mut |at| {
        interrupt::exit_if_happened();
        bar.set_length(at.total as u64);
        bar.set_position(at.done as u64);
    })?;
    bar.finish_and_clear();
    Adapter::from_modules(Dialect::Peft, combination.modules.into_values())?.write(&args.out, args.overwrite())?;
    for adapter in &adapters {
        reporter.warnings(adapter.warnings());
    }
    reporter.summary(&Report { out: &args.out, combine: combination.report })
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
            "energy of the sum captured in all: {}; written to {}",
            number(Some(self.combine.energy)),
            self.out.display()
        )
    }
}
