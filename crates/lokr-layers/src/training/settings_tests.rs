use std::ops::ControlFlow;

use lokr_core::Scalar;
use lokr_testing::matrix;
use ndarray::{Array1, Array2, ArrayRef2, array};
use ndarray_rand::rand::{SeedableRng, rngs::SmallRng};

use super::{
    Adam, AdamW, CrossEntropy, EpochReport, Group, Loss, MeanSquaredError, Momentum, Optimizer, Progress, Samples,
    Schedule, Sequential, Sgd, SgdSettings, Soap, StepReport, Targets, Trainer, Training, TrainingState,
};
use crate::activation::Activation;
use crate::adapter::LoKrAdapter;
use crate::error::{LayerError, Result};
use crate::layer::{GradientAt, Layer, Visitor, VisitorMut};
use crate::linear::{Dense, Init};
use crate::test_support::ModeProbe;

type Stopped = std::result::Result<(), &'static str>;

/// A network whose first layer is adapted, with everything trained.
fn network<T: Scalar>() -> Sequential<T> {
    let rng = &mut SmallRng::seed_from_u64(3);
    let first = Dense::<T>::new(4, 6, Activation::Tanh, Init::XavierUniform, rng).unwrap();
    let last = Dense::<T>::new(6, 3, Activation::Identity, Init::XavierUniform, rng).unwrap();
    let first = LoKrAdapter::new(first, 2, None, false).unwrap();
    Sequential::new(vec![Box::new(first), Box::new(last)]).unwrap()
}

/// The same with an adapter that draws.
fn network_with_dropout<T: Scalar>() -> Sequential<T> {
    let adapt = |_, layer: Box<dyn Layer<T>>| {
        let adapter = LoKrAdapter::builder(layer).rank(2).input_dropout(0.3).build()?;
        Ok(Box::new(adapter) as Box<dyn Layer<T>>)
    };
    network().map_layers(adapt).unwrap()
}

/// Eleven samples of three classes.
fn data<T: Scalar>(seed: u64) -> (Array2<T>, Vec<usize>) {
    (matrix(11, 4, seed), (0..11).map(|i| (i * i + seed as usize) % 3).collect())
}

/// Everything on: 5 epochs of 3 batches, weighted classes, parts of batches, a schedule, clipping, early stopping.
fn full_run<'a, T: Scalar>(validation: &'a Samples<'_, T>, schedule: Schedule) -> Training<'a, T> {
    Trainer::new(CrossEntropy::new().class_weights(&[1.0, 2.0, 0.5]).unwrap())
        .epochs(5)
        .batch_size(4)
        .micro_batch_size(3)
        .seed(9)
        .schedule(schedule)
        .clip_norm(0.5)
        .validation(validation)
        .early_stopping(2)
}

fn optimizers<T: Scalar>() -> Vec<Box<dyn Optimizer<T>>> {
    let momentum = Momentum::Nesterov { factor: 0.9 };
    vec![
        Box::new(Sgd::new(0.3).unwrap()),
        Box::new(Sgd::new(SgdSettings { learning_rate: 0.3, momentum, weight_decay: 0.01 }).unwrap()),
        Box::new(AdamW::new(0.1).unwrap().group(Group::lora_plus(4.0)).unwrap()),
        Box::new(Soap::new(0.1).unwrap().refresh(3).unwrap()),
    ]
}

/// A run stopped after each step, and resumed by a process that knows nothing but the state.
fn resumes<T: Scalar>(schedule: Schedule, network: fn() -> Sequential<T>) {
    let ((x, labels), (x_other, labels_other)) = (data::<T>(1), data::<T>(2));
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let validation = Samples::new(&x_other, Targets::Labels(&labels_other)).unwrap();
    for ((mut optimizer, stopped), resumed) in optimizers::<T>().into_iter().zip(optimizers()).zip(optimizers()) {
        let mut whole = network();
        let history = full_run(&validation, schedule).fit(&mut whole, &mut *optimizer, &samples).unwrap();
        let last = history.len() * 3;
        let (mut stopped, mut resumed) = (stopped, resumed);
        for stop in 1..=last {
            let mut saved = TrainingState::default();
            stopped.reset();
            resumed.reset();
            full_run(&validation, schedule)
                .save_every(1000, |state| {
                    saved = state.clone();
                    Stopped::Ok(())
                })
                .on_progress(|progress| match progress {
                    Progress::Step(report) if report.step == stop => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                })
                .fit(&mut network(), &mut *stopped, &samples)
                .unwrap();
            assert_eq!(saved.counts["step"], stop as u64);
            let mut found = network();
            found.set_parameters(&Array1::zeros(found.parameter_count())).unwrap();
            resumed.set_learning_rate(0.05).unwrap(); // the state knows better
            let again = full_run(&validation, schedule).resume(saved).fit(&mut found, &mut *resumed, &samples).unwrap();
            assert_eq!(again, history, "stopped after {stop}");
            assert_eq!(found.parameters(), whole.parameters(), "stopped after {stop}");
            assert_eq!(resumed.learning_rate(), optimizer.learning_rate());
        }
    }
}

