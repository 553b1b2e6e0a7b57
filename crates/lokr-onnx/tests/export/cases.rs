//! Networks of every kind. With `LOKR_ONNX_CASES` set to a directory, their models are written there, each with an
//! input and the answer to it, for the engines of `tests/onnx`.

use std::path::Path;

use lokr_core::Scalar;
use lokr_layers::{
    Activation, AdaptSettings, Adapter, DeltaPlacement, Dense, DoraAxis, DoraStrength, Embedding, FullyConnected,
    Layer, LayerNorm, LoKrInit, LoKrSettings, Restore, Sequential,
};
use lokr_onnx::{Adapters, ExportOptions, OnnxModel, supports_export};
use lokr_testing::matrix;
use ndarray::{Array1, Array2};

use crate::convolutions;

const ACTIVATIONS: [Activation; 8] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: -0.3 },
    Activation::Gelu,
    Activation::Silu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Softmax,
];

pub(crate) fn dense<T: Scalar>(input: usize, output: usize, activation: Activation) -> Dense<T> {
    let bias = Array1::from_shape_fn(output, |i| T::from_f64_lossy(0.1 * i as f64 - 0.2));
    Dense::from_arrays(matrix(input, output, 3), bias, activation).unwrap()
}

fn full<T: Scalar>(input: usize, output: usize, activation: Activation) -> FullyConnected<T> {
    let bias = Array1::from_shape_fn(output, |i| T::from_f64_lossy(0.3 - 0.1 * i as f64));
    FullyConnected::from_arrays(matrix(output, input, 5), bias, activation).unwrap()
}

pub(crate) fn random<T: Scalar>() -> LoKrSettings<T> {
    LoKrSettings::new().rank(1).alpha(T::from_f64_lossy(0.75)).init(LoKrInit::Random)
}

/// Every network with a name.
fn networks<T: Scalar>() -> Vec<(String, Box<dyn Layer<T>>)> {
    let mut found: Vec<(String, Box<dyn Layer<T>>)> = Vec::new();
    for activation in ACTIVATIONS {
        let name = activation.name().replace(' ', "-");
        found.push((format!("plain-{name}"), Box::new(dense(7, 5, activation))));
        found.push((format!("adapter-{name}"), Box::new(random().adapt(full(15, 12, activation)).unwrap())));
    }
    let after = random().placement(DeltaPlacement::AfterActivation);
    found.push(("after-activation".into(), Box::new(after.clone().adapt(dense(6, 8, Activation::Tanh)).unwrap())));
    found.push(("after-identity".into(), Box::new(after.adapt(dense(6, 8, Activation::Identity)).unwrap())));
    found
        .push(("without-bias".into(), Box::new(random().adapt(full(6, 10, Activation::Relu).without_bias()).unwrap())));
    for (name, a, b) in [("a-first", (2, 12), (9, 2)), ("b-first", (9, 2), (2, 12)), ("one-by-n", (1, 1), (18, 24))] {
        let settings = random().rank(2).decompose_both(true).factor_shapes(a, b);
        found.push((name.into(), Box::new(settings.adapt(dense(24, 18, Activation::Identity)).unwrap())));
    }
    found.push(("primes".into(), Box::new(random().adapt(full(13, 7, Activation::Silu)).unwrap())));
    found.push(("one".into(), Box::new(random().adapt(full(1, 1, Activation::Identity)).unwrap())));
    let sum = random().terms(3).term_weights(true).decompose_both(true);
    found.push(("terms".into(), Box::new(sum.adapt(dense(16, 12, Activation::Gelu)).unwrap())));
    for (name, axis, strength, multiplier) in [
        ("dora-output", DoraAxis::Output, DoraStrength::FromBase, 1.0),
        ("dora-output-half", DoraAxis::Output, DoraStrength::FromBase, 0.5),
        ("dora-output-lycoris", DoraAxis::Output, DoraStrength::Lycoris, 0.5),
        ("dora-input", DoraAxis::Input, DoraStrength::FromBase, 1.0),
        ("dora-input-half", DoraAxis::Input, DoraStrength::FromBase, 0.5),
    ] {
        let mut adapter = random().dora(axis).dora_strength(strength).adapt(full(12, 10, Activation::Relu)).unwrap();
        adapter.set_multiplier(T::from_f64_lossy(multiplier)).unwrap();
        found.push((name.into(), Box::new(adapter)));
    }
    let inner = random().seed(4).adapt(dense(12, 10, Activation::Tanh)).unwrap();
    found.push(("stacked".into(), Box::new(random().adapt(inner.clone()).unwrap())));
    found.push(("stacked-dora".into(), Box::new(random().dora(DoraAxis::Output).adapt(inner.clone()).unwrap())));
    let mut named = inner.clone();
    named.add_update("other", random().seed(9).update((10, 12)).unwrap()).unwrap();
    named.add_update("off", random().seed(10).update((10, 12)).unwrap()).unwrap();
    named.set_enabled("off", false).unwrap();
    found.push(("named-updates".into(), Box::new(named)));
    let mut in_place = inner;
    in_place.merge_in_place(Restore::Rounded).unwrap();
    found.push(("merged-in-place".into(), Box::new(in_place)));
    found.push(("around-norm".into(), Box::new(random().adapt(LayerNorm::new(6).unwrap()).unwrap())));
    let lora = random().lora().rank(2).init(LoKrInit::Random);
    found.push(("lora".into(), Box::new(lora.adapt(dense(9, 6, Activation::Relu)).unwrap())));
    found.extend(convolutions::networks().into_iter().map(|(name, network)| (format!("conv-{name}"), network)));
    found.push(("transformer-like".into(), Box::new(deep())));
    let mut shared = deep();
    shared.share("q").unwrap();
    shared.adapt("q", random()).unwrap();
    found.push(("shared".into(), Box::new(shared)));
    found
}

