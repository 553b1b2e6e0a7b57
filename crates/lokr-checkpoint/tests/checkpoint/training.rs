//! Training runs that are killed and go on from a file, with the same bits.

use std::path::Path;

use crate::support::build::{Folder, cause};
use lokr_checkpoint::{
    CheckpointError as E, FileError, TensorFile, load_network, load_training, save_network, save_training,
};
use lokr_core::Scalar;
use lokr_layers::{
    Activation, Adam, AdamW, AdaptSettings, CrossEntropy, Dense, DoraAxis, EpochReport, FullyConnected, Group, Layer,
    LayerError, LoKrInit, LoKrSettings, Optimizer, Restore, Samples, Schedule, Sequential, Sgd, Soap, Targets, Trainer,
    Training, TrainingState, named_values,
};
use lokr_testing::matrix;
use ndarray::{Array1, Array2};

type Make<T> = fn() -> Box<dyn Optimizer<T>>;

fn optimizers<T: Scalar>() -> [(&'static str, Make<T>); 6] {
    [
        ("sgd", || Box::new(Sgd::new(0.1).unwrap())),
        ("momentum", || Box::new(Sgd::new(0.05).unwrap().momentum(0.9).unwrap())),
        ("nesterov", || Box::new(Sgd::new(0.05).unwrap().nesterov(0.9).unwrap())),
        ("adam", || Box::new(Adam::new(0.01).unwrap())),
        ("adamw", || Box::new(AdamW::new(0.01).unwrap().group(Group::lora_plus(4.0)).unwrap())),
        ("soap", || Box::new(Soap::new(0.01).unwrap().refresh(3).unwrap())),
    ]
}

/// With everything that draws, remembers or is frozen.
fn network<T: Scalar>() -> Sequential<T> {
    let bias = |n| Array1::from_elem(n, T::from_f64_lossy(0.25));
    let mut network = Sequential::empty();
    network
        .push_named("q", FullyConnected::from_arrays(matrix(15, 6, 1), bias(15), Activation::Silu).unwrap())
        .unwrap()
        .push_named("v", Dense::from_arrays(matrix(15, 8, 2), bias(8), Activation::Tanh).unwrap())
        .unwrap()
        .push_named("still", Dense::from_arrays(matrix(8, 8, 4), bias(8), Activation::Relu).unwrap())
        .unwrap()
        .push_named("head", Dense::from_arrays(matrix(8, 3, 3), bias(3), Activation::Identity).unwrap())
        .unwrap();
    let settings = LoKrSettings::new().rank(1).init(LoKrInit::Random);
    let with_dropout = settings.clone().input_dropout(0.2).rank_dropout(0.1).terms(2).term_weights(true);
    network.adapt("q", AdaptSettings::from(with_dropout.learned_scalar(true)).freeze_rest(false)).unwrap();
    let decomposed = settings.dora(DoraAxis::Output).module_dropout(0.2);
    network.adapt("v", AdaptSettings::from(decomposed).freeze_rest(false)).unwrap();
    network.freeze("still").unwrap();
    network
}

/// What a run is made of, made anew each time.
struct Data<T> {
    x: Array2<T>,
    labels: Vec<usize>,
}

impl<T: Scalar> Data<T> {
    fn new() -> Self {
        Self { x: matrix(22, 6, 9), labels: (0..22).map(|i| i * i % 3).collect() }
    }

    fn samples(&self) -> Samples<'_, T> {
        Samples::new(&self.x, Targets::Labels(&self.labels)).unwrap()
    }
}

fn run<'a, T: Scalar>(check: &'a Samples<'_, T>) -> Training<'a, T> {
    Trainer::new(CrossEntropy::new())
        .epochs(4)
        .batch_size(8)
        .micro_batch_size(5)
        .seed(3)
        .schedule(Schedule::on_plateau(0, 0.5).warmup(2))
        .clip_norm(0.5)
        .validation(check)
        .early_stopping(2)
}

/// Parameters, frozen values and reports, as bits.
fn bits<T: Scalar>(network: &Sequential<T>, history: &[EpochReport]) -> Vec<u64> {
    let mut bits: Vec<u64> = Vec::new();
    for (_, values) in named_values(network).unwrap() {
        bits.extend(values.iter().map(|v| v.to_f64_exact().to_bits()));
    }
    bits.extend(history.iter().flat_map(|report| {
        let validation = report.validation.unwrap();
        [report.loss, validation.loss, validation.accuracy.unwrap()].map(f64::to_bits)
    }));
    bits
}

