//! Recognising files that are no safetensors files, to say what they are and what to do with them. Pickles are refused
//! unread: loading one runs whatever code it contains.

use std::path::Path;

use crate::error::FileError;

/// A format by how its files begin.
struct Format {
    magic: &'static [u8],
    /// What it is, and what to do instead of giving it; `None` for pickles, whose error says that.
    what: &'static str,
    instead: Option<&'static str>,
}

const GGUF: (&str, &str) = (
    "a GGUF file, whose weights are quantised for llama.cpp and its kin",
    "merge into the safetensors model and convert that to GGUF again, or give llama.cpp a LoRA: lokr convert --to lora, \
     then its convert_lora_to_gguf.py",
);
const OLD_GGML: (&str, &str) = ("a GGML file of an old llama.cpp", GGUF.1);
const JSON: (&str, &str) = ("JSON text, no tensors", "give the safetensors file that belongs to it, or the directory");
const KERAS: (&str, &str) = ("an HDF5 file, as Keras writes", "export the model as safetensors");
const NUMPY: (&str, &str) = ("a NumPy file", "save its arrays as safetensors");
const ONNX: (&str, &str) = ("an ONNX model", "give the safetensors model that it was exported from");
const PACKED: (&str, &str) = ("an archive", "unpack it and give the safetensors file in it");
const WEB_PAGE: (&str, &str) =
    ("a web page in place of the file", "load it down again; a licence or login may be asked for");

const fn other(magic: &'static [u8], (what, instead): (&'static str, &'static str)) -> Format {
    Format { magic, what, instead: Some(instead) }
}

const fn pickle(magic: &'static [u8], what: &'static str) -> Format {
    Format { magic, what, instead: None }
}

/// By content.
const FORMATS: [Format; 18] = [
    other(b"GGUF", GGUF),
    other(b"lmgg", OLD_GGML),
    other(b"tjgg", OLD_GGML),
    pickle(&[0x80, 2], "Python pickle, as old PyTorch writes"),
    pickle(&[0x80, 3], "Python pickle"),
    pickle(&[0x80, 4], "Python pickle"),
    pickle(&[0x80, 5], "Python pickle"),
    other(b"\x89HDF\r\n\x1a\n", KERAS),
    other(b"\x93NUMPY", NUMPY),
    other(b"version https://git-lfs", ("a Git LFS pointer in place of the file", "run git lfs pull where it lies")),
    other(b"<!DOCTYPE", WEB_PAGE),
    other(b"<!doctype", WEB_PAGE),
    other(b"<html", WEB_PAGE),
    other(b"{", JSON),
    other(b"\x1f\x8b", PACKED),
    other(b"7z\xbc\xaf\x27\x1c", PACKED),
    other(b"Rar!", PACKED),
    other(b"\xfd7zXZ", PACKED),
];

/// By the ending of the name.
const ENDINGS: [(&str, Format); 12] = [
    ("bin", pickle(b"", "PyTorch pickle (.bin)")),
    ("pt", pickle(b"", "PyTorch pickle (.pt)")),
    ("pth", pickle(b"", "PyTorch pickle (.pth)")),
    ("ckpt", pickle(b"", "PyTorch pickle (.ckpt)")),
    ("pkl", pickle(b"", "Python pickle (.pkl)")),
    ("gguf", other(b"", GGUF)),
    ("ggml", other(b"", GGUF)),
    ("h5", other(b"", KERAS)),
    ("npz", other(b"", NUMPY)),
    ("onnx", other(b"", ONNX)),
    ("msgpack", other(b"", ("a Flax checkpoint", "save the model for PyTorch as safetensors"))),
    ("pdparams", other(b"", ("a PaddlePaddle checkpoint", "save its arrays as safetensors"))),
];

impl Format {
    fn error(&self) -> FileError {
        match self.instead {
            None => FileError::Pickle { format: self.what },
            Some(instead) => FileError::OtherFormat { found: self.what, instead },
        }
    }
}

/// Refuses a name whose ending is that of another format.
pub(crate) fn check_name(path: &Path) -> Result<(), FileError> {
    let extension = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ENDINGS.iter().find(|(ending, _)| extension.eq_ignore_ascii_case(ending)) {
        Some((_, format)) => Err(format.error()),
        None => Ok(()),
    }
}

/// What the bytes are that could not be read as safetensors: another format by their content or by the file's name,
/// else `error`.
pub(super) fn instead_of(error: FileError, path: &Path, bytes: &[u8]) -> FileError {
    match first_in_zip(bytes) {
        Some(name) if name.ends_with(b".npy") => return other(b"", NUMPY).error(),
        Some(_) => return pickle(b"", "zip archive, as PyTorch writes its pickles").error(),
        None => {}
    }
    // The length of a header can begin like any other format, but ends in zeros.
    let is_length = bytes.get(4..8).is_some_and(|end| end == [0; 4]);
    match FORMATS.iter().find(|format| bytes.starts_with(format.magic)) {
        Some(format) if !is_length || format.magic.len() >= 4 => format.error(),
        _ => check_name(path).err().unwrap_or(error),
    }
}

/// The name of the first file in a zip archive.
fn first_in_zip(bytes: &[u8]) -> Option<&[u8]> {
    /// Where the header of a file in the archive tells how long the name is that follows it.
    const LENGTH: usize = 26;
    const NAME: usize = 30;
    bytes.strip_prefix(b"PK\x03\x04")?;
    let length = bytes.get(LENGTH..LENGTH + 2).map_or(0, |length| u16::from_le_bytes([length[0], length[1]]));
    Some(bytes.get(NAME..NAME + usize::from(length)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zip(name: &str) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.resize(26, 0);
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(name.as_bytes());
        bytes
    }

    #[test]
    fn content_comes_before_the_name() {
        let of = |name: &str, bytes: &[u8]| instead_of(FileError::NoHeader { length: 3 }, Path::new(name), bytes);
        for (name, bytes, says) in [
            ("model.safetensors", &b"GGUF\x03\0\0\0rest"[..], "GGUF"),
            ("model.bin", b"GGUF\x03\0\0\0rest", "GGUF"),
            ("model.ckpt", &[0x80, 2, 0x8a, 10], "old PyTorch"),
            ("x.safetensors", &zip("archive/data.pkl"), "PyTorch"),
            ("x.safetensors", &zip("a.npy"), "NumPy"),
            ("x.safetensors", b"PK\x03\x04", "PyTorch"),
            ("x.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
            ("x.safetensors", b"<!doctype html><title>Sign in", "web page"),
            ("adapter_config.json", b"{\n  \"peft_type\": \"LOKR\"", "JSON"),
            ("x.gguf", b"1234567890", "GGUF"),
            ("x.CKPT", b"1234567890", "PyTorch pickle"),
        ] {
            let text = of(name, bytes).to_string();
            assert!(text.contains(says), "{name}: {text}");
        }
        assert!(matches!(of("x.safetensors", b"abc"), FileError::NoHeader { .. }));
        assert!(matches!(of("x", b""), FileError::NoHeader { .. }));
        // Headers of 640 bytes and of 123.
        for length in [640u64, 123] {
            assert!(matches!(of("x.safetensors", &length.to_le_bytes()), FileError::NoHeader { .. }), "{length}");
        }
    }
}
