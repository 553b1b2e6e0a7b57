//! `lokr inspect`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use lokr_checkpoint::{Adapter, BaseModel, Dialect, Module, Resolution, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use super::sizes;
use crate::args::InspectArgs;
use crate::error::{CliError, check_output};
use crate::natural_order::natural_order;
use crate::plot;
use crate::report::{Reporter, bytes, counted, number};
use crate::table::{Align, Table};

#[derive(Serialize)]
struct Report {
    path: String,
    dialect: String,
    prefix: String,
    metadata: BTreeMap<String, String>,
    modules: Vec<ModuleReport>,
    unmatched: Vec<String>,
    /// Whole tensors that replace those of the base model, and their shapes.
    replaced: BTreeMap<String, Vec<usize>>,
    totals: Totals,
    warnings: Vec<String>,
    plot: Option<String>,
}

#[derive(Serialize)]
struct ModuleReport {
    name: String,
    kind: &'static str,
    dora: bool,
    w1: Vec<Vec<usize>>,
    w2: Vec<Vec<usize>>,
    /// The weight that the factors build, kernel axes flattened.
    weight: (usize, usize),
    rank: Option<usize>,
    /// The rank of the change is at most this.
    rank_bound: usize,
    alpha: Option<f64>,
    scale: Option<f64>,
    parameters: usize,
    bytes: usize,
    dtype: String,
    /// Norms of `s·(w1 ⊗ w2)`, where it is a Kronecker product and `s` is known.
    frobenius_norm: Option<f64>,
    spectral_norm: Option<f64>,
    /// With a base: its weight, and the Frobenius norm relative to that weight's.
    target: Option<String>,
    relative_norm: Option<f64>,
}

/// Sizes in bytes are those of the elements, in each module's own type.
#[derive(Serialize, Default)]
struct Totals {
    modules: usize,
    parameters: usize,
    file_bytes: u64,
    /// LoRA of the same rank setting `r`, where every module has one.
    lora_same_setting: Option<Size>,
    /// LoRA whose change has the same rank as these modules' at most.
    lora_equal_rank: Size,
    full_weights: Size,
}

#[derive(Serialize, Default, Clone, Copy)]
struct Size {
    parameters: u64,
    bytes: u64,
}

pub fn run(args: &InspectArgs, reporter: &Reporter) -> Result<(), CliError> {
    let picture = match &args.plot {
        None => None,
        Some(path) => {
            let format = plot::Format::of(path)?;
            check_output(path, args.force)?;
            Some((path, format))
        }
    };
    let adapter = Adapter::read(&args.adapter, &args.read.options())?;
    let base = match &args.base {
        None => None,
        Some(path) => {
            let base = BaseModel::open(path)?;
            let resolution = adapter.resolve(&base, args.unmatched())?;
            Some((base, resolution))
        }
    };
    let progress = reporter.progress("modules", adapter.modules().len());
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
    modules.sort_by(|first, second| natural_order(&first.name, &second.name));
    if let Some((path, format)) = picture {
        draw(path, format, &args.adapter, &modules, base.is_some())?;
    }
    reporter.warnings(adapter.warnings());
    reporter.result(&Report {
        path: args.adapter.display().to_string(),
        dialect: adapter.dialect().to_string(),
        prefix: adapter.prefix().to_owned(),
        metadata: adapter.metadata().clone(),
        totals: Totals::new(&modules, adapter.dialect(), file_bytes(&args.adapter)),
        modules,
        unmatched: base.map(|(_, resolution)| resolution.unmatched().to_vec()).unwrap_or_default(),
        replaced: adapter
            .modules_to_save()
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shape().to_vec()))
            .collect(),
        warnings: adapter.warnings().iter().map(ToString::to_string).collect(),
        plot: args.plot.as_ref().map(|path| path.display().to_string()),
    })
}

/// Draws the norms of the changes; beside a base, relative to its weights.
fn draw(
    path: &Path,
    format: plot::Format,
    adapter: &Path,
    modules: &[ModuleReport],
    relative: bool,
) -> Result<(), CliError> {
    let (axis, marks) = match relative {
        true => ("‖ΔW‖F / ‖W‖F: the change relative to the weight", None),
        false => ("Frobenius norm ‖ΔW‖F, in units of the weight", Some("spectral norm ‖ΔW‖2, in the same units")),
    };
    let row = |module: &'_ ModuleReport| -> (Option<f64>, Option<f64>) {
        if relative { (module.relative_norm, None) } else { (module.frobenius_norm, module.spectral_norm) }
    };
    let rows = modules.iter().map(|module| {
        let (value, mark) = row(module);
        plot::Row { name: &module.name, value, mark }
    });
    let title = format!("{}: how much each module changes its weight", adapter.display());
    plot::save(path, format, &plot::Plot { title, axis, marks, rows: rows.collect() })
}

