//! Recorded adapters of linear layers, loaded into `lokr-layers`: outputs and gradients are those that PEFT and LyCORIS
//! had.

use std::collections::BTreeMap;

use crate::support::build::{cause, tensor};
use crate::support::{Case, values};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, FileError, FloatType, JobError, Module, ModuleError, ReadOptions,
    ScaleRule, TensorFile, Unmatched, W1, W2,
};
use lokr_core::Kron;
use lokr_layers::{
    Activation, DoraStrength, FullyConnected, Layer, LoKrAdapter, LoKrInit, LoKrSettings, Loading, load_parameters,
};
use ndarray::{Array1, Array2, ArrayD};

fn rows(file: &TensorFile, name: &str) -> Array2<f32> {
    let array = values(file, name).mapv(|x| x as f32);
    let columns = array.shape()[array.ndim() - 1];
    let rows = array.len() / columns;
    array.into_shape_with_order((rows, columns)).unwrap()
}

/// Compares with the recorded values, whatever the number of axes before the last.
fn assert_close(case: &Case, kind: &str, file: &TensorFile, name: &str, got: &Array2<f32>) {
    let reference = values(file, name);
    let got: ArrayD<f64> = got.mapv(f64::from).into_dyn().into_shape_with_order(reference.raw_dim()).unwrap();
    case.assert_close(kind, name, &got, &reference);
}

/// The module's name in the recorded file.
fn key_of(case: &Case, path: &str) -> String {
    let target = case.targets().iter().find(|target| target["module"] == path).unwrap();
    target["key_prefix"].as_str().unwrap().trim_end_matches('.').to_owned()
}

/// What a training step leaves in the adapter's parameters.
fn gradients<L: Layer<f32> + Clone + 'static>(adapter: &LoKrAdapter<f32, L>) -> BTreeMap<String, Array2<f32>> {
    let mut gradients = BTreeMap::new();
    adapter.visit(&mut |name, _, gradient| {
        let gradient = gradient.unwrap().to_owned().into_dimensionality().unwrap();
        gradients.insert(name.to_owned(), gradient);
    });
    gradients
}

/// Output, input gradient and factor gradients of one layer.
struct Names {
    x: String,
    y: String,
    grad_out: String,
    grad_x: String,
    grad: String,
}

fn check<L: Layer<f32> + Clone + 'static>(
    case: &Case,
    io: &TensorFile,
    names: &Names,
    mut layer: LoKrAdapter<f32, L>,
    mu: f32,
) {
    layer.set_multiplier(mu).unwrap();
    let (x, dy) = (rows(io, &names.x), rows(io, &names.grad_out));
    assert_close(case, "y", io, &names.y, &layer.predict(&x).unwrap());
    assert_close(case, "y", io, &names.y, &layer.forward(&x).unwrap());
    let dx = layer.backward(&dy).unwrap();
    assert_close(case, "grad", io, &names.grad_x, &dx);
    let merged = layer.merge().unwrap();
    assert_close(case, "y", io, &names.y, &merged.predict(&x).unwrap());
    let mut checked = 0;
    for (key, gradient) in gradients(&layer) {
        let name = format!("{}.{key}", names.grad);
        if io.info(&name).is_some() {
            assert_close(case, "grad", io, &name, &gradient);
            checked += 1;
        }
    }
    let expected = if layer.update().dora().is_some() { 3 } else { 2 };
    assert!(checked >= expected, "{}: {checked} gradients", case.name());
}

#[test]
fn outputs_and_gradients_of_linear_layers_are_those_recorded() {
    let (mut cases, mut layers, mut decomposed) = (0, 0, 0);
    for case in Case::all() {
        let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
        let base = BaseModel::open(case.folder.join("base.safetensors")).unwrap();
        let resolution = adapter.resolve(&base, Unmatched::Refuse).unwrap();
        let io = case.file("io");
        let single = case.json["model"].as_array().unwrap().len() == 1;
        let mut any = false;
        for (name, target) in resolution.targets() {
            let (module, path) = (&adapter.modules()[name], target.strip_suffix(".weight").unwrap());
            let of = |what: &str| if single { what.to_owned() } else { format!("{what}.{path}") };
            let grad = format!("grad.{}", key_of(&case, path));
            let names = Names { x: of("x"), y: of("y"), grad_out: of("grad_out"), grad_x: of("grad_x"), grad };
            let recorded = io.info(&names.grad_out).is_some() && io.info(&format!("{}.lokr_w1", names.grad)).is_some()
                || io.info(&format!("{}.lokr_w1_a", names.grad)).is_some();
            if case.layer(path)["kind"] != "linear" || !recorded {
                continue;
            }
            let rule = match case.name() {
                "lycoris_linear_rs_lora_full_matrix" => ScaleRule::Fixed(7f64.sqrt()),
                _ => ScaleRule::Trained,
            };
            let multiplier = case.multiplier() as f32;
            let fully = base.fully_connected::<f32>(path, Activation::Identity).unwrap();
            check(&case, &io, &names, as_lycoris(module.to_layer(fully, rule).unwrap()), multiplier);
            let dense = base.dense::<f32>(path, Activation::Identity).unwrap();
            check(&case, &io, &names, as_lycoris(module.to_layer(dense, rule).unwrap()), multiplier);
            layers += 1;
            decomposed += usize::from(module.dora_scale().is_some());
            any = true;
        }
        cases += usize::from(any);
    }
    eprintln!("{layers} layers in {cases} cases, {decomposed} with norms of their own");
    assert!(
        cases >= 33 && layers >= 39 && decomposed >= 5,
        "{layers} layers in {cases} cases, {decomposed} decomposed"
    );
}

