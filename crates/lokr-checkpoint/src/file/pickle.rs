//! Recognising pickles, which are refused: loading one runs whatever code it contains.

use std::path::Path;

use crate::error::{FileError, Result};

/// Refuses the extensions of pickled checkpoints.
pub(crate) fn check_name(path: &Path) -> Result<(), FileError> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let format = match extension.as_str() {
        "bin" => "PyTorch pickle (.bin)",
        "pt" => "PyTorch pickle (.pt)",
        "pth" => "PyTorch pickle (.pth)",
        "ckpt" => "PyTorch pickle (.ckpt)",
        "pkl" => "Python pickle (.pkl)",
        _ => return Ok(()),
    };
    Err(FileError::Pickle { format })
}

/// `error`, or that the bytes which caused it are a pickle.
///
/// Only asked once the bytes have failed as safetensors: a header of 640 bytes begins like a pickle of protocol 2.
pub(super) fn or_pickle(bytes: &[u8], error: FileError) -> FileError {
    match bytes {
        [b'P', b'K', 3, 4, ..] => FileError::Pickle { format: "zip archive, as PyTorch writes its pickles" },
        [0x80, 2..=5, ..] => FileError::Pickle { format: "Python pickle" },
        _ => error,
    }
}
