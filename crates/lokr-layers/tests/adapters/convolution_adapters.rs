//! Adapters of convolutions: what they compute is the convolution of the weight with the update in it.

use lokr_layers::{
    Activation, AdaptSettings, Adapter, Conv2d, ConvGeometry, DeltaPlacement, DoraAxis, Layer, LayerError, LinearLayer,
    LoKrAdapter, LoKrInit, LoKrSettings, LoKrUpdate, Restore, Sequential,
};
use ndarray::{Array2, Axis};

use crate::support::convolution::{check_gradients, convolution, definition};
use crate::support::*;

fn settings() -> LoKrSettings<f64> {
    LoKrSettings::new().rank(1).alpha(1.5).init(LoKrInit::Random).seed(3)
}

/// Convolutions of 4 channels with 6 outputs, with one group and with two.
fn conv(groups: usize, activation: Activation) -> Conv2d<f64> {
    let geometry = ConvGeometry::new(4, [4, 3], [2, 2]).stride([1, 2]).padding([1, 0]).groups(groups);
    convolution(&geometry, (6, 4 / groups), [2, 2], activation)
}

/// What the adapter should compute, from the matrix of its whole weight.
fn expected(adapter: &dyn Layer<f64>, x: &Array2<f64>, activation: Activation) -> Array2<f64> {
    let linear = adapter.as_linear().unwrap();
    let (weight, bias) = (linear.effective_weight().unwrap().to_owned(), linear.bias().to_owned());
    let mut y = definition(adapter.patches().unwrap(), &weight.view(), &bias, x);
    activation.apply(&mut y);
    y
}

#[test]
fn factors_split_the_channels_as_lycoris_and_peft_do() {
    // The shapes of the recorded cases `peft_conv2d_3x3_full_w2` and `peft_conv2d_3x3_lowrank`.
    let full = convolution(&ConvGeometry::new(10, [3, 3], [3, 3]), (9, 10), [3, 3], Activation::Identity);
    let adapter = LoKrAdapter::new(full, 8, None, true).unwrap();
    assert_eq!((adapter.matrix_a_dimensions(), adapter.matrix_b_dimensions()), ((3, 2), (3, 5 * 9)));
    let low = convolution(&ConvGeometry::new(12, [3, 3], [3, 3]), (20, 12), [3, 3], Activation::Identity);
    let adapter = LoKrAdapter::new(low, 2, None, true).unwrap();
    assert_eq!((adapter.matrix_a_dimensions(), adapter.matrix_b_dimensions()), ((4, 3), (5, 4 * 9)));
    assert_eq!(adapter.adapter_parameter_count(), 4 * 3 + 5 * 2 + 2 * 36);
    assert_eq!(adapter.update().kernel(), [3, 3]);
}

#[test]
fn a_new_adapter_changes_nothing_and_a_trained_one_is_the_merged_layer() {
    let x = matrix::<f64>(3, 48, 5);
    for groups in [1, 2] {
        for activation in [Activation::Identity, Activation::Gelu, Activation::Softmax] {
            let base = conv(groups, activation);
            let fresh = LoKrAdapter::new(base.clone(), 1, None, true).unwrap();
            let y = base.predict(&x).unwrap();
            assert_close(&fresh.predict(&x).unwrap(), &y, 16, "fresh");
            let mut adapter = settings().adapt(base.clone()).unwrap();
            let wanted = expected(&adapter, &x, activation);
            assert_close(&adapter.predict(&x).unwrap(), &wanted, 16, "predict");
            assert_close(&adapter.forward(&x).unwrap(), &wanted, 16, "forward");
            assert_close(&adapter.merge().unwrap().predict(&x).unwrap(), &wanted, 16, "merged");
            adapter.merge_in_place(Restore::Exact).unwrap();
            assert_close(&adapter.predict(&x).unwrap(), &wanted, 16, "in place");
            adapter.unmerge_in_place().unwrap();
            assert_eq!(adapter.base_layer().weights(), base.weights());
        }
    }
}

