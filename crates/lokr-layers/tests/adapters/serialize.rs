//! Everything that `serde` writes, read again; and what it must not read.

use lokr_core::{Kron, Scalar};
use lokr_layers::{
    Activation, Adam, AdamW, AdaptSettings, Conv1d, Conv2d, ConvGeometry, Dense, FullyConnected, Group, Layer,
    LayerSpec, LoKrAdapter, LoKrInit, LoKrSettings, LoKrUpdate, Loss, Optimizer, Samples, Schedule, Select, Sequential,
    Sgd, Soap, Targets, Trainer, TrainingSettings, TrainingState,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::support::convolution::convolution;
use crate::support::*;
use crate::whole_convolutions as convolutions;
use crate::whole_network::{network, rows};

fn again<V: Serialize + DeserializeOwned>(value: &V) -> V {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn networks<T: Scalar + Serialize + DeserializeOwned>() {
    let (convolutions, x) = (convolutions::network::<T>(), convolutions::rows::<T>(3));
    assert_eq!(again(&convolutions).predict(&x).unwrap(), convolutions.predict(&x).unwrap());
    assert_eq!(LayerSpec::of(&again(&convolutions)).unwrap(), LayerSpec::of(&convolutions).unwrap());

    let (network, x) = (network::<T>(), rows::<T>(7));
    let expected = network.predict(&x).unwrap();
    let read = again(&network);
    assert_eq!(read.predict(&x).unwrap(), expected);
    assert_eq!(LayerSpec::of(&read).unwrap(), LayerSpec::of(&network).unwrap());
    let boxed: Box<dyn Layer<T>> = Box::new(network);
    assert_eq!(again(&boxed).predict(&x).unwrap(), expected);

    let (w, bias, x) = (matrix::<T>(6, 4, 1), vector(6, 2), matrix(3, 4, 5));
    let (dense, full) = (dense(&w, &bias, Activation::Gelu), fully_connected(&w, &bias, Activation::Gelu));
    assert_eq!(again(&dense).predict(&x).unwrap(), dense.predict(&x).unwrap());
    assert_eq!(again(&full.clone().without_bias()).parameter_count(), 24);
    let typed = adapter(adapter(full, 1, 3), 1, 4);
    let read: LoKrAdapter<T, LoKrAdapter<T, FullyConnected<T>>> = again(&typed);
    assert_eq!((read.predict(&x).unwrap(), read.alpha()), (typed.predict(&x).unwrap(), typed.alpha()));
    let update: LoKrUpdate<T> = again(typed.update());
    assert_eq!((update.weight().unwrap(), update.spec()), (typed.update().weight().unwrap(), typed.update().spec()));
}

#[test]
fn layers_networks_adapters_and_updates_come_back_with_every_bit() {
    networks::<f32>();
    networks::<f64>();
}

#[test]
fn a_convolution_comes_back_as_one_of_as_many_axes() {
    let geometry = ConvGeometry::new(4, [5, 3], [2, 3]).stride([2, 1]).padding([1, 0]).dilation([3, 1]).groups(2);
    let layer = convolution(&geometry, (6, 2), [2, 3], Activation::Silu);
    let x = matrix::<f64>(3, 60, 5);
    let read: Conv2d<f64> = again(&layer);
    assert_eq!(read.predict(&x).unwrap(), layer.predict(&x).unwrap());
    assert_eq!(read.patches(), layer.patches());
    let adapter = adapter(layer.clone().without_bias(), 1, 3);
    let read: LoKrAdapter<f64, Conv2d<f64>> = again(&adapter);
    assert_eq!((read.predict(&x).unwrap(), read.update().kernel()), (adapter.predict(&x).unwrap(), &[2, 3][..]));
    let json = serde_json::to_string(&layer).unwrap();
    let error = serde_json::from_str::<Conv1d<f64>>(&json).unwrap_err().to_string();
    assert!(error.contains("axes of a convolution"), "{error}");
    let error = serde_json::from_str::<Dense<f64>>(&json).unwrap_err().to_string();
    assert!(error.contains("Conv2d, expected Dense"), "{error}");
    let dense = serde_json::to_string(&dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Relu)).unwrap();
    let error = serde_json::from_str::<Conv2d<f64>>(&dense).unwrap_err().to_string();
    assert!(error.contains("Dense, expected a convolution"), "{error}");
    let error = serde_json::from_str::<Conv2d<f64>>(&json.replace("[2,3]", "[7,3]")).unwrap_err().to_string();
    assert!(error.contains("fits into the padded input"), "{error}");
}

#[test]
fn what_is_no_layer_is_refused() {
    let layer = dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Relu);
    let json = serde_json::to_string(&layer).unwrap();
    let refused = |from: &str, to: &str, message: &str| {
        let broken = json.replacen(from, to, 1);
        assert_ne!(broken, json);
        let error = serde_json::from_str::<Box<dyn Layer<f64>>>(&broken).map(drop).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    };
    refused("\"inputs\":4", "\"inputs\":5", "weight has shape [4, 6], expected [5, 6]");
    refused("\"inputs\":4", "\"inputs\":0", "has no weights");
    refused("\"shape\":[4,6]", "\"shape\":[4,7]", "weight has shape [4, 7], which 24 values do not fill");
    refused("\"bias\":{", "\"offset\":{", "no parameter named offset");
    refused("\"relu\"", "{\"leaky_relu\":{\"slope\":1e999}}", "number out of range");
    refused("\"frozen\"", "\"cold\"", "unknown field");
    refused("\"dense\"", "\"convolution\"", "unknown variant");
    let other = serde_json::from_str::<FullyConnected<f64>>(&json).unwrap_err().to_string();
    assert!(other.contains("Dense, expected FullyConnected"), "{other}");
    assert!(serde_json::from_str::<Sequential<f64>>(&json).is_err());
    let read = serde_json::from_str::<Dense<f64>>(&json.replace(",\"bias\":true", ",\"bias\":false"));
    assert!(read.unwrap_err().to_string().contains("no parameter named bias"));

    let mut spoilt = layer;
    spoilt.visit_values_mut(&mut |_, mut values| values.fill(f64::NAN));
    let error = serde_json::to_string(&spoilt).unwrap_err().to_string();
    assert!(error.contains("are not finite"), "{error}");
    let update =
        LoKrUpdate::from_terms(vec![Kron::new(matrix(2, 2, 1), matrix::<f64>(3, 2, 2)).unwrap()], 0.5).unwrap();
    let json = serde_json::to_string(&update).unwrap();
    let error = serde_json::from_str::<LoKrUpdate<f64>>(&json.replace("lokr_w2", "lokr_w3")).unwrap_err().to_string();
    assert!(error.contains("no values are given for lokr_w2"), "{error}");
}

