//! Tensors that PEFT adapters of language models store whole: heads that the base lacks, embeddings of a larger
//! vocabulary.

use std::path::PathBuf;

use crate::support::build::{Folder, cause, f32s, go_on, kron, random, typed};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, FloatType, JobError, MergeOptions, MergeReport, ReadOptions,
    ResizedTensor, Strength, Tensor, TensorFile, Unmatched, Verdict, VerifyOptions, WholeTensors, merge, verify,
};
use ndarray::ArrayD;
use serde_json::{Value, json};

/// A language model in two shards with a vocabulary of 5, in a directory of its own.
fn base(folder: &Folder) -> BaseModel {
    std::fs::create_dir_all(folder.path("base")).unwrap();
    let bf16 = |shape: &[usize], seed| Tensor::from_array(&random(shape, seed), FloatType::Bf16);
    let embedding = bf16(&[5, 6], 1);
    folder.tensors("base/model-00001-of-00002.safetensors", &[("model.embed_tokens.weight", embedding)]);
    let rest = [("lm_head.weight", bf16(&[5, 6], 2)), ("model.layers.0.q_proj.weight", bf16(&[6, 6], 3))];
    folder.tensors("base/model-00002-of-00002.safetensors", &rest);
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    let index = json!({"metadata": {"total_size": 192, "mine": 1}, "weight_map": {
        "model.embed_tokens.weight": first, "lm_head.weight": second, "model.layers.0.q_proj.weight": second
    }});
    folder.write("base/model.safetensors.index.json", index.to_string());
    let config = json!({"model_type": "x", "vocab_size": 5, "text_config": {"vocab_size": 5, "hidden_size": 6}});
    folder.write("base/config.json", config.to_string());
    BaseModel::open(folder.path("base")).unwrap()
}

const W1: [usize; 2] = [2, 3];
const W2: [usize; 2] = [3, 2];

/// An adapter of `q_proj`, scale 2, with these tensors besides and `modules_to_save` as given.
fn adapter(folder: &Folder, whole: &[(&str, Tensor)], listed: Value, options: &ReadOptions) -> Adapter {
    std::fs::create_dir_all(folder.path("adapter")).unwrap();
    let config = json!({"peft_type": "LOKR", "r": 8, "alpha": 16, "modules_to_save": listed});
    folder.write("adapter/adapter_config.json", config.to_string());
    let own = "base_model.model.model.layers.0.q_proj";
    let keys = [format!("{own}.lokr_w1"), format!("{own}.lokr_w2")];
    let mut tensors = vec![(keys[0].as_str(), f32s(&random(&W1, 4))), (keys[1].as_str(), f32s(&random(&W2, 5)))];
    let named: Vec<_> = whole.iter().map(|(name, tensor)| (format!("base_model.model.{name}"), tensor)).collect();
    tensors.extend(named.iter().map(|(name, tensor)| (name.as_str(), (*tensor).clone())));
    folder.tensors("adapter/adapter_model.safetensors", &tensors);
    Adapter::read(folder.path("adapter"), options).unwrap()
}

fn into(
    folder: &Folder,
    adapter: &Adapter,
    base: &BaseModel,
    whole: WholeTensors,
) -> Result<(PathBuf, MergeReport), E> {
    let out = folder.path("out");
    let _ = std::fs::remove_dir_all(&out);
    let options = MergeOptions { whole, ..MergeOptions::default() };
    let report = merge(base, &[(adapter, Strength::default())], &out, &options, &mut go_on)?;
    let verdict = |whole| {
        let (merged, options) = (BaseModel::open(&out).unwrap(), VerifyOptions { whole, ..VerifyOptions::default() });
        verify(base, &[(adapter, Strength::default())], &merged, &options, &mut go_on).unwrap().verdict
    };
    assert_eq!(verdict(whole), Verdict::Match);
    Ok((out, report))
}

fn json_of(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The index of an output must list what is in its files, and their bytes.
fn assert_index(out: &std::path::Path) -> Value {
    let index = json_of(out.join("model.safetensors.index.json"));
    let (mut listed, mut bytes) = (serde_json::Map::new(), 0);
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        let file = TensorFile::open(out.join(shard)).unwrap();
        bytes += file.data_bytes();
        listed.extend(file.names().map(|name| (name.to_owned(), json!(shard))));
    }
    assert_eq!(index["weight_map"], Value::Object(listed));
    assert_eq!(index["metadata"], json!({"total_size": bytes, "mine": 1}));
    index
}

