//! Every file of `fixtures/bad`: the outcome its README asks for, and agreement with the `safetensors` crate.

use std::path::PathBuf;

use crate::support::fixtures;
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, ConfigError, Dtype, FileError, ModuleError, NameError, ReadOptions,
    Resolution, TensorFile, Unmatched,
};

fn path(name: &str) -> PathBuf {
    fixtures().join("bad").join(name)
}

/// Reads and resolves as a merge would.
fn load(name: &str) -> Result<(Adapter, Resolution), E> {
    let base = BaseModel::open(path("base.safetensors")).unwrap();
    let adapter = Adapter::read(path(name), &ReadOptions::default())?;
    let resolution = adapter.resolve(&base, Unmatched::Refuse)?;
    Ok((adapter, resolution))
}

/// Asserts an error that names the file and whose cause is as told.
fn refused(name: &str, cause: impl Fn(&E) -> bool) {
    let error = load(name).err().unwrap_or_else(|| panic!("{name} was accepted"));
    assert!(cause(error.cause()), "{name}: {error:?}");
    assert!(error.path().unwrap().starts_with(path(name)), "{name}: {error}");
    assert!(error.to_string().contains(name), "{error}");
}

#[test]
fn control_good_loads_and_applies() {
    let (adapter, resolution) = load("control_good.safetensors").unwrap();
    assert_eq!(resolution.targets().collect::<Vec<_>>(), [("lycoris_proj", "proj.weight")]);
    assert!(adapter.warnings().is_empty());
}

#[test]
fn peft_control_good_loads_and_applies() {
    let (adapter, resolution) = load("peft_control_good").unwrap();
    assert_eq!(resolution.targets().collect::<Vec<_>>(), [("proj", "proj.weight")]);
    assert_eq!(adapter.modules()["proj"].scale(), Some(1.0));
}

#[test]
fn truncated() {
    refused("truncated.safetensors", |e| matches!(e, E::File(FileError::DataLength { expected: 140, found: 111 })));
}

#[test]
fn truncated_header() {
    refused("truncated_header.safetensors", |e| matches!(e, E::File(FileError::HeaderLength { limit: 32, .. })));
}

#[test]
fn header_len_huge() {
    refused(
        "header_len_huge.safetensors",
        |e| matches!(e, E::File(FileError::HeaderLength { found, .. }) if *found == 1 << 62),
    );
}

#[test]
fn header_not_json() {
    refused("header_not_json.safetensors", |e| matches!(e, E::File(FileError::Json(_))));
}

#[test]
fn empty() {
    refused("empty.safetensors", |e| matches!(e, E::File(FileError::NoHeader { length: 0 })));
}

#[test]
fn duplicate_keys() {
    refused(
        "duplicate_keys.safetensors",
        |e| matches!(e, E::File(FileError::DuplicateKey { key }) if key == "lycoris_proj.lokr_w1"),
    );
}

#[test]
fn overlapping_offsets() {
    refused(
        "overlapping_offsets.safetensors",
        |e| matches!(e, E::File(FileError::TensorRange { key, expected: 52, start: 44, end: 92 }) if key == "lycoris_proj.lokr_w2_a"),
    );
}

#[test]
fn negative_offsets() {
    refused(
        "negative_offsets.safetensors",
        |e| matches!(e, E::File(FileError::TensorRange { key, start: 100, end: 52, .. }) if key == "lycoris_proj.lokr_w2_a"),
    );
}

#[test]
fn size_mismatch() {
    refused(
        "size_mismatch.safetensors",
        |e| matches!(e, E::File(FileError::TensorSize { key, expected: 64, found: 48, .. }) if key == "lycoris_proj.lokr_w1"),
    );
}

#[test]
fn missing_w2_b() {
    refused(
        "missing_w2_b.safetensors",
        |e| matches!(e, E::Module(ModuleError::HalfMissing { module, present: "lokr_w2_a", missing: "lokr_w2_b" }) if module == "lycoris_proj"),
    );
}

#[test]
fn shape_mismatch_base() {
    refused(
        "shape_mismatch_base.safetensors",
        |e| matches!(e, E::Module(ModuleError::WeightShape { module, expected: (24, 15), found: (28, 15), hint: "", .. }) if module == "lycoris_proj"),
    );
}

