//! Second factors in Tucker form: the definition, gradients, and what else touches the parts of a factor.

use lokr_layers::{
    Activation, Conv2d, ConvGeometry, DoraAxis, Layer, LayerError, LoKrAdapter, LoKrInit, LoKrSettings, LoKrUpdate,
    TuckerFactor, named_parameters,
};
use ndarray::{Array2, ArrayD, IxDyn};

use crate::support::convolution::{check_gradients, convolution};
use crate::support::*;

fn conv() -> Conv2d<f64> {
    convolution(&ConvGeometry::new(6, [3, 3], [2, 2]), (8, 6), [2, 2], Activation::Tanh)
}

fn settings() -> LoKrSettings<f64> {
    LoKrSettings::new().rank(1).alpha(1.5).init(LoKrInit::Random).tucker(true)
}

/// `B[x, y, k] = Σᵢⱼ core[i, j, k]·a[i, x]·b[j, y]`, flattened.
fn definition(factor: &TuckerFactor<f64>) -> Array2<f64> {
    let (core, a, b) = factor.parts();
    let kernel = core.len() / (a.nrows() * b.nrows());
    let core = core.to_shape((a.nrows(), b.nrows(), kernel)).unwrap().to_owned();
    Array2::from_shape_fn((a.ncols(), b.ncols() * kernel), |(x, column)| {
        let (y, k) = (column / kernel, column % kernel);
        (0..a.nrows()).map(|i| (0..b.nrows()).map(|j| core[[i, j, k]] * a[[i, x]] * b[[j, y]]).sum::<f64>()).sum()
    })
}

#[test]
fn the_factor_is_the_definition() {
    let array =
        |shape: &[usize], seed| vector::<f64>(shape.iter().product(), seed).into_shape_with_order(shape).unwrap();
    for (rank, p, q, kernel) in [(1, 1, 1, &[1][..]), (2, 5, 3, &[3]), (3, 2, 4, &[2, 3]), (2, 1, 2, &[2, 1, 2])] {
        let core = array(&[&[rank, rank], kernel].concat(), 1);
        let factor = TuckerFactor::new(core, matrix(rank, p, 2), matrix(rank, q, 3)).unwrap();
        assert_close(&factor.to_factor().unwrap().to_dense(), &definition(&factor), rank * rank, "factor");
        assert_eq!((factor.rank(), factor.kernel_values()), (rank, kernel.iter().product::<usize>()));
        let update = LoKrUpdate::from_tucker(matrix(2, 3, 4), factor.clone(), 0.5).unwrap();
        let delta = dense_kron(&matrix::<f64>(2, 3, 4), &definition(&factor)) * 0.5;
        assert_close(&update.weight().unwrap(), &delta, rank * rank, "update");
        assert_eq!(update.kernel(), kernel);
    }
}

#[test]
fn its_parts_are_trained() {
    for (what, settings) in [
        ("alone", settings()),
        ("two terms", settings().terms(2).term_weights(true)),
        ("norms of rows", settings().dora(DoraAxis::Output)),
        ("norms of channels", settings().dora(DoraAxis::Input)),
    ] {
        let mut adapter = settings.adapt(conv()).unwrap();
        check_gradients(&mut adapter, 2, what);
    }
    let mut adapter = settings().adapt(conv()).unwrap();
    let shapes: Vec<_> =
        named_parameters(&adapter).unwrap().into_iter().map(|(k, v)| (k, v.shape().to_vec())).collect();
    let expected =
        [("lokr_t2", vec![1, 1, 2, 2]), ("lokr_w1", vec![2, 2]), ("lokr_w2_a", vec![1, 4]), ("lokr_w2_b", vec![1, 3])];
    assert_eq!(shapes, expected.map(|(name, shape)| (name.to_owned(), shape)));
    assert_eq!(adapter.adapter_parameter_count(), 4 + 4 + 4 + 3);

    // Gradients add up, can be scaled in between, and a step moves what is computed with.
    let (x, dy) = (matrix::<f64>(2, 54, 1), matrix::<f64>(2, 32, 2));
    adapter.forward(&x).unwrap();
    adapter.backward(&dy).unwrap();
    let once = adapter.gradients().unwrap();
    adapter.visit_gradients_mut(&mut |_, mut gradient| gradient *= 2.0).unwrap();
    adapter.backward(&dy).unwrap();
    assert_close(&adapter.gradients().unwrap(), &(&once * 3.0), 54, "two and one");
    adapter.update_parameters(0.1).unwrap();
    let rebuilt = definition(adapter.update().tucker().unwrap());
    assert_close(&adapter.matrix_b().to_owned(), &rebuilt, 4, "after a step");
}

