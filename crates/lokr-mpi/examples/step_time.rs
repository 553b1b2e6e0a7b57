//! How far data-parallel training of one layer of 4096 × 4096 scales: with all weights trained, with LoRA, with `LoKr`.
//!
//! `RAYON_NUM_THREADS=1 cargo run --release -p lokr-mpi --example step_time`
//!
//! Measures here what a step takes on one rank, for few and for many samples, and puts it into the model of a step's
//! time for two clusters, by the formula and played through with ranks that are not equally fast. No MPI is needed.

use std::time::Instant;

use lokr_layers::{Activation, AdamW, FullyConnected, Layer, LoKrAdapter, Optimizer, Result};
use lokr_mpi::{Cluster, Work, simulate};
use ndarray::{Array1, Array2};

const SIZE: usize = 4096;
/// Samples of the whole batch, and of each rank's where the batch grows with the ranks.
const BATCH: usize = 4096;
const EACH: usize = 32;
/// How much longer than planned a rank computes on average.
const NOISE: f64 = 0.02;
const RANKS: [usize; 8] = [1, 4, 16, 64, 256, 1024, 2048, 4096];

const CLUSTERS: [(&str, Cluster); 2] = [
    ("10 Gb/s Ethernet, 20 µs", Cluster { latency: 20e-6, bandwidth: 1.2e9 }),
    ("100 Gb/s InfiniBand, 1.5 µs", Cluster { latency: 1.5e-6, bandwidth: 12e9 }),
];

fn main() -> Result<()> {
    let methods =
        [("all weights", measure(whole()?)?), ("LoRA, rank 16", measure(lora()?)?), ("LoKr", measure(lokr()?)?)];
    println!("one layer of {SIZE} × {SIZE}, f32, AdamW, {} threads a rank\n", threads());
    println!("{:<14} {:>12} {:>12} {:>14}", "", "numbers", "ms a step", "µs a sample");
    for (name, work) in &methods {
        println!(
            "{name:<14} {:>12} {:>12.2} {:>14.1}",
            work.bytes as usize / size_of::<f32>() - 1,
            1e3 * work.seconds_per_step,
            1e6 * work.seconds_per_sample
        );
    }
    for (network, cluster) in &CLUSTERS {
        println!("\n{network}: {BATCH} samples a step, times faster than one rank");
        table(&methods, |work, ranks| work.speedup(BATCH, ranks, cluster));
        println!("\n{network}: {EACH} samples a rank, share of the time in computing");
        table(&methods, |work, ranks| {
            let time = work.step(EACH * ranks, ranks, cluster);
            time.compute / time.total()
        });
        println!("\n{network}: the same, played through with ranks that are {} % late on average", 100.0 * NOISE);
        table(&methods, |work, ranks| {
            let alone = work.step(EACH * ranks, ranks, cluster).compute;
            alone / simulate(work, EACH * ranks, ranks, cluster, NOISE, 20, 1).step
        });
        let fastest = |(name, work): &(&str, Work)| format!("{name} {}", work.fastest(BATCH, BATCH, cluster));
        println!("\nfastest with: {}", methods.iter().map(fastest).collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

fn table(methods: &[(&str, Work)], cell: impl Fn(&Work, usize) -> f64) {
    print!("{:<14}", "ranks");
    RANKS.iter().for_each(|ranks| print!("{ranks:>8}"));
    println!();
    for (name, work) in methods {
        print!("{name:<14}");
        RANKS.iter().for_each(|&ranks| print!("{:>8}", short(cell(work, ranks))));
        println!();
    }
}

fn short(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

fn base() -> Result<FullyConnected<f32>> {
    let weight = Array2::from_shape_fn((SIZE, SIZE), |(i, j)| ((i * 7 + j * 13) % 17) as f32 / 1e3 - 0.008);
    FullyConnected::from_arrays(weight, Array1::zeros(SIZE), Activation::Identity)
}

fn whole() -> Result<Box<dyn Layer<f32>>> {
    Ok(Box::new(base()?))
}

/// A low-rank product is a Kronecker product whose first factor is one number.
fn lora() -> Result<Box<dyn Layer<f32>>> {
    let builder = LoKrAdapter::builder(base()?).factor_shapes((1, 1), (SIZE, SIZE));
    Ok(Box::new(builder.rank(16).build()?))
}

fn lokr() -> Result<Box<dyn Layer<f32>>> {
    Ok(Box::new(LoKrAdapter::builder(base()?).factor(-1).full_matrix(true).build()?))
}

/// Steps of few samples and of many; the time is taken for a straight line between them.
fn measure(mut layer: Box<dyn Layer<f32>>) -> Result<Work> {
    let (few, many) = (8, 256);
    let (short, long) = (step(&mut *layer, few)?, step(&mut *layer, many)?);
    let seconds_per_sample = (long - short) / (many - few) as f64;
    let seconds_per_step = (short - seconds_per_sample * few as f64).max(0.0);
    // The loss travels with the gradients.
    let bytes = ((layer.parameter_count() + 1) * size_of::<f32>()) as f64;
    Ok(Work { seconds_per_step, seconds_per_sample, bytes })
}

/// The fastest of some steps of so many samples: forward, backward, and the optimizer's.
fn step(layer: &mut dyn Layer<f32>, samples: usize) -> Result<f64> {
    let x = Array2::from_shape_fn((samples, SIZE), |(i, j)| ((i * 5 + j * 3) % 11) as f32 / 10.0 - 0.5);
    let (mut y, mut dx) = (Array2::zeros((samples, SIZE)), Array2::zeros((samples, SIZE)));
    let mut optimizer = AdamW::new(1e-4)?;
    let mut fastest = f64::INFINITY;
    for _ in 0..7 {
        let start = Instant::now();
        layer.clear_gradients();
        layer.forward_into(&x, &mut y)?;
        layer.backward_into(&y, lokr_layers::GradientAt::Output, &mut dx)?;
        optimizer.step(layer)?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    Ok(fastest)
}

fn threads() -> usize {
    std::env::var("RAYON_NUM_THREADS")
        .ok()
        .and_then(|threads| threads.parse().ok())
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into))
}
