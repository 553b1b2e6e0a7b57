//! How long the nearest LoKr of a fine-tuned 4096 × 4096 weight takes.
//!
//! `cargo bench -p lokr-checkpoint --bench extract`: two f32 models of one such weight are made in a temporary folder;
//! their difference is a Kronecker product and noise a tenth as large. Several splits, in full, of a rank, of a share
//! of energy, and three terms. It prints the median of five runs, reading the files included, the share of energy
//! captured, and the peak of anonymous memory where the system tells it.

#[path = "support/memory.rs"]
mod memory;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use lokr_checkpoint::{BaseModel, ExtractOptions, FactorSize, FloatType, Overwrite, Tensor, extract, write_tensors};
use memory::Watch;
use ndarray::Array2;

const SIZE: usize = 4096;
const RUNS: usize = 5;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let mut random = 1u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let mut matrix = |rows, cols| Array2::from_shape_simple_fn((rows, cols), &mut next);
    let (a, b) = (matrix(64, 64), matrix(64, 64));
    let base = matrix(SIZE, SIZE);
    let mut tuned = &base + &(matrix(SIZE, SIZE) * 0.06);
    lokr_core::Kron::new(a, b)?.add_to(1.0, &mut tuned)?;
    let [base, tuned] = [("base", base), ("tuned", tuned)].map(|(name, weight)| save(folder.path(), name, &weight));
    let (base, tuned) = (base?, tuned?);

    println!("{SIZE} x {SIZE}, f32, {} threads", rayon::current_num_threads());
    let whole = ExtractOptions::default();
    let cases = [
        ("64 x 64, full", whole.clone()),
        ("64 x 64, rank 8", ExtractOptions { size: FactorSize::Rank(8), ..whole.clone() }),
        ("64 x 64, 90 % of the energy", ExtractOptions { size: FactorSize::Energy(0.9), ..whole.clone() }),
        ("8 x 8, full", ExtractOptions { factor: Some(8), ..whole.clone() }),
        ("64 x 64, three terms", ExtractOptions { terms: 3, ..whole }),
    ];
    for (name, options) in cases {
        let mut times = Vec::new();
        let mut energy = 0.0;
        let memory = Watch::start();
        for _ in 0..RUNS {
            let start = Instant::now();
            let found = extract(&base, &tuned, &options, &mut |_| ControlFlow::Continue(()))?;
            times.push(start.elapsed().as_secs_f64());
            energy = found.report.energy;
        }
        times.sort_by(f64::total_cmp);
        let (time, megabytes) = (times[RUNS / 2], memory.stop() as f64 / 1e6);
        println!("{name:<30} {time:>6.2} s   {:>5.1} % captured   {megabytes:.0} MB", 100.0 * energy);
    }
    Ok(())
}

fn save(folder: &Path, name: &str, weight: &Array2<f32>) -> Result<BaseModel, Failure> {
    let path = folder.join(format!("{name}.safetensors"));
    let tensors = BTreeMap::from([("layer.weight".to_owned(), Tensor::from_array(weight, FloatType::F32))]);
    write_tensors(&path, &tensors, &BTreeMap::new(), Overwrite::Refuse)?;
    Ok(BaseModel::open(&path)?)
}
