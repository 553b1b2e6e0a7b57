//! Merging a synthetic model beside copying its files, in turns.
//!
//! `cargo bench -p lokr-checkpoint --bench merge -- [GIBIBYTES] [FOLDER]`: a bf16 model of 4096-wide layers in shards of 1 GiB, of
//! 1 GiB by default, in a temporary folder there. It prints the rate of each, the ratio of the medians, and the peak of anonymous
//! memory where the system tells it.
//!
//! Both sides end when the bytes are safely on disk, because the merge waits for that before it shows its output; the time
//! until the last tensor was handed to the system is printed apart, beside the copy without waiting.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use lokr_checkpoint::{
    Adapter, BaseModel, Dtype, FloatType, MergeOptions, Overwrite, Progress, ReadOptions, Strength, Tensor, TensorSpec,
    TensorWriter, merge, write_tensors,
};
use ndarray::Array2;

const WIDTH: usize = 4096;
/// Shapes of one layer: attention of 4096, and one wider matrix.
const SHAPES: [(&str, usize); 4] = [("q", WIDTH), ("k", WIDTH), ("v", WIDTH), ("up", 3 * WIDTH)];
const SHARD: usize = 1 << 30;
const TURNS: usize = 5;

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

    let (mut merges, mut copies) = (Vec::new(), Vec::new());
    let mut anonymous = 0;
    for turn in 0..TURNS {
        let memory = Watch::start();
        let merged = time_merge(&model, &adapter, &folder.path().join("merged"))?;
        anonymous = anonymous.max(memory.stop());
        let copied = time_copy(&model, &folder.path().join("copied"))?;
        let rate = |time: Duration| bytes as f64 / 1e9 / time.as_secs_f64();
        println!(
            "turn {turn}: merge {:.2} GB/s (handed over: {:.2}), copy {:.2} GB/s (handed over: {:.2})",
            rate(merged.1),
            rate(merged.0),
            rate(copied.1),
            rate(copied.0)
        );
        merges.push(merged);
        copies.push(copied);
    }
    let median = |times: &[(Duration, Duration)], pick: fn(&(Duration, Duration)) -> Duration| {
        let mut times: Vec<_> = times.iter().map(pick).collect();
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    println!(
        "merge at {:.2} of the rate of copying; without waiting for the disk, {:.2}",
        median(&copies, |t| t.1) / median(&merges, |t| t.1),
        median(&copies, |t| t.0) / median(&merges, |t| t.0),
    );
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
            for (name, rows) in SHAPES {
                size += 2 * rows * WIDTH;
                let name = format!("layers.{layer}.{name}.weight");
                specs.push(TensorSpec { name, dtype: Dtype::BF16, shape: vec![rows, WIDTH] });
            }
            layer += 1;
        }
        let file = format!("model-{shard}.safetensors");
        let mut writer = TensorWriter::create(folder.join(&file), specs, &BTreeMap::new(), Overwrite::Refuse)?;
        for TensorSpec { name, shape, .. } in writer.specs().to_vec() {
            for start in (0..2 * shape[0] * shape[1]).step_by(pattern.len()) {
                writer.write(&name, &pattern[..pattern.len().min(2 * shape[0] * shape[1] - start)])?;
            }
            map.insert(name, file.clone());
        }
        writer.finish()?;
        (total, shard) = (total + size, shard + 1);
    }
    let index = serde_json::json!({"metadata": {"total_size": total}, "weight_map": map});
    std::fs::write(folder.join("model.safetensors.index.json"), serde_json::to_vec(&index)?)?;
    Ok(total)
}

/// An adapter of every layer: w1 (64, 64) and w2 (rows / 64, 64) in full.
fn adapter(folder: &Path, model: &Path) -> Result<Adapter, Failure> {
    let mut tensors = BTreeMap::new();
    for name in BaseModel::open(model)?.names() {
        let module = name.trim_end_matches(".weight").replace('.', "_");
        let rows = if module.ends_with("up") { 3 * WIDTH } else { WIDTH };
        for (key, rows) in [("lokr_w1", 64), ("lokr_w2", rows / 64)] {
            let factor = Array2::from_shape_fn((rows, 64), |(i, j)| ((i * 13 + j * 7) % 61) as f32 / 600.0 - 0.05);
            tensors.insert(format!("lycoris_{module}.{key}"), Tensor::from_array(&factor, FloatType::Bf16));
        }
    }
    let path = folder.join("adapter.safetensors");
    write_tensors(&path, &tensors, &BTreeMap::new(), Overwrite::Refuse)?;
    Ok(Adapter::read(&path, &ReadOptions::default())?)
}

/// Until all tensors are handed over, and until the output is in its place.
fn time_merge(model: &Path, adapter: &Adapter, out: &Path) -> Result<(Duration, Duration), Failure> {
    let base = BaseModel::open(model)?;
    let start = Instant::now();
    let mut handed_over = start.elapsed();
    merge(&base, &[(adapter, Strength::default())], out, &MergeOptions::default(), &mut |event| {
        if matches!(event, Progress::Finishing) {
            handed_over = start.elapsed();
        }
        ControlFlow::Continue(())
    })?;
    let all = start.elapsed();
    std::fs::remove_dir_all(out)?;
    Ok((handed_over, all))
}

fn time_copy(model: &Path, out: &Path) -> Result<(Duration, Duration), Failure> {
    let start = Instant::now();
    std::fs::create_dir(out)?;
    let mut copies = Vec::new();
    for entry in std::fs::read_dir(model)? {
        let entry = entry?;
        let copy = out.join(entry.file_name());
        std::fs::copy(entry.path(), &copy)?;
        copies.push(copy);
    }
    let handed_over = start.elapsed();
    for copy in copies {
        File::options().append(true).open(copy)?.sync_all()?;
    }
    let all = start.elapsed();
    std::fs::remove_dir_all(out)?;
    std::io::stdout().flush()?;
    Ok((handed_over, all))
}

/// Looks at this process's anonymous memory every few milliseconds, above what there is at the start.
struct Watch {
    running: std::sync::Arc<(AtomicBool, AtomicUsize)>,
    before: usize,
}

impl Watch {
    fn start() -> Self {
        let running = std::sync::Arc::new((AtomicBool::new(true), AtomicUsize::new(0)));
        let shared = running.clone();
        std::thread::spawn(move || {
            while shared.0.load(Relaxed) {
                shared.1.fetch_max(anonymous(), Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { running, before: anonymous() }
    }

    fn stop(self) -> usize {
        self.running.0.store(false, Relaxed);
        self.running.1.load(Relaxed).saturating_sub(self.before)
    }
}

/// Bytes of anonymous memory in use, or 0 where the system does not tell.
fn anonymous() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).map_or(0, |kib| kib * 1024)
}
