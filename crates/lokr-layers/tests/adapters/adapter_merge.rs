//! Merging, both placements of the update, bases without a weight matrix, and the trait that adapters share.

use lokr_core::KronError;
use lokr_layers::{
    Activation, DeltaPlacement, Dense, FullyConnected, GradientAt, Layer, LayerError, LoKrAdapter, LoKrInit,
    LoraAdapter, Sequential,
};
use ndarray::Array2;

use crate::support::*;

#[test]
fn merged_layer_equals_the_adapted_layer_for_every_activation() {
    let (w, bias, x) = (matrix::<f64>(30, 42, 1), vector(30, 2), matrix(7, 42, 3));
    for activation in ACTIVATIONS {
        for rank in [2, 100] {
            let what = format!("{activation:?} rank {rank}");
            let first = adapter(dense(&w, &bias, activation), rank, 4);
            let merged: Dense<f64> = first.merge().unwrap();
            assert_close(&merged.predict(&x).unwrap(), &first.predict(&x).unwrap(), 42, &what);
            assert_eq!(
                (merged.as_linear().unwrap().activation(), merged.as_linear().unwrap().bias()),
                (activation, bias.view())
            );
            assert_close(&merged.as_linear().unwrap().weight(), &(&w + &delta_of(&first)), 1, &what);

            let second = adapter(fully_connected(&w, &bias, activation), rank, 4);
            let merged: FullyConnected<f64> = second.merge().unwrap();
            assert_close(&merged.predict(&x).unwrap(), &second.predict(&x).unwrap(), 42, &what);
            assert_close(&merged.as_linear().unwrap().weight(), &(&w + &delta_of(&second)), 1, &what);

            let boxed: Box<dyn Layer<f64>> = Box::new(dense(&w, &bias, activation));
            let third = adapter(boxed, rank, 4);
            let merged: Box<dyn Layer<f64>> = third.merge().unwrap();
            assert_eq!(merged.predict(&x).unwrap(), first.merge().unwrap().predict(&x).unwrap(), "{what}");
        }
    }
}

#[test]
fn unmerging_gives_the_weight_back_to_rounding() {
    let w = matrix::<f64>(12, 18, 1);
    let adapter = adapter(dense(&w, &vector(12, 2), Activation::Gelu), 3, 4);
    let mut layer = adapter.base_layer().clone();
    adapter.merge_into(&mut layer).unwrap();
    assert_ne!(layer.as_linear().unwrap().weight(), w);
    adapter.unmerge_from(&mut layer).unwrap();
    assert_close(&layer.as_linear().unwrap().weight(), &w, 1, "unmerged");
}

#[test]
fn a_merge_into_a_layer_of_another_shape_fails_and_leaves_it() {
    let adapter = adapter(dense(&matrix::<f64>(12, 18, 1), &vector(12, 2), Activation::Gelu), 3, 4);
    let mut other = dense(&matrix::<f64>(18, 12, 5), &vector(18, 6), Activation::Gelu);
    let before = bits(&other);
    let error = adapter.merge_into(&mut other).unwrap_err();
    assert!(matches!(error, LayerError::Kron(KronError::Shape { expected: (12, 18), found: (18, 12), .. })), "{error}");
    assert_eq!(bits(&other), before);
}

#[test]
fn a_merged_copy_carries_no_gradients() {
    let mut adapter = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Tanh), 2, 4);
    adapter.set_base_frozen(false);
    adapter.forward(&matrix(3, 4, 5)).unwrap();
    adapter.backward(&matrix(3, 6, 6)).unwrap();
    assert!(adapter.base_layer().gradients().is_ok());
    assert!(matches!(adapter.merge().unwrap().gradients(), Err(LayerError::NoGradients { .. })));
}

