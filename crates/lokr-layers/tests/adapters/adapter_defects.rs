//! One test per defect of AiDotNet's LoKr adapter that a correct one must avoid, each of which would have caught it.
//! The numbers are those of the list the project was built from; what went wrong there is said at each test.

use std::collections::BTreeMap;

use lokr_core::KronShape;
use lokr_layers::{
    Activation, DeltaPlacement, GradientAt, Layer, LayerError, LoKrAdapter, LoKrInit, Result, Visitor, VisitorMut,
};
use ndarray::{Array1, Array2, ArrayRef2, Axis, s};

use crate::support::*;

/// Sizes of real layers and awkward ones, `(out, in)`.
const SIZES: [(usize, usize); 9] =
    [(768, 768), (64, 32), (32, 64), (10, 512), (2, 768), (127, 131), (1, 5), (5, 1), (96, 100)];

fn linear(out: usize, input: usize) -> lokr_layers::Dense<f64> {
    dense(&matrix(out, input, 1), &vector(out, 2), Activation::Relu)
}

/// Forward threw for 99 % of the shapes, because of a leftover product of matrices that do not fit.
#[test]
fn b_01_forward_works_for_every_shape_and_rank() {
    for (out, input) in SIZES {
        for rank in [1, 4, 8, 16, 32] {
            let mut adapter = adapter(linear(out, input), rank, 3);
            let x = matrix(2, input, 4);
            let expected = dense(&(matrix(out, input, 1) + delta_of(&adapter)), &vector(out, 2), Activation::Relu);
            let what = format!("{out}x{input} rank {rank}");
            assert_close(&adapter.forward(&x).unwrap(), &expected.predict(&x).unwrap(), input, &what);
        }
    }
}

/// Both sides of `A` came from the output size.
#[test]
fn b_02_out_and_in_are_factored_independently() {
    let adapter = adapter(linear(64, 45), 3, 3);
    assert_eq!((adapter.matrix_a_dimensions(), adapter.matrix_b_dimensions()), ((8, 5), (8, 9)));
    assert_eq!(adapter.rank(), 3);
}

/// The constructor threw for two thirds of the layers, classifier heads and primes among them.
#[test]
fn b_03_every_layer_gets_an_adapter() {
    for out in 1..=20 {
        for input in 1..=20 {
            for rank in [1, 4, 50] {
                let adapter = LoKrAdapter::new(linear(out, input), rank, None, true).unwrap();
                let ((m, n), (p, q)) = (adapter.matrix_a_dimensions(), adapter.matrix_b_dimensions());
                assert_eq!((m * p, n * q), (out, input));
            }
        }
    }
    let prime = LoKrAdapter::new(linear(13, 7), 2, None, true).unwrap();
    assert_eq!((prime.matrix_a_dimensions(), prime.matrix_b_dimensions()), ((1, 1), (13, 7)));
}

/// Forward read its input in the order of `B ⊗ A` and wrote its output in the order of `A ⊗ B`.
#[test]
fn b_04_one_order_in_forward_backward_and_merge() {
    let mut adapter = LoKrAdapter::builder(dense(&Array2::zeros((6, 6)), &Array1::zeros(6), Activation::Identity))
        .factor_shapes((2, 3), (3, 2))
        .full_matrix(true)
        .alpha(1.0)
        .rank(1)
        .build()
        .unwrap();
    // Entry (i, j) of A is 10^(3i + j), of B 1, 2, … 6: every element of the product tells where it came from.
    adapter.set_matrix_a(Array2::from_shape_fn((2, 3), |(i, j)| 10f64.powi((3 * i + j) as i32))).unwrap();
    adapter.set_matrix_b(Array2::from_shape_fn((3, 2), |(k, l)| (2 * k + l + 1) as f64)).unwrap();
    let expected = Array2::from_shape_fn((6, 6), |(row, col)| {
        10f64.powi((3 * (row / 3) + col / 2) as i32) * (2 * (row % 3) + col % 2 + 1) as f64
    });
    let unit = Array2::eye(6);
    assert_eq!(adapter.forward(&unit).unwrap(), expected.t()); // row i of the output is column i of the weight
    assert_eq!(adapter.backward(&unit).unwrap(), expected);
    assert_eq!(adapter.merge().unwrap().as_linear().unwrap().weight(), expected);
    assert_eq!(adapter.delta_weight(), expected);
}

