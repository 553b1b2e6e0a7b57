//! An extraction in parts: each process looks at some of the weights, and leaves what it found in a directory.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::model::{Extraction, found_in};
use super::options::ExtractOptions;
use super::report::{ExtractReport, ExtractedModule, NotAdapted};
use crate::dialect::part::Network;
use crate::dialects::Dialect;
use crate::error::{InFile, JobError, PartError, Result};
use crate::file::{OutputDirectory, Overwrite, TensorFile, write_tensors};
use crate::jobs::parts::{JobName, Manifest, Part, fingerprint};
use crate::jobs::progress::Progress;
use crate::model::BaseModel;
use crate::module::{Module, W1, W2};

/// The files of a part.
const FACTORS: &str = "factors.safetensors";
const FOUND: &str = "found.json";

/// What a part says beside its factors.
#[derive(Serialize, Deserialize)]
struct Found {
    dialect: String,
    pipeline: bool,
    compared: usize,
    unchanged: usize,
    not_adapted: Vec<NotAdapted>,
    modules: Vec<Line>,
}

/// A line of the report, its numbers as bits: texts of numbers may lose some.
#[derive(Serialize, Deserialize)]
struct Line {
    name: String,
    weight: Vec<usize>,
    w1: [usize; 2],
    w2: [usize; 2],
    rank: Option<usize>,
    terms: usize,
    parameters: usize,
    norm: u64,
    relative_change: u64,
    energy: u64,
    converged: bool,
    reached: bool,
}

const DIALECTS: [Dialect; 5] = [Dialect::Peft, Dialect::Lycoris, Dialect::Kohya, Dialect::Dotted, Dialect::Terms];

/// What [`extract_part`] writes, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartOutput<'a> {
    /// The output of the whole job, beside which the part goes.
    pub out: &'a Path,
    /// Which part.
    pub part: Part,
    /// The dialect of the whole output.
    pub dialect: Dialect,
    /// What to do about a part that is there already.
    pub overwrite: Overwrite,
}

