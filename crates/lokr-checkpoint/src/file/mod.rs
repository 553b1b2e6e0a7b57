//! Tensors as they lie in files: safetensors read, checked and written, and outputs that appear whole or not at all.
//!
//! - `dtype`: the element types to compute with, decoded and encoded; `fp8`: those of eight bits.
//! - `shape`: how many elements and bytes a shape has.
//! - `matrix`: row-major values as matrices.
//! - `json`: JSON objects whose keys are unique.
//! - `mmap`: a file's bytes, mapped.
//! - `other_formats`: what a file is that is none of these.
//! - `read_header`, `write_header`: the header of a safetensors file.
//! - `tensor`: one stored tensor.
//! - `tensor_file`, `tensor_writer`: whole files of them.
//! - `output`, `output_directory`: what may be written where.
//!
//! It knows nothing of adapters and models, and uses no other room but the errors.

mod dtype;
mod fp8;
mod json;
mod matrix;
mod mmap;
pub(crate) mod other_formats;
pub(crate) mod output;
mod output_directory;
mod read_header;
mod shape;
mod tensor;
mod tensor_file;
mod tensor_writer;
mod write_header;

pub use dtype::FloatType;
pub(crate) use fp8::settled;
pub(crate) use json::Fields;
pub(crate) use matrix::{flattened, reshaped, rows, rows_mut};
pub(crate) use output::parent;
pub use output::{OutputForm, Overwrite, check_output, check_output_form};
pub use output_directory::OutputDirectory;
/// The element types a safetensors file can hold.
pub use safetensors::Dtype;
pub(crate) use shape::product;
pub use tensor::Tensor;
pub use tensor_file::TensorFile;
pub use tensor_writer::{TensorWriter, write_tensors};
pub use write_header::TensorSpec;