#[test]
fn a_head_that_the_configuration_lists_is_added_in_the_index_too() {
    let folder = Folder::new();
    let (base, score) = (base(&folder), typed(&[3, 6], FloatType::F32));
    let whole = [("score.weight", score.clone())];
    let adapter = adapter(&folder, &whole, json!(["score"]), &ReadOptions::default());
    let (out, report) = into(&folder, &adapter, &base, WholeTensors::Known).unwrap();
    assert_eq!((&report.added[..], report.unchanged), (&["score.weight".to_owned()][..], 2));
    assert_eq!(report.rewritten_files, ["model.safetensors.index.json"]);
    assert_eq!(assert_index(&out)["weight_map"]["score.weight"], "model-00002-of-00002.safetensors");
    let merged = BaseModel::open(&out).unwrap();
    let found = merged.tensor("score.weight").unwrap();
    assert_eq!((found.dtype(), found.shape(), found.bytes()), (score.dtype(), score.shape(), score.bytes()));
    let exact: ArrayD<f64> = base.weight("model.layers.0.q_proj.weight").unwrap();
    let exact = exact + 2.0 * kron(&random(&W1, 4), &random(&W2, 5)).into_dyn();
    let got: ArrayD<f64> = merged.weight("model.layers.0.q_proj.weight").unwrap();
    assert!(got.iter().zip(&exact).all(|(got, exact)| (got - exact).abs() <= 1e-6 + exact.abs() / 256.0));
    assert_eq!(
        std::fs::read(out.join("config.json")).unwrap(),
        std::fs::read(folder.path("base/config.json")).unwrap()
    );
    // Without it the model is not what both make.
    let options = VerifyOptions::default();
    let report = verify(&base, &[(&adapter, Strength::default())], &base, &options, &mut go_on).unwrap();
    assert_eq!((report.missing, report.verdict), (vec!["score.weight".to_owned()], Verdict::Mismatch));
}

#[test]
fn a_head_that_nobody_lists_is_added_on_demand() {
    let folder = Folder::new();
    let base = base(&folder);
    let whole = [("score.weight", typed(&[3, 6], FloatType::F32)), ("score.bias", typed(&[3], FloatType::F32))];
    let adapter = adapter(&folder, &whole, Value::Null, &ReadOptions::default());
    cause(
        into(&folder, &adapter, &base, WholeTensors::Known),
        |e| matches!(e, E::Job(JobError::NewTensors { tensors }) if tensors[..] == ["score.bias", "score.weight"]),
    );
    let (out, report) = into(&folder, &adapter, &base, WholeTensors::Any).unwrap();
    assert_eq!(report.added, ["score.bias", "score.weight"]);
    assert_index(&out);
    let allow = MergeOptions { unmatched: Unmatched::Allow, ..MergeOptions::default() };
    let left = merge(&base, &[(&adapter, Strength::default())], folder.path("left"), &allow, &mut go_on).unwrap();
    assert_eq!(
        (left.added.len(), &left.adapters[0].unmatched[..]),
        (0, &["score.bias".to_owned(), "score.weight".into()][..])
    );
}

#[test]
fn a_larger_vocabulary_is_taken_and_the_configuration_follows() {
    let folder = Folder::new();
    let base = base(&folder);
    let rows = |seed| f32s(&random(&[7, 6], seed));
    let whole = [("model.embed_tokens.weight", rows(8)), ("lm_head.weight", rows(9))];
    let adapter = adapter(&folder, &whole, Value::Null, &ReadOptions::default());
    let (out, report) = into(&folder, &adapter, &base, WholeTensors::Known).unwrap();
    let resized = |tensor: &str| ResizedTensor { tensor: tensor.to_owned(), from: 5, to: 7 };
    assert_eq!(report.resized, [resized("lm_head.weight"), resized("model.embed_tokens.weight")]);
    assert_eq!(report.rewritten_files, ["config.json", "model.safetensors.index.json"]);
    assert_index(&out);
    let config = json!({"model_type": "x", "vocab_size": 7, "text_config": {"vocab_size": 7, "hidden_size": 6}});
    assert_eq!(json_of(out.join("config.json")), config);
    let merged = BaseModel::open(&out).unwrap();
    for (name, seed) in [("model.embed_tokens.weight", 8), ("lm_head.weight", 9)] {
        let right = Tensor::from_array(&random(&[7, 6], seed), FloatType::Bf16);
        assert_eq!(merged.tensor(name).unwrap().bytes(), right.bytes(), "{name}");
    }
}

