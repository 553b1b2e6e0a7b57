//! Bad input of one module, row by row of section 9 of the format notes: a test and an error of its own each.

use crate::support::build::{Folder, cause, filled, lycoris, raw, read, read_with, removed, tensor, typed};
use lokr_checkpoint::{
    Adapter, CheckpointError as E, Dtype, FileError, FloatType, Module, ModuleError, NonFinite, ReadOptions, Strength,
    Tensor, W1, W2, Warning, ZeroAlpha,
};
use ndarray::ArrayD;

#[track_caller]
fn unfit(w1: &[usize], w2: W2, weight: &[usize], right: impl Fn(&E) -> bool) {
    cause(Module::new("m", W1::Full(tensor(w1)), w2, 1.0).and_then(|m| m.check_weight(weight)), right);
}

#[test]
fn the_good_module_is_good() {
    let adapter = read(&lycoris(&[])).unwrap();
    assert_eq!(adapter.modules()["lycoris_m"].scale(), Some(2.0));
}

// One half of a pair missing.
#[test]
fn half_missing() {
    for (key, present, missing) in
        [("lycoris_m.lokr_w2_b", "lokr_w2_a", "lokr_w2_b"), ("lycoris_m.lokr_w2_a", "lokr_w2_b", "lokr_w2_a")]
    {
        cause(read(&lycoris(&[(key, removed())])), |e| {
            matches!(e, E::Module(ModuleError::HalfMissing { module, present: p, missing: m })
                if module == "lycoris_m" && *p == present && *m == missing)
        });
    }
    let halves = [("lycoris_m.lokr_w1", removed()), ("lycoris_m.lokr_w1_a", tensor(&[2, 2]))];
    cause(read(&lycoris(&halves)), |e| matches!(e, E::Module(ModuleError::HalfMissing { missing: "lokr_w1_b", .. })));
    let core = [
        ("lycoris_m.lokr_w2_a", removed()),
        ("lycoris_m.lokr_w2_b", removed()),
        ("lycoris_m.lokr_t2", tensor(&[2, 2, 3, 3])),
    ];
    cause(read(&lycoris(&core)), |e| matches!(e, E::Module(ModuleError::HalfMissing { present: "lokr_t2", .. })));
}

// A factor missing in both forms.
#[test]
fn factor_missing() {
    cause(
        read(&lycoris(&[("lycoris_m.lokr_w1", removed())])),
        |e| matches!(e, E::Module(ModuleError::FactorMissing { module, factor: "lokr_w1" }) if module == "lycoris_m"),
    );
    let none = [("lycoris_m.lokr_w2_a", removed()), ("lycoris_m.lokr_w2_b", removed())];
    cause(read(&lycoris(&none)), |e| matches!(e, E::Module(ModuleError::FactorMissing { factor: "lokr_w2", .. })));
}

// A factor in both forms.
#[test]
fn factor_twice() {
    cause(read(&lycoris(&[("lycoris_m.lokr_w2", tensor(&[3, 2]))])), |e| {
        matches!(e, E::Module(ModuleError::FactorTwice { factor: "lokr_w2", half: "lokr_w2_a", .. }))
    });
    cause(read(&lycoris(&[("lycoris_m.lokr_w1_b", tensor(&[2, 5]))])), |e| {
        matches!(e, E::Module(ModuleError::FactorTwice { factor: "lokr_w1", half: "lokr_w1_b", .. }))
    });
    let core = [
        ("lycoris_m.lokr_w2_a", removed()),
        ("lycoris_m.lokr_w2_b", removed()),
        ("lycoris_m.lokr_w2", tensor(&[3, 2, 3, 3])),
        ("lycoris_m.lokr_t2", tensor(&[2, 2, 3, 3])),
    ];
    cause(read(&lycoris(&core)), |e| matches!(e, E::Module(ModuleError::FactorTwice { half: "lokr_t2", .. })));
}