#[test]
fn a_run_stopped_at_any_step_and_resumed_ends_with_the_same_bits() {
    resumes::<f64>(Schedule::cosine().warmup(2), network);
    resumes::<f64>(Schedule::cosine(), network_with_dropout);
    resumes::<f32>(Schedule::on_plateau(0, 0.5), network);
}

/// A layer that draws: its output is multiplied by numbers of a generator of its own.
#[derive(Clone)]
struct Noisy {
    inner: Dense<f64>,
    state: u64,
    training: bool,
}

impl Layer<f64> for Noisy {
    fn input_size(&self) -> usize {
        self.inner.input_size()
    }
    fn output_size(&self) -> usize {
        self.inner.output_size()
    }
    fn type_name(&self) -> &'static str {
        "Noisy"
    }
    fn predict_into(&self, x: &ArrayRef2<f64>, y: &mut ArrayRef2<f64>) -> Result<()> {
        self.inner.predict_into(x, y)
    }
    fn forward_into(&mut self, x: &ArrayRef2<f64>, y: &mut ArrayRef2<f64>) -> Result<()> {
        self.inner.forward_into(x, y)?;
        if self.training {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *y *= 1.0 + (self.state >> 40) as f64 / (1 << 24) as f64;
        }
        Ok(())
    }
    fn backward_into(&mut self, dy: &ArrayRef2<f64>, at: GradientAt, dx: &mut ArrayRef2<f64>) -> Result<()> {
        self.inner.backward_into(dy, at, dx)
    }
    fn visit(&self, visitor: Visitor<'_, f64>) {
        self.inner.visit(visitor);
    }
    fn visit_mut(&mut self, visitor: VisitorMut<'_, f64>) {
        self.inner.visit_mut(visitor);
    }
    fn clear_gradients(&mut self) {
        self.inner.clear_gradients();
    }
    fn reset_state(&mut self) {
        self.inner.reset_state();
    }
    fn set_training_mode(&mut self, training: bool) {
        self.training = training;
    }
    fn visit_random_states(&mut self, visitor: &mut dyn FnMut(&str, &mut u64)) {
        visitor("noise", &mut self.state);
    }
    fn clone_box(&self) -> Box<dyn Layer<f64>> {
        Box::new(self.clone())
    }
}

#[test]
fn layers_that_draw_go_on_with_the_same_numbers() {
    let (x, labels) = data::<f64>(1);
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let network = |state| {
        let noisy = |inner| Box::new(Noisy { inner, state, training: false }) as Box<dyn Layer<f64>>;
        let first = noisy(Dense::from_arrays(matrix(4, 5, 1), Array1::zeros(5), Activation::Tanh).unwrap());
        let last = noisy(Dense::from_arrays(matrix(5, 3, 2), Array1::zeros(3), Activation::Identity).unwrap());
        Sequential::new(vec![first, last]).unwrap()
    };
    let (mut whole, mut states) = (network(5), Vec::new());
    Trainer::new(CrossEntropy::new())
        .epochs(2)
        .batch_size(3)
        .save_every(3, |state| {
            states.push(state.clone());
            Stopped::Ok(())
        })
        .fit(&mut whole, &mut Adam::new(0.1).unwrap(), &samples)
        .unwrap();
    assert!(states[0].counts["random.0.noise"] != 5 && states[0].counts.contains_key("random.1.noise"));
    let mut resumed = network(77);
    let run = Trainer::new(CrossEntropy::new()).epochs(2).batch_size(3).resume(states.swap_remove(0));
    run.fit(&mut resumed, &mut Adam::new(0.1).unwrap(), &samples).unwrap();
    assert_eq!(resumed.parameters(), whole.parameters());
}

