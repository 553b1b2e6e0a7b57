use lokr_core::Scalar;
use lokr_testing::matrix;
use ndarray::{Array1, array};

use super::update::update;
use super::{Adam, AdamSettings, AdamW, Group, Momentum, Optimizer, Sgd, SgdSettings, Soap, SoapSettings};
use crate::activation::Activation;
use crate::error::LayerError;
use crate::layer::Layer;
use crate::linear::{Dense, FullyConnected};
use crate::training::Sequential;

/// Gradients of weight and bias at four steps.
const GRADIENTS: [(f64, f64); 4] = [(1.0, 0.5), (-0.75, 0.25), (-1.0, -1.0), (0.5, 2.0)];

/// A layer with weight 1 and bias −2.
pub(super) fn layer<T: Scalar>() -> Dense<T> {
    let (one, two) = (T::one(), T::one() + T::one());
    Dense::from_arrays(array![[one]], array![-two], Activation::Identity).unwrap()
}

fn set_gradients<T: Scalar>(layer: &mut dyn Layer<T>, (weight, bias): (f64, f64)) {
    layer.clear_gradients();
    layer.forward(&array![[T::from_f64_lossy(weight / bias)]]).unwrap();
    layer.backward(&array![[T::from_f64_lossy(bias)]]).unwrap();
}

/// Steps from (1, −2) along [`GRADIENTS`] and compares with the recorded parameters after each.
fn follow<T: Scalar>(mut optimizer: impl Optimizer<T>, expected: [(f64, f64); 4], tolerance: f64) {
    let mut layer = layer::<T>();
    for (step, (gradients, expected)) in GRADIENTS.into_iter().zip(expected).enumerate() {
        set_gradients(&mut layer, gradients);
        optimizer.step(&mut layer).unwrap();
        let found = layer.parameters().mapv(T::to_f64_exact);
        let off = (found[0] - expected.0).abs().max((found[1] - expected.1).abs());
        assert!(off < tolerance, "step {step}: {found}, expected {expected:?}");
    }
}

// The recorded numbers come from PyTorch's documented algorithms, done one scalar at a time with 40 decimal digits.

#[test]
fn plain_sgd_follows_the_formula() {
    let settings = SgdSettings { learning_rate: 0.1, ..Default::default() };
    let expected = [(0.9, -2.05), (0.975, -2.075), (1.075, -1.975), (1.025, -2.175)];
    follow(Sgd::<f64>::new(settings).unwrap(), expected, 1e-14);
    follow(Sgd::<f32>::new(settings).unwrap(), expected, 1e-6);
}

#[test]
fn sgd_with_weight_decay_follows_the_formula() {
    let settings = SgdSettings { learning_rate: 0.1, weight_decay: 0.5, ..Default::default() };
    let expected = [(0.85, -1.95), (0.8825, -1.8775), (0.938_375, -1.683_625), (0.841_456_25, -1.799_443_75)];
    follow(Sgd::<f64>::new(settings).unwrap(), expected, 1e-14);
}

#[test]
fn sgd_with_momentum_follows_the_formula() {
    let momentum = Momentum::HeavyBall { factor: 0.9 };
    let settings = SgdSettings { learning_rate: 0.1, momentum, weight_decay: 0.5 };
    let expected = [(0.85, -1.95), (0.7475, -1.8325), (0.717_875, -1.535_125), (0.605_318_75, -1.390_731_25)];
    follow(Sgd::<f64>::new(settings).unwrap(), expected, 1e-14);
    follow(Sgd::<f32>::new(settings).unwrap(), expected, 1e-6);
}

#[test]
fn sgd_with_nesterov_momentum_follows_the_formula() {
    let momentum = Momentum::Nesterov { factor: 0.9 };
    let settings = SgdSettings { learning_rate: 0.1, momentum, weight_decay: 0.5 };
    let expected = [
        (0.715, -1.905),
        (0.668_075, -1.731_025),
        (0.717_050_375, -1.283_225_125),
        (0.538_071_801_875, -1.306_194_975_625),
    ];
    follow(Sgd::<f64>::new(settings).unwrap(), expected, 1e-14);
}

