//! Exported models, as far as they can be looked at without an engine. The engines are in `tests/onnx` of the
//! repository, which runs the models that `cases` makes.

#![allow(clippy::unwrap_used)] // A helper that fails is a test that fails.

mod cases;
mod convolutions;
mod model;
