//! Models with weights of eight bits.

use std::collections::BTreeMap;

use lokr_checkpoint::{Dtype, FloatType, Overwrite, Tensor, TensorFile, write_tensors};
use ndarray::{Array2, arr0};

use crate::support::{Folder, fails, json, lokr, stderr, succeeds};

const SCALE: f64 = 0.01;

fn values(rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |(i, j)| ((i * columns + j) * 37 % 101) as f64 / 50.0 - 1.0)
}

/// A model of ComfyUI's "fp8_scaled", one of fp8 without scales and one of floats, and an adapter of `m.weight (48,
/// 40)`.
fn files() -> Folder {
    let folder = Folder::new();
    let write = |name: &str, tensors: &[(&str, Tensor)]| {
        let tensors: BTreeMap<_, _> = tensors.iter().map(|(key, tensor)| ((*key).to_owned(), tensor.clone())).collect();
        write_tensors(folder.path(name), &tensors, &BTreeMap::new(), Overwrite::Refuse).unwrap();
    };
    let scaled = Tensor::from_array(&(values(48, 40) / SCALE), FloatType::E4m3);
    let plain = |values: &Array2<f64>| Tensor::from_array(values, FloatType::Bf16);
    write(
        "fp8.safetensors",
        &[
            ("m.weight", scaled.clone()),
            ("m.scale_weight", Tensor::from_array(&arr0(SCALE), FloatType::F32)),
            ("other.weight", scaled),
            ("other.scale_weight", Tensor::from_array(&arr0(SCALE), FloatType::F32)),
            ("scaled_fp8", Tensor::new("", Dtype::F8_E4M3, vec![2], vec![0, 0]).unwrap()),
        ],
    );
    write("plain.safetensors", &[("m.weight", Tensor::from_array(&values(48, 40), FloatType::E4m3))]);
    write("floats.safetensors", &[("m.weight", plain(&values(48, 40)))]);
    let factor = |rows, columns| Tensor::from_array(&values(rows, columns), FloatType::F32);
    write("adapter.safetensors", &[("lycoris_m.lokr_w1", factor(4, 5)), ("lycoris_m.lokr_w2", factor(12, 8))]);
    folder
}

#[test]
fn the_layout_stays_and_the_report_tells_the_share_kept() {
    let files = files();
    let [base, adapter, out] =
        ["fp8.safetensors", "adapter.safetensors", "out.safetensors"].map(|name| files.path(name));
    let text = succeeds(&["merge", "--base", &base, "--adapter", &adapter, "--out", &out]);
    assert!(text.contains("share kept") && text.contains("F8_E4M3"), "{text}");
    let [before, after] = [&base, &out].map(|path| TensorFile::open(path).unwrap());
    assert!(before.names().eq(after.names()));
    succeeds(&["verify", "--base", &base, "--adapter", &adapter, "--merged", &out]);
    assert_eq!(lokr(&["verify", "--base", &base, "--adapter", &adapter, "--merged", &base]).status.code(), Some(4));
    let report = json(&["inspect", &adapter, "--base", &base]);
    let norm = values(48, 40).mapv(|x| x * x).sum().sqrt();
    let relative = report["modules"][0]["relative_norm"].as_f64().unwrap();
    let change = report["modules"][0]["frobenius_norm"].as_f64().unwrap();
    assert!((relative * norm / change - 1.0).abs() < 0.01, "{relative} {norm} {change}");
}

#[test]
fn floats_are_written_where_asked_for() {
    let files = files();
    let [base, adapter, out] =
        ["fp8.safetensors", "adapter.safetensors", "out.safetensors"].map(|name| files.path(name));
    let args = ["merge", "--base", &base, "--adapter", &adapter, "--out", &out, "--out-dtype", "bf16"];
    let text = succeeds(&args);
    assert!(text.contains("F8_E4M3 → BF16") && text.contains("1 weight of eight bits that nothing changes"), "{text}");
    let names: Vec<_> = TensorFile::open(&out).unwrap().names().map(str::to_owned).collect();
    assert_eq!(names, ["m.weight", "other.scale_weight", "other.weight", "scaled_fp8"]);
    // A model of floats has nothing to be written so.
    let floats = files.path("floats.safetensors");
    let args = ["merge", "--base", &floats, "--adapter", &adapter, "--out", &out, "--out-dtype", "f32", "--force"];
    let output = lokr(&args);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("--out-dtype has no effect"), "{}", stderr(&output));
    assert_eq!(TensorFile::open(&out).unwrap().info("m.weight").unwrap().0, Dtype::BF16);
}

#[test]
fn a_change_that_would_be_lost_is_refused_with_the_ways_to_keep_it() {
    let files = files();
    let [base, adapter, out] =
        ["plain.safetensors", "adapter.safetensors", "out.safetensors"].map(|name| files.path(name));
    let args = ["merge", "--base", &base, "--adapter", &adapter, "--out", &out, "--multiplier", "0.002"];
    let error = fails(&args, 3);
    for way in ["m.weight", "--rounding stochastic", "--out-dtype bf16", "--from-unquantised MODEL", "--min-kept 0"] {
        assert!(error.contains(way), "{error}");
    }
    assert!(!std::path::Path::new(&out).exists());
    let original = files.path("floats.safetensors");
    for way in [
        &["--rounding", "stochastic"][..],
        &["--out-dtype", "bf16"],
        &["--from-unquantised", &original],
        &["--min-kept", "0"],
    ] {
        let output = lokr(&[&args[..], &["--force"], way].concat());
        assert_eq!(output.status.code(), Some(0), "{way:?}: {}", stderr(&output));
    }
    fails(&[&args[..], &["--force", "--min-kept", "2"]].concat(), 2);
}
