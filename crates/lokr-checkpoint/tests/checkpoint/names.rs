//! Finding modules in base models, dialect by dialect, and opening base models.

use crate::support::build::{Folder, filled, raw, tensor};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, Dialect, DoraStrength, Dtype, FileError, JobError, Module, ModuleError,
    NameError, ReadOptions, ScaleRule, Strength, Unmatched, W1, W2, Warning,
};
use ndarray::{Array2, ArrayD, IxDyn, s};

/// Reads an adapter of full factors (2, 5) ⊗ (3, 2) at those module names, with alpha.
fn adapter(folder: &Folder, modules: &[&str], options: &ReadOptions) -> Adapter {
    let keys: Vec<_> =
        modules.iter().flat_map(|m| ["lokr_w1", "lokr_w2", "alpha"].map(|s| format!("{m}.{s}"))).collect();
    let tensors: Vec<_> = keys
        .iter()
        .map(|key| {
            let value = match key.rsplit_once('.').unwrap().1 {
                "lokr_w1" => tensor(&[2, 5]),
                "lokr_w2" => tensor(&[3, 2]),
                _ => filled(&[], 8.0),
            };
            (key.as_str(), value)
        })
        .collect();
    Adapter::read(folder.tensors("adapter.safetensors", &tensors), options).unwrap()
}

/// The weights found for one module in a base model of such weights.
fn find(dialect: Dialect, module: &str, weights: &[&str]) -> Result<String, E> {
    let folder = Folder::new();
    let adapter = adapter(&folder, &[module], &ReadOptions::default());
    assert_eq!(adapter.dialect(), dialect, "{module}");
    let tensors: Vec<_> = weights.iter().map(|name| (*name, tensor(&[6, 10]))).collect();
    let base = BaseModel::open(folder.tensors("model.safetensors", &tensors)).unwrap();
    let resolution = adapter.resolve(&base, Unmatched::Refuse)?;
    Ok(resolution.target(module).unwrap().to_owned())
}

#[test]
fn underscored_names_are_looked_up_among_the_flattened_ones() {
    use Dialect::{Kohya, Lycoris};
    for (dialect, module, weights, right) in [
        (Lycoris, "lycoris_a_b_c", &["a.b_c.weight", "a.b.weight"][..], "a.b_c.weight"),
        (Lycoris, "lycoris_a_b", &["model.diffusion_model.a.b.weight"], "model.diffusion_model.a.b.weight"),
        (Kohya, "lora_unet_a_b", &["a.b.weight"], "a.b.weight"),
        (Kohya, "lora_unet_a_b", &["unet.a.b.weight", "text_encoder.a.b.weight"], "unet.a.b.weight"),
        (Kohya, "lora_transformer_a_b", &["transformer.a.b.weight"], "transformer.a.b.weight"),
        (Kohya, "lora_te_a_b", &["unet.a.b.weight", "text_encoder.a.b.weight"], "text_encoder.a.b.weight"),
        (Kohya, "lora_te1_a_b", &["text_encoder.a.b.weight", "text_encoder_2.a.b.weight"], "text_encoder.a.b.weight"),
        (Kohya, "lora_te2_a_b", &["text_encoder.a.b.weight", "text_encoder_2.a.b.weight"], "text_encoder_2.a.b.weight"),
        (Kohya, "lora_te3_a", &["text_encoder_3.a.weight"], "text_encoder_3.a.weight"),
    ] {
        assert_eq!(find(dialect, module, weights).unwrap(), right, "{module}");
    }
}

#[test]
fn sdxl_names_are_translated_both_ways() {
    let (diffusers, sgm) = ("mid_block.resnets.1.conv_shortcut", "middle_block.2.skip_connection");
    for weights in [format!("{diffusers}.weight"), format!("model.diffusion_model.{sgm}.weight")] {
        for module in [diffusers, sgm] {
            let module = format!("lora_unet_{}", module.replace('.', "_"));
            assert_eq!(find(Dialect::Kohya, &module, &[&weights]).unwrap(), weights);
        }
    }
}