#[test]
fn after_the_activation_the_literal_formula_holds_and_merging_is_refused() {
    let (w, bias, x) = (matrix::<f64>(12, 18, 1), vector(12, 2), matrix(5, 18, 3));
    for activation in ACTIVATIONS {
        let base = dense(&w, &bias, activation);
        let mut adapter = LoKrAdapter::builder(base.clone())
            .placement(DeltaPlacement::AfterActivation)
            .init(LoKrInit::Random)
            .build()
            .unwrap();
        let expected = base.predict(&x).unwrap() + dense_product(&x, &delta_of(&adapter).reversed_axes());
        assert_close(&adapter.predict(&x).unwrap(), &expected, 18, &format!("{activation:?}"));
        assert_close(&adapter.forward(&x).unwrap(), &expected, 18, &format!("{activation:?}"));
        match activation {
            Activation::Identity => {
                let merged = adapter.merge().unwrap();
                assert_close(&merged.predict(&x).unwrap(), &expected, 18, "merged");
            }
            _ => {
                let name = activation.name();
                assert_eq!(adapter.merge().unwrap_err(), LayerError::MergeThroughActivation { activation: name });
                let mut dx = Array2::zeros((5, 18));
                assert_eq!(
                    adapter.backward_into(&expected, GradientAt::PreActivation, &mut dx).unwrap_err(),
                    LayerError::NoPreActivation { layer: "LoKrAdapter" }
                );
            }
        }
    }
}

#[test]
fn a_layer_without_weights_takes_the_delta_after_it_and_is_not_mergeable() {
    let x = matrix::<f64>(4, 6, 1);
    let mut adapter = adapter(Square::new(6), 2, 3);
    assert_eq!(adapter.placement(), DeltaPlacement::AfterActivation);
    let expected = x.mapv(|v| v * v + 0.25) + dense_product(&x, &delta_of(&adapter).reversed_axes());
    assert_close(&adapter.predict(&x).unwrap(), &expected, 6, "predict");
    assert_close(&adapter.forward(&x).unwrap(), &expected, 6, "forward");
    let error = adapter.merge().unwrap_err();
    assert_eq!(error, LayerError::NotMergeable { layer: "Square" });
    assert!(error.to_string().contains("Square"));

    let error = LoKrAdapter::builder(Square::new(6)).placement(DeltaPlacement::BeforeActivation).build().unwrap_err();
    assert!(matches!(error, LayerError::InvalidSetting { setting: "placement", .. }), "{error}");
}

#[test]
fn the_shared_trait_says_what_the_adapter_says() {
    fn describe<A: LoraAdapter<f64>>(adapter: &mut A) -> (usize, f64, f64, bool, usize, Array2<f64>) {
        adapter.set_base_frozen(false);
        adapter.set_scaling(2.0).unwrap();
        let (alpha, scaling) = (adapter.alpha(), adapter.scaling());
        let (frozen, count) = (adapter.is_base_frozen(), adapter.adapter_parameter_count());
        (adapter.rank(), alpha, scaling, frozen, count, adapter.delta_weight())
    }
    let mut adapter = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Tanh), 1, 3);
    let base = adapter.base_layer().parameters();
    let (rank, alpha, scaling, frozen, count, delta) = describe(&mut adapter);
    // A (2, 2), B (3, 2): rank 1 < 3/2, so B is (3, 1)·(1, 2).
    assert_eq!((rank, alpha, scaling, frozen, count), (1, 1.5, 2.0, false, 4 + 3 + 2));
    assert_close(&delta, &delta_of(&adapter), 1, "delta");
    let merged = LoraAdapter::merge(&adapter).unwrap();
    let mut layer = LoraAdapter::base_layer(&adapter).clone();
    LoraAdapter::merge_into(&adapter, &mut layer).unwrap();
    assert_eq!(bits(&layer), bits(&merged));
    LoraAdapter::unmerge_from(&adapter, &mut layer).unwrap();
    assert_close(&layer.as_linear().unwrap().weight(), &matrix(6, 4, 1), 1, "unmerged");
    assert_eq!(LoraAdapter::into_base(adapter).parameters(), base);
}

#[test]
fn a_network_with_an_adapter_that_cannot_be_merged_says_so() {
    let first = fully_connected(&matrix::<f64>(12, 30, 5), &vector(12, 6), Activation::Tanh);
    let network = Sequential::new(vec![Box::new(first), Box::new(adapter(Square::new(12), 2, 3))]).unwrap();
    assert_eq!(network.merged().err(), Some(LayerError::NotMergeable { layer: "Square" }));
}
