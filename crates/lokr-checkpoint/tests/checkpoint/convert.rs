//! Conversion of the recorded adapters between dialects, through files, against the weights they stand for.

use crate::support::Case;
use crate::support::build::{Folder, cause, tensor};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, ConfigError, ConvertOptions, Dialect, FileError, FloatType, Module,
    ModuleError, NameError, OutputError, Overwrite, ReadOptions, ScaleRule, Strength, Unmatched, W1, W2, Warning,
};
use ndarray::ArrayD;

fn base(case: &Case) -> BaseModel {
    BaseModel::open(case.folder.join("base.safetensors")).unwrap()
}

fn read(case: &Case) -> Adapter {
    Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap()
}

/// Written and read again.
fn through_disk(adapter: &Adapter) -> Adapter {
    let folder = Folder::new();
    let path = folder.path("adapter.safetensors");
    adapter.write(&path, Overwrite::Refuse).unwrap();
    let back = Adapter::read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(back.dialect(), adapter.dialect());
    // The same bytes again.
    adapter.write(folder.path("again"), Overwrite::Refuse).unwrap();
    let files = if adapter.dialect() == Dialect::Peft {
        vec!["/adapter_config.json", "/adapter_model.safetensors"]
    } else {
        vec![""]
    };
    for file in files {
        let bytes = |path: &std::path::Path| std::fs::read(format!("{}{file}", path.display())).unwrap();
        assert_eq!(bytes(&path), bytes(&folder.path("again")));
    }
    back
}

/// The adapted weights by name, in f64.
fn weights(adapter: &Adapter, base: &BaseModel) -> Vec<(String, ArrayD<f64>)> {
    let resolution = adapter.resolve(base, Unmatched::Refuse).unwrap();
    let mut weights: Vec<_> = resolution
        .targets()
        .map(|(module, target)| {
            let mut weight = base.weight::<f64>(target).unwrap();
            adapter.modules()[module].merge_into(&mut weight, &Strength::default()).unwrap();
            (target.to_owned(), weight)
        })
        .collect();
    weights.sort_by(|a, b| a.0.cmp(&b.0));
    weights
}

fn assert_same(what: &str, case: &Case, got: &[(String, ArrayD<f64>)], expected: &[(String, ArrayD<f64>)], eps: f64) {
    assert_eq!(got.len(), expected.len(), "{what} {}", case.name());
    for ((name, got), (expected_name, expected)) in got.iter().zip(expected) {
        assert_eq!(name, expected_name);
        let magnitude = expected.iter().fold(1f64, |max, x| max.max(x.abs()));
        let difference = (got - expected).iter().fold(0f64, |max, x| max.max(x.abs()));
        assert!(difference <= eps * magnitude, "{what} {} {name}: {difference}", case.name());
    }
}

/// One rounding of the first factor, where the scale goes into it.
fn tolerance(case: &Case) -> f64 {
    match case.json["dtype"].as_str() {
        Some("bf16") => 0.01,
        Some("f16") => 0.002,
        _ => 4.0 * f64::from(f32::EPSILON),
    }
}

#[test]
fn every_adapter_is_written_and_read_in_its_own_dialect_with_the_same_effect() {
    for case in Case::all() {
        let (adapter, base) = (read(&case), base(&case));
        let back = through_disk(&adapter);
        assert_eq!(back.prefix(), adapter.prefix());
        assert_eq!(back.modules().keys().collect::<Vec<_>>(), adapter.modules().keys().collect::<Vec<_>>());
        for (name, module) in adapter.modules() {
            assert_eq!(back.modules()[name].scale(), module.scale(), "{}", case.name());
        }
        assert_same("own", &case, &weights(&back, &base), &weights(&adapter, &base), 0.0);
        if let Some(config) = adapter.config() {
            assert_eq!(back.config().unwrap().fields(), config.fields());
        }
        for (key, text) in adapter.metadata() {
            assert_eq!(&back.metadata()[key], text);
        }
    }
}

#[test]
fn peft_adapters_become_those_of_every_dialect_and_come_back() {
    let mut converted = 0;
    for case in Case::all().into_iter().filter(Case::is_peft) {
        let (adapter, base) = (read(&case), base(&case));
        let expected = weights(&adapter, &base);
        for dialect in [Dialect::Lycoris, Dialect::Kohya, Dialect::Dotted] {
            let result = adapter.convert(&ConvertOptions::to(dialect), Some(&base));
            if case.name() == "peft_conv1d_full_w2" {
                cause(
                    result,
                    |e| matches!(e, E::Module(ModuleError::NotKronecker { module }) if module == "tcn" || module.contains("tcn")),
                );
                continue;
            }
            let there = through_disk(&result.unwrap().adapter);
            assert_same("there", &case, &weights(&there, &base), &expected, tolerance(&case));
            let back = there.convert(&ConvertOptions::to(Dialect::Peft), Some(&base)).unwrap().adapter;
            let back = through_disk(&back);
            assert_same("back", &case, &weights(&back, &base), &expected, tolerance(&case));
            for (name, module) in adapter.modules() {
                let shapes = |module: &Module| {
                    module.tensors().iter().map(|(key, t)| (*key, t.shape().to_vec())).collect::<Vec<_>>()
                };
                assert_eq!(shapes(&back.modules()[name]), shapes(module), "{}", case.name());
            }
            converted += 1;
        }
    }
    assert!(converted > 50);
}