#[test]
fn settings_of_networks_and_runs_come_back() {
    let settings = AdaptSettings::from(LoKrSettings::<f64>::new().rank(2).alpha(0.1))
        .rank_pattern("q|k", 1)
        .rank_pattern("q", 7)
        .alpha_pattern(r"block\.q", 3.0)
        .train_whole(Select::from(["head", "nor*"]).except(Select::regex("block.*")))
        .freeze_rest(false);
    let adapted = |settings: AdaptSettings<f64>| {
        let layer = |seed| dense(&matrix::<f64>(6, 6, seed), &vector(6, 2), Activation::Relu);
        let mut network = Sequential::empty();
        for (name, seed) in [("q", 1), ("v", 2), ("normal", 3), ("head", 4)] {
            network.push_named(name, layer(seed)).unwrap();
        }
        network.adapt(["q", "v"], settings).unwrap();
        (LayerSpec::of(&network).unwrap(), network.parameters())
    };
    let read: AdaptSettings<f64> = again(&settings);
    assert_eq!(adapted(read), adapted(settings));
    let some: AdaptSettings<f64> = serde_json::from_str(r#"{"adapter": {"rank": 2}}"#).unwrap();
    assert_eq!(adapted(some), adapted(AdaptSettings::from(LoKrSettings::new().rank(2))));
    assert_eq!(again(&Select::all()), Select::all());
    assert!(serde_json::from_str::<AdaptSettings<f64>>(r#"{"ranks": []}"#).is_err());

    for schedule in [
        Schedule::linear().warmup(3).floor(0.1),
        Schedule::step(2, 0.5),
        Schedule::on_plateau(1, 0.25),
        Schedule::cosine(),
    ] {
        assert_eq!(again(&schedule), schedule);
    }
    assert_eq!(serde_json::from_str::<Schedule>("{}").unwrap(), Schedule::constant());
    let run = |loss| Trainer::new::<f64>(loss).epochs(3).batch_size(7).seed(u64::MAX).early_stopping(2);
    let run = run(Loss::MeanSquaredError).clip_value(0.5).measure_gradient_norm().balance_factors();
    let run = run.limit_update_norm(0.75).schedule(Schedule::step(2, 0.5)).check_ranks_every(9).fixed_order(2);
    let settings = *run.settings();
    assert_eq!(again(&settings), settings);
    let clipped = *Trainer::new::<f64>(Loss::MeanSquaredError).clip_norm(2.0).micro_batch_size(4).settings();
    assert_eq!(again(&clipped), clipped);
    assert_eq!(serde_json::from_str::<TrainingSettings>("{}").unwrap(), TrainingSettings::default());
    assert!(serde_json::from_str::<TrainingSettings>(r#"{"loss": "huber"}"#).is_err());
    let trainer = Trainer { epochs: 2, batch_size: 4, loss: Loss::CrossEntropyFromLogits };
    assert_eq!(again(&trainer), trainer);
    // What is read is checked where the run begins.
    let bad: TrainingSettings = serde_json::from_str(r#"{"schedule": {"floor": 2.0}}"#).unwrap();
    let (x, t) = (matrix::<f64>(4, 4, 1), matrix::<f64>(4, 6, 2));
    let samples = Samples::new(&x, Targets::Values(t.view())).unwrap();
    let mut layer = dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Identity);
    let run = Trainer::new(Loss::MeanSquaredError).with_settings(bad);
    assert!(run.fit(&mut layer, &mut Sgd::new(0.1).unwrap(), &samples).is_err());
}

#[test]
fn settings_and_optimizers_come_back() {
    let settings = LoKrSettings::<f64>::new().rank(3).alpha(0.1).factor(4).rs_lora(true).init(LoKrInit::Lycoris);
    let settings = settings.terms(2).input_dropout(0.3).seed(u64::MAX).decompose_both(true);
    let (update, read) = (settings.clone().update((24, 36)).unwrap(), again(&settings).update((24, 36)).unwrap());
    assert_eq!((read.spec(), read.weight().unwrap()), (update.spec(), update.weight().unwrap()));
    assert!(serde_json::from_str::<LoKrSettings<f64>>("{\"rank\": 0}").unwrap().update((4, 4)).is_err());

    let step = |optimizer: &mut dyn Optimizer<f64>| {
        let mut layer = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Tanh), 1, 3);
        for seed in [4, 5] {
            layer.forward(&matrix(3, 4, seed)).unwrap();
            layer.clear_gradients();
            layer.backward(&matrix(3, 6, seed)).unwrap();
            optimizer.step(&mut layer).unwrap();
        }
        (layer.parameters(), optimizer.save_state(&layer).unwrap())
    };
    let mut adam = Adam::<f64>::new(0.1).unwrap().betas(0.8, 0.9).unwrap();
    let mut adamw = AdamW::<f64>::new(0.1).unwrap().group(Group::lora_plus(4.0)).unwrap();
    let mut sgd = Sgd::<f64>::new(0.1).unwrap().nesterov(0.9).unwrap();
    let mut soap = Soap::<f64>::new(0.1).unwrap().refresh(2).unwrap();
    let fresh = (again(&adam), again(&adamw), again(&sgd), again(&soap));
    let (mut a, mut b, mut c, mut d) = fresh;
    let states: Vec<TrainingState<f64>> = [
        (&mut adam as &mut dyn Optimizer<f64>, &mut a as &mut dyn Optimizer<f64>),
        (&mut adamw, &mut b),
        (&mut sgd, &mut c),
        (&mut soap, &mut d),
    ]
    .into_iter()
    .map(|(one, other)| {
        let (expected, found) = (step(one), step(other));
        assert_eq!(found, expected);
        found.1
    })
    .collect();
    assert!(states.iter().all(|state| again(state) == *state && !state.arrays.is_empty()));
    let bad = serde_json::to_string(&adam).unwrap().replace("0.8", "1.0");
    assert!(serde_json::from_str::<Adam<f64>>(&bad).unwrap_err().to_string().contains("beta1"));
}
