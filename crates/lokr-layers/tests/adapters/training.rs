//! Adapters inside a network: pretrained on one task, trained on another with everything else frozen.

use std::ops::ControlFlow;

use lokr_layers::rand::{SeedableRng, rngs::SmallRng};
use lokr_layers::{
    Activation, Adam, AdamSettings, Dense, EpochReport, FullyConnected, Init, Layer, LoKrAdapter, Loss, Result,
    Samples, Sequential, Targets, Trainer, evaluate,
};
use ndarray::Array2;

/// Points on a grid of angles and radii; the class is the sector, turned by `turn`.
fn sectors(turn: f64) -> (Array2<f64>, Vec<usize>) {
    let angle = |i: usize| (i as f64 + 0.5) / 120.0 * std::f64::consts::TAU;
    let x = Array2::from_shape_fn((120, 4), |(i, j)| {
        let radius = 0.5 + (i * 7 % 5) as f64 / 5.0;
        radius * [angle(i).cos(), angle(i).sin(), (2.0 * angle(i)).cos(), 1.0][j]
    });
    let class = |i: usize| (((angle(i) / std::f64::consts::TAU + turn) * 3.0) as usize) % 3;
    (x, (0..120).map(class).collect())
}

fn train(network: &mut Sequential<f64>, (x, labels): &(Array2<f64>, Vec<usize>)) -> Result<Vec<EpochReport>> {
    let mut adam = Adam::new(AdamSettings { learning_rate: 0.02, ..Default::default() })?;
    let trainer = Trainer { epochs: 60, batch_size: 24, loss: Loss::CrossEntropyFromSoftmax };
    let samples = Samples::new(x, Targets::Labels(labels))?;
    let rng = &mut SmallRng::seed_from_u64(2);
    trainer.fit(network, &mut adam, &samples, None, rng, &mut |_| ControlFlow::Continue(()))
}

fn accuracy(network: &Sequential<f64>, (x, labels): &(Array2<f64>, Vec<usize>)) -> f64 {
    let samples = Samples::new(x, Targets::Labels(labels)).unwrap();
    evaluate(network, &samples, Loss::CrossEntropyFromSoftmax).unwrap().accuracy.unwrap()
}

#[test]
fn adapters_on_every_layer_learn_a_second_task_with_the_base_frozen() {
    let rng = &mut SmallRng::seed_from_u64(1);
    let mut base = Sequential::<f64>::new(vec![
        Box::new(Dense::new(4, 16, Activation::Tanh, Init::XavierUniform, rng).unwrap()),
        Box::new(FullyConnected::new(16, 12, Activation::Relu, Init::HeUniform, rng).unwrap()),
        Box::new(Dense::new(12, 3, Activation::Softmax, Init::XavierUniform, rng).unwrap()),
    ])
    .unwrap();
    let (first, second) = (sectors(0.0), sectors(0.5));
    train(&mut base, &first).unwrap();
    assert!(accuracy(&base, &first) > 0.95);
    assert!(accuracy(&base, &second) < 0.6);

    let mut adapted = base
        .clone()
        .map_layers(|_, layer| Ok(Box::new(LoKrAdapter::new(layer, 4, None, true)?) as Box<dyn Layer<f64>>))
        .unwrap();
    assert!(adapted.parameter_count() < base.parameter_count());
    assert_eq!(adapted.predict(&second.0).unwrap(), base.predict(&second.0).unwrap());
    let history = train(&mut adapted, &second).unwrap();
    assert!(history[59].loss < 0.5 * history[0].loss, "{history:?}");
    assert!(accuracy(&adapted, &second) > accuracy(&base, &second) + 0.2);

    // With its adapters at their start again, the network is the one they were put around: the base has not moved.
    let start = base
        .clone()
        .map_layers(|_, layer| Ok(Box::new(LoKrAdapter::new(layer, 4, None, true)?) as Box<dyn Layer<f64>>))
        .unwrap()
        .parameters();
    adapted.set_parameters(&start).unwrap();
    assert_eq!(adapted.predict(&second.0).unwrap(), base.predict(&second.0).unwrap());
}