#[test]
fn the_upsampler_of_stable_diffusion_1_stands_where_no_attention_is() {
    for (weights, right) in [
        (
            &["model.diffusion_model.output_blocks.2.1.conv.weight"][..],
            "model.diffusion_model.output_blocks.2.1.conv.weight",
        ),
        (
            &["model.diffusion_model.output_blocks.2.2.conv.weight"],
            "model.diffusion_model.output_blocks.2.2.conv.weight",
        ),
    ] {
        assert_eq!(find(Dialect::Kohya, "lora_unet_up_blocks_0_upsamplers_0_conv", weights).unwrap(), right);
    }
}

#[test]
fn dotted_names_are_found_behind_any_models_name() {
    for (module, weights, right) in [
        ("diffusion_model.a.b", &["a.b.weight"][..], "a.b.weight"),
        ("diffusion_model.a.b", &["transformer.a.b.weight"], "transformer.a.b.weight"),
        ("diffusion_model.a.b", &["model.diffusion_model.a.b.weight"], "model.diffusion_model.a.b.weight"),
        ("transformer.a.b", &["transformer.a.b.weight", "a.b.weight"], "transformer.a.b.weight"),
        ("unet.a.b", &["a.b.weight"], "a.b.weight"),
        ("a.b", &["diffusion_model.a.b.weight"], "diffusion_model.a.b.weight"),
        ("model.layers.0.q", &["model.layers.0.q.weight"], "model.layers.0.q.weight"),
        ("text_encoders.t.a", &["text_encoders.t.a.weight"], "text_encoders.t.a.weight"),
    ] {
        assert_eq!(find(Dialect::Dotted, module, weights).unwrap(), right, "{module}");
    }
    let error = find(Dialect::Dotted, "diffusion_model.a", &["a.weight", "transformer.a.weight"]).unwrap_err();
    assert!(matches!(error.cause(), E::Name(NameError::AmbiguousModule { .. })), "{error}");
}

/// A file of both text encoders, on a model that is one of them.
#[test]
fn a_part_of_an_adapter_is_read() {
    let folder = Folder::new();
    let read = |only: &[&str]| {
        let only = only.iter().map(|&start| start.to_owned()).collect();
        let options = ReadOptions { only, ..ReadOptions::default() };
        let tensors: Vec<_> =
            ["lora_te1_a_b.lokr_w1", "lora_te2_a_b.lokr_w1"].map(|key| (key, tensor(&[2, 5]))).to_vec();
        let second = ["lora_te1_a_b.lokr_w2", "lora_te2_a_b.lokr_w2"].map(|key| (key, tensor(&[3, 2])));
        let tensors: Vec<_> = tensors.into_iter().chain(second).collect();
        Adapter::read(folder.tensors("adapter.safetensors", &tensors), &options)
    };
    let base = BaseModel::open(folder.tensors("model.safetensors", &[("a.b.weight", tensor(&[6, 10]))])).unwrap();
    let error = read(&[]).unwrap().resolve(&base, Unmatched::Refuse).unwrap_err();
    assert!(matches!(error.cause(), E::Name(NameError::DuplicateTarget { .. })), "{error}");
    let second = read(&["lora_te2_"]).unwrap();
    assert_eq!(second.resolve(&base, Unmatched::Refuse).unwrap().target("lora_te2_a_b"), Some("a.b.weight"));
    assert_eq!((second.modules().len(), read(&["lora_te1_", "lora_te2_"]).unwrap().modules().len()), (1, 2));
    let error = read(&["lora_unet_"]).unwrap_err();
    assert!(matches!(error.cause(), E::Job(JobError::Option { option: "only", .. })), "{error}");
}

#[test]
fn only_weights_count_as_modules() {
    let error = find(Dialect::Lycoris, "lycoris_a", &["a.bias", "a"]).unwrap_err();
    assert!(matches!(error.cause(), E::Name(NameError::NothingMatches { .. })), "{error}");
}

