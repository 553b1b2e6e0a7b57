//! Whole models with weights of eight bits: shards and what describes them, fused tensors, adapters of eight bits.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::build::{Folder, go_on, random, read, tensor};
use crate::support::quantized::{KINDS, Kind, matrix};
use lokr_checkpoint::{
    Adapter, BaseModel, Dtype, FloatType, MergeOptions, QuantizedOptions, QuantizedRounding, Strength, Tensor, Verdict,
    VerifyOptions, merge, verify,
};
use ndarray::{Array2, Axis, concatenate, linalg::kron, s};

fn kind(name: &str) -> Kind {
    KINDS.iter().find(|(what, _)| *what == name).unwrap().1
}

fn stored(array: &Array2<f64>) -> Tensor {
    Tensor::from_array(array, FloatType::F32)
}

fn floats() -> MergeOptions<'static> {
    let quantized = QuantizedOptions { out_dtype: Some(FloatType::Bf16), ..QuantizedOptions::default() };
    MergeOptions { quantized, ..MergeOptions::default() }
}

/// Two modules of DeepSeek's kind in shards, the scales of the first in another shard than its codes.
pub(crate) fn shards(folder: &Folder) -> BaseModel {
    let kind = kind("deepseek");
    let mut files = [Vec::new(), Vec::new()];
    for (number, module) in ["m", "other"].iter().enumerate() {
        for (name, tensor) in kind.store(module, &matrix(random(&[140, 144], number as u64))) {
            files[usize::from(name.ends_with("scale_inv"))].push((name, tensor));
        }
    }
    files[0].push(("norm.weight".to_owned(), tensor(&[144])));
    std::fs::create_dir(folder.path("model")).unwrap();
    let mut map = BTreeMap::new();
    for (number, tensors) in files.iter().enumerate() {
        let name = format!("model-0000{}-of-00002.safetensors", number + 1);
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
        folder.tensors(&format!("model/{name}"), &tensors);
        map.extend(tensors.iter().map(|(key, _)| ((*key).to_owned(), name.clone())));
    }
    let index = serde_json::json!({"metadata": {"total_size": 1, "other": "kept"}, "weight_map": map});
    folder.write("model/model.safetensors.index.json", index.to_string());
    let config =
        r#"{"hidden_size": 144, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}"#;
    folder.write("model/config.json", config);
    BaseModel::open(folder.path("model")).unwrap()
}

