//! Three adapters on one frozen base: trained, killed and resumed, saved, loaded, and served in one mixed batch.
//!
//! A small network learns handwritten digits. Three tasks show it the same digits in another way: as negatives, in a
//! mirror, and lying on their side. Each task gets a LoKr adapter; the base is held in memory once. The second run is
//! killed on its way (it stops itself) and goes on from its file, to the very bits of a run that was never stopped.
//!
//! ```sh
//! cargo run --release -p lokr-checkpoint --example three_adapters -- three-adapters
//! ```
//!
//! The folder then holds, for each task, `NAME.csv` (a line for each step), `NAME.run` (the state of the run) and the
//! adapter in the dialects of PEFT and LyCORIS, and `loss.svg`, a picture of all three. `base.safetensors` has the base
//! as PyTorch's layers hold it and `answers.safetensors` what the adapted networks make of some digits:
//! `tests/interop/three_adapters.py` compares PEFT and LyCORIS with those.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use lokr_checkpoint::{
    Dialect, FloatType, LoadOptions, Overwrite, SaveOptions, Tensor, load_adapters, load_training, save_adapters,
    save_training, write_tensors,
};
use lokr_layers::rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use lokr_layers::{
    Activation, Adam, AdamW, CrossEntropy, Dense, Init, Layer, LoKrSettings, Progress, Samples, Schedule, Select,
    Sequential, StepReport, Targets, Trainer, Training, TrainingLog, accuracy, named_values,
};
use ndarray::{Array2, ArrayView, ArrayView1, Axis, Dimension, concatenate, s};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Network = Sequential<f32>;

const SIDE: usize = 8;
const EPOCHS: usize = 20;
const SAVE_EVERY: usize = 25;
/// The step at which the second run is killed: between two saves.
const KILLED_AT: usize = 260;

/// What a task does to an image: the pixel that is shown at a place, and the sign it gets.
#[derive(Clone, Copy)]
struct Task {
    name: &'static str,
    pixel: fn(usize, usize) -> (usize, usize),
    sign: f32,
    colour: &'static str,
}

const TASKS: [Task; 3] = [
    Task { name: "negative", pixel: |row, column| (row, column), sign: -1.0, colour: "#1b6ca8" },
    Task { name: "mirror", pixel: |row, column| (row, SIDE - 1 - column), sign: 1.0, colour: "#c8553d" },
    Task { name: "lying", pixel: |row, column| (column, SIDE - 1 - row), sign: 1.0, colour: "#3d8b4f" },
];

/// Images, a row each, and the digits on them.
struct Digits {
    images: Array2<f32>,
    labels: Vec<usize>,
}

impl Digits {
    fn load() -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/digits.csv");
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for line in std::fs::read_to_string(path)?.lines().skip(1) {
            let values: Vec<u8> = line.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?;
            let (label, image) = values.split_last().ok_or("an empty line")?;
            pixels.extend(image.iter().map(|&ink| f32::from(ink) / 8.0 - 1.0));
            labels.push(usize::from(*label));
        }
        Ok(Self { images: Array2::from_shape_vec((labels.len(), SIDE * SIDE), pixels)?, labels })
    }

    fn select(&self, indices: &[usize]) -> Self {
        Self { images: self.images.select(Axis(0), indices), labels: indices.iter().map(|&i| self.labels[i]).collect() }
    }

    /// The same digits as a task shows them.
    fn shown(&self, task: Task) -> Self {
        let images = Array2::from_shape_fn(self.images.dim(), |(image, place)| {
            let (row, column) = (task.pixel)(place / SIDE, place % SIDE);
            task.sign * self.images[[image, row * SIDE + column]]
        });
        Self { images, labels: self.labels.clone() }
    }

    fn samples(&self) -> Result<Samples<'_, f32>> {
        Ok(Samples::new(&self.images, Targets::Labels(&self.labels))?)
    }
}

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "three-adapters".to_owned()));
    std::fs::create_dir_all(&folder)?;
    let digits = Digits::load()?;
    let mut order: Vec<usize> = (0..digits.labels.len()).collect();
    order.shuffle(&mut SmallRng::seed_from_u64(7));
    let (test, train) = order.split_at(order.len() / 4);
    let (train, test) = (digits.select(train), digits.select(test));

    let base = train_base(&train)?;
    println!("base: {:.1} % of {} digits it has not seen", percent(&base, &test)?, test.labels.len());

    let mut answers = BTreeMap::from([("digits".to_owned(), as_f32(&test.images.slice(s![..64, ..])))]);
    let mut losses = Vec::new();
    for (index, task) in TASKS.into_iter().enumerate() {
        let (train, killed) = (train.shown(task), index == 1);
        let mut network = adapted(&base)?;
        let report = if killed {
            let resumed = killed_and_resumed(&base, task, &train, &folder)?;
            let report = run(&mut network, task, &train, &folder, None)?; // the run that is never stopped
            if named_values(&resumed)? != named_values(&network)? {
                return Err("the resumed run has other bits".into());
            }
            println!("  killed at step {KILLED_AT}, resumed from the last save: the same bits as without");
            report
        } else {
            run(&mut network, task, &train, &folder, None)?
        };
        let answer = network.predict(&test.images.slice(s![..64, ..]))?;
        answers.insert(task.name.to_owned(), as_f32(&answer.view()));
        losses.push((task, report));
        for (dialect, file) in [(Dialect::Peft, ""), (Dialect::Lycoris, ".safetensors")] {
            let options = SaveOptions { overwrite: Overwrite::Replace, ..SaveOptions::to(dialect) };
            save_adapters(&network, folder.join(format!("{}{file}", task.name)), &options)?;
        }
    }

    write_tensors(folder.join("answers.safetensors"), &answers, &BTreeMap::new(), Overwrite::Replace)?;
    write_tensors(folder.join("base.safetensors"), &as_torch(&base)?, &BTreeMap::new(), Overwrite::Replace)?;
    serve(&base, &test, &folder)?;
    std::fs::write(folder.join("loss.svg"), picture(&losses)?)?;
    println!("\nlogs, runs, adapters and loss.svg are in {}", folder.display());
    Ok(())
}

