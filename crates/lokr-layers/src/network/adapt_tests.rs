use lokr_testing::{matrix, vector};
use ndarray::{Array1, Array2};

use super::{AdaptSettings, Select, Sequential};
use crate::activation::Activation;
use crate::adapter::LoKrAdapter;
use crate::error::LayerError;
use crate::layer::Layer;
use crate::linear::{Dense, FullyConnected};
use crate::test_support::{ModeProbe, check_gradients};
use crate::update::{LoKrInit, LoKrSettings};

fn dense(input: usize, output: usize, seed: u64) -> Dense<f64> {
    Dense::from_arrays(matrix(input, output, seed), vector(output, seed + 1), Activation::Tanh).unwrap()
}

/// `q`, `v` in a block, and a head.
fn network() -> Sequential<f64> {
    let mut block = Sequential::empty();
    block.push_named("q", dense(12, 12, 1)).unwrap().push_named("v", dense(12, 12, 3)).unwrap();
    let head = FullyConnected::from_arrays(matrix(4, 12, 5), vector(4, 6), Activation::Softmax).unwrap();
    let mut network = Sequential::empty();
    network.push_named("in.q", dense(8, 12, 7)).unwrap().push_named("block", block).unwrap();
    network.push_named("head", head).unwrap();
    network
}

fn random() -> LoKrSettings<f64> {
    LoKrSettings::new().rank(2).init(LoKrInit::Random)
}

