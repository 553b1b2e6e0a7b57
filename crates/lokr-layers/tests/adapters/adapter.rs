//! The adapter's members, one by one, against plain dense arithmetic.

use lokr_core::{Factor, FactorizationRule, Kron, KronError, Scalar};
use lokr_layers::{Activation, Dense, GradientAt, Layer, LayerError, LoKrAdapter, LoKrInit};
use ndarray::{Array1, Array2};

use crate::support::*;

const SIZES: [(usize, usize); 12] =
    [(1, 1), (1, 7), (7, 1), (2, 3), (3, 2), (13, 11), (12, 18), (30, 42), (97, 4), (5, 100), (64, 32), (36, 36)];

/// `x·(W + s·A⊗B)ᵀ + bias` element by element.
fn dense_formula<T: Scalar>(w: &Array2<T>, delta: &Array2<T>, bias: &Array1<T>, x: &Array2<T>) -> Array2<T> {
    dense_product(x, &(w + delta).reversed_axes()) + bias
}

fn sweep<T: Scalar>() {
    for (out, input) in SIZES {
        for rank in [1, 2, 3, 8, 1000] {
            for (decompose_both, full_matrix) in [(false, false), (true, false), (false, true)] {
                let what = format!("{} {out}x{input} rank {rank} both {decompose_both} full {full_matrix}", T::NAME);
                let (w, bias) = (matrix::<T>(out, input, 1), vector::<T>(out, 2));
                let x = matrix::<T>(5, input, 3);
                let build = |base| {
                    LoKrAdapter::builder(base)
                        .rank(rank)
                        .alpha(T::from_f64_lossy(1.5))
                        .decompose_both(decompose_both)
                        .full_matrix(full_matrix)
                        .init(LoKrInit::Random)
                        .build()
                        .unwrap()
                };
                let mut first = build(dense(&w, &bias, Activation::Identity));
                let expected = dense_formula(&w, &delta_of(&first), &bias, &x);
                assert!(delta_of(&first).iter().any(|&v| v != T::zero()), "{what}");
                assert_close(&first.predict(&x).unwrap(), &expected, input, &what);
                assert_close(&first.forward(&x).unwrap(), &expected, input, &what);
                assert_close(&first.delta_weight(), &delta_of(&first), 1, &what);

                let mut second = LoKrAdapter::builder(fully_connected(&w, &bias, Activation::Identity));
                second = second.rank(rank).alpha(T::from_f64_lossy(1.5)).decompose_both(decompose_both);
                let mut second = second.full_matrix(full_matrix).init(LoKrInit::Random).build().unwrap();
                assert_close(&second.forward(&x).unwrap(), &expected, input, &what);
            }
        }
    }
}

#[test]
fn adapted_layer_equals_the_dense_formula_f64() {
    sweep::<f64>();
}

#[test]
fn adapted_layer_equals_the_dense_formula_f32() {
    sweep::<f32>();
}

#[test]
fn a_new_adapter_changes_nothing_under_every_zero_start() {
    let (w, bias, x) = (matrix::<f64>(30, 42, 1), vector(30, 2), matrix(4, 42, 3));
    let base = dense(&w, &bias, Activation::Tanh);
    for init in [LoKrInit::Gaussian, LoKrInit::Lycoris, LoKrInit::Peft] {
        for (rank, both) in [(1, false), (1, true), (100, false)] {
            let adapter =
                LoKrAdapter::builder(base.clone()).rank(rank).decompose_both(both).init(init).build().unwrap();
            assert_eq!(adapter.predict(&x).unwrap(), base.predict(&x).unwrap(), "{init:?} rank {rank}");
            assert!(adapter.delta().to_dense().iter().all(|&v| v == 0.0));
        }
    }
}

