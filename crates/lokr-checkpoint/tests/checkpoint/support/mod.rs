//! The recorded cases, and plain reference arithmetic for them.
#![allow(dead_code)] // Each test file uses its part.

pub(crate) mod build;
pub(crate) mod quantized;

use std::path::{Path, PathBuf};

use lokr_checkpoint::TensorFile;
use ndarray::{Array2, ArrayD, Axis, Dimension, IxDyn};
use serde_json::Value;

/// The folder of recorded cases.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixtures")
}

/// One recorded case.
pub(crate) struct Case {
    pub(crate) folder: PathBuf,
    pub(crate) json: Value,
}

impl Case {
    pub(crate) fn load(name: &str) -> Self {
        let folder = fixtures().join(name);
        let json = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
        Self { folder, json }
    }

    /// All of them.
    pub(crate) fn all() -> Vec<Self> {
        let mut names: Vec<_> = std::fs::read_dir(fixtures())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("case.json").is_file())
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names.iter().map(|name| Self::load(name)).collect()
    }

    pub(crate) fn name(&self) -> &str {
        self.json["name"].as_str().unwrap()
    }

    pub(crate) fn is_peft(&self) -> bool {
        self.json["peer"] == "peft"
    }

    /// What `Adapter::read` is given.
    pub(crate) fn adapter_path(&self) -> PathBuf {
        if self.is_peft() { self.folder.clone() } else { self.folder.join("adapter.safetensors") }
    }

    pub(crate) fn file(&self, name: &str) -> TensorFile {
        TensorFile::open(self.folder.join(format!("{name}.safetensors"))).unwrap()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.folder.join(format!("{name}.safetensors")).is_file()
    }

    /// The layer of that name, from `model`.
    pub(crate) fn layer(&self, name: &str) -> &Value {
        self.json["model"].as_array().unwrap().iter().find(|layer| layer["name"] == name).unwrap()
    }

    pub(crate) fn targets(&self) -> &[Value] {
        self.json["targets"].as_array().unwrap()
    }

    pub(crate) fn multiplier(&self) -> f64 {
        self.json["config"]["multiplier"].as_f64().unwrap_or(1.0)
    }

    /// Asserts `|got − reference| ≤ atol + rtol·|reference|` with the tolerance of that kind.
    pub(crate) fn assert_close(&self, kind: &str, what: &str, got: &ArrayD<f64>, reference: &ArrayD<f64>) {
        // PEFT's merge and forward agree, so its cases have no tolerance of their own for the effective weight.
        let tolerance = Some(&self.json["tolerance"][kind]).filter(|t| t.is_object());
        let tolerance = tolerance.unwrap_or(&self.json["tolerance"]["merged"]);
        let (atol, rtol) = (tolerance["atol"].as_f64().unwrap(), tolerance["rtol"].as_f64().unwrap());
        assert_eq!(got.shape(), reference.shape(), "{}: {what}", self.name());
        for (index, &reference) in reference.indexed_iter() {
            let got = got[index.clone()];
            assert!(
                (got - reference).abs() <= atol + rtol * reference.abs(),
                "{}: {what}{:?}: got {got}, reference {reference}, atol {atol}, rtol {rtol}",
                self.name(),
                index.slice()
            );
        }
    }
}

/// A tensor's values as f64.
pub(crate) fn values(file: &TensorFile, name: &str) -> ArrayD<f64> {
    file.tensor(name).unwrap().to_array(name).unwrap()
}

/// What a layer with these parameters makes of `x`: a linear layer on the last axis, or a convolution.
pub(crate) fn layer_output(
    layer: &Value,
    x: &ArrayD<f64>,
    weight: &ArrayD<f64>,
    bias: Option<&ArrayD<f64>>,
) -> ArrayD<f64> {
    if layer["kind"] == "linear" { linear(x, weight, bias) } else { convolution(layer, x, weight, bias) }
}

fn linear(x: &ArrayD<f64>, weight: &ArrayD<f64>, bias: Option<&ArrayD<f64>>) -> ArrayD<f64> {
    let (out, input) = (weight.shape()[0], weight.shape()[1]);
    let weight = weight.view().into_shape_with_order((out, input)).unwrap();
    let rows: Array2<f64> = x.to_shape((x.len() / input, input)).unwrap().to_owned();
    let mut y = rows.dot(&weight.t());
    if let Some(bias) = bias {
        y += &bias.to_shape((1, out)).unwrap();
    }
    let mut shape = x.shape().to_vec();
    *shape.last_mut().unwrap() = out;
    y.into_shape_with_order(IxDyn(&shape)).unwrap()
}

/// The plain definition of a convolution (cross-correlation) with stride, padding, dilation and groups, for any number
/// of spatial axes: `y[n, o, t…] = bias[o] + Σ x[n, c, t·stride + k·dilation − padding] · w[o, c, k…]`.
fn convolution(layer: &Value, x: &ArrayD<f64>, weight: &ArrayD<f64>, bias: Option<&ArrayD<f64>>) -> ArrayD<f64> {
    let list = |key: &str| -> Vec<usize> {
        layer[key].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
    };
    let (stride, padding, dilation) = (list("stride"), list("padding"), list("dilation"));
    let groups = layer["groups"].as_u64().unwrap() as usize;
    let kernel = &weight.shape()[2..];
    let (out, per_group) = (weight.shape()[0], weight.shape()[1]);
    let size = |axis: usize| {
        (x.shape()[axis + 2] + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1) / stride[axis] + 1
    };
    let mut shape = vec![x.shape()[0], out];
    shape.extend((0..kernel.len()).map(size));
    ArrayD::from_shape_fn(IxDyn(&shape), |index| {
        let (sample, o) = (index[0], index[1]);
        let first_channel = o / (out / groups) * per_group;
        let filter = weight.index_axis(Axis(0), o);
        let sum: f64 = filter
            .indexed_iter()
            .map(|(k, w)| {
                let mut place = vec![sample, first_channel + k[0]];
                for axis in 0..kernel.len() {
                    let position = index[axis + 2] * stride[axis] + k[axis + 1] * dilation[axis];
                    match position.checked_sub(padding[axis]).filter(|&p| p < x.shape()[axis + 2]) {
                        Some(position) => place.push(position),
                        None => return 0.0,
                    }
                }
                w * x[IxDyn(&place)]
            })
            .sum();
        sum + bias.map_or(0.0, |bias| bias[[o]])
    })
}

/// The named activation.
pub(crate) fn activate(name: &Value, y: ArrayD<f64>) -> ArrayD<f64> {
    match name.as_str() {
        None | Some("none") => y,
        Some("relu") => y.mapv(|v| v.max(0.0)),
        Some("silu") => y.mapv(|v| v / (1.0 + (-v).exp())),
        Some(other) => panic!("activation {other}"),
    }
}
