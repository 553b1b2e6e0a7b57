//! What stands beside the LoKr modules, as it is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lokr_checkpoint::{Adapter, BaseModel, OtherModule, Parameter, Resolution};
use rayon::prelude::*;
use serde::Serialize;

use super::module::ModuleReport;
use super::natural_order::natural_order;
use crate::error::CliError;
use crate::table::{Align, Table};
use crate::text::{dimensions, number, rank};

/// One change by another algorithm.
#[derive(Serialize)]
pub(super) struct OtherReport {
    name: String,
    /// What it changes.
    parameter: Parameter,
    algorithm: &'static str,
    dora: bool,
    /// The stored tensors by suffix, and their shapes.
    tensors: BTreeMap<&'static str, Vec<usize>>,
    /// The same for people, in the order of the product.
    #[serde(skip)]
    shapes: String,
    rank: Option<usize>,
    alpha: Option<f64>,
    /// 1 for differences, which have none.
    scale: f64,
    pub(super) parameters: usize,
    dtype: String,
    frobenius_norm: f64,
    /// With a base: what it changes there, and the norm relative to that tensor's.
    target: Option<String>,
    relative_norm: Option<f64>,
}

/// All of them, in the order of their names.
pub(super) fn reports(adapter: &Adapter, base: Option<&(BaseModel, Resolution)>) -> Result<Vec<OtherReport>, CliError> {
    let targets: Vec<_> = match base {
        Some((_, resolution)) => resolution.others().collect(),
        None => vec![None; adapter.others().len()],
    };
    let pairs: Vec<_> = adapter.others().iter().zip(targets).collect();
    let report = |(module, target): (&OtherModule, Option<&str>)| OtherReport::new(module, base.zip(target));
    let mut reports = pairs.into_par_iter().map(report).collect::<Result<Vec<_>, _>>()?;
    reports.sort_by(|a, b| natural_order(&a.name, &b.name).then(a.parameter.cmp(&b.parameter)));
    Ok(reports)
}

impl OtherReport {
    fn new(module: &OtherModule, target: Option<(&(BaseModel, Resolution), &str)>) -> Result<Self, CliError> {
        let frobenius_norm = module.frobenius_norm()?;
        let relative_norm = match target {
            Some(((base, _), name)) => Some(frobenius_norm / base.tensor(name)?.frobenius_norm(name)?),
            None => None,
        };
        let tensors = module.tensors();
        let shapes: Vec<_> =
            tensors.iter().filter(|(key, _)| *key != "dora_scale").map(|(_, t)| dimensions(t.shape())).collect();
        let mut dtypes: Vec<_> = tensors.iter().map(|(_, tensor)| tensor.dtype().to_string()).collect();
        dtypes.dedup();
        Ok(Self {
            name: module.name().to_owned(),
            parameter: module.parameter(),
            algorithm: module.algorithm(),
            dora: module.dora_scale().is_some(),
            tensors: tensors.iter().map(|(key, tensor)| (*key, tensor.shape().to_vec())).collect(),
            shapes: shapes.join("·"),
            rank: module.rank(),
            alpha: module.alpha(),
            scale: module.scale(),
            parameters: module.parameter_count(),
            dtype: dtypes.join("+"),
            frobenius_norm,
            target: target.map(|(_, name)| name.to_owned()),
            relative_norm,
        })
    }
}

/// What a file is that holds no LoKr.
pub(super) fn instead(modules: &[ModuleReport], others: &[OtherReport]) -> String {
    if !modules.is_empty() {
        return String::new();
    }
    let algorithms: BTreeSet<_> = others.iter().map(|module| module.algorithm).collect();
    algorithms.into_iter().map(|algorithm| format!(", {algorithm}")).collect()
}

/// The table that follows that of the LoKr modules.
pub(super) struct Others<'a>(pub(super) &'a [OtherReport]);

impl fmt::Display for Others<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_base = self.0.iter().any(|module| module.target.is_some());
        let mut columns = vec![("module", Align::Left), ("algorithm", Align::Left), ("changes", Align::Left)];
        columns.push(("tensors", Align::Left));
        columns.extend(["rank", "alpha", "scale", "values"].map(|name| (name, Align::Right)));
        columns.extend([("dtype", Align::Left), ("‖ΔW‖F", Align::Right)]);
        if with_base {
            columns.push(("‖ΔW‖F/‖W‖F", Align::Right));
        }
        let mut table = Table::new(columns);
        for module in self.0 {
            let mut cells = vec![
                module.name.clone(),
                format!("{}{}", module.algorithm, if module.dora { "+dora" } else { "" }),
                module.parameter.to_string(),
                module.shapes.clone(),
                rank(module.rank),
                number(module.alpha),
                number(Some(module.scale)),
                module.parameters.to_string(),
                module.dtype.clone(),
                number(Some(module.frobenius_norm)),
            ];
            if with_base {
                cells.push(number(module.relative_norm));
            }
            table.row(cells);
        }
        write!(f, "{table}")
    }
}
