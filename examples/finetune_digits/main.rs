//! Teaches a trained network a new kind of handwritten digits through LoKr adapters, its own weights frozen; through
//! LoRA with as many parameters, and with all weights, beside it.
//!
//! `cargo run --release --example finetune_digits -- --help` lists the options. [`training`] is where the library is
//! used.

#![allow(unreachable_pub)] // the modules of a program

mod args;
mod data;
#[path = "../common/paper.rs"]
mod paper;
mod plot;
mod report;
#[cfg(test)]
mod tests;
mod training;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use args::Args;
use clap::Parser;
use data::{Digits, Split};
use lokr::layers::{Layer, Sequential};
use report::{Meter, percent, write_table};
use training::{
    CHANNELS, Recipe, Run, adapt, adapt_lora, compare, convolutional_network, last_layer, lora_ranks, network, test,
    train,
};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output, `head` perhaps, has seen enough.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    let path = args.plot();
    paper::check(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let upright = Digits::load()?.split(args.seed);
    let shifted = upright.shifted();
    writeln!(out, "lokr {}, backend {}", env!("CARGO_PKG_VERSION"), lokr::core::backend())?;
    writeln!(out, "threads {}, seed {}, {upright}", rayon::current_num_threads(), args.seed)?;
    let fit = |name: &str, network: &mut Sequential<f32>, digits: &Split, recipe: &Recipe| {
        let meter = Meter::new(name, recipe.epochs, args.quiet);
        train(name, network, digits, recipe, &mut |epoch| meter.epoch(epoch))
    };

    writeln!(out, "\n1. A base network that learns upright digits")?;
    let Args { seed, batch_size, epochs, .. } = *args;
    let pretrain = Recipe { epochs: args.pretrain_epochs, batch_size, learning_rate: args.full_lr, seed };
    let mut base = if args.conv { convolutional_network(&CHANNELS, seed)? } else { network(&args.hidden, seed)? };
    let full = base.parameter_count();
    let pretrained = fit("base", &mut base, &upright, &pretrain)?;
    let unknown = test(&base, &shifted.test)?;
    if args.conv {
        writeln!(out, "convolutions of 3 × 3 to {CHANNELS:?} channels, a linear layer, {full} parameters")?;
    } else {
        let layers = base.layers().len();
        writeln!(out, "{layers} linear layers, hidden sizes {:?}, {full} parameters", args.hidden)?;
    }
    writeln!(out, "accuracy on upright test images:                   {:>6}", percent(pretrained.test_accuracy))?;
    writeln!(out, "on the same images, turned by 90° and inverted:    {:>6}", percent(unknown))?;

    writeln!(out, "\n2. The shifted digits, learned from there in several ways")?;
    let all = Recipe { epochs, ..pretrain };
    let few = Recipe { learning_rate: args.lr, ..all };
    let mut adapted = adapt(&base, args.rank, args.factor, seed)?;
    let mut balanced = adapt(&base, args.rank, -1, seed)?;
    let ranks = lora_ranks(&base, adapted.parameter_count());
    let mut lora = adapt_lora(&base, &ranks, seed)?;
    let (mut head, seen_by_head) = last_layer(&base, &shifted)?;
    let runs = [
        fit("last layer only", &mut head, &seen_by_head, &few)?,
        fit("LoKr, balanced factors", &mut balanced, &shifted, &few)?,
        fit(&format!("LoRA, ranks {}", joined(&ranks)), &mut lora, &shifted, &few)?,
        fit(&format!("LoKr, factor {}", args.factor), &mut adapted, &shifted, &few)?,
        fit("all weights", &mut base.clone(), &shifted, &all)?,
    ];

    writeln!(out, "\n3. What came of it")?;
    let untouched = Run::untouched("base as it was", unknown);
    write_table(&mut out, [&untouched].into_iter().chain(&runs), full)?;
    writeln!(
        out,
        "the ranks of LoRA, layer by layer, are the largest that need no more parameters than LoKr's factors do"
    )?;

    let merged = adapted.merged()?;
    let (difference, same) = compare(&adapted, &*merged, &shifted.test)?;
    writeln!(out, "\nmerged the adapters into a plain network: outputs differ by at most {difference:.1e},")?;
    writeln!(out, "{same} of {} test images get the same answer", shifted.test.len())?;
    if !difference.is_finite() {
        return Err("the adapted network's outputs are not finite numbers: a learning rate is too large".into());
    }
    if same != shifted.test.len() {
        return Err("the merged network gives other answers than the adapted one".into());
    }

    plot::save(&path, &upright.test, &shifted.test, &runs).map_err(|error| format!("{}: {error}", path.display()))?;
    writeln!(out, "curves of loss and accuracy: {}", path.display())?;
    Ok(())
}

/// Numbers as a name of a run shows them.
fn joined(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