#[test]
fn starts_change_nothing_and_other_forms_are_chosen_where_they_are_due() {
    for init in [LoKrInit::Gaussian, LoKrInit::Lycoris, LoKrInit::Peft] {
        let base = conv();
        let adapter = settings().init(init).adapt(base.clone()).unwrap();
        let x = matrix(2, 54, 1);
        assert_eq!(adapter.predict(&x).unwrap(), base.predict(&x).unwrap(), "{init:?}");
        assert!(adapter.parameters().iter().any(|&v| v != 0.0));
    }
    let of = |settings: LoKrSettings<f64>, base| settings.adapt(base).map(|a| a.update().tucker().is_some());
    assert!(of(settings(), conv()).unwrap());
    assert!(!of(settings().rank(8), conv()).unwrap()); // a full factor
    let pointwise = convolution(&ConvGeometry::new(6, [3, 3], [1, 1]), (8, 6), [1, 1], Activation::Tanh);
    assert!(!of(settings(), pointwise).unwrap());
    let principal = of(settings().init(LoKrInit::Principal), conv());
    assert!(matches!(principal, Err(LayerError::InvalidSetting { setting: "tucker", .. })));
}

#[test]
fn norms_are_limited_and_balanced_part_by_part() {
    let mut update = settings().adapt(conv()).unwrap().update().clone();
    let before = update.weight().unwrap();
    let norm = update.limit_norm(0.25).unwrap();
    assert!((update.frobenius_norm().unwrap() - 0.25).abs() < 1e-12);
    assert_close(&update.weight().unwrap(), &(before * (0.25 / norm)), 4, "limited");
    assert_close(&update.delta().b().to_dense(), &definition(update.tucker().unwrap()), 4, "rebuilt");
    let factor = update.tucker().unwrap();
    let large = TuckerFactor::new(factor.parts().0 * 4096.0, factor.parts().1.clone(), factor.parts().2.clone());
    let mut update = LoKrUpdate::from_tucker(matrix(2, 2, 1), large.unwrap(), 1.0).unwrap();
    let before = update.weight().unwrap();
    assert!(update.balance());
    assert_eq!(update.weight().unwrap(), before);
}

#[test]
fn a_new_second_factor_takes_its_place() {
    let mut adapter = settings().adapt(conv()).unwrap();
    adapter.set_matrix_b(matrix(4, 3 * 4, 5)).unwrap();
    assert!(adapter.update().tucker().is_none());
    assert_eq!(adapter.adapter_parameter_count(), 4 + 48);
    check_gradients(&mut adapter, 1, "replaced");
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let core = |shape: &[usize]| ArrayD::<f64>::ones(IxDyn(shape));
    let made = |core, a: (usize, usize), b: (usize, usize)| {
        TuckerFactor::new(core, Array2::ones(a), Array2::ones(b)).map(|_| ()).unwrap_err()
    };
    let name_of = |error: LayerError| match error {
        LayerError::NamedShape { name, .. } => name,
        other => panic!("{other}"),
    };
    assert_eq!(name_of(made(core(&[2, 3, 3]), (2, 4), (2, 5))), "lokr_t2");
    assert_eq!(name_of(made(core(&[2, 2]), (2, 4), (2, 5))), "lokr_t2");
    assert_eq!(name_of(made(core(&[2, 2, 0]), (2, 4), (2, 5))), "lokr_t2");
    assert_eq!(name_of(made(core(&[]), (2, 4), (2, 5))), "lokr_t2");
    assert_eq!(name_of(made(core(&[2, 2, 3]), (3, 4), (2, 5))), "lokr_w2_a");
    assert_eq!(made(core(&[0, 0, 3]), (0, 4), (0, 5)), LayerError::InvalidRank { rank: 0 });
    assert!(matches!(made(core(&[2, 2, 3]) * f64::NAN, (2, 4), (2, 5)), LayerError::NonFinite { .. }));
    let factor = TuckerFactor::new(core(&[2, 2, 4]), Array2::ones((2, 4)), Array2::ones((2, 3))).unwrap();
    let update = LoKrUpdate::from_tucker(Array2::ones((2, 2)), factor.clone(), 1.0).unwrap();
    LoKrAdapter::from_update(conv(), update).unwrap();
    let wrong = LoKrUpdate::from_tucker(Array2::ones((2, 3)), factor, 1.0).unwrap();
    assert!(matches!(LoKrAdapter::from_update(conv(), wrong), Err(LayerError::Shape { expected: (8, 24), .. })));
}
