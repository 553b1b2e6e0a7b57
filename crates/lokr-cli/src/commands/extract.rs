//! `lokr extract`.

use std::fmt;
use std::path::Path;

use lokr_checkpoint::{BaseModel, Dialect, ExtractOptions, ExtractReport, FactorSize, extract};
use serde::Serialize;

use super::sizes;
use crate::args::ExtractArgs;
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
    extract: ExtractReport,
}

pub fn run(args: &ExtractArgs, reporter: &Reporter) -> Result<(), CliError> {
    interrupt::catch()?;
    check_output(&args.out, args.force)?;
    let dialect = Dialect::from(args.to);
    if args.terms > 1 && dialect != Dialect::Terms {
        return Err(CliError::Terms { terms: args.terms, dialect });
    }
    check_kind(&args.out, dialect)?;
    // PEFT makes all splits by one factor, so that not each weight can have its own.
    let by_energy = matches!(args.size.size(), Some(FactorSize::Energy(_)));
    let even = (dialect == Dialect::Peft && by_energy).then_some(-1);
    let (base, tuned) = (BaseModel::open(&args.base)?, BaseModel::open(&args.tuned)?);
    let options = ExtractOptions {
        factor: args.factor.or(even),
        size: args.size.size().unwrap_or_default(),
        terms: args.terms,
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        min_change: args.min_change,
        dtype: args.dtype.map(Into::into),
        ..ExtractOptions::default()
    };
    let mut bar = reporter.module_job();
    let extraction = extract(&base, &tuned, &options, &mut |at| bar.tell_module(at));
    bar.finish();
    let extraction = extraction?;
    let report = Report { out: &args.out, dialect: dialect.to_string(), extract: extraction.report.clone() };
    extraction.into_adapter(dialect)?.write(&args.out, args.overwrite())?;
    reporter.summary(&report)
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = self.extract.modules.iter().any(|module| module.terms > 1);
        let mut columns = vec![
            ("module", Align::Left),
            ("weight", Align::Left),
            ("w1", Align::Left),
            ("w2", Align::Left),
            ("rank", Align::Right),
            ("values", Align::Right),
            ("‖D‖/‖W‖", Align::Right),
            ("energy captured", Align::Right),
        ];
        if several {
            columns.insert(1, ("terms", Align::Right));
        }
        let mut table = Table::new(columns);
        for module in &self.extract.modules {
            let mut cells = vec![
                module.name.clone(),
                sizes(&module.weight),
                sizes(&module.w1),
                sizes(&module.w2),
                module.rank.map_or("-".to_owned(), |rank| rank.to_string()),
                module.parameters.to_string(),
                number(Some(module.relative_change)),
                number(Some(module.energy)),
            ];
            if several {
                cells.insert(1, module.terms.to_string());
            }
            table.row(cells);
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
