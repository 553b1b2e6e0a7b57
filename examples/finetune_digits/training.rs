//! The network, its adapters and their training: where the library is used.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use lokr::layers::rand::{SeedableRng, rngs::StdRng};
use lokr::layers::{
    Activation, AdamSettings, AdamW, Conv2d, ConvGeometry, EpochReport, Evaluation, FullyConnected, Init, Layer,
    LoKrAdapter, Loss, Progress, Result, Samples, Sequential, Targets, Trainer, evaluate,
};
use ndarray::ArrayView1;

use super::data::{CLASSES, Digits, SIDE, Split};

/// Settings of one training run.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    pub epochs: usize,
    pub batch_size: usize,
    pub learning_rate: f64,
    pub seed: u64,
}

/// One training run and what came of it.
pub struct Run {
    /// What was trained.
    pub name: String,
    /// How many values of it.
    pub trainable: usize,
    /// Mean training loss of each epoch.
    pub losses: Vec<f64>,
    /// Share of right answers on the validation images, before the first epoch and after each.
    pub accuracies: Vec<f64>,
    /// Share of right answers on the test images, at the end.
    pub test_accuracy: f64,
    /// Time of training, with the validation after each epoch.
    pub time: Duration,
}

impl Run {
    /// The row of a network that is not trained.
    pub fn untouched(name: &str, test_accuracy: f64) -> Self {
        let (losses, accuracies) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), trainable: 0, losses, accuracies, test_accuracy, time: Duration::ZERO }
    }
}

/// Linear layers of the given hidden sizes, with rectifiers between them, from pixels to the logits of the ten digits.
pub fn network(hidden: &[usize], seed: u64) -> Result<Sequential<f32>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let sizes = [&[SIDE * SIDE], hidden, &[CLASSES]].concat();
    let layers = sizes.windows(2).enumerate().map(|(index, size)| {
        let activation = if index < hidden.len() { Activation::Relu } else { Activation::Identity };
        let layer = FullyConnected::new(size[0], size[1], activation, Init::HeNormal, &mut rng)?;
        Ok(Box::new(layer) as Box<dyn Layer<f32>>)
    });
    Sequential::new(layers.collect::<Result<_>>()?)
}

/// Channels of the example's convolutional network.
pub const CHANNELS: [usize; 3] = [16, 32, 32];

/// Convolutions to so many channels with kernels of 3 × 3, of which all but the first halve the image, with rectifiers,
/// and a linear layer to the logits of the ten digits.
pub fn convolutional_network(filters: &[usize], seed: u64) -> Result<Sequential<f32>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut network = Sequential::empty();
    let (mut channels, mut side) = (1, SIDE);
    for (index, &filters) in filters.iter().enumerate() {
        let stride = if index == 0 { 1 } else { 2 };
        let geometry = ConvGeometry::new(channels, [side; 2], [3; 2]).padding([1; 2]).stride([stride; 2]);
        network.push(Conv2d::new(&geometry, filters, Activation::Relu, Init::HeNormal, &mut rng)?)?;
        (channels, side) = (filters, side / stride);
    }
    let inputs = channels * side * side;
    network.push(FullyConnected::new(inputs, CLASSES, Activation::Identity, Init::HeNormal, &mut rng)?)?;
    Ok(network)
}

/// `base` with a LoKr adapter around every layer. The base's own weights are frozen.
pub fn adapt(base: &Sequential<f32>, rank: usize, factor: i64, seed: u64) -> Result<Sequential<f32>> {
    base.clone().map_layers(|index, layer| {
        let adapter = LoKrAdapter::builder(layer).rank(rank).factor(factor).seed(seed + index as u64).build()?;
        Ok(Box::new(adapter))
    })
}

/// `base` with a LoRA adapter around every layer, of these ranks. The base's own weights are frozen.
pub fn adapt_lora(base: &Sequential<f32>, ranks: &[usize], seed: u64) -> Result<Sequential<f32>> {
    base.clone().map_layers(|index, layer| {
        let rank = ranks.get(index).copied().unwrap_or(1);
        Ok(Box::new(LoKrAdapter::builder(layer).rank(rank).lora().seed(seed + index as u64).build()?))
    })
}

