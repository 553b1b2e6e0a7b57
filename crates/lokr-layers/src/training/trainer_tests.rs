use std::ops::ControlFlow;

use lokr_core::Scalar;
use lokr_testing::matrix;
use ndarray::{Array1, Array2, array};
use ndarray_rand::rand::{SeedableRng, rngs::SmallRng};

use super::{
    Adam, AdamSettings, BinaryCrossEntropy, CrossEntropy, EpochReport, Loss, LossFunction, Progress, Samples,
    Sequential, Sgd, SgdSettings, Targets, Trainer, accuracy, evaluate,
};
use crate::activation::Activation;
use crate::error::LayerError;
use crate::layer::{GradientAt, Layer};
use crate::limits::EVALUATION_ROWS;
use crate::linear::{Dense, FullyConnected, Init};
use crate::test_support::ModeProbe;

fn keep_going(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Points in a square; the class is whether the signs of the coordinates agree.
fn xor(count: usize, seed: u64) -> (Array2<f64>, Vec<usize>) {
    let x = matrix::<f64>(count, 2, seed);
    let labels = x.rows().into_iter().map(|row| usize::from(row[0] * row[1] > 0.0)).collect();
    (x, labels)
}

fn network<T: Scalar>(last: Activation, rng: &mut SmallRng) -> Sequential<T> {
    let first = Dense::<T>::new(2, 16, Activation::Tanh, Init::XavierUniform, rng).unwrap();
    let second = FullyConnected::<T>::new(16, 2, last, Init::XavierUniform, rng).unwrap();
    Sequential::new(vec![Box::new(first), Box::new(second)]).unwrap()
}

fn adam<T: Scalar>() -> Adam<T> {
    Adam::new(AdamSettings { learning_rate: 0.03, ..Default::default() }).unwrap()
}

#[test]
fn a_network_learns_what_no_linear_one_can() {
    let ((x, labels), (x_test, labels_test)) = (xor(200, 1), xor(100, 2));
    for (last, loss) in
        [(Activation::Softmax, Loss::CrossEntropyFromSoftmax), (Activation::Identity, Loss::CrossEntropyFromLogits)]
    {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut network = network::<f64>(last, &mut rng);
        let training = Samples::new(&x, Targets::Labels(&labels)).unwrap();
        let validation = Samples::new(&x_test, Targets::Labels(&labels_test)).unwrap();
        let trainer = Trainer { epochs: 40, batch_size: 16, loss };
        let history =
            trainer.fit(&mut network, &mut adam(), &training, Some(&validation), &mut rng, &mut keep_going).unwrap();
        assert_eq!(history.iter().map(|r| r.epoch).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
        assert!(history[39].loss < 0.2 * history[0].loss, "{history:?}");
        let last = history[39].validation.unwrap();
        assert!(last.accuracy.unwrap() > 0.9, "{last:?}");
        assert_eq!(evaluate(&network, &validation, loss).unwrap(), last);
        // Gradients do not leak into what comes next.
        assert!(matches!(network.gradients(), Err(LayerError::NoGradients { .. })));
    }
}

fn run<T: Scalar>(seed: u64, epochs: usize) -> (Vec<EpochReport>, Array1<T>) {
    let (x, labels) = xor(50, 1);
    let x = x.mapv(T::from_f64_lossy);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut network = network::<T>(Activation::Softmax, &mut rng);
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let trainer = Trainer { epochs, batch_size: 8, loss: Loss::CrossEntropyFromSoftmax };
    let history = trainer.fit(&mut network, &mut adam(), &samples, Some(&samples), &mut rng, &mut keep_going).unwrap();
    (history, network.parameters())
}

#[test]
fn one_seed_gives_one_run() {
    assert_eq!(run::<f32>(5, 3), run::<f32>(5, 3));
    assert_eq!(run::<f64>(5, 3), run::<f64>(5, 3));
    assert!(run::<f64>(5, 3).1 != run::<f64>(6, 3).1);
}

#[test]
fn no_epochs_change_nothing() {
    let (history, parameters) = run::<f64>(5, 0);
    assert_eq!(history, []);
    assert_eq!(parameters, network::<f64>(Activation::Softmax, &mut SmallRng::seed_from_u64(5)).parameters());
}

#[test]
fn one_batch_of_all_samples_is_one_plain_step() {
    let (x, t) = (matrix::<f64>(5, 3, 1), matrix::<f64>(5, 2, 2));
    let start = Dense::from_arrays(matrix(3, 2, 3), Array1::zeros(2), Activation::Tanh).unwrap();
    let mut sgd = Sgd::new(SgdSettings { learning_rate: 0.5, ..Default::default() }).unwrap();
    let samples = Samples::new(&x, Targets::Values(t.view())).unwrap();
    let mut trained = start.clone();
    let trainer = Trainer { epochs: 1, batch_size: 9, loss: Loss::MeanSquaredError };
    let rng = &mut SmallRng::seed_from_u64(1);
    let history = trainer.fit(&mut trained, &mut sgd, &samples, None, rng, &mut keep_going).unwrap();

    let mut by_hand = start;
    let y = by_hand.forward(&x).unwrap();
    let dy = (&y - &t) * (2.0 / 10.0);
    by_hand.backward_into(&dy, GradientAt::Output, &mut Array2::zeros((5, 3))).unwrap();
    by_hand.update_parameters(0.5).unwrap();
    approx::assert_abs_diff_eq!(trained.parameters(), by_hand.parameters(), epsilon = 1e-14);
    let loss = (&y - &t).mapv(|d| d * d).sum() / 10.0;
    assert!((history[0].loss - loss).abs() < 1e-14 && history[0].validation.is_none());
}

#[test]
fn each_epoch_sees_every_sample_once_in_an_order_of_its_own() {
    // The identity map under a learning rate of zero: a batch's loss tells which samples are in it, sample i being 2ⁱ.
    let x = Array2::from_shape_fn((7, 1), |(i, _)| f64::from(1 << i));
    let t = Array2::zeros((7, 1));
    let mut network = Dense::from_arrays(array![[1.0]], array![0.0], Activation::Identity).unwrap();
    let mut sgd = Sgd::new(SgdSettings { learning_rate: 0.0, ..Default::default() }).unwrap();
    let samples = Samples::new(&x, Targets::Values(t.view())).unwrap();
    let trainer = Trainer { epochs: 3, batch_size: 3, loss: Loss::MeanSquaredError };
    let mut seen = vec![Vec::new(); 3];
    let history = trainer
        .fit(&mut network, &mut sgd, &samples, None, &mut SmallRng::seed_from_u64(1), &mut |progress| {
            if let Progress::Batch { epoch, batch, batches: 3, loss } = *progress {
                let size = if batch == 3 { 1.0 } else { 3.0 };
                seen[epoch - 1].push((loss * size).round() as u64);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    for (epoch, report) in seen.iter().zip(&history) {
        // The sum of 4ⁱ has each of its seven bits once only if each sample came once.
        assert_eq!(epoch.len(), 3);
        assert_eq!(epoch.iter().sum::<u64>(), 0b1_0101_0101_0101);
        assert!(epoch.iter().all(|sum| sum & !0b1_0101_0101_0101 == 0));
        assert!((report.loss - 5461.0 / 7.0).abs() < 1e-9);
    }
    assert!(seen[0] != seen[1] || seen[1] != seen[2]);
}

#[test]
fn the_caller_can_stop_after_a_batch_or_an_epoch() {
    let (x, labels) = xor(20, 1);
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let trainer = Trainer { epochs: 9, batch_size: 8, loss: Loss::CrossEntropyFromLogits };
    let events = |stop: fn(&Progress) -> bool| {
        let mut rng = SmallRng::seed_from_u64(1);
        let (mut network, mut count) = (network::<f64>(Activation::Identity, &mut rng), 0);
        let history = trainer
            .fit(&mut network, &mut adam(), &samples, None, &mut rng, &mut |progress| {
                count += 1;
                if stop(progress) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        (history.len(), count)
    };
    // Three batches and a report make an epoch.
    assert_eq!(events(|p| matches!(p, Progress::Epoch(report) if report.epoch == 2)), (2, 8));
    assert_eq!(events(|p| matches!(p, Progress::Batch { epoch: 3, batch: 2, .. })), (2, 10));
    assert_eq!(events(|_| false), (9, 36));
}

#[test]
fn evaluation_in_parts_is_evaluation_of_the_whole() {
    let (x, labels) = xor(EVALUATION_ROWS * 2 + 77, 1);
    let network = network::<f64>(Activation::Softmax, &mut SmallRng::seed_from_u64(1));
    let y = network.predict(&x).unwrap();
    let loss = Loss::CrossEntropyFromSoftmax;
    let targets = Targets::Labels(&labels);
    let found = evaluate(&network, &Samples::new(&x, targets).unwrap(), loss).unwrap();
    assert!((found.loss - loss.value(&y, targets).unwrap()).abs() < 1e-14);
    assert!((found.accuracy.unwrap() - accuracy(&y, &labels).unwrap()).abs() < 1e-14);

    let t = matrix(x.nrows(), 2, 5);
    let targets = Targets::Values(t.view());
    let found = evaluate(&network, &Samples::new(&x, targets).unwrap(), Loss::MeanSquaredError).unwrap();
    assert!((found.loss - Loss::MeanSquaredError.value(&y, targets).unwrap()).abs() < 1e-14);
    assert_eq!(found.accuracy, None);
}

#[test]
fn evaluation_weighs_classes_and_judges_answers_of_yes_and_no() {
    let (x, labels) = xor(EVALUATION_ROWS + 77, 1);
    let network = network::<f64>(Activation::Identity, &mut SmallRng::seed_from_u64(1));
    let loss = CrossEntropy::new().class_weights(&[1.0, 7.0]).unwrap();
    let targets = Targets::Labels(&labels);
    let found = evaluate(&network, &Samples::new(&x, targets).unwrap(), &loss).unwrap();
    let expected = loss.value(&network.predict(&x).unwrap(), targets).unwrap();
    assert!((found.loss - expected).abs() < 1e-14);

    let one = Dense::from_arrays(array![[1.0], [0.0]], array![0.0], Activation::Sigmoid).unwrap();
    let (x, labels) = (array![[2.0, 0.0], [-2.0, 0.0], [1.0, 0.0]], [1, 0, 0]);
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let found = evaluate(&one, &samples, BinaryCrossEntropy::from_sigmoid()).unwrap();
    assert_eq!(found.accuracy, Some(2.0 / 3.0));
    let refused = evaluate(&one, &samples, BinaryCrossEntropy::new());
    assert!(matches!(refused, Err(LayerError::LossActivation { found: "sigmoid", .. })));
}

#[test]
fn samples_that_do_not_fit_are_named_before_the_first_step() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut network = network::<f64>(Activation::Identity, &mut rng);
    let before = network.parameters();
    let (x, labels) = xor(10, 1);
    assert_eq!(
        Samples::new(&x, Targets::Labels(&labels[..9])).unwrap_err(),
        LayerError::Length { layer: "Samples", argument: "targets", expected: 10, found: 9 }
    );
    let good = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let trainer = Trainer { epochs: 1, batch_size: 4, loss: Loss::CrossEntropyFromLogits };
    let mut fit = |trainer: Trainer, training: &Samples<'_, f64>, validation: Option<&Samples<'_, f64>>| {
        trainer.fit(&mut network, &mut adam(), training, validation, &mut rng, &mut keep_going).unwrap_err()
    };

    let setting_of = |error: LayerError| match error {
        LayerError::InvalidSetting { setting, .. } => setting,
        other => panic!("{other}"),
    };
    assert_eq!(setting_of(fit(Trainer { batch_size: 0, ..trainer }, &good, None)), "batch size");
    let none = Array2::zeros((0, 2));
    let empty = Samples::new(&none, Targets::Labels(&[])).unwrap();
    assert!(empty.is_empty());
    assert_eq!(setting_of(fit(trainer, &empty, None)), "number of training samples");
    assert_eq!(setting_of(fit(trainer, &good, Some(&empty))), "number of validation samples");
    let squared = Trainer { loss: Loss::MeanSquaredError, ..trainer };
    assert_eq!(setting_of(fit(squared, &good, None)), "targets of the mean squared error");

    let wide = matrix(10, 3, 1);
    let wide = Samples::new(&wide, Targets::Labels(&labels)).unwrap();
    let shape = LayerError::Shape { layer: "Sequential", argument: "x", expected: (10, 2), found: (10, 3) };
    assert_eq!(fit(trainer, &wide, None), shape);
    assert_eq!(fit(trainer, &good, Some(&wide)), shape);
    // The last sample of all: no step may have been made before it is reached.
    let mut wrong = labels.clone();
    wrong[9] = 2;
    let wrong = Samples::new(&x, Targets::Labels(&wrong)).unwrap();
    assert_eq!(fit(trainer, &wrong, None), LayerError::Label { sample: 9, label: 2, classes: 2 });
    assert_eq!(network.parameters(), before);
}

#[test]
fn training_mode_is_on_for_the_run_and_off_afterwards() {
    let (x, t) = (matrix::<f64>(5, 3, 1), matrix::<f64>(5, 2, 2));
    let inner = Dense::from_arrays(matrix(3, 2, 3), Array1::zeros(2), Activation::Tanh).unwrap();
    let mut network = ModeProbe { inner, events: Default::default(), trainable: true };
    let samples = Samples::new(&x, Targets::Values(t.view())).unwrap();
    let trainer = Trainer { epochs: 2, batch_size: 2, loss: Loss::MeanSquaredError };
    let rng = &mut SmallRng::seed_from_u64(1);
    trainer.fit(&mut network, &mut adam(), &samples, Some(&samples), rng, &mut keep_going).unwrap();
    let expected = ["training mode", "forward", "predict", "forward", "predict", "inference mode"];
    assert_eq!(*network.events.lock().unwrap(), expected);
}
