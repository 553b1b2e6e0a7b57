//! What dropout leaves out, how often, and when not.

use lokr_layers::{Activation, Dense, Layer, LayerError, LoKrAdapter, LoKrBuilder, LoKrInit};
use ndarray::{Array1, Array2};

use crate::support::*;

/// Around a weight of zeros, so that the output is that of the update alone.
fn builder(out: usize, input: usize) -> LoKrBuilder<f64, Dense<f64>> {
    let base = dense(&Array2::zeros((out, input)), &Array1::zeros(out), Activation::Identity);
    LoKrAdapter::builder(base).full_matrix(true).rank(1).init(LoKrInit::Random).seed(11)
}

#[test]
fn inference_leaves_nothing_out() {
    let settings = |builder: LoKrBuilder<f64, Dense<f64>>| {
        builder.input_dropout(0.5).rank_dropout(0.5).module_dropout(0.5).build().unwrap()
    };
    let (plain, mut dropping) = (builder(30, 42).build().unwrap(), settings(builder(30, 42)));
    let x = matrix(5, 42, 1);
    let expected = plain.predict(&x).unwrap();
    assert_eq!(dropping.predict(&x).unwrap(), expected);
    dropping.set_training_mode(false);
    for _ in 0..4 {
        assert_close(&dropping.forward(&x).unwrap(), &expected, 42, "inference mode");
    }
    assert_eq!(dropping.compile(4).unwrap().forward(&x).unwrap(), plain.compile(4).unwrap().forward(&x).unwrap());
    assert_eq!(bits(&dropping.merge().unwrap()), bits(&plain.merge().unwrap()));
    dropping.set_training_mode(true);
    assert!((0..8).any(|_| dropping.forward(&x).unwrap() != expected));
}

/// Shares of `n` draws are within four standard deviations of theirs.
fn assert_share(count: usize, n: usize, share: f64, what: &str) {
    let (found, deviation) = (count as f64 / n as f64, (share * (1.0 - share) / n as f64).sqrt());
    assert!((found - share).abs() < 4.0 * deviation, "{what}: {found}, expected {share} ± {deviation}");
}

#[test]
fn rows_are_left_out_for_the_whole_batch_and_as_often_as_asked_for() {
    for (share, rescale) in [(0.25, false), (0.25, true), (0.6, true)] {
        let mut adapter = builder(40, 6).rank_dropout(share).rescale_rank_dropout(rescale).build().unwrap();
        let x = matrix::<f64>(3, 6, 1);
        let whole = adapter.predict(&x).unwrap();
        let (mut dropped, mut sum, forwards) = (0, Array2::<f64>::zeros(whole.dim()), 400);
        for _ in 0..forwards {
            let y = adapter.forward(&x).unwrap();
            let zero = |column: usize| y.column(column).iter().all(|&y| y == 0.0);
            let kept = (0..40).filter(|&column| !zero(column)).count();
            dropped += 40 - kept;
            let factor = if rescale { 40.0 / kept as f64 } else { 1.0 };
            for column in (0..40).filter(|&column| !zero(column)) {
                assert_close(&y.column(column).to_owned(), &(&whole.column(column) * factor), 6, "a row that is kept");
            }
            sum += &y;
        }
        assert_share(dropped, 40 * forwards, share, "rows");
        // The mean is that of the whole, or what is kept of it: within five deviations of a mean of so many draws.
        let mean = if rescale { 1.0 } else { 1.0 - share };
        let deviation = (share / (1.0 - share) / forwards as f64).sqrt();
        let largest = ((sum / forwards as f64 - &whole * mean) / &whole).fold(0.0, |max: f64, d| max.max(d.abs()));
        assert!(largest < 5.0 * deviation, "{largest}, {deviation}");
    }
}

