//! Weights of eight bits that are not what they should be, and layouts that are not read: refused by name.

use crate::support::build::{Folder, base, cause, filled, go_on, raw, read, tensor};
use crate::support::quantized::{KINDS, matrix};
use lokr_checkpoint::{
    BaseModel, CheckpointError as E, Dtype, FileError, FloatType, JobError, MergeOptions, QuantizedOptions, Strength,
    Tensor, Unmatched, merge,
};
use ndarray::{ArrayD, IxDyn};

fn adapter() -> lokr_checkpoint::Adapter {
    read(&[("lycoris_m.lokr_w1", tensor(&[2, 5])), ("lycoris_m.lokr_w2", tensor(&[3, 2]))]).unwrap()
}

fn codes(dtype: Dtype) -> Tensor {
    Tensor::new("", dtype, vec![6, 10], vec![0x30; 60]).unwrap()
}

fn floats(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_array(&ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap(), FloatType::F32)
}

fn text(text: &str) -> Tensor {
    Tensor::new("", Dtype::U8, vec![text.len()], text.as_bytes().to_vec()).unwrap()
}

/// What is wrong with a model, told before anything is written, and again where the weight is read.
#[track_caller]
fn refused(tensors: &[(&str, Tensor)], right: impl Fn(&FileError) -> bool) {
    let folder = Folder::new();
    let base = base(&folder, tensors);
    let is_right = |e: &E| matches!(e, E::File(error) if right(error));
    let adapter = adapter();
    cause(adapter.resolve(&base, Unmatched::Refuse), is_right);
    cause(base.weight::<f32>("m.weight"), is_right);
    let out = folder.path("out.safetensors");
    cause(merge(&base, &[(&adapter, Strength::default())], &out, &MergeOptions::default(), &mut go_on), is_right);
    assert!(!out.exists());
}

#[test]
fn scales_that_no_value_can_be_multiplied_by() {
    for (bad, stored) in [(f64::NAN, "NaN"), (0.0, "0"), (-1.0, "-1"), (f64::INFINITY, "inf")] {
        for (name, dtype) in [
            ("m.scale_weight", Dtype::F8_E4M3),
            ("m.weight_scale", Dtype::F8_E5M2),
            ("m.weight_scale_inv", Dtype::F8_E4M3),
            ("m.SCB", Dtype::I8),
        ] {
            let scales =
                if name == "m.SCB" { floats(&[6], &[1.0, 1.0, 1.0, bad, 1.0, 1.0]) } else { floats(&[], &[bad]) };
            refused(&[("m.weight", codes(dtype)), (name, scales)], |error| {
                let right = matches!(error, FileError::ScaleValue { key, .. } if key == name);
                right && error.to_string().contains(stored)
            });
        }
    }
    let exponents = Tensor::new("", Dtype::F8_E8M0, vec![1, 1], vec![255]).unwrap();
    refused(
        &[("m.weight", codes(Dtype::F8_E4M3)), ("m.weight_scale_inv", exponents)],
        |error| matches!(error, FileError::ScaleValue { found, .. } if found.is_nan()),
    );
}

#[test]
fn scales_that_do_not_fit() {
    for shape in [&[5][..], &[10], &[7, 1], &[2, 1], &[1, 10, 1], &[6, 1, 2]] {
        let scales = floats(shape, &vec![1.0; shape.iter().product()]);
        refused(&[("m.weight", codes(Dtype::F8_E4M3)), ("m.weight_scale", scales)], |error| {
            matches!(error, FileError::ScaleShape { key, shape: found, weight, .. }
                if key == "m.weight_scale" && found == shape && *weight == [6, 10])
        });
    }
    let integers = raw(Dtype::I32, &[], 4);
    refused(
        &[("m.weight", codes(Dtype::F8_E4M3)), ("m.weight_scale", integers)],
        |error| matches!(error, FileError::ScaleDtype { key, dtype: Dtype::I32 } if key == "m.weight_scale"),
    );
    let two = [("m.weight", codes(Dtype::I8)), ("m.weight_scale", filled(&[], 1.0)), ("m.SCB", filled(&[6], 1.0))];
    refused(&two, |error| matches!(error, FileError::ScalesTwice { key, .. } if key == "m.weight"));
}

