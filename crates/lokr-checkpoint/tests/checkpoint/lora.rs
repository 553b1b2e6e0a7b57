//! LoRAs from LoKrs against dense arithmetic.

use crate::support::build::{CONFIG, Folder, cause, filled, go_on, lora_of, lycoris, peft, read, stop, tensor, typed};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, Dtype, FloatType, JobError, LoraOptions, LoraRank, ModuleError,
    NameError, OutputError, Overwrite, ReadOptions, Tensor, TensorFile, to_lora,
};
use ndarray::{Array2, ArrayD, IxDyn};

/// A file of dotted names with these factors of `m`, and `alpha` 3.
fn adapter(tensors: &[(&'static str, Tensor)]) -> Adapter {
    let mut all = vec![("m.alpha", filled(&[], 3.0))];
    all.extend(tensors.iter().cloned());
    read(&all).unwrap()
}

fn values(tensor: &Tensor, columns: usize) -> Array2<f64> {
    let values = tensor.to_array::<f64>("lora").unwrap();
    let rows = values.len() / columns;
    values.into_shape_with_order((rows, columns)).unwrap()
}

/// `lora_B · lora_A` in the weight's shape.
fn product(tensors: &std::collections::BTreeMap<String, Tensor>, weight: &[usize]) -> ArrayD<f64> {
    let (a, b) = (&tensors["base_model.model.m.lora_A.weight"], &tensors["base_model.model.m.lora_B.weight"]);
    let rank = a.shape()[0];
    assert_eq!(b.shape()[..2], [weight[0], rank]);
    assert_eq!(b.shape()[2..], vec![1; weight.len() - 2]);
    assert_eq!(a.shape()[1..], weight[1..]);
    let columns = weight[1..].iter().product();
    values(b, rank).dot(&values(a, columns)).into_shape_with_order(IxDyn(weight)).unwrap()
}

fn close(a: &ArrayD<f64>, b: &ArrayD<f64>, relative: f64) {
    let scale = b.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    let error = (a - b).iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    assert!(error <= relative * scale, "{error:e} of {scale}");
}

type Case = (Vec<(&'static str, Tensor)>, &'static [usize], usize);

fn cases() -> Vec<Case> {
    let t = |shape: &[usize]| typed(shape, FloatType::F64);
    vec![
        (vec![("m.lokr_w1", t(&[2, 5])), ("m.lokr_w2", t(&[7, 3]))], &[14, 15], 2 * 3),
        (vec![("m.lokr_w1", t(&[4, 3])), ("m.lokr_w2_a", t(&[5, 2])), ("m.lokr_w2_b", t(&[2, 11]))], &[20, 33], 3 * 2),
        (
            vec![
                ("m.lokr_w1_a", t(&[6, 2])),
                ("m.lokr_w1_b", t(&[2, 5])),
                ("m.lokr_w2_a", t(&[7, 2])),
                ("m.lokr_w2_b", t(&[2, 3])),
            ],
            &[42, 15],
            4,
        ),
        (vec![("m.lokr_w1", t(&[1, 1])), ("m.lokr_w2", t(&[1, 5]))], &[1, 5], 1),
        (vec![("m.lokr_w1", t(&[2, 3])), ("m.lokr_w2", t(&[3, 2, 3, 2]))], &[6, 6, 3, 2], 2 * 3),
        (
            vec![
                ("m.lokr_w1", t(&[2, 3])),
                ("m.lokr_t2", t(&[2, 2, 3])),
                ("m.lokr_w2_a", t(&[2, 4])),
                ("m.lokr_w2_b", t(&[2, 5])),
            ],
            &[8, 15, 3],
            2 * 2,
        ),
    ]
}

#[test]
fn the_exact_lora_is_the_same_change() {
    for (tensors, weight, rank) in cases() {
        let adapter = adapter(&tensors);
        let module = &adapter.modules()["m"];
        let delta = module.delta::<f64>(weight, module.scale().unwrap()).unwrap();
        let lora = to_lora(&adapter, None, &lora_of(LoraRank::Exact), &mut go_on).unwrap();
        assert_eq!(lora.report.modules[0].rank, rank, "{weight:?}");
        close(&product(&lora.tensors, weight), &delta, 1e-14);
        assert_eq!((lora.report.energy, lora.config["r"].as_u64()), (1.0, Some(rank as u64)));
        assert!(lora.tensors.values().all(|tensor| tensor.dtype() == Dtype::F64));
    }
}

#[test]
fn the_best_lora_misses_what_the_dense_decomposition_misses() {
    for (tensors, weight, rank) in cases() {
        let adapter = adapter(&tensors);
        let module = &adapter.modules()["m"];
        let delta = module.delta::<f64>(weight, module.scale().unwrap()).unwrap();
        let total: f64 = delta.iter().map(|x| x * x).sum();
        let dense = {
            let columns = weight[1..].iter().product::<usize>();
            let flat = delta.to_shape((weight[0], columns)).unwrap().to_owned();
            let one = ndarray::array![[1.0]];
            lokr_core::Kron::new(one, flat).unwrap().svd().unwrap()
        };
        for k in 1..=rank + 1 {
            let lora = to_lora(&adapter, None, &lora_of(LoraRank::Best(k)), &mut go_on).unwrap();
            let line = &lora.report.modules[0];
            assert_eq!(line.rank, k.min(rank));
            let miss: f64 = (product(&lora.tensors, weight) - &delta).iter().map(|x| x * x).sum();
            assert!((1.0 - miss / total - line.energy).abs() < 1e-12, "{weight:?} {k}");
            assert!((miss.sqrt() - dense.truncation_error(k)).abs() <= 1e-7 * total.sqrt(), "{weight:?} {k}");
            assert!((line.norm - total.sqrt()).abs() <= 1e-12 * total.sqrt());
        }
    }
}

#[test]
fn names_and_shapes_come_from_the_base_model() {
    let folder = Folder::new();
    let base = BaseModel::open(folder.tensors("model.safetensors", &[("deep.m.weight", tensor(&[6, 10]))])).unwrap();
    let named: Vec<_> =
        lycoris(&[]).into_iter().map(|(key, t)| (key.replace("lycoris_m", "lycoris_deep_m"), t)).collect();
    let named: Vec<_> = named.iter().map(|(key, t)| (key.as_str(), t.clone())).collect();
    let adapter = read(&named).unwrap();
    let lora = to_lora(&adapter, Some(&base), &lora_of(LoraRank::Exact), &mut go_on).unwrap();
    assert!(lora.tensors.contains_key("base_model.model.deep.m.lora_A.weight"));
    assert_eq!(lora.config["target_modules"], serde_json::json!(["deep.m"]));
    let error = to_lora(&adapter, None, &lora_of(LoraRank::Exact), &mut go_on);
    cause(error, |e| matches!(e, E::Name(NameError::BaseNeeded { module, .. }) if module == "lycoris_deep_m"));

    // A flat low-rank factor of a convolution.
    let conv = BaseModel::open(folder.tensors("conv.safetensors", &[("m.weight", tensor(&[6, 5, 2]))])).unwrap();
    let adapter = read(&lycoris(&[])).unwrap();
    let half = LoraOptions { dtype: Some(FloatType::Bf16), ..lora_of(LoraRank::Best(2)) };
    let lora = to_lora(&adapter, Some(&conv), &half, &mut go_on).unwrap();
    assert_eq!(lora.tensors["base_model.model.m.lora_A.weight"].shape(), [2, 5, 2]);
    assert_eq!(lora.tensors["base_model.model.m.lora_B.weight"].shape(), [6, 2, 1]);
    assert_eq!(lora.tensors["base_model.model.m.lora_B.weight"].dtype(), Dtype::BF16);
}

#[test]
fn ranks_that_differ_are_filled_up_to_one() {
    let t = |shape: &[usize]| tensor(shape);
    let adapter = read(&[
        ("m.alpha", filled(&[], 1.0)),
        ("m.lokr_w1", t(&[2, 2])),
        ("m.lokr_w2", t(&[2, 2])),
        ("x.m.lokr_w1", t(&[3, 3])),
        ("x.m.lokr_w2", t(&[2, 2])),
        ("y.lokr_w1", t(&[1, 3])),
        ("y.lokr_w2", t(&[2, 2])),
    ])
    .unwrap();
    let lora = to_lora(&adapter, None, &lora_of(LoraRank::Exact), &mut go_on).unwrap();
    assert_eq!((&lora.config["r"], &lora.config["lora_alpha"]), (&6.into(), &6.into()));
    let none = serde_json::json!({});
    assert_eq!((&lora.config["rank_pattern"], &lora.config["alpha_pattern"]), (&none, &none));
    let ranks: Vec<_> = lora.report.modules.iter().map(|line| (line.name.as_str(), line.rank)).collect();
    assert_eq!(ranks, [("m", 4), ("x.m", 6), ("y", 2)]);
    for (module, weight, scale) in [("m", [4, 4], 1.0), ("x.m", [6, 6], 1.0), ("y", [2, 6], 1.0)] {
        let half = |half| &lora.tensors[&format!("base_model.model.{module}.lora_{half}.weight")];
        assert_eq!((half("A").shape(), half("B").shape()), (&[6, weight[1]][..], &[weight[0], 6][..]));
        let product = values(half("B"), 6).dot(&values(half("A"), weight[1])).into_dyn();
        close(&product, &adapter.modules()[module].delta(&weight, scale).unwrap(), 1e-6);
    }
}

#[test]
fn the_directory_is_deterministic_and_whole() {
    let folder = Folder::new();
    let config = CONFIG.replace('}', r#", "task_type": "CAUSAL_LM", "mine": 1}"#);
    let adapter = peft(&folder, &config, &[("base_model.model.head.weight", tensor(&[3, 2]))]).unwrap();
    let lora = to_lora(&adapter, None, &lora_of(LoraRank::Exact), &mut go_on).unwrap();
    let read = |name: &str| {
        lora.write(folder.path(name), Overwrite::Refuse).unwrap();
        let file = |file| std::fs::read(folder.path(name).join(file)).unwrap();
        (file("adapter_config.json"), file("adapter_model.safetensors"))
    };
    assert_eq!(read("one"), read("two"));
    let config: serde_json::Value = serde_json::from_slice(&read("three").0).unwrap();
    assert_eq!((&config["peft_type"], &config["task_type"]), (&"LORA".into(), &"CAUSAL_LM".into()));
    assert_eq!(config["modules_to_save"], serde_json::json!(["head"]));
    assert!(config.get("mine").is_none());
    let file = TensorFile::open(folder.path("one").join("adapter_model.safetensors")).unwrap();
    let names: Vec<_> = file.names().collect();
    assert_eq!(
        names,
        ["base_model.model.head.weight", "base_model.model.m.lora_A.weight", "base_model.model.m.lora_B.weight"]
    );
    cause(lora.write(folder.path("one"), Overwrite::Refuse), |e| matches!(e, E::Output(OutputError::Exists)));
}

#[test]
fn errors_by_name() {
    let plain = adapter(&[("m.lokr_w1", tensor(&[2, 2])), ("m.lokr_w2", tensor(&[2, 2]))]);
    let error = to_lora(&plain, None, &lora_of(LoraRank::Best(0)), &mut go_on);
    cause(error, |e| matches!(e, E::Job(JobError::Option { option: "rank", .. })));
    let dora = adapter(&[
        ("m.dora_scale", filled(&[4, 1], 1.0)),
        ("m.lokr_w1", tensor(&[2, 2])),
        ("m.lokr_w2", tensor(&[2, 2])),
    ]);
    let error = to_lora(&dora, None, &lora_of(LoraRank::Exact), &mut go_on);
    cause(error, |e| matches!(e, E::Job(JobError::Dora { module, .. }) if module == "m"));
    let error = to_lora(&plain, None, &lora_of(LoraRank::Exact), &mut stop);
    cause(error, |e| matches!(e, E::Job(JobError::Interrupted)));
    // PEFT's own layout of a conv1d is no Kronecker product.
    let folder = Folder::new();
    folder.write("adapter_config.json", CONFIG);
    let tensors = [("base_model.model.m.lokr_w1", tensor(&[2, 5])), ("base_model.model.m.lokr_w2", tensor(&[3, 2, 3]))];
    folder.tensors("adapter_model.safetensors", &tensors);
    let conv = Adapter::read(folder.root(), &ReadOptions::default()).unwrap();
    let error = to_lora(&conv, None, &lora_of(LoraRank::Exact), &mut go_on);
    cause(error, |e| matches!(e, E::Module(ModuleError::NotKronecker { .. })));
}
