//! One small training run, made alike by every rank, and one small model in shards.
#![allow(dead_code)] // Each test file uses its part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lokr_checkpoint::{Adapter, BaseModel, Dialect, FloatType, Module, Overwrite, Tensor, W1, W2, write_tensors};
use lokr_layers::{
    Activation, AdamW, AdaptSettings, AllReduce, CrossEntropy, Dense, DoraAxis, EpochReport, FullyConnected, Layer,
    LayerError, LoKrInit, LoKrSettings, Samples, Schedule, Sequential, Targets, Trainer, Training,
};
use lokr_testing::matrix;
use ndarray::{Array1, Array2};

/// Adapters with everything that draws, remembers or is frozen, beside a layer that is trained whole.
pub(crate) fn network() -> Sequential<f32> {
    let bias = |n| Array1::from_elem(n, 0.25_f32);
    let mut network = Sequential::empty();
    network
        .push_named("q", FullyConnected::from_arrays(matrix(15, 6, 1), bias(15), Activation::Silu).unwrap())
        .unwrap()
        .push_named("v", Dense::from_arrays(matrix(15, 8, 2), bias(8), Activation::Tanh).unwrap())
        .unwrap()
        .push_named("head", Dense::from_arrays(matrix(8, 3, 3), bias(3), Activation::Identity).unwrap())
        .unwrap();
    let settings = LoKrSettings::new().rank(1).init(LoKrInit::Random);
    let with_dropout = settings.clone().input_dropout(0.2).rank_dropout(0.1).terms(2).term_weights(true);
    network.adapt("q", AdaptSettings::from(with_dropout.learned_scalar(true)).freeze_rest(false)).unwrap();
    let decomposed = settings.dora(DoraAxis::Output).module_dropout(0.2);
    network.adapt("v", AdaptSettings::from(decomposed).freeze_rest(false)).unwrap();
    network
}

/// The same without anything that draws, so that runs of any shares differ by rounding only.
pub(crate) fn plain_network() -> Sequential<f32> {
    let bias = |n| Array1::from_elem(n, 0.25_f32);
    let mut network = Sequential::empty();
    network
        .push_named("q", FullyConnected::from_arrays(matrix(15, 6, 1), bias(15), Activation::Silu).unwrap())
        .unwrap()
        .push_named("head", Dense::from_arrays(matrix(15, 3, 3), bias(3), Activation::Identity).unwrap())
        .unwrap();
    let settings = LoKrSettings::new().rank(1).init(LoKrInit::Random);
    network.adapt("q", AdaptSettings::from(settings).freeze_rest(false)).unwrap();
    network
}

pub(crate) struct Data {
    pub(crate) x: Array2<f32>,
    pub(crate) labels: Vec<usize>,
}

impl Data {
    /// Twenty-two samples: batches of 8, 8 and 6.
    pub(crate) fn new() -> Self {
        Self { x: matrix(22, 6, 9), labels: (0..22).map(|i| i * i % 3).collect() }
    }

    pub(crate) fn samples(&self) -> Samples<'_, f32> {
        Samples::new(&self.x, Targets::Labels(&self.labels)).unwrap()
    }
}

/// Weighted classes, a schedule that looks at the loss, clipping, validation, early stopping.
pub(crate) fn run<'a>(ranks: &'a dyn AllReduce<f32>, samples: &'a Samples<'_, f32>) -> Training<'a, f32> {
    Trainer::new(CrossEntropy::new().class_weights(&[1.0, 2.0, 0.5]).unwrap())
        .epochs(4)
        .batch_size(8)
        .seed(3)
        .schedule(Schedule::on_plateau(0, 0.5).warmup(2))
        .clip_norm(0.5)
        .validation(samples)
        .early_stopping(2)
        .communicator(ranks)
        .check_ranks_every(3)
}

/// Makes a run on a network, with an optimizer that remembers; the parameters and the reports, as bits.
pub(crate) fn fit(
    training: Training<'_, f32>,
    mut network: Sequential<f32>,
    samples: &Samples<'_, f32>,
) -> Result<Vec<u64>, LayerError> {
    let history = training.fit(&mut network, &mut AdamW::new(0.05)?, samples)?;
    Ok(bits(&network, &history))
}

pub(crate) fn bits(network: &dyn Layer<f32>, history: &[EpochReport]) -> Vec<u64> {
    let parameters = network.parameters();
    let reports = history.iter().flat_map(|report| {
        let validation = report.validation.unwrap();
        [report.loss, validation.loss, validation.accuracy.unwrap()].map(f64::to_bits)
    });
    parameters.iter().map(|value| u64::from(value.to_bits())).chain(reports).collect()
}

/// A model of three weights in `shards` files, with an index and a configuration.
pub(crate) fn model(folder: &Path, shards: usize, dtype: FloatType) -> PathBuf {
    let directory = folder.join("model");
    std::fs::create_dir_all(&directory).unwrap();
    let mut map = BTreeMap::new();
    for shard in 0..shards {
        let file = format!("model-{:05}-of-{shards:05}.safetensors", shard + 1);
        let mut tensors = BTreeMap::new();
        for (name, rows, columns) in [("q_proj", 12, 10), ("norm", 4, 1)] {
            let name = format!("layers.{shard}.{name}.weight");
            let values = matrix::<f32>(rows, columns, shard as u64 + 1);
            tensors.insert(name.clone(), Tensor::from_array(&values, dtype));
            map.insert(name, file.clone());
        }
        write_tensors(directory.join(&file), &tensors, &BTreeMap::new(), Overwrite::Replace).unwrap();
    }
    let map: Vec<_> = map.iter().map(|(name, file)| format!("\"{name}\": \"{file}\"")).collect();
    let index = format!("{{\"metadata\": {{\"total_size\": 0}}, \"weight_map\": {{{}}}}}", map.join(", "));
    std::fs::write(directory.join("model.safetensors.index.json"), index).unwrap();
    std::fs::write(directory.join("config.json"), "{}").unwrap();
    directory
}

/// An adapter of the first `layers` of that model, `(3, 2) ⊗ (4, 5)` each.
pub(crate) fn adapter(folder: &Path, layers: usize) -> PathBuf {
    let module = |layer: usize| {
        let factor = |rows, columns, seed| Tensor::from_array(&matrix::<f32>(rows, columns, seed), FloatType::F32);
        let (w1, w2) = (W1::Full(factor(3, 2, 50 + layer as u64)), W2::Full(factor(4, 5, 70 + layer as u64)));
        Module::new(format!("layers.{layer}.q_proj"), w1, w2, 0.5).unwrap()
    };
    let path = folder.join("adapter.safetensors");
    let adapter = Adapter::from_modules(Dialect::Lycoris, (0..layers).map(module)).unwrap();
    adapter.write(&path, Overwrite::Replace).unwrap();
    path
}

/// All files below a directory, by their names.
pub(crate) fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

pub(crate) fn open(path: &Path) -> BaseModel {
    BaseModel::open(path).unwrap()
}