#[test]
fn states_of_other_runs_are_named_and_change_nothing() {
    let (x, labels) = data::<f64>(1);
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let mut states = Vec::new();
    full_run(&samples, Schedule::constant())
        .save_every(4, |state| {
            states.push(state.clone());
            Stopped::Ok(())
        })
        .fit(&mut network(), &mut Adam::new(0.1).unwrap(), &samples)
        .unwrap();
    assert_eq!(states.len(), 3, "steps 4, 8 and 12 of 15");

    let refused = |training: Training<'_, f64>, change: &dyn Fn(&mut TrainingState<f64>)| {
        let (mut network, mut adam) = (network(), Adam::new(0.25).unwrap());
        let before = network.parameters();
        let mut state = states[1].clone();
        change(&mut state);
        let error = training.resume(state).fit(&mut network, &mut adam, &samples).unwrap_err();
        assert_eq!(network.parameters(), before);
        assert_eq!(adam.learning_rate(), 0.25);
        assert!(adam.save_state(&network).unwrap().arrays.is_empty());
        error
    };
    let run = || full_run(&samples, Schedule::constant());
    let same = |_: &mut TrainingState<f64>| {};
    assert!(matches!(refused(run().batch_size(5), &same), LayerError::InvalidSetting { .. }));
    assert!(matches!(refused(run().seed(1), &same), LayerError::InvalidSetting { setting: "seed", .. }));
    for name in ["network.1.bias", "optimizer.mean.1.bias", "best.1.bias"] {
        let error = refused(run(), &|state| assert!(state.arrays.remove(name).is_some()));
        assert!(matches!(&error, LayerError::MissingName { name: found, .. } if name.ends_with(found)), "{error}");
    }
    for name in ["epoch", "step", "early_stopping.stale"] {
        let error = refused(run(), &|state| assert!(state.counts.remove(name).is_some()));
        assert!(matches!(&error, LayerError::MissingName { name: found, .. } if found == name), "{error}");
    }
    for name in ["learning_rate", "plateau.factor", "history.1.loss"] {
        let error = refused(run(), &|state| assert!(state.numbers.remove(name).is_some()));
        assert!(matches!(&error, LayerError::MissingName { name: found, .. } if found == name), "{error}");
    }
    let rate = refused(run(), &|state| {
        state.numbers.insert("learning_rate".to_owned(), f64::NAN);
    });
    assert!(matches!(rate, LayerError::InvalidSetting { setting: "learning rate", .. }));
    let shape = refused(run(), &|state| {
        state.arrays.insert("optimizer.square.1.bias".to_owned(), Array1::zeros(2).into_dyn());
    });
    assert!(matches!(shape, LayerError::NamedShape { .. }));
}

#[test]
fn what_cannot_be_saved_ends_the_run() {
    let (x, labels) = data::<f64>(1);
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let run = full_run(&samples, Schedule::cosine()).save_every(2, |_| Stopped::Err("the disk is full"));
    let mut adam = Adam::new(0.1).unwrap();
    let error = run.fit(&mut network(), &mut adam, &samples).unwrap_err();
    assert_eq!(error.to_string(), "cannot write the training state: the disk is full");
    assert_eq!(adam.learning_rate(), 0.1, "its own again");
}