#[test]
fn the_default_start_is_a_gaussian_and_b_zero_through_its_right_half() {
    let base = dense::<f64>(&matrix(30, 42, 1), &vector(30, 2), Activation::Identity);
    let low = LoKrAdapter::new(base.clone(), 2, None, true).unwrap();
    let (b_a, b_b) = low.matrix_b_halves().unwrap();
    assert!(b_a.iter().all(|&v| v != 0.0) && b_b.iter().all(|&v| v == 0.0));
    assert!(low.matrix_a().iter().all(|&v| v != 0.0));
    assert!(low.matrix_a().iter().any(|v| v.abs() > 1.0 / (low.matrix_a().ncols() as f64).sqrt()), "uniform?");
    let full = LoKrAdapter::new(base, 100, None, true).unwrap();
    assert!(full.matrix_b_halves().is_none() && full.matrix_b().iter().all(|&v| v == 0.0));
}

#[test]
fn the_seed_decides_the_start() {
    let base = dense::<f64>(&matrix(30, 42, 1), &vector(30, 2), Activation::Identity);
    let a = |seed| LoKrAdapter::builder(base.clone()).seed(seed).build().unwrap().matrix_a().into_owned();
    assert_eq!(a(3), a(3));
    assert_ne!(a(3), a(4));
}

#[test]
fn shapes_are_balanced_and_b_is_low_rank_below_half_its_larger_side() {
    let base = |out, input| dense::<f32>(&Array2::zeros((out, input)), &Array1::zeros(out), Activation::Identity);
    // out 30 = 5·6, in 42 = 6·7: A (5, 6), B (6, 7), and 7/2 lies between the ranks 3 and 4.
    let low = LoKrAdapter::new(base(30, 42), 3, None, true).unwrap();
    assert_eq!((low.matrix_a_dimensions(), low.matrix_b_dimensions()), ((5, 6), (6, 7)));
    let (left, right) = low.matrix_b_halves().unwrap();
    assert_eq!((left.dim(), right.dim()), ((6, 3), (3, 7)));
    assert!(low.matrix_a_halves().is_none());
    assert_eq!(low.parameter_count(), 30 + 18 + 21);
    let full = LoKrAdapter::new(base(30, 42), 4, None, true).unwrap();
    assert!(full.matrix_b_halves().is_none());
    assert_eq!(full.parameter_count(), 30 + 42);

    let both = LoKrAdapter::builder(base(30, 42)).rank(2).decompose_both(true).build().unwrap();
    let (left, right) = both.matrix_a_halves().unwrap();
    assert_eq!((left.dim(), right.dim()), ((5, 2), (2, 6)));
    let neither = LoKrAdapter::builder(base(30, 42)).rank(1).decompose_both(true).full_matrix(true).build().unwrap();
    assert!(neither.matrix_a_halves().is_none() && neither.matrix_b_halves().is_none());
}

