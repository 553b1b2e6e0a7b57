//! Sums under the keys of CDKA, and sums with trained weights in the dialect of terms.

use crate::support::build::{Folder, cause, filled, tensor};
use lokr_checkpoint::{
    CheckpointError as E, Dialect, JobError, LoadOptions, ModuleError, NameError, SaveOptions, TensorFile, Updates,
    load_adapters, load_cdka, save_adapters, save_cdka,
};
use lokr_core::Scalar;
use lokr_layers::{
    Activation, DoraAxis, FullyConnected, Layer, LoKrInit, LoKrSettings, PlacedUpdate, Sequential, named_parameters,
};
use lokr_testing::matrix;
use ndarray::{Array1, Array2};

fn plain<T: Scalar>() -> Sequential<T> {
    let mut network = Sequential::empty();
    for (name, out, input) in [("blocks.0.q", 12, 10), ("blocks.0.v", 6, 12)] {
        let bias = Array1::zeros(out);
        let layer = FullyConnected::from_arrays(matrix(out, input, out as u64), bias, Activation::Tanh).unwrap();
        network.push_named(name, layer).unwrap();
    }
    network
}

fn settings<T: Scalar>() -> LoKrSettings<T> {
    LoKrSettings::new().rank(1).alpha(T::from_f64_lossy(0.5)).init(LoKrInit::Random)
}

fn adapted<T: Scalar>(settings: LoKrSettings<T>) -> Sequential<T> {
    let mut network = plain();
    network.adapt(["q", "v"], settings).unwrap();
    network.visit_mut(&mut |name, mut values, _| {
        let number = name.ends_with("lokr_weight") || name.ends_with("lokr_scalar");
        let factor = T::from_f64_lossy(if number { 0.0 } else { 1.5 });
        let shift = T::from_f64_lossy(if name.contains("term0") { 0.5 } else { -2.0 });
        values.iter_mut().for_each(|v| *v = *v * factor + if number { shift } else { T::zero() });
    });
    network
}

/// The formula of the paper, from the tensors: `λ·Σᵢ Bᵢ ⊗ Aᵢ`, `B` outside.
fn formula(file: &TensorFile, module: &str) -> Array2<f64> {
    let of = |suffix: &str| file.tensor(&format!("{module}.{suffix}")).unwrap().to_array::<f64>(suffix).unwrap();
    let (a, b, alpha) = (of("cdka_a"), of("cdka_b"), of("alpha").sum());
    let (r, r1, columns) = (a.shape()[0], a.shape()[1], a.shape()[2]);
    let (rows, r2) = (b.shape()[1], b.shape()[2]);
    Array2::from_shape_fn((rows * r1, r2 * columns), |(i, j)| {
        let sum: f64 = (0..r).map(|t| b[[t, i / r1, j / columns]] * a[[t, i % r1, j % columns]]).sum();
        alpha / (r as f64 * r2 as f64).sqrt() * sum
    })
}

#[test]
fn cdka_files_hold_the_formula_of_the_paper() {
    let (folder, x) = (Folder::new(), matrix::<f64>(5, 10, 7));
    for (dialect, first) in [
        (Dialect::Lycoris, "lycoris_blocks_0_q"),
        (Dialect::Kohya, "lora_unet_blocks_0_q"),
        (Dialect::Dotted, "blocks.0.q"),
    ] {
        for settings in [
            settings().terms(3),
            settings().full_matrix(true).terms(2).term_weights(true).learned_scalar(true),
            settings().decompose_both(true),
        ] {
            let network = adapted::<f64>(settings);
            let path = folder.path("cdka.safetensors");
            let options = SaveOptions { overwrite: lokr_checkpoint::Overwrite::Replace, ..SaveOptions::to(dialect) };
            let layers = save_cdka(&network, &path, &options).unwrap();
            assert_eq!(layers, ["blocks.0.q", "blocks.0.v"]);
            let file = TensorFile::open(&path).unwrap();
            let update = network.adapter("blocks.0.q").unwrap().named_update("default").unwrap();
            let difference = formula(&file, first) - update.weight().unwrap();
            assert!(difference.iter().all(|d| d.abs() < 1e-12), "{dialect}");
            let mut again = plain::<f64>();
            let loaded = load_cdka(&mut again, &path, &LoadOptions::default()).unwrap();
            assert_eq!((loaded.layers, loaded.warnings), (layers, Vec::new()));
            let difference = again.predict(&x).unwrap() - network.predict(&x).unwrap();
            assert!(difference.iter().all(|d| d.abs() < 1e-12), "{dialect}");
        }
    }
}