// Inner ranks differ.
#[test]
fn inner_rank() {
    cause(read(&lycoris(&[("lycoris_m.lokr_w2_b", tensor(&[3, 2]))])), |e| {
        matches!(
            e,
            E::Module(ModuleError::InnerRank {
                first: "lokr_w2_a",
                first_rank: 2,
                second: "lokr_w2_b",
                second_rank: 3,
                ..
            })
        )
    });
    let both = [
        ("lycoris_m.lokr_w1", removed()),
        ("lycoris_m.lokr_w1_a", tensor(&[2, 3])),
        ("lycoris_m.lokr_w1_b", tensor(&[3, 5])),
    ];
    cause(read(&lycoris(&both)), |e| {
        matches!(e, E::Module(ModuleError::InnerRank { first: "lokr_w1_b", second: "lokr_w2_b", .. }))
    });
}

// t2 not (r, r, k…), its kernel not the base's, t2 on a linear layer.
#[test]
fn tucker_core() {
    let tucker = |core: &[usize]| W2::Tucker { core: tensor(core), a: tensor(&[2, 3]), b: tensor(&[2, 4]) };
    unfit(
        &[2, 5],
        tucker(&[2, 3, 3, 3]),
        &[6, 20, 3, 3],
        |e| matches!(e, E::Module(ModuleError::TuckerCore { rank: 2, found, .. }) if *found == [2, 3, 3, 3]),
    );
    unfit(
        &[2, 5],
        tucker(&[2, 2, 3, 3]),
        &[6, 20, 3, 5],
        |e| matches!(e, E::Module(ModuleError::Kernel { key: "lokr_t2", expected, found, .. }) if *expected == [3, 5] && *found == [3, 3]),
    );
    unfit(&[2, 5], tucker(&[2, 2, 3]), &[6, 20], |e| matches!(e, E::Module(ModuleError::TuckerOnLinear { .. })));
    let half = [("lycoris_m.lokr_t2", tensor(&[2, 2]))];
    cause(read(&lycoris(&half)), |e| matches!(e, E::Module(ModuleError::Axes { key: "lokr_t2", .. })));
    // PEFT's conv1d cores have a trailing axis.
    Module::new("m", W1::Full(tensor(&[2, 5])), tucker(&[2, 2, 3, 1]), 1.0).unwrap().check_weight(&[6, 20, 3]).unwrap();
}

// m·p ≠ out or n·q ≠ in, with a hint where a fused weight fits.
#[test]
fn weight_shape() {
    let w2 = || W2::Full(tensor(&[3, 2]));
    unfit(&[2, 5], w2(), &[7, 10], |e| {
        matches!(e, E::Module(ModuleError::WeightShape { expected: (7, 10), found: (6, 10), hint: "", .. }))
    });
    unfit(&[2, 5], w2(), &[6, 11], |e| matches!(e, E::Module(ModuleError::WeightShape { .. })));
    unfit(
        &[2, 5],
        w2(),
        &[2, 10],
        |e| matches!(e, E::Module(ModuleError::WeightShape { hint, .. }) if hint.contains("adapter is of a fused")),
    );
    unfit(
        &[2, 5],
        w2(),
        &[18, 10],
        |e| matches!(e, E::Module(ModuleError::WeightShape { hint, .. }) if hint.contains("base weight is fused")),
    );
    unfit(
        &[2, 5],
        w2(),
        &[10, 6],
        |e| matches!(e, E::Module(ModuleError::WeightShape { hint, .. }) if hint.contains("transposed")),
    );
    // A flat low-rank w2 whose columns fit in number but not in whole kernels.
    let flat = W2::LowRank { a: tensor(&[3, 1]), b: tensor(&[1, 6]) };
    unfit(
        &[2, 2],
        flat,
        &[6, 3, 4],
        |e| matches!(e, E::Module(ModuleError::WeightShape { hint, .. }) if hint.contains("whole kernels")),
    );
}

