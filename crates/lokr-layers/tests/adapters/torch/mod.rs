//! Optimizers, losses and clipping beside the numbers that PyTorch gives: `PROVENANCE.md`.

use std::ops::ControlFlow;

use lokr_core::Scalar;
use lokr_layers::{
    Activation, Adam, AdamSettings, AdamW, BinaryCrossEntropy, CrossEntropy, Dense, Group, Huber, Layer, LossFunction,
    MeanAbsoluteError, MeanSquaredError, Optimizer, Progress, Samples, Schedule, Sgd, Soap, Targets, Trainer,
    clip_gradient_norm, clip_gradient_values,
};
use ndarray::{Array1, Array2};

const STEPS: usize = 25;

/// The recorded numbers of that name.
fn recorded(name: &str) -> Vec<f64> {
    let line = include_str!("recorded.txt").lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.expect(name).split(' ').map(|number| number.parse().unwrap()).collect()
}

fn assert_recorded(name: &str, found: &[f64], tolerance: f64) {
    let expected = recorded(name);
    assert_eq!(found.len(), expected.len(), "{name}");
    for (k, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let off = (found - expected).abs();
        assert!(off <= tolerance * (1.0 + expected.abs()), "{name}[{k}]: {found}, recorded {expected}");
    }
}

/// The same values as those of the script.
fn numbers(count: usize, seed: usize) -> impl Iterator<Item = f64> {
    let seed = seed as f64;
    (0..count).map(move |i| {
        let i = i as f64;
        (1.0 + 0.7 * seed + 1.3 * i + 0.37 * i * i + 0.05 * seed * i).sin()
    })
}

fn matrix<T: Scalar>(rows: usize, cols: usize, seed: usize) -> Array2<T> {
    let mut values = numbers(rows * cols, seed);
    Array2::from_shape_simple_fn((rows, cols), || T::from_f64_lossy(values.next().unwrap()))
}

/// A weight (3, 4) and a bias (4).
fn start<T: Scalar>() -> Dense<T> {
    let bias = Array1::from_iter(numbers(4, 2).map(T::from_f64_lossy));
    Dense::from_arrays(matrix(3, 4, 1), bias, Activation::Identity).unwrap()
}

fn set_gradients<T: Scalar>(layer: &mut Dense<T>, step: usize) {
    layer.clear_gradients();
    layer.forward(&Array2::zeros((1, 3))).unwrap();
    layer.backward(&Array2::zeros((1, 4))).unwrap();
    let mut seed = 10 + 2 * step;
    let set = &mut |_: &str, mut gradient: ndarray::ArrayViewMutD<'_, T>| {
        let values = numbers(gradient.len(), seed);
        gradient.iter_mut().zip(values).for_each(|(g, value)| *g = T::from_f64_lossy(3.0 * value));
        seed += 1;
    };
    layer.visit_gradients_mut(set).unwrap();
}

fn exact<T: Scalar>(values: Array1<T>) -> Vec<f64> {
    values.iter().map(|v| v.to_f64_exact()).collect()
}

fn follow<T: Scalar>(name: &str, mut optimizer: impl Optimizer<T>, tolerance: f64) {
    let mut layer = start::<T>();
    for step in 0..STEPS {
        set_gradients(&mut layer, step);
        optimizer.step(&mut layer).unwrap();
        if [0, 1, STEPS - 1].contains(&step) {
            assert_recorded(&format!("{name}.{}", step + 1), &exact(layer.parameters()), tolerance);
        }
    }
}

const OTHER: AdamSettings =
    AdamSettings { learning_rate: 0.05, beta1: 0.8, beta2: 0.95, epsilon: 1e-3, weight_decay: 0.3 };

fn optimizers_follow<T: Scalar>(tolerance: f64) {
    let sgd = || Sgd::<T>::new(0.1).unwrap();
    follow("sgd", sgd(), tolerance);
    follow("sgd_decay", sgd().weight_decay(0.3).unwrap(), tolerance);
    follow("sgd_momentum", sgd().weight_decay(0.3).unwrap().momentum(0.9).unwrap(), tolerance);
    follow("sgd_nesterov", sgd().weight_decay(0.3).unwrap().nesterov(0.9).unwrap(), tolerance);
    follow("adam", Adam::<T>::new(0.05).unwrap(), tolerance);
    follow("adam_decay", Adam::<T>::new(OTHER).unwrap(), tolerance);
    follow("adamw", AdamW::<T>::new(0.05).unwrap(), tolerance);
    let other = AdamW::<T>::new(0.05).unwrap().betas(0.8, 0.95).unwrap().epsilon(1e-3).unwrap();
    follow("adamw_decay", other.weight_decay(0.3).unwrap(), tolerance);
    let groups = AdamW::<T>::new(0.05).unwrap().weight_decay(0.1).unwrap();
    let groups = groups.group(Group::new("w*").rate_factor(4.0).weight_decay(0.3)).unwrap();
    follow("adamw_groups", groups.group(Group::new("bias").weight_decay(0.0)).unwrap(), tolerance);
    let soap = Soap::<T>::new(0.05).unwrap().betas(0.9, 0.8).unwrap().weight_decay(0.3).unwrap();
    follow("soap", soap.refresh(4).unwrap(), 100.0 * tolerance);
}