fn killed_anywhere<T: Scalar>() {
    let (folder, data) = (Folder::new(), Data::<T>::new());
    let samples = data.samples();
    for (name, make) in optimizers::<T>() {
        let file = |step: u64| folder.path(&format!("{name} {step}"));
        let mut whole = network::<T>();
        let saving = run(&samples).save_every(1, |state| save_training(file(state.counts["step"]), state));
        let history = saving.fit(&mut whole, &mut *make(), &samples).unwrap();
        let (expected, mut steps) = (bits(&whole, &history), 0);
        for step in (1..=12).filter(|step| file(*step).exists()) {
            let mut again = network::<T>();
            let state = load_training::<T>(file(step)).unwrap();
            let history = run(&samples).resume(state).fit(&mut again, &mut *make(), &samples).unwrap();
            assert_eq!(bits(&again, &history), expected, "{name} from step {step}");
            steps += 1;
        }
        assert!(steps >= 6, "{name} stopped early, after {steps} steps");
    }
}

#[test]
fn a_run_that_is_killed_at_any_step_goes_on_with_the_same_bits() {
    killed_anywhere::<f32>();
    killed_anywhere::<f64>();
}

/// Killed between two saves: what is on disk is older than what was reached.
#[test]
fn the_last_save_is_enough() {
    let (folder, data) = (Folder::new(), Data::<f32>::new());
    let (samples, file) = (data.samples(), folder.path("run"));
    for (name, make) in optimizers::<f32>() {
        let mut whole = network::<f32>();
        let history = run(&samples).fit(&mut whole, &mut *make(), &samples).unwrap();
        let mut killed = network::<f32>();
        let mut seen = 0;
        let saving = run(&samples).save_every(1, |state| {
            seen = state.counts["step"];
            match seen {
                3 => save_training(&file, state).map_err(|error| error.to_string()),
                5 => Err("killed".to_owned()),
                _ => Ok(()),
            }
        });
        let error = saving.fit(&mut killed, &mut *make(), &samples).unwrap_err();
        assert!(matches!(error, LayerError::Output { ref message, .. } if message == "killed"), "{error}");
        let mut again = network::<f32>();
        let state = load_training(&file).unwrap();
        let resumed = run(&samples).resume(state).fit(&mut again, &mut *make(), &samples).unwrap();
        assert_eq!(bits(&again, &resumed), bits(&whole, &history), "{name}");
    }
}

#[test]
fn a_state_is_the_same_after_the_disk() {
    let folder = Folder::new();
    let mut state = TrainingState::<f32>::default();
    let special = [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 2.0, f32::MAX, 0.1];
    state.arrays.insert("a.b".to_owned(), Array1::from_vec(special.to_vec()).into_dyn());
    state.arrays.insert("empty".to_owned(), Array2::zeros((0, 3)).into_dyn());
    state.arrays.insert("one".to_owned(), ndarray::arr0(2.5).into_dyn());
    for (name, number) in [("inf", f64::INFINITY), ("nan", f64::NAN), ("third", 1.0 / 3.0), ("zero", -0.0)] {
        state.numbers.insert(name.to_owned(), number);
    }
    for (name, count) in [("most", u64::MAX), ("none", 0)] {
        state.counts.insert(name.to_owned(), count);
    }
    save_training(folder.path("state"), &state).unwrap();
    let back = load_training::<f32>(folder.path("state")).unwrap();
    assert_eq!(back.counts, state.counts);
    let bits = |state: &TrainingState<f32>| {
        let numbers: Vec<_> = state.numbers.iter().map(|(name, n)| (name.clone(), n.to_bits())).collect();
        let bits = |a: &ndarray::ArrayD<f32>| a.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let arrays: Vec<_> = state.arrays.iter().map(|(n, a)| (n.clone(), a.shape().to_vec(), bits(a))).collect();
        (numbers, arrays)
    };
    assert_eq!(bits(&back), bits(&state));
    save_training(folder.path("again"), &back).unwrap();
    assert_eq!(std::fs::read(folder.path("again")).unwrap(), std::fs::read(folder.path("state")).unwrap());
}

