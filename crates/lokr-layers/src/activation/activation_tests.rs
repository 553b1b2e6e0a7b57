use approx::assert_abs_diff_eq;
use lokr_core::Scalar;
use lokr_testing::{LAYOUTS, central_difference, matrix, with_layout};
use ndarray::{Array2, array, s};

use super::{Activation, ActivationState};
use crate::error::LayerError;
use crate::test_support::ACTIVATIONS;

fn applied<T: Scalar>(activation: Activation, z: &Array2<T>) -> Array2<T> {
    let mut y = z.clone();
    activation.apply(&mut y);
    y
}

/// Values of the closed forms to 16 digits, computed with 50 digits of precision.
fn known_values<T: Scalar>(tolerance: f64) {
    for (activation, at, expected) in [
        (Activation::Relu, 1.5, 1.5),
        (Activation::Relu, -1.5, 0.0),
        (Activation::LeakyRelu { slope: 0.25 }, -1.5, -0.375),
        (Activation::Gelu, 1.0, 0.841_344_746_068_542_9),
        (Activation::Gelu, -0.5, -0.154_268_769_362_993_45),
        (Activation::Silu, 1.0, 0.731_058_578_630_004_9),
        (Activation::Silu, -2.0, -0.238_405_844_044_235_1),
        (Activation::Tanh, 0.5, 0.462_117_157_260_009_8),
        (Activation::Sigmoid, 2.0, 0.880_797_077_977_882_4),
    ] {
        let y = applied::<T>(activation, &array![[T::from_f64_lossy(at)]])[[0, 0]].to_f64_exact();
        assert!((y - expected).abs() < tolerance, "{activation}({at}) = {y}, expected {expected}");
    }
    // e⁰ : e¹ : e² over their sum.
    let y = applied::<T>(Activation::Softmax, &array![[T::zero(), T::one(), T::one() + T::one()]]);
    for (y, expected) in y.iter().zip([0.090_030_573_170_380_46, 0.244_728_471_054_797_64, 0.665_240_955_774_821_9]) {
        assert!((y.to_f64_exact() - expected).abs() < tolerance);
    }
}

#[test]
fn values_are_those_of_the_closed_forms() {
    known_values::<f32>(3e-7);
    known_values::<f64>(1e-15);
}

#[test]
fn gelu_keeps_its_relative_accuracy_in_the_tail() {
    // −10·Φ(−10), Φ(−10) = 7.619853024160526e-24; `1 + erf` would give 0.
    let y: f64 = applied(Activation::Gelu, &array![[-10.0]])[[0, 0]];
    assert!((y / -7.619_853_024_160_526e-23 - 1.0).abs() < 1e-12, "{y:e}");
}

#[test]
fn softmax_of_large_values_is_finite_and_sums_to_one() {
    let y = applied(Activation::Softmax, &array![[1000.0_f32, 999.0, -1000.0], [-1e30, -1e30, -1e30]]);
    let e = (-1.0_f32).exp();
    assert_abs_diff_eq!(
        y,
        array![[1.0 / (1.0 + e), e / (1.0 + e), 0.0], [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]],
        epsilon = 1e-6
    );
}

#[test]
fn sigmoid_and_silu_do_not_overflow() {
    assert_eq!(applied(Activation::Sigmoid, &array![[-1e4, 1e4]]), array![[0.0, 1.0]]);
    assert_eq!(applied(Activation::Silu, &array![[-1e4, 1e4]]), array![[0.0, 1e4]]);
}

#[test]
fn nan_stays_nan() {
    for activation in ACTIVATIONS {
        assert!(applied(activation, &array![[f64::NAN, 1.0]])[[0, 0]].is_nan(), "{activation}");
    }
}

