//! Convolutions of every kind, and what their models are made of.

use lokr_core::{Kron, Scalar};
use lokr_layers::{
    Activation, Adapter, Conv, Conv2d, ConvGeometry, ConvSizes, DoraAxis, Layer, LoKrAdapter, LoKrSettings, LoKrUpdate,
    Restore, Sequential, Shared,
};
use lokr_onnx::{ExportOptions, OnnxModel};
use lokr_testing::{matrix, vector};
use ndarray::IxDyn;

use crate::cases::{dense, random};

fn conv<T: Scalar, const N: usize>(geometry: &ConvGeometry<N>, out: usize, activation: Activation) -> Conv<T, N> {
    let sizes = ConvSizes::from(geometry);
    let shape = [&[out, sizes.channels / sizes.groups], &*sizes.kernel].concat();
    let weight = vector::<T>(shape.iter().product(), 3).into_shape_with_order(IxDyn(&shape)).unwrap();
    Conv::from_arrays(geometry, weight, vector(out, 4), activation).unwrap()
}

fn image<T: Scalar>(activation: Activation) -> Conv2d<T> {
    conv(&ConvGeometry::new(6, [5, 4], [3, 2]).stride([2, 1]).padding([1, 0]), 10, activation)
}

/// Every network with a name.
pub(crate) fn networks<T: Scalar>() -> Vec<(String, Box<dyn Layer<T>>)> {
    let mut found: Vec<(String, Box<dyn Layer<T>>)> = Vec::new();
    let sound = ConvGeometry::new(4, [17], [3]).stride([2]).padding([2]).dilation([3]);
    let space = ConvGeometry::new(4, [3, 4, 5], [2, 3, 1]).stride([1, 2, 1]).padding([1, 1, 0]);
    let groups = ConvGeometry::new(6, [5, 4], [3, 2]).padding([1, 1]).dilation([1, 2]).groups(3);
    found.push(("1d".into(), Box::new(conv(&sound, 6, Activation::Softmax))));
    found.push(("2d".into(), Box::new(image(Activation::Gelu).without_bias())));
    found.push(("3d".into(), Box::new(conv(&space, 6, Activation::Silu))));
    found.push(("groups".into(), Box::new(conv(&groups, 9, Activation::Relu))));
    found.push(("pixel".into(), Box::new(conv(&ConvGeometry::new(3, [2, 2], [1, 1]), 2, Activation::Tanh))));
    let skip = ConvGeometry::new(3, [5, 4], [1, 1]).stride([2, 2]);
    found.push(("skip".into(), Box::new(conv(&skip, 2, Activation::Tanh))));
    found.push(("1d-adapter".into(), Box::new(random().adapt(conv(&sound, 6, Activation::Tanh)).unwrap())));
    found.push(("3d-adapter".into(), Box::new(random().adapt(conv(&space, 6, Activation::Softmax)).unwrap())));
    let mut kinds: Vec<(&str, LoKrSettings<T>)> = vec![
        ("full", random().full_matrix(true)),
        ("low-rank", random().factor_shapes((2, 2), (5, 3))),
        ("low-rank-both", random().factor_shapes((5, 6), (2, 1)).decompose_both(true)),
        ("a-first", random().factor_shapes((1, 6), (10, 1)).full_matrix(true)),
        ("b-first", random().factor_shapes((10, 1), (1, 6)).full_matrix(true)),
        ("one-by-n", random().factor_shapes((1, 1), (10, 6))),
        ("tucker", random().tucker(true).factor_shapes((2, 2), (5, 3))),
        ("tucker-of-ranks", random().rank(2).tucker(true).factor_shapes((1, 1), (10, 6))),
        ("tucker-sum", random().tucker(true).terms(2).term_weights(true).factor_shapes((2, 2), (5, 3))),
        ("lora", random().rank(2).lora().init(lokr_layers::LoKrInit::Random)),
        ("sum", random().terms(2)),
    ];
    kinds.push(("dora-output", random().dora(DoraAxis::Output)));
    kinds.push(("dora-input", random().dora(DoraAxis::Input)));
    for (name, settings) in kinds {
        found.push((name.into(), Box::new(settings.adapt(image(Activation::Relu)).unwrap())));
    }
    found.push(("groups-adapter".into(), Box::new(random().adapt(conv(&groups, 9, Activation::Tanh)).unwrap())));
    found.push(("cut-kernel".into(), Box::new(cut())));
    let inner = random().seed(4).adapt(image(Activation::Tanh)).unwrap();
    found.push(("stacked".into(), Box::new(random().adapt(inner.clone()).unwrap())));
    let mut named = inner.clone();
    named.add_update("other", random().seed(9).update((10, 36)).unwrap()).unwrap();
    named.add_update("off", random().seed(10).update((10, 36)).unwrap()).unwrap();
    named.set_enabled("off", false).unwrap();
    found.push(("named-updates".into(), Box::new(named)));
    let mut in_place = inner;
    in_place.merge_in_place(Restore::Rounded).unwrap();
    found.push(("merged-in-place".into(), Box::new(in_place)));
    let shared = Shared::new(image(Activation::Tanh)).unwrap();
    found.push(("shared".into(), Box::new(random().adapt(shared).unwrap())));

    let mut network = Sequential::empty();
    network.push_named("body", image(Activation::Silu)).unwrap(); // 10 × (3, 3)
    network.push_named("tail", conv(&ConvGeometry::new(10, [9], [3]).padding([1]), 4, Activation::Relu)).unwrap();
    network.push_named("head", dense(36, 3, Activation::Identity)).unwrap();
    network.adapt(["body", "tail", "head"], random()).unwrap();
    found.push(("network".into(), Box::new(network)));
    found
}