#[test]
fn adam_follows_the_formula() {
    let settings = AdamSettings { learning_rate: 0.1, ..Default::default() };
    let expected = [
        (0.900_000_001, -2.099_999_998),
        (0.891_067_500_360_535_5, -2.193_217_959_522_538_5),
        (0.925_603_775_046_848_2, -2.172_582_257_114_589_4),
        (0.935_263_100_001_251_9, -2.214_619_557_387_696_3),
    ];
    follow(Adam::<f64>::new(settings).unwrap(), expected, 1e-13);
    follow(Adam::<f32>::new(settings).unwrap(), expected, 1e-6);
}

const OTHER: AdamSettings =
    AdamSettings { learning_rate: 0.1, beta1: 0.8, beta2: 0.95, epsilon: 1e-3, weight_decay: 0.5 };

#[test]
fn adam_adds_weight_decay_to_the_gradient() {
    let expected = [
        (0.900_066_622_251_832_1, -1.900_199_600_798_403_2),
        (0.853_326_448_650_918, -1.800_312_752_895_601_8),
        (0.846_839_645_219_890_2, -1.707_603_418_827_447),
        (0.808_771_800_424_286_3, -1.677_362_129_702_044_5),
    ];
    follow(Adam::<f64>::new(OTHER).unwrap(), expected, 1e-13);
}

#[test]
fn adamw_decays_the_values_themselves() {
    let expected = [
        (0.850_099_900_099_900_1, -1.999_800_399_201_597),
        (0.804_444_442_907_239_3, -1.991_641_884_030_612_3),
        (0.806_743_663_146_651_1, -1.862_793_606_162_542_3),
        (0.777_311_582_834_330_4, -1.815_761_497_440_709_7),
    ];
    follow(AdamW::<f64>::new(OTHER).unwrap(), expected, 1e-13);
    follow(AdamW::<f32>::new(OTHER).unwrap(), expected, 1e-6);
}

pub(super) fn all<T: Scalar>() -> Vec<Box<dyn Optimizer<T>>> {
    let momentum = |momentum| Sgd::new(SgdSettings { momentum, ..Default::default() }).unwrap();
    vec![
        Box::new(momentum(Momentum::None)),
        Box::new(momentum(Momentum::HeavyBall { factor: 0.9 })),
        Box::new(momentum(Momentum::Nesterov { factor: 0.9 })),
        Box::new(Adam::new(OTHER).unwrap()),
        Box::new(AdamW::new(OTHER).unwrap()),
        Box::new(soap()),
    ]
}

pub(super) fn soap<T: Scalar>() -> Soap<T> {
    Soap::new(SoapSettings { refresh: 2, ..Default::default() }).unwrap()
}

#[test]
fn each_parameter_of_a_network_has_its_own_state() {
    // A step on the whole network is a step on each layer by an optimizer of its own.
    let first = Dense::from_arrays(matrix::<f64>(2, 3, 1), Array1::zeros(3), Activation::Tanh).unwrap();
    let second = FullyConnected::from_arrays(matrix::<f64>(4, 3, 2), Array1::zeros(4), Activation::Identity).unwrap();
    for ((mut whole, mut own1), mut own2) in all().into_iter().zip(all()).zip(all()) {
        let (mut first, mut second) = (first.clone(), second.clone());
        let mut network = Sequential::new(vec![Box::new(first.clone()), Box::new(second.clone())]).unwrap();
        for seed in 3..6 {
            let (x, dy) = (matrix(5, 2, seed), matrix(5, 4, seed + 10));
            network.clear_gradients();
            network.forward(&x).unwrap();
            network.backward(&dy).unwrap();
            whole.step(&mut network).unwrap();

            first.clear_gradients();
            second.clear_gradients();
            let hidden = first.forward(&x).unwrap();
            second.forward(&hidden).unwrap();
            first.backward(&second.backward(&dy).unwrap()).unwrap();
            own1.step(&mut first).unwrap();
            own2.step(&mut second).unwrap();
        }
        assert_eq!(network.layers()[0].parameters(), first.parameters());
        assert_eq!(network.layers()[1].parameters(), second.parameters());
    }
}