/// Learns the digits as they are, and is shared from then on.
fn train_base(train: &Digits) -> Result<Network> {
    let rng = &mut SmallRng::seed_from_u64(1);
    let mut network = Sequential::empty();
    network
        .push_named("body.0", Dense::new(SIDE * SIDE, 96, Activation::Gelu, Init::HeNormal, rng)?)?
        .push_named("body.1", Dense::new(96, 96, Activation::Gelu, Init::HeNormal, rng)?)?
        .push_named("head", Dense::new(96, 10, Activation::Identity, Init::XavierNormal, rng)?)?;
    Trainer::new(CrossEntropy::new()).epochs(30).fit(&mut network, &mut Adam::new(2e-3)?, &train.samples()?)?;
    network.share(Select::all())?;
    Ok(network)
}

fn as_f32<D: Dimension>(values: &ArrayView<'_, f32, D>) -> Tensor {
    Tensor::from_array(values, FloatType::F32)
}

/// The values of the base by their names, weights as `(out, in)`.
fn as_torch(base: &Network) -> Result<BTreeMap<String, Tensor>> {
    Ok(named_values(base)?.into_iter().map(|(name, values)| (name, as_f32(&values.t()))).collect())
}

/// The base, held once, with an adapter of its own.
fn adapted(base: &Network) -> Result<Network> {
    let mut network = base.clone();
    network.adapt(Select::all(), LoKrSettings::new().rank(4).alpha(4.0))?;
    Ok(network)
}

fn settings<'a>() -> Training<'a, f32> {
    Trainer::new(CrossEntropy::new())
        .epochs(EPOCHS)
        .batch_size(32)
        .schedule(Schedule::cosine().warmup(30))
        .clip_norm(1.0)
}

