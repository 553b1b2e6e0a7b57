//! An adapter from the difference of two models.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::options::{ExtractOptions, check};
use super::report::{ExtractReport, NotAdapted};
use super::survey::{Finding, Pair, Survey};
use super::weight::extract_weight;
use crate::adapter::{Adapter, network};
use crate::dialect::part::Network;
use crate::dialects::Dialect;
use crate::error::{InFile, JobError, Result};
use crate::file::product;
use crate::jobs::parts::Part;
use crate::jobs::progress::Progress;
use crate::model::BaseModel;
use crate::module::Module;

/// What [`extract`] found.
#[derive(Debug, Clone)]
pub struct Extraction {
    /// The adapters, one per term: modules by the base model's names, scale 1.
    ///
    /// The best sum of several Kronecker products is no LoKr, and no other program's dialect holds it;
    /// [`Dialect::Terms`] does. The first `j` are the best sum of `j` terms.
    pub terms: Vec<BTreeMap<String, Module>>,
    /// How well they capture the difference, and what else differs.
    pub report: ExtractReport,
    /// What the modules' paths are in.
    pub(super) network: Network,
}

impl Extraction {
    /// The adapter to write, in any dialect for one term and in [`Dialect::Terms`] for several.
    ///
    /// # Errors
    /// [`JobError::SeveralTerms`] for several terms in another dialect; those of [`Adapter::from_modules`].
    pub fn into_adapter(self, dialect: Dialect) -> Result<Adapter> {
        if dialect == Dialect::Terms {
            return Adapter::from_terms(self.terms);
        }
        if let Some((module, _)) = self.terms.get(1).and_then(BTreeMap::first_key_value) {
            let (module, operation) = (module.clone(), "written in this dialect");
            return Err(JobError::SeveralTerms { module, operation }.into());
        }
        let mut weights: BTreeMap<_, _> =
            self.report.modules.into_iter().map(|module| (module.name, module.weight)).collect();
        let modules = self.terms.into_iter().flatten();
        Adapter::from_modules_of(dialect, self.network, modules.map(|(name, module)| (module, weights.remove(&name))))
    }
}

/// The nearest LoKr of every weight that differs between a model and its fine-tuned version.
///
/// Tensors belong together that have one name, or one path behind different prefixes (`model.diffusion_model.`, `net.`,
/// none), or that one name of an adapter means in both models; modules are named as in the base.
///
/// # Method
/// For each weight `(out, in, kernel…)` with `D = tuned − base`, flattened to `(out, in·K)`, the nearest Kronecker
/// product by [`lokr_core::nearest_kron`], the kernel belonging to `w2`. With a rank and one term, both factors are
/// then improved in turn, each the best for the other, until nothing is gained; with several terms each `w2` is cut to
/// its best approximation of that rank. A weight's arithmetic is in f64 if either model stores it so, else in f32;
/// factors are computed in f64 and rounded once.
/// # Cost
/// Some tens of passes over each difference. Two matrices of the size of one weight are held at a time. No singular
/// value decomposition of a weight; that of `w2` where a share of energy or a rank asks for it.
/// # Reproducibility
/// The same files and options give the same bits, whatever the number of threads.
/// # Errors
/// [`JobError::Option`], [`JobError::Pattern`], [`JobError::NothingShared`],
/// [`JobError::NothingChanged`]; [`ModuleError::NonFinite`](crate::ModuleError::NonFinite) in the model it is in;
/// [`FileError::OutOfRange`](crate::FileError::OutOfRange) for factors that the type to store cannot hold;
/// [`JobError::Interrupted`].
/// # Examples
/// ```no_run
/// use std::ops::ControlFlow;
/// use lokr_checkpoint::{BaseModel, ExtractOptions, extract};
///
/// let (base, tuned) = (BaseModel::open("base")?, BaseModel::open("tuned")?);
/// let found = extract(&base, &tuned, &ExtractOptions::default(), &mut |event| {
///     eprintln!("{event:?}");
///     ControlFlow::Continue(())
/// })?;
/// println!("{} modules capture {:.1} %", found.terms[0].len(), 100.0 * found.report.energy);
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
pub fn extract(
    base: &BaseModel,
    tuned: &BaseModel,
    options: &ExtractOptions,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Extraction> {
    let (mut extraction, compared) = found_in(base, tuned, options, None, progress)?;
    if extraction.report.modules.is_empty() {
        let others = extraction.report.not_adapted.len();
        return Err(JobError::NothingChanged { compared, others }.in_file(tuned.path()));
    }
    extraction.report.add_up();
    Ok(extraction)
}

/// What is found among all weights, or among those that are the turn of a part, nothing added up yet; and how many were
/// compared value by value.
pub(super) fn found_in(
    base: &BaseModel,
    tuned: &BaseModel,
    options: &ExtractOptions,
    part: Option<Part>,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<(Extraction, usize)> {
    check(options)?;
    let survey = Survey::new(base, tuned, options)?;
    let mut pairs = survey.pairs()?;
    if let Some(part) = part {
        let size = |pair: &Pair| base.info(pair.name()).map_or(0, |(_, shape)| product(shape) as u64);
        let mut turns = part.turn(&pairs.iter().map(size).collect::<Vec<_>>()).into_iter();
        pairs.retain(|_| turns.next().unwrap_or_default());
    }
    let (mut report, mut terms) = (ExtractReport::default(), Vec::new());
    let (total, mut compared) = (pairs.len(), 0);
    for (done, pair) in pairs.iter().enumerate() {
        Progress::Module { done, total, name: pair.name() }.tell(progress)?;
        let candidate = match survey.look_at(pair)? {
            Finding::Candidate(candidate) => candidate,
            Finding::Unchanged => {
                report.unchanged += 1;
                continue;
            }
            Finding::NotAdapted(reason) => {
                report.not_adapted.push(NotAdapted { tensor: pair.name().to_owned(), reason });
                continue;
            }
        };
        compared += 1;
        let found = if candidate.wide {
            extract_weight::<f64>(base, tuned, &candidate, options)
        } else {
            extract_weight::<f32>(base, tuned, &candidate, options)
        };
        let Some((modules, line)) = found? else {
            report.unchanged += 1;
            continue;
        };
        for (term, module) in modules.into_iter().enumerate() {
            if terms.len() <= term {
                terms.push(BTreeMap::new());
            }
            terms[term].insert(candidate.module.clone(), module);
        }
        report.modules.push(line);
    }
    Progress::Module { done: total, total, name: "" }.tell(progress)?;
    Ok((Extraction { terms, report, network: network(base) }, compared))
}