impl ModuleReport {
    fn new(
        name: &str,
        module: &Module,
        adapter: &Adapter,
        base: Option<&(BaseModel, Resolution)>,
    ) -> Result<Self, CliError> {
        let ((m, n), (p, columns)) = (module.w1().dim(), module.w2().dim());
        let bounded =
            |rank: Option<usize>, rows: usize, columns: usize| rows.min(columns).min(rank.unwrap_or(usize::MAX));
        let rank_bound = bounded(module.w1().rank(), m, n) * bounded(module.w2().rank(), p, columns);
        let (mut frobenius_norm, mut spectral_norm) = (None, None);
        if let (Some(scale), true) = (module.scale(), module.is_kronecker()) {
            let kron = module.kron::<f64>()?;
            frobenius_norm = Some(scale.abs() * kron.frobenius_norm());
            // Values that are not finite, where allowed, have no singular values.
            spectral_norm = kron.spectral_norm().ok().map(|norm| scale.abs() * norm);
        }
        let target = base.and_then(|(base, resolution)| Some((base, resolution.target(name)?)));
        let relative_norm = match (target, frobenius_norm) {
            (Some((base, target)), Some(norm)) => Some(norm / base.tensor(target)?.frobenius_norm(target)?),
            _ => None,
        };
        let tensors = module.tensors();
        let mut dtypes: Vec<_> = tensors.iter().map(|(_, tensor)| tensor.dtype().to_string()).collect();
        dtypes.dedup();
        let weight_shape = target.and_then(|(base, target)| base.info(target)).map(|(_, shape)| shape);
        Ok(Self {
            name: name.to_owned(),
            kind: kind(module, weight_shape),
            dora: module.dora_scale().is_some(),
            w1: shapes(&module.w1().tensors()),
            w2: shapes(&module.w2().tensors()),
            weight: (m * p, n * columns),
            rank: module.rank(),
            rank_bound,
            alpha: module.alpha().or_else(|| adapter.config()?.alpha(name)),
            scale: module.scale(),
            parameters: module.parameter_count(),
            bytes: tensors.iter().map(|(_, tensor)| tensor.bytes().len()).sum(),
            dtype: dtypes.join("+"),
            frobenius_norm,
            spectral_norm,
            target: target.map(|(_, target)| target.to_owned()),
            relative_norm,
        })
    }

    /// A matrix of that many values, in this module's type.
    fn size(&self, parameters: usize) -> Size {
        let each = self.bytes as u64 / self.parameters.max(1) as u64;
        Size { parameters: parameters as u64, bytes: parameters as u64 * each }
    }

    fn lora(&self, rank: usize) -> Size {
        self.size(rank * (self.weight.0 + self.weight.1))
    }
}

/// The layer's kind, from the weight where there is one. A flat low-rank factor may be that of a convolution too.
fn kind(module: &Module, weight: Option<&[usize]>) -> &'static str {
    let kernel_axes = weight.map(|shape| shape.len().saturating_sub(2)).or(module.w2().kernel().map(<[usize]>::len));
    match kernel_axes {
        Some(0) => "linear",
        Some(1) => "conv1d",
        Some(2) => "conv2d",
        Some(_) => "conv3d",
        None => "linear?",
    }
}

fn shapes(tensors: &[(&'static str, &Tensor)]) -> Vec<Vec<usize>> {
    tensors.iter().map(|(_, tensor)| tensor.shape().to_vec()).collect()
}

/// The adapter's file, or the tensors in its directory.
fn file_bytes(path: &Path) -> u64 {
    let file = if path.is_dir() { path.join("adapter_model.safetensors") } else { path.to_owned() };
    file.metadata().map_or(0, |metadata| metadata.len())
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.parameters += other.parameters;
        self.bytes += other.bytes;
    }
}

impl Totals {
    fn new(modules: &[ModuleReport], dialect: Dialect, file_bytes: u64) -> Self {
        let sum = |size: &dyn Fn(&ModuleReport) -> Size| {
            modules.iter().fold(Size::default(), |mut sum, module| {
                sum += size(module);
                sum
            })
        };
        // The terms of one module change one weight.
        let mut weights = BTreeMap::new();
        for module in modules {
            let terms = module.name.rsplit_once(".term").filter(|_| dialect == Dialect::Terms);
            weights
                .insert(terms.map_or(&*module.name, |(path, _)| path), module.size(module.weight.0 * module.weight.1));
        }
        let full_weights = weights.into_values().fold(Size::default(), |mut sum, size| {
            sum += size;
            sum
        });
        let ranked = modules.iter().all(|module| module.rank.is_some());
        Self {
            modules: modules.len(),
            parameters: modules.iter().map(|module| module.parameters).sum(),
            file_bytes,
            lora_same_setting: ranked.then(|| sum(&|module| module.lora(module.rank.unwrap_or(0)))),
            lora_equal_rank: sum(&|module| module.lora(module.rank_bound)),
            full_weights,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} dialect\n", self.path, self.dialect)?;
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
                module.rank.map_or("-".to_owned(), |rank| rank.to_string()),
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
        writeln!(f, "{table}")?;
        for module in &self.unmatched {
            writeln!(f, "not in the base model: {module}")?;
        }
        for (name, shape) in &self.replaced {
            writeln!(f, "replaces {name}, {}", sizes(shape))?;
        }
        write!(f, "{}", self.totals)?;
        if let Some(path) = &self.plot {
            writeln!(f, "norms drawn in {path}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(vec![("", Align::Left), ("values", Align::Right), ("size", Align::Right)]);
        table.row(vec![
            format!("this file, {}", counted(self.modules, "module")),
            self.parameters.to_string(),
            bytes(self.file_bytes),
        ]);
        let mut row = |name: &str, size: Size| {
            table.row(vec![name.to_owned(), size.parameters.to_string(), bytes(size.bytes)]);
        };
        if let Some(size) = self.lora_same_setting {
            row("LoRA with the same r", size);
        }
        row("LoRA of a change of equal rank", self.lora_equal_rank);
        row("the full weights", self.full_weights);
        write!(f, "{table}")
    }
}

/// `10×3·3×5`, the core of a Tucker factor first.
fn product(shapes: &[Vec<usize>]) -> String {
    shapes.iter().map(|shape| sizes(shape)).collect::<Vec<_>>().join("·")
}