#[test]
fn a_preset_of_lycoris_may_choose_the_prefix() {
    let folder = Folder::new();
    let options = ReadOptions { prefix: Some("mine_".to_owned()), ..ReadOptions::default() };
    let adapter = adapter(&folder, &["mine_a_b"], &options);
    assert_eq!((adapter.dialect(), adapter.prefix()), (Dialect::Lycoris, "mine_"));
    let base = BaseModel::open(folder.tensors("model.safetensors", &[("a.b.weight", tensor(&[6, 10]))])).unwrap();
    assert_eq!(adapter.resolve(&base, Unmatched::Refuse).unwrap().target("mine_a_b"), Some("a.b.weight"));
}

#[test]
fn the_dialect_can_be_forced() {
    let folder = Folder::new();
    let options = ReadOptions { dialect: Some(Dialect::Dotted), ..ReadOptions::default() };
    assert_eq!(adapter(&folder, &["lycoris_a"], &options).dialect(), Dialect::Dotted);
    let options = ReadOptions { dialect: Some(Dialect::Kohya), ..ReadOptions::default() };
    let error = Adapter::read(folder.path("adapter.safetensors"), &options).unwrap_err();
    assert!(matches!(error.cause(), E::Name(NameError::UnknownKey { dialect: Dialect::Kohya, .. })), "{error}");
}

#[test]
fn names_that_nobody_foresaw_are_changed() {
    let folder = Folder::new();
    let tensors = ["mynet|a|b.lokr_w1", "mynet|a|b.lokr_w2", "mynet|a|b.alpha"];
    let tensors = tensors.map(|key| (key, if key.ends_with('1') { tensor(&[2, 5]) } else { tensor(&[3, 2]) }));
    let mut tensors = tensors.to_vec();
    tensors[2].1 = filled(&[], 8.0);
    let path = folder.tensors("adapter.safetensors", &tensors);
    let read = |pairs: &[(&str, &str)]| {
        let rename = pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        Adapter::read(&path, &ReadOptions { rename, ..ReadOptions::default() })
    };
    let adapter = read(&[("mynet|", "diffusion_model."), ("|", ".")]).unwrap();
    assert_eq!(adapter.modules().keys().collect::<Vec<_>>(), ["diffusion_model.a.b"]);
    let base = BaseModel::open(folder.tensors("model.safetensors", &[("a.b.weight", tensor(&[6, 10]))])).unwrap();
    assert_eq!(adapter.resolve(&base, Unmatched::Refuse).unwrap().targets().len(), 1);
    for from in ["elsewhere", ""] {
        let error = read(&[(from, "x")]).unwrap_err();
        assert!(matches!(error.cause(), E::Job(JobError::Option { option: "rename", .. })), "{error}");
    }
    let error = read(&[("lokr_w1", "lokr_w2")]).unwrap_err();
    assert!(matches!(error.cause(), E::Name(NameError::DuplicateTarget { .. })), "{error}");
}

const CONFIG: &str =
    r#"{"peft_type": "LOKR", "r": 4, "alpha": 2, "modules_to_save": ["head"], "of_tomorrow": {"x": 1}}"#;

#[test]
fn peft_adapters_prefixed_bare_and_live_are_the_same() {
    for (prefix, suffix, saved) in [
        ("base_model.model.", "", "base_model.model.head.weight"),
        ("", "", "head.weight"),
        ("base_model.model.", ".default", "base_model.model.head.modules_to_save.default.weight"),
    ] {
        let folder = Folder::new();
        let keys = ["lokr_w1", "lokr_w2"].map(|s| format!("{prefix}a.m.{s}{suffix}"));
        let mut tensors = vec![(&keys[0][..], tensor(&[2, 5])), (&keys[1], tensor(&[3, 2])), (saved, tensor(&[2, 3]))];
        if suffix == ".default" {
            tensors.push(("base_model.model.a.m.base_layer.weight", tensor(&[6, 10])));
        }
        folder.write("adapter_config.json", CONFIG);
        let adapter =
            Adapter::read(folder.tensors("adapter_model.safetensors", &tensors), &ReadOptions::default()).unwrap();
        assert_eq!((adapter.dialect(), adapter.prefix()), (Dialect::Peft, prefix));
        assert_eq!(adapter.modules()["a.m"].scale(), Some(0.5));
        assert_eq!(adapter.modules_to_save().keys().collect::<Vec<_>>(), ["head.weight"]);
        assert_eq!(adapter.config().unwrap().fields()["of_tomorrow"]["x"], 1);
        match suffix {
            "" => assert!(adapter.warnings().is_empty()),
            _ => assert!(matches!(adapter.warnings(), [Warning::BaseTensorsIgnored { count: 1 }])),
        }
    }
}

