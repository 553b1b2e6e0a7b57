//! Updates added up, averaged, compressed, balanced and limited.

use lokr_core::{Factor, Kron, Scalar};
use lokr_layers::{
    Activation, Adam, DoraAxis, Layer, LayerError, LoKrInit, LoKrSettings, LoKrUpdate, MeanSquaredError, PlacedUpdate,
    Progress, Samples, Sequential, Targets, Trainer, named_values,
};
use ndarray::{Array2, array};

use crate::support::*;

fn settings<T: Scalar>(seed: u64) -> LoKrSettings<T> {
    LoKrSettings::new().rank(2).alpha(T::from_f64_lossy(1.5)).init(LoKrInit::Random).seed(seed)
}

/// One with low-rank halves, one with full factors, one with several terms and all numbers, one that splits otherwise.
fn updates<T: Scalar>() -> [LoKrUpdate<T>; 4] {
    let several = settings(3).terms(2).term_weights(true).learned_scalar(true);
    let mut updates = [
        settings(1).update((12, 18)).unwrap(),
        settings(2).full_matrix(true).update((12, 18)).unwrap(),
        several.update((12, 18)).unwrap(),
        settings(4).factor(2).update((12, 18)).unwrap(),
    ];
    updates[1].set_multiplier(T::from_f64_lossy(-0.5)).unwrap();
    let base = dense(&matrix::<T>(12, 18, 1), &vector(12, 2), Activation::Identity);
    let mut trained = lokr_layers::LoKrAdapter::from_update(base, updates[2].clone()).unwrap();
    trained.visit_mut(&mut |name, mut values, _| {
        if name == "lokr_scalar" || name.ends_with("lokr_weight") {
            values.fill(T::from_f64_lossy(0.75));
        }
    });
    updates[2] = trained.into_parts().1;
    updates
}

fn norm<T: Scalar>(matrix: &Array2<T>) -> f64 {
    matrix.iter().map(|v| v.to_f64_exact().powi(2)).sum::<f64>().sqrt()
}

fn sums_are_sums<T: Scalar>() {
    let updates = updates::<T>();
    let t = |x: f64| T::from_f64_lossy(x);
    let dense: Vec<Array2<T>> = updates.iter().map(|update| update.weight().unwrap()).collect();
    assert!(dense.iter().all(|dense| norm(dense) > 0.1));
    let parts: Vec<_> = [0.5, -1.25, 2.0, 1.0].into_iter().map(t).zip(&updates).collect();
    let sum = LoKrUpdate::weighted_sum(&parts).unwrap();
    let expected =
        parts.iter().zip(&dense).fold(Array2::zeros((12, 18)), |sum, ((weight, _), dense)| sum + dense * *weight);
    assert_close(&sum.weight().unwrap(), &expected, 20, "the sum");
    assert_eq!(sum.terms().len(), 5);
    // Every factor keeps its bits.
    let kept = updates.iter().flat_map(LoKrUpdate::terms).zip(sum.terms());
    for ((_, before), (_, after)) in kept {
        assert!(before.parts().zip(after.parts()).all(|(a, b)| a == b));
    }
    let mean = LoKrUpdate::mean(&[&updates[0], &updates[1], &updates[2]]).unwrap();
    assert_close(&mean.weight().unwrap(), &((&dense[0] + &dense[1] + &dense[2]) / t(3.0)), 20, "the mean");
    for at in [0.0, 0.3, 1.0] {
        let between = LoKrUpdate::interpolate(&updates[0], &updates[3], t(at)).unwrap();
        let expected = &dense[0] * t(1.0 - at) + &dense[3] * t(at);
        assert_close(&between.weight().unwrap(), &expected, 20, "between");
    }
    assert!((sum.frobenius_norm().unwrap() - norm(&expected)).abs() < 1e-3);
    for (update, dense) in updates.iter().zip(&dense) {
        assert!((update.frobenius_norm().unwrap() / norm(dense) - 1.0).abs() < 1e-4);
    }
    // Recompressed: the error is what is said.
    for terms in 1..=5 {
        let (fewer, error) = sum.compressed(terms, 0.0).unwrap();
        assert!(fewer.terms().len() <= terms);
        let found = norm(&(&fewer.weight().unwrap() - &expected)) / norm(&expected);
        assert!(found < error + 1e3 * T::epsilon().to_f64_exact(), "{terms}: {found} {error}");
    }
    let (same, error) = sum.compressed(usize::MAX, 0.0).unwrap();
    assert!(error < 1e-12);
    assert_close(&same.weight().unwrap(), &expected, 40, "all of it");
}

#[test]
fn sums_means_and_lines_between_are_exact() {
    sums_are_sums::<f32>();
    sums_are_sums::<f64>();
}

