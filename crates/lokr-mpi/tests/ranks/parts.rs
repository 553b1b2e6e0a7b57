//! A merge on several ranks is that of one process, or nothing.

use std::ops::ControlFlow;
use std::path::Path;

use crate::support::{adapter, files, model, open};
use lokr_checkpoint::{
    Adapter, CheckpointError, FloatType, MergeOptions, Overwrite, Part, Progress, ReadOptions, Strength, merge,
    merge_part,
};
use lokr_mpi::{PartsError, Threads, in_parts};

fn go_on(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A merge on so many ranks, rank `fails` of which is stopped.
fn merged(
    folder: &Path,
    out: &Path,
    size: usize,
    fails: Option<usize>,
) -> Vec<Result<bool, PartsError<CheckpointError>>> {
    let base = open(&folder.join("model"));
    let adapter = Adapter::read(folder.join("adapter.safetensors"), &ReadOptions::default()).unwrap();
    let adapters = [(&adapter, Strength::default())];
    Threads::run(size, |ranks| {
        let work = |part: Part| {
            let mut progress = |_: Progress<'_>| {
                if fails == Some(part.number() - 1) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            merge_part(&base, &adapters, out, part, &MergeOptions::default(), &mut progress)
        };
        in_parts(ranks, out, Overwrite::Refuse, work).map(|(_, joined)| joined.is_some())
    })
}

#[test]
fn any_number_of_ranks_writes_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let base = model(folder.path(), 3, FloatType::Bf16);
    let adapter_path = adapter(folder.path(), 3);
    let alone = folder.path().join("alone");
    let read = Adapter::read(&adapter_path, &ReadOptions::default()).unwrap();
    merge(&open(&base), &[(&read, Strength::default())], &alone, &MergeOptions::default(), &mut go_on).unwrap();
    let alone = files(&alone);
    assert_eq!(alone.len(), 5, "three shards, the index and the configuration");
    for size in [1, 2, 3, 5] {
        let out = folder.path().join(format!("merged-{size}"));
        for (rank, joined) in merged(folder.path(), &out, size, None).into_iter().enumerate() {
            assert_eq!(joined.unwrap(), rank == 0);
        }
        assert!(files(&out) == alone, "{size} ranks");
    }
    let left = std::fs::read_dir(folder.path()).unwrap().filter(|e| {
        let name = e.as_ref().unwrap().file_name().into_string().unwrap();
        name.contains(".part-") || name.starts_with('.')
    });
    assert_eq!(left.count(), 0, "parts that are joined are removed");
}

#[test]
fn a_rank_that_fails_leaves_nothing_of_the_output() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), 3, FloatType::F32);
    adapter(folder.path(), 3);
    let out = folder.path().join("merged");
    let mut entries = Vec::new();
    for (rank, result) in merged(folder.path(), &out, 3, Some(2)).into_iter().enumerate() {
        match result.unwrap_err() {
            PartsError::Own(_) => assert_eq!(rank, 2),
            PartsError::Others { ranks, size: 3 } => assert_eq!(ranks, [2]),
            other => panic!("{other}"),
        }
    }
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        entries.push(entry.unwrap().file_name().into_string().unwrap());
    }
    entries.sort();
    assert_eq!(entries, ["adapter.safetensors", "model"]);
}