#[test]
fn lycoris_and_kohya_adapters_become_pefts_unless_it_has_no_place_for_them() {
    let mut refused = Vec::new();
    for case in Case::all().into_iter().filter(|case| !case.is_peft()) {
        let (adapter, base) = (read(&case), base(&case));
        let expected = weights(&adapter, &base);
        match adapter.convert(&ConvertOptions::to(Dialect::Peft), Some(&base)) {
            Ok(conversion) => {
                let there = through_disk(&conversion.adapter);
                assert_same("there", &case, &weights(&there, &base), &expected, tolerance(&case));
                let back = there.convert(&ConvertOptions::to(adapter.dialect()), Some(&base)).unwrap().adapter;
                let back = through_disk(&back);
                assert_same("back", &case, &weights(&back, &base), &expected, tolerance(&case));
            }
            Err(error) => {
                assert!(
                    matches!(
                        error.cause(),
                        E::Module(ModuleError::CannotHold { dialect: Dialect::Peft, .. })
                            | E::Config(ConfigError::Factors { .. })
                    ),
                    "{}: {error}",
                    case.name()
                );
                refused.push(case.name().to_owned());
            }
        }
        for dialect in [Dialect::Lycoris, Dialect::Kohya, Dialect::Dotted] {
            let there = adapter.convert(&ConvertOptions::to(dialect), Some(&base)).unwrap().adapter;
            assert_same("other", &case, &weights(&through_disk(&there), &base), &expected, tolerance(&case));
        }
    }
    for name in refused.iter().filter(|name| !name.contains("dora")) {
        eprintln!("PEFT cannot hold {name}");
    }
    assert!(refused.iter().filter(|name| name.contains("dora")).count() >= 6, "{refused:?}");
    assert!(refused.len() <= 14, "{refused:?}");
}

fn full(name: &str, scale: f64) -> Module {
    Module::new(name, W1::Full(tensor(&[2, 5])), W2::Full(tensor(&[3, 2])), scale).unwrap()
}

#[test]
fn a_scale_that_has_no_place_goes_into_the_first_factor_with_a_warning() {
    let adapter = Adapter::from_modules(Dialect::Lycoris, [full("a.b", 0.5)]).unwrap();
    assert_eq!(adapter.warnings(), [Warning::ScaleFolded { module: "lycoris_a_b".to_owned(), scale: 0.5 }]);
    let module = &adapter.modules()["lycoris_a_b"];
    let delta = module.delta::<f64>(&[6, 10], module.scale().unwrap()).unwrap();
    assert_eq!(delta, full("a.b", 0.5).delta::<f64>(&[6, 10], 0.5).unwrap());
    // PEFT has a place for it.
    let adapter = Adapter::from_modules(Dialect::Peft, [full("a.b", 0.5), full("c", 2.0)]).unwrap();
    assert!(adapter.warnings().is_empty());
    let back = through_disk(&adapter);
    assert_eq!((back.modules()["a.b"].scale(), back.modules()["c"].scale()), (Some(0.5), Some(2.0)));
}

#[test]
fn a_scale_of_zero_is_not_written_as_an_alpha_of_zero() {
    let w2 = W2::LowRank { a: tensor(&[9, 2]), b: tensor(&[2, 2]) };
    let module = Module::new("m", W1::Full(tensor(&[2, 5])), w2, 0.0).unwrap();
    let back = through_disk(&Adapter::from_modules(Dialect::Dotted, [module]).unwrap());
    let module = &back.modules()["diffusion_model.m"];
    assert_eq!((module.alpha(), module.scale()), (Some(2.0), Some(1.0)));
    assert!(module.delta::<f64>(&[18, 10], 1.0).unwrap().iter().all(|x| *x == 0.0));
}

#[test]
fn scales_that_are_no_numbers_are_refused() {
    cause(
        Adapter::from_modules(Dialect::Peft, [full("m", f64::NAN)]),
        |e| matches!(e, E::Module(ModuleError::AlphaNotFinite { module, .. }) if module == "m"),
    );
}

#[test]
fn paths_that_become_one_name_are_refused() {
    let modules = || [full("a.b_c", 1.0), full("a_b.c", 1.0)];
    cause(
        Adapter::from_modules(Dialect::Lycoris, modules()),
        |e| matches!(e, E::Name(NameError::DuplicateTarget { target, .. }) if target == "lycoris_a_b_c"),
    );
    assert!(Adapter::from_modules(Dialect::Peft, modules()).is_ok());
}