// w1 not 2-D, w2 of another rank than the base, a kernel that differs.
#[test]
fn axes() {
    cause(
        Module::new("m", W1::Full(tensor(&[2, 5, 1])), W2::Full(tensor(&[3, 2])), 1.0),
        |e| matches!(e, E::Module(ModuleError::Axes { key: "lokr_w1", found, .. }) if *found == [2, 5, 1]),
    );
    cause(Module::new("m", W1::Full(tensor(&[2])), W2::Full(tensor(&[3, 2])), 1.0), |e| {
        matches!(e, E::Module(ModuleError::Axes { .. }))
    });
    unfit(&[2, 5], W2::Full(tensor(&[3, 2, 3, 3])), &[6, 10, 3], |e| {
        matches!(e, E::Module(ModuleError::Axes { key: "lokr_w2", .. }))
    });
    unfit(&[2, 5], W2::Full(tensor(&[3, 2])), &[6, 10, 3, 3], |e| {
        matches!(e, E::Module(ModuleError::WeightShape { expected: (6, 90), .. }))
    });
    unfit(&[2, 5], W2::Full(tensor(&[3, 2])), &[6], |e| {
        matches!(e, E::Module(ModuleError::Axes { key: "weight", .. }))
    });
    unfit(&[2, 5], W2::Full(tensor(&[3, 2, 3, 3])), &[6, 10, 3, 1], |e| {
        matches!(e, E::Module(ModuleError::Kernel { key: "lokr_w2", .. }))
    });
    let nd = W2::LowRank { a: tensor(&[3, 2]), b: tensor(&[2, 2, 3, 3]) };
    unfit(&[2, 5], nd, &[6, 10, 9, 1], |e| matches!(e, E::Module(ModuleError::Kernel { key: "lokr_w2_b", .. })));
}

#[test]
fn one_by_one_convolutions_may_be_stored_as_matrices() {
    let module = |shape: &[usize]| Module::new("m", W1::Full(tensor(&[2, 5])), W2::Full(tensor(shape)), 0.5).unwrap();
    let flat = module(&[3, 2]).delta::<f64>(&[6, 10, 1, 1], 0.5).unwrap();
    assert_eq!(flat, module(&[3, 2, 1, 1]).delta::<f64>(&[6, 10, 1, 1], 0.5).unwrap());
}

// A zero dimension.
#[test]
fn zero_axis() {
    cause(
        read(&lycoris(&[("lycoris_m.lokr_w2_b", tensor(&[2, 0]))])),
        |e| matches!(e, E::Module(ModuleError::ZeroAxis { key: "lokr_w2_b", found, .. }) if *found == [2, 0]),
    );
    cause(read(&lycoris(&[("lycoris_m.dora_scale", tensor(&[0, 1]))])), |e| {
        matches!(e, E::Module(ModuleError::ZeroAxis { .. }))
    });
}

// NaN or Inf in a factor or dora_scale: the count, and a flag to allow it.
#[test]
fn non_finite() {
    for key in ["lycoris_m.lokr_w1", "lycoris_m.dora_scale"] {
        let bad = lycoris(&[(key, filled(&[2, 5], f64::NAN))]);
        cause(read(&bad), |e| matches!(e, E::Module(ModuleError::NonFinite { count: 10, .. })));
        let options = ReadOptions { non_finite: NonFinite::Allow, ..ReadOptions::default() };
        assert!(read_with(&bad, &options).is_ok());
    }
    let infinite = lycoris(&[("lycoris_m.lokr_w2_a", filled(&[3, 2], f64::INFINITY))]);
    cause(read(&infinite), |e| matches!(e, E::Module(ModuleError::NonFinite { key: "lokr_w2_a", count: 6, .. })));
}

fn full(alpha: f64) -> Vec<(&'static str, Tensor)> {
    vec![
        ("lycoris_m.alpha", filled(&[], alpha)),
        ("lycoris_m.lokr_w1", tensor(&[2, 5])),
        ("lycoris_m.lokr_w2", tensor(&[3, 2])),
    ]
}