/// The steps and epochs that a run with those settings reports.
fn reports(set: fn(Training<'_, f64>) -> Training<'_, f64>) -> (Vec<StepReport>, Vec<EpochReport>) {
    let (x, labels) = data(1);
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let mut steps = Vec::new();
    let history = set(Trainer::new(CrossEntropy::new()).batch_size(4))
        .on_progress(|progress| {
            if let Progress::Step(report) = progress {
                steps.push(*report);
            }
        })
        .fit(&mut network(), &mut Adam::new(0.1).unwrap(), &samples)
        .unwrap();
    (steps, history)
}

#[test]
fn every_step_is_reported() {
    let (steps, history) = reports(|run| run.epochs(2).schedule(Schedule::linear()));
    let places: Vec<_> = steps.iter().map(|r| (r.epoch, r.batch, r.batches, r.step, r.steps)).collect();
    assert_eq!(
        places,
        [(1, 1, 3, 1, 6), (1, 2, 3, 2, 6), (1, 3, 3, 3, 6), (2, 1, 3, 4, 6), (2, 2, 3, 5, 6), (2, 3, 3, 6, 6)]
    );
    for (i, step) in steps.iter().enumerate() {
        assert!((step.learning_rate - 0.1 * (1.0 - i as f64 / 6.0)).abs() < 1e-15);
        assert_eq!(step.gradient_norm, None, "nobody asked");
    }
    assert_eq!(steps[5].time_left, std::time::Duration::ZERO);
    let mean = (4.0 * (steps[0].loss + steps[1].loss) + 3.0 * steps[2].loss) / 11.0;
    assert!((history[0].loss - mean).abs() < 1e-14);
    let (steps, _) = reports(|run| run.measure_gradient_norm());
    assert!(steps.iter().all(|step| step.gradient_norm.is_some_and(|norm| norm > 0.0)));
}

#[test]
fn clipped_steps_are_as_short_as_they_should_be() {
    // One step of plain descent at rate 1 moves the parameters by the clipped gradient.
    let (x, labels) = data::<f64>(1);
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let step = |training: Training<'_, f64>| {
        let mut network = network();
        let before = network.parameters();
        training.batch_size(11).fit(&mut network, &mut Sgd::new(1.0).unwrap(), &samples).unwrap();
        before - network.parameters()
    };
    let run = || Trainer::new(CrossEntropy::new());
    let gradient = step(run());
    let norm = gradient.dot(&gradient).sqrt();
    let clipped = step(run().clip_norm(norm / 4.0));
    assert!((clipped * 4.0 - &gradient).iter().all(|d| d.abs() < 1e-14));
    let clipped = step(run().clip_value(0.01));
    assert!((clipped - gradient.mapv(|g| g.clamp(-0.01, 0.01))).iter().all(|d| d.abs() < 1e-14));
    // A batch in parts is the same step, with weights of classes too.
    for weights in [[1.0, 1.0, 1.0], [0.2, 3.0, 1.0]] {
        let run = || Trainer::new(CrossEntropy::new().class_weights(&weights).unwrap());
        let whole = step(run());
        for size in [1, 4, 10] {
            assert!((step(run().micro_batch_size(size)) - &whole).iter().all(|d| d.abs() < 1e-14));
        }
    }
}

#[test]
fn early_stopping_gives_the_best_parameters_back() {
    // A rate that overshoots: the loss rises from the second epoch on.
    let (x, t) = (array![[1.0], [1.0]], array![[1.0], [1.0]]);
    let samples = Samples::new(&x, Targets::Values(t.view())).unwrap();
    let start = Dense::from_arrays(array![[0.0]], array![0.0], Activation::Identity).unwrap();
    let mut network = start.clone();
    let mut parameters = Vec::new();
    let run = Trainer::new(MeanSquaredError).epochs(20).batch_size(2);
    let history = run.early_stopping(2).fit(&mut network, &mut Sgd::new(0.6).unwrap(), &samples).unwrap();
    assert_eq!(history.len(), 4, "the best, and three that were not better: {history:?}");
    // Step by step by hand; the best epoch is the first, measured before its step.
    let mut by_hand = start;
    for _ in 0..4 {
        let y = by_hand.forward(&x).unwrap();
        by_hand.clear_gradients();
        by_hand.backward(&(&y - &t)).unwrap();
        by_hand.update_parameters(0.6).unwrap();
        parameters.push(by_hand.parameters());
    }
    assert_eq!(network.parameters(), parameters[0]);

    // Where no loss is a number, there is no best, and the network stays as training left it.
    let nan = array![[f64::NAN], [f64::NAN]];
    let samples = Samples::new(&x, Targets::Values(nan.view())).unwrap();
    let run = Trainer::new(MeanSquaredError).epochs(20).early_stopping(1);
    let history = run.fit(&mut network, &mut Sgd::new(0.1).unwrap(), &samples).unwrap();
    assert_eq!(history.len(), 2);
    assert!(history.iter().all(|report| report.loss.is_nan()), "a run that diverged says so");
}

