//! Verifying merged models.

use std::ops::ControlFlow;

use crate::support::Case;
use crate::support::build::{Folder, base, lycoris, read, tensor, typed};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError, Expectation, FloatType, JobError, MergeOptions, ReadOptions, ScaleRule,
    Strength, Verdict, VerifyOptions, VerifyReport, merge, verify,
};

fn check(base: &BaseModel, adapter: &Adapter, merged: &BaseModel, tolerance: f64) -> VerifyReport {
    let options = VerifyOptions { tolerance, ..VerifyOptions::default() };
    verify(base, &[(adapter, Strength::default())], merged, &options, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// PEFT's merges match; LyCORIS's match where the scale is 1, and elsewhere show the scale as the share.
#[test]
fn recorded_merges_are_recognised() {
    let (mut matches, mut squares) = (0, 0);
    for case in Case::all() {
        if case.name() == "lycoris_linear_rs_lora_full_matrix" || case.multiplier() != 1.0 {
            continue;
        }
        let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
        let open = |name: &str| BaseModel::open(case.folder.join(format!("{name}.safetensors"))).unwrap();
        let report = check(&open("base"), &adapter, &open("merged"), 8.0);
        assert_eq!((report.missing.len(), report.extra.len()), (0, 0));
        if case.is_peft() || !case.has("effective") {
            assert_eq!(report.verdict, Verdict::Match, "{}: {report:?}", case.name());
            matches += 1;
        }
        for tensor in report.tensors.iter().filter(|tensor| tensor.verdict == Verdict::Mismatch) {
            assert_eq!(tensor.expected, Expectation::Adapted);
            let layer = tensor.name.strip_suffix(".weight").unwrap();
            let target = case.targets().iter().find(|target| target["module"] == layer).unwrap();
            let scale = target["forward_scale"].as_f64().unwrap();
            let dora = adapter.modules().values().any(|module| module.dora_scale().is_some());
            if !dora && target["live_scalar"] == 1.0 {
                assert!((tensor.share.unwrap() / scale - 1.0).abs() < 0.02, "{}: {tensor:?} {scale}", case.name());
                squares += 1;
            }
        }
    }
    assert!(matches > 20 && squares > 8, "{matches} {squares}");
}

#[test]
fn differences_are_found_and_named() {
    let folder = Folder::new();
    let model =
        base(&folder, &[("m.weight", typed(&[6, 10], FloatType::Bf16)), ("a", tensor(&[3])), ("b", tensor(&[2]))]);
    let adapter = read(&lycoris(&[])).unwrap();
    let out = folder.path("out.safetensors");
    let merge = |strength| {
        let _ = std::fs::remove_file(&out);
        let adapters = [(&adapter, strength)];
        merge(&model, &adapters, &out, &MergeOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap();
        check(&model, &adapter, &BaseModel::open(&out).unwrap(), 1.0)
    };
    let good = merge(Strength::default());
    assert_eq!(good.verdict, Verdict::Match);
    let weight = good.tensors.iter().find(|tensor| tensor.name == "m.weight").unwrap();
    assert!(weight.relative_error > 0.0 && (weight.share.unwrap() - 1.0).abs() < 0.01, "{weight:?}");

    let doubled = merge(Strength { scale: ScaleRule::Fixed(4.0), ..Strength::default() });
    let weight = doubled.tensors.iter().find(|tensor| tensor.name == "m.weight").unwrap();
    assert_eq!((doubled.verdict, weight.verdict), (Verdict::Mismatch, Verdict::Mismatch));
    assert!((weight.share.unwrap() - 2.0).abs() < 0.01 && weight.wrong > 50, "{weight:?}");

    let unmerged = check(&model, &adapter, &model, 1.0);
    let weight = unmerged.tensors.iter().find(|tensor| tensor.name == "m.weight").unwrap();
    assert!(weight.verdict == Verdict::Mismatch && weight.share.unwrap().abs() < 0.01);

    let other = Folder::new();
    let changed = base(&other, &[("m.weight", tensor(&[10, 6])), ("a", tensor(&[3])), ("c", tensor(&[2]))]);
    let report = check(&model, &adapter, &changed, 1.0);
    assert_eq!((report.missing, report.extra), (vec!["b".to_owned()], vec!["c".to_owned()]));
    assert_eq!(report.tensors[1].wrong, 60);
    assert_eq!(report.verdict, Verdict::Mismatch);
}

#[test]
fn a_tolerance_that_is_no_number_is_refused() {
    let folder = Folder::new();
    let (model, adapter) = (base(&folder, &[("m.weight", tensor(&[6, 10]))]), read(&lycoris(&[])).unwrap());
    for tolerance in [f64::NAN, f64::INFINITY, -1.0] {
        let options = VerifyOptions { tolerance, ..VerifyOptions::default() };
        let adapters = [(&adapter, Strength::default())];
        let error = verify(&model, &adapters, &model, &options, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert!(matches!(error, CheckpointError::Job(JobError::Option { option: "tolerance", .. })), "{error}");
    }
}