#[test]
fn a_network_and_its_run_are_one_file() {
    let (folder, data) = (Folder::new(), Data::<f64>::new());
    let samples = data.samples();
    for (name, make) in optimizers::<f64>() {
        let mut whole = network::<f64>();
        let history = run(&samples).fit(&mut whole, &mut *make(), &samples).unwrap();

        let (mut stopped, mut last) = (network::<f64>(), None);
        let mut steps = 0;
        run(&samples)
            .on_progress(|_| {
                steps += 1;
                if steps == 5 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
            })
            .save_every(usize::MAX, |state| {
                last = Some(state.clone());
                Ok::<(), String>(())
            })
            .fit(&mut stopped, &mut *make(), &samples)
            .unwrap();
        let file = folder.path(name);
        save_network(&file, &stopped, last.as_ref()).unwrap();
        assert!(!last.unwrap().arrays.is_empty());

        // Everything comes from the file, the frozen values too.
        let mut again = network::<f64>();
        again.visit_values_mut(&mut |_, mut values| values.fill(0.5));
        let state = load_network(&file, &mut again).unwrap().unwrap();
        assert_eq!(bits(&again, &[]), bits(&stopped, &[]));
        let resumed = run(&samples).resume(state).fit(&mut again, &mut *make(), &samples).unwrap();
        assert_eq!(bits(&again, &resumed), bits(&whole, &history), "{name}");
    }
    save_network(folder.path("alone"), &network::<f64>(), None).unwrap();
    assert!(load_network(folder.path("alone"), &mut network::<f64>()).unwrap().is_none());
}

#[test]
fn files_of_other_kinds_and_networks_are_named_and_change_nothing() {
    let folder = Folder::new();
    let file = folder.path("network");
    save_network(&file, &network::<f32>(), None).unwrap();
    let state = TrainingState::<f32> { arrays: named_values(&network()).unwrap(), ..TrainingState::default() };
    save_training(folder.path("run"), &state).unwrap();
    cause(
        load_training::<f32>(&file),
        |e| matches!(e, E::File(FileError::OtherKind { found, .. }) if found == "network"),
    );
    cause(
        load_network(folder.path("run"), &mut network::<f32>()),
        |e| matches!(e, E::File(FileError::OtherKind { found, .. }) if found == "training_state"),
    );
    let plain = folder.tensors("plain", &[("x", crate::support::build::tensor(&[2]))]);
    cause(load_training::<f32>(&plain), |e| matches!(e, E::File(FileError::OtherKind { .. })));
    cause(load_training::<f64>(folder.path("run")), |e| matches!(e, E::File(FileError::OtherType { .. })));

    let refuse = |path: &Path, mut network: Sequential<f32>, right: &dyn Fn(&E) -> bool| {
        let before = bits(&network, &[]);
        cause(load_network(path, &mut network), right);
        assert_eq!(bits(&network, &[]), before);
    };
    let mut fewer = Sequential::empty();
    fewer.push_named("q", network::<f32>().into_layers().swap_remove(0)).unwrap();
    refuse(&file, fewer, &|e| matches!(e, E::Layer(LayerError::UnknownName { .. })));
    let mut more = network::<f32>();
    more.push(Dense::from_arrays(matrix(3, 3, 1), Array1::zeros(3), Activation::Identity).unwrap()).unwrap();
    refuse(&file, more, &|e| matches!(e, E::Layer(LayerError::MissingName { name, .. }) if name == "4.weight"));
    let mut wide = network::<f32>();
    *wide.layer_mut("still").unwrap() =
        Box::new(Dense::from_arrays(matrix(8, 9, 1), Array1::zeros(9), Activation::Identity).unwrap());
    refuse(&file, wide, &|e| matches!(e, E::Layer(LayerError::NamedShape { name, .. }) if name.starts_with("still.")));
    let mut merged = network::<f32>();
    merged.set_training_mode(false);
    merged.adapter_mut("q").unwrap().merge_in_place(Restore::Exact).unwrap();
    cause(save_network(folder.path("none"), &merged, None), |e| {
        matches!(e, E::Layer(LayerError::AlreadyMerged { .. }))
    });
    refuse(&file, merged, &|e| matches!(e, E::Layer(LayerError::AlreadyMerged { .. })));
    let mut spoilt = network::<f32>();
    spoilt.visit_values_mut(&mut |_, mut values| values.fill(f32::NAN));
    cause(save_network(folder.path("none"), &spoilt, None), |e| {
        matches!(e, E::Layer(LayerError::NamedNonFinite { .. }))
    });
    assert!(!folder.path("none").exists());

    // Cut short, as by a disk that is full: refused, and an older file is as it was.
    let bytes = std::fs::read(&file).unwrap();
    let cut = folder.write("cut", &bytes[..bytes.len() - 3]);
    refuse(&cut, network(), &|e| matches!(e, E::File(FileError::DataLength { .. })));
    assert_eq!(TensorFile::open(&file).unwrap().metadata()["lokr_format"], "network");
}