#[test]
fn without_gradients_nothing_happens() {
    for (mut optimizer, mut twin) in all::<f64>().into_iter().zip(all::<f64>()) {
        let mut layer = layer();
        assert_eq!(optimizer.step(&mut layer), Err(LayerError::NoGradients { layer: "Dense" }));
        assert_eq!(layer.parameters(), array![1.0, -2.0]);
        // The failed step is not counted either: the next two are those of an optimizer that never failed.
        let mut other = layer.clone();
        for gradients in [GRADIENTS[0], GRADIENTS[1]] {
            set_gradients(&mut layer, gradients);
            optimizer.step(&mut layer).unwrap();
            layer.clear_gradients();
            assert_eq!(optimizer.step(&mut layer), Err(LayerError::NoGradients { layer: "Dense" }));
            set_gradients(&mut other, gradients);
            twin.step(&mut other).unwrap();
        }
        assert_eq!(layer.parameters(), other.parameters());
    }
}

#[test]
fn an_optimizer_with_memory_belongs_to_one_network_until_reset() {
    let names = [None, Some("Sgd"), Some("Sgd"), Some("Adam"), Some("AdamW"), Some("Soap")];
    for (mut optimizer, name) in all::<f64>().into_iter().zip(names) {
        let mut small = layer();
        set_gradients(&mut small, GRADIENTS[0]);
        optimizer.step(&mut small).unwrap();
        let mut large = Dense::from_arrays(array![[1.0], [2.0]], array![3.0], Activation::Identity).unwrap();
        large.forward(&array![[1.0, 2.0]]).unwrap();
        large.backward(&array![[1.0]]).unwrap();
        let Some(layer) = name else {
            optimizer.step(&mut large).unwrap();
            continue;
        };
        assert_eq!(
            optimizer.step(&mut large),
            Err(LayerError::Length { layer, argument: "parameters", expected: 2, found: 3 })
        );
        assert_eq!(large.parameters(), array![1.0, 2.0, 3.0]);
        optimizer.reset();
        optimizer.step(&mut large).unwrap();
        optimizer.step(&mut large).unwrap();
        assert!(large.parameters() != array![1.0, 2.0, 3.0]);
    }
}

