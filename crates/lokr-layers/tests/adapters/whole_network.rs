//! Whole networks: described and made again, and compiled, against themselves.

use lokr_core::Scalar;
use lokr_layers::{
    Activation, AdaptSettings, Adapter, CompiledNetwork, DeltaPlacement, DoraAxis, Embedding, Layer, LayerError,
    LayerNorm, LayerSpec, LoKrAdapter, LoKrInit, LoKrSettings, Loading, Restore, Sequential, load_values, named_values,
    supports_compilation,
};
use ndarray::Array2;

use crate::support::*;

fn random<T: Scalar>() -> LoKrSettings<T> {
    LoKrSettings::new().rank(1).alpha(T::from_f64_lossy(0.3)).init(LoKrInit::Random)
}

/// Layers of every type, with everything an adapter can have, one inside another, frozen, shared and switched off.
pub(crate) fn network<T: Scalar>() -> Sequential<T> {
    let (w, bias) = (matrix::<T>(12, 14, 1), vector::<T>(12, 2));
    let mut block = Sequential::empty();
    block.push_named("q", fully_connected(&w, &bias, Activation::Silu)).unwrap();
    block.push_named("norm", LayerNorm::new(4).unwrap().pieces(3).epsilon(1e-3).unwrap()).unwrap();
    let mut network = Sequential::empty();
    network.push_named("tokens", Embedding::from_table(matrix(5, 4, 8), 3).unwrap().passing(2)).unwrap();
    network.push_named("block", block).unwrap();
    network.push_named("v", dense(&matrix::<T>(6, 12, 3), &vector(6, 4), Activation::Tanh).without_bias()).unwrap();
    let leaky = Activation::LeakyRelu { slope: -0.1 };
    network.push_named("k", fully_connected(&matrix::<T>(6, 6, 5), &vector(6, 6), leaky)).unwrap();
    network.push_named("head", dense(&matrix::<T>(3, 6, 7), &vector(3, 8), Activation::Softmax)).unwrap();
    network.share("k").unwrap();
    let sum = random().terms(2).term_weights(true).learned_scalar(true).input_dropout(0.2).rank_dropout(0.1).seed(5);
    network.adapt("q", AdaptSettings::from(sum).freeze_rest(false)).unwrap();
    let decomposed = random().dora(DoraAxis::Input).module_dropout(0.25);
    network.adapt("v", AdaptSettings::from(decomposed).freeze_rest(false)).unwrap();
    let after = random().placement(DeltaPlacement::AfterActivation).decompose_both(true);
    network.adapt("k", AdaptSettings::from(after).freeze_rest(false)).unwrap();
    network.adapter_mut("k").unwrap().add_update("other", random().seed(9).update((6, 6)).unwrap()).unwrap();
    network.adapter_mut("k").unwrap().set_enabled("other", false).unwrap();
    network.adapter_mut("block.q").unwrap().set_base_frozen(false);
    network.adapter_mut("block.q").unwrap().set_scaling(T::from_f64_lossy(0.7)).unwrap();
    network.visit_mut(&mut |_, mut values, _| values += T::from_f64_lossy(0.0625)); // in place of training
    network.freeze("block.norm").unwrap();
    network
}

/// Rows that it takes: three tokens and two numbers.
pub(crate) fn rows<T: Scalar>(count: usize) -> Array2<T> {
    let mut x = matrix::<T>(count, 5, 21);
    x.indexed_iter_mut().filter(|((_, j), _)| *j < 3).for_each(|((i, j), x)| {
        *x = T::from_usize_lossy((2 * i + 3 * j) % 5);
    });
    x
}

pub(crate) fn made_again<T: Scalar>(network: Sequential<T>, x: &Array2<T>) {
    let spec = LayerSpec::of(&network).unwrap();
    let mut again = spec.build_network::<T>().unwrap();
    assert_eq!(again.names(), network.names());
    load_values(&mut again, &named_values(&network).unwrap(), Loading::Complete).unwrap();
    assert_eq!(LayerSpec::of(&again).unwrap(), spec);
    assert_eq!(again.predict(x).unwrap(), network.predict(x).unwrap());
    // What trains is the same, and so is what a step does, dropout included.
    let count = network.parameter_count();
    assert!(count > 0 && again.parameter_count() == count);
    let step = |mut network: Sequential<T>| {
        network.forward(x).unwrap();
        network.backward(&matrix(x.nrows(), 3, 4)).unwrap();
        network.gradients().unwrap()
    };
    assert_eq!(step(again), step(network));
}

