use lokr_core::Scalar;
use lokr_testing::{assert_close, central_difference, matrix};
use ndarray::{Array2, array};
use ndarray_rand::rand::{SeedableRng, rngs::SmallRng};

use super::{Embedding, LayerNorm};
use crate::activation::Activation;
use crate::error::LayerError;
use crate::layer::{Layer, Loading, load_values, named_values};
use crate::linear::{Dense, FullyConnected, Init};
use crate::network::Sequential;
use crate::test_support::{ACTIVATIONS, check_gradients, check_layouts};
use crate::training::{Adam, CrossEntropy, Samples, Targets, Trainer, evaluate};

/// Sizes of the normalised pieces, pieces and rows, odd ones among them.
const SIZES: [(usize, usize, usize); 5] = [(5, 1, 3), (2, 3, 4), (7, 2, 1), (3, 1, 0), (1, 4, 2)];

fn norm<T: Scalar>(size: usize, pieces: usize) -> LayerNorm<T> {
    let mut layer = LayerNorm::new(size).unwrap().pieces(pieces).epsilon(1e-3).unwrap();
    let parameters = matrix::<T>(1, 2 * size, 4).row(0).to_owned();
    layer.set_parameters(&parameters).unwrap();
    layer
}

fn norms_are_the_definition<T: Scalar>(length: usize) {
    for (size, pieces, rows) in SIZES {
        let (mut layer, x) = (norm::<T>(size, pieces), matrix::<T>(rows, size * pieces, 5));
        let parameters = layer.parameters();
        let mut expected = Array2::zeros(x.dim());
        for row in 0..rows {
            for piece in 0..pieces {
                let at = |i: usize| x[[row, piece * size + i]].to_f64_exact();
                let mean = (0..size).map(at).sum::<f64>() / size as f64;
                let variance = (0..size).map(|i| (at(i) - mean) * (at(i) - mean)).sum::<f64>() / size as f64;
                for i in 0..size {
                    let (w, b) = (parameters[i].to_f64_exact(), parameters[size + i].to_f64_exact());
                    let y = (at(i) - mean) / (variance + 1e-3).sqrt() * w + b;
                    expected[[row, piece * size + i]] = T::from_f64_lossy(y);
                }
            }
        }
        // Values of one mean lose digits to it.
        assert_close(&layer.predict(&x).unwrap(), &expected, length, "predict");
        assert_eq!(layer.forward(&x).unwrap(), layer.predict(&x).unwrap());
    }
}

#[test]
fn layer_norm_is_its_definition() {
    norms_are_the_definition::<f32>(64);
    norms_are_the_definition::<f64>(64);
    // PyTorch 2.8: torch.nn.LayerNorm(3)(torch.tensor([[1., 2., 6.]]))
    let y = LayerNorm::<f64>::new(3).unwrap().predict(&array![[1.0, 2.0, 6.0]]).unwrap();
    let root = (14.0_f64 / 3.0 + 1e-5).sqrt();
    assert_close(&y, &array![[-2.0 / root, -1.0 / root, 3.0 / root]], 4, "by hand");
}

#[test]
fn every_gradient_of_layer_norm_agrees_with_central_differences() {
    for (size, pieces, rows) in SIZES {
        let x = matrix::<f64>(rows, size * pieces, 5);
        check_gradients(&mut norm(size, pieces), &x);
        check_layouts(&mut norm(size, pieces), &x, &matrix(rows, size * pieces, 6));
    }
}

#[test]
fn an_embedding_is_a_row_for_each_token() {
    for (tokens, values, columns, passed, rows) in
        [(7, 3, 2, 1, 4), (1, 1, 1, 0, 1), (5, 2, 3, 0, 3), (3, 4, 1, 2, 0), (4, 1, 1, 3, 2)]
    {
        let table = matrix::<f32>(tokens, values, 1);
        let mut layer = Embedding::from_table(table.clone(), columns).unwrap().passing(passed);
        let numbers = matrix::<f32>(rows, passed, 2);
        let x = Array2::from_shape_fn((rows, columns + passed), |(i, j)| {
            if j < columns { ((3 * i + 5 * j) % tokens) as f32 } else { numbers[[i, j - columns]] }
        });
        let expected = Array2::from_shape_fn((rows, columns * values + passed), |(i, j)| {
            if j < columns * values {
                table[[x[[i, j / values]] as usize, j % values]]
            } else {
                numbers[[i, j - columns * values]]
            }
        });
        assert_eq!(layer.predict(&x).unwrap(), expected);
        assert_eq!(layer.forward(&x).unwrap(), expected);
        assert_eq!((layer.input_size(), layer.output_size()), (columns + passed, columns * values + passed));
    }
}