/// A model that ties its output layer to its embedding stores one of them, and PEFT both.
#[test]
fn a_tied_output_layer_is_not_added() {
    let folder = Folder::new();
    base(&folder);
    folder.tensors(
        "base/model.safetensors",
        &[
            ("model.embed_tokens.weight", typed(&[5, 6], FloatType::F32)),
            ("model.layers.0.q_proj.weight", typed(&[6, 6], FloatType::F32)),
        ],
    );
    folder.write("base/config.json", r#"{"vocab_size": 5, "tie_word_embeddings": true}"#);
    let base = BaseModel::open(folder.path("base/model.safetensors")).unwrap();
    let in_directory = BaseModel::open(folder.path("base")).unwrap();
    let rows = f32s(&random(&[7, 6], 8));
    let whole = [("model.embed_tokens.weight", rows.clone()), ("lm_head.weight", rows)];
    let adapter = adapter(&folder, &whole, Value::Null, &ReadOptions::default());
    for model in [&base, &in_directory] {
        let out = folder.path(if model.directory().is_some() { "tied" } else { "alone.safetensors" });
        let result = merge(model, &[(&adapter, Strength::default())], &out, &MergeOptions::default(), &mut go_on);
        if model.directory().is_none() {
            // Without its configuration nothing says so.
            cause(result, |e| matches!(e, E::Job(JobError::NewTensors { .. })));
            continue;
        }
        let report = result.unwrap();
        assert_eq!((&report.adapters[0].tied[..], report.added.len()), (&["lm_head.weight".to_owned()][..], 0));
        assert_eq!(json_of(out.join("config.json"))["vocab_size"], 7);
    }
}

#[test]
fn other_shapes_are_refused_or_taken_on_demand() {
    let folder = Folder::new();
    let base = base(&folder);
    let of = |name: &str, shape: &[usize]| {
        adapter(&folder, &[(name, typed(shape, FloatType::F32))], Value::Null, &ReadOptions::default())
    };
    // A smaller vocabulary, and one that the configuration does not know.
    for (name, shape) in [("lm_head.weight", &[4, 6][..]), ("model.layers.0.q_proj.weight", &[8, 6])] {
        let adapter = of(name, shape);
        if name != "lm_head.weight" {
            // Adapted and replaced at once.
            assert!(into(&folder, &adapter, &base, WholeTensors::Any).is_err());
            continue;
        }
        cause(
            into(&folder, &adapter, &base, WholeTensors::Known),
            |e| matches!(e, E::Job(JobError::ReplacementShape { key, .. }) if key == name),
        );
        let (out, report) = into(&folder, &adapter, &base, WholeTensors::Any).unwrap();
        assert_eq!(report.resized, [ResizedTensor { tensor: name.to_owned(), from: 5, to: 4 }]);
        assert_eq!(json_of(out.join("config.json"))["vocab_size"], 4);
    }
    // Another width is none.
    let adapter = of("lm_head.weight", &[5, 7]);
    for whole in [WholeTensors::Known, WholeTensors::Any] {
        cause(into(&folder, &adapter, &base, whole), |e| matches!(e, E::Job(JobError::ReplacementShape { .. })));
    }
}

#[test]
fn whole_tensors_can_be_left_out_by_name() {
    let folder = Folder::new();
    let base = base(&folder);
    let whole = [("score.weight", typed(&[3, 6], FloatType::F32)), ("lm_head.weight", typed(&[5, 6], FloatType::F32))];
    let options = ReadOptions { exclude: vec!["^sc.re$".to_owned()], ..ReadOptions::default() };
    let adapter = adapter(&folder, &whole, json!(["score", "lm_head"]), &options);
    assert_eq!(adapter.left_out(), ["score"]);
    assert_eq!(adapter.config().unwrap().fields()["modules_to_save"], json!(["lm_head"]));
    let (_, report) = into(&folder, &adapter, &base, WholeTensors::Known).unwrap();
    assert_eq!((report.replaced, report.added.len()), (vec!["lm_head.weight".to_owned()], 0));
    assert_eq!(report.adapters[0].left_out, ["score"]);
}