/// The ranks of a LoRA of `base` that has as many parameters as fit into `budget`: at least one for each layer, and
/// one more in turn, the largest layers first.
pub fn lora_ranks(base: &Sequential<f32>, budget: usize) -> Vec<usize> {
    // A rank costs a row and a column of the weight.
    let cost = |layer: &dyn Layer<f32>| layer.as_linear().map_or(0, |linear| linear.weight().shape().iter().sum());
    let costs: Vec<usize> = base.layers().iter().map(|layer| cost(&**layer)).collect();
    let mut by_size: Vec<usize> = (0..costs.len()).collect();
    by_size.sort_by_key(|&index| std::cmp::Reverse(costs[index]));
    let mut ranks = vec![1; costs.len()];
    let mut left = budget.saturating_sub(costs.iter().sum());
    while by_size.iter().any(|&index| costs[index] > 0 && costs[index] <= left) {
        for &index in &by_size {
            if costs[index] <= left {
                ranks[index] += 1;
                left -= costs[index];
            }
        }
    }
    ranks
}

/// The last layer of `base`, and `digits` as the layers before it see them: to train that layer alone.
pub fn last_layer(base: &Sequential<f32>, digits: &Split) -> Result<(Sequential<f32>, Split)> {
    let mut layers = base.clone().into_layers();
    let head = Sequential::new(layers.split_off(layers.len() - 1))?;
    if layers.is_empty() {
        return Ok((head, digits.clone()));
    }
    let body = Sequential::new(layers)?;
    let seen = |digits: &Digits| -> Result<Digits> {
        Ok(Digits { images: body.predict(&digits.images)?, labels: digits.labels.clone() })
    };
    let split = Split { train: seen(&digits.train)?, validation: seen(&digits.validation)?, test: seen(&digits.test)? };
    Ok((head, split))
}

/// Trains what is trainable of `network` on the training images, watching the validation images; the test images are
/// looked at once, at the end.
pub fn train(
    name: &str,
    network: &mut Sequential<f32>,
    digits: &Split,
    recipe: &Recipe,
    on_epoch: &mut dyn FnMut(&EpochReport),
) -> Result<Run> {
    let start = Instant::now();
    let before = test(network, &digits.validation)?;
    let trainer = Trainer { epochs: recipe.epochs, batch_size: recipe.batch_size, loss: Loss::CrossEntropyFromLogits };
    let mut optimizer = AdamW::new(AdamSettings { learning_rate: recipe.learning_rate, ..Default::default() })?;
    let history = trainer.fit(
        network,
        &mut optimizer,
        &samples(&digits.train)?,
        Some(&samples(&digits.validation)?),
        &mut StdRng::seed_from_u64(recipe.seed),
        &mut |progress| {
            if let Progress::Epoch(report) = progress {
                on_epoch(report);
            }
            ControlFlow::Continue(())
        },
    )?;
    let time = start.elapsed();
    let accuracies = history.iter().filter_map(|report| report.validation.and_then(|v| v.accuracy));
    Ok(Run {
        name: name.to_owned(),
        trainable: network.parameter_count(),
        losses: history.iter().map(|report| report.loss).collect(),
        accuracies: std::iter::once(before).chain(accuracies).collect(),
        test_accuracy: test(network, &digits.test)?,
        time,
    })
}

/// Share of right answers on `digits`.
pub fn test(network: &dyn Layer<f32>, digits: &Digits) -> Result<f64> {
    let Evaluation { accuracy, .. } = evaluate(network, &samples(digits)?, Loss::CrossEntropyFromLogits)?;
    Ok(accuracy.unwrap_or(f64::NAN))
}

/// The largest difference between the outputs of two networks on `digits`, and on how many images they agree. Outputs
/// that are not finite differ by NaN or infinity and agree on nothing.
pub fn compare(one: &dyn Layer<f32>, other: &dyn Layer<f32>, digits: &Digits) -> Result<(f32, usize)> {
    let (one, other) = (one.predict(&digits.images)?, other.predict(&digits.images)?);
    // Not `f32::max`, which passes over NaN.
    let larger = |max: f32, difference: f32| if difference <= max || max.is_nan() { max } else { difference };
    let difference = one.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, larger);
    let agree = |(a, b)| answer(a).is_some_and(|digit| answer(b) == Some(digit));
    Ok((difference, one.rows().into_iter().zip(other.rows()).filter(|&rows| agree(rows)).count()))
}

/// The digit with the largest output; none where an output is not finite.
fn answer(outputs: ArrayView1<'_, f32>) -> Option<usize> {
    let finite = outputs.iter().all(|output| output.is_finite());
    (0..outputs.len()).filter(|_| finite).max_by(|&i, &j| outputs[i].total_cmp(&outputs[j]))
}

fn samples(digits: &Digits) -> Result<Samples<'_, f32>> {
    Samples::new(&digits.images, Targets::Labels(&digits.labels))
}
