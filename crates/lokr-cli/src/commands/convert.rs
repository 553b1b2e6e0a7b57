//! `lokr convert`.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;
use lokr_checkpoint::file::{OutputForm, check_output_form};
use lokr_checkpoint::{
    Adapter, CheckpointError, ConvertOptions, Dialect, LoraLayout, LoraOptions, LoraRank, LoraReport, OutputError,
    to_lora,
};
use serde::Serialize;

use super::written::{unknown_kernels, warnings};
use super::{begin, open_base};
use crate::args::{ConvertArgs, Target};
use crate::error::CliError;
use crate::report::{Reporter, lossy_path};
use crate::table::{Align, Table};
use crate::text::{counted, number};

#[derive(Serialize)]
struct Report<'a> {
    #[serde(serialize_with = "lossy_path")]
    out: &'a Path,
    from: String,
    to: String,
    modules: usize,
    /// Left out by name, as asked.
    left_out: Vec<String>,
    /// Tensors that another type rounds, and by how much relative to their norm.
    roundings: Vec<Loss>,
    /// Of a LoRA: what it captures.
    lora: Option<LoraReport>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Loss {
    module: String,
    key: &'static str,
    relative_error: f64,
}

pub(crate) fn run(args: &ConvertArgs, reporter: &Reporter) -> Result<(), CliError> {
    begin(&args.output)?;
    check_options(args)?;
    check_form(args)?;
    let adapter = Adapter::read(&args.adapter, &args.read.options())?;
    let base = open_base(args.base.as_ref())?;
    let mut report = Report {
        out: &args.output.out,
        from: adapter.dialect().to_string(),
        to: String::new(),
        modules: adapter.modules().len() + adapter.others().len(),
        left_out: adapter.left_out().to_vec(),
        roundings: Vec::new(),
        lora: None,
        warnings: warnings([&adapter]),
    };
    let dtype = args.dtype.map(Into::into);
    match args.to {
        Target::Lora(layout) => {
            let rank = args.rank.map_or(LoraRank::Exact, LoraRank::Best);
            let options = LoraOptions { layout, rank, dtype, scale: args.scale, prefix: args.to_prefix.clone() };
            let lora = reporter.job_over_modules(|progress| to_lora(&adapter, base.as_ref(), &options, progress))?;
            lora.write(&args.output.out, args.output.overwrite())?;
            report.to = layout.to_string();
            report.warnings.extend(unknown_kernels(&adapter, base.as_ref()));
            report.lora = Some(lora.report);
        }
        Target::Dialect(dialect) => {
            let dialect = Dialect::from(dialect);
            let options = ConvertOptions {
                prefix: args.to_prefix.clone(),
                dtype,
                scale: args.scale,
                ..ConvertOptions::to(dialect)
            };
            let conversion = adapter.convert(&options, base.as_ref())?;
            conversion.adapter.write(&args.output.out, args.output.overwrite())?;
            report.to = dialect.to_string();
            report.warnings.extend(warnings([&conversion.adapter]));
            report.roundings = conversion
                .roundings
                .into_iter()
                .map(|r| Loss { module: r.module, key: r.key, relative_error: r.relative_error })
                .collect();
        }
    }
    report.warnings.dedup();
    reporter.warnings(&report.warnings);
    reporter.summary(&report)
}

/// An option that would have no effect is a mistake.
fn check_options(args: &ConvertArgs) -> Result<(), CliError> {
    let option = match args.to {
        Target::Lora(LoraLayout::Peft) if args.to_prefix.is_some() => "--to-prefix",
        Target::Dialect(_) if args.rank.is_some() => "--rank",
        _ => return Ok(()),
    };
    let to = args.to.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    Err(CliError::NoEffect { option, to })
}

/// An error for a directory where a file should be, for the reverse, and for a directory by the name of a file.
fn check_form(args: &ConvertArgs) -> Result<(), CliError> {
    let (form, one_file) = match args.to {
        Target::Lora(layout) => (layout.form(), "--to kohya-lora and --to dotted-lora write one file"),
        Target::Dialect(dialect) => (Dialect::from(dialect).form(), "all dialects but PEFT's write one file"),
    };
    check_output_form(&args.output.out, form).map_err(|error| match error.cause() {
        CheckpointError::Output(OutputError::DirectoryName { .. }) if form == OutputForm::Directory => {
            CliError::DirectoryName { path: args.output.out.clone(), one_file }
        }
        _ => error.into(),
    })
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(lora) = &self.lora {
            let mut table = Table::new(vec![
                ("module", Align::Left),
                ("rank", Align::Right),
                ("‖ΔW‖", Align::Right),
                ("energy captured", Align::Right),
            ]);
            for module in &lora.modules {
                table.row(vec![
                    module.name.clone(),
                    module.rank.to_string(),
                    number(Some(module.norm)),
                    number(Some(module.energy)),
                ]);
            }
            writeln!(f, "{table}")?;
            writeln!(
                f,
                "{} values instead of {}, energy captured in all: {}",
                lora.lora_parameters,
                lora.lokr_parameters,
                number(Some(lora.energy))
            )?;
        }
        for loss in &self.roundings {
            writeln!(f, "{}.{}: rounded by {:.2e} of its norm", loss.module, loss.key, loss.relative_error)?;
        }
        for module in &self.left_out {
            writeln!(f, "left out, as asked: {module}")?;
        }
        let modules = counted(self.modules, "module");
        writeln!(f, "{modules} from {} to {}, written to {}", self.from, self.to, self.out.display())
    }
}