pub(crate) fn adapter() -> (Adapter, Array2<f64>) {
    let (a, b) = (matrix(random(&[5, 4], 7)), matrix(random(&[28, 36], 8)));
    let (a, b) = (a.mapv(|x| f64::from(x as f32)), b.mapv(|x| f64::from(x as f32)));
    let adapter = read(&[("lycoris_m.lokr_w1", stored(&a)), ("lycoris_m.lokr_w2", stored(&b))]).unwrap();
    (adapter, kron(&a, &b))
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every tensor of every file of a model in a directory, with the file that it is in.
fn places(model: &BaseModel) -> BTreeMap<String, String> {
    let file_name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let files = model.files().iter().map(|file| (file, file_name(file.path())));
    files.flat_map(|(file, path)| file.names().map(move |name| (name.to_owned(), path.clone()))).collect()
}

#[test]
fn shards_keep_their_files_and_scales_may_lie_in_another_one() {
    let folder = Folder::new();
    let (base, (adapter, change)) = (shards(&folder), adapter());
    let adapters = [(&adapter, Strength::default())];
    let out = folder.path("out");
    merge(&base, &adapters, &out, &MergeOptions::default(), &mut go_on).unwrap();
    let merged = BaseModel::open(&out).unwrap();
    let kind = kind("deepseek");
    let exact = kind.read(&base, "m") + change;
    let (_, scales) = kind.stored(&merged, "m");
    let right = kind.values(&kind.codes(&exact, &scales), &scales);
    let largest = exact.iter().fold(0f64, |max, x| max.max(x.abs()));
    assert!((kind.read(&merged, "m") - right).iter().all(|x| x.abs() < 0.04 * largest));
    for file in ["config.json", "model.safetensors.index.json"] {
        assert_eq!(std::fs::read(out.join(file)).unwrap(), std::fs::read(folder.path("model").join(file)).unwrap());
    }
    let report = verify(&base, &adapters, &merged, &VerifyOptions::default(), &mut go_on).unwrap();
    assert_eq!(report.verdict, Verdict::Match, "{report:?}");
}

#[test]
fn scales_are_powers_of_two_where_the_configuration_says_so() {
    let (folder, (adapter, _)) = (Folder::new(), adapter());
    shards(&folder);
    let config =
        r#"{"quantization_config": {"quant_method": "fp8", "scale_fmt": "ue8m0", "weight_block_size": [128, 128]}}"#;
    folder.write("model/config.json", config);
    let (base, out) = (BaseModel::open(folder.path("model")).unwrap(), folder.path("out"));
    merge(&base, &[(&adapter, Strength::default())], &out, &MergeOptions::default(), &mut go_on).unwrap();
    let merged = BaseModel::open(&out).unwrap();
    let (before, after) = (kind("deepseek").stored(&base, "m").1, kind("deepseek").stored(&merged, "m").1);
    assert!(
        before.iter().any(|x| x.log2().fract() != 0.0) && after.iter().all(|x| x.log2().fract() == 0.0),
        "{after:?}"
    );
    let (a, b) = (kind("deepseek").stored(&base, "other").1, kind("deepseek").stored(&merged, "other").1);
    assert_eq!(a, b);
}

/// What `config.json` describes as a whole becomes floats as a whole, and nothing tells of eight bits any more.
#[test]
fn indexes_and_configurations_fit_what_is_written() {
    let folder = Folder::new();
    let (base, (adapter, change)) = (shards(&folder), adapter());
    let out = folder.path("out");
    let report = merge(&base, &[(&adapter, Strength::default())], &out, &floats(), &mut go_on).unwrap();
    assert_eq!(report.dequantized, ["other.weight"]);
    assert_eq!(report.left_out_tensors, ["m.weight_scale_inv", "other.weight_scale_inv"]);
    let merged = BaseModel::open(&out).unwrap();
    assert_eq!(merged.names().collect::<Vec<_>>(), ["m.weight", "norm.weight", "other.weight"]);
    let (index, kind) = (json(&out.join("model.safetensors.index.json")), kind("deepseek"));
    let map: BTreeMap<String, String> = serde_json::from_value(index["weight_map"].clone()).unwrap();
    assert_eq!(map, places(&merged));
    let bytes: usize = merged.files().iter().map(|file| file.data_bytes()).sum();
    assert_eq!((&index["metadata"]["total_size"], &index["metadata"]["other"]), (&bytes.into(), &"kept".into()));
    assert_eq!(json(&out.join("config.json")), serde_json::json!({"hidden_size": 144}));
    for (module, right) in [("m", kind.read(&base, "m") + change), ("other", kind.read(&base, "other"))] {
        let found = merged.tensor(&format!("{module}.weight")).unwrap();
        assert_eq!(found.dtype(), Dtype::BF16);
        for (x, right) in found.to_array::<f64>("").unwrap().iter().zip(&right) {
            assert!((x - right).abs() <= 0.51 * FloatType::Bf16.epsilon() * right.abs() + 1e-6, "{module}");
        }
    }
}

/// Query, key and value in one tensor of eight bits: an adapter of one of them.
#[test]
fn rows_of_a_fused_tensor_share_scales() {
    let shares: Vec<_> = [0u64, 1, 2].map(|seed| matrix(random(&[28, 16], seed))).into();
    let fused = concatenate(Axis(0), &[shares[0].view(), shares[1].view(), shares[2].view()]).unwrap();
    let (a, b) = (matrix(random(&[7, 4], 3)), matrix(random(&[4, 4], 4)));
    let (a, b) = (a.mapv(|x| f64::from(x as f32)), b.mapv(|x| f64::from(x as f32)));
    let change = kron(&a, &b);
    for name in ["e4m3", "deepseek", "compressed-tensors", "int8, rows"] {
        for rounding in [QuantizedRounding::Nearest, QuantizedRounding::Stochastic] {
            let (kind, folder) = (kind(name), Folder::new());
            let tensors = kind.store("attn", &fused).into_iter();
            let renamed = tensors.map(|(key, tensor)| (key.replace("attn.weight", "attn.in_proj_weight"), tensor));
            let renamed: Vec<_> = renamed.collect();
            let renamed: Vec<_> = renamed.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
            let base = BaseModel::open(folder.tensors("base.safetensors", &renamed)).unwrap();
            let adapter =
                read(&[("lycoris_attn_k_proj.lokr_w1", stored(&a)), ("lycoris_attn_k_proj.lokr_w2", stored(&b))])
                    .unwrap();
            let options = MergeOptions {
                quantized: QuantizedOptions { rounding, min_kept: 0.0, ..QuantizedOptions::default() },
                ..MergeOptions::default()
            };
            let out = folder.path("out.safetensors");
            merge(&base, &[(&adapter, Strength::default())], &out, &options, &mut go_on).unwrap();
            let merged = BaseModel::open(out).unwrap();
            for part in ["q", "k", "v"] {
                let weight = format!("attn.{part}_proj.weight");
                let [before, after] = [&base, &merged].map(|model| matrix(model.weight::<f64>(&weight).unwrap()));
                let exact = if part == "k" { &before + &change } else { before.clone() };
                let largest = exact.iter().fold(0f64, |max, x| max.max(x.abs()));
                assert!((&after - &exact).iter().all(|x| x.abs() < 0.08 * largest), "{name} {part}");
                let apart = ["e4m3", "compressed-tensors", "int8, rows"].contains(&name);
                assert!(part == "k" || !apart || before == after, "{name} {part}");
            }
            let adapters = [(&adapter, Strength::default())];
            let report = verify(&base, &adapters, &merged, &VerifyOptions::default(), &mut go_on).unwrap();
            assert_eq!(report.verdict, Verdict::Match, "{name} {rounding:?}: {report:?}");
        }
    }
}

/// Adapters whose factors themselves are of eight bits.
#[test]
fn factors_of_eight_bits_are_read() {
    for (dtype, kind) in [(FloatType::E4m3, kind("e4m3")), (FloatType::E5m2, kind("e5m2"))] {
        let folder = Folder::new();
        let (a, b) = (matrix(random(&[2, 5], 1)), matrix(random(&[3, 2], 2)));
        let eight = |array: &Array2<f64>| Tensor::from_array(array, dtype);
        let adapter = read(&[("lycoris_m.lokr_w1", eight(&a)), ("lycoris_m.lokr_w2", eight(&b))]).unwrap();
        let base = BaseModel::open(folder.tensors("base.safetensors", &[("m.weight", tensor(&[6, 10]))])).unwrap();
        let out = folder.path("out.safetensors");
        merge(&base, &[(&adapter, Strength::default())], &out, &MergeOptions::default(), &mut go_on).unwrap();
        let rounded = |array: &Array2<f64>| array.mapv(|x| kind.code.value(kind.code.nearest(x)));
        let right = matrix(base.weight::<f64>("m.weight").unwrap()) + kron(&rounded(&a), &rounded(&b));
        let found = matrix(BaseModel::open(out).unwrap().weight::<f64>("m.weight").unwrap());
        assert!((&found - &right).iter().all(|x| x.abs() < 1e-5), "{dtype:?}");
        assert_eq!(found.slice(s![0, ..]).len(), 10);
    }
}
