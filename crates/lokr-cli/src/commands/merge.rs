//! `lokr merge` and `lokr unmerge`.

use std::fmt;
use std::path::Path;

use lokr_checkpoint::{
    BaseModel, MergeOptions, MergeReport, Part, QuantizedOptions, Run, WeightReport, merge, merge_part, unmerge,
};
use serde::Serialize;

use super::applied::{Applied, warn_left_out, write_adapters};
use super::begin_part;
use crate::args::{ChangeArgs, MergeArgs, UnmergeArgs};
use crate::error::CliError;
use crate::report::{Reporter, lossy_path};
use crate::table::{Align, Table};
use crate::text::{bytes, counted, dimensions, number};

#[derive(Serialize)]
struct Report<'a> {
    #[serde(serialize_with = "lossy_path")]
    out: &'a Path,
    dry_run: bool,
    #[serde(flatten)]
    merge: MergeReport,
}

#[derive(Clone, Copy)]
enum Direction {
    /// All of it, or a part.
    Merge(Option<Part>),
    Unmerge,
}

pub(crate) fn run(args: &MergeArgs, reporter: &Reporter) -> Result<(), CliError> {
    let direction = Direction::Merge(args.shard);
    change(direction, &args.base, args.from_unquantised.as_deref(), &args.change, reporter)
}

pub(crate) fn run_unmerge(args: &UnmergeArgs, reporter: &Reporter) -> Result<(), CliError> {
    change(Direction::Unmerge, &args.merged, None, &args.change, reporter)
}

fn change(
    direction: Direction,
    model: &Path,
    original: Option<&Path>,
    args: &ChangeArgs,
    reporter: &Reporter,
) -> Result<(), CliError> {
    let part = match direction {
        Direction::Merge(part) => part,
        Direction::Unmerge => None,
    };
    let out = &begin_part(&args.output, part)?;
    let adapters = Applied::read(&args.apply)?;
    let model = BaseModel::open(model)?;
    let original = original.map(BaseModel::open).transpose()?;
    let options = MergeOptions {
        unmatched: args.apply.unmatched(),
        whole: args.apply.whole(),
        overwrite: args.output.overwrite(),
        run: if args.dry_run { Run::Dry } else { Run::Real },
        quantized: QuantizedOptions {
            out_dtype: args.quantized.out_dtype.map(Into::into),
            rounding: args.quantized.rounding.into(),
            original: original.as_ref(),
            min_kept: args.quantized.min_kept,
        },
    };
    let pairs = adapters.pairs();
    let merge = reporter.job_over_bytes(|progress| match direction {
        Direction::Merge(None) => merge(&model, &pairs, out, &options, progress),
        Direction::Merge(Some(part)) => merge_part(&model, &pairs, &args.output.out, part, &options, progress),
        Direction::Unmerge => unmerge(&model, &pairs, out, &options, progress),
    })?;
    adapters.warn(reporter);
    reporter.warnings(&not_finite(&merge));
    reporter.warnings(&without_effect(&merge));
    reporter.warnings(&of_eight_bits(&merge, args));
    reporter.warnings(vocabulary(&merge, &model).as_slice());
    let report = Report { out, dry_run: args.dry_run, merge };
    reporter.summary(&report)?;
    warn_left_out(reporter, &report.merge.adapters);
    Ok(())
}

/// What to say of a vocabulary of another size that no configuration beside the model states.
fn vocabulary(merge: &MergeReport, model: &BaseModel) -> Option<String> {
    let resized = merge.resized.first().filter(|_| merge.rewritten_files.iter().all(|file| file != "config.json"))?;
    let place =
        if model.directory().is_some() { "config.json states another vocab_size" } else { "no config.json here" };
    Some(format!("{}: {} rows instead of {}; {place}, so set it by hand", resized.tensor, resized.to, resized.from))
}

/// What to say of weights whose values are not all finite.
fn not_finite(merge: &MergeReport) -> Vec<String> {
    let not_finite = |weight: &&WeightReport| weight.measured.is_some_and(|m| !m.delta_norm.is_finite());
    let text = |weight: &WeightReport| {
        format!("{}: the merged weight holds values that are not finite, from the base or the adapter", weight.weight)
    };
    merge.weights.iter().filter(not_finite).map(text).collect()
}

/// A merge must not succeed with no effect, or a part of one, in silence.
fn without_effect(merge: &MergeReport) -> Vec<String> {
    let mut warnings = Vec::new();
    let measured = || merge.weights.iter().filter_map(|weight| weight.measured);
    let all = merge.weights.len();
    let unchanged = measured().filter(|m| m.delta_norm == 0.0).count();
    let asked_for = merge.adapters.iter().all(|adapter| adapter.multiplier == 0.0);
    if unchanged > 0 && !asked_for {
        warnings.push(format!("the adapters change nothing in {unchanged} of {}", counted(all, "weight")));
    }
    let lost = measured().filter(|m| m.kept.is_none() && m.lost >= 1.0).count();
    if lost > 0 {
        let weights = counted(all, "weight");
        warnings.push(format!("the change is smaller than what its type rounds in {lost} of {weights}"));
    }
    for adapter in &merge.adapters {
        let path = &adapter.path;
        if !adapter.placeholders.is_empty() {
            let (count, names) = (adapter.placeholders.len(), adapter.placeholders.join(", "));
            let modules = counted(count, "module");
            warnings.push(format!(
                "{path}: {modules} left out that change nothing beside others of the same rows: {names}"
            ));
        }
    }
    warnings
}

