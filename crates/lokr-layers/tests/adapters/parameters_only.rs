//! The way back where nobody asks for the input's gradient: the same gradients of parameters, bit for bit.

use lokr_core::Scalar;
use lokr_layers::{
    Activation, Conv2d, ConvGeometry, DeltaPlacement, DoraAxis, Embedding, GradientAt, Layer, LayerError, LayerNorm,
    LoKrInit, LoKrSettings, Sequential,
};
use ndarray::Array2;

use crate::support::*;
use crate::whole_network;

fn random<T: Scalar>() -> LoKrSettings<T> {
    LoKrSettings::new().rank(1).alpha(T::from_f64_lossy(0.3)).init(LoKrInit::Random)
}

/// Layers of every kind with a name.
fn layers<T: Scalar>() -> Vec<(&'static str, Box<dyn Layer<T>>)> {
    let linear = || dense(&matrix::<T>(6, 12, 1), &vector(6, 2), Activation::Tanh);
    let geometry = || ConvGeometry::new(2, [3, 2], [2, 1]);
    let convolution = || {
        let weight = matrix::<T>(4, 4, 3).into_shape_with_order((4, 2, 2, 1)).unwrap();
        Conv2d::from_arrays(&geometry(), weight, vector(4, 5), Activation::Silu).unwrap()
    };
    let mut trained_base = random().adapt(linear()).unwrap();
    trained_base.set_base_frozen(false);
    let mut frozen = linear();
    frozen.set_frozen(true).unwrap();
    let mut trained_kernel = random().adapt(convolution()).unwrap();
    trained_kernel.set_base_frozen(false);
    let mut behind_frozen = Sequential::empty();
    behind_frozen.push(frozen.clone()).unwrap().push(LayerNorm::new(6).unwrap()).unwrap();
    behind_frozen.push(random().adapt(dense(&matrix(4, 6, 4), &vector(4, 1), Activation::Relu)).unwrap()).unwrap();
    vec![
        ("linear", Box::new(linear())),
        ("frozen", Box::new(frozen)),
        ("adapter", Box::new(random().adapt(linear()).unwrap())),
        ("after", Box::new(random().placement(DeltaPlacement::AfterActivation).adapt(linear()).unwrap())),
        ("base trains", Box::new(trained_base)),
        ("stacked", Box::new(random().adapt(random().adapt(linear()).unwrap()).unwrap())),
        ("dropout", Box::new(random().input_dropout(0.3).rank_dropout(0.2).adapt(linear()).unwrap())),
        ("decomposed by outputs", Box::new(random().dora(DoraAxis::Output).adapt(linear()).unwrap())),
        ("decomposed by inputs", Box::new(random().dora(DoraAxis::Input).adapt(linear()).unwrap())),
        ("no weight matrix", Box::new(random().adapt(LayerNorm::new(12).unwrap()).unwrap())),
        ("convolution", Box::new(convolution())),
        ("adapted convolution", Box::new(random().adapt(convolution()).unwrap())),
        ("its kernel trains", Box::new(trained_kernel)),
        ("behind frozen ones", Box::new(behind_frozen)),
    ]
}

fn both_ways<T: Scalar>(name: &str, layer: Box<dyn Layer<T>>, x: &Array2<T>) {
    let (mut whole, mut parameters) = (layer.clone(), layer);
    let dy = matrix::<T>(x.nrows(), whole.output_size(), 8);
    for _ in 0..2 {
        assert_eq!(whole.forward(x).unwrap(), parameters.forward(x).unwrap(), "{name}");
        whole.backward(&dy).unwrap();
        parameters.backward_parameters(&dy, GradientAt::Output).unwrap();
    }
    if whole.parameter_count() > 0 {
        assert_eq!(whole.gradients().unwrap(), parameters.gradients().unwrap(), "{name}");
    }
}

#[test]
fn gradients_of_parameters_do_not_depend_on_who_asks_for_that_of_the_input() {
    for batch in [0, 1, 5] {
        for (name, layer) in layers::<f64>() {
            both_ways(name, layer, &matrix(batch, 12, 9));
        }
    }
    layers::<f32>().into_iter().for_each(|(name, layer)| both_ways(name, layer, &matrix(3, 12, 9)));
    let network = whole_network::network::<f64>();
    both_ways("a network", Box::new(network.clone()), &whole_network::rows(7));
    let mut front = network;
    front.freeze("tokens").unwrap();
    both_ways("one with a frozen front", Box::new(front), &whole_network::rows(7));
    let embedding = Embedding::from_table(matrix::<f64>(5, 4, 8), 3).unwrap().passing(2);
    both_ways("an embedding", Box::new(embedding), &whole_network::rows(7));
}

#[test]
fn wrong_calls_are_refused_and_change_nothing() {
    for (name, mut layer) in layers::<f64>() {
        let (x, outputs) = (matrix::<f64>(4, 12, 9), layer.output_size());
        if layer.parameter_count() > 0 {
            let error = layer.backward_parameters(&matrix(4, outputs, 1), GradientAt::Output).unwrap_err();
            assert!(matches!(error, LayerError::BackwardBeforeForward { .. }), "{name}: {error}");
        }
        layer.forward(&x).unwrap();
        let error = layer.backward_parameters(&matrix(4, outputs + 1, 1), GradientAt::Output).unwrap_err();
        assert!(matches!(error, LayerError::Shape { .. }), "{name}: {error}");
        assert!(layer.gradients().is_err() || layer.parameter_count() == 0, "{name}");
        layer.backward_parameters(&matrix(4, outputs, 1), GradientAt::Output).unwrap();
    }
}