#[test]
fn every_derivative_agrees_with_central_differences() {
    // Irrational numbers: none is at the kink of relu.
    let z = matrix::<f64>(3, 5, 4) * 3.0;
    let dy = matrix::<f64>(3, 5, 8);
    for activation in ACTIVATIONS {
        let mut state = ActivationState::new();
        state.forward(activation, &mut z.clone()).unwrap();
        let mut dz = Array2::from_elem(z.dim(), f64::NAN);
        state.backward_into(activation, &dy, &mut dz);
        for ((i, j), &found) in dz.indexed_iter() {
            let difference = central_difference(|delta| {
                let mut moved = z.clone();
                moved[[i, j]] += delta;
                (applied(activation, &moved) * &dy).sum()
            });
            assert!((found - difference).abs() < 1e-8, "{activation} ({i}, {j}): {found} against {difference}");
        }
    }
}

#[test]
fn leaky_relu_has_the_right_derivative_for_negative_slopes_too() {
    let activation = Activation::LeakyRelu { slope: -0.5 };
    let (mut y, mut dz) = (array![[-2.0, 3.0]], Array2::zeros((1, 2)));
    let mut state = ActivationState::new();
    state.forward(activation, &mut y).unwrap();
    assert_eq!(y, array![[1.0, 3.0]]);
    state.backward_into(activation, &array![[1.0, 1.0]], &mut dz);
    assert_eq!(dz, array![[-0.5, 1.0]]);
}

#[test]
fn layout_and_size_do_not_change_the_result() {
    // 300 × 130 is above the length that is shared out to threads, 3 rows of it are not.
    let z = matrix::<f32>(300, 130, 2);
    let dy = matrix::<f32>(300, 130, 3);
    for activation in ACTIVATIONS {
        let whole = applied(activation, &z);
        let (mut state, mut dz) = (ActivationState::new(), Array2::zeros(z.dim()));
        state.forward(activation, &mut z.clone()).unwrap();
        state.backward_into(activation, &dy, &mut dz);
        // Size alone changes no bit; another layout may, by the order of a softmax's sums.
        assert_eq!(applied(activation, &z.slice(s![..3, ..]).to_owned()), whole.slice(s![..3, ..]), "{activation}");
        for layout in LAYOUTS {
            with_layout(&z, layout, |z| {
                activation.apply(z);
                assert_abs_diff_eq!(*z, *whole, epsilon = 1e-6);
            });
            let (few, few_dy) = (z.slice(s![..3, ..]), dy.slice(s![..3, ..]));
            let mut state = ActivationState::new();
            with_layout(&few, layout, |few| {
                state.forward(activation, few).unwrap();
                assert_abs_diff_eq!(*few, *whole.slice(s![..3, ..]), epsilon = 1e-6);
            });
            with_layout(&Array2::from_elem(few.dim(), f32::NAN), layout, |few_dz| {
                state.backward_into(activation, &few_dy, few_dz);
                assert_abs_diff_eq!(*few_dz, *dz.slice(s![..3, ..]), epsilon = 1e-6);
            });
        }
    }
}

#[test]
fn an_empty_batch_passes() {
    for activation in ACTIVATIONS {
        let mut state = ActivationState::<f64>::new();
        state.forward(activation, &mut Array2::zeros((0, 4))).unwrap();
        state.backward_into(activation, &Array2::zeros((0, 4)), &mut Array2::zeros((0, 4)));
        activation.apply(&mut Array2::<f32>::zeros((3, 0)));
    }
}

#[test]
fn a_slope_that_is_not_finite_is_refused() {
    for slope in [f64::NAN, f64::INFINITY] {
        let error = Activation::LeakyRelu { slope }.check::<f64>().unwrap_err();
        assert!(matches!(error, LayerError::InvalidSetting { setting: "slope of leaky relu", .. }), "{error}");
    }
    // Finite as an f64, infinite as an f32.
    assert!(Activation::LeakyRelu { slope: 1e300 }.check::<f64>().is_ok());
    assert!(Activation::LeakyRelu { slope: 1e300 }.check::<f32>().is_err());
}