#[test]
fn what_is_no_cdka_is_named_and_changes_nothing() {
    let folder = Folder::new();
    let refuse = |network: &Sequential<f32>, options: &SaveOptions, right: &dyn Fn(&E) -> bool| {
        cause(save_cdka(network, folder.path("none"), options), right);
        assert!(!folder.path("none").exists());
    };
    let network = adapted::<f32>(settings());
    for dialect in [Dialect::Peft, Dialect::Terms] {
        refuse(&network, &SaveOptions::to(dialect), &|e| {
            matches!(e, E::Job(JobError::Option { option: "dialect", .. }))
        });
    }
    let mut two = adapted::<f32>(settings());
    let update = settings().factor(2).update((12, 10)).unwrap();
    let mut placed = vec![PlacedUpdate { layer: "blocks.0.q".to_owned(), update, placement: None }];
    two.put_updates("other", placed.clone()).unwrap();
    let each = SaveOptions { updates: Updates::Each, ..SaveOptions::to(Dialect::Lycoris) };
    refuse(&two, &each, &|e| matches!(e, E::Job(JobError::Option { option: "updates", .. })));
    two.combine_updates("sum", &[("default", 1.0), ("other", 1.0)]).unwrap();
    let sum = SaveOptions { updates: Updates::Named("sum".to_owned()), ..SaveOptions::to(Dialect::Lycoris) };
    refuse(&two, &sum, &|e| matches!(e, E::Module(ModuleError::CannotHold { .. })));
    let decomposed = adapted::<f32>(settings().dora(DoraAxis::Output));
    refuse(&decomposed, &SaveOptions::to(Dialect::Lycoris), &|e| {
        matches!(e, E::Module(ModuleError::CannotHold { .. }))
    });
    placed.clear();

    let good = || {
        vec![
            ("blocks.0.q.cdka_a", tensor(&[2, 3, 5])),
            ("blocks.0.q.cdka_b", tensor(&[2, 4, 2])),
            ("blocks.0.q.alpha", filled(&[], 3.0)),
        ]
    };
    let load = |tensors: &[(&str, lokr_checkpoint::Tensor)]| {
        let path = folder.tensors("cdka", tensors);
        let mut network = plain::<f32>();
        let loaded = load_cdka(&mut network, path, &LoadOptions::default());
        assert_eq!(network.adapters().len(), usize::from(loaded.is_ok()));
        loaded
    };
    load(&good()).unwrap();
    assert_eq!(load(&good()[..2]).unwrap().warnings.len(), 1, "no alpha: scale 1, and said so");
    cause(load(&good()[1..]), |e| matches!(e, E::Module(ModuleError::HalfMissing { missing: "cdka_a", .. })));
    for (place, wrong) in [
        (0, ("blocks.0.q.cdka_a", tensor(&[3, 3, 5]))),
        (0, ("blocks.0.q.cdka_a", tensor(&[6, 5]))),
        (0, ("blocks.0.q.cdka_a", filled(&[2, 3, 5], f64::NAN))),
        (1, ("blocks.0.q.cdka_b", tensor(&[2, 0, 2]))),
        (2, ("blocks.0.q.alpha", filled(&[2], 1.0))),
        (2, ("blocks.0.q.alpha", filled(&[], f64::INFINITY))),
    ] {
        let mut tensors = good();
        tensors[place] = wrong;
        cause(load(&tensors), |e| matches!(e, E::Module(_)));
    }
    let mut tensors = good();
    tensors[1] = ("blocks.0.q.cdka_b", tensor(&[2, 5, 2]));
    cause(load(&tensors), |e| matches!(e, E::Layer(lokr_layers::LayerError::Shape { .. })));
    let mut tensors = good();
    tensors.push(("blocks.0.q.lokr_w1", tensor(&[2, 2])));
    cause(load(&tensors), |e| matches!(e, E::Name(NameError::UnknownKey { .. })));
}

/// The weights of MoKA's terms, in the dialect of terms.
#[test]
fn weights_of_terms_come_back_as_trained_numbers() {
    let folder = Folder::new();
    let network = adapted::<f64>(settings().terms(3).term_weights(true).learned_scalar(true));
    save_adapters(&network, folder.path("moka"), &SaveOptions::to(Dialect::Terms)).unwrap();
    let mut again = plain::<f64>();
    load_adapters(&mut again, folder.path("moka"), &LoadOptions::default()).unwrap();
    let x = matrix::<f64>(5, 10, 7);
    let difference = again.predict(&x).unwrap() - network.predict(&x).unwrap();
    assert!(difference.iter().all(|d| d.abs() < 1e-12));
    let values = named_parameters(&again).unwrap();
    let (scalar, scaling) = (-2.0, 0.5);
    for (term, weight) in [("term0", 0.5), ("term1", -2.0), ("term2", -2.0)] {
        let found = values[&format!("blocks.0.q.{term}.lokr_weight")].sum();
        assert!((found - scaling * scalar * weight).abs() < 1e-15, "{term}: {found}");
    }
    // They train on.
    again.forward(&x).unwrap();
    again.backward(&matrix(5, 6, 8)).unwrap();
    again.update_parameters(0.1).unwrap();
    assert_ne!(named_parameters(&again).unwrap(), values);
}