/// Merging added an output-major delta to the input-major weights of a dense layer.
#[test]
fn b_05_merge_honours_the_orientation_of_the_stored_weights() {
    for (out, input) in [(32, 64), (64, 64)] {
        let (w, bias) = (matrix::<f64>(out, input, 1), vector(out, 2));
        let first = adapter(dense(&w, &bias, Activation::Relu), 8, 3);
        let second = adapter(fully_connected(&w, &bias, Activation::Relu), 8, 3);
        let expected = &w + &delta_of(&first);
        assert_close(&first.merge().unwrap().weights(), &expected.t(), 1, "input-major");
        assert_close(&second.merge().unwrap().weights(), &expected, 1, "output-major");
    }
}

/// The merged layer shared its weights with the base, which then carried the delta twice.
#[test]
fn b_06_merging_leaves_the_base_byte_for_byte() {
    let adapter = adapter(fully_connected(&matrix::<f64>(12, 18, 1), &vector(12, 2), Activation::Relu), 3, 3);
    let (x, before) = (matrix(4, 18, 4), bits(adapter.base_layer()));
    let y = adapter.predict(&x).unwrap();
    let mut merged = adapter.merge().unwrap();
    merged.set_parameters(&Array1::zeros(merged.parameter_count())).unwrap();
    assert_eq!(bits(adapter.base_layer()), before);
    assert_eq!(adapter.predict(&x).unwrap(), y);
}

/// With an unfrozen base the flat vectors ran out of range, and gradients came in another order than parameters.
#[test]
fn b_07_parameters_and_gradients_round_trip_in_both_modes() {
    for frozen in [true, false] {
        for rank in [2, 100] {
            let mut adapter = adapter(linear(30, 42), rank, 3);
            adapter.set_base_frozen(frozen);
            let mut expected: Vec<f64> =
                adapter.delta().parts().flat_map(|part| part.iter().copied().collect::<Vec<_>>()).collect();
            if !frozen {
                expected.extend(adapter.base_layer().parameters());
            }
            assert_eq!(adapter.parameters().to_vec(), expected);
            assert_eq!(adapter.parameter_count(), expected.len());

            let new = vector::<f64>(expected.len(), 9);
            adapter.set_parameters(&new).unwrap();
            assert_eq!(adapter.parameters(), new);

            // Names, values and gradients of one visit belong together, so a step along the flat vectors is the step.
            adapter.forward(&matrix(4, 42, 4)).unwrap();
            adapter.backward(&matrix(4, 30, 5)).unwrap();
            let stepped = &new - &(adapter.gradients().unwrap() * 0.25);
            adapter.update_parameters(0.25).unwrap();
            assert_eq!(adapter.parameters(), stepped);
        }
    }
}

/// The delta went in after the activation, the merge put it before.
#[test]
fn b_08_merging_never_changes_the_function() {
    let x = matrix(5, 42, 4);
    for activation in ACTIVATIONS {
        let base = dense(&matrix::<f64>(30, 42, 1), &vector(30, 2), activation);
        let before = adapter(base.clone(), 3, 3);
        let merged = before.merge().unwrap();
        assert_close(&merged.predict(&x).unwrap(), &before.predict(&x).unwrap(), 42, activation.name());
        let after = LoKrAdapter::builder(base).placement(DeltaPlacement::AfterActivation).build().unwrap();
        assert_eq!(after.merge().is_err(), activation != Activation::Identity);
    }
}