/// The same adapter with LyCORIS's formula for a multiplier, where its weight is decomposed.
fn as_lycoris<L: Layer<f32> + Clone>(adapter: LoKrAdapter<f32, L>) -> LoKrAdapter<f32, L> {
    let (base, update) = adapter.into_parts();
    let update = match update.dora().map(|(axis, scale)| (axis, scale.to_owned())) {
        Some((axis, scale)) => update.with_dora(axis, &scale, DoraStrength::Lycoris).unwrap(),
        None => update,
    };
    LoKrAdapter::from_update(base, update).unwrap()
}

/// LyCORIS's `use_scalar`: the recorded tensors of the training itself, with the scalar apart.
#[test]
fn a_scalar_in_training_is_the_one_recorded() {
    for name in ["lycoris_linear_use_scalar", "lycoris_linear_use_scalar_decompose_both"] {
        let (case, both) = (Case::load(name), name.ends_with("both"));
        let base = BaseModel::open(case.folder.join("base.safetensors")).unwrap();
        let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
        let scale = adapter.modules().values().next().unwrap().scale().unwrap() as f32;
        let base = base.fully_connected::<f32>("proj", Activation::Identity).unwrap();
        let settings = LoKrSettings::new().rank(3).alpha(3.0 * scale).decompose_both(both).learned_scalar(true);
        let (mut layer, io) = (settings.adapt(base).unwrap(), case.file("io"));
        let recorded = |kind: &str, key: &str| {
            let name = if key == "lokr_scalar" { "scalar" } else { key };
            values(&io, &format!("{kind}.lycoris_proj.{name}"))
        };
        let shapes: BTreeMap<String, Vec<usize>> = shapes_of(&layer);
        let live = shapes.iter().map(|(key, shape)| {
            let value = recorded("live", key).mapv(|x| x as f32);
            (key.clone(), value.into_shape_with_order(shape.as_slice()).unwrap())
        });
        load_parameters(&mut layer, &live.collect(), Loading::Complete).unwrap();

        let (x, dy) = (rows(&io, "x"), rows(&io, "grad_out"));
        assert_close(&case, "y", &io, "y", &layer.predict(&x).unwrap());
        assert_close(&case, "y", &io, "y", &layer.forward(&x).unwrap());
        assert_close(&case, "grad", &io, "grad_x", &layer.backward(&dy).unwrap());
        let mut checked = 0;
        layer.visit(&mut |key, _, gradient| {
            let expected = recorded("grad_live", key);
            let gradient = gradient.unwrap().mapv(f64::from).into_shape_with_order(expected.raw_dim()).unwrap();
            case.assert_close("grad", key, &gradient, &expected);
            checked += 1;
        });
        assert_eq!(checked, if both { 5 } else { 4 });
        // What is saved has the scalar in it, as the recorded file has.
        let saved = Module::from_layer("proj", &layer, FloatType::F32).unwrap();
        let weight = [layer.output_size(), layer.input_size()];
        let delta = |module: &Module| module.delta::<f32>(&weight, module.scale().unwrap()).unwrap();
        let difference = delta(&saved) - delta(adapter.modules().values().next().unwrap());
        assert!(difference.iter().all(|d| d.abs() < 1e-6), "{name}");
    }
}

fn shapes_of(layer: &dyn Layer<f32>) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    layer.visit(&mut |name, values, _| drop(shapes.insert(name.to_owned(), values.shape().to_vec())));
    shapes
}

#[test]
fn a_saved_layer_with_norms_is_the_one_that_was_loaded() {
    for name in ["lycoris_linear_dora_out", "lycoris_linear_dora_in"] {
        let case = Case::load(name);
        let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
        let base = BaseModel::open(case.folder.join("base.safetensors")).unwrap();
        let (key, module) = adapter.modules().first_key_value().unwrap();
        let base = || base.fully_connected::<f32>("proj", Activation::Relu).unwrap();
        let layer = module.to_layer(base(), ScaleRule::Trained).unwrap();
        let saved = Module::from_layer(key.as_str(), &layer, FloatType::F32).unwrap();
        let (before, after) = (module.dora_scale().unwrap(), saved.dora_scale().unwrap());
        assert_eq!((before.shape(), before.bytes()), (after.shape(), after.bytes()));
        let x = Array2::from_shape_fn((3, layer.input_size()), |(i, j)| ((i + 2 * j) % 5) as f32 - 2.0);
        let again = saved.to_layer(base(), ScaleRule::Trained).unwrap();
        assert_eq!(again.predict(&x).unwrap(), layer.predict(&x).unwrap());
    }
}

