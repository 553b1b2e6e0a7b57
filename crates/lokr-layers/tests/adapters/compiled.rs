//! The compiled adapter against the layer that it was merged into, and against the adapter itself.

use lokr_core::Scalar;
use lokr_layers::{Activation, DeltaPlacement, Layer, LayerError, LoKrAdapter, LoKrInit};
use ndarray::Array2;

use crate::support::*;

fn equals_the_merged_layer<T: Scalar>() {
    let (w, bias) = (matrix::<T>(30, 42, 1), vector::<T>(30, 2));
    for activation in ACTIVATIONS {
        for rank in [2, 100] {
            let boxed: Box<dyn Layer<T>> = Box::new(dense(&w, &bias, activation));
            let adapter = adapter(boxed, rank, 4);
            let (merged, compiled) = (adapter.merge().unwrap(), adapter.compile(4).unwrap());
            assert_eq!((compiled.input_size(), compiled.output_size()), (42, 30));
            for batch in [0, 1, 4, 11] {
                let what = format!("{} {activation:?} rank {rank} batch {batch}", T::NAME);
                let x = matrix::<T>(batch, 42, 5);
                let expected = merged.predict(&x).unwrap();
                assert_close(&compiled.forward(&x).unwrap(), &expected, 42, &what);
                for layout in LAYOUTS {
                    with_layout(&x, layout, |x| {
                        with_layout(&Array2::from_elem((batch, 30), T::nan()), Layout::ColumnMajor, |found| {
                            compiled.forward_into(x, found).unwrap();
                            assert_close(found, &expected, 42, &format!("{what} {layout:?}"));
                        });
                    });
                }
            }
        }
    }
}

#[test]
fn a_compiled_adapter_equals_the_merged_layer() {
    equals_the_merged_layer::<f32>();
    equals_the_merged_layer::<f64>();
}

#[test]
fn a_delta_after_the_activation_stays_after_it() {
    let (w, bias, x) = (matrix::<f64>(12, 18, 1), vector(12, 2), matrix(5, 18, 3));
    for activation in ACTIVATIONS {
        let base = fully_connected(&w, &bias, activation);
        let adapter = LoKrAdapter::builder(base.clone())
            .placement(DeltaPlacement::AfterActivation)
            .init(LoKrInit::Random)
            .build()
            .unwrap();
        let expected = base.predict(&x).unwrap() + dense_product(&x, &delta_of(&adapter).reversed_axes());
        let found = adapter.compile(3).unwrap().forward(&x).unwrap();
        assert_close(&found, &expected, 18, activation.name());
    }
}

#[test]
fn it_is_a_copy_that_later_training_does_not_reach() {
    let mut adapter = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Tanh), 2, 3);
    let x = matrix(3, 4, 5);
    let compiled = adapter.compile(3).unwrap();
    let before = compiled.forward(&x).unwrap();
    adapter.set_parameters(&ndarray::Array1::zeros(adapter.parameter_count())).unwrap();
    assert_eq!(compiled.forward(&x).unwrap(), before);
}

#[test]
fn what_cannot_be_compiled_or_applied_is_named() {
    let error = adapter(Square::new(6), 2, 3).compile(8).unwrap_err();
    assert!(matches!(&error, LayerError::NotCompilable { name, layer: "Square", .. } if name == "base"), "{error}");
    let adapter = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Tanh), 2, 3);
    assert!(matches!(adapter.compile(0), Err(LayerError::InvalidSetting { setting: "max_batch", .. })));
    let compiled = adapter.compile(8).unwrap();
    let mut y = Array2::from_elem((3, 6), 7.0);
    let error = compiled.forward_into(&matrix(3, 5, 1), &mut y).unwrap_err();
    assert_eq!(error, LayerError::Shape { layer: "LoKrAdapter", argument: "x", expected: (3, 4), found: (3, 5) });
    let error = compiled.forward_into(&matrix(2, 4, 1), &mut y).unwrap_err();
    assert_eq!(error, LayerError::Shape { layer: "LoKrAdapter", argument: "y", expected: (2, 6), found: (3, 6) });
    assert!(y.iter().all(|&v| v == 7.0));
}