/// Tokens and two numbers, through layers of all kinds, with a network inside.
fn deep<T: Scalar>() -> Sequential<T> {
    let mut inside = Sequential::empty();
    inside.push_named("q", full(14, 12, Activation::Silu)).unwrap();
    inside.push_named("norm", LayerNorm::new(4).unwrap().pieces(3)).unwrap();
    let mut network = Sequential::empty();
    network.push_named("tokens", Embedding::from_table(matrix(5, 4, 8), 3).unwrap().passing(2)).unwrap();
    network.push_named("blocks", inside).unwrap();
    network.push_named("norm", LayerNorm::new(12).unwrap()).unwrap();
    network.push_named("head", dense(12, 3, Activation::Softmax)).unwrap();
    network.adapt("head", AdaptSettings::from(random()).freeze_rest(false)).unwrap();
    network
}

/// Rows that the network takes: where it has tokens, the first columns are some.
fn input<T: Scalar>(name: &str, columns: usize) -> Array2<T> {
    let mut x = matrix::<T>(5, columns, 21);
    if name.starts_with("transformer") || name.starts_with("shared") {
        x.slice_mut(ndarray::s![.., ..3]).indexed_iter_mut().for_each(|((i, j), x)| {
            *x = T::from_usize_lossy((2 * i + 3 * j) % 5);
        });
    }
    x
}

fn write<T: Scalar>(folder: &Path, name: &str, model: &OnnxModel, x: &Array2<T>, y: &Array2<T>) {
    model.save(folder.join(format!("{name}.onnx"))).unwrap();
    for (suffix, values) in [("x", x), ("y", y)] {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| match size_of::<T>() {
                8 => value.to_f64_exact().to_le_bytes().to_vec(),
                _ => (value.to_f64_exact() as f32).to_le_bytes().to_vec(),
            })
            .collect();
        std::fs::write(folder.join(format!("{name}.{suffix}")), bytes).unwrap();
    }
}

fn export_all<T: Scalar>(prefix: &str) -> usize {
    let folder = std::env::var_os("LOKR_ONNX_CASES");
    let mut written = 0;
    for (name, network) in networks::<T>() {
        supports_export(&network).unwrap();
        let x = input(&name, network.input_size());
        let y = network.predict(&x).unwrap();
        assert!(y.iter().all(|y| y.is_finite()), "{name}");
        for adapters in [Adapters::Apart, Adapters::Merged] {
            let model = match OnnxModel::new(&network, &ExportOptions { adapters }) {
                Ok(model) => model,
                Err(error) => {
                    let merges = !["after-activation", "around-norm"].contains(&name.as_str());
                    assert!(adapters == Adapters::Merged && !merges, "{name}: {error}");
                    continue;
                }
            };
            let is_kron = model.initializers().any(|name| name.contains("lokr_"));
            assert!(adapters == Adapters::Apart || !is_kron, "{name}");
            if let Some(folder) = &folder {
                let suffix = if adapters == Adapters::Merged { "-merged" } else { "" };
                write(Path::new(folder), &format!("{prefix}-{name}{suffix}"), &model, &x, &y);
            }
            written += 1;
        }
    }
    written
}

#[test]
fn every_kind_of_network_is_exported() {
    assert!(export_all::<f32>("f32") > 100);
    assert!(export_all::<f64>("f64") > 100);
}