#[test]
fn a_saved_layer_is_the_one_that_was_loaded() {
    let case = Case::load("peft_linear_decompose_both");
    let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
    let base = BaseModel::open(case.folder.join("base.safetensors")).unwrap();
    let (name, module) = adapter.modules().first_key_value().unwrap();
    let mut layer =
        module.to_layer(base.fully_connected::<f32>(name, Activation::Relu).unwrap(), ScaleRule::Trained).unwrap();
    let saved = Module::from_layer(name.as_str(), &layer, FloatType::F32).unwrap();
    assert_eq!((saved.scale(), saved.rank()), (module.scale(), module.rank()));
    for ((key, before), (saved_key, after)) in module.tensors().iter().zip(saved.tensors()) {
        assert_eq!((*key, before.shape(), before.bytes()), (saved_key, after.shape(), after.bytes()));
    }
    // A step of training, saved in PEFT's dialect, and back.
    let x = Array2::from_shape_fn((3, layer.input_size()), |(i, j)| ((i + 2 * j) % 5) as f32 - 2.0);
    let y = layer.forward(&x).unwrap();
    layer.backward(&y).unwrap();
    layer.update_parameters(0.01).unwrap();
    let trained = Module::from_layer(name.as_str(), &layer, FloatType::F32).unwrap();
    assert_ne!(trained.w1().tensors()[0].1.bytes(), module.w1().tensors()[0].1.bytes());
    let folder = crate::support::build::Folder::new();
    let written = Adapter::from_modules(adapter.dialect(), [trained]).unwrap();
    written.write(folder.path("trained"), lokr_checkpoint::Overwrite::Refuse).unwrap();
    let back = Adapter::read(folder.path("trained"), &ReadOptions::default()).unwrap();
    let base = base.fully_connected::<f32>(name, Activation::Relu).unwrap();
    let again = back.modules()[name].to_layer(base, ScaleRule::Trained).unwrap();
    assert_eq!(again.predict(&x).unwrap(), layer.predict(&x).unwrap());
}

/// A file that nobody could read back is not made.
#[test]
fn values_that_are_not_finite_are_not_saved() {
    let base = || FullyConnected::from_arrays(Array2::<f32>::zeros((6, 4)), Array1::zeros(6), Activation::Identity);
    let mut spoilt = LoKrAdapter::builder(base().unwrap()).init(LoKrInit::Random).build().unwrap();
    let large = LoKrAdapter::from_delta(
        base().unwrap(),
        Kron::new(Array2::from_elem((2, 2), 1e5), Array2::ones((3, 2))).unwrap(),
        1.0,
    )
    .unwrap();
    spoilt.visit_mut(&mut |name, mut values, _| {
        if name == "lokr_w2" {
            values.fill(f32::NAN);
        }
    });
    for (adapter, dtype, key, count) in [
        (&spoilt, FloatType::F32, "lokr_w2", 6),
        (&spoilt, FloatType::Bf16, "lokr_w2", 6),
        (&large, FloatType::F16, "lokr_w1", 4),
    ] {
        cause(
            Module::from_layer("m", adapter, dtype),
            |e| matches!(e, E::Module(ModuleError::NonFinite { key: k, count: c, .. }) if *k == key && *c == count),
        );
    }
    Module::from_layer("m", &large, FloatType::Bf16).unwrap();

    let sum = LoKrAdapter::builder(base().unwrap()).terms(2).build().unwrap();
    cause(Module::from_layer("m", &sum, FloatType::F32), |e| matches!(e, E::Job(JobError::SeveralTerms { .. })));
}

#[test]
fn what_a_layer_has_no_place_for_is_refused() {
    let case = Case::load("lycoris_linear_dora_out");
    let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
    let base = BaseModel::open(case.folder.join("base.safetensors")).unwrap();
    let layer = || base.fully_connected::<f32>("proj", Activation::Identity).unwrap();
    let module = adapter.modules().values().next().unwrap();
    let square = FullyConnected::from_arrays(Array2::<f32>::zeros((45, 45)), Array1::zeros(45), Activation::Identity);
    cause(module.to_layer(square.unwrap(), ScaleRule::Trained), |e| {
        matches!(e, E::Module(ModuleError::WeightShape { .. }))
    });

    let small = Module::new("m", W1::Full(tensor(&[2, 5])), W2::Full(tensor(&[3, 2])), 1.0).unwrap();
    cause(small.to_layer(layer(), ScaleRule::Trained), |e| matches!(e, E::Module(ModuleError::WeightShape { .. })));

    let convolution = BaseModel::open(Case::load("lycoris_conv2d_full").folder.join("base.safetensors")).unwrap();
    cause(convolution.fully_connected::<f32>("conv", Activation::Identity), |e| {
        matches!(e, E::Module(ModuleError::Axes { key: "weight", .. }))
    });
    cause(base.dense::<f32>("nothing", Activation::Identity), |e| {
        matches!(e, E::File(FileError::TensorMissing { .. }))
    });
}