#[test]
fn a_described_network_is_made_again_with_all_it_has() {
    made_again::<f32>(network(), &rows(7));
    made_again::<f64>(network(), &rows(7));
}

#[test]
fn what_cannot_be_described_is_named() {
    let mut inside = Sequential::empty();
    inside.push_named("own", adapter(Square::new(6), 1, 3)).unwrap();
    let mut network = Sequential::empty();
    network.push_named("block", inside).unwrap();
    let error = LayerSpec::of(&network).unwrap_err();
    assert_eq!(error, LayerError::NotDescribed { name: "block.own.base".to_owned(), layer: "Square" });
    let mut merged = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Relu), 1, 3);
    merged.merge_in_place(Restore::Exact).unwrap();
    assert_eq!(LayerSpec::of(&merged).unwrap_err(), LayerError::AlreadyMerged { layer: "LoKrAdapter" });
}

#[test]
fn descriptions_of_what_there_cannot_be_are_refused() {
    let of = |layer: &dyn Layer<f64>| LayerSpec::of(layer).unwrap();
    let adapter = of(&adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Relu), 1, 3));
    let refused = |change: &dyn Fn(&mut lokr_layers::AdapterSpec)| {
        let mut spec = adapter.clone();
        if let LayerSpec::Adapter { adapter, .. } = &mut spec {
            change(adapter);
        }
        spec.build::<f64>().map(drop).unwrap_err()
    };
    assert!(matches!(refused(&|a| a.updates.clear()), LayerError::InvalidSetting { .. }));
    assert!(matches!(refused(&|a| a.updates[0].name.clear()), LayerError::InvalidName { .. }));
    assert!(matches!(refused(&|a| a.updates.push(a.updates[0].clone())), LayerError::DuplicateName { .. }));
    let error = refused(&|a| a.updates[0].update.rank = 0);
    assert_eq!(error, LayerError::InvalidRank { rank: 0 });
    assert!(matches!(refused(&|a| a.updates[0].update.terms.clear()), LayerError::InvalidSetting { .. }));
    assert!(matches!(refused(&|a| a.updates[0].update.terms[0].a = (0, 2)), LayerError::Kron(_)));
    assert!(matches!(refused(&|a| a.updates[0].update.terms[0].a.0 += 1), LayerError::Shape { .. }));
    assert!(matches!(refused(&|a| a.updates[0].update.terms[0].b = (usize::MAX, 2)), LayerError::Kron(_)));
    assert_eq!(refused(&|a| a.updates[0].update.terms[0].b_rank = Some(0)), LayerError::InvalidRank { rank: 0 });
    assert!(matches!(refused(&|a| a.updates[0].update.scaling = f64::NAN), LayerError::InvalidSetting { .. }));
    assert!(matches!(refused(&|a| a.updates[0].update.dropout.input = 1.0), LayerError::InvalidSetting { .. }));
    let chain = LayerSpec::Sequential { layers: vec![("a".into(), adapter.clone()), ("b".into(), adapter.clone())] };
    assert!(matches!(chain.build::<f64>().map(drop).unwrap_err(), LayerError::Chain { .. }));
    assert!(matches!(adapter.build_network::<f64>().unwrap_err(), LayerError::InvalidSetting { .. }));
}

pub(crate) fn compiled<T: Scalar>(network: Sequential<T>, rows: fn(usize) -> Array2<T>) {
    supports_compilation(&network).unwrap();
    let compiled = network.compiled(4).unwrap();
    assert_eq!((compiled.input_size(), compiled.output_size()), (network.input_size(), 3));
    let mut workspace = compiled.workspace().unwrap();
    for batch in [0, 1, 4, 11] {
        let (x, what) = (rows(batch), format!("{} batch {batch}", T::NAME));
        let expected = network.predict(&x).unwrap();
        assert_close(&compiled.forward(&x).unwrap(), &expected, 12, &what);
        for layout in LAYOUTS {
            with_layout(&x, layout, |x| {
                with_layout(&Array2::from_elem((batch, 3), T::nan()), Layout::ColumnMajor, |found| {
                    compiled.forward_into(x, &mut workspace, found).unwrap();
                    assert_close(found, &expected, 12, &format!("{what} {layout:?}"));
                });
            });
        }
    }
}

#[test]
fn a_compiled_network_equals_the_network() {
    compiled::<f32>(network(), rows);
    compiled::<f64>(network(), rows);
}

