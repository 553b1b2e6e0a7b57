//! What the ranks do.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use crate::support::{Data, fit, network, run};
use lokr_checkpoint::{FloatType, Overwrite, Tensor, TensorFile, load_training, save_training, write_tensors};
use lokr_layers::{AllReduce, Communicator, Layer, Progress};
use lokr_mpi::World;
use ndarray::Array2;

pub(crate) fn job(world: &World, name: &str, folder: &Path) -> Result<(), String> {
    let data = Data::new();
    let samples = data.samples();
    let file = folder.join("run.safetensors");
    let fitted = match name {
        "collectives" => return collectives(world),
        "fixed_order" => fit(run(world, &samples).fixed_order(3), network(), &samples),
        "any_order" => fit(run(world, &samples), network(), &samples),
        "differing" => {
            let mut network = network();
            let parameters = network.parameters() * if world.rank() == 1 { 1.5 } else { 1.0 };
            network.set_parameters(&parameters).map_err(|error| error.to_string())?;
            fit(run(world, &samples), network, &samples)
        }
        "killed" => {
            let training = run(world, &samples).fixed_order(3).save_every(2, |state| save_training(&file, state));
            let training = training.on_progress(|progress| match progress {
                // Without a word to the others, as by a machine that loses its power.
                Progress::Step(report) if report.step == 5 && world.rank() == 1 => std::process::abort(),
                _ => {}
            });
            fit(training, network(), &samples)
        }
        "resumed" => {
            let state = load_training(&file).map_err(|error| error.to_string())?;
            assert!(state.counts["step"] < 6);
            fit(run(world, &samples).fixed_order(3).resume(state), network(), &samples)
        }
        other => return Err(format!("there is no job {other}")),
    };
    say(&text(&fitted.map_err(|error| error.to_string())?));
    Ok(())
}

/// A line in one piece, so that those of several ranks do not mix.
fn say(line: &str) {
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}

/// Bits, short enough for a line.
pub(crate) fn text(bits: &[u64]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    bits.hash(&mut hasher);
    format!("{} values, {:016x}", bits.len(), hasher.finish())
}

fn collectives(world: &World) -> Result<(), String> {
    let (rank, size) = (world.rank(), world.size());
    let sums = (|| {
        let mut short = [1.0_f32, rank as f32];
        world.sum(&mut short)?;
        let mut long = vec![rank as f64 + 0.5; 100_000];
        world.sum(&mut long)?;
        world.sum(&mut [0.0_f64; 0])?;
        // As many bytes as the number of the rank: none from the first.
        let (own, lengths) = (vec![rank as u8; rank], (0..size).collect::<Vec<_>>());
        let mut all = vec![7; 3];
        world.gather(&own, &lengths, &mut all)?;
        Ok::<_, lokr_layers::LayerError>((short, long, all))
    })();
    let (short, long, all) = sums.map_err(|error| error.to_string())?;
    let total = (0..size).sum::<usize>();
    assert_eq!(short, [size as f32, total as f32]);
    assert!(long.iter().all(|&sum| sum == total as f64 + 0.5 * size as f64));
    assert_eq!(all, (0..size).flat_map(|rank| vec![rank as u8; rank]).collect::<Vec<_>>());
    say("right");
    Ok(())
}

/// Makes the weights of a shard the largest that their type holds, so that a large change is too much for them.
pub(crate) fn spoil(path: &Path) {
    let file = TensorFile::open(path).unwrap();
    let mut tensors: BTreeMap<_, _> = file.names().map(|name| (name.to_owned(), file.tensor(name).unwrap())).collect();
    for (name, tensor) in &mut tensors {
        if name.ends_with("q_proj.weight") {
            let values = Array2::from_elem((tensor.shape()[0], tensor.shape()[1]), 65504.0_f32);
            *tensor = Tensor::from_array(&values, FloatType::F16);
        }
    }
    write_tensors(path, &tensors, &BTreeMap::new(), Overwrite::Replace).unwrap();
}