#[test]
fn a_peft_directory_may_be_given_by_its_configuration() {
    let folder = Folder::new();
    let tensors = [("base_model.model.m.lokr_w1", tensor(&[2, 5])), ("base_model.model.m.lokr_w2", tensor(&[3, 2]))];
    folder.write("adapter_config.json", CONFIG);
    folder.tensors("adapter_model.safetensors", &tensors);
    let adapter = Adapter::read(folder.path("adapter_config.json"), &ReadOptions::default()).unwrap();
    assert_eq!((adapter.path(), adapter.modules()["m"].scale()), (&*folder.root(), Some(0.5)));
    std::fs::rename(folder.path("adapter_model.safetensors"), folder.path("mine.safetensors")).unwrap();
    let error = Adapter::read(folder.root(), &ReadOptions::default()).unwrap_err();
    let found = |error: &E| match error.cause() {
        E::File(FileError::NotAnAdapter { found }) => found.clone(),
        _ => panic!("{error}"),
    };
    assert!(found(&error).ends_with(": mine.safetensors"), "{error}");
    folder.write("model_index.json", "{}");
    let error = Adapter::read(folder.root(), &ReadOptions::default()).unwrap_err();
    assert!(found(&error).contains("a pipeline"), "{error}");
    let error = Adapter::read(folder.path("model_index.json"), &ReadOptions::default()).unwrap_err();
    assert!(matches!(error.cause(), E::File(FileError::NotTensors)), "{error}");
}

#[test]
fn metadata_are_kept() {
    let folder = Folder::new();
    let tensors = [("lycoris_m.lokr_w1", tensor(&[2, 5])), ("lycoris_m.lokr_w2", tensor(&[3, 2]))];
    let path = folder.tensors_with("a.safetensors", &tensors, &[("ss_note", "mine")]);
    let adapter = Adapter::read(path, &ReadOptions::default()).unwrap();
    assert_eq!(adapter.metadata()["ss_note"], "mine");
}

// Base models.

#[test]
fn a_model_in_one_file_in_a_folder_and_in_shards_is_the_same() {
    let folder = Folder::new();
    let (a, b) = (tensor(&[6, 10]), tensor(&[2, 3]));
    let file =
        folder.tensors("diffusion_pytorch_model.safetensors", &[("a.weight", a.clone()), ("b.weight", b.clone())]);
    let shards = Folder::new();
    shards.tensors("model-00001-of-00002.safetensors", &[("a.weight", a.clone())]);
    shards.tensors("model-00002-of-00002.safetensors", &[("b.weight", b.clone())]);
    let index = shards.write(
        "model.safetensors.index.json",
        r#"{"metadata": {"total_size": 264}, "weight_map": {"b.weight": "model-00002-of-00002.safetensors",
            "a.weight": "model-00001-of-00002.safetensors"}}"#,
    );
    for path in [file, folder.root(), shards.root(), index] {
        let base = BaseModel::open(&path).unwrap();
        assert_eq!(base.names().collect::<Vec<_>>(), ["a.weight", "b.weight"], "{}", path.display());
        assert_eq!(base.info("b.weight"), Some((Dtype::F32, &[2, 3][..])));
        assert_eq!(base.tensor("a.weight").unwrap().bytes(), a.bytes());
        assert_eq!(base.weight::<f32>("b.weight").unwrap(), b.to_array::<f32>("b").unwrap());
        assert!(matches!(base.tensor("c").unwrap_err().cause(), E::File(FileError::TensorMissing { .. })));
    }
}

