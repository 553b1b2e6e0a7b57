//! Many adapters on one base: rows of a batch that use different ones, and values that are held once.

use lokr_core::Scalar;
use lokr_layers::{
    Activation, Adam, Adapter, DeltaPlacement, Dense, DoraAxis, GradientAt, Layer, LayerError, LayerNorm, LinearLayer,
    LoKrInit, LoKrSettings, LoKrUpdate, MeanSquaredError, PlacedUpdate, Restore, RowUpdates, Samples, Select,
    Sequential, Shared, Targets, Trainer, named_values,
};
use ndarray::{Array2, Axis};

use crate::support::*;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn update<T: Scalar>(dim: (usize, usize), seed: u64) -> LoKrUpdate<T> {
    LoKrSettings::new().rank(2).init(LoKrInit::Random).seed(seed).update(dim).unwrap()
}

/// Two adapted layers, a plain one and a norm between, one of them inside another network; `b` is on one layer only.
fn network<T: Scalar>(activation: Activation) -> Sequential<T> {
    let mut inner = Sequential::empty();
    let layer = |out, input, seed| dense(&matrix::<T>(out, input, seed), &vector(out, seed), activation);
    inner.push_named("v", layer(8, 14, 2)).unwrap();
    let mut network = Sequential::empty();
    network.push_named("q", fully_connected(&matrix::<T>(14, 12, 1), &vector(14, 1), activation)).unwrap();
    network.push_named("norm", LayerNorm::new(14).unwrap()).unwrap().push_named("block", inner).unwrap();
    network.push_named("plain", layer(5, 8, 3)).unwrap();
    for (index, name) in NAMES.into_iter().enumerate() {
        let on =
            |layer: &str, dim, seed| PlacedUpdate { layer: layer.into(), update: update(dim, seed), placement: None };
        let mut updates = vec![on("q", (14, 12), 10 + index as u64)];
        if name != "b" {
            updates.push(on("block.v", (8, 14), 20 + index as u64));
        }
        network.put_updates(name, updates).unwrap();
    }
    network
}

/// Names for so many rows, every order and none at all among them.
fn names(rows: usize, seed: usize) -> Vec<Option<&'static str>> {
    (0..rows)
        .map(|row| [None, Some("a"), Some("c"), Some("b"), Some("a")][(row * row + seed * row + seed) % 5])
        .collect()
}

fn rows_get_their_own_updates<T: Scalar>() {
    for activation in [Activation::Identity, Activation::Gelu, Activation::Softmax] {
        let mut network = network::<T>(activation);
        for (rows, seed) in [(1, 0), (2, 1), (7, 2), (23, 3), (60, 4), (0, 0)] {
            let (x, names) = (matrix::<T>(rows, 12, 5), names(rows, seed));
            let found = network.predict_mixed(&x, &names).unwrap();
            for name in [None, Some("a"), Some("b"), Some("c")] {
                network.activate(name.as_slice()).unwrap();
                let expected = network.predict(&x).unwrap();
                for (row, _) in names.iter().enumerate().filter(|(_, wanted)| **wanted == name) {
                    assert_close(&found.row(row), &expected.row(row), 40, &format!("{name:?} at {row} of {rows}"));
                }
            }
            // What is enabled does not matter.
            assert_eq!(network.predict_mixed(&x, &names).unwrap(), found);
        }
    }
}

#[test]
fn each_row_is_what_its_adapter_alone_makes_of_it() {
    rows_get_their_own_updates::<f32>();
    rows_get_their_own_updates::<f64>();
}

/// One product for the batch, and each update on its gathered rows: the very bits.
#[test]
fn the_bits_are_those_of_the_gathered_rows() {
    for (rows, seed) in [(5, 1), (31, 2), (64, 3)] {
        let network = network::<f32>(Activation::Tanh);
        let (x, names) = (matrix::<f32>(rows, 12, 5), names(rows, seed));
        let adapter = network.adapter("q").unwrap();
        let mut expected = Array2::zeros((rows, 14));
        adapter.base().as_linear().unwrap().pre_activation_into(&x, &mut expected).unwrap();
        for name in NAMES {
            let group: Vec<usize> = (0..rows).filter(|&row| names[row] == Some(name)).collect();
            let (x, mut z) = (x.select(Axis(0), &group), expected.select(Axis(0), &group));
            adapter.named_update(name).unwrap().apply_into(&x, &mut z).unwrap();
            group.iter().zip(z.rows()).for_each(|(&row, z)| expected.row_mut(row).assign(&z));
        }
        Activation::Tanh.apply(&mut expected);
        let mut found = Array2::from_elem((rows, 14), f32::NAN);
        adapter.predict_mixed_into(&x, &RowUpdates::new(&names), &mut found).unwrap();
        assert_eq!(found, expected);
        // A batch that one adapter has for itself is that adapter's.
        let mut alone = network.clone();
        alone.activate(&["c"]).unwrap();
        assert_eq!(network.predict_mixed(&x, &vec![Some("c"); rows]).unwrap(), alone.predict(&x).unwrap());
    }
}

