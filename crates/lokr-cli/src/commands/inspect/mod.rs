//! `lokr inspect`.
//!
//! - [`module`]: what is told of one module.
//! - [`others`]: what is told of other algorithms beside LoKr.
//! - [`totals`]: what is told of all of them, beside other ways to hold such a change; [`size`] is what each takes.
//! - [`picture`]: the picture of the norms; [`page`]: all of it as a page for a browser.
//! - [`mod@natural_order`]: the order in which modules stand.

mod module;
mod natural_order;
mod others;
mod page;
mod picture;
mod size;
mod totals;

use std::collections::BTreeMap;
use std::fmt;

use lokr_checkpoint::{Adapter, BaseModel};
use rayon::prelude::*;
use serde::Serialize;

use self::module::ModuleReport;
use self::natural_order::natural_order;
use self::others::{OtherReport, Others, instead, reports};
use self::page::Page;
use self::picture::{Norms, Picture};
use self::totals::Totals;
use super::check::Question;
use crate::args::InspectArgs;
use crate::error::CliError;
use crate::report::Reporter;
use crate::table::{Align, Table};
use crate::text::{dimensions, number, rank};

#[derive(Serialize)]
struct Report {
    path: String,
    dialect: String,
    prefix: String,
    metadata: BTreeMap<String, String>,
    modules: Vec<ModuleReport>,
    /// What other algorithms change beside them.
    others: Vec<OtherReport>,
    unmatched: Vec<String>,
    /// Left out by name, as asked.
    left_out: Vec<String>,
    /// Whole tensors that replace those of the base model, and their shapes.
    replaced: BTreeMap<String, Vec<usize>>,
    totals: Totals,
    warnings: Vec<String>,
    plot: Option<String>,
    html: Option<String>,
}

pub(crate) fn run(args: &InspectArgs, reporter: &Reporter) -> Result<(), CliError> {
    let (picture, page) = (Picture::asked_for(args)?, Page::asked_for(args)?);
    let adapter = Adapter::read(&args.adapter, &args.read.options())?;
    let base = match &args.base {
        None => None,
        Some(path) => {
            let base = BaseModel::open(path)?;
            let resolution = adapter.resolve(&base, args.unmatched())?;
            Some((base, resolution))
        }
    };
    let progress = reporter.module_bar(adapter.modules().len());
    let mut modules = adapter
        .modules()
        .par_iter()
        .map(|(name, module)| {
            let report = ModuleReport::new(name, module, &adapter, base.as_ref());
            progress.inc(1);
            report
        })
        .collect::<Result<Vec<_>, _>>()?;
    progress.finish_and_clear();
    let others = reports(&adapter, base.as_ref())?;
    modules.sort_by(|first, second| natural_order(&first.name, &second.name));
    let norms = if base.is_some() { Norms::RelativeToWeights } else { Norms::OfChanges };
    if let Some(picture) = picture {
        picture.draw(&args.adapter, &modules, norms)?;
    }
    reporter.warnings(adapter.warnings());
    let file_bytes = adapter.tensors_path().metadata().map_or(0, |metadata| metadata.len());
    let report = Report {
        path: args.adapter.display().to_string(),
        dialect: adapter.dialect().to_string(),
        prefix: adapter.prefix().to_owned(),
        metadata: adapter.metadata().clone(),
        totals: Totals::new(&modules, &others, adapter.dialect(), file_bytes),
        modules,
        others,
        left_out: adapter.left_out().to_vec(),
        unmatched: base.as_ref().map(|(_, resolution)| resolution.unmatched().to_vec()).unwrap_or_default(),
        replaced: adapter
            .modules_to_save()
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shape().to_vec()))
            .collect(),
        warnings: adapter.warnings().iter().map(ToString::to_string).collect(),
        plot: args.plot.as_ref().map(|path| path.display().to_string()),
        html: args.html.as_ref().map(|path| path.display().to_string()),
    };
    if let Some(page) = page {
        let base = base.as_ref().map(|(base, _)| base).zip(args.base.as_deref());
        page.write(&adapter, &report, norms, &Question { adapter: &args.adapter, base, read: &args.read })?;
    }
    reporter.result(&report)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} dialect{}\n", self.path, self.dialect, instead(&self.modules, &self.others))?;
        let with_base = self.modules.iter().any(|module| module.target.is_some());
        let mut columns =
            vec![("module", Align::Left), ("kind", Align::Left), ("w1", Align::Left), ("w2", Align::Left)];
        let numbers = ["rank", "alpha", "scale", "values"];
        columns.extend(numbers.map(|name| (name, Align::Right)));
        columns.push(("dtype", Align::Left));
        columns.extend(["‖ΔW‖F", "‖ΔW‖2"].map(|name| (name, Align::Right)));
        if with_base {
            columns.push(("‖ΔW‖F/‖W‖F", Align::Right));
        }
        let mut table = Table::new(columns);
        for module in &self.modules {
            let mut cells = vec![
                module.name.clone(),
                format!("{}{}", module.kind, if module.dora { "+dora" } else { "" }),
                product(&module.w1),
                product(&module.w2),
                rank(module.rank),
                number(module.alpha),
                number(module.scale),
                module.parameters.to_string(),
                module.dtype.clone(),
                number(module.frobenius_norm),
                number(module.spectral_norm),
            ];
            if with_base {
                cells.push(number(module.relative_norm));
            }
            table.row(cells);
        }
        if !self.modules.is_empty() {
            let same = table.take_constant(&["kind", "rank", "alpha", "scale", "dtype"]);
            if !same.is_empty() {
                writeln!(f, "every module: {}\n", same.join(", "))?;
            }
            writeln!(f, "{table}")?;
        }
        if !self.others.is_empty() {
            writeln!(f, "{}", Others(&self.others))?;
        }
        for module in &self.unmatched {
            writeln!(f, "not in the base model: {module}")?;
        }
        for module in &self.left_out {
            writeln!(f, "left out, as asked: {module}")?;
        }
        for (name, shape) in &self.replaced {
            writeln!(f, "replaces {name}, {}", dimensions(shape))?;
        }
        write!(f, "{}", self.totals)?;
        if let Some(path) = &self.plot {
            writeln!(f, "norms drawn in {path}")?;
        }
        if let Some(path) = &self.html {
            writeln!(f, "page written to {path}")?;
        }
        Ok(())
    }
}

/// `10×3·3×5`, the core of a Tucker factor first.
fn product(shapes: &[Vec<usize>]) -> String {
    shapes.iter().map(|shape| dimensions(shape)).collect::<Vec<_>>().join("·")
}