#[test]
fn what_does_not_add_up_is_named() {
    let [first, ..] = updates::<f64>();
    let other = settings(1).update((12, 17)).unwrap();
    let base = dense(&matrix::<f64>(12, 18, 1), &vector(12, 2), Activation::Identity);
    let dora = settings(1).dora(DoraAxis::Output).adapt(base).unwrap().into_parts().1;
    assert!(matches!(LoKrUpdate::<f64>::weighted_sum(&[]), Err(LayerError::InvalidSetting { .. })));
    let refused = |parts: &[(f64, &LoKrUpdate<f64>)]| LoKrUpdate::weighted_sum(parts).unwrap_err();
    assert!(matches!(refused(&[(1.0, &first), (1.0, &other)]), LayerError::Shape { .. }));
    assert!(matches!(refused(&[(f64::NAN, &first)]), LayerError::InvalidSetting { .. }));
    assert!(refused(&[(1.0, &first), (1.0, &dora)]).to_string().contains("added up"));
    assert!(dora.compressed(1, 0.0).is_err() && dora.canonical().is_err());
    assert!(first.compressed(0, 0.0).is_err());
    for limit in [0.0, -1.0, f64::NAN] {
        assert!(matches!(first.clone().limit_norm(limit), Err(LayerError::InvalidSetting { .. })));
    }
}

#[test]
fn equal_updates_have_one_canonical_form() {
    for update in updates::<f64>() {
        // The same, differently: scales moved about, terms in another order and one of them in two.
        let mut terms: Vec<Kron<'static, f64>> = Vec::new();
        for (strength, term) in update.terms() {
            let (a, b) = (term.a().to_dense() * (strength * -8.0), term.b().to_dense() / -2.0);
            terms.insert(0, Kron::new(a.clone(), b.clone()).unwrap());
            terms.push(Kron::new(a * -3.0, b).unwrap());
        }
        let other = LoKrUpdate::from_terms(terms, -0.125).unwrap();
        assert_close(&other.weight().unwrap(), &update.weight().unwrap(), 20, "the same update");
        let (x, y) = (update.canonical().unwrap(), other.canonical().unwrap());
        assert_eq!(x.terms().len(), y.terms().len());
        for ((s, a), (t, b)) in x.terms().zip(y.terms()) {
            assert_eq!((s, t), (1.0, 1.0));
            for (a, b) in a.parts().zip(b.parts()) {
                assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-10));
            }
        }
        let delta = x.delta();
        assert!((norm(&delta.a().to_dense()) / norm(&delta.b().to_dense()) - 1.0).abs() < 1e-10);
    }
}

#[test]
fn balanced_factors_make_the_same_bits() {
    let halves = Factor::low_rank(matrix::<f32>(4, 2, 1) * 1e-3, matrix(2, 6, 2) * 1e6).unwrap();
    let term = Kron::new(matrix::<f32>(3, 3, 3) * 1e4, halves).unwrap();
    let mut update =
        LoKrUpdate::from_terms(vec![term, Kron::new(matrix(3, 3, 4), matrix(4, 6, 5)).unwrap()], 0.5).unwrap();
    let (before, second) = (update.weight().unwrap(), update.terms().nth(1).map(|(_, term)| term.clone()).unwrap());
    assert!(update.balance());
    assert_eq!(update.weight().unwrap(), before);
    let norms: Vec<f64> = update.delta().parts().map(|part| norm(&part.to_owned())).collect();
    let (least, most) = norms.iter().fold((f64::MAX, 0.0_f64), |(least, most), &n| (least.min(n), most.max(n)));
    assert!(most / least < 4.0, "{norms:?}");
    assert_eq!(update.terms().nth(1).map(|(_, term)| term.clone()), Some(second), "balanced already");
    assert!(!update.balance(), "twice is once");
    // Zeros, NaN, and what would be rounded, stay.
    for matrix in [array![[0.0]], array![[f64::NAN]], array![[f64::INFINITY]], array![[1e300, 1e-300]]] {
        let term = Kron::new(array![[1e-290, 5e-324]], &matrix).unwrap();
        if matrix.iter().all(|v| v.is_finite()) {
            let mut update = LoKrUpdate::from_terms(vec![term.clone()], 1.0).unwrap();
            update.balance();
            let ulp = update.weight().unwrap();
            assert_eq!(ulp, LoKrUpdate::from_terms(vec![term], 1.0).unwrap().weight().unwrap());
        }
    }
}