#[test]
fn what_a_compiled_network_refuses_leaves_the_output_as_it_was() {
    let network = network::<f64>();
    let compiled = CompiledNetwork::new(&network, 4).unwrap();
    let (mut workspace, mut y) = (compiled.workspace().unwrap(), Array2::from_elem((9, 3), 7.0));
    let mut x = rows(9);
    let error = compiled.forward_into(&rows(8), &mut workspace, &mut y).unwrap_err();
    assert!(matches!(error, LayerError::Shape { argument: "y", expected: (8, 3), .. }), "{error}");
    let error = compiled.forward_into(&matrix(9, 4, 1), &mut workspace, &mut y).unwrap_err();
    assert!(matches!(error, LayerError::Shape { argument: "x", expected: (9, 5), .. }), "{error}");
    x[[8, 1]] = 5.0;
    let error = compiled.forward_into(&x, &mut workspace, &mut y).unwrap_err();
    assert!(matches!(error, LayerError::Token { row: 8, column: 1, count: 5, .. }), "{error}");
    let layer = dense(&matrix::<f64>(3, 5, 1), &vector(3, 2), Activation::Relu);
    let mut small = CompiledNetwork::new(&layer, 4).unwrap().workspace().unwrap();
    let error = compiled.forward_into(&rows(9), &mut small, &mut y).unwrap_err();
    assert!(matches!(error, LayerError::Length { argument: "the workspace", .. }), "{error}");
    assert!(y.iter().all(|&y| y == 7.0));
    assert!(matches!(network.compiled(0), Err(LayerError::InvalidSetting { setting: "max_batch", .. })));
}

#[test]
fn layers_without_a_compiled_form_are_named_without_trying() {
    let named = |layer: Box<dyn Layer<f64>>, expected: &str, of: &str| {
        let mut inside = Sequential::empty();
        inside.push_named("own", layer).unwrap();
        let mut network = Sequential::empty();
        network.push_named("block", inside).unwrap();
        for error in [supports_compilation(&network).unwrap_err(), network.compiled(8).map(drop).unwrap_err()] {
            let LayerError::NotCompilable { name, layer, reason } = &error else { panic!("{error}") };
            assert_eq!((name.as_str(), *layer), (expected, of), "{reason}");
        }
    };
    named(Box::new(adapter(Square::new(6), 1, 3)), "block.own.base", "Square");
    named(Box::new(Square::new(6)), "block.own", "Square");
    named(Box::new(Sequential::empty()), "block.own", "Sequential");
    let contradiction = Contradiction(dense(&matrix(6, 4, 1), &vector(6, 2), Activation::Relu));
    named(Box::new(contradiction), "block.own", "Contradiction");
}

/// A base without a weight matrix that does not train makes no gradients of its own, and what of it was frozen stays
/// so.
#[test]
fn a_frozen_base_without_a_weight_matrix_keeps_no_gradients() {
    let mut inside = Sequential::empty();
    inside.push_named("norm", LayerNorm::new(6).unwrap()).unwrap();
    inside.push_named("w", dense(&matrix::<f64>(6, 6, 1), &vector(6, 2), Activation::Tanh)).unwrap();
    inside.freeze("w").unwrap();
    let gradients_of_base = |adapter: &LoKrAdapter<f64, Sequential<f64>>| {
        let mut count = 0;
        adapter.base_layer().visit(&mut |_, _, gradient| count += usize::from(gradient.is_some()));
        count
    };
    let (x, dy) = (matrix(3, 6, 4), matrix(3, 6, 5));
    let mut frozen = adapter(inside.clone(), 1, 3);
    let mut trained = frozen.clone();
    trained.set_base_frozen(false);
    let dx = [&mut frozen, &mut trained].map(|adapter| {
        adapter.forward(&x).unwrap();
        adapter.backward(&dy).unwrap()
    });
    assert_eq!(dx[0], dx[1]);
    assert_eq!((gradients_of_base(&frozen), gradients_of_base(&trained)), (0, 2));
    let flags = |adapter: &LoKrAdapter<f64, Sequential<f64>>| {
        adapter.base_layer().layers().iter().map(Layer::is_frozen).collect::<Vec<_>>()
    };
    assert_eq!(flags(&frozen), [false, true]);
    let own = frozen.gradients().unwrap();
    assert_eq!(own, trained.gradients().unwrap().slice(ndarray::s![..own.len()]));

    // One that cannot be frozen makes them, and they are dropped.
    let mut square = adapter(Square::new(6), 1, 3);
    square.forward(&x).unwrap();
    square.backward(&dy).unwrap();
    assert!(square.base_layer().gradient.is_none());
}