fn names(network: &Sequential<f64>) -> Vec<String> {
    network.adapters().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn targets_are_adapted_wherever_they_are_and_the_rest_is_frozen() {
    let (mut network, x) = (network(), matrix(3, 8, 9));
    let (before, total) = (network.predict(&x).unwrap(), network.parameter_count());
    let report = network.adapt(["q"], LoKrSettings::new().rank(2).alpha(1.0)).unwrap();
    assert_eq!(names(&network), ["in.q", "block.q"]);
    assert_eq!(report.adapted.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>(), ["in.q", "block.q"]);
    assert_eq!(report.frozen, ["block.v", "head"]);
    assert_eq!((report.adapted[0].layer, report.adapted[0].rank, report.adapted[0].scaling), ("Dense", 2, 0.5));
    let added: usize = report.adapted.iter().map(|layer| layer.parameters).sum();
    assert_eq!((report.trainable, report.total), (added, total + added));
    assert_eq!(network.parameter_count(), added);
    assert_eq!(network.predict(&x).unwrap(), before); // a new adapter changes nothing
    let text = report.to_string();
    assert!(text.contains("block.q  Dense, A 3 x 3") && text.contains("frozen: block.v, head"), "{text}");
}

#[test]
fn an_adapted_network_trains_and_merges_as_its_layers_do() {
    let (mut network, x) = (network(), matrix(3, 8, 9));
    network.adapt(Select::all().except("head"), random()).unwrap();
    check_gradients(&mut network, &x);
    let merged = network.merged().unwrap();
    let difference = merged.predict(&x).unwrap() - network.predict(&x).unwrap();
    assert!(difference.iter().all(|d| d.abs() < 1e-13), "{difference}");
    assert_eq!(merged.parameter_count(), self::network().parameter_count()); // nothing is frozen in it
    assert_eq!(merged.children()[2].0, "head");
}

#[test]
fn ranks_and_alphas_follow_pefts_rule() {
    let mut network = network();
    let settings = AdaptSettings::from(random().alpha(4.0))
        .rank_pattern("block.q|v", 1)
        .rank_pattern("q", 3)
        .alpha_pattern("^in.q", 6.0);
    let report = network.adapt(Select::all(), settings).unwrap();
    let found: Vec<_> = report.adapted.iter().map(|layer| (layer.rank, layer.scaling)).collect();
    assert_eq!(found, [(3, 2.0), (1, 4.0), (1, 4.0), (2, 2.0)]);
}

#[test]
fn layers_are_trained_whole_or_left_alone_where_that_is_asked_for() {
    let mut network = network();
    let settings = AdaptSettings::from(random()).train_whole("head").freeze_rest(false);
    let report = network.adapt(Select::regex(r".*\.[qv]").except("block.*"), settings).unwrap();
    assert_eq!(
        (names(&network), report.trained_whole, report.frozen.len()),
        (vec!["in.q".to_owned()], vec!["head".to_owned()], 0)
    );
    let adapter = network.adapter("in.q").unwrap().parameter_count();
    assert_eq!(network.parameter_count(), adapter + 2 * (144 + 12) + 48 + 4);
}

#[test]
fn layers_of_one_network_start_from_different_numbers() {
    let mut network = network();
    network.adapt("block.*", random()).unwrap();
    let first = |name: &str| network.adapter(name).unwrap().parameters()[0];
    assert_ne!(first("block.q"), first("block.v"));
    let mut again = self::network();
    again.adapt("block.*", random()).unwrap();
    assert_eq!(again.parameters(), network.parameters());
}

#[test]
fn adapting_an_adapter_puts_another_around_it() {
    let mut network = network();
    network.adapt("head", random()).unwrap();
    let x = matrix(3, 8, 9);
    network.adapt("head", random().seed(7)).unwrap();
    assert!(network.adapter("head").unwrap().base().as_adapter().is_some());
    let difference = network.merged().unwrap().predict(&x).unwrap() - network.predict(&x).unwrap();
    assert!(difference.iter().all(|d| d.abs() < 1e-13), "{difference}");
}

#[test]
fn the_principal_part_moves_from_the_weight_into_the_adapter() {
    let (mut network, x) = (network(), matrix(3, 8, 9));
    let before = network.predict(&x).unwrap();
    network.adapt("block.*", LoKrSettings::new().rank(50).init(LoKrInit::Principal)).unwrap();
    let difference = network.predict(&x).unwrap() - before;
    assert!(difference.iter().all(|d| d.abs() < 1e-12), "{difference}");
    let found = network.diagnostics("block.q").unwrap();
    assert!(found.frobenius_norm > 0.3 * found.weight_norm.unwrap());
}

#[test]
fn what_names_no_layer_is_an_error_and_nothing_changes() {
    let mut network = network();
    let no_such = |wanted: &str| LayerError::NoSuchLayer {
        wanted: wanted.to_owned(),
        layers: ["in.q", "block.q", "block.v", "head"].map(str::to_owned).to_vec(),
    };
    assert_eq!(network.adapt(["q", "k"], random()).unwrap_err(), no_such("k"));
    assert_eq!(network.adapt("blocks.*", random()).unwrap_err(), no_such("blocks.*"));
    assert!(matches!(network.adapt(Select::regex("(q"), random()), Err(LayerError::Pattern { .. })));
    let settings = AdaptSettings::from(random()).rank_pattern("(q", 1);
    assert!(matches!(network.adapt("q", settings), Err(LayerError::Pattern { .. })));
    let settings = AdaptSettings::from(random()).train_whole("tail");
    assert_eq!(network.adapt("q", settings).unwrap_err(), no_such("tail"));
    assert_eq!(network.adapt("q", random().rank(0)).unwrap_err(), LayerError::InvalidRank { rank: 0 });
    let settings = AdaptSettings::from(random()).rank_pattern("block.q", 0);
    assert_eq!(network.adapt("q", settings).unwrap_err(), LayerError::InvalidRank { rank: 0 });
    assert_eq!(network.adapter("in.k").err(), Some(no_such("in.k")));
    assert_eq!(
        network.adapter("head").err(),
        Some(LayerError::NotAnAdapter { name: "head".to_owned(), layer: "FullyConnected" })
    );
    assert!(network.adapters().is_empty());
    assert_eq!(network.parameters(), self::network().parameters()); // nothing is frozen either
}

#[test]
fn a_layer_that_cannot_be_frozen_is_named_and_nothing_is_frozen() {
    let mut network = network();
    let events = std::sync::Arc::default();
    network.push_named("probe", ModeProbe { inner: dense(4, 4, 1), events, trainable: true }).unwrap();
    let before = network.parameters();
    assert_eq!(network.adapt("q", random()).unwrap_err(), LayerError::NotFreezable { layer: "ModeProbe" });
    assert_eq!(network.freeze(Select::all()).unwrap_err(), LayerError::NotFreezable { layer: "ModeProbe" });
    assert_eq!(network.set_frozen(true).unwrap_err(), LayerError::NotFreezable { layer: "ModeProbe" });
    assert_eq!(network.parameters(), before);
    // It can be trained, and it is passed over where all layers are meant.
    let report = network.adapt(Select::all(), AdaptSettings::from(random()).freeze_rest(false)).unwrap();
    assert_eq!(report.passed_over, ["probe"]);
    let error = network.adapt("probe", random()).unwrap_err();
    assert!(matches!(error, LayerError::NoSuchLayer { .. }), "{error}");
}

#[test]
fn frozen_layers_pass_the_input_gradient_and_nothing_else() {
    let (mut network, x, dy) = (network(), matrix(3, 8, 9), matrix(3, 4, 8));
    network.forward(&x).unwrap();
    let expected = network.backward(&dy).unwrap();
    assert_eq!(network.freeze("block.*").unwrap(), ["block.q", "block.v"]);
    assert!(network.layer("block").unwrap().is_frozen() && !network.is_frozen());
    network.clear_gradients();
    network.forward(&x).unwrap();
    assert_eq!(network.backward(&dy).unwrap(), expected);
    assert_eq!(network.gradients().unwrap().len(), 8 * 12 + 12 + 48 + 4);
    check_gradients(&mut network, &x);
    network.unfreeze(Select::all()).unwrap();
    assert_eq!(network.parameter_count(), self::network().parameter_count());
}

#[test]
fn a_frozen_adapter_keeps_its_update() {
    let base = dense(8, 6, 1);
    let mut adapter = LoKrAdapter::builder(base).init(LoKrInit::Random).freeze_base(false).build().unwrap();
    let (x, dy) = (matrix(3, 8, 9), matrix(3, 6, 8));
    adapter.forward(&x).unwrap();
    let expected = adapter.backward(&dy).unwrap();
    adapter.set_frozen(true).unwrap();
    assert!(adapter.is_frozen() && adapter.parameter_count() == 0);
    adapter.forward(&x).unwrap();
    let difference = adapter.backward(&dy).unwrap() - expected;
    assert!(difference.iter().all(|d| d.abs() < 1e-14), "{difference}");
    adapter.set_frozen(false).unwrap();
    assert!(adapter.parameter_count() > 8 * 6 + 6);
}

#[test]
fn layers_are_pushed_named_and_refused() {
    let mut network = Sequential::<f64>::empty();
    let nothing = Array2::zeros((3, 0));
    assert_eq!((network.input_size(), network.output_size(), network.parameters()), (0, 0, Array1::zeros(0)));
    assert_eq!(network.predict(&nothing).unwrap(), nothing);
    assert_eq!(network.forward(&nothing).unwrap(), nothing);
    assert_eq!(network.backward(&nothing).unwrap(), nothing);
    assert!(!network.is_frozen());
    assert_eq!(network.output_activation(), None);

    network.push(dense(8, 12, 1)).unwrap().push_named("middle", dense(12, 12, 3)).unwrap();
    let refused = network.push(dense(8, 4, 5)).unwrap_err();
    assert_eq!(refused, LayerError::Chain { layer: "Dense", index: 2, inputs: 8, outputs: 12 });
    let refused = network.push_named("middle", dense(12, 4, 5)).unwrap_err();
    assert_eq!(refused, LayerError::DuplicateName { layer: "Sequential", name: "middle".to_owned() });
    assert!(matches!(network.push_named("", dense(12, 4, 5)), Err(LayerError::InvalidName { .. })));
    network.push(dense(12, 4, 5)).unwrap();
    assert_eq!(network.output_activation(), Some(Activation::Tanh));
    assert_eq!(network.names(), ["0", "middle", "2"]);
    let shown = format!("{network:?}");
    assert_eq!(shown, r#"["0: Dense 8 → 12", "middle: Dense 12 → 12", "2: Dense 12 → 4"]"#);
    check_gradients(&mut network, &matrix(3, 8, 9));
}