#[test]
fn norms_above_the_limit_are_brought_down_to_it() {
    for update in updates::<f64>() {
        let multiplier = update.multiplier();
        let (dense, before) =
            (update.weight().unwrap() / multiplier, update.frobenius_norm().unwrap() / multiplier.abs());
        let mut small = update.clone();
        assert!((small.limit_norm(before * 1.01).unwrap() - before).abs() < 1e-10);
        assert_eq!(small.weight().unwrap(), update.weight().unwrap());
        let mut limited = update.clone();
        assert!((limited.limit_norm(before / 3.0).unwrap() - before).abs() < 1e-10);
        assert_close(&(limited.weight().unwrap() / multiplier), &(dense / 3.0), 40, "a third");
    }
}

#[test]
fn updates_of_a_network_are_combined_and_compressed() {
    let mut network = Sequential::<f64>::empty();
    let layer = |out, input, seed| dense(&matrix::<f64>(out, input, seed), &vector(out, seed), Activation::Tanh);
    network.push_named("q", layer(12, 18, 1)).unwrap().push_named("v", layer(6, 12, 2)).unwrap();
    let on = |layer: &str, dim, seed| PlacedUpdate {
        layer: layer.into(),
        update: settings(seed).update(dim).unwrap(),
        placement: None,
    };
    network.put_updates("a", vec![on("q", (12, 18), 1), on("v", (6, 12), 2)]).unwrap();
    network.put_updates("b", vec![on("q", (12, 18), 3)]).unwrap();
    let x = matrix::<f64>(4, 18, 7);
    network.combine_updates("mixed", &[("a", 0.25), ("b", 2.0)]).unwrap();
    assert_eq!(network.active_update_names(), ["a", "b"]);
    network.activate(&["mixed"]).unwrap();
    let mixed = network.predict(&x).unwrap();
    network.activate(&["a", "b"]).unwrap();
    for (layer, name, weight) in [("q", "a", 0.25), ("q", "b", 2.0), ("v", "a", 0.25)] {
        network.adapter_mut(layer).unwrap().set_update_multiplier(name, weight).unwrap();
    }
    assert_close(&mixed, &network.predict(&x).unwrap(), 60, "the weighted sum");
    let errors = network.compress_updates("mixed", 2, 0.0).unwrap();
    assert_eq!(errors.iter().map(|(layer, _)| layer.as_str()).collect::<Vec<_>>(), ["q", "v"]);
    assert!(errors.iter().all(|(_, error)| *error < 1e-12));
    network.activate(&["mixed"]).unwrap();
    assert_close(&network.predict(&x).unwrap(), &mixed, 60, "two products hold it");
    let before = named_values(&network).unwrap();
    assert!(matches!(network.combine_updates("c", &[("a", 1.0), ("z", 1.0)]), Err(LayerError::UnknownName { .. })));
    assert!(network.combine_updates("c", &[("a", f64::INFINITY)]).is_err());
    assert!(matches!(network.compress_updates("z", 1, 0.0), Err(LayerError::UnknownName { .. })));
    assert_eq!(named_values(&network).unwrap(), before);
}

#[test]
fn training_keeps_factors_balanced_and_updates_small() {
    let (x, t) = (matrix::<f64>(40, 18, 5), matrix::<f64>(40, 12, 6) * 9.0);
    let samples = Samples::new(&x, Targets::Values(t.view())).unwrap();
    let adapter = || {
        let base = dense(&matrix::<f64>(12, 18, 1), &vector(12, 2), Activation::Identity);
        settings(1).full_matrix(true).adapt(base).unwrap()
    };
    let run = || Trainer::new(MeanSquaredError).epochs(6).batch_size(8);
    let train = |run: lokr_layers::Training<'_, f64>| {
        let mut network = Sequential::empty();
        network.push(adapter()).unwrap();
        run.fit(&mut network, &mut Adam::new(0.05).unwrap(), &samples).unwrap();
        let update = network.adapter("0").unwrap().named_update("default").unwrap().clone();
        (update.frobenius_norm().unwrap(), update)
    };
    let (plain, _) = train(run());
    assert!(plain > 3.0, "{plain}");
    let (limited, update) = train(run().limit_update_norm(2.0).balance_factors());
    assert!((limited - 2.0).abs() < 0.5 && limited < 2.0 + 1e-9, "{limited}");
    let ratio = norm(&update.delta().a().to_dense()) / norm(&update.delta().b().to_dense());
    assert!((0.5..=2.0).contains(&ratio), "{ratio}");
    let error = run().limit_update_norm(f64::NAN).fit(&mut adapter(), &mut Adam::new(0.1).unwrap(), &samples);
    assert!(matches!(error, Err(LayerError::InvalidSetting { .. })));
    let mut steps = 0;
    let watched =
        run().balance_factors().on_progress(|progress| steps += usize::from(matches!(progress, Progress::Step(_))));
    watched.fit(&mut adapter(), &mut Adam::new(0.01).unwrap(), &samples).unwrap();
    assert_eq!(steps, 30);
}
