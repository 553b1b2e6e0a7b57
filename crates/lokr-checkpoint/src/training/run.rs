//! A training run, saved and gone on with.

use std::collections::BTreeMap;
use std::path::Path;

use lokr_core::Scalar;
use lokr_layers::TrainingState;

use super::state::{from_tensors, to_tensors};
use crate::error::{FileError, InFile, Result};
use crate::file::{Overwrite, TensorFile, write_tensors};

/// The entry of the header that says what the file is.
pub(super) const FORMAT: &str = "lokr_format";
const TRAINING: &str = "training_state";

/// Writes the state of a training run to a safetensors file, every bit of it. An older file of that name is replaced at
/// the end and as a whole: a program or machine that dies meanwhile leaves one of the two.
///
/// To be called from [`Training::save_every`](lokr_layers::Training::save_every).
///
/// # Errors
/// Those of [`write_tensors`].
/// # Examples
/// ```
/// use lokr_checkpoint::{load_training, save_training};
/// use lokr_layers::{Activation, Adam, Dense, MeanSquaredError, Samples, Targets, Trainer, Training};
/// use ndarray::{Array1, Array2};
///
/// let x = Array2::from_shape_fn((30, 2), |(i, j)| ((i + 5 * j) % 7) as f32);
/// let t = Array2::from_shape_fn((30, 1), |(i, _)| x[[i, 0]] * 2.0);
/// let samples = Samples::new(&x, Targets::Values(t.view()))?;
/// let network = || Dense::from_arrays(Array2::zeros((2, 1)), Array1::zeros(1), Activation::Identity);
/// fn run<'a>() -> Training<'a, f32> {
///     Trainer::new(MeanSquaredError).epochs(4).batch_size(10)
/// }
///
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("run.safetensors");
/// let mut whole = network()?;
/// let saving = run().save_every(5, |state| save_training(&file, state));
/// saving.fit(&mut whole, &mut Adam::new(0.01)?, &samples)?;
///
/// // Another day, after the tenth of twelve steps: the last two give the same bits.
/// let mut again = network()?;
/// run().resume(load_training(&file)?).fit(&mut again, &mut Adam::new(0.01)?, &samples)?;
/// assert_eq!(again.weights(), whole.weights());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_training<T: Scalar>(path: impl AsRef<Path>, state: &TrainingState<T>) -> Result<()> {
    let path = path.as_ref();
    let metadata = BTreeMap::from([(FORMAT.to_owned(), TRAINING.to_owned())]);
    write_tensors(path, &to_tensors(state, "").in_file(path)?, &metadata, Overwrite::Replace)
}

/// Reads what [`save_training`] wrote, to be handed to [`Training::resume`](lokr_layers::Training::resume).
///
/// # Errors
/// Those of [`TensorFile::open`]; [`FileError::OtherKind`] for a file of another kind; [`FileError::OtherType`] where
/// the run was one of `f32` and this is one of `f64`, or the other way round.
pub fn load_training<T: Scalar>(path: impl AsRef<Path>) -> Result<TrainingState<T>> {
    let file = TensorFile::open(path)?;
    check_format(&file, TRAINING)?;
    from_tensors(&file, "").in_file(file.path())
}

/// Whether the header says that a file is of that kind.
pub(super) fn check_format(file: &TensorFile, expected: &'static str) -> Result<()> {
    let found = file.metadata().get(FORMAT).cloned();
    if found.as_deref() == Some(expected) {
        return Ok(());
    }
    Err(FileError::OtherKind { expected, found: found.unwrap_or_else(|| "nothing".to_owned()) }.in_file(file.path()))
}
