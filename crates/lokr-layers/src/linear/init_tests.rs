use lokr_core::Scalar;
use lokr_testing::{LAYOUTS, with_layout};
use ndarray::{Array2, array};
use ndarray_rand::rand::{RngCore, SeedableRng, rngs::SmallRng};

use super::Init;
use crate::error::LayerError;

fn filled<T: Scalar>(init: Init, (out, input): (usize, usize), seed: u64) -> Array2<T> {
    let mut weight = Array2::from_elem((out, input), T::nan());
    init.fill(&mut weight, &mut SmallRng::seed_from_u64(seed)).unwrap();
    weight
}

/// Each rule with its variance at fan-in 300 and fan-out 200, and its bound where it has one.
const RULES: [(Init, f64, f64); 7] = [
    (Init::XavierUniform, 2.0 / 500.0, 0.109_544_511_501_033_2), // √(6/500)
    (Init::XavierNormal, 2.0 / 500.0, f64::INFINITY),
    (Init::HeUniform, 2.0 / 300.0, 0.141_421_356_237_309_5), // √(6/300)
    (Init::HeNormal, 2.0 / 300.0, f64::INFINITY),
    (Init::LecunUniform, 1.0 / 300.0, 0.1), // √(3/300)
    (Init::LecunNormal, 1.0 / 300.0, f64::INFINITY),
    (Init::Normal { deviation: 0.5 }, 0.25, f64::INFINITY),
];

#[test]
fn mean_variance_and_bounds_are_those_of_the_rule() {
    for (init, variance, bound) in RULES {
        let weight = filled::<f64>(init, (200, 300), 11);
        let count = weight.len() as f64;
        let (mean, square) = (weight.sum() / count, weight.mapv(|w| w * w).sum() / count);
        // Five standard errors; the fourth moment of a normal is 3σ⁴.
        assert!(mean.abs() < 5.0 * (variance / count).sqrt(), "{init:?}: mean {mean}");
        assert!((square / variance - 1.0).abs() < 5.0 * (2.0 / count).sqrt(), "{init:?}: variance {square}");
        let largest = weight.fold(0.0, |m: f64, w| m.max(w.abs()));
        assert!(largest <= bound && largest > 3.0_f64.sqrt() * variance.sqrt() * 0.99, "{init:?}: largest {largest}");
    }
}

#[test]
fn one_seed_gives_one_set_of_numbers_in_both_float_types() {
    for (init, ..) in RULES {
        let weight = filled::<f64>(init, (3, 5), 4);
        assert_eq!(filled::<f64>(init, (3, 5), 4), weight);
        assert_eq!(filled::<f32>(init, (3, 5), 4), weight.mapv(|w| w as f32));
        assert!(filled::<f64>(init, (3, 5), 5) != weight);
    }
}

#[test]
fn the_layout_of_the_memory_does_not_matter() {
    for layout in LAYOUTS {
        with_layout(&Array2::<f64>::zeros((3, 5)), layout, |weight| {
            Init::HeNormal.fill(weight, &mut SmallRng::seed_from_u64(4)).unwrap();
            assert_eq!(*weight, *filled::<f64>(Init::HeNormal, (3, 5), 4), "{layout:?}");
        });
    }
}

#[test]
fn constants_draw_nothing() {
    assert_eq!(filled::<f32>(Init::Zeros, (1, 2), 1), array![[0.0, 0.0]]);
    assert_eq!(filled::<f32>(Init::Constant { value: -0.25 }, (1, 2), 1), array![[-0.25, -0.25]]);
    assert_eq!(filled::<f32>(Init::Normal { deviation: 0.0 }, (1, 2), 1), array![[0.0, 0.0]]);
}

#[test]
fn settings_out_of_range_draw_and_write_nothing() {
    for (init, name) in [
        (Init::Constant { value: f64::NAN }, "initial value"),
        (Init::Constant { value: 1e39 }, "initial value"), // infinite as f32
        (Init::Normal { deviation: -1.0 }, "initial deviation"),
        (Init::Normal { deviation: f64::NAN }, "initial deviation"),
        (Init::Normal { deviation: 1e38 }, "initial deviation"),
    ] {
        let (mut weight, mut rng) = (array![[7.0_f32]], SmallRng::seed_from_u64(1));
        let error = init.fill(&mut weight, &mut rng).unwrap_err();
        assert!(matches!(error, LayerError::InvalidSetting { setting, .. } if setting == name), "{error}");
        assert_eq!(weight, array![[7.0]]);
        assert_eq!(rng.next_u64(), SmallRng::seed_from_u64(1).next_u64());
    }
}