#[test]
fn the_learning_rate_can_be_changed_between_steps() {
    for mut optimizer in all::<f64>() {
        let mut layer = layer();
        optimizer.set_learning_rate(0.0).unwrap();
        assert_eq!(optimizer.learning_rate(), 0.0);
        set_gradients(&mut layer, GRADIENTS[0]);
        optimizer.step(&mut layer).unwrap();
        assert_eq!(layer.parameters(), array![1.0, -2.0]);
        optimizer.set_learning_rate(0.25).unwrap();
        optimizer.step(&mut layer).unwrap(); // the second, since the first of Soap only measures
        assert!(layer.parameters() != array![1.0, -2.0]);
        let mut narrow = all::<f32>();
        for optimizer in &mut narrow {
            assert!(optimizer.set_learning_rate(1e39).is_err(), "infinite as an f32");
        }
        for wrong in [-0.1, f64::NAN, f64::INFINITY] {
            let error = optimizer.set_learning_rate(wrong).unwrap_err();
            assert!(matches!(error, LayerError::InvalidSetting { setting: "learning rate", .. }));
        }
        assert_eq!(optimizer.learning_rate(), 0.25);
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let sgd = |settings: SgdSettings| match Sgd::<f32>::new(settings) {
        Err(LayerError::InvalidSetting { setting, .. }) => setting,
        other => panic!("{settings:?} gave {other:?}"),
    };
    let good = SgdSettings::default();
    assert_eq!(sgd(SgdSettings { learning_rate: -1.0, ..good }), "learning rate");
    assert_eq!(sgd(SgdSettings { weight_decay: f64::NAN, ..good }), "weight decay");
    assert_eq!(sgd(SgdSettings { momentum: Momentum::HeavyBall { factor: 1.0 }, ..good }), "momentum");
    assert_eq!(sgd(SgdSettings { momentum: Momentum::Nesterov { factor: -0.1 }, ..good }), "momentum");

    let setting_of = |error: LayerError| match error {
        LayerError::InvalidSetting { setting, .. } => setting,
        other => panic!("{other}"),
    };
    let good = AdamSettings::default();
    for (settings, setting) in [
        (AdamSettings { learning_rate: f64::INFINITY, ..good }, "learning rate"),
        (AdamSettings { beta1: 1.0, ..good }, "beta1"),
        (AdamSettings { beta2: f64::NAN, ..good }, "beta2"),
        (AdamSettings { epsilon: 0.0, ..good }, "epsilon"),
        // Zero as an f32.
        (AdamSettings { epsilon: 1e-60, ..good }, "epsilon"),
        (AdamSettings { weight_decay: -1.0, ..good }, "weight decay"),
    ] {
        assert_eq!(setting_of(Adam::<f32>::new(settings).unwrap_err()), setting);
        assert_eq!(setting_of(AdamW::<f32>::new(settings).unwrap_err()), setting);
    }
    assert!(Adam::<f64>::new(AdamSettings { epsilon: 1e-60, ..good }).is_ok());
}

#[test]
fn rates_are_checked_where_they_are_multiplied() {
    let refused = |result: Result<(), LayerError>| matches!(result, Err(LayerError::InvalidSetting { .. }));
    assert!(refused(Sgd::<f32>::new(1e39).map(drop)));
    assert!(Sgd::<f64>::new(1e39).is_ok());
    // Divided by 1 − β₁ at the first step.
    assert!(refused(Adam::<f32>::new(1e38).map(drop)));
    assert!(Adam::<f32>::new(1e37).is_ok());
    assert!(refused(AdamW::<f32>::new(1e20).unwrap().weight_decay(1e20).map(drop)));
    assert!(refused(Adam::<f32>::new(1.0).unwrap().weight_decay(1e39).map(drop)));
    let group = |factor: f64| Group::new("*").rate_factor(factor);
    assert!(refused(Adam::<f32>::new(1e20).unwrap().group(group(1e20)).map(drop)));
    assert!(refused(Sgd::<f64>::new(1.0).unwrap().group(group(-1.0)).map(drop)));
    assert!(refused(Sgd::<f64>::new(1.0).unwrap().group(group(1.0).weight_decay(f64::NAN)).map(drop)));
    let mut adam = Adam::<f32>::new(1.0).unwrap().group(group(1e20)).unwrap();
    assert!(refused(adam.set_learning_rate(1e20)));
    assert_eq!(adam.learning_rate(), 1.0);
    assert!(refused(Soap::<f32>::new(1e-3).unwrap().refresh(0).map(drop)));
}

#[test]
fn a_rate_alone_means_the_defaults() {
    fn check(mut short: impl Optimizer<f64>, mut long: impl Optimizer<f64>) {
        let (mut a, mut b) = (layer::<f64>(), layer::<f64>());
        set_gradients(&mut a, GRADIENTS[0]);
        short.step(&mut a).unwrap();
        set_gradients(&mut b, GRADIENTS[0]);
        long.step(&mut b).unwrap();
        assert_eq!(a.parameters(), b.parameters());
    }
    let sgd = SgdSettings { learning_rate: 0.1, ..Default::default() };
    check(Sgd::new(0.1).unwrap(), Sgd::new(sgd).unwrap());
    check(Adam::new(1e-3).unwrap(), Adam::new(AdamSettings::default()).unwrap());
    let decaying = AdamSettings { weight_decay: 0.01, ..Default::default() };
    check(AdamW::new(1e-3).unwrap(), AdamW::new(decaying).unwrap());
}

#[test]
fn a_group_without_parameters_is_named_and_nothing_happens() {
    let mut sgd = Sgd::new(0.1).unwrap().group(Group::lora_plus(16.0)).unwrap();
    let mut layer = layer::<f64>();
    set_gradients(&mut layer, GRADIENTS[0]);
    let name = "*lokr_w2*".to_owned();
    assert_eq!(sgd.step(&mut layer), Err(LayerError::UnknownName { layer: "Sgd", name }));
    assert_eq!(layer.parameters(), array![1.0, -2.0]);
}

#[test]
fn values_and_gradients_in_other_orders_are_matched_by_index() {
    let mut values = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
    let gradient = array![[10.0, 40.0], [20.0, 50.0], [30.0, 60.0]]; // its transpose is meant
    let mut state = vec![0.0; 6];
    update(values.view_mut().into_dyn(), gradient.t().into_dyn(), state.iter_mut(), |v, g, s| {
        *s = *v + g;
        *v -= g;
    });
    assert_eq!(values, array![[-9.0, -18.0, -27.0], [-36.0, -45.0, -54.0]]);
    assert_eq!(state, [11.0, 22.0, 33.0, 44.0, 55.0, 66.0]);
}
