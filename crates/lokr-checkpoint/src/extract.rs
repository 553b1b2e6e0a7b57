//! An adapter from the difference of two models.

mod low_rank;
mod report;
mod survey;
mod weight;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use lokr_core::FactorizationRule;

use crate::{Adapter, BaseModel, CheckpointError, Dialect, FactorSize, FloatType, JobProgress, Module, Result};
pub use report::{ExtractReport, ExtractedModule, NotAdapted, NotAdaptedReason};
use survey::{Finding, Survey};
use weight::extract_weight;

/// Choices of [`extract`].
///
/// # Examples
/// ```
/// use lokr_checkpoint::{ExtractOptions, FactorSize};
///
/// let options = ExtractOptions {
///     factor: Some(16),
///     size: FactorSize::Rank(8),
///     exclude: vec!["embed".to_owned(), r"lm_head$".to_owned()],
///     ..ExtractOptions::default()
/// };
/// assert_eq!(options.terms, 1);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractOptions {
    /// How `out` and `in` are split (see [`lokr_core::factorization`]). `None`: evenly; with [`FactorSize::Energy`] the split with the
    /// fewest values that captures the share, among the even one and factors 64, 32, 16, 8, 4 and 2.
    pub factor: Option<i64>,
    /// Whose rule splits.
    pub rule: FactorizationRule,
    /// How `w2` is held. A share of the energy is of the whole difference.
    pub size: FactorSize,
    /// Kronecker terms per module: as many adapters come out, see [`Extraction::terms`].
    pub terms: usize,
    /// Regular expressions; where there are any, only modules in whose name one is found are extracted.
    pub include: Vec<String>,
    /// Regular expressions; modules in whose name one is found are left out. Embeddings look like linear layers in a file
    /// and are best left out so, because few programs adapt them.
    pub exclude: Vec<String>,
    /// Modules whose relative change `‖D‖_F/‖W‖_F` is at most this are taken for unchanged: 0 takes every change, 1e-2 passes
    /// over what rounding to bf16 leaves.
    pub min_change: f64,
    /// The type factors are stored in; `None`: that of the fine-tuned weight.
    pub kind: Option<FloatType>,
    /// Seed of the iterations' start vectors.
    pub seed: u64,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self {
            factor: None,
            rule: FactorizationRule::default(),
            size: FactorSize::default(),
            terms: 1,
            include: Vec::new(),
            exclude: Vec::new(),
            min_change: 0.0,
            kind: None,
            seed: 0,
        }
    }
}

/// What [`extract`] found.
#[derive(Debug, Clone)]
pub struct Extraction {
    /// The adapters, one per term: modules by the base model's names, scale 1.
    ///
    /// The best sum of several Kronecker products is no LoKr, and no other program's dialect holds it; [`Dialect::Terms`]
    /// does. The first `j` are the best sum of `j` terms.
    pub terms: Vec<BTreeMap<String, Module>>,
    /// How well they capture the difference, and what else differs.
    pub report: ExtractReport,
}

impl Extraction {
    /// The adapter to write, in any dialect for one term and in [`Dialect::Terms`] for several.
    ///
    /// # Errors
    /// [`CheckpointError::SeveralTerms`] for several terms in another dialect; those of [`Adapter::from_modules`].
    pub fn into_adapter(self, dialect: Dialect) -> Result<Adapter> {
        if dialect == Dialect::Terms {
            return Adapter::from_terms(self.terms);
        }
        if let Some((module, _)) = self.terms.get(1).and_then(BTreeMap::first_key_value) {
            let (module, operation) = (module.clone(), "written in this dialect");
            return Err(CheckpointError::SeveralTerms { module, operation });
        }
        let mut weights: BTreeMap<_, _> =
            self.report.modules.into_iter().map(|module| (module.name, module.weight)).collect();
        let modules = self.terms.into_iter().flatten();
        Adapter::from_modules_of(dialect, modules.map(|(name, module)| (module, weights.remove(&name))))
    }
}

/// The nearest LoKr of every weight that differs between a model and its fine-tuned version.
///
/// # Method
/// For each weight `(out, in, kernel…)` with `D = tuned − base`, flattened to `(out, in·K)`, the nearest Kronecker product by
/// [`lokr_core::nearest_kron`], the kernel belonging to `w2`. With a rank and one term, both factors are then improved in turn, each the
/// best for the other, until nothing is gained; with several terms each `w2` is cut to its best approximation of that rank.
/// A weight's arithmetic is in f64 if either model stores it so, else in f32; factors are computed in f64 and rounded once.
/// # Cost
/// Some tens of passes over each difference. Two matrices of the size of one weight are held at a time. No singular value
/// decomposition of a weight; that of `w2` where a share of energy or a rank asks for it.
/// # Reproducibility
/// The same files and options give the same bits, whatever the number of threads.
/// # Errors
/// [`CheckpointError::JobOption`], [`CheckpointError::ConfigPattern`], [`CheckpointError::NothingShared`],
/// [`CheckpointError::NothingChanged`]; [`CheckpointError::NonFinite`] in the model it is in;
/// [`CheckpointError::OutOfRange`] for factors that the type to store cannot hold;
/// [`CheckpointError::Interrupted`].
/// # Examples
/// ```no_run
/// use std::ops::ControlFlow;
/// use lokr_checkpoint::{BaseModel, ExtractOptions, extract};
///
/// let (base, tuned) = (BaseModel::open("base")?, BaseModel::open("tuned")?);
/// let found = extract(&base, &tuned, &ExtractOptions::default(), &mut |at| {
///     eprintln!("{}/{}", at.done, at.total);
///     ControlFlow::Continue(())
/// })?;
/// println!("{} modules capture {:.1} %", found.terms[0].len(), 100.0 * found.report.energy);
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
pub fn extract(
    base: &BaseModel,
    tuned: &BaseModel,
    options: &ExtractOptions,
    progress: &mut dyn FnMut(JobProgress<'_>) -> ControlFlow<()>,
) -> Result<Extraction> {
    check(options)?;
    let survey = Survey::new(base, tuned, options)?;
    let names = survey.names()?;
    let (mut report, mut terms) = (ExtractReport::default(), Vec::new());
    let (total, mut compared) = (names.len(), 0);
    for (done, name) in names.iter().enumerate() {
        JobProgress { done, total, name }.tell(progress)?;
        let candidate = match survey.look_at(name)? {
            Finding::Candidate(candidate) => candidate,
            Finding::Unchanged => {
                report.unchanged += 1;
                continue;
            }
            Finding::NotAdapted(reason) => {
                report.not_adapted.push(NotAdapted { tensor: name.clone(), reason });
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
    JobProgress { done: total, total, name: "" }.tell(progress)?;
    if report.modules.is_empty() {
        let others = report.not_adapted.len();
        return Err(CheckpointError::NothingChanged { compared, others }.in_file(tuned.path()));
    }
    report.add_up();
    Ok(Extraction { terms, report })
}

fn check(options: &ExtractOptions) -> Result<()> {
    options.size.check()?;
    let error = |option, expected, found: String| Err(CheckpointError::JobOption { option, expected, found });
    if options.terms == 0 {
        return error("terms", "a positive number", "0".to_owned());
    }
    if !(options.min_change >= 0.0 && options.min_change.is_finite()) {
        return error("min_change", "a finite number that is not negative", options.min_change.to_string());
    }
    Ok(())
}
