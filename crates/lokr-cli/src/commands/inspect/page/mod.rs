//! The adapter as one page for a browser: no script, nothing from elsewhere, every name escaped.
//!
//! - [`spectrum`]: the singular values of a module's change, and a small picture of them.
//! - [`tree`]: the modules by the parts of their names.
//! - [`html`]: texts as HTML.

mod html;
mod spectrum;
mod tree;

use std::fmt::Write;
use std::path::Path;

use lokr_checkpoint::{Adapter, Program};
use rayon::prelude::*;

use self::html::escaped;
use self::spectrum::Spectrum;
use self::tree::{Group, Line};
use super::Report;
use super::picture::Norms;
use crate::args::InspectArgs;
use crate::commands::check::{Checked, Question};
use crate::error::CliError;
use crate::outputs::{check_output, write_whole};
use crate::plot;
use crate::text::counted;

const STYLE: &str = include_str!("page.css");

/// Where the page goes.
pub(super) struct Page<'a> {
    path: &'a Path,
}

impl<'a> Page<'a> {
    /// The one that the command line asks for; an error if it cannot be where it should.
    pub(super) fn asked_for(args: &'a InspectArgs) -> Result<Option<Self>, CliError> {
        let Some(path) = &args.html else { return Ok(None) };
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        if !matches!(ending.as_str(), "html" | "htm") {
            return Err(CliError::Extension { path: path.clone(), expected: ".html" });
        }
        check_output(path, args.overwrite())?;
        Ok(Some(Self { path }))
    }

    pub(super) fn write(
        &self,
        adapter: &Adapter,
        report: &Report,
        norms: Norms,
        question: &Question<'_>,
    ) -> Result<(), CliError> {
        let checked = question.ask(&Program::ALL)?;
        let lines: Vec<_> = report
            .modules
            .par_iter()
            .map(|module| Line { module, spectrum: Spectrum::of(&adapter.modules()[&module.name]) })
            .collect();
        let picture = plot::svg(&norms.plot(question.adapter, &report.modules))?;
        write_whole(self.path, page(report, &lines, &checked, &picture).as_bytes())
    }
}

fn page(report: &Report, lines: &[Line<'_>], checked: &[Checked], picture: &str) -> String {
    let mut page = String::new();
    let title = escaped(&report.path);
    let modules = counted(report.modules.len(), "module");
    // Writing into a text cannot fail.
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p>{} dialect, {modules}</p>\n",
        escaped(&report.dialect),
    );
    for warning in &report.warnings {
        let _ = writeln!(page, "<p class=\"warning\">{}</p>", escaped(warning));
    }
    let _ = writeln!(page, "<h2>Which programs read it</h2>\n{}", programs(checked));
    let _ = writeln!(page, "<h2>Size</h2>\n<pre>{}</pre>", escaped(&report.totals.to_string()));
    let _ = writeln!(page, "<h2>Modules</h2>\n{}\n{}", tree::HEAD, Group::of(lines).html());
    for (name, shape) in &report.replaced {
        let _ = writeln!(page, "<p>replaces {}, {shape:?}</p>", escaped(name));
    }
    let _ = writeln!(page, "<h2>Norms</h2>\n<div class=\"picture\">{picture}</div>");
    if !report.metadata.is_empty() {
        let _ = writeln!(page, "<h2>Texts in the header</h2>\n<table>");
        for (key, text) in &report.metadata {
            let _ = writeln!(page, "<tr><th>{}</th><td>{}</td></tr>", escaped(key), escaped(text));
        }
        page.push_str("</table>\n");
    }
    let _ = writeln!(page, "<footer>lokr {}</footer>\n</body>\n</html>", env!("CARGO_PKG_VERSION"));
    page
}

/// The verdict for every program.
fn programs(checked: &[Checked]) -> String {
    let mut table = String::from("<table class=\"programs\">\n");
    for answer in checked {
        let (class, mark) = if answer.report.works { ("good", "✓") } else { ("bad", "✗") };
        let _ = write!(
            table,
            "<tr class=\"{class}\"><th>{mark} {}</th><td>{}",
            escaped(&answer.report.program.to_string()),
            escaped(&answer.verdict()),
        );
        for reason in reasons(answer) {
            let _ = write!(table, "<br>{}", escaped(&reason));
        }
        if let Some(command) = &answer.command {
            let _ = write!(table, "<br><code>{}</code>", escaped(command));
        }
        table.push_str("</td></tr>\n");
    }
    table.push_str("</table>");
    table
}

/// What stands against the file, and each reason of modules once.
fn reasons(answer: &Checked) -> Vec<String> {
    let mut reasons = answer.report.problems.clone();
    for reason in answer.report.failing().filter_map(|module| module.reason.as_ref()) {
        if !reasons.contains(reason) {
            reasons.push(reason.clone());
        }
    }
    reasons
}