#[test]
fn a_plateau_lowers_the_rate() {
    let (x, t) = (array![[0.0]], array![[1.0]]);
    let samples = Samples::new(&x, Targets::Values(t.view())).unwrap();
    let mut network = Dense::from_arrays(array![[0.0]], array![0.0], Activation::Relu).unwrap(); // cannot learn
    let (mut rates, mut sgd) = (Vec::new(), Sgd::new(1.0).unwrap());
    Trainer::new(MeanSquaredError)
        .epochs(7)
        .schedule(Schedule::on_plateau(1, 0.5).floor(0.3))
        .on_progress(|progress| {
            if let Progress::Step(report) = progress {
                rates.push(report.learning_rate);
            }
        })
        .fit(&mut network, &mut sgd, &samples)
        .unwrap();
    assert_eq!(rates, [1.0, 1.0, 1.0, 0.5, 0.5, 0.3, 0.3]);
    assert_eq!(sgd.learning_rate(), 1.0, "its own again");
}

#[test]
fn settings_out_of_range_are_named_before_the_first_step() {
    let (x, labels) = data::<f32>(1);
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let refused = |training: Training<'_, f32>| {
        let mut network = network();
        let before = network.parameters();
        let error = training.fit(&mut network, &mut Sgd::new(0.1).unwrap(), &samples).unwrap_err();
        assert_eq!(network.parameters(), before);
        match error {
            LayerError::InvalidSetting { setting, .. } => setting,
            other => panic!("{other}"),
        }
    };
    let run = || Trainer::new(CrossEntropy::new());
    assert_eq!(refused(run().batch_size(0)), "batch size");
    assert_eq!(refused(run().micro_batch_size(0)), "micro-batch size");
    assert_eq!(refused(run().save_every(0, |_| Stopped::Ok(()))), "steps between two saves");
    for wrong in [0.0, -1.0, f64::NAN, 1e39] {
        assert_eq!(refused(run().clip_norm(wrong)), "limit of the gradient's norm");
        assert_eq!(refused(run().clip_value(wrong)), "limit of the gradient's values");
    }
    for wrong in [-0.1, 1.1, f64::NAN] {
        assert_eq!(refused(run().schedule(Schedule::linear().floor(wrong))), "floor of the schedule");
        assert_eq!(refused(run().schedule(Schedule::step(1, wrong))), "factor of the schedule");
        assert_eq!(refused(run().schedule(Schedule::on_plateau(1, wrong))), "factor of the schedule");
    }
    assert_eq!(refused(run().schedule(Schedule::step(0, 0.5))), "epochs of the schedule");
    assert_eq!(refused(Trainer::new(MeanSquaredError)), "targets of the mean squared error");
}

#[test]
fn a_loss_for_another_ending_is_refused() {
    let (x, labels) = data::<f64>(1);
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let pair = |last, loss: Loss| -> Result<()> {
        let mut network = Sequential::new(vec![
            Box::new(Dense::from_arrays(matrix(4, 3, 1), Array1::zeros(3), Activation::Tanh).unwrap())
                as Box<dyn Layer<_>>,
            Box::new(LoKrAdapter::new(Dense::from_arrays(matrix(3, 3, 2), Array1::zeros(3), last)?, 1, None, true)?),
        ])?;
        let before = network.parameters();
        let result = Trainer::new(loss).fit(&mut network, &mut Sgd::new(0.1)?, &samples).map(drop);
        assert_eq!(network.parameters() == before, result.is_err());
        result
    };
    let (softmax, logits) = (Loss::CrossEntropyFromSoftmax, Loss::CrossEntropyFromLogits);
    assert_eq!(pair(Activation::Softmax, softmax), Ok(()));
    assert_eq!(pair(Activation::Identity, logits), Ok(()));
    for last in [Activation::Tanh, Activation::Identity] {
        let error = pair(last, softmax).unwrap_err();
        let expected = LayerError::LossActivation { loss: "cross-entropy", expected: "softmax", found: last.name() };
        assert_eq!(error, expected);
    }
    assert!(matches!(pair(Activation::Softmax, logits), Err(LayerError::LossActivation { expected: "logits", .. })));
    // What a layer of the user's own ends in is not known; it is told what the gradient refers to.
    let inner = Dense::from_arrays(matrix(4, 3, 1), Array1::zeros(3), Activation::Softmax).unwrap();
    let mut own = ModeProbe { inner, events: Default::default(), trainable: true };
    Trainer::new(softmax).fit(&mut own, &mut Sgd::new(0.1).unwrap(), &samples).unwrap();
}