#[test]
fn every_placement_and_form_can_be_mixed() {
    let (x, rows) = (matrix::<f64>(6, 18, 3), [Some("a"), None, Some("default"), Some("a"), None, Some("default")]);
    let check = |adapter: &mut dyn Adapter<f64>, names: &[&str]| {
        let mut found = Array2::from_elem((6, 12), f64::NAN);
        adapter.predict_mixed_into(&x, &RowUpdates::new(&rows), &mut found).unwrap();
        let bare = adapter.base().predict(&x).unwrap();
        for name in names {
            names.iter().for_each(|other| adapter.set_enabled(other, other == name).unwrap());
            let expected = adapter.predict(&x).unwrap();
            for row in (0..6).filter(|&row| rows[row] == Some(*name)) {
                assert_close(&found.row(row), &expected.row(row), 40, name);
            }
        }
        for row in (0..6).filter(|&row| rows[row].is_none_or(|wanted| !names.contains(&wanted))) {
            assert_close(&found.row(row), &bare.row(row), 18, "the base alone");
        }
    };
    let base = || dense(&matrix::<f64>(12, 18, 1), &vector(12, 2), Activation::Silu);
    let settings = || LoKrSettings::new().rank(1).init(LoKrInit::Random);
    let mut after = settings().placement(DeltaPlacement::AfterActivation).adapt(base()).unwrap();
    after.add_update("a", update((12, 18), 4)).unwrap();
    check(&mut after, &["default", "a"]);
    for axis in [DoraAxis::Output, DoraAxis::Input] {
        let mut decomposed = settings().dora(axis).adapt(base()).unwrap();
        check(&mut decomposed, &["default"]);
        decomposed.set_enabled("default", false).unwrap();
        let refused = decomposed.predict_mixed_into(&x, &RowUpdates::new(&rows), &mut Array2::zeros((6, 12)));
        assert!(matches!(refused, Err(LayerError::InvalidSetting { setting: "update", .. })));
    }
    let mut sum = settings().terms(3).term_weights(true).learned_scalar(true).adapt(base()).unwrap();
    sum.add_update("a", update((12, 18), 4)).unwrap();
    check(&mut sum, &["default", "a"]);
    // Around an adapter, whose own name is chosen as well.
    let mut stacked = settings().adapt(settings().seed(8).adapt(base()).unwrap()).unwrap();
    stacked.add_update("a", update((12, 18), 4)).unwrap();
    let mut found = Array2::zeros((6, 12));
    stacked.predict_mixed_into(&x, &RowUpdates::new(&rows), &mut found).unwrap();
    stacked.set_enabled("a", false).unwrap();
    let both = stacked.predict(&x).unwrap();
    assert_close(&found.row(2), &both.row(2), 40, "the inner one too");
    assert_close(&found.row(1), &base().predict(&x).unwrap().row(1), 18, "none of both");
}

#[test]
fn what_cannot_be_mixed_is_named() {
    let mut network = network::<f32>(Activation::Relu);
    let x = matrix::<f32>(2, 12, 1);
    let error = network.predict_mixed(&x, &[Some("a"), Some("d")]).unwrap_err();
    assert!(matches!(error, LayerError::UnknownName { ref name, .. } if name == "d"), "{error}");
    let error = network.predict_mixed(&x, &[None]).unwrap_err();
    assert!(matches!(error, LayerError::Length { argument: "names of updates", expected: 2, found: 1, .. }), "{error}");
    assert!(matches!(network.predict_mixed(&matrix(2, 11, 1), &[None; 2]), Err(LayerError::Shape { .. })));
    network.adapter_mut("q").unwrap().merge_in_place(Restore::Rounded).unwrap();
    assert!(matches!(network.predict_mixed(&x, &[None; 2]), Err(LayerError::AlreadyMerged { .. })));
    assert!(matches!(network.activate(&["a"]), Err(LayerError::AlreadyMerged { .. })));
    assert!(matches!(network.activate(&["d"]), Err(LayerError::UnknownName { .. })));
}

#[test]
fn putting_updates_is_all_or_nothing() {
    let mut network = network::<f32>(Activation::Relu);
    let state = |network: &Sequential<f32>| (named_values(network).unwrap(), network.update_names());
    let before = state(&network);
    let on = |layer: &str, dim, placement| PlacedUpdate { layer: layer.into(), update: update(dim, 1), placement };
    for (updates, name) in [
        (vec![on("q", (14, 12), None), on("q", (14, 12), None)], "d"),
        (vec![on("q", (14, 12), None), on("block.v", (8, 13), None)], "d"),
        (vec![on("q", (14, 12), None), on("block.v", (8, 13), None)], "a"),
        (vec![on("q", (14, 12), None), on("nowhere", (8, 13), None)], "d"),
        (vec![on("q", (14, 12), None), on("plain", (5, 7), None)], "d"),
        (vec![on("q", (14, 12), Some(DeltaPlacement::AfterActivation))], "a"),
        (vec![on("norm", (14, 14), Some(DeltaPlacement::BeforeActivation))], "d"),
        (vec![on("plain", (5, 8), None)], "d.e"),
        (vec![on("q", (14, 12), None)], "base"),
    ] {
        assert!(network.put_updates(name, updates).is_err());
        assert_eq!(state(&network), before);
    }
    network.put_updates("d", vec![on("plain", (5, 8), None), on("norm", (14, 14), None)]).unwrap();
    assert_eq!(network.update_names(), ["a", "b", "c", "d"]);
    assert_eq!(network.adapter("norm").unwrap().placement(), DeltaPlacement::AfterActivation);
    network.put_updates("a", vec![on("q", (14, 12), None)]).unwrap();
    assert_ne!(named_values(&network).unwrap()["q.a.lokr_w2_a"], before.0["q.a.lokr_w2_a"]);
}

