//! Networks with convolutions: described and made again, and compiled, against themselves.

use lokr_core::Scalar;
use lokr_layers::{
    Activation, AdaptSettings, Conv, Conv2d, ConvGeometry, ConvSizes, DoraAxis, Form, Layer, LayerError, LayerSpec,
    LoKrInit, LoKrSettings, LoKrUpdate, Patches, Sequential, TermForm, UpdateSpec, supports_compilation,
};
use ndarray::{Array2, IxDyn};

use crate::support::*;
use crate::whole_network::{compiled, made_again};

fn random<T: Scalar>() -> LoKrSettings<T> {
    LoKrSettings::new().rank(1).alpha(T::from_f64_lossy(0.3)).init(LoKrInit::Random)
}

fn conv<T: Scalar, const N: usize>(geometry: &ConvGeometry<N>, out: usize, activation: Activation) -> Conv<T, N> {
    let sizes = ConvSizes::from(geometry);
    let shape = [&[out, sizes.channels / sizes.groups], &*sizes.kernel].concat();
    let weight = vector::<T>(shape.iter().product(), 1).into_shape_with_order(IxDyn(&shape)).unwrap();
    Conv::from_arrays(geometry, weight, vector(out, 2), activation).unwrap()
}

/// Convolutions of three, two and one axes: a sum in Tucker form, norms with groups, LoRA on a shared base.
pub(crate) fn network<T: Scalar>() -> Sequential<T> {
    let mut network = Sequential::empty();
    let space = ConvGeometry::new(2, [2, 3, 4], [1, 2, 3]).padding([0, 1, 1]); // 3 × (2, 4, 4)
    network.push_named("space", conv(&space, 3, Activation::Silu)).unwrap();
    let image = ConvGeometry::new(6, [4, 4], [3, 3]).stride([2, 1]).padding([1, 1]).groups(2); // 4 × (2, 4)
    network.push_named("image", conv(&image, 4, Activation::Gelu).without_bias()).unwrap();
    let sound = ConvGeometry::new(4, [8], [3]).dilation([2]); // 6 × 4
    network.push_named("sound", conv(&sound, 6, Activation::Softmax)).unwrap();
    network.push_named("head", dense(&matrix::<T>(3, 24, 7), &vector(3, 8), Activation::Identity)).unwrap();
    network.share("sound").unwrap();
    let settings = |settings| AdaptSettings::from(settings).freeze_rest(false);
    let sum = random().terms(2).term_weights(true).tucker(true).freeze_base(false).seed(5);
    network.adapt("space", settings(sum)).unwrap();
    network.adapt("image", settings(random().dora(DoraAxis::Input).module_dropout(0.25))).unwrap();
    network.adapt("sound", settings(random().lora().rank(2).init(LoKrInit::Random).rank_dropout(0.1))).unwrap();
    network.adapter_mut("sound").unwrap().add_update("other", random().seed(9).update((6, 12)).unwrap()).unwrap();
    network.adapter_mut("sound").unwrap().set_enabled("other", false).unwrap();
    network.visit_mut(&mut |_, mut values, _| values += T::from_f64_lossy(0.0625)); // in place of training
    network.freeze("head").unwrap();
    network
}

pub(crate) fn rows<T: Scalar>(count: usize) -> Array2<T> {
    matrix(count, 48, 21)
}

#[test]
fn a_described_network_is_made_again_with_all_it_has() {
    made_again::<f32>(network(), &rows(3));
    made_again::<f64>(network(), &rows(3));
    let spec = LayerSpec::of(&network::<f32>()).unwrap();
    let LayerSpec::Sequential { layers } = &spec else { panic!("{spec:?}") };
    let names: Vec<_> = layers.iter().map(|(name, layer)| (name.as_str(), layer.type_name())).collect();
    let adapted = ["space", "image", "sound"].map(|name| (name, "LoKrAdapter"));
    assert_eq!(names, [&adapted[..], &[("head", "Dense")]].concat());
    let updates = |index: usize| -> Vec<UpdateSpec> {
        let LayerSpec::Adapter { adapter, .. } = &layers[index].1 else { panic!("{spec:?}") };
        adapter.updates.iter().map(|named| named.update.clone()).collect()
    };
    let tucker = TermForm::Tucker { kernel: vec![1, 2, 3] };
    assert!(updates(0)[0].terms.iter().all(|term| term.form == tucker && term.b_rank == Some(1)));
    assert_eq!((updates(0)[0].kernel.as_slice(), updates(1)[0].kernel.as_slice()), (&[1, 2, 3][..], &[3, 3][..]));
    let forms: Vec<_> = updates(2).into_iter().map(|update| update.terms[0].form.clone()).collect();
    assert_eq!(forms, [TermForm::Lora, TermForm::LoKr]);
}

#[test]
fn a_compiled_network_equals_the_network() {
    compiled::<f32>(network(), rows);
    compiled::<f64>(network(), rows);
}

#[test]
fn sums_of_updates_keep_the_kernel() {
    let network = network::<f64>();
    let update = network.adapter("space").unwrap().named_update("default").unwrap();
    let mean = LoKrUpdate::mean(&[update, update]).unwrap();
    let (compressed, _) = update.compressed(1, 0.0).unwrap();
    assert_eq!((mean.kernel(), compressed.kernel()), (&[1, 2, 3][..], &[1, 2, 3][..]));
}