#[test]
fn an_index_must_fit_its_shards() {
    let folder = Folder::new();
    folder.tensors("one.safetensors", &[("a", tensor(&[2]))]);
    let open = |map: &str| {
        let text = format!(r#"{{"weight_map": {{{map}}}}}"#);
        BaseModel::open(folder.write("x.safetensors.index.json", text)).unwrap_err()
    };
    let error = open(r#""b": "one.safetensors""#);
    assert!(matches!(error.cause(), E::File(FileError::ShardIndex { problem: "does not hold it", .. })), "{error}");
    for path in ["../one.safetensors", "/one.safetensors", "sub/one.safetensors", "..", ""] {
        let error = open(&format!(r#""a": "{path}""#));
        assert!(
            matches!(error.cause(), E::File(FileError::ShardIndex { problem: "is not a file name", .. })),
            "{error}"
        );
    }
    assert!(matches!(open(r#""a": "two.safetensors""#).cause(), E::Io(_)));
    assert!(matches!(
        open(r#""a": "one.safetensors", "a": "one.safetensors""#).cause(),
        E::File(FileError::DuplicateKey { .. })
    ));
}

#[test]
fn folders_without_one_model_are_refused() {
    let empty = Folder::new();
    assert!(matches!(BaseModel::open(empty.root()).unwrap_err().cause(), E::File(FileError::Missing { .. })));
    empty.write("pytorch_model.bin", b"PK");
    assert!(matches!(BaseModel::open(empty.root()).unwrap_err().cause(), E::File(FileError::Pickle { .. })));
    empty.tensors("some.safetensors", &[("a", tensor(&[2]))]);
    assert_eq!(BaseModel::open(empty.root()).unwrap().names().len(), 1);
    empty.tensors("other.safetensors", &[("a", tensor(&[2]))]);
    assert!(matches!(BaseModel::open(empty.root()).unwrap_err().cause(), E::File(FileError::Missing { .. })));
    assert!(matches!(BaseModel::open(empty.path("none")).unwrap_err().cause(), E::Io(_)));
}

#[test]
fn other_tensors_of_a_base_may_be_of_any_type() {
    let folder = Folder::new();
    let path = folder.tensors("m.safetensors", &[("ids", raw(Dtype::I64, &[3], 24)), ("m.weight", tensor(&[2, 2]))]);
    assert_eq!(BaseModel::open(path).unwrap().tensor("ids").unwrap().dtype(), Dtype::I64);
}

// Computing.

/// The definition of section 4 of the format notes, one element at a time.
fn slow_delta(w1: &ArrayD<f64>, w2: &ArrayD<f64>, s: f64) -> ArrayD<f64> {
    let (p, q) = (w2.shape()[0], w2.shape()[1]);
    let mut shape = w2.shape().to_vec();
    shape[0] *= w1.shape()[0];
    shape[1] *= w1.shape()[1];
    ArrayD::from_shape_fn(IxDyn(&shape), |index| {
        let mut inner: Vec<usize> = (0..shape.len()).map(|axis| index[axis]).collect();
        (inner[0], inner[1]) = (index[0] % p, index[1] % q);
        s * w1[[index[0] / p, index[1] / q]] * w2[IxDyn(&inner)]
    })
}

#[test]
fn deltas_follow_the_definition_in_every_number_of_axes() {
    for kernel in [&[][..], &[3], &[3, 2], &[2, 3, 5]] {
        let shape = [&[3, 2], kernel].concat();
        let (w1, w2) = (tensor(&[2, 5]), tensor(&shape));
        let slow = slow_delta(&w1.to_array("").unwrap(), &w2.to_array("").unwrap(), 0.5);
        let module = Module::new("m", W1::Full(w1), W2::Full(w2), 0.5).unwrap();
        let weight = [&[6, 10], kernel].concat();
        let delta = module.delta::<f64>(&weight, 0.5).unwrap();
        assert!((&delta - &slow).iter().all(|d| d.abs() < 1e-12), "{kernel:?}");
    }
}

#[test]
fn low_rank_and_tucker_factors_follow_the_definition() {
    let w1 = tensor(&[2, 5]);
    let (a, b, core) = (tensor(&[3, 2]), tensor(&[2, 8]), tensor(&[2, 2, 3, 2]));
    let values = |t: &lokr_checkpoint::Tensor| t.to_array::<f64>("").unwrap();
    // Low-rank, flat: B[x, y, k] = Σ_i a[x, i]·b[i, y·K + k] with q = 2 and K = 4.
    let w2 = ArrayD::from_shape_fn(IxDyn(&[3, 2, 2, 2]), |n| {
        (0..2).map(|i| values(&a)[[n[0], i]] * values(&b)[[i, n[1] * 4 + n[2] * 2 + n[3]]]).sum()
    });
    let module = Module::new("m", W1::Full(w1.clone()), W2::LowRank { a: a.clone(), b: b.clone() }, 1.0).unwrap();
    let slow = slow_delta(&values(&w1), &w2, -2.0);
    let delta = module.delta::<f64>(&[6, 10, 2, 2], -2.0).unwrap();
    assert!((&delta - &slow).iter().all(|d| d.abs() < 1e-12));
    // Tucker: B[x, y, k] = Σ_ij core[i, j, k]·a[i, x]·b[j, y] with p = 3, q = 4 and a transposed.
    let (a, b) = (tensor(&[2, 3]), tensor(&[2, 4]));
    let w2 = ArrayD::from_shape_fn(IxDyn(&[3, 4, 3, 2]), |n| {
        (0..4)
            .map(|ij| {
                values(&core)[[ij / 2, ij % 2, n[2], n[3]]] * values(&a)[[ij / 2, n[0]]] * values(&b)[[ij % 2, n[1]]]
            })
            .sum()
    });
    let module = Module::new("m", W1::Full(w1.clone()), W2::Tucker { core, a, b }, 1.0).unwrap();
    let slow = slow_delta(&values(&w1), &w2, 0.5);
    let delta = module.delta::<f64>(&[6, 20, 3, 2], 0.5).unwrap();
    assert!((&delta - &slow).iter().all(|d| d.abs() < 1e-12));
}

/// PEFT's conv1d layout from its definition, `T[a, i·q + b, j·k + t] = w1[i, j]·w2[a, b, t]` read flat, also for kernel
/// 1.
#[test]
fn pefts_conv1d_layout_is_applied_and_is_no_kronecker_product() {
    for k in [1, 3] {
        let (w1, w2) = (tensor(&[2, 5]), tensor(&[3, 4, k]));
        let folder = Folder::new();
        folder.write("adapter_config.json", CONFIG);
        let tensors = [("base_model.model.m.lokr_w1", w1.clone()), ("base_model.model.m.lokr_w2", w2.clone())];
        folder.tensors("adapter_model.safetensors", &tensors);
        let adapter = Adapter::read(folder.root(), &ReadOptions::default()).unwrap();
        let module = &adapter.modules()["m"];
        assert!(matches!(adapter.warnings(), [Warning::PeftConv1dLayout { .. }]));
        assert!(matches!(module.kron::<f64>(), Err(E::Module(ModuleError::NotKronecker { .. }))));
        let (w1, w2) = (w1.to_array::<f64>("").unwrap(), w2.to_array::<f64>("").unwrap());
        let (q, n) = (4, 5);
        let flat: Vec<f64> = (0..3 * 2 * q * n * k)
            .map(|place| {
                let (column, row, a) = (place % (n * k), place / (n * k) % (2 * q), place / (n * k * 2 * q));
                0.5 * w1[[row / q, column / k]] * w2[[a, row % q, column % k]]
            })
            .collect();
        let delta = module.delta::<f64>(&[6, 20, k], 0.5).unwrap();
        assert!(delta.iter().zip(&flat).all(|(d, slow)| (d - slow).abs() < 1e-12), "{k}");
    }
}

/// LyCORIS keeps the norms in f32, whatever the file stores.
#[test]
fn norms_stored_in_half_types_have_the_epsilon_of_f32() {
    let norms = |dtype| {
        let values = ArrayD::from_elem(IxDyn(&[6, 1]), 0.25);
        let module = Module::new("m", W1::Full(tensor(&[2, 5])), W2::Full(tensor(&[3, 2])), 1e-4).unwrap();
        let module = module.with_dora_scale(lokr_checkpoint::Tensor::from_array(&values, dtype)).unwrap();
        let mut merged = Array2::<f64>::from_elem((6, 10), 0.01);
        module.merge_into(&mut merged, &Strength::default()).unwrap();
        merged
    };
    use lokr_checkpoint::FloatType as F;
    for dtype in [F::F16, F::Bf16] {
        assert_eq!(norms(dtype), norms(F::F32));
    }
    let row = norms(F::Bf16).row(0).to_owned();
    assert!((row.dot(&row).sqrt() - 0.25).abs() < 1e-5);
}

fn dora_module() -> Module {
    let module = Module::new("m", W1::Full(tensor(&[2, 5])), W2::Full(tensor(&[3, 2])), 0.5).unwrap();
    module.with_dora_scale(tensor(&[1, 10])).unwrap()
}

#[test]
fn strength_zero_gives_the_base_and_one_the_same_by_both_formulas() {
    let weight = tensor(&[6, 10]).to_array::<f64>("w").unwrap().into_dimensionality::<ndarray::Ix2>().unwrap();
    let merged = |multiplier, dora| {
        let mut merged = weight.clone();
        dora_module().merge_into(&mut merged, &Strength { multiplier, dora, scale: ScaleRule::Trained }).unwrap();
        merged
    };
    assert_eq!(merged(0.0, DoraStrength::FromBase), weight);
    assert_eq!(merged(1.0, DoraStrength::FromBase), merged(1.0, DoraStrength::Lycoris));
    // In between: a straight line from the base to the adapted weight, `W + μ·(V·g − W)`.
    let half = (&weight + &merged(1.0, DoraStrength::FromBase)) / 2.0;
    assert!((merged(0.5, DoraStrength::FromBase) - half).iter().all(|d: &f64| d.abs() < 1e-12));
    // LyCORIS's formula at 0 is V, not W.
    let v = &weight + &dora_module().delta::<f64>(&[6, 10], 0.5).unwrap();
    assert!((merged(0.0, DoraStrength::Lycoris) - v).iter().all(|d| d.abs() < 1e-12));
    // Every column of the adapted weight has the stored norm, up to the epsilon of f32.
    let adapted = merged(1.0, DoraStrength::FromBase);
    for (column, norm) in adapted.columns().into_iter().zip(tensor(&[10]).to_array::<f64>("").unwrap()) {
        assert!((column.dot(&column).sqrt() - norm.abs()).abs() < 1e-5);
    }
}

#[test]
fn the_layout_of_the_weight_does_not_matter() {
    let rows = tensor(&[6, 10]).to_array::<f32>("w").unwrap().into_dimensionality::<ndarray::Ix2>().unwrap();
    let mut right = rows.clone();
    dora_module().merge_into(&mut right, &Strength::default()).unwrap();
    let mut columns: Array2<f32> = rows.t().as_standard_layout().into_owned().reversed_axes();
    dora_module().merge_into(&mut columns, &Strength::default()).unwrap();
    assert_eq!(columns, right);
    let mut wide = Array2::zeros((6, 20));
    wide.slice_mut(s![.., ..;-2]).assign(&rows);
    dora_module().merge_into(&mut wide.slice_mut(s![.., ..;-2]), &Strength::default()).unwrap();
    assert_eq!(wide.slice(s![.., ..;-2]), right);
    assert!(wide.slice(s![.., ..;2]).iter().all(|&w| w == 0.0));
}
