//! `lokr check`.

use std::fmt;
use std::path::{Path, PathBuf};

use lokr_checkpoint::{BaseModel, CheckReport, ConvertTo, Dialect, Fit, LoraLayout, Program, Remedy, check};
use serde::Serialize;

use super::open_base;
use crate::args::{CheckArgs, ReadArgs};
use crate::error::CliError;
use crate::report::{Reporter, lossy_path};
use crate::table::{Align, Table};
use crate::text::{counted, shell_words};

#[derive(Serialize)]
struct Report<'a> {
    #[serde(serialize_with = "lossy_path")]
    path: &'a Path,
    programs: Vec<Checked>,
}

/// A program's answer, and the command that makes it read the adapter.
#[derive(Serialize)]
pub(super) struct Checked {
    #[serde(flatten)]
    pub(super) report: CheckReport,
    pub(super) command: Option<String>,
}

/// What is checked.
pub(super) struct Question<'a> {
    pub(super) adapter: &'a Path,
    /// The base model, and where it was opened.
    pub(super) base: Option<(&'a BaseModel, &'a Path)>,
    pub(super) read: &'a ReadArgs,
}

pub(crate) fn run(args: &CheckArgs, reporter: &Reporter) -> Result<(), CliError> {
    let base = open_base(args.base.as_ref())?;
    let base = base.as_ref().zip(args.base.as_deref());
    let question = Question { adapter: &args.adapter, base, read: &args.read };
    let checked = question.ask(&args.programs)?;
    let not_read = checked.iter().filter(|checked| !checked.report.works);
    let not_read: Vec<_> = not_read.map(|checked| checked.report.program.to_string()).collect();
    reporter.result(&Report { path: &args.adapter, programs: checked })?;
    if not_read.is_empty() {
        return Ok(());
    }
    Err(CliError::NotRead { path: args.adapter.clone(), programs: not_read })
}

impl Question<'_> {
    pub(super) fn ask(&self, programs: &[Program]) -> Result<Vec<Checked>, CliError> {
        let reports = check(self.adapter, self.base.map(|(base, _)| base), programs, &self.read.options())?;
        let checked = reports.into_iter().map(|report| {
            let command = report.remedy.map(|remedy| self.command(report.program, remedy));
            Checked { report, command }
        });
        Ok(checked.collect())
    }

    /// A remedy as a command line.
    fn command(&self, program: Program, remedy: Remedy) -> String {
        let adapter = self.adapter.display().to_string();
        let base = self.base.map(|(_, path)| path.display().to_string());
        let mut words = vec!["lokr".to_owned()];
        match remedy {
            Remedy::Convert { to, needs_base } => {
                words.extend(["convert".to_owned(), adapter]);
                if let Some(base) = base.or_else(|| needs_base.then(|| "MODEL".to_owned())) {
                    words.extend(["--base".to_owned(), base]);
                }
                words.extend(target(to));
                words.extend(self.read.words());
                let out = self.output(program, is_directory(to));
                words.extend(["--out".to_owned(), out.display().to_string()]);
            }
            Remedy::Merge => {
                let base = base.unwrap_or_else(|| "MODEL".to_owned());
                words.extend(["merge", "--base", &base, "--adapter", &adapter].map(str::to_owned));
                words.extend(self.read.words());
                words.extend(["--out".to_owned(), "merged.safetensors".to_owned()]);
            }
        }
        shell_words(&words)
    }

    /// A name for the output, beside the adapter.
    fn output(&self, program: Program, is_directory: bool) -> PathBuf {
        let stem = self.adapter.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let ending = if is_directory { "" } else { ".safetensors" };
        self.adapter.with_file_name(format!("{stem}-{}{ending}", program.name()))
    }
}

/// The options of `lokr convert`.
fn target(to: ConvertTo) -> Vec<String> {
    let words: &[&str] = match to {
        ConvertTo::Dialect(Dialect::Dotted) => &["--to", "dotted", "--to-prefix", "diffusion_model."],
        ConvertTo::Dialect(Dialect::Kohya) => &["--to", "kohya"],
        ConvertTo::Dialect(Dialect::Lycoris) => &["--to", "lycoris"],
        ConvertTo::Dialect(Dialect::Peft) => &["--to", "peft"],
        ConvertTo::Lora(LoraLayout::Kohya) => &["--to", "kohya-lora"],
        ConvertTo::Lora(LoraLayout::Dotted) => &["--to", "dotted-lora"],
        _ => &["--to", "lora"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn is_directory(to: ConvertTo) -> bool {
    matches!(to, ConvertTo::Dialect(Dialect::Peft) | ConvertTo::Lora(LoraLayout::Peft))
}

impl Checked {
    /// The answer in a few words.
    pub(super) fn verdict(&self) -> String {
        let (total, failing) = (self.report.modules.len(), self.report.failing().count());
        let fails = self.report.failing().filter(|module| module.fit == Fit::Fails).count();
        match (self.report.works, failing) {
            (true, _) => format!("reads all {}", counted(total, "module")),
            (false, 0) => "does not read it".to_owned(),
            (false, _) if fails == total => format!("reads none of {}", counted(total, "module")),
            (false, _) if fails == 0 => {
                format!("reads {failing} of {} otherwise than trained", counted(total, "module"))
            }
            (false, _) => format!("does not read {failing} of {}", counted(total, "module")),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, checked) in self.programs.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let report = &checked.report;
            writeln!(f, "{} {} of {}", report.program, checked.verdict(), self.path.display())?;
            for problem in &report.problems {
                writeln!(f, "  {problem}")?;
            }
            let mut table = Table::new(vec![("module", Align::Left), ("algorithm", Align::Left), ("why", Align::Left)]);
            for module in report.failing() {
                let reason = module.reason.clone().unwrap_or_default();
                table.row(vec![module.name.clone(), module.algorithm.to_owned(), reason]);
            }
            if report.failing().next().is_some() {
                writeln!(f, "\n{table}")?;
            }
            match &checked.command {
                Some(command) => writeln!(f, "this makes it work:\n  {command}")?,
                None if !report.works => writeln!(f, "nothing that lokr does is known to help")?,
                None => {}
            }
            if let Some(note) = report.note {
                writeln!(f, "note: {note}")?;
            }
        }
        Ok(())
    }
}