#[test]
fn inputs_are_left_out_each_by_itself_and_the_rest_makes_up_for_them() {
    let share = 0.3;
    // The identity, so that every output is an input.
    let mut adapter = builder(24, 24).input_dropout(share).alpha(1.0).build().unwrap();
    let ((m, _), (p, _)) = (adapter.matrix_a_dimensions(), adapter.matrix_b_dimensions());
    adapter.set_matrix_a(Array2::eye(m)).unwrap();
    adapter.set_matrix_b(Array2::eye(p)).unwrap();
    let x = Array2::from_elem((50, 24), 1.0);
    let (mut dropped, mut total, forwards) = (0, 0.0, 20);
    for _ in 0..forwards {
        let y = adapter.forward(&x).unwrap();
        dropped += y.iter().filter(|&&y| y == 0.0).count();
        total += y.sum();
        assert!(y.iter().all(|&y| y == 0.0 || (y - 1.0 / (1.0 - share)).abs() < 1e-15));
        assert!(y.rows().into_iter().any(|row| row != y.row(0))); // not one mask for the batch
    }
    let count = forwards * x.len();
    assert_share(dropped, count, share, "inputs");
    assert!((total / count as f64 - 1.0).abs() < 5.0 * (share / (1.0 - share) / count as f64).sqrt());
}

#[test]
fn whole_updates_are_left_out_as_often_as_asked_for() {
    let mut adapter = builder(6, 4).module_dropout(0.35).build().unwrap();
    let (x, dy) = (matrix::<f64>(3, 4, 1), matrix::<f64>(3, 6, 2));
    let (whole, forwards) = (adapter.predict(&x).unwrap(), 2000);
    let mut skipped = 0;
    for _ in 0..forwards {
        let y = adapter.forward(&x).unwrap();
        adapter.clear_gradients();
        let dx = adapter.backward(&dy).unwrap();
        if y.iter().all(|&y| y == 0.0) {
            skipped += 1;
            assert!(dx.iter().all(|&d| d == 0.0) && adapter.gradients().unwrap().iter().all(|&g| g == 0.0));
        } else {
            assert_eq!(y, whole);
            assert!(adapter.gradients().unwrap().iter().any(|&g| g != 0.0));
        }
    }
    assert_share(skipped, forwards, 0.35, "updates");
}

/// A run that goes on elsewhere draws the same numbers.
#[test]
fn the_seed_and_the_number_of_forwards_decide_what_is_left_out() {
    let build = |seed| {
        let builder = builder(30, 42).seed(seed).input_dropout(0.2).rank_dropout(0.3).module_dropout(0.2);
        builder.build().unwrap()
    };
    let x = matrix::<f64>(5, 42, 1);
    let run = |adapter: &mut LoKrAdapter<f64, Dense<f64>>, steps: usize| {
        (0..steps).map(|_| adapter.forward(&x).unwrap()).collect::<Vec<_>>()
    };
    let whole = run(&mut build(3), 12);
    assert_eq!(run(&mut build(3), 12), whole);
    assert_ne!(run(&mut build(4), 12), whole);

    let mut first = build(3);
    assert_eq!(run(&mut first, 5), whole[..5]);
    let mut states = Vec::new();
    first.visit_random_states(&mut |name, state| states.push((name.to_owned(), *state)));
    assert_eq!(states, [("lokr_dropout".to_owned(), 5)]);
    let mut second = build(3);
    second.visit_random_states(&mut |_, state| *state = states[0].1);
    assert_eq!(run(&mut second, 7), whole[5..]);
    let mut none = Vec::new();
    builder(6, 4).build().unwrap().visit_random_states(&mut |name, _| none.push(name.to_owned()));
    assert!(none.is_empty()); // nothing is drawn without dropout
}

#[test]
fn shares_out_of_range_are_refused_by_name() {
    for share in [-0.1, 1.0, f64::NAN] {
        for (setting, builder) in [
            ("input dropout", builder(6, 4).input_dropout(share)),
            ("rank dropout", builder(6, 4).rank_dropout(share)),
            ("module dropout", builder(6, 4).module_dropout(share)),
        ] {
            let error = builder.build().unwrap_err();
            assert!(matches!(error, LayerError::InvalidSetting { setting: s, .. } if s == setting), "{error}");
        }
    }
}
