//! Plain LoRA beside LoKr, and conversions between the two.

use lokr_core::Kron;
use lokr_layers::{
    Activation, AdaptSettings, Adapter, DoraAxis, Layer, LayerError, LoKrAdapter, LoKrInit, LoKrSettings, LoKrUpdate,
    LoraAdapter, Sequential, named_parameters,
};
use ndarray::Array2;

use crate::support::convolution::check_gradients;
use crate::support::*;

fn base() -> lokr_layers::FullyConnected<f64> {
    fully_connected(&matrix(12, 18, 1), &vector(12, 2), Activation::Tanh)
}

fn lora(rank: usize) -> LoKrSettings<f64> {
    LoKrSettings::new().rank(rank).alpha(3.0).lora()
}

fn norm(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[test]
fn lora_is_two_matrices_and_starts_at_nothing() {
    let x = matrix::<f64>(4, 18, 3);
    let adapter = lora(2).adapt(base()).unwrap();
    assert_eq!(adapter.predict(&x).unwrap(), base().predict(&x).unwrap());
    let parameters = named_parameters(&adapter).unwrap();
    let names: Vec<_> = parameters.keys().map(String::as_str).collect();
    assert_eq!(names, ["lora_A", "lora_B"]);
    let (a, b) = (&parameters["lora_A"], &parameters["lora_B"]);
    assert_eq!((a.shape(), b.shape()), (&[2, 18][..], &[12, 2][..]));
    assert!(b.iter().all(|&v| v == 0.0));
    let bound = 1.0 / 18f64.sqrt(); // PEFT's start: Kaiming with a = √5
    assert!(a.iter().all(|v| v.abs() <= bound) && a.iter().any(|v| v.abs() > bound / 2.0));
    assert_eq!(adapter.parameter_count(), 2 * (12 + 18));
    assert!(adapter.update().is_lora() && !settings_of_lokr().adapt(base()).unwrap().update().is_lora());
    // Any rank makes two matrices.
    assert_eq!(lora(20).adapt(base()).unwrap().parameter_count(), 20 * (12 + 18));
}

fn settings_of_lokr() -> LoKrSettings<f64> {
    LoKrSettings::new().rank(1).init(LoKrInit::Random).seed(4)
}

#[test]
fn lora_is_the_formula_and_trains() {
    for (what, settings) in [
        ("plain", lora(2).init(LoKrInit::Random)),
        ("base too", lora(2).init(LoKrInit::Random).freeze_base(false)),
        ("DoRA", lora(2).init(LoKrInit::Random).dora(DoraAxis::Output)),
    ] {
        let mut adapter = settings.adapt(base()).unwrap();
        check_gradients(&mut adapter, 3, what);
    }
    let mut adapter = lora(2).init(LoKrInit::Random).adapt(base()).unwrap();
    let parameters = named_parameters(&adapter).unwrap();
    let matrix_of = |name: &str| parameters[name].clone().into_dimensionality::<ndarray::Ix2>().unwrap();
    let delta = dense_product(&matrix_of("lora_B"), &matrix_of("lora_A")) * 1.5; // alpha/rank
    assert_close(&LoraAdapter::delta_weight(&adapter), &delta, 2, "delta");
    let x = matrix::<f64>(4, 18, 3);
    let merged = fully_connected(&(matrix::<f64>(12, 18, 1) + &delta), &vector(12, 2), Activation::Tanh);
    assert_close(&adapter.predict(&x).unwrap(), &merged.predict(&x).unwrap(), 18, "merged");
    // It stands beside LoKr on a layer, and around it.
    adapter.add_update("lokr", settings_of_lokr().update((12, 18)).unwrap()).unwrap();
    check_gradients(&mut adapter, 2, "beside");
    let mut around = lora(1).init(LoKrInit::Random).adapt(adapter).unwrap();
    around.set_base_frozen(false);
    check_gradients(&mut around, 2, "around");
    assert!(named_parameters(&around).unwrap().contains_key("base.lora_A"));
}

#[test]
fn the_principal_start_of_lora_is_pissa() {
    let settings = lora(2).alpha(2.0).init(LoKrInit::Principal);
    let adapter = settings.adapt(base()).unwrap();
    let w = matrix::<f64>(12, 18, 1);
    let svd = Kron::new(Array2::ones((1, 1)), &w).unwrap().svd().unwrap();
    let (left, right) = svd.low_rank(2).unwrap();
    assert_close(&adapter.delta_weight(), &dense_product(&left, &right), 18, "the two largest");
    let x = matrix::<f64>(4, 18, 3);
    assert_close(&adapter.predict(&x).unwrap(), &base().predict(&x).unwrap(), 18, "nothing changed");
}

#[test]
fn a_network_is_adapted_by_lora_with_ranks_by_name() {
    let mut network = Sequential::empty();
    network.push_named("a", base()).unwrap();
    network.push_named("b", fully_connected(&matrix(5, 12, 3), &vector(5, 4), Activation::Identity)).unwrap();
    let report = network.adapt(["a", "b"], AdaptSettings::from(lora(2)).rank_pattern("b", 1)).unwrap();
    assert_eq!(report.trainable, 2 * (12 + 18) + (5 + 12));
}

/// One term, several, and low-rank ones: the error is known before the LoRA is made, and no LoRA is nearer.
#[test]
fn lokr_becomes_lora_with_an_error_known_before() {
    let sum = LoKrSettings::new().terms(2).full_matrix(true).init(LoKrInit::Random).update((12, 18)).unwrap();
    let single = LoKrSettings::new().full_matrix(true).alpha(5.0).init(LoKrInit::Random).update((12, 18)).unwrap();
    for (update, bound) in [(sum, 12), (single, 12), (settings_of_lokr().update((12, 18)).unwrap(), 3)] {
        let weight = update.weight().unwrap();
        let values = Kron::new(Array2::ones((1, 1)), &weight).unwrap().svd().unwrap().values().to_owned();
        let total = norm(&weight);
        for rank in [1, 2, 3, 5, 9, 12, 40] {
            let wanted = values.iter().skip(rank).map(|v| v * v).sum::<f64>().sqrt() / total;
            let before = update.lora_error(rank).unwrap();
            let (made, error) = update.to_lora(rank).unwrap();
            let halves = update.lora_halves(rank).unwrap();
            let found = norm(&(made.weight().unwrap() - &weight)) / total;
            assert!(
                (before - wanted).abs() < 1e-7 && (found - wanted).abs() < 1e-7,
                "{rank}: {before}, {found}, {wanted}"
            );
            assert!((error - before).abs() < 1e-7);
            assert_eq!((made.is_lora(), halves.left.ncols() <= rank), (true, true));
            assert!((halves.norm - total).abs() < 1e-12 * total);
            assert_close(&dense_product(&halves.left, &halves.right), &made.weight().unwrap(), 18, "halves");
            if rank >= bound {
                assert_close(&made.weight().unwrap(), &weight, 18, "exact");
            }
        }
        let rank = update.lora_rank(1e-6).unwrap();
        assert_eq!(rank, bound);
        assert!(update.lora_error(update.lora_rank(0.3).unwrap()).unwrap() <= 0.3);
    }
}

#[test]
fn lora_becomes_the_nearest_lokr_and_finds_the_one_it_was() {
    let mut adapter = settings_of_lokr().adapt(base()).unwrap();
    adapter.set_multiplier(0.5).unwrap();
    let before = adapter.delta_weight();
    let (as_lora, error) = adapter.to_lora(3).unwrap();
    assert_eq!(error, 0.0);
    assert_close(&as_lora.delta_weight(), &before, 18, "as LoRA");
    let (back, error) = as_lora.to_lokr((3, 3), (4, 6), 1).unwrap();
    assert!(error < 1e-7, "{error}");
    assert!(norm(&(back.delta_weight() - &before)) < 1e-7 * norm(&before));

    // Of a LoRA that is no product the nearest is what the rearranged matrix says.
    let trained = lora(2).init(LoKrInit::Random).adapt(base()).unwrap();
    let delta = trained.delta_weight();
    let mut last = 1.0;
    for terms in [1, 2, 4, 9] {
        let (near, error) = trained.to_lokr((3, 3), (4, 6), terms).unwrap();
        let found = norm(&(near.delta_weight() - &delta)) / norm(&delta);
        assert!((found - error).abs() < 1e-6, "{terms}: {found}, {error}");
        assert!(error < last);
        last = error;
    }
    assert!(last < 1e-6);
    assert_eq!(trained.base_layer().parameters(), base().parameters());
}

#[test]
fn what_cannot_be_converted_is_refused() {
    let update: LoKrUpdate<f64> = settings_of_lokr().update((12, 18)).unwrap();
    assert_eq!(update.to_lora(0).unwrap_err(), LayerError::InvalidRank { rank: 0 });
    assert!(matches!(update.to_lokr((3, 3), (4, 5), 1), Err(LayerError::FactorShapes { q: 5, .. })));
    assert!(matches!(update.to_lokr((3, 3), (4, 6), 0), Err(LayerError::Kron(_))));
    let mut adapter = settings_of_lokr().dora(DoraAxis::Output).adapt(base()).unwrap();
    assert!(matches!(adapter.to_lora(2), Err(LayerError::InvalidSetting { .. })));
    assert!(matches!(adapter.update().lora_error(2), Err(LayerError::InvalidSetting { .. })));
    adapter = settings_of_lokr().adapt(base()).unwrap();
    adapter.merge_in_place(lokr_layers::Restore::Exact).unwrap();
    assert!(matches!(adapter.to_lora(2), Err(LayerError::AlreadyMerged { .. })));
    let zero = LoKrAdapter::new(base(), 2, None, true).unwrap();
    let (made, error) = zero.to_lora(1).unwrap();
    assert_eq!((error, zero.update().lora_rank(0.0).unwrap()), (0.0, 0));
    assert!(made.delta_weight().iter().all(|&v| v == 0.0));
}
