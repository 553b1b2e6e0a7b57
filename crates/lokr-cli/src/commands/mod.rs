//! The subcommands, each in a file of its own name, with its report and how that is printed.
//!
//! - On an adapter: [`inspect`], [`check`], [`convert`], [`resize`], [`combine`].
//! - On models: [`merge`], which is `lokr unmerge` too, [`verify`], [`extract`]; [`join`], of their parts.
//! - Besides: [`doctor`], [`completions`].
//!
//! What several share is here: [`applied`] for those that apply adapters to a model, [`written`] for those that write
//! an adapter. They may use every other part of the program, and nothing but `main` uses them.

mod applied;
pub(crate) mod check;
pub(crate) mod combine;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod doctor;
pub(crate) mod extract;
pub(crate) mod inspect;
pub(crate) mod join;
pub(crate) mod merge;
pub(crate) mod resize;
pub(crate) mod verify;
mod written;

use std::path::PathBuf;

use lokr_checkpoint::{BaseModel, Part};

use crate::args::OutputArgs;
use crate::error::CliError;
use crate::interrupt;
use crate::outputs::check_output;

/// What a job that writes begins with: interrupts are caught, and the output can be where it should.
fn begin(output: &OutputArgs) -> Result<(), CliError> {
    interrupt::catch()?;
    check_output(&output.out, output.overwrite())
}

/// The same for a job or one part of it; where it writes. The whole output must have its place too.
fn begin_part(output: &OutputArgs, part: Option<Part>) -> Result<PathBuf, CliError> {
    begin(output)?;
    let Some(part) = part else { return Ok(output.out.clone()) };
    let path = part.path(&output.out);
    check_output(&path, output.overwrite())?;
    Ok(path)
}

/// The base model, where one is given.
fn open_base(path: Option<&PathBuf>) -> Result<Option<BaseModel>, CliError> {
    Ok(path.map(BaseModel::open).transpose()?)
}

/// One number for each adapter: those given, or 1 for all where none is.
fn one_for_each<'a>(
    what: &'static str,
    given: &'a [f64],
    adapters: usize,
) -> Result<impl Iterator<Item = f64> + use<'a>, CliError> {
    if !given.is_empty() && given.len() != adapters {
        return Err(CliError::OneForEach { what, adapters, given: given.len() });
    }
    Ok(given.iter().copied().chain(std::iter::repeat(1.0)))
}
