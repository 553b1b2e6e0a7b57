//! What an adapter says of itself, against the dense matrices.

use lokr_core::{KronError, KronShape};
use lokr_layers::{Activation, DeltaPlacement, Layer, LayerError, LoKrAdapter, LoKrInit};
use ndarray::{Array, Array2, Dimension};

use crate::support::*;

fn norm<D: Dimension>(values: &Array<f64, D>) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The largest singular value, by many steps of the power method on `MᵀM`.
fn largest_singular_value(matrix: &Array2<f64>) -> f64 {
    let mut vector = Array2::from_shape_fn((matrix.ncols(), 1), |(i, _)| 1.0 + i as f64 / 7.0);
    for _ in 0..2000 {
        vector = dense_product(&matrix.t(), &dense_product(matrix, &vector));
        vector /= norm(&vector);
    }
    norm(&dense_product(matrix, &vector))
}

#[test]
fn norms_are_those_of_the_dense_update_and_weight() {
    let w = matrix::<f64>(30, 42, 1);
    for (rank, both) in [(2, false), (2, true), (100, false)] {
        let base = fully_connected(&w, &vector(30, 2), Activation::Tanh);
        let builder = LoKrAdapter::builder(base).rank(rank).alpha(3.0).decompose_both(both);
        let mut adapter = builder.init(LoKrInit::Random).build().unwrap();
        adapter.set_scaling(-0.75).unwrap();
        let (found, dense) = (adapter.diagnostics().unwrap(), delta_of(&adapter));
        assert!((found.frobenius_norm - norm(&dense)).abs() < 1e-12 * norm(&dense), "{found:?}");
        let spectral = largest_singular_value(&dense);
        assert!((found.spectral_norm - spectral).abs() < 1e-9 * spectral, "{found:?}, {spectral}");
        assert!((found.weight_norm.unwrap() - norm(&w)).abs() < 1e-12 * norm(&w), "{found:?}");

        // 30 = 5·6, 42 = 6·7.
        assert_eq!(found.shape, KronShape::new(5, 6, 6, 7).unwrap());
        assert_eq!((found.a_rank, found.b_rank), (both.then_some(2), (rank == 2).then_some(2)));
        assert_eq!(
            found.rank_bound,
            if both {
                2 * 2
            } else if rank == 2 {
                5 * 2
            } else {
                5 * 6
            }
        );
        assert_eq!((found.rank, found.alpha, found.scaling), (rank, 3.0, -0.75));
        assert_eq!(found.parameters, adapter.adapter_parameter_count());
        assert_eq!(found.share, found.parameters as f64 / (30.0 * 42.0));
        assert_eq!((found.base, found.activation, found.base_frozen), ("FullyConnected", Some(Activation::Tanh), true));
        assert_eq!(found.placement, DeltaPlacement::BeforeActivation);
    }
}

#[test]
fn the_gradient_norm_is_that_of_the_flat_vector() {
    let mut adapter = adapter(dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Silu), 2, 3);
    assert_eq!(adapter.diagnostics().unwrap().gradient_norm, None);
    adapter.forward(&matrix(4, 42, 4)).unwrap();
    adapter.backward(&matrix(4, 30, 5)).unwrap();
    let expected = norm(&adapter.gradients().unwrap());
    let found = adapter.diagnostics().unwrap().gradient_norm.unwrap();
    assert!((found - expected).abs() < 1e-12 * expected, "{found} {expected}");
    adapter.clear_gradients();
    assert_eq!(adapter.diagnostics().unwrap().gradient_norm, None);
}

#[test]
fn a_base_without_weights_has_no_norm() {
    let found = adapter(Square::new(6), 2, 3).diagnostics().unwrap();
    assert_eq!((found.base, found.activation, found.weight_norm), ("Square", None, None));
    assert_eq!(found.placement, DeltaPlacement::AfterActivation);
}

#[test]
fn it_prints_as_lines_that_can_be_read() {
    let adapter = adapter(dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Silu), 2, 3);
    let text = adapter.diagnostics().unwrap().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "base        Dense, 42 -> 30, silu, frozen");
    assert_eq!(lines[1], "update      A 5 x 6 (full), B 6 x 7 (rank 2), before the activation");
    assert_eq!(lines[2], "scaling     0.75 (alpha 1.5, rank 2)");
    assert_eq!(lines[3], "parameters  56 (4.444 % of the weight)");
    assert_eq!(lines[4], "rank        at most 10");
    assert!(lines[5].contains("% of the weight's"), "{text}");
    assert_eq!(lines[6], "gradients   none");
}

/// Parameters cannot be set to NaN, but a step that is too long can make them so.
#[test]
fn factors_spoilt_by_training_are_an_error() {
    let mut adapter = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Identity), 2, 3);
    adapter.forward(&matrix(3, 4, 4)).unwrap();
    adapter.backward(&(matrix(3, 6, 5) * 1e10)).unwrap();
    adapter.update_parameters(f64::MAX).unwrap();
    let error = adapter.diagnostics().unwrap_err();
    assert!(matches!(error, LayerError::Kron(KronError::NonFinite { .. })), "{error}");
}
