//! `lokr resize`.

use std::fmt;
use std::path::Path;

use lokr_checkpoint::{Adapter, BaseModel, ResizeOptions, ResizeReport, Resized, resize};
use serde::Serialize;

use super::{open_kernels, sizes, warnings};
use crate::args::ResizeArgs;
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
    resize: ResizeReport,
    warnings: Vec<String>,
}

pub fn run(args: &ResizeArgs, reporter: &Reporter) -> Result<(), CliError> {
    interrupt::catch()?;
    check_output(&args.out, args.force)?;
    let adapter = Adapter::read(&args.adapter, &args.read.options())?;
    check_kind(&args.out, adapter.dialect())?;
    let base = args.base.as_ref().map(BaseModel::open).transpose()?;
    let options = ResizeOptions {
        factor: args.factor,
        size: args.size.size(),
        dtype: args.dtype.map(Into::into),
        ..ResizeOptions::default()
    };
    let mut bar = reporter.module_job();
    let resized = resize(&adapter, base.as_ref(), &options, &mut |at| bar.tell_module(at));
    bar.finish();
    let Resized { adapter: new, report } = resized?;
    new.write(&args.out, args.overwrite())?;
    let mut warnings = warnings([&adapter, &new]);
    if args.size.size().is_some() {
        warnings.extend(open_kernels(&adapter, base.as_ref()));
    }
    reporter.warnings(&warnings);
    reporter.summary(&Report { out: &args.out, dialect: new.dialect().to_string(), resize: report, warnings })
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(vec![
            ("module", Align::Left),
            ("w1", Align::Left),
            ("w2", Align::Left),
            ("rank", Align::Left),
            ("‖ΔW‖", Align::Right),
            ("energy kept", Align::Right),
        ]);
        for module in &self.resize.modules {
            table.row(vec![
                module.name.clone(),
                change(module.w1.map(|(rows, columns)| sizes(&[rows, columns]))),
                change(module.w2.map(|(rows, columns)| sizes(&[rows, columns]))),
                change(module.rank.map(|rank| rank.map_or("-".to_owned(), |rank| rank.to_string()))),
                number(Some(module.norm)),
                number(Some(module.energy)),
            ]);
        }
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "{} values instead of {}, energy kept in all: {}; {} dialect, written to {}",
            self.resize.parameters,
            self.resize.parameters_before,
            number(Some(self.resize.energy)),
            self.dialect,
            self.out.display()
        )
    }
}

/// `before → now`, once where they are the same.
fn change([before, now]: [String; 2]) -> String {
    if before == now { now } else { format!("{before} → {now}") }
}
