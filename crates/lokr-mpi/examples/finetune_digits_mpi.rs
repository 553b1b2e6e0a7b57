//! The fine-tuning of `finetune_digits` on all ranks of a job: `LoKr` adapters on a network of handwritten digits.
//!
//! ```sh
//! cargo build --release -p lokr-mpi --features mpi --example finetune_digits_mpi
//! mpirun -n 4 target/release/examples/finetune_digits_mpi
//! ```
//!
//! Rank 0 prints the loss, and at the end a line of how fast it went: steps per second, bytes that each rank gave to a
//! step, and the share of the time in communication, waiting for slower ranks included. The arguments are the sizes of
//! the hidden layers (256), the samples of a batch (64), the epochs (10), and `fixed` for the mode in which any number
//! of ranks ends with the same bits, in blocks of 8 samples.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use lokr_layers::rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use lokr_layers::{
    Activation, AdamW, AllReduce, Communicator, CrossEntropy, FullyConnected, Init, Layer, LoKrAdapter, Progress,
    Samples, Sequential, Targets, Trainer, Training, evaluate,
};
use lokr_mpi::{Metered, World};
use ndarray::Array2;

const CSV: &str = include_str!("../../../examples/data/digits.csv");
const SIDE: usize = 8;
const CLASSES: usize = 10;
/// Images to look at, of 1797; the others are trained with.
const HELD_BACK: usize = 360;

fn main() -> ExitCode {
    lokr_mpi::run(|world| train(world).map_err(|error| error.to_string()))
}

fn train(world: &World) -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (hidden, batch, epochs) = (number(256)?, number(64)?, number(10)?);
    let fixed = arguments.next().is_some_and(|order| order == "fixed");
    let is_first = world.rank() == 0;

    // Every rank makes the same base network, from the same seed and upright digits; a real one comes from a file.
    let (upright, shifted) = (Digits::load(false)?, Digits::load(true)?);
    let mut base = network(hidden)?;
    let samples = upright.train.samples()?;
    run(2, 64).fit(&mut base, &mut AdamW::new(0.001)?, &samples)?;
    let mut adapted = base.map_layers(|index, layer| {
        let adapter = LoKrAdapter::builder(layer).rank(16).factor(8).seed(index as u64).build()?;
        Ok(Box::new(adapter) as Box<dyn Layer<f32>>)
    })?;

    let ranks = Metered::new(world);
    let (samples, test) = (shifted.train.samples()?, shifted.test.samples()?);
    let mut training = run(epochs, batch).communicator(&ranks);
    if fixed {
        training = training.fixed_order(8);
    }
    let mut steps = 0;
    let training = training.on_progress(|progress| match progress {
        Progress::Step(report) => steps = report.step,
        Progress::Epoch(report) if is_first => println!("epoch {:>3}: loss {:.4}", report.epoch, report.loss),
        _ => {}
    });
    let start = Instant::now();
    training.fit(&mut adapted, &mut AdamW::new(0.01)?, &samples)?;
    let time = start.elapsed().as_secs_f64();

    if is_first {
        let traffic = ranks.traffic();
        let accuracy = evaluate(&adapted, &test, CrossEntropy::new())?.accuracy.unwrap_or(f64::NAN);
        println!("{} of {} parameters are trained", adapted.parameter_count(), parameters(hidden));
        println!("{:.1} % of the test images are answered right", 100.0 * accuracy);
        println!(
            "ranks {}: {:.1} steps/s, {} bytes a step, {:.1} % of the time in communication",
            world.size(),
            steps as f64 / time,
            traffic.bytes / steps.max(1),
            100.0 * traffic.time.as_secs_f64() / time
        );
    }
    // What the network between the ranks can do, without waiting for anybody.
    for values in [1, adapted.parameter_count() + 1, 1 << 20] {
        let time = all_reduce(world, values)?;
        if is_first {
            println!("adding up {} bytes takes {:.1} µs", values * size_of::<f32>(), 1e6 * time);
        }
    }
    Ok(())
}

/// The median time of a sum over the ranks.
fn all_reduce(world: &World, values: usize) -> lokr_layers::Result<f64> {
    let mut values = vec![1.0_f32; values];
    let mut times = Vec::new();
    for _ in 0..101 {
        world.gather(&[0], &vec![1; world.size()], &mut Vec::new())?; // all begin at once
        let start = Instant::now();
        world.sum(&mut values)?;
        values.fill(1.0);
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn run<'a>(epochs: usize, batch: usize) -> Training<'a, f32> {
    Trainer::new(CrossEntropy::new()).epochs(epochs).batch_size(batch).seed(1)
}

fn network(hidden: usize) -> lokr_layers::Result<Sequential<f32>> {
    let mut rng = StdRng::seed_from_u64(1);
    let mut layer = |inputs, outputs, activation| -> lokr_layers::Result<Box<dyn Layer<f32>>> {
        Ok(Box::new(FullyConnected::new(inputs, outputs, activation, Init::HeNormal, &mut rng)?))
    };
    Sequential::new(vec![
        layer(SIDE * SIDE, hidden, Activation::Relu)?,
        layer(hidden, hidden, Activation::Relu)?,
        layer(hidden, CLASSES, Activation::Identity)?,
    ])
}

fn parameters(hidden: usize) -> usize {
    (SIDE * SIDE + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * CLASSES
}

/// Images from -1 to 1, a row each, and the digits on them.
struct Images {
    x: Array2<f32>,
    labels: Vec<usize>,
}

impl Images {
    fn samples(&self) -> lokr_layers::Result<Samples<'_, f32>> {
        Samples::new(&self.x, Targets::Labels(&self.labels))
    }
}

struct Digits {
    train: Images,
    test: Images,
}

impl Digits {
    /// All images in an order of chance; shifted ones are turned by a quarter, ink and paper exchanged.
    fn load(shifted: bool) -> Result<Self, Box<dyn Error>> {
        let mut rows = Vec::new();
        for line in CSV.lines().skip(1) {
            rows.push(line.split(',').map(str::parse).collect::<Result<Vec<f32>, _>>()?);
        }
        rows.shuffle(&mut StdRng::seed_from_u64(1));
        let images = |rows: &[Vec<f32>]| {
            let x = Array2::from_shape_fn((rows.len(), SIDE * SIDE), |(i, pixel)| {
                let (row, column) = (pixel / SIDE, pixel % SIDE);
                match shifted {
                    true => 1.0 - rows[i][(SIDE - 1 - column) * SIDE + row] / 8.0,
                    false => rows[i][pixel] / 8.0 - 1.0,
                }
            });
            Images { x, labels: rows.iter().map(|row| row[SIDE * SIDE] as usize).collect() }
        };
        let (test, train) = rows.split_at(HELD_BACK);
        Ok(Self { train: images(train), test: images(test) })
    }
}