#[test]
fn scales_that_are_missing() {
    let marker = || Tensor::new("", Dtype::F8_E4M3, vec![0], vec![]).unwrap();
    for (told_by, tensors) in [
        ("scaled_fp8", vec![("scaled_fp8", marker())]),
        ("m.comfy_quant", vec![("m.comfy_quant", text(r#"{"format": "float8_e4m3fn"}"#))]),
    ] {
        let mut tensors = tensors;
        tensors.push(("m.weight", codes(Dtype::F8_E4M3)));
        refused(
            &tensors,
            |error| matches!(error, FileError::ScaleMissing { key, told_by: by, .. } if key == "m.weight" && by == told_by),
        );
    }
    let folder = Folder::new();
    folder.tensors("model.safetensors", &[("m.weight", codes(Dtype::F8_E4M3))]);
    folder.write("config.json", r#"{"quantization_config": {"quant_method": "fp8"}}"#);
    let base = BaseModel::open(folder.root()).unwrap();
    cause(
        base.weight::<f32>("m.weight"),
        |e| matches!(e, E::File(FileError::ScaleMissing { told_by, .. }) if told_by.contains("config.json")),
    );
    // A block size that is told is the one.
    let folder = Folder::new();
    folder.tensors(
        "model.safetensors",
        &[("m.weight", codes(Dtype::F8_E4M3)), ("m.weight_scale_inv", filled(&[3, 5], 1.0))],
    );
    folder.write("config.json", r#"{"quantization_config": {"weight_block_size": [128, 128]}}"#);
    cause(BaseModel::open(folder.root()).unwrap().weight::<f32>("m.weight"), |e| {
        matches!(e, E::File(FileError::ScaleShape { block: Some([128, 128]), .. }))
    });
}

#[test]
fn layouts_that_are_not_read_are_named() {
    let none = || raw(Dtype::U8, &[1], 1);
    let bytes = || ("m.weight", raw(Dtype::U8, &[30, 1], 30));
    let integers = |name| (name, raw(Dtype::I32, &[2, 10], 80));
    let cases: Vec<(&str, Vec<(&str, Tensor)>)> = vec![
        ("NF4", vec![bytes(), ("m.weight.quant_state.bitsandbytes__nf4", none()), ("m.weight.absmax", none())]),
        ("FP4", vec![bytes(), ("m.weight.quant_state.bitsandbytes__fp4", none())]),
        ("GPTQ", vec![integers("m.qweight"), integers("m.qzeros"), integers("m.g_idx")]),
        ("AWQ", vec![integers("m.qweight"), integers("m.qzeros"), ("m.scales", none())]),
        ("SVDQuant", vec![integers("m.qweight"), ("m.wscales", none())]),
        ("compressed-tensors", vec![integers("m.weight_packed"), ("m.weight_scale", none())]),
        ("NVFP4", vec![bytes(), ("m.weight_scale", none()), ("m.weight_scale_2", none())]),
        ("NVFP4", vec![integers("m.weight_packed"), ("m.weight_global_scale", none())]),
        ("MXFP4", vec![("m_blocks", none()), ("m_scales", none())]),
        ("mxfp8", vec![("m.weight", codes(Dtype::F8_E4M3)), ("m.comfy_quant", text(r#"{"format": "mxfp8"}"#))]),
        ("MXFP8", vec![("m.weight", codes(Dtype::F8_E4M3)), ("m.weight_scale", raw(Dtype::U8, &[6, 1], 6))]),
        ("HQQ", vec![("m.W_q", none())]),
        ("Quanto", vec![("m.weight._data", none()), ("m.weight._scale", none())]),
        ("torchao", vec![("m._weight_qdata", none())]),
        ("EETQ", vec![("m.weight", codes(Dtype::I8)), ("m.weight_scales", none())]),
        ("AQLM", vec![("m.codes", none()), ("m.codebooks", none())]),
        (
            "zero points",
            vec![
                ("m.weight", codes(Dtype::I8)),
                ("m.weight_scale", filled(&[], 1.0)),
                ("m.weight_zero_point", raw_one()),
            ],
        ),
        (
            "g_idx",
            vec![("m.weight", codes(Dtype::I8)), ("m.weight_scale", filled(&[], 1.0)), ("m.weight_g_idx", none())],
        ),
        ("tiles", vec![("m.weight", codes(Dtype::I8)), ("m.SCB", filled(&[6], 1.0)), ("m.weight_format", raw_one())]),
        ("I8 without a scale", vec![("m.weight", codes(Dtype::I8))]),
        ("I16", vec![("m.weight", raw(Dtype::I16, &[6, 10], 120))]),
    ];
    for (format, tensors) in cases {
        let folder = Folder::new();
        let base = base(&folder, &tensors);
        let error = adapter().resolve(&base, Unmatched::Refuse).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error.cause(), E::File(FileError::QuantizedBase { key, format: found })
            if key == "m.weight" && found.contains(format)),
            "{format}: {text}"
        );
        assert_eq!(error.path(), Some(base.path()));
        assert!(text.contains("before it was quantised") && text.contains("LoRA"), "{text}");
    }
    let rotated = r#"{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 256}"#;
    refused(
        &[("m.weight", codes(Dtype::I8)), ("m.weight_scale", filled(&[6, 1], 1.0)), ("m.comfy_quant", text(rotated))],
        |error| matches!(error, FileError::QuantizedBase { format, .. } if format.contains("256 columns")),
    );
}

fn raw_one() -> Tensor {
    Tensor::new("", Dtype::U8, vec![1], vec![1]).unwrap()
}

#[test]
fn zero_points_of_zero_are_none() {
    let folder = Folder::new();
    let tensors = [
        ("m.weight", codes(Dtype::I8)),
        ("m.weight_scale", filled(&[6, 1], 0.5)),
        ("m.weight_zero_point", raw(Dtype::I8, &[6, 1], 6)),
    ];
    assert!(base(&folder, &tensors).weight::<f64>("m.weight").unwrap().iter().all(|&x| x == 24.0));
}

#[test]
fn options_and_originals_that_make_no_sense() {
    let (folder, adapter) = (Folder::new(), adapter());
    let kind = KINDS[0].1;
    let weight = matrix(tensor(&[6, 10]).to_array::<f64>("").unwrap());
    let tensors = kind.store("m", &weight);
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    let base = BaseModel::open(folder.tensors("base.safetensors", &tensors)).unwrap();
    let open = |name: &str, tensors: &[(&str, Tensor)]| BaseModel::open(folder.tensors(name, tensors)).unwrap();
    let other = open("other.safetensors", &[("m.weight", tensor(&[10, 6]))]);
    let empty = open("empty.safetensors", &[("n.weight", tensor(&[6, 10]))]);
    let run = |quantized| {
        let options = MergeOptions { quantized, ..MergeOptions::default() };
        merge(&base, &[(&adapter, Strength::default())], folder.path("out"), &options, &mut go_on)
    };
    let defaults = QuantizedOptions::default();
    for (quantized, option) in [
        (QuantizedOptions { out_dtype: Some(FloatType::E4m3), ..defaults }, "out_dtype"),
        (QuantizedOptions { min_kept: f64::NAN, ..defaults }, "min_kept"),
        (QuantizedOptions { min_kept: 1.1, ..defaults }, "min_kept"),
    ] {
        cause(run(quantized), |e| matches!(e, E::Job(JobError::Option { option: found, .. }) if *found == option));
    }
    for (original, shape) in [(&other, Some(vec![10, 6])), (&empty, None)] {
        cause(
            run(QuantizedOptions { original: Some(original), ..defaults }),
            |e| matches!(e, E::Job(JobError::Original { key, found, .. }) if key == "m.weight" && *found == shape),
        );
    }
    cause(
        run(QuantizedOptions { original: Some(&base), ..defaults }),
        |e| matches!(e, E::Job(JobError::OriginalQuantized { key }) if key == "m.weight"),
    );
    assert!(!folder.path("out").exists());
}