#[test]
fn rank_mismatch() {
    refused("rank_mismatch.safetensors", |e| {
        matches!(
            e,
            E::Module(ModuleError::InnerRank {
                first: "lokr_w2_a",
                first_rank: 3,
                second: "lokr_w2_b",
                second_rank: 2,
                ..
            })
        )
    });
}

#[test]
fn nan_values() {
    refused("nan_values.safetensors", |e| matches!(e, E::Module(ModuleError::NonFinite { count: 1.., .. })));
}

#[test]
fn inf_alpha() {
    refused(
        "inf_alpha.safetensors",
        |e| matches!(e, E::Module(ModuleError::AlphaNotFinite { alpha, .. }) if alpha.is_infinite()),
    );
}

#[test]
fn int8_dtype() {
    refused(
        "int8_dtype.safetensors",
        |e| matches!(e, E::File(FileError::TensorDtype { key, dtype: Dtype::I8 }) if key == "lycoris_proj.lokr_w1"),
    );
}

#[test]
fn ambiguous_module() {
    refused("ambiguous_module.safetensors", |e| {
        matches!(e, E::Name(NameError::AmbiguousModule { module, candidates })
            if module == "lycoris_attn_to_q" && *candidates == ["attn.to_q", "attn_to.q"])
    });
}

#[test]
fn unknown_module() {
    refused(
        "unknown_module.safetensors",
        |e| matches!(e, E::Name(NameError::NothingMatches { total: 1, example, .. }) if example == "lycoris_does_not_exist"),
    );
}

#[test]
fn both_w1_and_w1_a() {
    refused("both_w1_and_w1_a.safetensors", |e| {
        matches!(e, E::Module(ModuleError::FactorTwice { factor: "lokr_w1", half: "lokr_w1_a", .. }))
    });
}

#[test]
fn zero_sized_factor() {
    refused(
        "zero_sized_factor.safetensors",
        |e| matches!(e, E::Module(ModuleError::ZeroAxis { key: "lokr_w1", found, .. }) if *found == [0, 3]),
    );
}

#[test]
fn peft_config_corrupt() {
    refused("peft_config_corrupt", |e| matches!(e, E::File(FileError::Json(_))));
}

#[test]
fn peft_config_r_zero() {
    refused(
        "peft_config_r_zero",
        |e| matches!(e, E::Config(ConfigError::Field { field, found, .. }) if field == "r" && found == "0"),
    );
}

#[test]
fn peft_config_wrong_type() {
    refused(
        "peft_config_wrong_type",
        |e| matches!(e, E::Config(ConfigError::Field { field, found, .. }) if field == "peft_type" && found == "\"LORA\""),
    );
}

#[test]
fn peft_config_r_string() {
    refused(
        "peft_config_r_string",
        |e| matches!(e, E::Config(ConfigError::Field { field, found, .. }) if field == "r" && found == "\"two\""),
    );
}

/// The header is checked here, not by the `safetensors` crate; the two agree on every file, except that the crate takes
/// the last of two equal keys.
#[test]
fn the_safetensors_crate_gives_the_same_verdict() {
    let mut files: Vec<_> = std::fs::read_dir(fixtures().join("bad"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 21);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&bytes).is_ok();
        let ours = TensorFile::open(&file).is_ok();
        assert_eq!(ours, theirs && !file.ends_with("duplicate_keys.safetensors"), "{}", file.display());
    }
}

/// Whatever single byte of a small file is changed, reading it ends in a file or an error, as in the `safetensors`
/// crate; so does any cut.
#[test]
fn no_damage_makes_the_reader_panic() {
    let bytes = std::fs::read(path("control_good.safetensors")).unwrap();
    let mut accepted = 0;
    for place in 0..bytes.len() {
        for value in [0, 1, b'"', b'3', b'9', 0x7f, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[place] = value;
            let theirs = safetensors::SafeTensors::deserialize(&bytes).is_ok();
            let ours = TensorFile::from_bytes("damaged", bytes);
            assert_eq!(ours.is_ok(), theirs, "byte {place} set to {value}");
            accepted += usize::from(theirs);
        }
        assert!(TensorFile::from_bytes("cut", bytes[..place].to_vec()).is_err());
    }
    assert!(accepted > 140 * 8, "the data are free to change");
}