#[test]
fn factor_and_explicit_shapes() {
    let base = dense::<f64>(&matrix(12, 40, 1), &vector(12, 2), Activation::Identity);
    let by_factor = LoKrAdapter::builder(base.clone()).factor(4).build().unwrap();
    assert_eq!((by_factor.matrix_a_dimensions(), by_factor.matrix_b_dimensions()), ((3, 4), (4, 10)));
    // 4 divides 12 and 16 > 12, where the two rules differ.
    let as_peft = LoKrAdapter::builder(base.clone()).factor(4).factor_rule(FactorizationRule::Peft).build().unwrap();
    assert_eq!((as_peft.matrix_a_dimensions(), as_peft.matrix_b_dimensions()), ((4, 4), (3, 10)));
    let given = LoKrAdapter::builder(base.clone()).factor_shapes((6, 1), (2, 40)).build().unwrap();
    assert_eq!((given.matrix_a_dimensions(), given.matrix_b_dimensions()), ((6, 1), (2, 40)));

    let error = LoKrAdapter::builder(base.clone()).factor_shapes((6, 2), (2, 40)).build().unwrap_err();
    assert_eq!(error, LayerError::FactorShapes { m: 6, n: 2, p: 2, q: 40, weight: (12, 40) });
    assert!(error.to_string().contains("(12, 80)"), "{error}");
    let error = LoKrAdapter::builder(base.clone()).factor_shapes((0, 2), (2, 40)).build().unwrap_err();
    assert!(matches!(error, LayerError::Kron(KronError::EmptyFactor { name: "A", .. })), "{error}");
    let error = LoKrAdapter::builder(base).factor_shapes((usize::MAX, 2), (2, 40)).build().unwrap_err();
    assert!(matches!(error, LayerError::Kron(KronError::TooLarge { .. })), "{error}");
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let base = dense::<f64>(&matrix(6, 4, 1), &vector(6, 2), Activation::Identity);
    assert_eq!(LoKrAdapter::new(base.clone(), 0, None, true).unwrap_err(), LayerError::InvalidRank { rank: 0 });
    for alpha in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        let error = LoKrAdapter::builder(base.clone()).alpha(alpha).build().unwrap_err();
        assert!(matches!(error, LayerError::InvalidSetting { setting: "alpha", .. }), "{error}");
        // The constructor takes a negative number for none, as that of AiDotNet.
        match LoKrAdapter::new(base.clone(), 2, Some(alpha), true) {
            Ok(adapter) => assert_eq!((alpha, adapter.alpha(), adapter.scaling()), (-1.0, 2.0, 1.0)),
            Err(error) => {
                assert!(!alpha.is_finite() && matches!(error, LayerError::InvalidSetting { .. }), "{error}");
            }
        }
    }
    assert_eq!(LoKrAdapter::new(base.clone(), 2, Some(0.0), true).unwrap().scaling(), 0.0);
    let mut adapter = LoKrAdapter::new(base, 2, None, true).unwrap();
    let error = adapter.set_scaling(f64::NAN).unwrap_err();
    assert!(matches!(error, LayerError::InvalidSetting { setting: "scaling", .. }), "{error}");
    assert_eq!(adapter.scaling(), 1.0);
    for size in [(0, 4), (4, 0)] {
        let error = LoKrAdapter::new(Empty(size), 2, None, true).unwrap_err();
        assert!(matches!(error, LayerError::ZeroSize { layer: "Empty", .. }), "{error}");
    }
}

#[test]
fn strength_can_be_changed_and_switched_off() {
    let base = dense::<f64>(&matrix(6, 4, 1), &vector(6, 2), Activation::Relu);
    let mut adapter = adapter(base.clone(), 2, 3);
    let x = matrix(3, 4, 5);
    adapter.set_scaling(-0.25).unwrap();
    let expected = dense(&(matrix(6, 4, 1) + delta_of(&adapter)), &vector(6, 2), Activation::Relu);
    assert_close(&adapter.predict(&x).unwrap(), &expected.predict(&x).unwrap(), 4, "negative strength");
    adapter.set_scaling(0.0).unwrap();
    assert_eq!(adapter.predict(&x).unwrap(), base.predict(&x).unwrap());
    assert_eq!(adapter.alpha(), 1.5);
}

#[test]
fn a_frozen_layer_without_weights_hides_its_parameters_but_passes_the_input_gradient() {
    let mut adapter = adapter(Square::new(6), 2, 3);
    let (x, dy) = (matrix::<f64>(4, 6, 1), matrix::<f64>(4, 6, 2));
    adapter.forward(&x).unwrap();
    let dx = adapter.backward(&dy).unwrap();
    assert_close(&dx, &(&x * 2.0 * &dy + dense_product(&dy, &delta_of(&adapter))), 6, "dx");
    assert_eq!(adapter.parameter_count(), adapter.adapter_parameter_count());
    assert_eq!(adapter.gradients().unwrap().len(), adapter.adapter_parameter_count());
    adapter.set_base_frozen(false);
    assert_eq!(adapter.parameter_count(), adapter.adapter_parameter_count() + 1);
}