/// The scaling was `alpha/in`, and an alpha of 0 became the rank.
#[test]
fn b_09_the_scaling_is_alpha_over_rank_and_zero_is_zero() {
    let build = |alpha| LoKrAdapter::new(linear(64, 32), 8, alpha, true).unwrap();
    assert_eq!((build(None).alpha(), build(None).scaling()), (8.0, 1.0));
    assert_eq!((build(Some(4.0)).alpha(), build(Some(4.0)).scaling()), (4.0, 0.5));
    assert_eq!((build(Some(0.0)).alpha(), build(Some(0.0)).scaling()), (0.0, 0.0));
    let stabilised = LoKrAdapter::builder(linear(64, 32)).rank(16).alpha(8.0).rs_lora(true).build().unwrap();
    assert_eq!(stabilised.scaling(), 2.0);
}

/// An unused LoRA layer was made beside the factors: `rank` times their memory, and its limits on the rank.
#[test]
fn b_10_nothing_is_held_beside_the_factors() {
    let mut adapter = adapter(linear(6, 4), 50, 3); // rank above both sizes
    let mut seen = Vec::new();
    adapter.visit(&mut |name, values, _| seen.push((name.to_owned(), values.shape().to_vec())));
    // 6 = 2·3, 4 = 2·2.
    assert_eq!(seen, [("lokr_w1".to_owned(), vec![2, 2]), ("lokr_w2".to_owned(), vec![3, 2])]);
    let zeros = Array1::zeros(adapter.parameter_count());
    adapter.set_parameters(&zeros).unwrap();
    assert!(adapter.delta_weight().iter().all(|&v| v == 0.0));
}

/// Loading filled a mirror of the parameters that nothing read.
#[test]
fn b_11_loaded_parameters_are_the_ones_computed_with() {
    for frozen in [true, false] {
        let mut trained = adapter(linear(30, 42), 3, 3);
        let mut fresh = LoKrAdapter::new(linear(30, 42), 3, Some(1.5), true).unwrap();
        trained.set_base_frozen(frozen);
        fresh.set_base_frozen(frozen);
        let x = matrix(4, 42, 4);
        assert_ne!(fresh.predict(&x).unwrap(), trained.predict(&x).unwrap());
        fresh.set_parameters(&trained.parameters()).unwrap();
        assert_eq!(fresh.predict(&x).unwrap(), trained.predict(&x).unwrap());
        assert_eq!(fresh.delta(), trained.delta());
    }
}

/// Backward overwrote the gradients, and clearing left those of the factors standing.
#[test]
fn b_12_gradients_accumulate_until_cleared() {
    let mut adapter = adapter(linear(30, 42), 3, 3);
    adapter.set_base_frozen(false);
    let (x, dy) = (matrix(6, 42, 4), matrix(6, 30, 5));
    adapter.forward(&x).unwrap();
    adapter.backward(&dy).unwrap();
    let whole = adapter.gradients().unwrap();
    adapter.clear_gradients();
    assert_eq!(adapter.gradients().unwrap_err(), LayerError::NoGradients { layer: "LoKrAdapter" });
    for half in [s![..2, ..], s![2.., ..]] {
        adapter.forward(&x.slice(half)).unwrap();
        adapter.backward(&dy.slice(half)).unwrap();
    }
    assert_close(&adapter.gradients().unwrap(), &whole, 42, "two halves of a batch");
}

