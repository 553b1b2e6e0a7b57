//! `--shard` and `lokr join`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::{Folder, MLP, case, entries, fails, json, mlp, succeeds};
use lokr_checkpoint::{Overwrite, Tensor, TensorFile, write_tensors};

/// The recorded base model in two shards with an index.
fn shards(folder: &Folder) -> String {
    let file = TensorFile::open(mlp("base.safetensors")).unwrap();
    let model = folder.root().join("model");
    std::fs::create_dir(&model).unwrap();
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    let mut map = BTreeMap::new();
    for (number, names) in names.chunks(names.len().div_ceil(2)).enumerate() {
        let shard = format!("model-{}-of-2.safetensors", number + 1);
        let tensors: BTreeMap<String, Tensor> = names.iter().map(|n| (n.clone(), file.tensor(n).unwrap())).collect();
        write_tensors(model.join(&shard), &tensors, &BTreeMap::new(), Overwrite::Refuse).unwrap();
        map.extend(names.iter().map(|name| (name.clone(), shard.clone())));
    }
    let index = serde_json::json!({ "weight_map": map });
    std::fs::write(model.join("model.safetensors.index.json"), index.to_string()).unwrap();
    folder.path("model")
}

fn bytes(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| (name.clone(), std::fs::read(Path::new(folder).join(name)).unwrap());
    entries(Path::new(folder)).into_iter().map(read).collect()
}

#[test]
fn a_merge_in_parts_is_joined() {
    let folder = Folder::new();
    let (base, adapter, out) = (shards(&folder), case(MLP), folder.path("merged"));
    let merge = |more: &[&'static str], out: &str| {
        let arguments = ["merge", "--base", &base, "--adapter", &adapter, "--out", out];
        [&arguments.map(str::to_owned)[..], &more.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()].concat()
    };
    let run = |arguments: Vec<String>| succeeds(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let alone = folder.path("alone");
    run(merge(&[], &alone));
    for shard in ["1/2", "2/2"] {
        let text = run(merge(&["--shard", shard], &out));
        assert!(text.contains(&format!("merged.part-{}", shard.replace('/', "-of-"))), "{text}");
    }
    let text = succeeds(&["join", "--out", &out]);
    assert!(text.starts_with("2 parts of one job, 3 files, "), "{text}");
    assert!(bytes(&out) == bytes(&alone));
    assert_eq!(folder.count(), 3);

    // What is there is not replaced without being asked for, before any work is done.
    let arguments = merge(&["--shard", "1/2"], &out);
    assert!(fails(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), 2).contains("--force overwrites it"));
    run(merge(&["--shard", "1/1", "--force"], &out));
    let report = json(&["join", "--out", &out, "--force"]);
    assert_eq!((&report["parts"], report["files"].as_array().unwrap().len()), (&serde_json::json!(1), 3));
    assert!(bytes(&out) == bytes(&alone));
}

#[test]
fn parts_that_are_missing_are_named() {
    let folder = Folder::new();
    let (base, adapter, out) = (shards(&folder), case(MLP), folder.path("merged"));
    let error = fails(&["join", "--out", &out], 3);
    assert!(error.contains("no part of it is here; expected directories of this name with .part-I-of-N"), "{error}");
    succeeds(&["merge", "--base", &base, "--adapter", &adapter, "--out", &out, "--shard", "2/3"]);
    let error = fails(&["join", "--out", &out], 3);
    assert!(error.contains("of 3 parts, these are missing: 1, 3"), "{error}");
    for shard in ["0/3", "4/3", "3", "x/y"] {
        let output =
            crate::support::lokr(&["merge", "--base", &base, "--adapter", &adapter, "--out", &out, "--shard", shard]);
        assert_eq!(output.status.code(), Some(2), "{shard}");
    }
}