#[test]
fn every_gradient_of_an_embedding_agrees_with_central_differences() {
    let mut layer = Embedding::from_table(matrix::<f64>(4, 3, 1), 2).unwrap().passing(2);
    let x = array![[1.0, 3.0, 0.3, -0.2], [1.0, 1.0, 0.5, 0.0], [0.0, 3.0, -1.0, 2.0]]; // no token 2, token 1 thrice
    let c = matrix::<f64>(3, 8, 9);
    layer.forward(&x).unwrap();
    let dx = layer.backward(&c).unwrap();
    let (gradients, parameters) = (layer.gradients().unwrap(), layer.parameters());
    for k in 0..parameters.len() {
        let slope = central_difference(|delta| {
            let mut moved = parameters.clone();
            moved[k] += delta;
            layer.set_parameters(&moved).unwrap();
            (layer.predict(&x).unwrap() * &c).sum()
        });
        assert!((gradients[k] - slope).abs() < 1e-8, "{k}: {} {slope}", gradients[k]);
    }
    for ((i, j), &found) in dx.indexed_iter() {
        let slope = central_difference(|delta| {
            let mut moved = x.clone();
            if j >= 2 {
                moved[[i, j]] += delta; // what is no token
            }
            (layer.predict(&moved).unwrap() * &c).sum()
        });
        assert!((found - slope).abs() < 1e-8, "({i}, {j})");
    }
    // A second backward adds up.
    layer.set_parameters(&parameters).unwrap();
    layer.forward(&x).unwrap();
    layer.backward(&c).unwrap();
    layer.backward(&c).unwrap();
    assert_close(&layer.gradients().unwrap(), &(gradients * 2.0), 1, "twice");
    check_layouts(&mut layer, &x, &c);
}

#[test]
fn what_is_no_token_is_named_and_nothing_is_written() {
    let mut layer = Embedding::from_table(matrix::<f32>(4, 3, 1), 2).unwrap();
    for (value, shown) in [(4.0, 4.0), (-1.0, -1.0), (0.5, 0.5), (f32::INFINITY, f64::INFINITY)] {
        let mut y = Array2::from_elem((2, 6), 7.0);
        let x = array![[0.0, 3.0], [value, 1.0]];
        for error in [layer.predict_into(&x, &mut y), layer.forward_into(&x, &mut y)] {
            let expected = LayerError::Token { layer: "Embedding", row: 1, column: 0, value: shown, count: 4 };
            assert_eq!(error, Err(expected));
        }
        assert!(y.iter().all(|&v| v == 7.0));
    }
    let nan = layer.predict(&array![[f32::NAN, 0.0]]).unwrap_err();
    assert!(nan.to_string().contains("row 0, column 0 is NaN, expected a whole number in 0..4"), "{nan}");
    assert!(matches!(layer.predict(&array![[0.0]]), Err(LayerError::Shape { argument: "x", .. })));
    assert!(matches!(layer.backward(&Array2::zeros((1, 6))), Err(LayerError::BackwardBeforeForward { .. })));
    assert!(matches!(Embedding::<f32>::from_table(Array2::zeros((0, 3)), 1), Err(LayerError::ZeroSize { .. })));
    assert!(matches!(Embedding::<f32>::from_table(Array2::zeros((2, 3)), 0), Err(LayerError::ZeroSize { .. })));
    assert!(matches!(
        Embedding::from_table(array![[f32::NAN]], 1),
        Err(LayerError::NonFinite { argument: "the table", .. })
    ));
    let rng = &mut SmallRng::seed_from_u64(1);
    let many = Embedding::<f32>::new((1 << 24) + 2, 1, 1, Init::Zeros, rng);
    assert!(matches!(many, Err(LayerError::InvalidSetting { setting: "number of tokens", .. })));
    assert!(matches!(LayerNorm::<f32>::new(0), Err(LayerError::ZeroSize { .. })));
    for epsilon in [0.0, -1.0, f64::NAN, 1e-60] {
        let refused = LayerNorm::<f32>::new(2).unwrap().epsilon(epsilon);
        assert!(matches!(refused, Err(LayerError::InvalidSetting { setting: "epsilon", .. })));
    }
}

