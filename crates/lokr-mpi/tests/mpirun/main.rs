//! Ranks that are processes, under `mpirun` with 2 and 3 of them. This program starts itself there: with a job's name
//! as its argument it is one of the ranks, without one it is the test that starts the jobs and looks at what they did.
//!
//! `cargo test --workspace --features lokr-mpi/mpi --test mpirun`

#![allow(clippy::unwrap_used, clippy::expect_used)] // In helpers too, a failure is the test's.

#[path = "../support/mod.rs"]
mod support;

mod jobs;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use lokr_checkpoint::{Adapter, FloatType, MergeOptions, ReadOptions, Strength, merge};
use lokr_layers::SingleProcess;
use support::{Data, adapter, files, fit, model, network, open, run};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    if let (Some(job), Some(folder)) = (arguments.next(), arguments.next()) {
        return lokr_mpi::run(|world| jobs::job(world, &job, Path::new(&folder)));
    }
    let tests: [(&str, fn()); 6] = [
        ("numbers_are_added_up_and_bytes_gathered", numbers_and_bytes),
        ("in_fixed_order_the_bits_are_those_of_one_process", fixed_order),
        ("otherwise_all_ranks_end_with_the_same_bits", any_order),
        ("a_rank_that_differs_ends_the_job_and_is_named", differing),
        ("a_killed_run_goes_on_with_the_same_result", killed),
        ("a_merge_is_that_of_one_process_or_nothing", merged),
    ];
    for (name, test) in tests {
        println!("test {name} ...");
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

/// Runs a program on so many ranks, more than there are processors if need be.
fn mpirun(ranks: usize, program: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("mpirun");
    // Tests may run in a container, where the only user is root.
    command.args(["--allow-run-as-root", "--oversubscribe", "-n", &ranks.to_string()]);
    command.arg(program).args(arguments).env("RAYON_NUM_THREADS", "1");
    command.output().expect("mpirun is not installed; on Debian it is in the package openmpi-bin")
}

/// Runs one of the jobs; what it printed.
fn job(ranks: usize, name: &str, folder: &Path) -> Output {
    mpirun(ranks, &std::env::current_exe().unwrap(), &[name, folder.to_str().unwrap()])
}

/// The standard output of a job that ended well.
fn printed(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn numbers_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for ranks in [2, 3] {
        assert_eq!(printed(&job(ranks, "collectives", folder.path())).matches("right").count(), ranks);
    }
}

/// What one process ends with, in blocks of 3 samples.
fn alone() -> String {
    let data = Data::new();
    let samples = data.samples();
    jobs::text(&fit(run(&SingleProcess, &samples).fixed_order(3), network(), &samples).unwrap())
}

fn fixed_order() {
    let (folder, expected) = (tempfile::tempdir().unwrap(), alone());
    for ranks in [2, 3] {
        let printed = printed(&job(ranks, "fixed_order", folder.path()));
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines, vec![expected.as_str(); ranks], "{ranks} ranks");
    }
}

fn any_order() {
    let folder = tempfile::tempdir().unwrap();
    for ranks in [2, 3] {
        let printed = printed(&job(ranks, "any_order", folder.path()));
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines, vec![lines[0]; ranks], "{ranks} ranks");
    }
}

fn differing() {
    let folder = tempfile::tempdir().unwrap();
    let output = job(3, "differing", folder.path());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("1 of 3 ranks has other parameters than most, after step 0: rank 1"), "{errors}");
}

/// Rank 1 of 3 is killed after step 5; the last state that was saved is of step 4.
fn killed() {
    let expected = alone();
    for ranks in [1, 2, 3] {
        let folder = tempfile::tempdir().unwrap();
        let output = job(3, "killed", folder.path());
        assert!(!output.status.success(), "a killed rank ends the job");
        assert!(folder.path().join("run.safetensors").is_file());
        let printed = printed(&job(ranks, "resumed", folder.path()));
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines, vec![expected.as_str(); ranks], "{ranks} ranks");
    }
}

fn merged() {
    let program = Path::new(env!("CARGO_BIN_EXE_lokr-mpi"));
    let folder = tempfile::tempdir().unwrap();
    let base = model(folder.path(), 3, FloatType::F16);
    let adapter = adapter(folder.path(), 3);
    let path = |name: &str| folder.path().join(name);
    let on_ranks = |ranks: usize, out: &Path, multiplier: &str| {
        let [base, adapter, out] = [base.as_path(), adapter.as_path(), out].map(|path| path.to_str().unwrap());
        let arguments = ["merge", "--base", base, "--adapter", adapter, "--multiplier", multiplier, "--out", out];
        mpirun(ranks, program, &arguments)
    };
    let read = Adapter::read(&adapter, &ReadOptions::default()).unwrap();
    let (adapters, options) = ([(&read, Strength::default())], MergeOptions::default());
    merge(&open(&base), &adapters, path("alone"), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    for ranks in [2, 3] {
        let out = path(&format!("merged-{ranks}"));
        let printed = printed(&on_ranks(ranks, &out, "1"));
        assert!(printed.contains("parts joined to"), "{printed}");
        assert!(files(&out) == files(&path("alone")), "{ranks} ranks");
    }

    // A shard whose last values are beyond what its type holds once the adapter is in it: one rank fails.
    jobs::spoil(&base.join("model-00002-of-00003.safetensors"));
    let before = names(folder.path());
    let output = on_ranks(3, &path("spoilt"), "1000");
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("layers.1.q_proj"), "{errors}");
    assert_eq!(names(folder.path()), before);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