/// Trains an adapter, and gives the loss of each step. Killed at `stop`, if there is one.
fn run(network: &mut Network, task: Task, train: &Digits, folder: &Path, stop: Option<usize>) -> Result<Vec<f64>> {
    let (state, log) = (folder.join(format!("{}.run", task.name)), folder.join(format!("{}.csv", task.name)));
    let mut file = BufWriter::new(File::create(log)?);
    let mut losses = Vec::new();
    let training = settings()
        .log(TrainingLog::csv(&mut file))
        .save_every(SAVE_EVERY, |state_of_run| {
            // What a killed program has not reached is not written.
            match stop.is_some_and(|stop| state_of_run.counts["step"] as usize >= stop) {
                true => Ok(()),
                false => save_training(&state, state_of_run),
            }
        })
        .on_progress(|progress| {
            let Progress::Step(report) = progress else { return ControlFlow::Continue(()) };
            losses.push(report.loss);
            show(task.name, report);
            if stop == Some(report.step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    training.fit(network, &mut AdamW::new(1e-2)?, &train.samples()?)?;
    file.flush()?;
    eprintln!();
    Ok(losses)
}

/// One line that is written over and over.
fn show(name: &str, StepReport { step, steps, loss, learning_rate, gradient_norm, time_left, .. }: &StepReport) {
    if step % 10 == 0 || step == steps {
        let (norm, left) = (gradient_norm.unwrap_or(f64::NAN), time_left.as_secs_f64());
        eprint!(
            "\r{name}: {step}/{steps}  loss {loss:.3}  rate {learning_rate:.1e}  gradient {norm:.2}  {left:.0} s left "
        );
    }
}

/// A run that is killed, and what another program makes of its file.
fn killed_and_resumed(base: &Network, task: Task, train: &Digits, folder: &Path) -> Result<Network> {
    let mut killed = adapted(base)?;
    run(&mut killed, task, train, folder, Some(KILLED_AT))?;
    drop(killed); // nothing is left of it but the file
    let mut network = adapted(base)?;
    let state = load_training(folder.join(format!("{}.run", task.name)))?;
    let step = state.counts["step"];
    if step as usize > KILLED_AT {
        return Err(format!("the file is of step {step}").into());
    }
    settings().resume(state).fit(&mut network, &mut AdamW::new(1e-2)?, &train.samples()?)?;
    Ok(network)
}

/// Loads the three adapters onto one network, and takes a batch through it whose rows use different ones.
fn serve(base: &Network, test: &Digits, folder: &Path) -> Result<()> {
    let mut server = base.clone();
    for (index, task) in TASKS.into_iter().enumerate() {
        // Whichever dialect: one is read from PEFT's directory, the others from files.
        let file = if index == 0 { task.name.to_owned() } else { format!("{}.safetensors", task.name) };
        load_adapters(
            &mut server,
            folder.join(file),
            &LoadOptions { name: task.name.to_owned(), ..Default::default() },
        )?;
    }
    // Every fourth row is shown as it is and uses no adapter.
    let shown: Vec<Digits> = TASKS.into_iter().map(|task| test.shown(task)).collect();
    let kinds: Vec<usize> = (0..test.labels.len()).map(|row| row % 4).collect();
    let names: Vec<Option<&str>> = kinds.iter().map(|&kind| TASKS.get(kind).map(|task| task.name)).collect();
    let rows = kinds.iter().enumerate().map(|(row, &kind)| {
        shown.get(kind).map_or(test.images.row(row), |digits| digits.images.row(row)).insert_axis(Axis(0))
    });
    let batch = concatenate(Axis(0), &rows.collect::<Vec<_>>())?;
    let served = server.predict_mixed(&batch, &names)?;

    let mut right: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for ((row, &kind), &label) in served.rows().into_iter().zip(&kinds).zip(&test.labels) {
        let (hits, total) = right.entry(kind).or_default();
        *hits += usize::from(best(row) == label);
        *total += 1;
    }
    println!("\n{:10} {:>12} {:>14} {:>22}", "task", "base alone", "with adapter", "in the mixed batch");
    for (kind, task) in TASKS.into_iter().enumerate() {
        server.activate(&[task.name])?;
        let (alone, with) = (percent(base, &shown[kind])?, percent(&server, &shown[kind])?);
        let (hits, total) = right[&kind];
        let mixed = 100.0 * hits as f64 / total as f64;
        println!("{:10} {alone:>10.1} % {with:>12.1} % {mixed:>13.1} % of {total}", task.name);
        if with < alone + 20.0 {
            return Err(format!("the adapter {} has learned too little", task.name).into());
        }
        // The same numbers as a forward for each adapter, row by row.
        let apart = server.predict(&batch)?;
        let mut pairs = served.rows().into_iter().zip(apart.rows()).zip(&kinds).filter(|(_, found)| **found == kind);
        if !pairs.all(|((a, b), _)| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3)) {
            return Err("the mixed batch differs from a batch for each adapter".into());
        }
    }
    Ok(())
}

fn best(row: ArrayView1<'_, f32>) -> usize {
    let best = row.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map_or(0, |(digit, _)| digit)
}

fn percent(network: &Network, digits: &Digits) -> Result<f64> {
    Ok(100.0 * accuracy(&network.predict(&digits.images)?, &digits.labels)?)
}

/// The losses over the steps, means of ten each.
fn picture(losses: &[(Task, Vec<f64>)]) -> Result<String> {
    const WIDTH: f64 = 640.0;
    const HEIGHT: f64 = 320.0;
    let smooth = |losses: &[f64]| -> Vec<f64> {
        losses.chunks(10).map(|part| part.iter().sum::<f64>() / part.len() as f64).collect()
    };
    let highest = losses.iter().flat_map(|(_, losses)| smooth(losses)).fold(1e-9, f64::max);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-50 -30 {} {}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect x=\"-50\" y=\"-30\" width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <path d=\"M0 0 V{HEIGHT} H{WIDTH}\" fill=\"none\" stroke=\"#555\"/>\n\
         <text x=\"-8\" y=\"4\" text-anchor=\"end\">{highest:.1}</text>\n\
         <text x=\"-8\" y=\"{HEIGHT}\" text-anchor=\"end\">0</text>\n",
        WIDTH + 70.0,
        HEIGHT + 60.0
    );
    for (line, (task, losses)) in losses.iter().enumerate() {
        let means = smooth(losses);
        let last = means.len().saturating_sub(1).max(1) as f64;
        let mut points = String::new();
        for (place, loss) in means.iter().enumerate() {
            write!(points, "{:.1},{:.1} ", WIDTH * place as f64 / last, HEIGHT * (1.0 - loss / highest))?;
        }
        let (colour, y) = (task.colour, 10 + 16 * line);
        writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>")?;
        writeln!(svg, "<text x=\"{}\" y=\"{y}\" fill=\"{colour}\" text-anchor=\"end\">{}</text>", WIDTH, task.name)?;
    }
    let steps = losses.iter().map(|(_, losses)| losses.len()).max().unwrap_or(0);
    writeln!(svg, "<text x=\"{WIDTH}\" y=\"{}\" text-anchor=\"end\">step {steps}</text>\n</svg>", HEIGHT + 18.0)?;
    Ok(svg)
}
