//! The job.

use std::path::Path;

use super::judge::judge;
use super::program::Program;
use super::remedy::find;
use super::report::{CheckReport, CheckedModule, Fit};
use super::stored::StoredFile;
use crate::adapter::{Adapter, ReadOptions, Unmatched};
use crate::dialect::peft;
use crate::error::Result;
use crate::model::BaseModel;

/// Whether programs read an adapter file as it was trained, module by module, and what makes it so otherwise: an answer
/// for each program, in their order. Files of `LoRA` are answered too; what is told to convert is `LoKr`.
///
/// With `base` the modules are looked for in that model as well. What each program reads is a table of facts from its
/// own sources ([`Program::source`]); none of them is run.
/// # Cost
/// Keys, shapes and names. Values are read only as [`Adapter::read`] does, and where a conversion folds a scale.
/// # Errors
/// Those of [`TensorFile::open`](crate::TensorFile::open). A file that holds no adapter that `lokr` reads is no error,
/// but has no remedy.
/// # Examples
/// ```no_run
/// use lokr_checkpoint::{Program, ReadOptions, check};
///
/// for report in check("adapter.safetensors".as_ref(), None, &[Program::ComfyUi], &ReadOptions::default())? {
///     for module in report.failing() {
///         println!("{}: {}", module.name, module.reason.as_deref().unwrap_or_default());
///     }
/// }
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
pub fn check(
    path: &Path,
    base: Option<&BaseModel>,
    programs: &[Program],
    options: &ReadOptions,
) -> Result<Vec<CheckReport>> {
    let file = StoredFile::read(path)?;
    let adapter = Adapter::read(path, options).ok();
    let found = base.zip(adapter.as_ref()).map(|(base, adapter)| adapter.resolve(base, Unmatched::Allow));
    let answer = |&program: &Program| {
        let facts = program.facts();
        let (mut problems, mut modules) = judge(facts, &file);
        match &found {
            Some(Ok(found)) => modules.iter_mut().for_each(|module| mark_unmatched(module, found.unmatched())),
            Some(Err(error)) => problems.push(error.cause().to_string()),
            None => {}
        }
        let works = problems.is_empty() && modules.iter().all(|module| module.fit == Fit::Reads);
        let remedy = adapter.as_ref().filter(|_| !works).map(|adapter| find(facts, &file, adapter, base));
        CheckReport { program, works, problems, modules, remedy, note: facts.note }
    };
    Ok(programs.iter().map(answer).collect())
}

fn mark_unmatched(module: &mut CheckedModule, unmatched: &[String]) {
    if unmatched.iter().any(|name| name == peft::strip(&module.name)) {
        module.fit = Fit::Fails;
        module.reason = Some("the base model has no such module".to_owned());
    }
}