// alpha NaN, or Inf with a low-rank factor; negative only warns.
#[test]
fn alpha_not_finite() {
    for alpha in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let bad = lycoris(&[("lycoris_m.alpha", filled(&[], alpha))]);
        cause(
            read(&bad),
            |e| matches!(e, E::Module(ModuleError::AlphaNotFinite { module, .. }) if module == "lycoris_m"),
        );
    }
    for alpha in [f64::NAN, f64::NEG_INFINITY] {
        cause(read(&full(alpha)), |e| matches!(e, E::Module(ModuleError::AlphaNotFinite { .. })));
    }
    let adapter = read(&lycoris(&[("lycoris_m.alpha", filled(&[1], -1.0))])).unwrap();
    assert_eq!(adapter.modules()["lycoris_m"].scale(), Some(-0.5));
    assert!(matches!(adapter.warnings(), [Warning::AlphaNegative { alpha: -1.0, .. }]));
}

#[test]
fn placeholder_alphas_of_full_factors_mean_scale_1() {
    for alpha in [1e10, 9_999_220_736.0, f64::INFINITY, 99_840.0, 16.0, 0.0] {
        let adapter = read(&full(alpha)).unwrap();
        assert_eq!(adapter.modules()["lycoris_m"].scale(), Some(1.0), "{alpha}");
        assert!(adapter.warnings().is_empty(), "{alpha}: {:?}", adapter.warnings());
    }
}