/// Every kind of update: what is computed and its gradients, with one group and two, the base frozen and not.
#[test]
fn gradients_of_every_kind_of_update() {
    for groups in [1, 2] {
        let kinds: [(&str, LoKrSettings<f64>); 7] = [
            ("low-rank", settings().decompose_both(true)),
            ("full", settings().full_matrix(true)),
            ("base trains too", settings().freeze_base(false)),
            ("terms with weights and a scalar", settings().terms(2).term_weights(true).learned_scalar(true)),
            ("norms of rows", settings().dora(DoraAxis::Output)),
            ("norms of channels", settings().dora(DoraAxis::Input)),
            ("lora", settings().lora().init(LoKrInit::Random)),
        ];
        for (kind, settings) in kinds {
            let what = format!("{kind}, {groups} groups");
            let mut adapter = settings.adapt(conv(groups, Activation::Tanh)).unwrap();
            // Numbers in front that are not 0.
            let count = adapter.parameter_count();
            let moved = adapter.parameters() + vector::<f64>(count, 9) * 0.1;
            adapter.set_parameters(&moved).unwrap();
            let x = matrix::<f64>(2, 48, 5);
            assert_close(&adapter.predict(&x).unwrap(), &expected(&adapter, &x, Activation::Tanh), 32, &what);
            check_gradients(&mut adapter, 2, &what);
        }
    }
}

#[test]
fn norms_of_an_input_are_over_its_kernel() {
    let adapter = settings().dora(DoraAxis::Input).adapt(conv(1, Activation::Identity)).unwrap();
    let (axis, norms) = adapter.update().dora().unwrap();
    assert_eq!((axis, norms.len()), (DoraAxis::Input, 4));
    let weight = adapter.base_layer().weight().to_owned();
    for (channel, &norm) in norms.iter().enumerate() {
        let columns = weight.select(Axis(1), &[0, 1, 2, 3].map(|k| 4 * channel + k));
        let wanted = columns.iter().map(|w| w * w).sum::<f64>().sqrt();
        assert!((norm - wanted).abs() < 1e-14 * wanted);
    }
}

#[test]
fn dropout_draws_once_for_a_whole_batch() {
    // 227 samples are a block; with dropout there is one block.
    let geometry = ConvGeometry::new(2, [18, 18], [3, 3]);
    let base = convolution(&geometry, (4, 2), [3, 3], Activation::Identity);
    let x = matrix::<f64>(230, 2 * 18 * 18, 1);
    let of_base = base.predict(&x).unwrap();
    let mut mixed = 0;
    for seed in 0..4 {
        let mut adapter = settings().rank_dropout(0.5).seed(seed).adapt(base.clone()).unwrap();
        let of_update = adapter.forward(&x).unwrap() - &of_base;
        let acts = |column: usize| of_update.column(column).iter().any(|y| y.abs() > 1e-9);
        let kept: Vec<_> = (0..4).map(|output| acts(output * 256)).collect();
        for column in 0..4 * 256 {
            assert_eq!(acts(column), kept[column / 256], "an output acts at all places or at none");
        }
        mixed += usize::from(kept.contains(&true) && kept.contains(&false));
        adapter.backward(&matrix(230, 4 * 256, 2)).unwrap();
        assert!(adapter.gradients().unwrap().iter().all(|g| g.is_finite()));
    }
    assert!(mixed > 0);
}

#[test]
fn rows_of_a_batch_use_different_updates() {
    for groups in [1, 2] {
        let x = matrix::<f64>(5, 48, 5);
        let mut network = Sequential::empty();
        network.push_named("conv", conv(groups, Activation::Gelu)).unwrap();
        network.adapt("conv", settings()).unwrap();
        let second = settings().seed(8).update((6, 16 / groups)).unwrap();
        network.adapter_mut("conv").unwrap().add_update("second", second).unwrap();
        let names = [Some("second"), None, Some("default"), None, Some("second")];
        let y = network.predict_mixed(&x, &names).unwrap();
        for (row, name) in names.into_iter().enumerate() {
            network.activate(name.as_slice()).unwrap();
            let alone = network.predict(&x).unwrap();
            let what = format!("{name:?}, {groups} groups");
            assert_close(&y.row(row).to_owned(), &alone.row(row).to_owned(), 48, &what);
        }
    }
}

