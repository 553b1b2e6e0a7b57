//! An interrupt in the middle of a job, sent to the built program.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use lokr_checkpoint::{FloatType, Overwrite, Tensor, write_tensors};
use ndarray::Array2;

use crate::support::{entries, program, stderr};

/// Weights of the model, and the side of each.
const WEIGHTS: usize = 48;
const SIDE: usize = 1024;
const WEIGHT_BYTES: u64 = (4 * SIDE * SIDE) as u64;
/// How often the adapter is applied, so that the merge would take seconds, many times as long as one weight.
const TIMES: usize = 120;

/// A model of so many weights of zeros that takes no space on disk.
fn model(path: &Path, weights: usize) {
    let entry = |i: usize| {
        let start = i as u64 * WEIGHT_BYTES;
        let end = start + WEIGHT_BYTES;
        format!(r#""m{i}.weight":{{"dtype":"F32","shape":[{SIDE},{SIDE}],"data_offsets":[{start},{end}]}}"#)
    };
    let header = format!("{{{}}}", (0..weights).map(entry).collect::<Vec<_>>().join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    fs::write(path, &bytes).unwrap();
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_len(bytes.len() as u64 + weights as u64 * WEIGHT_BYTES).unwrap();
}

fn adapter(path: &Path) {
    let factor = || Tensor::from_array(&Array2::from_elem((32, 32), 0.01f32), FloatType::F32);
    let tensors = (0..WEIGHTS).flat_map(|i| ["lokr_w1", "lokr_w2"].map(|w| (format!("lycoris_m{i}.{w}"), factor())));
    write_tensors(path, &tensors.collect(), &BTreeMap::new(), Overwrite::Refuse).unwrap();
}

fn merge(base: &Path, adapter: &Path, out: &Path) -> Child {
    let mut command = program();
    command.args(["merge", "--force", "--base"]).arg(base).arg("--out").arg(out);
    for _ in 0..TIMES {
        command.arg("--adapter").arg(adapter);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the temporary output, a file or a directory with one, holds a weight.
fn wait_until_it_writes(child: &mut Child, folder: &Path) {
    let written = |path: PathBuf| -> u64 {
        match path.is_dir() {
            true => {
                fs::read_dir(path).into_iter().flatten().flatten().map(|f| f.metadata().map_or(0, |m| m.len())).sum()
            }
            false => path.metadata().map_or(0, |metadata| metadata.len()),
        }
    };
    loop {
        assert!(child.try_wait().unwrap().is_none(), "it has ended before it could be interrupted");
        let temporary = entries(folder).into_iter().find(|name| name.starts_with(".lokr-"));
        if temporary.is_some_and(|name| written(folder.join(name)) >= WEIGHT_BYTES) {
            return;
        }
        std::thread::yield_now();
    }
}

fn signal(child: Child, name: &str) -> Output {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

fn assert_interrupted(output: &Output) {
    let error = stderr(output);
    assert_eq!(output.status.code(), Some(130), "{error}");
    assert!(output.stdout.is_empty());
    assert_eq!(error.lines().last(), Some("error: interrupted"), "{error}");
}

#[test]
fn a_file_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    model(&path("base.safetensors"), WEIGHTS);
    adapter(&path("adapter.safetensors"));
    fs::write(path("out.safetensors"), "mine").unwrap();
    let before = entries(folder.path());
    for name in ["INT", "TERM"] {
        let mut child = merge(&path("base.safetensors"), &path("adapter.safetensors"), &path("out.safetensors"));
        wait_until_it_writes(&mut child, folder.path());
        assert_interrupted(&signal(child, name));
        assert_eq!(entries(folder.path()), before);
        assert_eq!(fs::read(path("out.safetensors")).unwrap(), b"mine");
    }
}

#[test]
fn a_directory_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("base")).unwrap();
    fs::create_dir(path("out")).unwrap();
    model(&path("base/model.safetensors"), WEIGHTS);
    fs::write(path("base/config.json"), "{}").unwrap();
    adapter(&path("adapter.safetensors"));
    for name in ["model.safetensors", "config.json"] {
        fs::write(path("out").join(name), name).unwrap();
    }
    let before = entries(folder.path());
    let mut child = merge(&path("base"), &path("adapter.safetensors"), &path("out"));
    wait_until_it_writes(&mut child, folder.path());
    assert_interrupted(&signal(child, "INT"));
    assert_eq!(entries(folder.path()), before);
    assert_eq!(entries(&path("out")), ["config.json", "model.safetensors"]);
    for name in ["model.safetensors", "config.json"] {
        assert_eq!(fs::read(path("out").join(name)).unwrap(), name.as_bytes());
    }
}

/// Jobs on modules write nothing before they are done: there is only the output that must not appear.
#[cfg(target_os = "linux")]
#[test]
fn an_extraction_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // As many as take half a minute.
    let weights = 40 * WEIGHTS;
    for name in ["base.safetensors", "tuned.safetensors"] {
        model(&path(name), weights);
    }
    // One value of each weight differs.
    let mut tuned = fs::File::options().read(true).write(true).open(path("tuned.safetensors")).unwrap();
    let data = tuned.metadata().unwrap().len() - weights as u64 * WEIGHT_BYTES;
    for i in 0..weights as u64 {
        tuned.seek(SeekFrom::Start(data + i * WEIGHT_BYTES + 4096)).unwrap();
        tuned.write_all(&1f32.to_le_bytes()).unwrap();
    }
    let before = entries(folder.path());
    let mut command = program();
    command.arg("extract").arg("--base").arg(path("base.safetensors")).arg("--tuned").arg(path("tuned.safetensors"));
    command.arg("--out").arg(path("out")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It has opened both models, so that it catches signals by now.
    let maps = format!("/proc/{}/maps", child.id());
    while !fs::read_to_string(&maps).unwrap().contains("tuned.safetensors") {
        assert!(child.try_wait().unwrap().is_none(), "it has ended before it could be interrupted");
        std::thread::yield_now();
    }
    assert_interrupted(&signal(child, "INT"));
    assert_eq!(entries(folder.path()), before);
}