// A both-full alpha that is not the stated rank: ComfyUI issue 15114.
#[test]
fn an_ignored_alpha_that_is_not_the_rank_is_told() {
    let folder = Folder::new();
    let read = |alpha: f64, metadata: &[(&str, &str)]| {
        Adapter::read(folder.tensors_with("a.safetensors", &full(alpha), metadata), &ReadOptions::default()).unwrap()
    };
    let adapter = read(1.0, &[("ss_network_dim", "32")]);
    assert!(matches!(adapter.warnings(), [Warning::AlphaIgnored { alpha: 1.0, network_dim: Some(32.0), .. }]));
    assert!(read(32.0, &[("ss_network_dim", "32")]).warnings().is_empty());
    assert!(read(9_999_220_736.0, &[("ss_network_dim", "9999999999")]).warnings().is_empty());
    assert!(read(4.0, &[("ss_network_dim", "32"), ("ss_network_args", r#"{"conv_dim": "4"}"#)]).warnings().is_empty());
    let adapter = read(18.52, &[]);
    assert!(matches!(adapter.warnings(), [Warning::AlphaIgnored { network_dim: None, .. }]));
    assert!(adapter.warnings()[0].to_string().contains("lycoris_m"));
}

// alpha 0 is an error unless the user chooses; absent is scale 1 with a note.
#[test]
fn alpha_zero_or_absent() {
    let zero = lycoris(&[("lycoris_m.alpha", filled(&[], 0.0))]);
    cause(read(&zero), |e| matches!(e, E::Module(ModuleError::AlphaZero { module }) if module == "lycoris_m"));
    for (choice, scale) in [(ZeroAlpha::Rank, 1.0), (ZeroAlpha::Zero, 0.0)] {
        let adapter = read_with(&zero, &ReadOptions { zero_alpha: choice, ..ReadOptions::default() }).unwrap();
        assert_eq!(adapter.modules()["lycoris_m"].scale(), Some(scale));
    }
    let adapter = read(&lycoris(&[("lycoris_m.alpha", removed())])).unwrap();
    assert_eq!(adapter.modules()["lycoris_m"].scale(), Some(1.0));
    assert!(matches!(adapter.warnings(), [Warning::AlphaAbsent { .. }]));
}

#[test]
fn an_alpha_has_one_element_of_any_shape() {
    for shape in [&[][..], &[1], &[1, 1]] {
        let adapter = read(&lycoris(&[("lycoris_m.alpha", filled(shape, 6.0))])).unwrap();
        assert_eq!(adapter.modules()["lycoris_m"].scale(), Some(3.0));
    }
    cause(read(&lycoris(&[("lycoris_m.alpha", filled(&[2], 6.0))])), |e| {
        matches!(e, E::Module(ModuleError::Axes { key: "alpha", .. }))
    });
    let integer = Tensor::new("alpha", Dtype::I64, vec![], 6i64.to_le_bytes().to_vec()).unwrap();
    assert_eq!(read(&lycoris(&[("lycoris_m.alpha", integer)])).unwrap().modules()["lycoris_m"].alpha(), Some(6.0));
}

// dora_scale matches neither axis, or is 1-D with out = in.
#[test]
fn dora_shape() {
    let module = |shape: &[usize], w1: &[usize]| {
        let module = Module::new("m", W1::Full(tensor(w1)), W2::Full(tensor(&[3, 2])), 1.0).unwrap();
        module.with_dora_scale(tensor(shape)).unwrap()
    };
    for shape in [&[5, 1][..], &[1, 6], &[6, 10], &[7], &[1]] {
        cause(
            module(shape, &[2, 5]).check_weight(&[6, 10]),
            |e| matches!(e, E::Module(ModuleError::DoraShape { found, problem, .. }) if found == shape && problem.contains("neither")),
        );
    }
    cause(
        module(&[6], &[2, 3]).check_weight(&[6, 6]),
        |e| matches!(e, E::Module(ModuleError::DoraShape { problem, .. }) if problem.contains("either")),
    );
    module(&[6], &[2, 5]).check_weight(&[6, 10]).unwrap();
}

// Factor types other than f32, f16, bf16, f64 and the two of eight bits.
#[test]
fn tensor_dtype() {
    for (dtype, bytes) in [
        (Dtype::I8, 10),
        (Dtype::U8, 10),
        (Dtype::BOOL, 10),
        (Dtype::I32, 40),
        (Dtype::I64, 80),
        (Dtype::F8_E8M0, 10),
        (Dtype::F8_E4M3FNUZ, 10),
        (Dtype::F4, 5),
    ] {
        cause(
            read(&lycoris(&[("lycoris_m.lokr_w1", raw(dtype, &[2, 5], bytes))])),
            |e| matches!(e, E::File(FileError::TensorDtype { key, dtype: d }) if key == "lycoris_m.lokr_w1" && *d == dtype),
        );
    }
    for dtype in [Dtype::F6_E2M3, Dtype::F6_E3M2] {
        let six_bits = raw(dtype, &[2, 4], 6);
        cause(read(&lycoris(&[("lycoris_m.lokr_w1", six_bits)])), |e| {
            matches!(e, E::File(FileError::TensorDtype { .. }))
        });
    }
    for dtype in [FloatType::F16, FloatType::Bf16, FloatType::F32, FloatType::F64] {
        assert!(read(&lycoris(&[("lycoris_m.lokr_w1", typed(&[2, 5], dtype))])).is_ok());
    }
}

// Merging half types: sums in f32, rounded once.
#[test]
fn half_weights_are_rounded_once() {
    // The scale 1/3 and the factors leave products that need more bits than bf16 has.
    let module = Module::new("m", W1::Full(tensor(&[2, 5])), W2::Full(tensor(&[3, 2])), 1.0 / 3.0).unwrap();
    for dtype in [FloatType::F16, FloatType::Bf16] {
        let stored = typed(&[6, 10], dtype);
        let mut single = stored.to_array::<f32>("w").unwrap();
        let mut exact = stored.to_array::<f64>("w").unwrap();
        module.merge_into(&mut single, &Strength::default()).unwrap();
        module.merge_into(&mut exact, &Strength::default()).unwrap();
        let (single, exact) = (Tensor::from_array(&single, dtype), Tensor::from_array(&exact, dtype));
        assert_eq!(single.bytes(), exact.bytes(), "{dtype:?}");
    }
}

// A failed merge leaves the weight as it was.
#[test]
fn a_refused_merge_changes_nothing() {
    let module = Module::new("m", W1::Full(tensor(&[2, 5])), W2::Full(tensor(&[3, 2])), 1.0).unwrap();
    let mut weight = ArrayD::<f64>::from_elem(vec![6, 9], 0.25);
    assert!(module.merge_into(&mut weight, &Strength::default()).is_err());
    assert!(weight.iter().all(|&w| w == 0.25));
}