/// The width of the input was checked after the base had run, which might by then have resized itself.
#[test]
fn b_13_a_wrong_input_is_refused_before_anything_runs() {
    let mut adapter = adapter(Square::new(6), 2, 3);
    adapter.forward(&matrix(3, 6, 4)).unwrap();
    let (parameters, stored) = (bits(&adapter), adapter.base_layer().input.clone());
    let expected = |argument, expected, found| LayerError::Shape { layer: "LoKrAdapter", argument, expected, found };

    let mut y = Array2::from_elem((3, 6), 7.0);
    assert_eq!(adapter.forward_into(&matrix(3, 5, 5), &mut y).unwrap_err(), expected("x", (3, 6), (3, 5)));
    assert_eq!(adapter.predict_into(&matrix(3, 7, 5), &mut y).unwrap_err(), expected("x", (3, 6), (3, 7)));
    assert_eq!(adapter.forward_into(&matrix(2, 6, 5), &mut y).unwrap_err(), expected("y", (2, 6), (3, 6)));
    let dy = matrix(3, 6, 5);
    assert_eq!(adapter.backward(&matrix(2, 6, 5)).unwrap_err(), expected("dy", (3, 6), (2, 6)));
    let error = adapter.backward_into(&dy, GradientAt::Output, &mut Array2::zeros((3, 5))).unwrap_err();
    assert_eq!(error, expected("dx", (3, 6), (3, 5)));

    assert!(y.iter().all(|&v| v == 7.0));
    assert_eq!(bits(&adapter), parameters);
    assert_eq!(adapter.base_layer().input, stored);
    assert!(adapter.gradients().is_err() && adapter.base_layer().gradient.is_none());
    adapter.backward(&dy).unwrap(); // the last good forward still counts
}

/// The training mode never reached the base, and inference kept a copy of its input.
#[test]
fn b_14_the_mode_reaches_the_base_and_inference_keeps_nothing() {
    let mut adapter = adapter(Square::new(6), 2, 3);
    adapter.set_training_mode(false);
    assert!(!adapter.base_layer().training);
    adapter.set_training_mode(true);
    assert!(adapter.base_layer().training);
    adapter.predict(&matrix(3, 6, 4)).unwrap();
    assert!(adapter.base_layer().input.is_none());
    assert!(matches!(adapter.backward(&matrix(3, 6, 5)), Err(LayerError::BackwardBeforeForward { .. })));
}