/// One part of [`extract`](crate::extract()), for [`join`](crate::join) to put together with the others into one
/// adapter in `dialect`: it looks at some of the weights, dealt out by their sizes. Nothing that differs among them is
/// no error.
///
/// # Errors
/// Those of [`extract`](crate::extract()), [`JobError::SeveralTerms`] and those of [`OutputDirectory`].
pub fn extract_part(
    base: &BaseModel,
    tuned: &BaseModel,
    output: &PartOutput<'_>,
    options: &ExtractOptions,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<ExtractReport> {
    let PartOutput { out, part, dialect, overwrite } = *output;
    if options.terms > 1 && dialect != Dialect::Terms {
        let (module, operation) = ("all modules".to_owned(), "written in this dialect");
        return Err(JobError::SeveralTerms { module, operation }.into());
    }
    let folder = OutputDirectory::create(part.path(out), overwrite)?;
    let (found, compared) = found_in(base, tuned, options, Some(part), progress)?;
    let mut tensors = BTreeMap::new();
    for (term, modules) in found.terms.iter().enumerate() {
        for (name, module) in modules {
            let own = module.tensors().into_iter();
            tensors.extend(own.map(|(suffix, tensor)| (format!("{term}/{name}/{suffix}"), tensor.clone())));
        }
    }
    write_tensors(folder.path().join(FACTORS), &tensors, &BTreeMap::new(), Overwrite::Refuse)?;
    let text = serde_json::to_vec_pretty(&Found {
        dialect: dialect.to_string(),
        pipeline: found.network == Network::Pipeline,
        compared,
        unchanged: found.report.unchanged,
        not_adapted: found.report.not_adapted.clone(),
        modules: found.report.modules.iter().map(line).collect(),
    })?;
    std::fs::write(folder.path().join(FOUND), text).in_file(folder.path())?;
    let fingerprints = BTreeMap::from([
        ("the base model".to_owned(), fingerprint::model(base)),
        ("the fine-tuned model".to_owned(), fingerprint::model(tuned)),
        ("an option".to_owned(), fingerprint::options(&(options, dialect))),
    ]);
    Manifest::write(JobName::Extract, part, fingerprints, folder.path())?;
    folder.finish()?;
    Ok(found.report)
}

/// What the parts in these directories have found together, and the dialect asked for.
pub(in crate::jobs) fn extraction_of_parts(directories: &[&Path]) -> Result<(Extraction, Dialect)> {
    let (mut report, mut terms) = (ExtractReport::default(), Vec::new());
    let (mut network, mut dialect, mut compared) = (Network::Any, Dialect::Peft, 0);
    for directory in directories {
        let path = directory.join(FOUND);
        let found: Found = serde_json::from_slice(&std::fs::read(&path).in_file(&path)?).in_file(&path)?;
        let named = DIALECTS.into_iter().find(|dialect| dialect.to_string() == found.dialect);
        dialect = named.ok_or(PartError::OtherJob { what: "the dialect".to_owned() }).in_file(&path)?;
        network = if found.pipeline { Network::Pipeline } else { Network::Any };
        compared += found.compared;
        report.unchanged += found.unchanged;
        report.not_adapted.extend(found.not_adapted);
        report.modules.extend(found.modules.into_iter().map(module_of));
        let file = TensorFile::open(directory.join(FACTORS))?;
        read_modules(&file, &mut terms).in_file(file.path())?;
    }
    if report.modules.is_empty() {
        return Err(JobError::NothingChanged { compared, others: report.not_adapted.len() }.into());
    }
    // In the order of the names of weights, as one process goes through them.
    report.modules.sort_by_cached_key(|module| format!("{}.weight", module.name));
    report.not_adapted.sort_by(|first, second| first.tensor.cmp(&second.tensor));
    report.add_up();
    Ok((Extraction { terms, report, network }, dialect))
}

fn read_modules(file: &TensorFile, terms: &mut Vec<BTreeMap<String, Module>>) -> Result<()> {
    let mut factors: BTreeMap<(usize, &str), BTreeMap<&str, _>> = BTreeMap::new();
    for key in file.names() {
        let parts = key.split_once('/').and_then(|(term, rest)| Some((term.parse().ok()?, rest.rsplit_once('/')?)));
        let Some((term, (name, suffix))) = parts else { return Err(unknown(key)) };
        factors.entry((term, name)).or_default().insert(suffix, file.tensor(key)?);
    }
    for ((term, name), mut of) in factors {
        let (w1, w2) = (of.remove("lokr_w1"), of.remove("lokr_w2"));
        let w2 = match (w2, of.remove("lokr_w2_a"), of.remove("lokr_w2_b")) {
            (Some(w2), None, None) => W2::Full(w2),
            (None, Some(a), Some(b)) => W2::LowRank { a, b },
            _ => return Err(unknown(name)),
        };
        let w1 = w1.ok_or_else(|| unknown(name))?;
        if terms.len() <= term {
            terms.resize_with(term + 1, BTreeMap::new);
        }
        terms[term].insert(name.to_owned(), Module::new(name, W1::Full(w1), w2, 1.0)?);
    }
    Ok(())
}

fn unknown(key: &str) -> crate::error::CheckpointError {
    PartError::OtherJob { what: format!("what {key} is") }.into()
}

fn line(module: &ExtractedModule) -> Line {
    let ExtractedModule { name, weight, w1, w2, rank, terms, parameters, converged, reached, .. } = module.clone();
    let [norm, relative_change, energy] = [module.norm, module.relative_change, module.energy].map(f64::to_bits);
    Line { name, weight, w1, w2, rank, terms, parameters, norm, relative_change, energy, converged, reached }
}

fn module_of(line: Line) -> ExtractedModule {
    let [norm, relative_change, energy] = [line.norm, line.relative_change, line.energy].map(f64::from_bits);
    let Line { name, weight, w1, w2, rank, terms, parameters, converged, reached, .. } = line;
    ExtractedModule { name, weight, w1, w2, rank, terms, parameters, norm, relative_change, energy, converged, reached }
}
