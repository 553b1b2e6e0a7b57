//! Small files made for one test each.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, Dtype, FloatType, LoraOptions, LoraRank, Progress, ReadOptions, Tensor,
    TensorFile,
};
use lokr_testing::Numbers;
use ndarray::{Array2, ArrayD, IxDyn};

/// A tensor of distinct values, `0.1, 0.2, …` in alternating signs.
pub(crate) fn tensor(shape: &[usize]) -> Tensor {
    typed(shape, FloatType::F32)
}

pub(crate) fn typed(shape: &[usize], dtype: FloatType) -> Tensor {
    let mut i = 0;
    let array = ArrayD::from_shape_fn(IxDyn(shape), |_| {
        i += 1;
        if i % 3 == 0 { -0.1 * f64::from(i) } else { 0.1 * f64::from(i) }
    });
    Tensor::from_array(&array, dtype)
}

/// Values in (−1, 1) that depend on the seed.
pub(crate) fn random(shape: &[usize], seed: u64) -> ArrayD<f64> {
    let mut numbers = Numbers::new(seed);
    ArrayD::from_shape_simple_fn(IxDyn(shape), || numbers.next())
}

/// The Kronecker product by its definition, the second factor `(p, q, kernel…)` flattened to `(p, q·K)`.
pub(crate) fn kron(a: &ArrayD<f64>, b: &ArrayD<f64>) -> Array2<f64> {
    let (p, q) = (b.shape()[0], b.len() / b.shape()[0]);
    let b = b.to_shape((p, q)).unwrap();
    Array2::from_shape_fn((a.shape()[0] * p, a.shape()[1] * q), |(i, j)| a[[i / p, j / q]] * b[[i % p, j % q]])
}

/// A tensor of these values in f32.
pub(crate) fn f32s(values: &ArrayD<f64>) -> Tensor {
    Tensor::from_array(values, FloatType::F32)
}

/// A tensor of one value.
pub(crate) fn filled(shape: &[usize], value: f64) -> Tensor {
    Tensor::from_array(&ArrayD::from_elem(IxDyn(shape), value), FloatType::F32)
}

pub(crate) fn raw(dtype: Dtype, shape: &[usize], bytes: usize) -> Tensor {
    Tensor::new("raw", dtype, shape.to_vec(), vec![0; bytes]).unwrap()
}

/// A folder of its own with the files of one test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// A safetensors file, written by the `safetensors` crate.
    pub(crate) fn tensors(&self, name: &str, tensors: &[(&str, Tensor)]) -> PathBuf {
        self.tensors_with(name, tensors, &[])
    }

    pub(crate) fn tensors_with(&self, name: &str, tensors: &[(&str, Tensor)], metadata: &[(&str, &str)]) -> PathBuf {
        let views = tensors.iter().map(|(key, tensor)| {
            let view = safetensors::tensor::TensorView::new(tensor.dtype(), tensor.shape().to_vec(), tensor.bytes());
            (*key, view.unwrap())
        });
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        // The crate writes broken JSON for an empty map and no tensors.
        let metadata = Some(metadata).filter(|map: &HashMap<_, _>| !map.is_empty());
        let bytes = safetensors::serialize(views, metadata).unwrap();
        let path = self.write(name, bytes);
        TensorFile::open(&path).unwrap();
        path
    }
}

/// A configuration for the module of [`peft`].
pub(crate) const CONFIG: &str = r#"{"peft_type": "LOKR", "r": 2, "alpha": 4}"#;

/// `m`: a base weight (6, 10), factors (2, 5) and (3, 2).
pub(crate) fn base(folder: &Folder, tensors: &[(&str, Tensor)]) -> BaseModel {
    BaseModel::open(folder.tensors("model.safetensors", tensors)).unwrap()
}

pub(crate) fn read(tensors: &[(&str, Tensor)]) -> Result<Adapter, E> {
    read_with(tensors, &ReadOptions::default())
}

pub(crate) fn read_with(tensors: &[(&str, Tensor)], options: &ReadOptions) -> Result<Adapter, E> {
    let folder = Folder::new();
    Adapter::read(folder.tensors("adapter.safetensors", tensors), options)
}

/// A good module `lycoris_m` with a low-rank w2, its tensors replaced, added or (shape `[9]`) removed.
pub(crate) fn lycoris(changes: &[(&'static str, Tensor)]) -> Vec<(&'static str, Tensor)> {
    let mut tensors = vec![
        ("lycoris_m.alpha", filled(&[], 4.0)),
        ("lycoris_m.lokr_w1", tensor(&[2, 5])),
        ("lycoris_m.lokr_w2_a", tensor(&[3, 2])),
        ("lycoris_m.lokr_w2_b", tensor(&[2, 2])),
    ];
    for (key, change) in changes {
        tensors.retain(|(k, _)| k != key);
        if change.shape() != [9] {
            tensors.push((key, change.clone()));
        }
    }
    tensors
}

pub(crate) fn removed() -> Tensor {
    tensor(&[9])
}

#[track_caller]
pub(crate) fn cause<T>(result: Result<T, E>, right: impl Fn(&E) -> bool) {
    let error = result.err().expect("this must be refused");
    assert!(right(error.cause()), "{error:?}");
}

/// A LoRA of that rank in PEFT's layout.
pub(crate) fn lora_of(rank: LoraRank) -> LoraOptions {
    LoraOptions { rank, ..LoraOptions::default() }
}

/// Lets a job run.
pub(crate) fn go_on(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Stops a job before its last module.
pub(crate) fn stop(event: Progress<'_>) -> ControlFlow<()> {
    match event {
        Progress::Module { done, total, .. } if done + 1 >= total => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}

/// A PEFT folder with a good module `m`.
pub(crate) fn peft(folder: &Folder, config: &str, more: &[(&'static str, Tensor)]) -> Result<Adapter, E> {
    let mut tensors = vec![
        ("base_model.model.m.lokr_w1", tensor(&[2, 5])),
        ("base_model.model.m.lokr_w2_a", tensor(&[3, 2])),
        ("base_model.model.m.lokr_w2_b", tensor(&[2, 2])),
    ];
    tensors.extend(more.iter().cloned());
    folder.write("adapter_config.json", config);
    folder.tensors("adapter_model.safetensors", &tensors);
    Adapter::read(folder.root(), &ReadOptions::default())
}
