//! `lokr extract`.

use std::fmt;
use std::path::Path;

use lokr_checkpoint::{Adapter, BaseModel, Dialect, ExtractOptions, ExtractReport, extract};
use serde::Serialize;

use super::sizes;
use crate::args::ExtractArgs;
use crate::error::{CliError, check_absent};
use crate::interrupt;
use crate::report::{Reporter, number};
use crate::table::{Align, Table};

#[derive(Serialize)]
struct Report<'a> {
    out: &'a Path,
    dialect: String,
    #[serde(flatten)]
    extract: ExtractReport,
}

pub fn run(args: &ExtractArgs, reporter: &Reporter) -> Result<(), CliError> {
    interrupt::catch()?;
    check_absent(&args.out, args.force)?;
    let (base, tuned) = (BaseModel::open(&args.base)?, BaseModel::open(&args.tuned)?);
    let options = ExtractOptions {
        factor: args.factor,
        size: args.size.size().unwrap_or_default(),
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        min_change: args.min_change,
        kind: args.dtype.map(Into::into),
        ..ExtractOptions::default()
    };
    let mut bar = reporter.module_job();
    let extraction = extract(&base, &tuned, &options, &mut |at| bar.tell_module(at));
    bar.finish();
    let extraction = extraction?;
    let dialect = Dialect::from(args.to);
    // One term is asked for, so one adapter comes out.
    let modules = extraction.terms.into_iter().flatten().map(|(_, module)| module);
    Adapter::from_modules(dialect, modules)?.write(&args.out, args.overwrite())?;
    reporter.summary(&Report { out: &args.out, dialect: dialect.to_string(), extract: extraction.report })
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(vec![
            ("module", Align::Left),
            ("weight", Align::Left),
            ("w1", Align::Left),
            ("w2", Align::Left),
            ("rank", Align::Right),
            ("values", Align::Right),
            ("‖D‖/‖W‖", Align::Right),
            ("energy captured", Align::Right),
        ]);
        for module in &self.extract.modules {
            table.row(vec![
                module.name.clone(),
                sizes(&module.weight),
                sizes(&module.w1),
                sizes(&module.w2),
                module.rank.map_or("-".to_owned(), |rank| rank.to_string()),
                module.parameters.to_string(),
                number(Some(module.relative_change)),
                number(Some(module.energy)),
            ]);
        }
        writeln!(f, "{table}")?;
        for left in &self.extract.not_adapted {
            writeln!(f, "differs, but is not in the adapter: {} ({:?})", left.tensor, left.reason)?;
        }
        writeln!(
            f,
            "{} values capture {} of the energy; {} tensors are unchanged; {} dialect, written to {}",
            self.extract.parameters,
            number(Some(self.extract.energy)),
            self.extract.unchanged,
            self.dialect,
            self.out.display()
        )
    }
}
