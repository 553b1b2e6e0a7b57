//! Weight decomposition against the definition: `W' = b·W + gains∘V` with the norms of dense matrices.

use lokr_core::Scalar;
use lokr_layers::{
    Activation, Adapter, DeltaPlacement, Dense, DoraAxis, DoraStrength, Layer, LayerError, LoKrAdapter, LoKrInit,
    LoKrSettings, LoKrUpdate, Merges, named_parameters,
};
use ndarray::{Array1, Array2, Axis};

use crate::support::*;

const AXES: [DoraAxis; 2] = [DoraAxis::Output, DoraAxis::Input];

/// The decomposed weight from its definition.
fn decomposed(w: &Array2<f64>, delta: &Array2<f64>, scale: &Array1<f64>, axis: DoraAxis) -> Array2<f64> {
    let v = w + delta;
    let lanes = if axis == DoraAxis::Output { Axis(1) } else { Axis(0) };
    let norms = v.map_axis(lanes, |lane| lane.iter().map(|x| x * x).sum::<f64>().sqrt());
    let gains = (scale / &(norms + f64::EPSILON)).insert_axis(lanes);
    v * gains
}

fn settings(axis: DoraAxis) -> LoKrSettings<f64> {
    LoKrSettings::new().rank(2).alpha(1.5).init(LoKrInit::Random).dora(axis)
}

fn scale_of(adapter: &dyn Adapter<f64>) -> Array1<f64> {
    adapter.named_update("default").unwrap().dora().unwrap().1.to_owned()
}

#[test]
fn the_start_has_the_norms_of_the_weight_and_changes_nothing() {
    let w = matrix::<f64>(30, 42, 1);
    for axis in AXES {
        let base = dense(&w, &vector(30, 2), Activation::Tanh);
        let adapter = settings(axis).init(LoKrInit::Lycoris).adapt(base.clone()).unwrap();
        let x = matrix(4, 42, 3);
        assert_close(&adapter.predict(&x).unwrap(), &base.predict(&x).unwrap(), 42, "start");
        let shape = named_parameters(&adapter).unwrap()["dora_scale"].shape().to_vec();
        assert_eq!(shape, if axis == DoraAxis::Output { [30, 1] } else { [1, 42] });
        let norm = w.row(0).iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!(axis == DoraAxis::Input || (scale_of(&adapter)[0] - norm).abs() < 1e-14 * norm);
    }
}

#[test]
fn adapted_merged_and_compiled_are_the_definition() {
    let (w, bias, x) = (matrix::<f64>(30, 42, 1), vector(30, 2), matrix(5, 42, 3));
    for axis in AXES {
        for activation in ACTIVATIONS {
            let mut first = settings(axis).adapt(dense(&w, &bias, activation)).unwrap();
            let mut second = settings(axis).adapt(fully_connected(&w, &bias, activation)).unwrap();
            let count = first.parameter_count();
            for adapter in [&mut first as &mut dyn Layer<f64>, &mut second] {
                adapter.set_parameters(&(vector::<f64>(count, 7) + 1.5)).unwrap();
            }
            let weight = decomposed(&w, &delta_of(&first), &scale_of(&first), axis);
            let expected = dense(&weight, &bias, activation).predict(&x).unwrap();
            let what = format!("{axis:?} {activation:?}");
            assert_close(&first.predict(&x).unwrap(), &expected, 42, &what);
            assert_close(&first.forward(&x).unwrap(), &expected, 42, &what);
            assert_close(&second.predict(&x).unwrap(), &expected, 42, &what);
            assert_close(&second.forward(&x).unwrap(), &expected, 42, &what);
            assert_close(&first.compile(3).unwrap().forward(&x).unwrap(), &expected, 42, &what);
            let (merged, merged_second) = (first.merge().unwrap(), second.merged().unwrap());
            assert_close(&merged.as_linear().unwrap().weight(), &weight, 42, &what);
            assert_close(&merged_second.as_linear().unwrap().weight(), &weight, 42, &what);

            let mut layer = merged;
            first.unmerge_from(&mut layer).unwrap();
            assert_close(&layer.as_linear().unwrap().weight(), &w, 42, &what);
            assert_eq!(first.unmerge_from(&mut layer).unwrap_err(), LayerError::NotMerged { layer: "Dense" });
        }
    }
}