/// The adapter had no named weights at all.
#[test]
fn b_15_every_parameter_has_the_name_that_files_use() {
    let names = |adapter: &LoKrAdapter<f64, _>| {
        let mut names = Vec::new();
        adapter.visit(&mut |name, _, _| names.push(name.to_owned()));
        names
    };
    let build = || LoKrAdapter::builder(linear(30, 42)).rank(2);
    assert_eq!(names(&build().build().unwrap()), ["lokr_w1", "lokr_w2_a", "lokr_w2_b"]);
    assert_eq!(names(&build().full_matrix(true).build().unwrap()), ["lokr_w1", "lokr_w2"]);
    let both = build().decompose_both(true).freeze_base(false).build().unwrap();
    assert_eq!(names(&both), ["lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "weight", "bias"]);
    let mut shapes = BTreeMap::new();
    both.visit(&mut |name, values, _| drop(shapes.insert(name.to_owned(), values.shape().to_vec())));
    assert_eq!(shapes["lokr_w1_b"], [2, 6]);
}

/// The documented example, `(50, 4) ⊗ (20, 4)` as a `(1000, 1000)` weight from 280 values, cannot exist.
#[test]
fn b_16_the_counts_are_honest() {
    let base = dense::<f32>(&Array2::zeros((1000, 1000)), &Array1::zeros(1000), Activation::Identity);
    let impossible = LoKrAdapter::builder(base.clone()).factor_shapes((50, 4), (20, 4)).build().unwrap_err();
    assert_eq!(impossible, LayerError::FactorShapes { m: 50, n: 4, p: 20, q: 4, weight: (1000, 1000) });
    assert_eq!(KronShape::new(50, 4, 20, 4).unwrap().dim(), (1000, 16));
    // What the crate's documentation says.
    let full = LoKrAdapter::builder(base.clone()).rank(8).full_matrix(true).build().unwrap();
    assert_eq!((full.matrix_a_dimensions(), full.matrix_b_dimensions()), ((25, 25), (40, 40)));
    assert_eq!(full.parameter_count(), 2225);
    assert_eq!(LoKrAdapter::new(base, 8, None, true).unwrap().parameter_count(), 1265);
}

/// Backward looped over the dense gradient, `batch·out·in` operations twice, and formed the product.
///
/// Here `ΔW` would have 2³⁴ values: 64 GiB in `f32`, and minutes of work. The factors have 2¹⁶ and 2¹⁸ values.
#[test]
fn b_17_no_step_forms_the_product_or_its_gradient() {
    let size = 1 << 17;
    let base = Passage(size);
    let mut adapter = LoKrAdapter::builder(base)
        .factor_shapes((256, 256), (512, 512))
        .rank(1000)
        .init(LoKrInit::Random)
        .build()
        .unwrap();
    let x = matrix::<f32>(1, size, 4);
    let y = adapter.forward(&x).unwrap();
    let dx = adapter.backward(&x).unwrap();
    // One output and one input gradient, by the definition of the product.
    let (a, b) = (adapter.matrix_a().to_owned(), adapter.matrix_b().to_owned());
    let (row, col) = (77_777, 12_345);
    let (mut output, mut gradient) = (0.0, 0.0);
    for k in 0..size {
        output += f64::from(a[[row / 512, k / 512]]) * f64::from(b[[row % 512, k % 512]]) * f64::from(x[[0, k]]);
        gradient += f64::from(a[[k / 512, col / 512]]) * f64::from(b[[k % 512, col % 512]]) * f64::from(x[[0, k]]);
    }
    assert!((f64::from(y[[0, row]] - x[[0, row]]) - output).abs() < 1e-4, "{} {output}", y[[0, row]]);
    assert!((f64::from(dx[[0, col]] - x[[0, col]]) - gradient).abs() < 1e-4, "{} {gradient}", dx[[0, col]]);
    assert_eq!(adapter.gradients().unwrap().len(), 256 * 256 + 512 * 512);
}

/// In the rewritten version nothing assigned the gradients: training changed no parameter.
#[test]
fn b_18_one_step_changes_the_parameters_and_lowers_the_loss() {
    for rank in [2, 100] {
        let mut adapter = LoKrAdapter::new(linear(30, 42), rank, None, true).unwrap(); // as a user starts: B is zero
        let (x, target) = (matrix::<f64>(8, 42, 4), matrix::<f64>(8, 30, 5));
        let loss = |y: &Array2<f64>| (y - &target).mapv(|d| d * d).sum() / 2.0;
        let (start, base) = (adapter.parameters(), bits(adapter.base_layer()));
        let mut losses = Vec::new();
        for _ in 0..30 {
            let y = adapter.forward(&x).unwrap();
            losses.push(loss(&y));
            adapter.clear_gradients();
            adapter.backward(&(y - &target)).unwrap();
            adapter.update_parameters(1e-3).unwrap();
        }
        assert_ne!(adapter.parameters(), start);
        assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "rank {rank}: {losses:?}");
        assert!(losses[29] < 0.95 * losses[0], "rank {rank}: {losses:?}");
        assert_eq!(bits(adapter.base_layer()), base); // frozen
    }
}

/// The tests only ever had `B = 0` and one lucky shape. Those here have neither factor zero; this one makes sure.
#[test]
fn b_19_the_adapters_under_test_do_something() {
    for (out, input) in SIZES {
        let adapter = adapter(linear(out, input), 4, 3);
        assert!(adapter.delta().parts().all(|part| part.iter().all(|&v| v != 0.0)));
        let x = matrix(2, input, 4);
        assert_ne!(adapter.predict(&x).unwrap(), adapter.base_layer().predict(&x).unwrap());
    }
}

/// Forward went sample by sample. A batch must give what its rows give, so that nothing leaks between samples.
#[test]
fn b_20_a_batch_is_its_rows() {
    let mut adapter = adapter(linear(30, 42), 3, 3);
    let x = matrix(7, 42, 4);
    let y = adapter.forward(&x).unwrap();
    for (i, row) in x.rows().into_iter().enumerate() {
        let alone = adapter.predict(&row.insert_axis(Axis(0))).unwrap();
        assert_close(&alone, &y.slice(s![i..=i, ..]), 42, &format!("row {i}"));
    }
}

/// A comment derived the gradient of `A` from an identity whose sizes do not match. This is the right one: the adjoint
/// of `A ↦ A ⊗ B`, applied to the dense gradient.
#[test]
fn b_21_factor_gradients_are_the_adjoint_of_the_product() {
    let base = dense(&matrix::<f64>(10, 12, 1), &vector(10, 2), Activation::Identity);
    let mut adapter = LoKrAdapter::builder(base)
        .factor_shapes((2, 3), (5, 4))
        .full_matrix(true)
        .rank(1)
        .alpha(0.7)
        .init(LoKrInit::Random)
        .build()
        .unwrap();
    let (x, dy) = (matrix::<f64>(3, 12, 4), matrix::<f64>(3, 10, 5));
    adapter.forward(&x).unwrap();
    adapter.backward(&dy).unwrap();
    let dense_gradient = dense_product(&dy.t(), &x) * 0.7;
    let (a, b) = (adapter.matrix_a().to_owned(), adapter.matrix_b().to_owned());
    let da = Array2::from_shape_fn((2, 3), |(i, j)| {
        (&dense_gradient.slice(s![i * 5..(i + 1) * 5, j * 4..(j + 1) * 4]) * &b).sum()
    });
    let db = Array2::from_shape_fn((5, 4), |(k, l)| (&dense_gradient.slice(s![k..;5, l..;4]) * &a).sum());
    let expected: Vec<f64> = da.iter().chain(&db).copied().collect();
    assert_close(&adapter.gradients().unwrap(), &Array1::from(expected), 60, "gradients");
}

/// The rank never changed the number of parameters: it was always `in + out`.
#[test]
fn b_22_a_lower_rank_has_fewer_parameters() {
    let counts: Vec<usize> = [1, 2, 4, 8, 16]
        .map(|rank| LoKrAdapter::new(linear(768, 768), rank, None, true).unwrap().parameter_count())
        .to_vec();
    // 768 = 24·32: A (24, 24), B (32, 32), low-rank below 16.
    assert_eq!(counts, [576 + 64, 576 + 128, 576 + 256, 576 + 512, 576 + 1024]);
    let both = LoKrAdapter::builder(linear(768, 768)).rank(2).decompose_both(true).build().unwrap();
    assert_eq!(both.parameter_count(), 2 * 48 + 2 * 64);
}

/// `y = x`, of any size without any memory.
#[derive(Debug, Clone)]
struct Passage(usize);

impl Layer<f32> for Passage {
    fn input_size(&self) -> usize {
        self.0
    }
    fn output_size(&self) -> usize {
        self.0
    }
    fn type_name(&self) -> &'static str {
        "Passage"
    }
    fn predict_into(&self, x: &ArrayRef2<f32>, y: &mut ArrayRef2<f32>) -> Result<()> {
        y.assign(x);
        Ok(())
    }
    fn forward_into(&mut self, x: &ArrayRef2<f32>, y: &mut ArrayRef2<f32>) -> Result<()> {
        self.predict_into(x, y)
    }
    fn backward_into(&mut self, dy: &ArrayRef2<f32>, _: GradientAt, dx: &mut ArrayRef2<f32>) -> Result<()> {
        dx.assign(dy);
        Ok(())
    }
    fn visit(&self, _: Visitor<'_, f32>) {}
    fn visit_mut(&mut self, _: VisitorMut<'_, f32>) {}
    fn clear_gradients(&mut self) {}
    fn reset_state(&mut self) {}
    fn set_training_mode(&mut self, _: bool) {}
    fn clone_box(&self) -> Box<dyn Layer<f32>> {
        Box::new(self.clone())
    }
}
