//! A training step of a whole network, as a job.

use lokr::layers::{
    Activation, AdamW, CrossEntropy, FullyConnected, Layer, LoKrSettings, LossFunction, Optimizer, Sequential, Targets,
};
use ndarray::{Array1, Array2};

use crate::{Prepared, pattern};

/// Scaling of the adapters, small beside weights that are as large as such networks start with.
const SCALING: f32 = 0.0625;

/// Forward, cross-entropy, backward and AdamW for `sizes` written as `784-1024-1024-10`: ReLU between the layers, a
/// frozen base, and on each layer an adapter with full factors of the shapes that LyCORIS chooses. The result is the
/// loss before the step.
pub(crate) fn prepare(sizes: &str, batch: usize) -> Result<Prepared, String> {
    let sizes = sizes.split('-').map(str::parse).collect::<Result<Vec<usize>, _>>();
    let sizes = sizes.map_err(|_| "a network is written as 784-1024-1024-10".to_owned())?;
    let (Some(&inputs), Some(&outputs)) = (sizes.first(), sizes.last()) else { return Err("no layers".to_owned()) };
    let mut network = network(&sizes).map_err(|error| error.to_string())?;
    let mut optimizer = AdamW::new(1e-4).map_err(|error| error.to_string())?;
    let (loss, x) = (CrossEntropy::new(), pattern(batch, inputs, 11));
    let labels: Vec<usize> = (0..batch).map(|row| row % outputs).collect();
    let (mut y, mut dy) = (Array2::zeros((batch, outputs)), Array2::zeros((batch, outputs)));
    let run = move |result: &mut Array2<f32>| {
        network.clear_gradients();
        network.forward_into(&x, &mut y).expect("the shapes fit");
        let value = loss.gradient_into(&y, Targets::Labels(&labels), &mut dy).expect("the shapes fit");
        network.backward_parameters(&dy, LossFunction::<f32>::gradient_at(&loss)).expect("the shapes fit");
        optimizer.step(&mut network).expect("there are gradients");
        result.fill(value as f32);
    };
    Ok(Prepared { run: Box::new(run), result: Array2::zeros((1, 1)) })
}

fn network(sizes: &[usize]) -> lokr::layers::Result<Sequential<f32>> {
    let mut network = Sequential::empty();
    for (index, size) in sizes.windows(2).enumerate() {
        let (inputs, outputs) = (size[0], size[1]);
        let last = index + 2 == sizes.len();
        // Uniform, with the variance of He's initialisation.
        let weight = pattern(outputs, inputs, 13 + index) * (24.0 / inputs as f32).sqrt();
        let activation = if last { Activation::Identity } else { Activation::Relu };
        let base = FullyConnected::from_arrays(weight, Array1::zeros(outputs), activation)?;
        let mut adapter = LoKrSettings::new().full_matrix(true).adapt(base)?;
        adapter.set_scaling(SCALING)?;
        let mut seed = 0;
        adapter.visit_mut(&mut |_, mut values, _| {
            seed += 1;
            let (rows, cols) = (values.shape()[0], values.shape()[1]);
            values.assign(&pattern(rows, cols, seed));
        });
        network.push(adapter)?;
    }
    Ok(network)
}