#[test]
fn a_multiplier_leads_from_the_base_or_by_lycoriss_formula() {
    let (w, bias, x) = (matrix::<f64>(30, 42, 1), vector(30, 2), matrix(5, 42, 3));
    for axis in AXES {
        for strength in [DoraStrength::FromBase, DoraStrength::Lycoris] {
            let base = dense(&w, &bias, Activation::Identity);
            let mut adapter = settings(axis).dora_strength(strength).adapt(base).unwrap();
            let (delta, scale) = (delta_of(&adapter), &scale_of(&adapter) * 1.5);
            let (count, own) = (adapter.parameter_count(), adapter.parameter_count() - scale.len());
            let mut values = adapter.parameters();
            (0..count - own).for_each(|k| values[own + k] = scale[k]);
            adapter.set_parameters(&values).unwrap();
            let whole = decomposed(&w, &delta, &scale, axis);
            for mu in [0.0, 0.3, 1.0, -0.5] {
                adapter.set_multiplier(mu).unwrap();
                let weight = match strength {
                    DoraStrength::FromBase => &w + (&whole - &w) * mu,
                    DoraStrength::Lycoris => (&w + &delta) * (1.0 - mu) + &whole * mu,
                };
                let expected = dense(&weight, &bias, Activation::Identity).predict(&x).unwrap();
                let what = format!("{axis:?} {strength:?} {mu}");
                assert_close(&adapter.predict(&x).unwrap(), &expected, 42, &what);
                assert_close(&adapter.forward(&x).unwrap(), &expected, 42, &what);
                assert_close(&adapter.merge().unwrap().predict(&x).unwrap(), &expected, 42, &what);
            }
        }
    }
}

/// Norms whose squares no number of the type holds, of weights, updates and both.
fn at_every_scale<T: Scalar>(large: f64) {
    let number = T::from_f64_lossy;
    let (w, bias, x) = (matrix::<T>(12, 18, 1), Array1::<T>::zeros(12), matrix::<T>(3, 18, 3));
    for axis in AXES {
        let adapted = |unit: T| {
            let base = fully_connected(&(&w * unit), &bias, Activation::Identity);
            let settings = LoKrSettings::new().rank(2).alpha(number(1.5)).init(LoKrInit::Random).dora(axis);
            let mut adapter = settings.adapt(base).unwrap();
            adapter.set_scaling(adapter.scaling() * unit).unwrap();
            adapter.predict(&x).unwrap() / unit
        };
        let plain = adapted(T::one());
        for unit in [number(large), number(1.0 / large)] {
            // Beside so small a norm machine epsilon is everything, as in LyCORIS.
            if unit > T::one() {
                assert_close(&adapted(unit), &plain, 18, &format!("{axis:?} {unit}"));
            } else {
                assert!(adapted(unit).iter().all(|y| y.is_finite()));
            }
        }
    }
}

#[test]
fn norms_are_right_at_every_scale() {
    at_every_scale::<f32>(1e30);
    at_every_scale::<f64>(1e200);
}

#[test]
fn a_row_of_zeros_has_no_direction_and_no_gradient() {
    let mut w = matrix::<f64>(6, 4, 1);
    w.row_mut(2).fill(0.0);
    let base = dense(&w, &vector(6, 2), Activation::Identity);
    let mut adapter = settings(DoraAxis::Output).init(LoKrInit::Lycoris).adapt(base).unwrap();
    adapter.forward(&matrix(3, 4, 3)).unwrap();
    adapter.backward(&matrix(3, 6, 4)).unwrap();
    assert!(adapter.gradients().unwrap().iter().all(|g| g.is_finite()));
}

#[test]
fn decomposed_adapters_stack_in_their_order() {
    let (w, bias, x) = (matrix::<f64>(12, 18, 1), vector(12, 2), matrix(3, 18, 3));
    for axis in AXES {
        // A plain update around a decomposed weight, and the other way round.
        let inner = settings(axis).adapt(fully_connected(&w, &bias, Activation::Gelu)).unwrap();
        let of_inner = decomposed(&w, &delta_of(&inner), &scale_of(&inner), axis);
        let mut outer = adapter(inner, 2, 6);
        let expected = fully_connected(&(of_inner + delta_of(&outer)), &bias, Activation::Gelu).predict(&x).unwrap();
        assert_close(&outer.predict(&x).unwrap(), &expected, 18, "around");
        assert_close(&outer.forward(&x).unwrap(), &expected, 18, "around");
        assert_close(&outer.compile(2).unwrap().forward(&x).unwrap(), &expected, 18, "around");
        assert_close(&outer.merged().unwrap().predict(&x).unwrap(), &expected, 18, "around");
        // The stored weight is below the norms: what is added there would be scaled.
        assert_eq!(outer.merge().unwrap_err(), LayerError::NotMergeable { layer: "LoKrAdapter" });

        let inner = adapter(fully_connected(&w, &bias, Activation::Gelu), 2, 6);
        let inner_weight = &w + &delta_of(&inner);
        let outer = settings(axis).adapt(inner).unwrap();
        let weight = decomposed(&inner_weight, &delta_of(&outer), &scale_of(&outer), axis);
        let expected = fully_connected(&weight, &bias, Activation::Gelu).predict(&x).unwrap();
        assert_close(&outer.predict(&x).unwrap(), &expected, 18, "inside");
        assert_close(&outer.merged().unwrap().predict(&x).unwrap(), &expected, 18, "inside");
        assert_eq!(outer.merge().unwrap_err(), LayerError::NotMergeable { layer: "LoKrAdapter" });
    }
}