/// What to say of weights of eight bits.
fn of_eight_bits(merge: &MergeReport, args: &ChangeArgs) -> Vec<String> {
    let mut warnings = Vec::new();
    let all = counted(merge.weights.len(), "weight");
    let is_float = |weight: &&WeightReport| weight.dtype.contains('→');
    let is_noisy = |weight: &&WeightReport| weight.measured.is_some_and(|m| m.kept.is_some() && m.lost >= 1.0);
    let noisy = merge.weights.iter().filter(|weight| !is_float(weight) && is_noisy(weight)).count();
    if noisy > 0 {
        warnings.push(format!(
            "rounding to eight bits adds more than the adapters do in {noisy} of {all}; --out-dtype bf16 holds the change"
        ));
    }
    let any_float = merge.weights.iter().any(|weight| is_float(&weight)) || !merge.dequantized.is_empty();
    if args.quantized.out_dtype.is_some() && !any_float {
        warnings.push("no weight that changes is of eight bits; --out-dtype has no effect".to_owned());
    }
    warnings
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_adapters(f, &self.merge.adapters)?;
        let columns =
            [("weight", Align::Left), ("shape", Align::Left), ("dtype", Align::Left), ("scale", Align::Right)];
        let mut columns = columns.to_vec();
        if !self.dry_run {
            columns.extend([("‖change‖", Align::Right), ("lost to rounding", Align::Right)]);
        }
        let of_eight_bits = self.merge.weights.iter().any(|weight| weight.measured.is_some_and(|m| m.kept.is_some()));
        if of_eight_bits {
            columns.push(("share kept", Align::Right));
        }
        let mut table = Table::new(columns);
        for weight in &self.merge.weights {
            let scales: Vec<_> = weight.applied.iter().map(|module| number(Some(module.scale))).collect();
            let mut cells =
                vec![weight.weight.clone(), dimensions(&weight.shape), weight.dtype.clone(), scales.join(", ")];
            if !self.dry_run {
                let measured = weight.measured;
                cells.push(number(measured.map(|m| m.delta_norm)));
                cells.push(number(measured.map(|m| m.lost)));
                if of_eight_bits {
                    cells.push(number(measured.and_then(|m| m.kept)));
                }
            }
            table.row(cells);
        }
        writeln!(f, "{table}")?;
        for name in &self.merge.replaced {
            match self.merge.resized.iter().find(|resized| resized.tensor == *name) {
                Some(resized) => writeln!(f, "replaced {name}, {} rows instead of {}", resized.to, resized.from)?,
                None => writeln!(f, "replaced {name}")?,
            }
        }
        for name in &self.merge.added {
            writeln!(f, "added {name}, which the model did not have")?;
        }
        let floats = self.merge.dequantized.len();
        if floats > 0 {
            let weights = counted(floats, "other weight");
            writeln!(f, "{weights} made floats too, because config.json describes all at once")?;
        }
        if self.merge.still_quantized > 0 {
            writeln!(
                f,
                "{} of eight bits that nothing changes: as before",
                counted(self.merge.still_quantized, "weight")
            )?;
        }
        if !self.merge.left_out_tensors.is_empty() {
            let tensors = counted(self.merge.left_out_tensors.len(), "tensor");
            writeln!(f, "{tensors} left out: scales and marks of weights that are floats now")?;
        }
        let guards = self.merge.weights.iter().filter_map(|weight| weight.measured).map(|m| m.guard_error);
        match guards.reduce(f64::max) {
            Some(largest) if largest.is_nan() => {
                writeln!(f, "guard: no merged weight is finite, nothing was compared")?
            }
            Some(largest) => writeln!(
                f,
                "guard: merged weights and the adapters' own forward pass agree to {largest:.1e} on a probe vector"
            )?,
            None => {}
        }
        let done = if self.dry_run { "would be written to" } else { "written to" };
        writeln!(
            f,
            "{} changed, {} copied as they were; {} {done} {}",
            counted(self.merge.weights.len() + self.merge.replaced.len() + self.merge.added.len(), "tensor"),
            self.merge.unchanged,
            bytes(self.merge.bytes),
            self.out.display()
        )?;
        if !self.merge.copied_files.is_empty() {
            writeln!(f, "copied beside: {}", self.merge.copied_files.join(", "))?;
        }
        if !self.merge.rewritten_files.is_empty() {
            writeln!(f, "of these, changed to fit: {}", self.merge.rewritten_files.join(", "))?;
        }
        if !self.merge.left_out.is_empty() {
            writeln!(f, "not copied: {}", self.merge.left_out.join(", "))?;
        }
        Ok(())
    }
}
