//! `lokr extract`.

use std::fmt;

use lokr_checkpoint::{
    BaseModel, Dialect, ExtractOptions, ExtractReport, FactorSize, PartOutput, extract, extract_part,
};

use super::begin_part;
use super::written::Written;
use crate::args::ExtractArgs;
use crate::error::CliError;
use crate::outputs::check_kind;
use crate::report::Reporter;
use crate::table::{Align, Table};
use crate::text::{counted, dimensions, number, rank};

pub(crate) fn run(args: &ExtractArgs, reporter: &Reporter) -> Result<(), CliError> {
    let out = begin_part(&args.output, args.shard)?;
    let dialect = Dialect::from(args.to);
    if args.terms > 1 && dialect != Dialect::Terms {
        return Err(CliError::Terms { terms: args.terms, dialect });
    }
    check_kind(&args.output.out, dialect)?;
    // Where all splits are by one factor, not each weight can have its own.
    let by_energy = matches!(args.size.size(), Some(FactorSize::Energy(_)));
    let even = (dialect.has_one_factor() && by_energy).then_some(-1);
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
    if let Some(part) = args.shard {
        let output = PartOutput { out: &args.output.out, part, dialect, overwrite: args.output.overwrite() };
        let report = reporter.job_over_modules(|progress| extract_part(&base, &tuned, &output, &options, progress))?;
        return reporter.summary(&Written { out: &out, dialect, report, warnings: None });
    }
    let extraction = reporter.job_over_modules(|progress| extract(&base, &tuned, &options, progress))?;
    let report = extraction.report.clone();
    extraction.into_adapter(dialect)?.write(&out, args.output.overwrite())?;
    reporter.summary(&Written { out: &out, dialect, report, warnings: None })
}

impl fmt::Display for Written<'_, ExtractReport> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = self.report.modules.iter().any(|module| module.terms > 1);
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
        for module in &self.report.modules {
            let mut cells = vec![
                module.name.clone(),
                dimensions(&module.weight),
                dimensions(&module.w1),
                dimensions(&module.w2),
                rank(module.rank),
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
        for left in &self.report.not_adapted {
            writeln!(f, "differs, but is not in the adapter: {} ({})", left.tensor, left.reason)?;
        }
        if self.report.parameters == 0 && !self.report.modules.is_empty() {
            write!(f, "values and energy are counted when all parts are joined; ")?;
            return self.write_destination(f);
        }
        write!(
            f,
            "{} {} {} of the energy; {} {} unchanged; ",
            counted(self.report.parameters, "value"),
            if self.report.parameters == 1 { "captures" } else { "capture" },
            number(Some(self.report.energy)),
            counted(self.report.unchanged, "tensor"),
            if self.report.unchanged == 1 { "is" } else { "are" },
        )?;
        self.write_destination(f)
    }
}
