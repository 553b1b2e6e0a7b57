use approx::assert_abs_diff_eq;
use lokr_core::Scalar;
use lokr_testing::{LAYOUTS, central_difference, matrix, with_layout};
use ndarray::{Array2, array};

use super::Loss;
use crate::activation::Activation;
use crate::error::LayerError;
use crate::training::{Targets, accuracy};

fn softmax<T: Scalar>(z: &Array2<T>) -> Array2<T> {
    let mut p = z.clone();
    Activation::Softmax.apply(&mut p);
    p
}

/// Checks `gradient_into` at `z` against central differences of `value`; for the loss on probabilities, `z` are the
/// logits that the softmax is given.
fn check(loss: Loss, z: &Array2<f64>, targets: Targets<'_, f64>) {
    let output = |z: &Array2<f64>| if loss == Loss::CrossEntropyFromSoftmax { softmax(z) } else { z.clone() };
    let mut gradient = Array2::from_elem(z.dim(), f64::NAN);
    let value = loss.gradient_into(&output(z), targets, &mut gradient).unwrap();
    assert_eq!(value, loss.value(&output(z), targets).unwrap());
    for ((i, j), &found) in gradient.indexed_iter() {
        let difference = central_difference(|delta| {
            let mut moved = z.clone();
            moved[[i, j]] += delta;
            loss.value(&output(&moved), targets).unwrap()
        });
        assert!((found - difference).abs() < 1e-9, "{loss:?} ({i}, {j}): {found} against {difference}");
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    let z = matrix::<f64>(3, 5, 1) * 4.0;
    let one_hot = array![[0.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]];
    // Positive, and their rows do not sum to one.
    let soft = matrix::<f64>(3, 5, 2).mapv(f64::abs);
    check(Loss::MeanSquaredError, &z, Targets::Values(soft.view()));
    for loss in [Loss::CrossEntropyFromLogits, Loss::CrossEntropyFromSoftmax] {
        check(loss, &z, Targets::Labels(&[2, 0, 4]));
        check(loss, &z, Targets::Values(one_hot.view()));
        check(loss, &z, Targets::Values(soft.view()));
    }
}

#[test]
fn labels_and_one_hot_rows_are_the_same() {
    let z = matrix::<f32>(2, 3, 1);
    let one_hot = array![[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for loss in [Loss::CrossEntropyFromLogits, Loss::CrossEntropyFromSoftmax] {
        let (mut by_label, mut by_row) = (Array2::zeros((2, 3)), Array2::zeros((2, 3)));
        let y = if loss == Loss::CrossEntropyFromSoftmax { softmax(&z) } else { z.clone() };
        let a = loss.gradient_into(&y, Targets::Labels(&[1, 2]), &mut by_label).unwrap();
        let b = loss.gradient_into(&y, Targets::Values(one_hot.view()), &mut by_row).unwrap();
        assert_abs_diff_eq!(a, b, epsilon = 1e-7);
        assert_abs_diff_eq!(by_label, by_row, epsilon = 1e-7);
    }
}

#[test]
fn logits_and_probabilities_give_the_same_loss_and_gradient() {
    let z = matrix::<f64>(4, 6, 3) * 3.0;
    let targets = Targets::Labels(&[0, 5, 2, 2]);
    let (mut from_logits, mut from_softmax) = (z.clone(), z.clone());
    let a = Loss::CrossEntropyFromLogits.gradient_into(&z, targets, &mut from_logits).unwrap();
    let b = Loss::CrossEntropyFromSoftmax.gradient_into(&softmax(&z), targets, &mut from_softmax).unwrap();
    assert_abs_diff_eq!(a, b, epsilon = 1e-14);
    assert_abs_diff_eq!(from_logits, from_softmax, epsilon = 1e-15);
}

#[test]
fn cross_entropy_of_extreme_logits_is_exact() {
    let y = array![[1e4_f32, 0.0, -1e4]];
    let loss = |label| Loss::CrossEntropyFromLogits.value(&y, Targets::Labels(&[label])).unwrap();
    assert_eq!((loss(0), loss(1), loss(2)), (0.0, 1e4, 2e4));
    // ln(1 + 1) of two equal large logits; a log-sum-exp rounded to f32 at 1e6 would give 0.6875 or 0.75.
    let loss = Loss::CrossEntropyFromLogits.value(&array![[1e6_f32, 1e6]], Targets::Labels(&[0])).unwrap();
    assert_abs_diff_eq!(loss, 2.0_f64.ln(), epsilon = 1e-7);
    let mut gradient = array![[f32::NAN, f32::NAN]];
    Loss::CrossEntropyFromLogits.gradient_into(&array![[1e6_f32, 1e6]], Targets::Labels(&[0]), &mut gradient).unwrap();
    assert_abs_diff_eq!(gradient, array![[-0.5, 0.5]], epsilon = 1e-6);
}

#[test]
fn a_probability_of_zero_gives_a_finite_loss() {
    let loss = Loss::CrossEntropyFromSoftmax.value(&array![[1.0_f64, 0.0]], Targets::Labels(&[1])).unwrap();
    assert_eq!(loss, -f64::MIN_POSITIVE.ln());
}

#[test]
fn layout_of_the_arguments_does_not_matter() {
    let (y, t) = (matrix::<f64>(3, 4, 1), matrix::<f64>(3, 4, 2));
    for loss in [Loss::MeanSquaredError, Loss::CrossEntropyFromLogits, Loss::CrossEntropyFromSoftmax] {
        let y = if loss == Loss::CrossEntropyFromSoftmax { softmax(&y) } else { y.clone() };
        let mut gradient = Array2::zeros((3, 4));
        let value = loss.gradient_into(&y, Targets::Values(t.view()), &mut gradient).unwrap();
        for layout in LAYOUTS {
            for layout_of_targets in LAYOUTS {
                with_layout(&y, layout, |y| {
                    with_layout(&t, layout_of_targets, |t| {
                        with_layout(&Array2::from_elem((3, 4), f64::NAN), layout_of_targets, |found| {
                            let again = loss.gradient_into(y, Targets::Values(t.view()), found).unwrap();
                            assert_abs_diff_eq!(value, again, epsilon = 1e-14);
                            assert_abs_diff_eq!(*gradient, *found, epsilon = 1e-14);
                        });
                    });
                });
            }
        }
    }
}

#[test]
fn an_empty_batch_has_no_loss() {
    let y = Array2::<f64>::zeros((0, 3));
    let targets = Targets::Values(y.view());
    for loss in [Loss::MeanSquaredError, Loss::CrossEntropyFromLogits, Loss::CrossEntropyFromSoftmax] {
        assert_eq!(loss.gradient_into(&y, targets, &mut y.clone()), Ok(0.0));
    }
    assert_eq!(Loss::CrossEntropyFromLogits.value(&y, Targets::Labels(&[])), Ok(0.0));
    assert_eq!(accuracy(&y, &[]), Ok(0.0));
}

#[test]
fn targets_that_do_not_fit_are_named_and_nothing_is_written() {
    let y = matrix::<f64>(2, 3, 1);
    let mut gradient = Array2::from_elem((2, 3), 7.0);
    let layer = "cross-entropy";
    let cross = Loss::CrossEntropyFromLogits;
    assert_eq!(
        cross.gradient_into(&y, Targets::Labels(&[1]), &mut gradient),
        Err(LayerError::Length { layer, argument: "labels", expected: 2, found: 1 })
    );
    assert_eq!(
        cross.gradient_into(&y, Targets::Labels(&[1, 3]), &mut gradient),
        Err(LayerError::Label { sample: 1, label: 3, classes: 3 })
    );
    assert_eq!(
        cross.gradient_into(&y, Targets::Values(matrix(3, 2, 1).view()), &mut gradient),
        Err(LayerError::Shape { layer, argument: "targets", expected: (2, 3), found: (3, 2) })
    );
    assert!(matches!(
        Loss::MeanSquaredError.gradient_into(&y, Targets::Labels(&[1, 2]), &mut gradient),
        Err(LayerError::InvalidSetting { setting: "targets of the mean squared error", .. })
    ));
    assert_eq!(gradient, Array2::from_elem((2, 3), 7.0));
    assert_eq!(
        cross.gradient_into(&y, Targets::Labels(&[1, 2]), &mut matrix(3, 3, 1)),
        Err(LayerError::Shape { layer, argument: "gradient", expected: (2, 3), found: (3, 3) })
    );
    assert_eq!(
        accuracy(&y, &[0]),
        Err(LayerError::Length { layer: "accuracy", argument: "labels", expected: 2, found: 1 })
    );
    assert_eq!(accuracy(&y, &[5, 0]), Err(LayerError::Label { sample: 0, label: 5, classes: 3 }));
}

#[test]
fn of_equal_values_the_first_counts_and_nan_never_does() {
    let y = array![[1.0, 1.0], [f64::NAN, 0.0], [0.0, f64::NAN]];
    assert_eq!(accuracy(&y, &[0, 0, 0]).unwrap(), 1.0 / 3.0);
    assert_eq!(accuracy(&y, &[1, 1, 1]).unwrap(), 0.0);
}