#[test]
fn a_network_is_adapted_by_name_and_adapters_stack() {
    let x = matrix::<f64>(2, 48, 5);
    let mut network = Sequential::empty();
    network.push_named("body.conv", conv(1, Activation::Relu)).unwrap();
    let report = network.adapt("conv", AdaptSettings::from(settings())).unwrap();
    assert_eq!((report.adapted[0].layer, report.adapted[0].factors), ("Conv2d", ((2, 2), (3, 2 * 4))));
    assert_eq!(network.parameter_count(), report.trainable);
    network.adapt("conv", settings().seed(5)).unwrap(); // around the other
    let y = network.predict(&x).unwrap();
    assert_close(&y, &network.merged().unwrap().predict(&x).unwrap(), 48, "stacked");
    check_gradients(&mut network, 1, "stacked");
    assert_eq!(network.layer("body.conv").unwrap().patches().unwrap().kernel(), [2, 2]);
}

#[test]
fn what_a_convolution_cannot_have_is_refused() {
    let placement = settings().placement(DeltaPlacement::AfterActivation);
    let error = placement.clone().adapt(conv(1, Activation::Relu)).unwrap_err();
    assert!(matches!(error, LayerError::InvalidSetting { setting: "placement", .. }));
    placement.adapt(conv(1, Activation::Identity)).unwrap(); // the same as before it
    let mut adapter = settings().adapt(conv(1, Activation::Relu)).unwrap();
    let before = bits(&adapter);
    assert!(matches!(adapter.compile(4).unwrap_err(), LayerError::NotCompilable { layer: "Conv2d", .. }));
    let of_the_rows: LoKrUpdate<f64> = settings().update((adapter.output_size(), adapter.input_size())).unwrap();
    let error = adapter.add_update("wrong", of_the_rows).unwrap_err();
    assert!(matches!(error, LayerError::Shape { expected: (6, 16), .. }), "{error}");
    let error = adapter.forward(&matrix(2, 16, 1)).unwrap_err(); // a patch is no row
    assert!(matches!(error, LayerError::Shape { argument: "x", expected: (2, 48), .. }));
    assert!(matches!(
        settings().factor_shapes((2, 2), (3, 8)).adapt(conv(1, Activation::Relu)),
        Err(LayerError::FactorShapes { q: 32, weight: (6, 16), .. })
    ));
    assert_eq!(bits(&adapter), before);
    let kernel = adapter.update().clone().for_kernel(&[5]);
    assert!(matches!(kernel, Err(LayerError::InvalidSetting { setting: "elements of the kernel", .. })));
}

/// The adapted convolution learns what it can represent.
#[test]
fn an_adapter_learns_a_kronecker_change_of_a_kernel() {
    let base = convolution(&ConvGeometry::new(4, [6], [3]).padding([1]), (4, 4), [3], Activation::Identity);
    let target = settings().seed(20).full_matrix(true).adapt(base.clone()).unwrap();
    let mut learner = LoKrSettings::new().full_matrix(true).adapt(base).unwrap();
    let x = matrix::<f64>(8, 24, 7);
    let wanted = target.predict(&x).unwrap();
    let loss = |y: &Array2<f64>| (y - &wanted).mapv(|d| d * d).sum();
    let first = loss(&learner.predict(&x).unwrap());
    for _ in 0..400 {
        let y = learner.forward(&x).unwrap();
        learner.clear_gradients();
        learner.backward(&(&y - &wanted)).unwrap();
        learner.update_parameters(0.02).unwrap();
    }
    let last = loss(&learner.predict(&x).unwrap());
    assert!(last < 1e-3 * first, "from {first} to {last}");
}