#[test]
fn factors_can_be_read_and_replaced() {
    let w = matrix::<f64>(30, 42, 1);
    let mut adapter = LoKrAdapter::new(dense(&w, &vector(30, 2), Activation::Tanh), 2, None, true).unwrap();
    let (a, b_a, b_b) = (matrix(5, 6, 7), matrix(6, 2, 8), matrix(2, 7, 9));
    adapter.set_matrix_a(&a).unwrap();
    adapter.set_matrix_b(Factor::low_rank(b_a.view(), b_b.view()).unwrap()).unwrap();
    assert_eq!(adapter.matrix_a(), a);
    assert_eq!(adapter.matrix_b_halves().unwrap(), (b_a.view(), b_b.view()));
    assert_close(&adapter.matrix_b().to_owned(), &dense_product(&b_a, &b_b), 2, "product of the halves");

    let b = matrix(6, 7, 10);
    adapter.set_matrix_b(b.clone()).unwrap(); // a full one in place of the halves
    assert_eq!(adapter.matrix_b(), b);
    assert_eq!(adapter.adapter_parameter_count(), 30 + 42);
    let x = matrix(3, 42, 5);
    let expected = dense(&(w + delta_of(&adapter)), &vector(30, 2), Activation::Tanh);
    assert_close(&adapter.predict(&x).unwrap(), &expected.predict(&x).unwrap(), 42, "replaced factors");
}

#[test]
fn replaced_factors_are_checked_and_drop_the_old_gradients() {
    let mut adapter = adapter(dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Tanh), 2, 3);
    adapter.forward(&matrix(3, 42, 4)).unwrap();
    adapter.backward(&matrix(3, 30, 5)).unwrap();
    let before = bits(&adapter);

    let error = adapter.set_matrix_a(matrix(6, 5, 1)).unwrap_err();
    assert_eq!(
        error,
        LayerError::Shape { layer: "LoKrAdapter", argument: "matrix_a", expected: (5, 6), found: (6, 5) }
    );
    let error = adapter.set_matrix_b(Array2::from_elem((6, 7), f64::NAN)).unwrap_err();
    assert_eq!(error, LayerError::NonFinite { layer: "LoKrAdapter", argument: "matrix_b", count: 42, total: 42 });
    let empty = Factor::low_rank(Array2::zeros((6, 0)), Array2::zeros((0, 7))).unwrap();
    assert_eq!(adapter.set_matrix_b(empty).unwrap_err(), LayerError::InvalidRank { rank: 0 });
    assert_eq!(bits(&adapter), before);
    assert!(adapter.gradients().is_ok());

    adapter.set_matrix_a(matrix(5, 6, 1)).unwrap();
    assert!(matches!(adapter.gradients(), Err(LayerError::NoGradients { .. })));
    let error = adapter.backward(&matrix(3, 30, 5)).unwrap_err();
    assert_eq!(error, LayerError::BackwardBeforeForward { layer: "LoKrAdapter" }); // the forward was of other factors
    adapter.forward(&matrix(3, 42, 4)).unwrap();
    adapter.backward(&matrix(3, 30, 5)).unwrap();
    assert_eq!(adapter.gradients().unwrap().len(), adapter.parameter_count());
}

#[test]
fn an_adapter_from_given_factors() {
    let base = dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Tanh);
    let (a, b) = (matrix(10, 3, 3), matrix(3, 14, 4));
    let adapter = LoKrAdapter::from_delta(base.clone(), Kron::new(&a, &b).unwrap(), 0.5).unwrap();
    assert_eq!((adapter.rank(), adapter.alpha(), adapter.scaling()), (7, 3.5, 0.5)); // B is full from rank 14/2 on
    assert!(adapter.is_base_frozen());
    let expected = dense(&(matrix(30, 42, 1) + delta_of(&adapter)), &vector(30, 2), Activation::Tanh);
    let x = matrix(3, 42, 5);
    assert_close(&adapter.predict(&x).unwrap(), &expected.predict(&x).unwrap(), 42, "from factors");

    let low = Factor::low_rank(matrix(3, 2, 5), matrix(2, 14, 6)).unwrap();
    let low = LoKrAdapter::from_delta(base.clone(), Kron::new(&a, low).unwrap(), 0.5).unwrap();
    assert_eq!((low.rank(), low.alpha()), (2, 1.0));

    let error = LoKrAdapter::from_delta(base.clone(), Kron::new(&b, &b).unwrap(), 0.5).unwrap_err();
    assert_eq!(error, LayerError::FactorShapes { m: 3, n: 14, p: 3, q: 14, weight: (30, 42) });
    let error = LoKrAdapter::from_delta(base.clone(), Kron::new(&(&a / 0.0), &b).unwrap(), 0.5).unwrap_err();
    assert!(matches!(error, LayerError::NonFinite { argument: "matrix_a", count: 30, .. }), "{error}");
    let error = LoKrAdapter::from_delta(base, Kron::new(&a, &b).unwrap(), f64::INFINITY).unwrap_err();
    assert!(matches!(error, LayerError::InvalidSetting { setting: "scaling", .. }), "{error}");
}