fn shared<T: Scalar>(activation: Activation) -> (Dense<T>, Shared<T>) {
    let base = dense(&matrix::<T>(12, 18, 1), &vector(12, 2), activation);
    (base.clone(), Shared::new(base).unwrap())
}

#[test]
fn a_shared_base_is_the_base_in_every_respect() {
    for activation in ACTIVATIONS {
        let (plain, shared) = shared::<f64>(activation);
        let (x, dy) = (matrix::<f64>(5, 18, 3), matrix::<f64>(5, 12, 4));
        let settings = || LoKrSettings::new().rank(1).init(LoKrInit::Random);
        let mut own = settings().adapt(plain.clone()).unwrap();
        let mut common = settings().adapt(shared.clone()).unwrap();
        assert_eq!(common.predict(&x).unwrap(), own.predict(&x).unwrap());
        assert_eq!(common.forward(&x).unwrap(), own.forward(&x).unwrap());
        assert_eq!(common.backward(&dy).unwrap(), own.backward(&dy).unwrap());
        assert_eq!(common.gradients().unwrap(), own.gradients().unwrap());
        assert_eq!(common.compile(3).unwrap().forward(&x).unwrap(), own.compile(3).unwrap().forward(&x).unwrap());
        let merged = common.merge().unwrap();
        assert_eq!(merged.weight(), own.merge().unwrap().weight());
        assert_eq!(common.merged().unwrap().predict(&x).unwrap(), own.merged().unwrap().predict(&x).unwrap());
        // Merged in place it has a weight of its own, and the others keep theirs.
        common.merge_in_place(Restore::Rounded).unwrap();
        assert_eq!((shared.holders(), common.base_layer().holders()), (1, 1));
        assert_eq!(shared.weight(), plain.weight());
        // As a layer between others.
        let (mut alone, mut plain) = (shared, plain);
        assert_eq!(alone.forward(&x).unwrap(), plain.forward(&x).unwrap());
        for at in [GradientAt::Output, GradientAt::PreActivation] {
            let (mut dx, mut expected) = (Array2::zeros(x.dim()), Array2::zeros(x.dim()));
            alone.backward_into(&dy, at, &mut dx).unwrap();
            plain.backward_into(&dy, at, &mut expected).unwrap();
            assert_eq!(dx, expected);
        }
        alone.set_frozen(false).unwrap();
        assert!(alone.is_frozen() && alone.parameter_count() == 0);
        alone.reset_state();
        assert!(matches!(alone.backward(&dy), Err(LayerError::BackwardBeforeForward { .. })));
    }
}

#[test]
fn copies_of_a_network_share_and_train_apart() {
    let mut base = Sequential::<f64>::empty();
    base.push_named("q", dense(&matrix(14, 12, 1), &vector(14, 1), Activation::Tanh)).unwrap();
    base.push_named("norm", LayerNorm::new(14).unwrap()).unwrap();
    base.push_named("head", dense(&matrix(2, 14, 3), &vector(2, 3), Activation::Identity)).unwrap();
    let apart = base.clone();
    base.share(Select::all().except("head")).unwrap();
    assert!(matches!(base.share("nothing"), Err(LayerError::NoSuchLayer { .. })));
    let x = matrix::<f64>(20, 12, 5);
    assert_eq!(base.predict(&x).unwrap(), apart.predict(&x).unwrap());
    let train = |mut network: Sequential<f64>, seed: u64| {
        let targets = matrix::<f64>(20, 2, seed);
        let settings = LoKrSettings::new().rank(2).init(LoKrInit::Random).seed(seed);
        network.adapt("q", lokr_layers::AdaptSettings::from(settings).train_whole("head")).unwrap();
        let samples = Samples::new(&x, Targets::Values(targets.view())).unwrap();
        Trainer::new(MeanSquaredError).epochs(3).fit(&mut network, &mut Adam::new(0.01).unwrap(), &samples).unwrap();
        network
    };
    for seed in [1, 2] {
        let (common, own) = (train(base.clone(), seed), train(apart.clone(), seed));
        assert_eq!(named_values(&common).unwrap(), named_values(&own).unwrap());
        assert_eq!(common.predict(&x).unwrap(), own.predict(&x).unwrap());
    }
}
