//! Merging into a synthetic model beside `cp -R` of its files, in turns.
//!
//! `cargo bench -p lokr-checkpoint --bench merge -- [GIBIBYTES] [FOLDER]`: a bf16 model of 4096-wide layers in shards
//! of 1 GiB, of 1 GiB by default, in a temporary folder there. All matrices are adapted, one of five with a low-rank
//! factor. It prints the rate of each side in each turn, the median of the turns' ratios, and the peak of anonymous
//! memory where the system tells it.
//!
//! The model is in the system's cache when the turns begin, if that is large enough, and neither side waits for the
//! disk.

#[path = "support/memory.rs"]
mod memory;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lokr_checkpoint::{
    Adapter, BaseModel, Dtype, FloatType, MergeOptions, Overwrite, ReadOptions, Strength, Tensor, TensorSpec,
    TensorWriter, merge, write_tensors,
};
use memory::Watch;
use ndarray::Array2;

const WIDTH: usize = 4096;
/// Rows of one layer's matrices: attention, and a wider one. Its vector of norms is not adapted.
const MATRICES: [(&str, usize); 5] = [("q", WIDTH), ("k", WIDTH), ("v", WIDTH), ("o", WIDTH), ("up", 3 * WIDTH)];
/// Sides of the first factor, and the inner size of the low-rank one.
const SIDE: usize = 64;
const RANK: usize = 16;
const SHARD: usize = 1 << 30;
const TURNS: usize = 9;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    // Cargo passes `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let gibibytes: f64 = arguments.first().map_or(Ok(1.0), |text| text.parse())?;
    let parent = arguments.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent)?;
    let model = folder.path().join("model");
    let bytes = generate(&model, (gibibytes * (1u64 << 30) as f64) as usize)?;
    let adapter = adapter(folder.path(), &model)?;
    println!("model: {:.2} GB in bf16; {} threads", bytes as f64 / 1e9, rayon::current_num_threads());

    let mut ratios = Vec::new();
    let mut anonymous = 0;
    for turn in 0..TURNS {
        let memory = Watch::start();
        let merged = time_merge(&model, &adapter, &folder.path().join("merged"))?;
        anonymous = anonymous.max(memory.stop());
        let copied = time_copy(&model, &folder.path().join("copied"))?;
        let rate = |time: Duration| bytes as f64 / 1e9 / time.as_secs_f64();
        println!("turn {turn}: merge {:.2} GB/s, copy {:.2} GB/s", rate(merged), rate(copied));
        ratios.push(copied.as_secs_f64() / merged.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!("merge at {:.2} of the rate of copying (median; {ratios:.2?})", ratios[TURNS / 2]);
    if anonymous > 0 {
        println!("peak anonymous memory: {:.0} MB", anonymous as f64 / 1e6);
    }
    Ok(())
}

/// Writes shards of layers until there are so many bytes.
fn generate(folder: &Path, wanted: usize) -> Result<usize, Failure> {
    std::fs::create_dir(folder)?;
    let pattern: Vec<u8> = (0..1u32 << 20)
        .flat_map(|i| ((0x3c00 + (i.wrapping_mul(2_654_435_761) >> 22) as u16) | ((i & 1) << 15) as u16).to_le_bytes())
        .collect();
    let (mut total, mut layer, mut shard) = (0, 0, 0);
    let mut map = BTreeMap::new();
    while total < wanted {
        let (mut specs, mut size) = (Vec::new(), 0);
        while size < SHARD.min(wanted - total) {
            let mut tensor = |name, shape: Vec<usize>| {
                size += 2 * shape.iter().product::<usize>();
                specs.push(TensorSpec { name: format!("layers.{layer}.{name}.weight"), dtype: Dtype::BF16, shape });
            };
            MATRICES.into_iter().for_each(|(name, rows)| tensor(name, vec![rows, WIDTH]));
            tensor("norm", vec![WIDTH]);
            layer += 1;
        }
        let file = format!("model-{shard}.safetensors");
        let mut writer = TensorWriter::create(folder.join(&file), specs, &BTreeMap::new(), Overwrite::Refuse)?;
        for TensorSpec { name, shape, .. } in writer.specs().to_vec() {
            let length = 2 * shape.iter().product::<usize>();
            for start in (0..length).step_by(pattern.len()) {
                writer.write(&name, &pattern[..pattern.len().min(length - start)])?;
            }
            map.insert(name, file.clone());
        }
        writer.finish()?;
        // So that the system does not write it out during the turns.
        std::fs::File::options().append(true).open(folder.join(&file))?.sync_all()?;
        (total, shard) = (total + size, shard + 1);
    }
    let index = serde_json::json!({"metadata": {"total_size": total}, "weight_map": map});
    std::fs::write(folder.join("model.safetensors.index.json"), serde_json::to_vec(&index)?)?;
    Ok(total)
}

/// An adapter of every matrix: w1 (64, 64), and w2 (rows / 64, 64) in full or, for `v`, of rank 16.
fn adapter(folder: &Path, model: &Path) -> Result<Adapter, Failure> {
    let mut tensors = BTreeMap::new();
    for name in BaseModel::open(model)?.names() {
        let Some((matrix, rows)) =
            MATRICES.into_iter().find(|(matrix, _)| name.ends_with(&format!(".{matrix}.weight")))
        else {
            continue;
        };
        let rows = rows / SIDE;
        let factors = match matrix {
            "v" => vec![("lokr_w1", SIDE, SIDE), ("lokr_w2_a", rows, RANK), ("lokr_w2_b", RANK, SIDE)],
            _ => vec![("lokr_w1", SIDE, SIDE), ("lokr_w2", rows, SIDE)],
        };
        let module = name.trim_end_matches(".weight").replace('.', "_");
        for (key, rows, columns) in factors {
            let factor = Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 13 + j * 7) % 61) as f32 / 600.0 - 0.05);
            tensors.insert(format!("lycoris_{module}.{key}"), Tensor::from_array(&factor, FloatType::Bf16));
        }
    }
    let path = folder.join("adapter.safetensors");
    write_tensors(&path, &tensors, &BTreeMap::new(), Overwrite::Refuse)?;
    Ok(Adapter::read(&path, &ReadOptions::default())?)
}

fn time_merge(model: &Path, adapter: &Adapter, out: &Path) -> Result<Duration, Failure> {
    let start = Instant::now();
    let base = BaseModel::open(model)?;
    let adapters = [(adapter, Strength::default())];
    merge(&base, &adapters, out, &MergeOptions::default(), &mut |_| ControlFlow::Continue(()))?;
    drop(base);
    let time = start.elapsed();
    std::fs::remove_dir_all(out)?;
    Ok(time)
}

fn time_copy(model: &Path, out: &Path) -> Result<Duration, Failure> {
    let start = Instant::now();
    copy(model, out)?;
    let time = start.elapsed();
    std::fs::remove_dir_all(out)?;
    Ok(time)
}

#[cfg(unix)]
fn copy(model: &Path, out: &Path) -> Result<(), Failure> {
    let status = std::process::Command::new("cp").arg("-R").args([model, out]).status()?;
    if status.success() { Ok(()) } else { Err(format!("cp: {status}").into()) }
}

#[cfg(not(unix))]
fn copy(model: &Path, out: &Path) -> Result<(), Failure> {
    std::fs::create_dir(out)?;
    for entry in std::fs::read_dir(model)? {
        let entry = entry?;
        std::fs::copy(entry.path(), out.join(entry.file_name()))?;
    }
    Ok(())
}