/// More patches than are cut out at a time: 1456 for every sample, 12 values each.
#[test]
fn a_compiled_convolution_goes_block_by_block() {
    let geometry = ConvGeometry::new(4, [53, 57], [2, 3]).stride([2, 1]).groups(2);
    let layer: Conv2d<f64> = conv(&geometry, 6, Activation::Relu);
    let adapter = adapter(layer, 1, 3);
    supports_compilation(&adapter).unwrap();
    let mut network = Sequential::empty();
    network.push(adapter).unwrap();
    let x = matrix::<f64>(70, 4 * 53 * 57, 1);
    let (found, expected) = (network.compiled(64).unwrap().forward(&x).unwrap(), network.predict(&x).unwrap());
    assert_close(&found, &expected, 12, "blocks");
    let error = network.compile("0", 8).unwrap_err();
    assert!(matches!(error, LayerError::NotCompilable { .. }) && error.to_string().contains("patches"), "{error}");
}

#[test]
fn the_form_of_a_convolution_has_the_names_of_the_field() {
    let geometry = ConvGeometry::new(4, [5, 6], [2, 3]).stride([2, 1]).padding([1, 0]).dilation([1, 2]).groups(2);
    let layer: Box<dyn Layer<f32>> = Box::new(conv::<f32, 2>(&geometry, 6, Activation::Tanh));
    let Form::Conv { weight, linear, patches } = layer.form() else { panic!("this is a convolution") };
    assert_eq!((weight.shape(), linear.bias().len()), (&[6, 2, 2, 3][..], 6));
    assert_eq!((linear.activation(), patches.sizes()), (Activation::Tanh, &ConvSizes::from(&geometry)));
    assert_eq!(patches.weight_shape(6), weight.shape());
    let sizes: fn(&Patches) -> [&[usize]; 5] = |p| [p.input(), p.kernel(), p.stride(), p.padding(), p.dilation()];
    assert_eq!(sizes(patches), [[5, 6], [2, 3], [2, 1], [1, 0], [1, 2]].map(|sizes| sizes.to_vec()));
}

/// Of sizes and of the channels of the output.
type Change<'c> = &'c dyn Fn(&mut ConvSizes, &mut usize);

#[test]
fn descriptions_of_what_there_cannot_be_are_refused() {
    let layer: Conv2d<f64> = conv(&ConvGeometry::new(4, [5, 6], [2, 3]).groups(2), 6, Activation::Tanh);
    let spec = |layer: &dyn Layer<f64>| LayerSpec::of(layer).unwrap();
    let refused = |change: Change<'_>| {
        let mut spec = spec(&layer);
        if let LayerSpec::Conv(conv) = &mut spec {
            change(&mut conv.sizes, &mut conv.outputs);
        }
        spec.build::<f64>().map(drop).unwrap_err()
    };
    let settings: [Change<'_>; 8] = [
        &|sizes, _| sizes.stride.push(1),
        &|sizes, _| sizes.kernel.truncate(1),
        &|sizes, _| sizes.input.extend([1, 1]),
        &|sizes, _| [&mut sizes.input, &mut sizes.kernel, &mut sizes.stride].into_iter().for_each(Vec::clear),
        &|sizes, _| sizes.kernel[0] = 6,
        &|sizes, _| sizes.dilation[1] = 0,
        &|sizes, _| sizes.padding[1] = usize::MAX,
        &|sizes, outputs| (sizes.groups, *outputs) = (4, 6),
    ];
    for change in settings {
        let error = refused(change);
        assert!(matches!(error, LayerError::InvalidSetting { .. }), "{error}");
    }
    assert!(matches!(refused(&|sizes, _| sizes.groups = 0), LayerError::InvalidSetting { setting: "groups", .. }));
    assert!(matches!(refused(&|sizes, _| sizes.channels = 0), LayerError::ZeroSize { .. }));
    assert!(matches!(refused(&|_, outputs| *outputs = 0), LayerError::ZeroSize { .. }));
    assert!(matches!(refused(&|_, outputs| *outputs = 1 << 50), LayerError::Kron(_)));

    let update = |settings: LoKrSettings<f64>, change: &dyn Fn(&mut UpdateSpec)| {
        let base: Conv2d<f64> = conv(&ConvGeometry::new(4, [5, 6], [2, 3]), 6, Activation::Tanh);
        let mut spec = settings.adapt(base).unwrap().update().spec();
        spec.build::<f64>().unwrap();
        change(&mut spec);
        spec.build::<f64>().map(drop).unwrap_err()
    };
    let (lora, tucker) = (random().lora(), random().factor_shapes((1, 2), (6, 2)).tucker(true));
    let errors = [
        update(lora.clone(), &|spec| spec.terms[0].b_rank = None),
        update(lora.clone(), &|spec| spec.terms[0].a_rank = Some(1)),
        update(lora, &|spec| spec.kernel = vec![5]),
        update(tucker.clone(), &|spec| spec.terms[0].b_rank = None),
        update(tucker.clone(), &|spec| spec.terms[0].form = TermForm::Tucker { kernel: vec![5] }),
        update(tucker.clone(), &|spec| spec.terms[0].form = TermForm::Tucker { kernel: vec![usize::MAX, 2] }),
        update(tucker.clone(), &|spec| spec.terms[0].form = TermForm::Tucker { kernel: vec![0] }),
    ];
    for error in errors {
        assert!(matches!(error, LayerError::InvalidSetting { .. }), "{error}");
    }
    let error = update(tucker, &|spec| spec.terms[0].b_rank = Some(1 << 40));
    assert!(matches!(error, LayerError::Kron(_)), "{error}");
}
