//! Our side of `benches/peers/compare.py`: with `--serve` it stays alive and runs what it is told over standard input,
//! so that samples of both sides can take turns.
//!
//! One command per line, one line in answer:
//!
//! | command | answer |
//! |---|---|
//! | `prepare JOB SHAPE BATCH` | `ready`, once data are made; the jobs are those of `compare.py` |
//! | `run N` | nanoseconds that N runs took |
//! | `check` | the sum of absolute values, the first, the middle and the last value of the result |
//! | `machine` | backend and threads |
//!
//! Anything else is answered by `error` and a reason. The data follow a formula that the script has too.
#![allow(clippy::expect_used)] // A benchmark that cannot go on should stop, and say where.

mod network;
#[path = "../support/mod.rs"]
mod support;

use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::time::Instant;

use lokr::layers::{Activation, FullyConnected, GradientAt, Layer, LoKrAdapter};
use ndarray::{Array1, Array2};

use support::{Operator, Shape, join_pool, machine};

/// Scaling of every adapter.
const SCALING: f32 = 0.5;

/// Does a job once, into its result.
type Run = Box<dyn FnMut(&mut Array2<f32>)>;

/// A job with its data.
struct Prepared {
    run: Run,
    result: Array2<f32>,
}

fn main() -> io::Result<()> {
    if !std::env::args().any(|argument| argument == "--serve") {
        println!("peers: nothing to measure alone; run benches/peers/compare.py");
        return Ok(());
    }
    join_pool();
    let mut prepared = None;
    for line in io::stdin().lock().lines() {
        let answer = answer(&line?, &mut prepared).unwrap_or_else(|error| format!("error {error}"));
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

fn answer(line: &str, prepared: &mut Option<Prepared>) -> Result<String, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match (words.as_slice(), prepared) {
        (["machine"], _) => Ok(machine()),
        (["prepare", job, shape, batch], prepared) => {
            *prepared = None; // Gives the memory back first.
            let batch = batch.parse().map_err(|_| format!("{batch:?} is not a batch"))?;
            *prepared = Some(match *job {
                "network" => network::prepare(shape, batch)?,
                _ => prepare(job, shape.parse()?, batch)?,
            });
            Ok("ready".into())
        }
        (["run", times], Some(Prepared { run, result })) => {
            let times: usize = times.parse().map_err(|_| format!("{times:?} is not a number"))?;
            let start = Instant::now();
            for _ in 0..times {
                run(black_box(result));
            }
            Ok(start.elapsed().as_nanos().to_string())
        }
        (["check"], Some(Prepared { result, .. })) => {
            let values: Vec<f64> = result.iter().map(|&value| f64::from(value)).collect();
            let sum: f64 = values.iter().map(|value| value.abs()).sum();
            let at = |index: usize| values.get(index).copied().unwrap_or_default();
            Ok(format!("{sum:e} {:e} {:e} {:e}", at(0), at(values.len() / 2), at(values.len() - 1)))
        }
        (["run" | "check", ..], None) => Err("nothing is prepared".into()),
        _ => Err(format!("{line:?} is not a command")),
    }
}

/// Values that look random and follow from a formula.
fn pattern(rows: usize, cols: usize, seed: usize) -> Array2<f32> {
    let value = |index: usize| ((index * 40_503 + seed * 9_973) % 1_021) as f64 / 1_021.0 - 0.5;
    Array2::from_shape_fn((rows, cols), |(row, col)| value(row * cols + col) as f32)
}

fn prepare(job: &str, shape: Shape, batch: usize) -> Result<Prepared, String> {
    let mut seed = 0;
    let operator = Operator::filled(shape, |rows, cols| {
        seed += 1;
        pattern(rows, cols, seed)
    });
    let (height, width) = shape.dim();
    let (x, dy) = (pattern(batch, width, 11), pattern(batch, height, 12));
    let base = || {
        let bias: Array1<f32> = pattern(1, height, 14).into_iter().collect();
        FullyConnected::from_arrays(pattern(height, width, 13), bias, Activation::Identity)
            .map_err(|error| error.to_string())
    };
    let adapted = |operator| match operator {
        Operator::Two(delta) => LoKrAdapter::from_delta(base()?, delta, SCALING).map_err(|error| error.to_string()),
        Operator::Chain(_) => Err("an adapter has two factors".to_owned()),
    };
    let prepared = |result, run: Run| Prepared { run, result };
    Ok(match job {
        "base" => {
            let layer = base()?;
            let run = move |y: &mut Array2<f32>| layer.predict_into(&x, y).expect("the shapes fit");
            prepared(Array2::zeros((batch, height)), Box::new(run))
        }
        "forward" => {
            let adapter = adapted(operator)?;
            let run = move |y: &mut Array2<f32>| adapter.predict_into(&x, y).expect("the shapes fit");
            prepared(Array2::zeros((batch, height)), Box::new(run))
        }
        "step" => {
            let mut adapter = adapted(operator)?;
            let mut y = Array2::zeros((batch, height));
            let run = move |dx: &mut Array2<f32>| {
                adapter.clear_gradients();
                adapter.forward_into(&x, black_box(&mut y)).expect("the shapes fit");
                adapter.backward_into(&dy, GradientAt::Output, dx).expect("the shapes fit");
            };
            prepared(Array2::zeros((batch, width)), Box::new(run))
        }
        "apply" => {
            let run = move |y: &mut Array2<f32>| operator.apply_into(&x, y);
            prepared(Array2::zeros((batch, height)), Box::new(run))
        }
        "merge" => {
            // Added and taken off in turn, so that nothing grows.
            let mut scaling = -SCALING;
            let run = move |w: &mut Array2<f32>| {
                scaling = -scaling;
                operator.merge(scaling, w);
            };
            prepared(pattern(height, width, 13), Box::new(run))
        }
        _ => return Err(format!("{job:?} is not a job")),
    })
}