#[test]
fn parameters_are_refused_whole_when_one_is_wrong() {
    let mut adapter = adapter(dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Tanh), 2, 3);
    for frozen in [true, false] {
        adapter.set_base_frozen(frozen);
        let (before, count) = (bits(&adapter), adapter.parameter_count());
        let error = adapter.set_parameters(&Array1::zeros(count + 1)).unwrap_err();
        assert!(matches!(error, LayerError::Length { layer: "LoKrAdapter", .. }), "{error}");
        let mut last_is_nan = Array1::zeros(count);
        last_is_nan[count - 1] = f64::NAN;
        let error = adapter.set_parameters(&last_is_nan).unwrap_err();
        assert!(matches!(error, LayerError::NonFinite { count: 1, .. }), "{error}");
        assert_eq!(bits(&adapter), before);
    }
}

#[test]
fn steps_and_gradients_need_a_backward_and_that_a_forward() {
    let mut adapter = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Tanh), 2, 3);
    let dy = matrix(3, 6, 4);
    assert_eq!(adapter.backward(&dy).unwrap_err(), LayerError::BackwardBeforeForward { layer: "LoKrAdapter" });
    assert_eq!(adapter.update_parameters(0.1).unwrap_err(), LayerError::NoGradients { layer: "LoKrAdapter" });
    adapter.forward(&matrix(3, 4, 5)).unwrap();
    assert!(matches!(adapter.gradients(), Err(LayerError::NoGradients { .. })));
    adapter.backward(&dy).unwrap();
    let expected = adapter.parameters() - adapter.gradients().unwrap() * 0.1;
    adapter.update_parameters(0.1).unwrap();
    assert_eq!(adapter.parameters(), expected);

    adapter.reset_state();
    assert_eq!(adapter.parameters(), expected);
    assert!(matches!(adapter.gradients(), Err(LayerError::NoGradients { .. })));
    assert_eq!(adapter.backward(&dy).unwrap_err(), LayerError::BackwardBeforeForward { layer: "LoKrAdapter" });
}

#[test]
fn an_empty_batch_passes_with_zero_gradients() {
    let mut adapter = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Softmax), 2, 3);
    adapter.set_base_frozen(false);
    assert_eq!(adapter.predict(&Array2::zeros((0, 4))).unwrap().dim(), (0, 6));
    assert_eq!(adapter.forward(&Array2::zeros((0, 4))).unwrap().dim(), (0, 6));
    assert_eq!(adapter.backward(&Array2::zeros((0, 6))).unwrap().dim(), (0, 4));
    assert!(adapter.gradients().unwrap().iter().all(|&g| g == 0.0));
}

#[test]
fn every_layout_of_the_arguments_gives_the_same_answer() {
    let build = || {
        let mut adapter = adapter(dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Silu), 2, 3);
        adapter.set_base_frozen(false);
        adapter
    };
    let (x, dy) = (matrix::<f64>(5, 42, 4), matrix::<f64>(5, 30, 5));
    let (y_nan, dx_nan) = (Array2::from_elem(dy.dim(), f64::NAN), Array2::from_elem(x.dim(), f64::NAN));
    let mut plain = build();
    let (y, dx) = (plain.forward(&x).unwrap(), plain.backward(&dy).unwrap());
    for layout in LAYOUTS {
        for layout_of_output in LAYOUTS {
            let what = format!("{layout:?}, output {layout_of_output:?}");
            let mut adapter = build();
            with_layout(&x, layout, |x| {
                with_layout(&y_nan, layout_of_output, |found| {
                    adapter.forward_into(x, found).unwrap();
                    assert_close(found, &y, 42, &what);
                });
                assert_close(&adapter.predict(x).unwrap(), &y, 42, &what);
            });
            with_layout(&dy, layout, |dy| {
                with_layout(&dx_nan, layout_of_output, |found| {
                    adapter.backward_into(dy, GradientAt::Output, found).unwrap();
                    assert_close(found, &dx, 42, &what);
                });
            });
            assert_close(&adapter.gradients().unwrap(), &plain.gradients().unwrap(), 42, &what);
        }
    }
}