/// An update whose second factor has 3 columns of a kernel of 6 elements.
fn cut<T: Scalar>() -> LoKrAdapter<T, Conv2d<T>> {
    let delta = Kron::new(matrix::<T>(5, 12, 1), matrix::<T>(2, 3, 2)).unwrap();
    let update = LoKrUpdate::from_terms(vec![delta], T::from_f64_lossy(0.2)).unwrap();
    LoKrAdapter::from_update(image(Activation::Relu), update).unwrap()
}

fn operators(layer: &dyn Layer<f32>) -> Vec<String> {
    let model = OnnxModel::new(layer, &ExportOptions::default()).unwrap();
    model.operators().map(str::to_owned).collect()
}

#[test]
fn an_adapter_of_a_convolution_stays_apart_where_its_factor_is_a_kernel() {
    let of = |settings: LoKrSettings<f32>| operators(&settings.adapt(image(Activation::Relu)).unwrap());
    let base = ["Reshape", "Conv", "Reshape"];
    let low_rank = of(random().factor_shapes((2, 2), (5, 3)));
    let kernel = ["Reshape", "Tile", "Conv", "Reshape", "MatMul", "Reshape"];
    let expected = [&kernel[..], &["Mul", "MatMul", "Reshape", "Add", "Relu"]].concat();
    assert_eq!(low_rank, [&base[..], &expected].concat());
    let a_first = of(random().factor_shapes((1, 6), (10, 1)).full_matrix(true));
    let expected = ["Reshape", "Mul", "MatMul", "Reshape", "Conv", "Reshape", "Add", "Relu"];
    assert_eq!(a_first, [&base[..], &expected].concat());

    let merged = ["Reshape", "Conv", "Reshape", "Relu"];
    assert_eq!(of(random().dora(DoraAxis::Output)), merged);
    assert_eq!(operators(&cut()), merged);
    let grouped = conv(&ConvGeometry::new(6, [5, 4], [3, 2]).groups(2), 10, Activation::Relu);
    assert_eq!(operators(&random().adapt(grouped).unwrap()), merged);
}

#[test]
fn values_of_convolutions_have_the_names_that_they_have_in_the_network() {
    let mut network = Sequential::<f32>::empty();
    let tucker = random().tucker(true).factor_shapes((2, 2), (5, 3)).adapt(image(Activation::Relu)).unwrap();
    network.push_named("image", tucker).unwrap();
    let lora = random().lora().adapt(conv(&ConvGeometry::new(10, [9], [3]), 4, Activation::Relu)).unwrap();
    network.push_named("sound", lora).unwrap();
    let model = OnnxModel::new(&network, &ExportOptions::default()).unwrap();
    let names: Vec<&str> =
        model.initializers().filter(|name| !name.contains("shape") && !name.contains("repeats")).collect();
    let mut own = Vec::new();
    network.visit_values(&mut |name, _| own.push(name.to_owned()));
    for name in &own {
        assert!(names.contains(&name.as_str()), "{name} in {names:?}");
    }
    // Beside them what each product is multiplied by.
    assert_eq!(names.len(), own.len() + 2, "{names:?}");
}
