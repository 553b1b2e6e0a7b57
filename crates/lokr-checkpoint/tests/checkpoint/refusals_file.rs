//! Bad files, names and configurations, row by row of section 9 of the format notes: a test and an error of its own
//! each.

use crate::support::build::{CONFIG, Folder, base, cause, filled, lycoris, peft, raw, read, read_with, tensor};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, ConfigError, Dialect, Dtype, FileError, ForeignTensors, JobError,
    ModuleError, NameError, ReadOptions, ScaleRule, Strength, Tensor, TensorFile, Unmatched, Warning,
};
use ndarray::ArrayD;

fn container(header: &str, data: usize) -> Result<TensorFile, E> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; data]);
    TensorFile::from_bytes("made.safetensors", bytes)
}

// What the container format forbids; also `bad_files.rs`.
#[test]
fn damaged_containers() {
    let one = |dtype: &str, shape: &str, end: usize| {
        format!(r#"{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    assert!(container(&one("F32", "[2]", 8), 8).is_ok());
    cause(container(&one("F32", "[2]", 8), 9), |e| {
        matches!(e, E::File(FileError::DataLength { expected: 8, found: 9 }))
    });
    cause(container(&one("F32", "[2]", 8), 7), |e| matches!(e, E::File(FileError::DataLength { .. })));
    cause(
        container(&one("F33", "[2]", 8), 8),
        |e| matches!(e, E::File(FileError::UnknownDtype { dtype, .. }) if dtype == "F33"),
    );
    cause(container(&one("F32", "[9223372036854775807,4]", 8), 8), |e| {
        matches!(e, E::File(FileError::ShapeOverflow { .. }))
    });
    // Without elements, but no array can have such axes.
    for shape in ["[0,9223372036854775807,4]", "[9223372036854775807,4,0]", "[0,9223372036854775807]"] {
        cause(container(&one("F32", shape, 0), 0), |e| matches!(e, E::File(FileError::ShapeOverflow { .. })));
    }
    assert!(container(&one("F32", "[0,1000000]", 0), 0).is_ok());
    cause(container(&one("F4", "[3]", 2), 2), |e| matches!(e, E::File(FileError::ShapeOverflow { .. })));
    cause(container(&one("F32", "[-2]", 8), 8), |e| matches!(e, E::File(FileError::Json(_))));
    cause(container("[]", 0), |e| matches!(e, E::File(FileError::Json(_))));
    cause(container(r#"{"__metadata__":{"a":1}}"#, 0), |e| matches!(e, E::File(FileError::Json(_))));
    let gap =
        r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"y":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}"#;
    cause(
        container(gap, 3),
        |e| matches!(e, E::File(FileError::TensorRange { key, expected: 1, start: 2, .. }) if key == "y"),
    );
    for twice in [r#"{"__metadata__":{"a":"1","a":"2"}}"#, r#"{"__metadata__":{},"__metadata__":{}}"#] {
        cause(container(twice, 0), |e| matches!(e, E::File(FileError::DuplicateKey { .. })));
    }
    cause(TensorFile::from_bytes("short", vec![1, 2, 3]), |e| matches!(e, E::File(FileError::NoHeader { length: 3 })));
    cause(TensorFile::open(Folder::new().path("absent.safetensors")), |e| matches!(e, E::Io(_)));
}

// Pickles, by name and by content.
#[test]
fn pickle() {
    let folder = Folder::new();
    for name in ["a.bin", "a.pt", "a.pth", "a.ckpt", "a.PKL"] {
        let file = folder.write(name, b"anything");
        cause(TensorFile::open(&file), |e| matches!(e, E::File(FileError::Pickle { .. })));
        cause(Adapter::read(&file, &ReadOptions::default()), |e| matches!(e, E::File(FileError::Pickle { .. })));
    }
    let mut contents = vec![b"PK\x03\x04 a zip archive".to_vec()];
    contents
        .extend((2..=5).map(|protocol| [b"\x80", &[protocol], &b"}q\x00(X\x01\x00\x00\x00aq\x01K\x01u."[..]].concat()));
    for content in contents {
        cause(TensorFile::open(folder.write("x.safetensors", content)), |e| {
            matches!(e, E::File(FileError::Pickle { .. }))
        });
    }
    let old = Folder::new();
    old.write("adapter_config.json", CONFIG);
    old.write("adapter_model.bin", b"PK");
    cause(Adapter::read(old.root(), &ReadOptions::default()), |e| matches!(e, E::File(FileError::Pickle { .. })));
    // A header of 640 bytes begins like a pickle.
    let header = format!("{{{}}}", " ".repeat(638));
    assert!(container(&header, 0).is_ok());
}

// alpha or dora_scale in a PEFT directory.
#[test]
fn mixed_dialects_in_a_peft_directory() {
    for (key, extra) in
        [("base_model.model.m.alpha", filled(&[], 4.0)), ("base_model.model.m.dora_scale", tensor(&[6, 1]))]
    {
        cause(
            peft(&Folder::new(), CONFIG, &[(key, extra)]),
            |e| matches!(e, E::Name(NameError::NotPeft { key: k }) if k == key),
        );
    }
    // Bare names in a PEFT directory are PEFT's too; the same file outside of one is not.
    let read = |tensors: &[(&str, Tensor)]| {
        let folder = Folder::new();
        folder.write("adapter_config.json", CONFIG);
        let file = folder.tensors("adapter_model.safetensors", tensors);
        (Adapter::read(folder.root(), &ReadOptions::default()), Adapter::read(file, &ReadOptions::default()))
    };
    let (directory, file) =
        read(&[("m.alpha", filled(&[], 4.0)), ("m.lokr_w1", tensor(&[2, 5])), ("m.lokr_w2", tensor(&[3, 2]))]);
    cause(directory, |e| matches!(e, E::Name(NameError::NotPeft { key }) if key == "m.alpha"));
    assert_eq!(file.unwrap().dialect(), Dialect::Dotted);
    let (directory, file) = read(&lycoris(&[]));
    cause(directory, |e| {
        matches!(e, E::Name(NameError::MixedDialects { first, second, second_dialect: Dialect::Lycoris, .. })
            if first == "adapter_config.json" && second == "lycoris_m.lokr_w1")
    });
    assert_eq!(file.unwrap().dialect(), Dialect::Lycoris);
}

// A configuration said to be that of a dialect without one.
#[test]
fn config_of_another_dialect() {
    let folder = Folder::new();
    let (file, config) = (folder.tensors("a.safetensors", &lycoris(&[])), folder.write("c.json", CONFIG));
    let options = ReadOptions { config: Some(config), ..ReadOptions::default() };
    cause(Adapter::read(&file, &options), |e| matches!(e, E::Name(NameError::MixedDialects { .. })));
    let options = ReadOptions { dialect: Some(Dialect::Lycoris), ..options };
    cause(Adapter::read(&file, &options), |e| matches!(e, E::Job(JobError::Option { option: "config", .. })));
}

// Directories, pipes and devices where a file should be; a pipe must not be waited for.
#[test]
fn not_a_file() {
    let folder = Folder::new();
    cause(TensorFile::open(folder.root()), |e| matches!(e, E::File(FileError::NotAFile { found: "a directory" })));
    #[cfg(unix)]
    for device in ["/dev/null", "/dev/zero"] {
        cause(TensorFile::open(device), |e| matches!(e, E::File(FileError::NotAFile { found: "a pipe or device" })));
        cause(Adapter::read(device, &ReadOptions::default()), |e| matches!(e, E::File(FileError::NotAFile { .. })));
        cause(BaseModel::open(device), |e| matches!(e, E::File(FileError::NotAFile { .. })));
    }
}

// Two keys that map to one tensor.
#[test]
fn duplicate_target() {
    // `.default` and bare.
    let twice = [("base_model.model.m.lokr_w1.default", tensor(&[2, 5]))];
    cause(peft(&Folder::new(), CONFIG, &twice), |e| {
        matches!(e, E::Name(NameError::DuplicateTarget { first, second, .. })
            if first == "base_model.model.m.lokr_w1" && second == "base_model.model.m.lokr_w1.default")
    });
    // Prefixed and bare.
    let twice = [("m.lokr_w1", tensor(&[2, 5]))];
    cause(peft_forced(&twice), |e| matches!(e, E::Name(NameError::DuplicateTarget { .. })));
    // SGM and diffusers.
    let folder = Folder::new();
    let base = base(&folder, &[("down_blocks.1.attentions.0.proj_in.weight", tensor(&[6, 10]))]);
    let modules = ["lora_unet_down_blocks_1_attentions_0_proj_in", "lora_unet_input_blocks_4_1_proj_in"];
    let tensors: Vec<_> = modules
        .iter()
        .flat_map(|module| {
            [(format!("{module}.lokr_w1"), tensor(&[2, 5])), (format!("{module}.lokr_w2"), tensor(&[3, 2]))]
        })
        .collect();
    let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    cause(read(&tensors).unwrap().resolve(&base, Unmatched::Refuse), |e| {
        matches!(e, E::Name(NameError::DuplicateTarget { first, second, target })
            if [first.as_str(), second] == modules && target == "down_blocks.1.attentions.0.proj_in.weight")
    });
}

fn peft_forced(more: &[(&'static str, Tensor)]) -> Result<Adapter, E> {
    let folder = Folder::new();
    folder.write("adapter_config.json", CONFIG);
    let mut tensors = vec![
        ("base_model.model.m.lokr_w1", tensor(&[2, 5])),
        ("base_model.model.m.lokr_w2_a", tensor(&[3, 2])),
        ("base_model.model.m.lokr_w2_b", tensor(&[2, 2])),
    ];
    tensors.extend(more.iter().cloned());
    let options = ReadOptions { dialect: Some(Dialect::Peft), ..ReadOptions::default() };
    Adapter::read(folder.tensors("a.safetensors", &tensors), &options)
}

// Two dialects in one file.
#[test]
fn mixed_dialects() {
    let more = [("lora_unet_m.lokr_w1", tensor(&[2, 5])), ("lora_unet_m.lokr_w2", tensor(&[3, 2]))];
    cause(read(&lycoris(&more)), |e| {
        matches!(e, E::Name(NameError::MixedDialects { first, first_dialect: Dialect::Kohya, second, second_dialect: Dialect::Lycoris })
            if first == "lora_unet_m.lokr_w1" && second == "lycoris_m.lokr_w1")
    });
}

// Names without alpha and without configuration.
#[test]
fn dialect_unclear() {
    let bare = [("a.m.lokr_w1", tensor(&[2, 5])), ("a.m.lokr_w2", tensor(&[3, 2]))];
    cause(read(&bare), |e| {
        matches!(e, E::Name(NameError::DialectUnclear { first: Dialect::Peft, second: Dialect::Dotted, .. }))
    });
    let force = |dialect| ReadOptions { dialect: Some(dialect), ..ReadOptions::default() };
    assert_eq!(read_with(&bare, &force(Dialect::Dotted)).unwrap().modules()["a.m"].scale(), Some(1.0));
    let peft = read_with(&bare, &force(Dialect::Peft)).unwrap();
    let mut weight = ArrayD::<f32>::zeros(vec![6, 10]);
    cause(
        peft.modules()["a.m"].merge_into(&mut weight, &Strength::default()),
        |e| matches!(e, E::Module(ModuleError::ScaleUnknown { module }) if module == "a.m"),
    );
    let by_hand = Strength { scale: ScaleRule::Fixed(0.5), ..Strength::default() };
    peft.modules()["a.m"].merge_into(&mut weight, &by_hand).unwrap();
}

// An underscored name that matches two base modules is in `bad_files.rs`: ambiguous_module.

// Modules that are not in the base model.
#[test]
fn unmatched_modules() {
    let folder = Folder::new();
    let base = base(&folder, &[("m.weight", tensor(&[6, 10]))]);
    let more = [("lycoris_gone.lokr_w1", tensor(&[2, 5])), ("lycoris_gone.lokr_w2", tensor(&[3, 2]))];
    let adapter = read(&lycoris(&more)).unwrap();
    cause(
        adapter.resolve(&base, Unmatched::Refuse),
        |e| matches!(e, E::Name(NameError::UnmatchedModules { modules, total: 2, .. }) if *modules == ["lycoris_gone"]),
    );
    let resolution = adapter.resolve(&base, Unmatched::Allow).unwrap();
    assert_eq!(resolution.unmatched(), ["lycoris_gone"]);
    assert_eq!(resolution.target("lycoris_m"), Some("m.weight"));
}

// Zero matches is always an error.
#[test]
fn nothing_matches() {
    let folder = Folder::new();
    let base = base(&folder, &[("other.weight", tensor(&[6, 10]))]);
    for policy in [Unmatched::Refuse, Unmatched::Allow] {
        cause(read(&lycoris(&[])).unwrap().resolve(&base, policy), |e| {
            matches!(e, E::Name(NameError::NothingMatches { total: 1, .. }))
        });
    }
}

// A name that LyCORIS has and nothing writes: leaving it out would merge something else.
#[test]
fn tucker_first_factor() {
    let tensors = lycoris(&[("lycoris_m.lokr_t1", tensor(&[2, 2]))]);
    for foreign in [ForeignTensors::Refuse, ForeignTensors::Skip] {
        let options = ReadOptions { foreign, ..ReadOptions::default() };
        cause(
            read_with(&tensors, &options),
            |e| matches!(e, E::Name(NameError::TuckerFirstFactor { key }) if key == "lycoris_m.lokr_t1"),
        );
    }
}

// The state of a live PEFT model with two adapters, whose factors do not belong together.
#[test]
fn several_adapters() {
    let tensors =
        [("base_model.model.m.lokr_w1.one", tensor(&[2, 5])), ("base_model.model.m.lokr_w2.two", tensor(&[3, 2]))];
    cause(
        read(&tensors),
        |e| matches!(e, E::Name(NameError::SeveralAdapters { first, second }) if first.ends_with("one") && second.ends_with("two")),
    );
}

// Algorithms that are not understood, beside LoKr and alone.
#[test]
fn other_algorithm() {
    for (key, name) in
        [("lycoris_x.oft_blocks", "OFT"), ("lycoris_x.on_input", "IA3"), ("lycoris_x.b2.weight", "GLoRA")]
    {
        let mixed = lycoris(&[(key, tensor(&[2, 2])), ("lycoris_x.alpha", filled(&[], 1.0))]);
        cause(
            read(&mixed),
            |e| matches!(e, E::Name(NameError::OtherAlgorithm { key: k, algorithm, .. }) if k == key && *algorithm == name),
        );
        let options = ReadOptions { foreign: ForeignTensors::Skip, ..ReadOptions::default() };
        let adapter = read_with(&mixed, &options).unwrap();
        assert_eq!(adapter.modules().len(), 1);
        assert!(matches!(adapter.warnings(), [Warning::Skipped { keys }] if *keys == [(key.to_owned(), Some(name))]));
    }
    cause(read(&[("lycoris_x.oft_blocks", tensor(&[2, 2]))]), |e| {
        matches!(e, E::Name(NameError::OtherAlgorithm { .. }))
    });
    // Both algorithms on one module: the LoKr stays.
    let options = ReadOptions { foreign: ForeignTensors::Skip, ..ReadOptions::default() };
    let adapter = read_with(&lycoris(&[("lycoris_m.oft_blocks", tensor(&[2, 2]))]), &options).unwrap();
    assert_eq!(adapter.modules()["lycoris_m"].scale(), Some(2.0));
}

#[test]
fn unknown_keys() {
    cause(
        read(&lycoris(&[("bundle_emb.x", tensor(&[2]))])),
        |e| matches!(e, E::Name(NameError::UnknownKey { key, dialect: Dialect::Lycoris }) if key == "bundle_emb.x"),
    );
    cause(read(&[("x.weight", tensor(&[2, 2]))]), |e| matches!(e, E::Name(NameError::NotLokr)));
    cause(read(&[]), |e| matches!(e, E::Name(NameError::NotLokr)));
}

// The configuration's fields; more in the module's own tests.
#[test]
fn config_fields() {
    for (config, wrong) in [
        (r#"{"peft_type": "LOKR", "r": -1}"#, "r"),
        (r#"{"peft_type": "LOKR", "r": 1.5}"#, "r"),
        (r#"{"peft_type": "LOHA"}"#, "peft_type"),
        (r#"{"peft_type": "LOKR", "alpha": "x"}"#, "alpha"),
    ] {
        let result = peft(&Folder::new(), config, &[]);
        let path = result.as_ref().unwrap_err().path().unwrap().to_owned();
        assert!(path.ends_with("adapter_config.json"));
        cause(result, |e| matches!(e, E::Config(ConfigError::Field { field, .. }) if field == wrong));
    }
    let pattern = r#"{"peft_type": "LOKR", "r": 2, "alpha_pattern": {"[": 2}}"#;
    cause(peft(&Folder::new(), pattern, &[]), |e| {
        matches!(e, E::Config(ConfigError::Pattern { field: "alpha_pattern", .. }))
    });
    cause(peft(&Folder::new(), "{", &[]), |e| matches!(e, E::File(FileError::Json(_))));
}

#[test]
fn config_rank_contradicts_the_shapes() {
    cause(
        peft(&Folder::new(), r#"{"peft_type": "LOKR", "r": 4}"#, &[]),
        |e| matches!(e, E::Config(ConfigError::Rank { module, field: "r", expected: 4, found: 2 }) if module == "m"),
    );
}

#[test]
fn ambiguous_pattern() {
    let config = r#"{"peft_type": "LOKR", "r": 2, "alpha_pattern": {"m": 2, ".": 3}}"#;
    cause(
        peft(&Folder::new(), config, &[]),
        |e| matches!(e, E::Config(ConfigError::AmbiguousPattern { module, patterns }) if module == "m" && *patterns == [".", "m"]),
    );
}

#[test]
fn incomplete_peft_directories() {
    let folder = Folder::new();
    cause(
        Adapter::read(folder.root(), &ReadOptions::default()),
        |e| matches!(e, E::File(FileError::Missing { expected }) if expected == "adapter_model.safetensors"),
    );
    folder.tensors("adapter_model.safetensors", &[("base_model.model.m.lokr_w1", tensor(&[2, 5]))]);
    cause(
        Adapter::read(folder.root(), &ReadOptions::default()),
        |e| matches!(e, E::File(FileError::Missing { expected }) if expected == "adapter_config.json"),
    );
}

// Quantised base weights.
#[test]
fn quantized_base() {
    for (key, weight) in [
        ("m.weight", raw(Dtype::U8, &[30, 1], 30)),
        ("m.weight", raw(Dtype::I8, &[6, 10], 60)),
        ("m.weight", raw(Dtype::F8_E8M0, &[6, 10], 60)),
        ("m.qweight", raw(Dtype::I32, &[2, 10], 80)),
    ] {
        let folder = Folder::new();
        let base = base(&folder, &[(key, weight)]);
        let error = read(&lycoris(&[])).unwrap().resolve(&base, Unmatched::Refuse).unwrap_err();
        assert!(matches!(error.cause(), E::File(FileError::QuantizedBase { key, .. }) if key == "m.weight"), "{error}");
        assert_eq!(error.path(), Some(base.path()), "{error}");
        if key == "m.weight" {
            cause(base.weight::<f32>(key), |e| matches!(e, E::File(FileError::QuantizedBase { .. })));
        }
    }
}