#[test]
fn the_base_of_a_decomposed_weight_stays_frozen() {
    let base = dense(&matrix::<f64>(12, 18, 1), &vector(12, 2), Activation::Gelu);
    let error = settings(DoraAxis::Output).freeze_base(false).adapt(base.clone()).unwrap_err();
    assert!(matches!(error, LayerError::InvalidSetting { setting: "freeze_base", .. }), "{error}");
    let mut adapter = settings(DoraAxis::Output).adapt(base).unwrap();
    let count = adapter.parameter_count();
    adapter.set_base_frozen(false);
    assert!(adapter.is_base_frozen());
    assert_eq!(adapter.parameter_count(), count);
}

#[test]
fn what_does_not_go_with_norms_is_refused() {
    let base = || dense(&matrix::<f64>(12, 18, 1), &vector(12, 2), Activation::Gelu);
    let output = DoraAxis::Output;
    for settings in [
        settings(output).learned_scalar(true),
        settings(output).term_weights(true),
        settings(output).input_dropout(0.1),
        settings(output).rank_dropout(0.1),
        settings(output).placement(DeltaPlacement::AfterActivation),
    ] {
        assert!(matches!(settings.adapt(base()), Err(LayerError::InvalidSetting { .. })));
    }
    assert!(matches!(settings(output).adapt(Square::new(6)), Err(LayerError::InvalidSetting { .. })));
    assert!(matches!(settings(output).update((12, 18)), Err(LayerError::InvalidSetting { .. })));

    let update = || LoKrSettings::new().update((12, 18)).unwrap();
    let with = |length: usize, value: f64| {
        update().with_dora(output, &Array1::from_elem(length, value), DoraStrength::FromBase).map(|_| ())
    };
    assert!(matches!(with(18, 1.0), Err(LayerError::Length { argument: "dora_scale", expected: 12, found: 18, .. })));
    assert!(matches!(with(12, f64::NAN), Err(LayerError::NonFinite { argument: "dora_scale", count: 12, .. })));
    let decomposing: LoKrUpdate<f64> = update().with_dora(output, &Array1::ones(12), DoraStrength::FromBase).unwrap();
    let mut adapter = LoKrAdapter::new(base(), 2, None, true).unwrap();
    assert!(matches!(adapter.add_update("second", decomposing.clone()), Err(LayerError::InvalidSetting { .. })));
    let old = adapter.replace_update("default", decomposing).unwrap();
    assert!(matches!(adapter.add_update("second", old), Err(LayerError::InvalidSetting { .. })));
    let mut square = LoKrAdapter::new(Square::new(12), 2, None, true).unwrap();
    let decomposing = LoKrSettings::new().update((12, 12)).unwrap();
    let decomposing = decomposing.with_dora(output, &Array1::ones(12), DoraStrength::FromBase).unwrap();
    assert!(matches!(square.replace_update("default", decomposing), Err(LayerError::NotMergeable { layer: "Square" })));
}

#[test]
fn the_gains_are_made_anew_after_every_change() {
    let (w, x) = (matrix::<f64>(12, 18, 1), matrix(3, 18, 3));
    let mut adapter = settings(DoraAxis::Input).adapt(dense(&w, &vector(12, 2), Activation::Identity)).unwrap();
    let expected = |adapter: &LoKrAdapter<f64, Dense<f64>>, w: &Array2<f64>| {
        let weight = decomposed(w, &delta_of(adapter), &scale_of(adapter), DoraAxis::Input);
        dense(&weight, &vector(12, 2), Activation::Identity).predict(&x).unwrap()
    };
    assert_close(&adapter.predict(&x).unwrap(), &expected(&adapter, &w), 18, "at first");
    adapter.set_matrix_b(matrix(4, 6, 9)).unwrap();
    assert_close(&adapter.predict(&x).unwrap(), &expected(&adapter, &w), 18, "another factor");
    adapter.set_scaling(0.3).unwrap();
    assert_close(&adapter.predict(&x).unwrap(), &expected(&adapter, &w), 18, "another scaling");
    adapter.forward(&x).unwrap();
    adapter.backward(&matrix(3, 12, 4)).unwrap();
    adapter.update_parameters(0.1).unwrap();
    assert_close(&adapter.predict(&x).unwrap(), &expected(&adapter, &w), 18, "a step");
    let other = matrix::<f64>(12, 18, 8);
    adapter.as_linear_mut().unwrap().weight_mut().assign(&other);
    assert_close(&adapter.predict(&x).unwrap(), &expected(&adapter, &other), 18, "another weight");
    adapter.set_enabled("default", false).unwrap();
    let plain = dense(&other, &vector(12, 2), Activation::Identity).predict(&x).unwrap();
    assert_close(&adapter.predict(&x).unwrap(), &plain, 18, "off");
    assert!(adapter.as_linear_mut().unwrap().merges().is_some_and(|merges| *merges == Merges::default()));
}