#[test]
fn no_modules_are_no_adapter() {
    cause(Adapter::from_modules(Dialect::Peft, []), |e| matches!(e, E::Name(NameError::NotLokr)));
}

#[test]
fn factors_that_peft_would_not_make_are_refused() {
    // 6 = 2·3 and 10 = 2·5 is how PEFT splits, for any factor that leaves w1 at (2, ·).
    let odd = Module::new("m", W1::Full(tensor(&[3, 2])), W2::Full(tensor(&[2, 5])), 1.0).unwrap();
    let odder = Module::new("n", W1::Full(tensor(&[2, 5])), W2::Full(tensor(&[3, 2])), 1.0).unwrap();
    cause(Adapter::from_modules(Dialect::Peft, [odd, odder]), |e| matches!(e, E::Config(ConfigError::Factors { .. })));
}

#[test]
fn underscored_names_need_the_base_model() {
    let case = Case::load("lycoris_linear_lowrank");
    for dialect in [Dialect::Peft, Dialect::Dotted] {
        cause(read(&case).convert(&ConvertOptions::to(dialect), None), |e| {
            matches!(e, E::Name(NameError::BaseNeeded { .. }))
        });
    }
    let kohya = read(&case).convert(&ConvertOptions::to(Dialect::Kohya), None).unwrap().adapter;
    assert_eq!(kohya.modules().keys().collect::<Vec<_>>(), ["lora_unet_attn_q_proj"]);
    assert_same("kohya", &case, &weights(&kohya, &base(&case)), &weights(&read(&case), &base(&case)), 0.0);
}

#[test]
fn a_change_of_type_says_what_it_cost_and_refuses_to_overflow() {
    let case = Case::load("peft_linear_lowrank_w2");
    let options = ConvertOptions { dtype: Some(FloatType::Bf16), ..ConvertOptions::to(Dialect::Peft) };
    let conversion = read(&case).convert(&options, None).unwrap();
    assert_eq!(conversion.roundings.len(), 3);
    assert!(conversion.roundings.iter().all(|r| r.relative_error > 1e-4 && r.relative_error < 1.0 / 256.0));
    assert_same("bf16", &case, &weights(&conversion.adapter, &base(&case)), &weights(&read(&case), &base(&case)), 0.02);
    let wide = ConvertOptions { dtype: Some(FloatType::F64), ..ConvertOptions::to(Dialect::Peft) };
    assert!(read(&case).convert(&wide, None).unwrap().roundings.is_empty());

    let large = Module::new("m", W1::Full(crate::support::build::filled(&[2, 5], 1e6)), W2::Full(tensor(&[3, 2])), 1.0);
    let adapter = Adapter::from_modules(Dialect::Peft, [large.unwrap()]).unwrap();
    let half = ConvertOptions { dtype: Some(FloatType::F16), ..ConvertOptions::to(Dialect::Peft) };
    cause(
        adapter.convert(&half, None),
        |e| matches!(e, E::File(FileError::OutOfRange { key, count: 10, too_large: true, .. }) if key == "m.lokr_w1"),
    );
}

#[test]
fn whole_tensors_stay_with_peft() {
    let folder = Folder::new();
    let more = [("base_model.model.head.weight", tensor(&[3, 4]))];
    let config = r#"{"peft_type": "LOKR", "r": 2, "alpha": 4, "modules_to_save": ["head"], "mine": {"x": 1}}"#;
    let adapter = crate::support::build::peft(&folder, config, &more).unwrap();
    cause(
        adapter.convert(&ConvertOptions::to(Dialect::Lycoris), None),
        |e| matches!(e, E::Module(ModuleError::CannotHold { module, .. }) if module == "head.weight"),
    );
    let back = through_disk(&adapter);
    assert_eq!(back.modules_to_save()["head.weight"].bytes(), adapter.modules_to_save()["head.weight"].bytes());
    assert_eq!(back.config().unwrap().fields()["mine"]["x"], 1);
}

#[test]
fn the_scale_can_be_said() {
    let case = Case::load("lycoris_linear_rs_lora_full_matrix");
    let options = ConvertOptions { scale: ScaleRule::Fixed(7f64.sqrt()), ..ConvertOptions::to(Dialect::Peft) };
    let adapter = read(&case).convert(&options, Some(&base(&case))).unwrap().adapter;
    let s = adapter.modules()["ff.up"].scale().unwrap();
    assert!((s - 7f64.sqrt()).abs() < 1e-12);
}

#[test]
fn an_output_that_is_there_is_replaced_only_when_asked_for() {
    let folder = Folder::new();
    let path = folder.write("out.safetensors", "old");
    let adapter = Adapter::from_modules(Dialect::Lycoris, [full("m", 1.0)]).unwrap();
    cause(adapter.write(&path, Overwrite::Refuse), |e| matches!(e, E::Output(OutputError::Exists)));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    adapter.write(&path, Overwrite::Replace).unwrap();
    assert!(Adapter::read(&path, &ReadOptions::default()).is_ok());
}
