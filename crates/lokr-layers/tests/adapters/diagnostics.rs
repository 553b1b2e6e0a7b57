//! What an adapter says of itself, against the dense matrices.

use lokr_core::{KronError, KronShape};
use lokr_layers::{Activation, DeltaPlacement, Layer, LayerError, LoKrAdapter, LoKrInit, Sequential};
use ndarray::{Array, Array2, Dimension, array};

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
        assert!((found.relative_norm.unwrap() - norm(&dense) / norm(&w)).abs() < 1e-12, "{found:?}");
        assert!((found.stable_rank.unwrap() - (norm(&dense) / spectral).powi(2)).abs() < 1e-7, "{found:?}");
        assert!((found.a_norm * found.b_norm * 0.75 - norm(&dense)).abs() < 1e-12 * norm(&dense), "{found:?}");
        let (least, most) = (found.stable_rank.unwrap(), found.rank_bound as f64);
        assert!(least <= found.effective_rank.unwrap() && found.effective_rank.unwrap() <= most + 1e-9, "{found:?}");
        assert_eq!(found.bytes, found.parameters * 8);

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
    let of = adapter.diagnostics().unwrap();
    let both = of.a_gradient_norm.unwrap().hypot(of.b_gradient_norm.unwrap());
    assert!((both - expected).abs() < 1e-12 * expected, "{of:?}");
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
    assert_eq!(lines[3], "parameters  56 (4.444 % of the weight), 448 bytes");
    assert!(lines[4].starts_with("rank        at most 10, stable "), "{text}");
    assert!(lines[5].starts_with("factors     A "), "{text}");
    assert!(lines[6].contains("% of the weight's"), "{text}");
    assert_eq!(lines[7], "gradients   none");
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

/// Factors whose singular values are known: 3 and 4 of A, 2 and 1 of B.
#[test]
fn ranks_follow_from_the_singular_values_of_the_factors() {
    let base = dense(&matrix::<f64>(4, 4, 1), &vector(4, 2), Activation::Silu);
    let term = lokr_core::Kron::new(array![[3.0, 0.0], [0.0, 4.0]], array![[0.0, 2.0], [1.0, 0.0]]).unwrap();
    let found = LoKrAdapter::from_delta(base.clone(), term.clone(), -0.5).unwrap().diagnostics().unwrap();
    let values = [8.0, 6.0, 4.0, 3.0];
    let (sum, squares) = (values.iter().sum::<f64>(), values.iter().map(|v| v * v).sum::<f64>());
    assert!((found.stable_rank.unwrap() - squares / 64.0).abs() < 1e-12, "{found:?}");
    let entropy: f64 = values.iter().map(|v| -(v / sum) * (v / sum).ln()).sum();
    assert!((found.effective_rank.unwrap() - entropy.exp()).abs() < 1e-12, "{found:?}");

    let update = lokr_layers::LoKrUpdate::from_terms(vec![term.clone(), term], 1.0).unwrap();
    let found = LoKrAdapter::from_update(base.clone(), update).unwrap().diagnostics().unwrap();
    assert_eq!((found.stable_rank, found.effective_rank, found.terms), (None, None, 2));
    let found = LoKrAdapter::new(base, 1, None, true).unwrap().diagnostics().unwrap(); // B is zero
    assert_eq!((found.stable_rank, found.effective_rank), (Some(0.0), Some(0.0)));
}

#[test]
fn a_network_prints_as_a_table() {
    let mut network = Sequential::empty();
    let layer = || dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Silu);
    network.push_named("body.q", adapter(layer(), 2, 3)).unwrap();
    network.push_named("plain", fully_connected(&matrix::<f64>(42, 30, 1), &vector(42, 2), Activation::Relu)).unwrap();
    network.push_named("v", adapter(layer(), 100, 3)).unwrap();
    let found = network.all_diagnostics().unwrap();
    assert_eq!(found.adapters.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["body.q", "v"]);
    assert_eq!(found.adapters[1].1, network.diagnostics("v").unwrap());
    let text = found.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("layer   A"), "{text}");
    assert!(lines[1].starts_with("body.q  5x6  6x7 r2"), "{text}");
    let total = network.adapters().iter().map(|(_, of)| of.updates()[0].1.parameter_count()).sum::<usize>();
    assert_eq!(found.parameters(), total);
    assert!(lines[3].starts_with(&format!("2 adapters, {total} values")), "{text}");
}
