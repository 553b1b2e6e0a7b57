//! How time and memory grow with the size of a square layer: a full weight, LoKr with full and with low-rank factors,
//! and LoRA with as many numbers as the full factors, at batches of 1 and 512 in `f32`.
//!
//! `cargo bench --bench growth`, with options after `--`; `--help` lists them.
#![allow(clippy::expect_used)] // A benchmark that cannot go on should stop, and say where.

#[path = "../../examples/common/paper.rs"]
#[allow(dead_code)] // Drawn with a part of it.
#[allow(unreachable_pub)] // As above.
mod paper;
mod plot;
#[path = "../support/mod.rs"]
mod support;

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use lokr::core::{FactorizationRule, factorization, matmul_into};
use lokr_testing::CountingAllocator;
use ndarray::{Array2, ArrayRef2};

use support::measure::{Contender, Effort, Times, interleaved};
use support::{Operator, Shape, forward_flops, generator, join_pool, machine, matrix};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// The rank of the low-rank factor.
const RANK: usize = 8;
const BATCHES: [usize; 2] = [1, 512];

/// Measures square layers of 512, 1024, … values.
#[derive(Debug, Parser)]
struct Options {
    /// The largest layer; its weight takes 4 bytes times its square.
    #[arg(long, default_value_t = 16384)]
    largest: usize,
    /// Fewer and shorter samples: numbers to work with, not to quote.
    #[arg(long)]
    quick: bool,
    /// Also draw a picture into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is compared.
pub(crate) const KINDS: [&str; 4] = ["full weight", "LoKr", "LoKr, rank 8", "LoRA, rank 1"];

/// One size at one batch; each array in the order of [`KINDS`].
pub(crate) struct Point {
    pub size: usize,
    pub batch: usize,
    pub seconds: [f64; 4],
    pub flops: [f64; 4],
    /// Of the parameters, and allocated while one call runs.
    pub bytes: [usize; 4],
    scratch: [usize; 4],
}

/// The operators of a size: `y = x·Wᵀ` for each.
struct Layer {
    weight: Array2<f32>,
    deltas: [(Shape, Operator<f32>); 3],
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    if let Some(path) = &options.chart {
        paper::check(path)?;
    }
    join_pool();
    let (samples, time) = if options.quick { (3, 1) } else { (9, 10) };
    let effort = Effort { samples, sample_time: Duration::from_millis(time) };
    println!("{}", machine());
    println!("{samples} samples of at least {time} ms; medians");
    let mut points = Vec::new();
    for size in (9..).map(|bits| 1 << bits).take_while(|&size| size <= options.largest) {
        let layer = Layer::new(size)?;
        points.extend(BATCHES.map(|batch| layer.measure(batch, effort)));
    }
    for batch in BATCHES {
        print(&points.iter().filter(|point| point.batch == batch).collect::<Vec<_>>(), batch);
    }
    match &options.chart {
        Some(path) => plot::save(path, &points, &machine()),
        None => Ok(()),
    }
}

impl Layer {
    fn new(size: usize) -> Result<Self, Box<dyn Error>> {
        let rng = &mut generator();
        let (small, large) = factorization(size, -1, FactorizationRule::Lycoris)?;
        let shapes = [
            Shape::two(small, small, large, large),
            Shape::low_rank(small, small, large, large, RANK),
            Shape::low_rank(1, 1, size, size, 1),
        ];
        let deltas = shapes.map(|shape| (shape, Operator::new(shape, rng)));
        Ok(Self { weight: matrix(rng, size, size), deltas })
    }

    fn measure(&self, batch: usize, effort: Effort) -> Point {
        let size = self.weight.nrows();
        let x = matrix(&mut generator(), batch, size);
        let places = [(); 4].map(|()| std::cell::RefCell::new(Array2::zeros((batch, size))));
        let works = [0, 1, 2, 3].map(|kind| {
            let (x, y) = (&x, &places[kind]);
            move || self.apply(kind, black_box(x), &mut y.borrow_mut())
        });
        works.iter().for_each(|work| work()); // Threads make their scratch memory once.
        let scratch = works.each_ref().map(|work| ALLOCATOR.count(work).1);
        let times: [Times; 4] = interleaved(effort, works.map(Contender::new));
        let flops = |kind: usize| match kind {
            0 => 2 * batch * size * size,
            _ => forward_flops(self.deltas[kind - 1].0, batch),
        };
        let numbers = |kind: usize| match kind {
            0 => self.weight.len(),
            _ => self.deltas[kind - 1].0.axes().concat().into_iter().map(|(rows, cols)| rows * cols).sum(),
        };
        Point {
            size,
            batch,
            seconds: times.each_ref().map(Times::median),
            flops: [0, 1, 2, 3].map(|kind| flops(kind) as f64),
            bytes: [0, 1, 2, 3].map(|kind| numbers(kind) * size_of::<f32>()),
            scratch,
        }
    }

    fn apply(&self, kind: usize, x: &ArrayRef2<f32>, y: &mut ArrayRef2<f32>) {
        match kind {
            0 => matmul_into(1.0, x, &self.weight.t(), 0.0, y).expect("the shapes fit"),
            _ => self.deltas[kind - 1].1.apply_into(x, y),
        }
    }
}

/// A table, and below it by which power of the size each column grows over the last three doublings.
fn print(points: &[&Point], batch: usize) {
    println!("\nbatch {batch}: time, flops, bytes of the parameters, bytes allocated by a call");
    print!("{:>6}", "size");
    KINDS.iter().for_each(|kind| print!("   {kind:^40}"));
    println!();
    for point in points {
        print!("{:>6}", point.size);
        for kind in 0..KINDS.len() {
            let (time, flops) = (point.seconds[kind], point.flops[kind]);
            print!("   {:>9.4} ms {:>9.3e} {:>9} {:>7}", 1e3 * time, flops, point.bytes[kind], point.scratch[kind]);
        }
        println!();
    }
    let Some((first, last)) = points.get(points.len().saturating_sub(4)).zip(points.last()) else { return };
    if first.size == last.size {
        return;
    }
    let doublings = (last.size as f64 / first.size as f64).log2();
    let power = |first: f64, last: f64| (last / first).log2() / doublings;
    print!("{:>6}", "power");
    for kind in 0..KINDS.len() {
        let time = power(first.seconds[kind], last.seconds[kind]);
        let flops = power(first.flops[kind], last.flops[kind]);
        let bytes = power(first.bytes[kind] as f64, last.bytes[kind] as f64);
        print!("   {time:>9.2}    {flops:>9.2} {bytes:>9.2} {:>7}", "");
    }
    println!();
}