#[test]
fn the_softmax_short_cut_skips_the_activation() {
    let (w, bias) = (matrix::<f64>(6, 4, 1), vector(6, 2));
    let mut short = adapter(dense(&w, &bias, Activation::Softmax), 2, 3);
    let mut linear = adapter(dense(&w, &bias, Activation::Identity), 2, 3);
    let (x, dz) = (matrix(3, 4, 4), matrix(3, 6, 5));
    short.forward(&x).unwrap();
    linear.forward(&x).unwrap();
    let (mut dx, mut expected) = (Array2::zeros((3, 4)), Array2::zeros((3, 4)));
    short.backward_into(&dz, GradientAt::PreActivation, &mut dx).unwrap();
    linear.backward_into(&dz, GradientAt::Output, &mut expected).unwrap();
    assert_eq!(dx, expected);
    assert_eq!(short.gradients().unwrap(), linear.gradients().unwrap());
}

#[test]
fn a_clone_shares_nothing() {
    let mut original = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Tanh), 2, 3);
    original.set_base_frozen(false);
    let before = bits(&original);
    let mut copy = original.clone();
    copy.set_parameters(&Array1::zeros(copy.parameter_count())).unwrap();
    assert_eq!(bits(&original), before);
    let mut boxed = original.clone_box();
    boxed.set_parameters(&Array1::zeros(boxed.parameter_count())).unwrap();
    assert_eq!(bits(&original), before);
}

#[test]
fn changing_the_frozenness_drops_gradients_and_changes_what_is_visited() {
    let mut adapter = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Tanh), 2, 3);
    let own = adapter.adapter_parameter_count();
    assert_eq!(adapter.parameter_count(), own);
    adapter.forward(&matrix(3, 4, 4)).unwrap();
    adapter.backward(&matrix(3, 6, 5)).unwrap();
    adapter.set_base_frozen(true);
    assert!(adapter.gradients().is_ok());
    assert!(adapter.base_layer().gradients().is_err()); // a frozen base's weight gradient is not computed
    adapter.set_base_frozen(false);
    assert!(matches!(adapter.gradients(), Err(LayerError::NoGradients { .. })));
    assert_eq!(adapter.parameter_count(), own + 24 + 6);
    adapter.backward(&matrix(3, 6, 5)).unwrap();
    assert_eq!(adapter.gradients().unwrap().len(), own + 24 + 6);
}

#[test]
fn public_types_cross_threads_and_a_trained_adapter_is_shared() {
    fn send_sync<T: Send + Sync>() {}
    send_sync::<LoKrAdapter<f32, Dense<f32>>>();
    send_sync::<LoKrAdapter<f64, Box<dyn Layer<f64>>>>();
    let adapter = adapter(dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), Activation::Silu), 2, 3);
    let x = matrix(5, 42, 4);
    let expected = adapter.predict(&x).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(adapter.predict(&x).unwrap(), expected));
        }
    });
}

#[test]
fn a_base_whose_weight_contradicts_its_sizes_is_refused() {
    let error =
        LoKrAdapter::new(Contradiction(dense(&matrix(6, 4, 1), &vector(6, 2), Activation::Tanh)), 2, None, true);
    let error = error.unwrap_err();
    assert_eq!(
        error,
        LayerError::Shape { layer: "Contradiction", argument: "weight", expected: (6, 5), found: (6, 4) }
    );
    assert!(error.to_string().contains("weight"), "{error}");
}