#[test]
fn optimizers_follow_pytorch() {
    optimizers_follow::<f64>(1e-13);
    optimizers_follow::<f32>(2e-6);
}

fn loss_follows(name: &str, loss: &dyn LossFunction<f64>, columns: usize, targets: Targets<'_, f64>) {
    let z = matrix::<f64>(4, 3, 5) * 4.0;
    let z = z.slice(ndarray::s![.., ..columns]);
    let mut gradient = Array2::zeros(z.dim());
    let value = loss.gradient_into(&z, targets, &mut gradient).unwrap();
    let found: Vec<f64> = std::iter::once(value).chain(gradient).collect();
    assert_recorded(&format!("loss.{name}"), &found, 1e-14);
}

#[test]
fn losses_follow_pytorch() {
    let t = matrix::<f64>(4, 3, 6).mapv(f64::abs);
    let (labels, values) = (Targets::Labels(&[2, 0, 1, 2]), Targets::Values(t.view()));
    let plain = CrossEntropy::new();
    let smooth = plain.clone().label_smoothing(0.2).unwrap();
    let weights = plain.clone().class_weights(&[0.5, 2.0, 3.0]).unwrap();
    let both = weights.clone().label_smoothing(0.2).unwrap();
    loss_follows("cross_entropy", &plain, 3, labels);
    loss_follows("cross_entropy_values", &plain, 3, values);
    loss_follows("cross_entropy_smooth", &smooth, 3, labels);
    loss_follows("cross_entropy_weights", &weights, 3, labels);
    loss_follows("cross_entropy_both", &both, 3, labels);
    loss_follows("cross_entropy_both_values", &both, 3, values);
    loss_follows("binary_logits", &BinaryCrossEntropy::new(), 3, values);
    loss_follows("binary_logits_weight", &BinaryCrossEntropy::new().positive_weight(3.0).unwrap(), 3, values);
    loss_follows("binary_labels", &BinaryCrossEntropy::new(), 1, Targets::Labels(&[1, 0, 0, 1]));
    loss_follows("mean_squared_error", &MeanSquaredError, 3, values);
    loss_follows("mean_absolute_error", &MeanAbsoluteError, 3, values);
    loss_follows("huber", &Huber::new(1.5).unwrap(), 3, values);
}

#[test]
fn clipping_follows_pytorch() {
    let mut layer = start::<f64>();
    set_gradients(&mut layer, 0);
    let norm = clip_gradient_norm(&mut layer, 1.0).unwrap();
    let found: Vec<f64> = std::iter::once(norm).chain(layer.gradients().unwrap()).collect();
    assert_recorded("clip_norm", &found, 1e-6); // PyTorch adds 1e-6 to the norm
    set_gradients(&mut layer, 0);
    clip_gradient_values(&mut layer, 1.0).unwrap();
    assert_recorded("clip_value", &exact(layer.gradients().unwrap()), 1e-15);
}

#[test]
fn schedules_follow_pytorch() {
    let rates = |schedule: Schedule, steps_are_epochs: bool| -> Vec<f64> {
        let epoch = |step: usize| if steps_are_epochs { step + 1 } else { 1 };
        (0..20).map(|step| schedule.factor(step, 20, epoch(step))).collect()
    };
    assert_recorded("schedule.linear", &rates(Schedule::linear().floor(0.1), false), 1e-14);
    assert_recorded("schedule.cosine", &rates(Schedule::cosine().floor(0.1), false), 1e-14);
    assert_recorded("schedule.step", &rates(Schedule::step(6, 0.5), true), 1e-14);
}

#[test]
fn plateaus_follow_pytorch() {
    // A network that cannot learn, on validation targets that make the recorded losses: y = 0, (y − t)² = loss.
    let (x, t) = (ndarray::array![[0.0]], ndarray::array![[0.0]]);
    let samples = Samples::new(&x, Targets::Values(t.view())).unwrap();
    let targets: Vec<Array2<f64>> =
        recorded("schedule.plateau_losses").into_iter().map(|loss| ndarray::array![[loss.sqrt()]]).collect();
    // Each run is stopped in the epoch after, so that every epoch sees its own loss.
    let mut state = None;
    let mut rates = Vec::new();
    for (epoch, t) in targets.iter().enumerate() {
        let mut network =
            Dense::from_arrays(ndarray::array![[0.0]], ndarray::array![0.0], Activation::Identity).unwrap();
        let validation = Samples::new(&x, Targets::Values(t.view())).unwrap();
        let mut saved = None;
        let mut run = Trainer::new(MeanSquaredError)
            .epochs(epoch + 2)
            .schedule(Schedule::on_plateau(2, 0.5))
            .validation(&validation)
            .save_every(1, |state| {
                saved = Some(state.clone());
                Ok::<(), std::convert::Infallible>(())
            })
            .on_progress(|progress| {
                let Progress::Step(report) = progress else { return ControlFlow::Continue(()) };
                rates.push(report.learning_rate);
                if report.step == epoch + 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        if let Some(state) = state.take() {
            run = run.resume(state);
        }
        run.fit(&mut network, &mut Sgd::new(1.0).unwrap(), &samples).unwrap();
        state = saved;
    }
    assert_recorded("schedule.plateau", &rates[..20], 1e-15);
}
