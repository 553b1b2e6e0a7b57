use approx::assert_abs_diff_eq;
use lokr_core::Scalar;
use lokr_testing::{central_difference, matrix};
use ndarray::{Array2, array};

use super::{BinaryCrossEntropy, CrossEntropy, Huber, Loss, LossFunction, MeanAbsoluteError, MeanSquaredError};
use crate::activation::Activation;
use crate::error::LayerError;
use crate::layer::GradientAt;
use crate::training::Targets;

/// The outputs for the pre-activation `z`, of a network made for the loss.
fn outputs<T: Scalar>(loss: &dyn LossFunction<T>, z: &Array2<T>) -> Array2<T> {
    let mut y = z.clone();
    if loss.gradient_at() == GradientAt::PreActivation {
        let last = [Activation::Softmax, Activation::Sigmoid].into_iter().find(|a| loss.check_activation(*a).is_ok());
        last.unwrap().apply(&mut y);
    }
    y
}

/// Checks the gradient at `z` against central differences of the value.
fn check(loss: &dyn LossFunction<f64>, z: &Array2<f64>, targets: Targets<'_, f64>) {
    let mut gradient = Array2::from_elem(z.dim(), f64::NAN);
    let value = loss.gradient_into(&outputs(loss, z), targets, &mut gradient).unwrap();
    assert_eq!(value, loss.value(&outputs(loss, z), targets).unwrap(), "{}", loss.name());
    for ((i, j), &found) in gradient.indexed_iter() {
        let difference = central_difference(|delta| {
            let mut moved = z.clone();
            moved[[i, j]] += delta;
            loss.value(&outputs(loss, &moved), targets).unwrap()
        });
        assert!((found - difference).abs() < 1e-9, "{} ({i}, {j}): {found}, not {difference}", loss.name());
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    let (z, t) = (matrix::<f64>(3, 5, 1) * 4.0, matrix::<f64>(3, 5, 2).mapv(f64::abs));
    let weights = [0.5, 2.0, 0.0, 1.0, 3.0];
    for loss in [CrossEntropy::new(), CrossEntropy::from_softmax()] {
        let smooth = loss.clone().label_smoothing(0.2).unwrap();
        let weighted = loss.class_weights(&weights).unwrap();
        for loss in [smooth.clone(), weighted, smooth.class_weights(&weights).unwrap()] {
            check(&loss, &z, Targets::Labels(&[2, 0, 4]));
            check(&loss, &z, Targets::Values(t.view()));
        }
    }
    for loss in [BinaryCrossEntropy::new(), BinaryCrossEntropy::from_sigmoid()] {
        for loss in [loss, loss.positive_weight(3.0).unwrap()] {
            check(&loss, &z, Targets::Values(t.view()));
            check(&loss, &matrix(3, 1, 4), Targets::Labels(&[0, 1, 1]));
        }
    }
    check(&MeanSquaredError, &z, Targets::Values(t.view()));
    check(&MeanAbsoluteError, &z, Targets::Values(t.view()));
    check(&Huber::new(1.5).unwrap(), &z, Targets::Values(t.view()));
}

fn all<T: Scalar>() -> Vec<Box<dyn LossFunction<T>>> {
    vec![
        Box::new(Loss::MeanSquaredError),
        Box::new(Loss::CrossEntropyFromLogits),
        Box::new(Loss::CrossEntropyFromSoftmax),
        Box::new(CrossEntropy::new().label_smoothing(0.1).unwrap()),
        Box::new(CrossEntropy::from_softmax().label_smoothing(0.1).unwrap()),
        Box::new(BinaryCrossEntropy::new()),
        Box::new(BinaryCrossEntropy::from_sigmoid()),
        Box::new(MeanAbsoluteError),
        Box::new(Huber::default()),
    ]
}

fn nan_stays<T: Scalar>() {
    for loss in all::<T>() {
        // Targets that look at the value and targets that look away from it.
        for t in [array![[T::one(), T::zero()]], array![[T::zero(), T::one()]]] {
            let y = array![[T::nan(), T::one()]];
            let mut gradient = Array2::zeros((1, 2));
            let value = loss.gradient_into(&y, Targets::Values(t.view()), &mut gradient).unwrap();
            assert!(value.is_nan() && gradient[[0, 0]].is_nan(), "{}: {value}, {gradient}", loss.name());
            assert!(loss.value(&y, Targets::Values(t.view())).unwrap().is_nan());
        }
    }
    for loss in [Loss::CrossEntropyFromLogits, Loss::CrossEntropyFromSoftmax] {
        let y = array![[T::nan(), T::one()]];
        assert!(loss.value(&y, Targets::Labels(&[0])).unwrap().is_nan());
        assert!(loss.value(&y, Targets::Labels(&[1])).unwrap().is_nan());
        assert!(loss.value(&Array2::from_elem((1, 2), T::nan()), Targets::Labels(&[0])).unwrap().is_nan());
    }
}

#[test]
fn a_loss_of_nan_is_nan() {
    nan_stays::<f32>();
    nan_stays::<f64>();
    // A negative number is no probability.
    assert!(CrossEntropy::from_softmax().value(&array![[-0.5_f64, 1.5]], Targets::Labels(&[0])).unwrap().is_nan());
}

#[test]
fn losses_are_paired_with_the_last_activation() {
    let fits = |loss: &dyn LossFunction<f32>, last| loss.check_activation(last).is_ok();
    for last in crate::test_support::ACTIVATIONS {
        let (softmax, sigmoid) = (last == Activation::Softmax, last == Activation::Sigmoid);
        assert_eq!(fits(&Loss::CrossEntropyFromSoftmax, last), softmax);
        assert_eq!(fits(&Loss::CrossEntropyFromLogits, last), !softmax);
        assert_eq!(fits(&BinaryCrossEntropy::from_sigmoid(), last), sigmoid);
        assert_eq!(fits(&BinaryCrossEntropy::new(), last), !softmax && !sigmoid);
        assert!(fits(&MeanSquaredError, last) && fits(&Huber::default(), last));
    }
    let error = LossFunction::<f64>::check_activation(&Loss::CrossEntropyFromSoftmax, Activation::Tanh).unwrap_err();
    assert_eq!(error, LayerError::LossActivation { loss: "cross-entropy", expected: "softmax", found: "tanh" });
    assert_eq!(error.to_string(), "cross-entropy is for networks that end in softmax, but this one ends in tanh");
}

#[test]
fn losses_hold_at_every_scale() {
    fn squares<T: Scalar>(scale: f64) {
        let (y, t) = (array![[T::from_f64_lossy(scale)]], array![[T::from_f64_lossy(-scale)]]);
        let mut dy = y.clone();
        let found = MeanSquaredError.gradient_into(&y, Targets::Values(t.view()), &mut dy).unwrap();
        assert!((found / (4.0 * scale * scale) - 1.0).abs() < 1e-6, "{found}");
        assert!((dy[[0, 0]].to_f64_exact() / (4.0 * scale) - 1.0).abs() < 1e-6);
        let found = MeanAbsoluteError.value(&y, Targets::Values(t.view())).unwrap();
        assert!((found / (2.0 * scale) - 1.0).abs() < 1e-6);
    }
    squares::<f32>(1e30);
    squares::<f32>(1e-30);
    squares::<f64>(1e150);
    squares::<f64>(1e-150);
    // The sum of the squares leaves the range, their mean does not.
    let y = array![[1.2e154, 1.2e154]];
    let found = MeanSquaredError.value(&y, Targets::Values(Array2::zeros((1, 2)).view())).unwrap();
    assert!((found / 1.44e308 - 1.0).abs() < 1e-12);

    let (far, label) = (array![[1e30_f32], [-1e30]], Targets::Labels(&[0, 1]));
    assert!((BinaryCrossEntropy::new().value(&far, label).unwrap() / 1e30 - 1.0).abs() < 1e-6);
    assert_eq!(BinaryCrossEntropy::new().value(&far, Targets::Labels(&[1, 0])), Ok(0.0));
    let near = BinaryCrossEntropy::new().value(&array![[-1e2_f64]], Targets::Labels(&[0])).unwrap();
    assert!((near / (-1e2_f64).exp() - 1.0).abs() < 1e-12, "small losses keep their digits: {near}");
    // A class that cannot be.
    let never = array![[0.0, f64::NEG_INFINITY]];
    let certain = array![[1.0, 0.0]];
    assert_eq!(CrossEntropy::new().value(&never, Targets::Values(certain.view())), Ok(0.0));
    assert_eq!(CrossEntropy::new().value(&never, Targets::Labels(&[1])), Ok(f64::INFINITY));
}

#[test]
fn samples_of_no_weight_have_no_gradient() {
    let loss = CrossEntropy::new().class_weights(&[0.0, 1.0]).unwrap();
    let mut gradient = Array2::from_elem((1, 2), f64::NAN);
    assert_eq!(loss.gradient_into(&array![[1.0, 2.0]], Targets::Labels(&[0]), &mut gradient), Ok(0.0));
    assert_eq!(gradient, array![[0.0, 0.0]]);
}

#[test]
fn binary_answers_are_right_on_their_side_of_the_threshold() {
    let right = |loss: BinaryCrossEntropy, y: f64, label: usize| {
        let (y, labels) = (array![y], [label]);
        loss.is_right(y.view(), &Targets::<f64>::Labels(&labels).row(0)).unwrap()
    };
    for loss in [BinaryCrossEntropy::new(), BinaryCrossEntropy::from_sigmoid()] {
        assert!(right(loss, 0.9, 1) && right(loss, -0.1, 0) && !right(loss, -0.1, 1));
        assert!(!right(loss, f64::NAN, 0) && !right(loss, f64::NAN, 1));
    }
    assert!(right(BinaryCrossEntropy::new(), 0.1, 1) && right(BinaryCrossEntropy::from_sigmoid(), 0.1, 0));
}

#[test]
fn settings_and_targets_that_do_not_fit_are_named() {
    let setting = |error: LayerError| match error {
        LayerError::InvalidSetting { setting, .. } => setting,
        other => panic!("{other}"),
    };
    for wrong in [-0.1, 1.1, f64::NAN] {
        assert_eq!(setting(CrossEntropy::new().label_smoothing(wrong).unwrap_err()), "label smoothing");
        assert_eq!(setting(Huber::new(-wrong.abs()).unwrap_err()), "delta of the Huber loss");
    }
    for wrong in [-1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(setting(CrossEntropy::new().class_weights(&[1.0, wrong]).unwrap_err()), "class weight");
        assert_eq!(setting(BinaryCrossEntropy::new().positive_weight(wrong).unwrap_err()), "positive weight");
    }
    // What an f64 holds and an f32 does not.
    let (y, t) = (array![[1.0_f32, 2.0]], array![[1.0_f32, 0.0]]);
    let check = |loss: &dyn LossFunction<f32>| loss.value(&y, Targets::Values(t.view())).unwrap_err();
    assert_eq!(setting(check(&CrossEntropy::new().class_weights(&[1.0, 1e39]).unwrap())), "class weight");
    assert_eq!(setting(check(&BinaryCrossEntropy::new().positive_weight(1e39).unwrap())), "positive weight");
    assert_eq!(setting(check(&Huber::new(1e-60).unwrap())), "delta of the Huber loss");

    let three = CrossEntropy::new().class_weights(&[1.0; 3]).unwrap();
    let layer = "cross-entropy";
    assert_eq!(check(&three), LayerError::Length { layer, argument: "class weights", expected: 2, found: 3 });
    let labels = |loss: &dyn LossFunction<f32>| setting(loss.value(&y, Targets::Labels(&[1])).unwrap_err());
    assert_eq!(labels(&MeanAbsoluteError), "targets of the mean absolute error");
    assert_eq!(labels(&Huber::default()), "targets of the Huber loss");
    assert_eq!(labels(&BinaryCrossEntropy::new()), "targets of the binary cross-entropy");
    let label = BinaryCrossEntropy::new().value(&array![[1.0]], Targets::Labels(&[2])).unwrap_err();
    assert_eq!(label, LayerError::Label { sample: 0, label: 2, classes: 2 });
}

#[test]
fn a_batch_in_parts_has_the_gradient_of_the_whole() {
    let (y, labels) = (matrix::<f64>(5, 3, 1), [0, 2, 1, 2, 2]);
    let loss = CrossEntropy::new().class_weights(&[1.0, 2.0, 5.0]).unwrap();
    let mut whole = Array2::zeros((5, 3));
    let value = loss.gradient_into(&y, Targets::Labels(&labels), &mut whole).unwrap();
    let weight = LossFunction::<f64>::total_weight(&loss, Targets::Labels(&labels));
    assert_eq!(weight, 18.0);
    let (mut parts, mut sum) = (Array2::zeros((5, 3)), 0.0);
    for range in [0..2, 2..5] {
        let y = y.slice(ndarray::s![range.clone(), ..]);
        let mut gradient = parts.slice_mut(ndarray::s![range.clone(), ..]);
        sum += loss.part_gradient_into(&y, Targets::Labels(&labels[range]), weight, &mut gradient).unwrap();
    }
    assert_abs_diff_eq!(sum / weight, value, epsilon = 1e-14);
    assert_eq!(parts, whole);
}