/// All that a layer promises beside its numbers.
fn behaves(mut layer: Box<dyn Layer<f64>>, x: &Array2<f64>) {
    let (values, dy) = (named_values(&layer).unwrap(), matrix(x.nrows(), layer.output_size(), 3));
    assert!(matches!(layer.backward(&dy), Err(LayerError::BackwardBeforeForward { .. })));
    layer.forward(x).unwrap();
    layer.backward(&dy).unwrap();
    let dx = layer.backward(&dy).unwrap();
    layer.update_parameters(0.1).unwrap();
    assert!(matches!(layer.backward(&dy), Err(LayerError::BackwardBeforeForward { .. })));
    assert_ne!(named_values(&layer).unwrap(), values);
    load_values(&mut layer, &values, Loading::Complete).unwrap();
    assert!(layer.gradients().is_err(), "they belong to other values");

    layer.set_frozen(true).unwrap();
    assert!(layer.is_frozen() && layer.parameter_count() == 0);
    layer.forward(x).unwrap();
    assert_eq!(layer.backward(&dy).unwrap(), dx);
    assert_eq!(named_values(&layer).unwrap(), values);
    let merged = layer.merged().unwrap();
    assert!(merged.parameter_count() > 0 && merged.predict(x).unwrap() == layer.predict(x).unwrap());
    layer.reset_state();
    assert!(layer.backward(&dy).is_err());
}

#[test]
fn plain_layers_keep_the_rules_of_layers() {
    let x = array![[0.0, 2.0, 0.25], [1.0, 1.0, -0.5]];
    behaves(Box::new(Embedding::from_table(matrix(3, 2, 1), 2).unwrap().passing(1)), &x);
    behaves(Box::new(norm::<f64>(3, 1)), &x);
    let dense = Dense::from_arrays(matrix(3, 4, 1), ndarray::Array1::ones(4), Activation::Tanh).unwrap();
    behaves(Box::new(dense.without_bias()), &x);
}

#[test]
fn layers_without_bias_are_their_products() {
    for activation in ACTIVATIONS {
        let (w, x) = (matrix::<f64>(4, 3, 1), matrix::<f64>(5, 3, 2));
        let bias = || ndarray::Array1::from_elem(4, 9.0);
        let mut dense = Dense::from_arrays(w.t().to_owned(), bias(), activation).unwrap().without_bias();
        let mut full = FullyConnected::from_arrays(w.clone(), bias(), activation).unwrap().without_bias();
        let zero = FullyConnected::from_arrays(w, ndarray::Array1::zeros(4), activation).unwrap();
        for layer in [&mut dense as &mut dyn Layer<f64>, &mut full] {
            assert_close(&layer.predict(&x).unwrap(), &zero.predict(&x).unwrap(), 3, "predict");
            assert_eq!(named_values(layer).unwrap().into_keys().collect::<Vec<_>>(), ["weight"]);
            assert!(!layer.as_linear().unwrap().has_bias());
            check_gradients(layer, &x);
        }
        assert!(matches!(full.set_bias(&bias()), Err(LayerError::InvalidSetting { setting: "bias", .. })));
    }
}

/// Two categories and a number in, a class out.
#[test]
fn a_small_tabular_model_trains() {
    let rng = &mut SmallRng::seed_from_u64(3);
    let mut network = Sequential::<f32>::empty();
    network
        .push_named("embed", Embedding::new(6, 4, 2, Init::Normal { deviation: 1.0 }, rng).unwrap().passing(1))
        .unwrap()
        .push_named("norm", LayerNorm::new(9).unwrap())
        .unwrap()
        .push_named("body", Dense::new(9, 16, Activation::Gelu, Init::HeNormal, rng).unwrap().without_bias())
        .unwrap()
        .push_named("head", Dense::new(16, 2, Activation::Identity, Init::XavierNormal, rng).unwrap())
        .unwrap();
    let x = Array2::from_shape_fn((72, 3), |(i, j)| match j {
        0 => (i % 6) as f32,
        1 => (i / 6 % 6) as f32,
        _ => ((7 * i) % 13) as f32 / 13.0,
    });
    let labels: Vec<usize> = x.rows().into_iter().map(|row| usize::from((row[0] + row[1]) % 2.0 == 0.0)).collect();
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    Trainer::new(CrossEntropy::new())
        .epochs(60)
        .batch_size(12)
        .fit(&mut network, &mut Adam::new(0.02).unwrap(), &samples)
        .unwrap();
    assert!(evaluate(&network, &samples, CrossEntropy::new()).unwrap().accuracy > Some(0.95));
}
