//! The model, made and written.

use std::io::Write;
use std::path::Path;

use lokr_core::Scalar;
use lokr_layers::Layer;
use prost::Message;

use crate::check::supports_export;
use crate::error::{ExportError, Result};
use crate::graph::{Graph, element_type};
use crate::layers;
use crate::proto::{
    Dimension, GraphProto, Length, ModelProto, OperatorSetIdProto, TensorShapeProto, TensorType, TypeProto,
    ValueInfoProto,
};

/// The version of the default domain's operators: that of ONNX 1.8 (2020), which all engines of today read.
pub const OPSET: i64 = 13;

/// The version of the file format, that of ONNX 1.8.
pub const IR_VERSION: i64 = 7;

const INPUT: &str = "input";
const OUTPUT: &str = "output";
const BATCH: &str = "batch";

/// What a protobuf message holds at most.
const LIMIT: usize = i32::MAX as usize;

/// What becomes of adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Adapters {
    /// They stay beside their bases, as small matrices.
    #[default]
    Apart,
    /// They are merged into the weights: [`Layer::merged`].
    Merged,
}

/// How a network is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ExportOptions {
    /// What becomes of adapters.
    pub adapters: Adapters,
}

/// A network as an ONNX model. It computes what [`Layer::predict`] does; dropout and gradients are no part of it.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, FullyConnected};
/// use lokr_onnx::{ExportOptions, OnnxModel};
/// use ndarray::{Array1, Array2};
///
/// let layer = FullyConnected::<f32>::from_arrays(Array2::zeros((3, 2)), Array1::zeros(3), Activation::Relu)?;
/// let model = OnnxModel::new(&layer, &ExportOptions::default())?;
/// assert_eq!(model.operators().collect::<Vec<_>>(), ["Gemm", "Relu"]);
/// assert_eq!(model.initializers().collect::<Vec<_>>(), ["weight", "bias"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxModel {
    model: ModelProto,
}

impl OnnxModel {
    /// The model of a network: any layer of `lokr-layers`, mostly a [`Sequential`](lokr_layers::Sequential).
    ///
    /// # Cost
    /// A copy of all values; [`Adapters::Merged`] makes another on the way.
    /// # Errors
    /// [`ExportError::Unsupported`] as [`supports_export`]; [`ExportError::Layer`] for adapters that cannot be merged;
    /// [`ExportError::TooLarge`].
    pub fn new<T: Scalar>(network: &dyn Layer<T>, options: &ExportOptions) -> Result<Self> {
        supports_export(network)?;
        let merged;
        let network = match options.adapters {
            Adapters::Apart => network,
            Adapters::Merged => {
                merged = network.merged()?;
                &*merged
            }
        };
        let mut graph = Graph::new(INPUT, OUTPUT);
        let last = layers::layer(&mut graph, "", network, INPUT.to_owned())?;
        let graph = GraphProto {
            name: network.type_name().to_owned(),
            input: vec![matrix::<T>(INPUT, network.input_size())],
            output: vec![matrix::<T>(OUTPUT, network.output_size())],
            ..graph.finish(&last, OUTPUT)
        };
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: env!("CARGO_PKG_NAME").to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        };
        match model.encoded_len() {
            bytes if bytes > LIMIT => Err(ExportError::TooLarge { bytes, limit: LIMIT }),
            _ => Ok(Self { model }),
        }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// Writes the file, beside the target and renamed over it at the end: a program that dies meanwhile leaves an older
    /// file as it was.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || {
            let mut file = temporary_file(folder)?;
            file.write_all(&self.to_bytes())?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error).map(drop)
        };
        write().map_err(|source| ExportError::Write { path: path.display().to_string(), source })
    }

    /// The names of all constants, first to last.
    pub fn initializers(&self) -> impl Iterator<Item = &str> {
        self.graph().flat_map(|graph| &graph.initializer).map(|tensor| tensor.name.as_str())
    }

    /// The operators of all nodes, in the order in which they run.
    pub fn operators(&self) -> impl Iterator<Item = &str> {
        self.graph().flat_map(|graph| &graph.node).map(|node| node.op_type.as_str())
    }

    fn graph(&self) -> impl Iterator<Item = &GraphProto> {
        self.model.graph.iter()
    }
}

/// A file that vanishes unless it is given its name.
fn temporary_file(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Those of any new file, less what the user's mask takes away; without it the file would be the owner's only.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// A matrix of so many columns with a row for each sample.
fn matrix<T: Scalar>(name: &str, columns: usize) -> ValueInfoProto {
    let lengths = [Length::DimParam(BATCH.to_owned()), Length::DimValue(columns as i64)];
    let dim = lengths.into_iter().map(|length| Dimension { value: Some(length) }).collect();
    let tensor = TensorType { elem_type: element_type::<T>(), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}
