//! The adapters of a whole network: saved in every dialect, loaded into a network made anew.

use crate::support::build::{Folder, cause};
use lokr_checkpoint::{
    Adapter, CheckpointError as E, Dialect, FloatType, JobError, LoadOptions, ModuleError, NameError, ReadOptions,
    SaveOptions, Unmatched, Updates, load_adapters, save_adapters,
};
use lokr_core::Scalar;
use lokr_layers::{
    Activation, AdaptSettings, DeltaPlacement, Dense, DoraAxis, FullyConnected, Layer, LayerError, LoKrAdapter,
    LoKrInit, LoKrSettings, LoKrUpdate, PlacedUpdate, Restore, Sequential, named_values,
};
use lokr_testing::matrix;
use ndarray::{Array1, Array2};

const DIALECTS: [Dialect; 5] = [Dialect::Peft, Dialect::Lycoris, Dialect::Kohya, Dialect::Dotted, Dialect::Terms];

/// Layers of both orientations, one of them in a network inside this one.
fn plain<T: Scalar>() -> Sequential<T> {
    let bias = |n| Array1::from_elem(n, T::from_f64_lossy(0.25));
    let mut inner = Sequential::empty();
    inner.push_named("v", Dense::from_arrays(matrix(15, 8, 2), bias(8), Activation::Tanh).unwrap()).unwrap();
    let mut network = Sequential::empty();
    network
        .push_named("blocks.0.q", FullyConnected::from_arrays(matrix(15, 12, 1), bias(15), Activation::Silu).unwrap())
        .unwrap()
        .push_named("blocks.1", inner)
        .unwrap()
        .push_named("head", Dense::from_arrays(matrix(8, 3, 3), bias(3), Activation::Identity).unwrap())
        .unwrap();
    network
}

fn settings<T: Scalar>() -> LoKrSettings<T> {
    LoKrSettings::new().rank(1).alpha(T::one()).init(LoKrInit::Random)
}

/// Adapted, and the head trained.
fn adapted<T: Scalar>(settings: LoKrSettings<T>) -> Sequential<T> {
    let mut network = plain();
    network.adapt(["q", "v"], AdaptSettings::from(settings).train_whole("head")).unwrap();
    network.visit_mut(&mut |_, mut values, _| values.iter_mut().for_each(|v| *v *= T::from_f64_lossy(1.5)));
    network
}

fn to(dialect: Dialect) -> SaveOptions {
    SaveOptions { whole_layers: matches!(dialect, Dialect::Peft | Dialect::Terms), ..SaveOptions::to(dialect) }
}

fn update<T: Scalar>(dim: (usize, usize), seed: u64) -> LoKrUpdate<T> {
    settings().seed(seed).update(dim).unwrap()
}

fn goes_round_the_disk<T: Scalar>() {
    let (folder, x) = (Folder::new(), matrix::<T>(5, 12, 7));
    for dialect in DIALECTS {
        let network = adapted(settings::<T>());
        let path = folder.path(&format!("{dialect}.safetensors"));
        let saved = save_adapters(&network, &path, &to(dialect)).unwrap();
        assert_eq!((saved.len(), saved[0].name.as_str(), &saved[0].path), (1, "default", &path));
        assert_eq!(saved[0].layers, ["blocks.0.q", "blocks.1.v"]);
        let mut again = plain::<T>();
        let loaded = load_adapters(&mut again, &path, &LoadOptions::default()).unwrap();
        assert_eq!(loaded.layers, saved[0].layers);
        assert_eq!(loaded.whole, saved[0].whole);
        if loaded.whole.is_empty() {
            let values = named_values(network.layer("head").unwrap()).unwrap();
            lokr_layers::load_values(again.layer_mut("head").unwrap(), &values, lokr_layers::Loading::Complete)
                .unwrap();
        }
        assert_eq!(again.predict(&x).unwrap(), network.predict(&x).unwrap(), "{dialect}");
        let merged = |network: &Sequential<T>| network.merged().unwrap().predict(&x).unwrap();
        assert_eq!(merged(&again), merged(&network), "{dialect}");
        // Into a network that is adapted already, to train on.
        let mut other = adapted(settings::<T>().seed(5).input_dropout(0.5));
        load_adapters(&mut other, &path, &LoadOptions::default()).unwrap();
        if dialect == Dialect::Peft {
            assert_eq!(other.predict(&x).unwrap(), network.predict(&x).unwrap());
            let mut states = 0;
            other.visit_random_states(&mut |_, _| states += 1);
            assert_eq!(states, 2, "the dropout stays");
        }
    }
}

#[test]
fn every_dialect_gives_the_network_back_bit_for_bit() {
    goes_round_the_disk::<f32>();
    goes_round_the_disk::<f64>();
}

#[test]
fn scalings_that_a_dialect_has_no_place_for_go_into_the_factors() {
    let (folder, x) = (Folder::new(), matrix::<f64>(5, 12, 7));
    for dialect in DIALECTS {
        let mut network = adapted(settings::<f64>().full_matrix(true).alpha(0.3).learned_scalar(true));
        network.visit_mut(&mut |name, mut values, _| {
            if name.ends_with("lokr_scalar") {
                values.fill(0.75);
            }
        });
        let path = folder.path(&dialect.to_string());
        let options = SaveOptions { whole_layers: false, ..SaveOptions::to(dialect) };
        save_adapters(&network, &path, &options).unwrap();
        let mut again = adapted(settings::<f64>());
        again.visit_mut(&mut |name, mut values, _| {
            if name.starts_with("head") {
                values.assign(&named_values(&network).unwrap()[name]);
            }
        });
        load_adapters(&mut again, &path, &LoadOptions::default()).unwrap();
        let difference = again.predict(&x).unwrap() - network.predict(&x).unwrap();
        assert!(difference.iter().all(|d| d.abs() < 1e-12), "{dialect}");
    }
}

#[test]
fn a_file_holds_one_name_and_each_name_has_its_file() {
    let (folder, x) = (Folder::new(), matrix::<f32>(5, 12, 7));
    let mut network = adapted(settings::<f32>());
    let placed = |seed| PlacedUpdate { layer: "blocks.1.v".to_owned(), update: update((8, 15), seed), placement: None };
    network.put_updates("style", vec![placed(8)]).unwrap();
    cause(
        save_adapters(&network, folder.path("none"), &SaveOptions::to(Dialect::Peft)),
        |e| matches!(e, E::Job(JobError::Option { option: "updates", found, .. }) if found.contains("style")),
    );
    let named = |name: &str| Updates::Named(name.to_owned());
    cause(
        save_adapters(&network, folder.path("none"), &SaveOptions { updates: named("styl"), ..to(Dialect::Peft) }),
        |e| matches!(e, E::Job(JobError::Option { found, .. }) if found.contains("default")),
    );
    assert!(!folder.path("none").exists());

    for dialect in DIALECTS {
        let all = folder.path(&format!("all {dialect}"));
        let saved = save_adapters(&network, &all, &SaveOptions { updates: Updates::Each, ..to(dialect) }).unwrap();
        assert_eq!(saved.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["default", "style"]);
        assert_eq!((saved[0].layers.len(), saved[1].layers.as_slice()), (2, &["blocks.1.v".to_owned()][..]));
        let one = folder.path(&format!("one {dialect}"));
        save_adapters(&network, &one, &SaveOptions { updates: named("style"), ..to(dialect) }).unwrap();
        let read = |path: &std::path::Path| Adapter::read(path, &ReadOptions::default()).unwrap();
        assert_eq!(read(&saved[1].path).modules().len(), 1);

        let mut again = plain::<f32>();
        for entry in &saved {
            let options = LoadOptions { name: entry.name.clone(), ..LoadOptions::default() };
            let loaded = load_adapters(&mut again, &entry.path, &options).unwrap();
            assert_eq!(loaded.untouched.len(), 2 - loaded.layers.len());
        }
        let values = named_values(network.layer("head").unwrap()).unwrap();
        lokr_layers::load_values(again.layer_mut("head").unwrap(), &values, lokr_layers::Loading::Complete).unwrap();
        for names in [&["default", "style"][..], &["style"], &["default"], &[]] {
            network.activate(names).unwrap();
            again.activate(names).unwrap();
            assert_eq!(again.predict(&x).unwrap(), network.predict(&x).unwrap(), "{dialect} {names:?}");
        }
        network.activate(&["default", "style"]).unwrap();

        // Alone, an update keeps its name, on a layer that was plain.
        let mut alone = plain::<f32>();
        let options = LoadOptions { name: "mine".to_owned(), ..LoadOptions::default() };
        load_adapters(&mut alone, &one, &options).unwrap();
        assert_eq!(alone.update_names(), ["mine"]);
        assert!(alone.diagnostics("blocks.1.v").unwrap().frobenius_norm > 0.0);
        save_adapters(
            &alone,
            folder.path(&format!("again {dialect}")),
            &SaveOptions { whole_layers: false, ..to(dialect) },
        )
        .unwrap();
    }
}

#[test]
fn norms_sums_and_placements_are_kept_where_there_is_a_place() {
    let (folder, x) = (Folder::new(), matrix::<f32>(5, 12, 7));
    for axis in [DoraAxis::Output, DoraAxis::Input] {
        let network = adapted(settings::<f32>().dora(axis));
        let path = folder.path(&format!("{axis:?}"));
        let lycoris = SaveOptions { whole_layers: false, ..SaveOptions::to(Dialect::Lycoris) };
        save_adapters(&network, &path, &lycoris).unwrap();
        let mut again = adapted(settings::<f32>());
        again.visit_mut(&mut |name, mut values, _| {
            if name.starts_with("head") {
                values.assign(&named_values(&network).unwrap()[name]);
            }
        });
        load_adapters(&mut again, &path, &LoadOptions::default()).unwrap();
        assert_eq!(again.predict(&x).unwrap(), network.predict(&x).unwrap());
        cause(save_adapters(&network, folder.path("none"), &SaveOptions::to(Dialect::Terms)), |e| {
            matches!(e, E::Job(JobError::Dora { .. }))
        });
        cause(save_adapters(&network, folder.path("none"), &SaveOptions::to(Dialect::Peft)), |e| {
            matches!(e, E::Module(ModuleError::CannotHold { .. }))
        });
    }

    let network = adapted(settings::<f32>().terms(12));
    let path = folder.path("sum");
    save_adapters(&network, &path, &SaveOptions::to(Dialect::Terms)).unwrap();
    let mut again = plain();
    load_adapters(&mut again, &path, &LoadOptions::default()).unwrap();
    assert_eq!(again.predict(&x).unwrap(), network.predict(&x).unwrap());
    cause(
        save_adapters(&network, folder.path("none"), &SaveOptions::to(Dialect::Lycoris)),
        |e| matches!(e, E::Job(JobError::SeveralTerms { module, .. }) if module == "blocks.0.q"),
    );

    for dialect in DIALECTS {
        let network = adapted(settings::<f32>().placement(DeltaPlacement::AfterActivation));
        let path = folder.path(&format!("after {dialect}"));
        save_adapters(&network, &path, &to(dialect)).unwrap();
        let mut again = plain();
        load_adapters(&mut again, &path, &LoadOptions::default()).unwrap();
        let of = |network: &Sequential<f32>| network.adapter("blocks.0.q").unwrap().predict(&x).unwrap();
        assert_eq!(of(&again), of(&network));
        assert_eq!(again.adapter("blocks.1.v").unwrap().placement(), DeltaPlacement::AfterActivation);
    }
}

#[test]
fn what_a_file_has_no_place_for_is_refused_and_nothing_is_written() {
    let folder = Folder::new();
    let refuse = |network: &Sequential<f32>, dialect, right: &dyn Fn(&E) -> bool| {
        cause(save_adapters(network, folder.path("none"), &SaveOptions::to(dialect)), right);
        assert!(!folder.path("none").exists());
    };
    let network = adapted(settings::<f32>());
    for dialect in [Dialect::Lycoris, Dialect::Kohya, Dialect::Dotted] {
        refuse(
            &network,
            dialect,
            &|e| matches!(e, E::Module(ModuleError::CannotHold { module, .. }) if module == "head.bias"),
        );
    }
    refuse(&plain(), Dialect::Peft, &|e| matches!(e, E::Job(JobError::Option { .. })));
    let trained = adapted(settings::<f32>().freeze_base(false));
    refuse(&trained, Dialect::Peft, &|e| matches!(e, E::Job(JobError::TrainedBase { layer }) if layer == "blocks.0.q"));
    let mut stacked = adapted(settings::<f32>());
    stacked.adapt("q", settings().rank(2)).unwrap();
    refuse(&stacked, Dialect::Peft, &|e| matches!(e, E::Job(JobError::StackedAdapters { .. })));
    for (spoilt, part) in [("head.weight", "head"), ("blocks.0.q.lokr_w1", "lokr_w1")] {
        let mut network = adapted(settings::<f32>());
        network.visit_mut(&mut |name, mut values, _| {
            if name == spoilt {
                values.fill(f32::NAN);
            }
        });
        refuse(&network, Dialect::Peft, &|e| e.to_string().contains(part));
    }
    let mut twice = Sequential::empty();
    for name in ["a.b", "a_b"] {
        let base = Dense::from_arrays(matrix::<f32>(6, 6, 1), Array1::zeros(6), Activation::Identity).unwrap();
        twice.push_named(name, LoKrAdapter::new(base, 1, None, true).unwrap()).unwrap();
    }
    refuse(&twice, Dialect::Lycoris, &|e| matches!(e, E::Name(NameError::DuplicateTarget { .. })));
    save_adapters(&twice, folder.path("dotted"), &SaveOptions::to(Dialect::Dotted)).unwrap();
    let half = SaveOptions { dtype: Some(FloatType::F16), ..SaveOptions::to(Dialect::Dotted) };
    cause(save_adapters(&twice, folder.path("dotted"), &half), |e| matches!(e, E::Output(_)));
}

/// Everything that could change: values, names, what is enabled.
fn state(network: &Sequential<f32>) -> String {
    format!("{:?} {:?} {network:?}", named_values(network).unwrap(), network.active_update_names())
}

#[test]
fn files_that_do_not_fit_leave_the_network_as_it_was() {
    let folder = Folder::new();
    let path = folder.path("adapter");
    save_adapters(&adapted(settings::<f32>()), &path, &SaveOptions::to(Dialect::Peft)).unwrap();
    let refuse = |mut network: Sequential<f32>, options: &LoadOptions, right: &dyn Fn(&E) -> bool| {
        let before = state(&network);
        cause(load_adapters(&mut network, &path, options), right);
        assert_eq!(state(&network), before);
    };
    let options = LoadOptions::default();
    let mut other = Sequential::empty();
    let layer = |out, input| FullyConnected::from_arrays(matrix(out, input, 1), Array1::zeros(out), Activation::Relu);
    other.push_named("blocks.0.q", layer(15, 12).unwrap()).unwrap();
    refuse(
        other.clone(),
        &options,
        &|e| matches!(e, E::Name(NameError::UnmatchedModules { modules, .. }) if modules == &["blocks.1.v"]),
    );
    let mut narrow = Sequential::empty();
    narrow.push_named("blocks.0.q", layer(15, 12).unwrap()).unwrap();
    narrow.push_named("blocks.1.v", layer(7, 15).unwrap()).unwrap();
    refuse(narrow, &options, &|e| matches!(e, E::Module(ModuleError::WeightShape { .. })));
    let mut stranger = Sequential::empty();
    stranger.push_named("x", layer(15, 12).unwrap()).unwrap();
    refuse(stranger, &options, &|e| matches!(e, E::Name(NameError::NothingMatches { .. })));
    for name in ["", "base", "a.b"] {
        let options = LoadOptions { name: name.to_owned(), ..LoadOptions::default() };
        refuse(plain(), &options, &|e| matches!(e, E::Layer(LayerError::InvalidName { .. })));
        refuse(adapted(settings()), &options, &|e| matches!(e, E::Layer(LayerError::InvalidName { .. })));
    }
    // The head of another width, and one that is an adapter.
    let mut wide = plain();
    let head = Dense::from_arrays(matrix(8, 4, 3), Array1::zeros(4), Activation::Identity).unwrap();
    *wide.layer_mut("head").unwrap() = Box::new(head);
    refuse(wide, &options, &|e| matches!(e, E::Layer(LayerError::NamedShape { .. })));
    let mut whole = plain();
    whole.adapt("head", settings()).unwrap();
    refuse(whole, &options, &|e| matches!(e, E::Layer(LayerError::NoSuchLayer { .. })));
    // The second of two adapters refuses: the first is put back.
    let mut merged = adapted(settings().seed(9));
    merged.adapter_mut("blocks.1.v").unwrap().merge_in_place(Restore::Exact).unwrap();
    refuse(merged, &options, &|e| matches!(e, E::Layer(LayerError::AlreadyMerged { .. })));
    let mut merged = adapted(settings().seed(9));
    merged.adapter_mut("blocks.1.v").unwrap().merge_in_place(Restore::Exact).unwrap();
    let named = LoadOptions { name: "second".to_owned(), ..LoadOptions::default() };
    refuse(merged, &named, &|e| matches!(e, E::Layer(LayerError::AlreadyMerged { .. })));

    // Allowed: what meets no layer is left out.
    let options = LoadOptions { unmatched: Unmatched::Allow, ..options };
    let mut part = plain();
    *part.layer_mut("blocks.1").unwrap() = Box::new(layer(8, 15).unwrap());
    let loaded = load_adapters(&mut part, &path, &options).unwrap();
    assert_eq!((loaded.layers, loaded.unmatched), (vec!["blocks.0.q".to_owned()], vec!["blocks.1.v".to_owned()]));
}

#[test]
fn a_file_of_terms_with_scales_of_their_own_is_their_sum() {
    let folder = Folder::new();
    let module = |name: &str, seed, scale| {
        let update = update::<f64>((6, 4), seed);
        let module = lokr_checkpoint::Module::from_update(name, &update, FloatType::F64).unwrap();
        lokr_checkpoint::Module::new(name, module.w1().clone(), module.w2().clone(), scale).unwrap()
    };
    let (first, second) = (module("q", 1, 0.5), module("q", 2, 2.0));
    let sum = first.delta::<f64>(&[6, 4], 0.5).unwrap() + second.delta::<f64>(&[6, 4], 2.0).unwrap();
    let tensors = [(&first, "term0"), (&second, "term1")].into_iter().flat_map(|(module, term)| {
        let alpha = module.scale().unwrap() * module.rank().unwrap_or(1) as f64;
        let alpha = lokr_checkpoint::Tensor::from_array(&ndarray::arr0(alpha), FloatType::F64);
        let own = module.tensors().into_iter().map(|(key, tensor)| (format!("q.{term}.{key}"), tensor.clone()));
        own.chain([(format!("q.{term}.alpha"), alpha)]).collect::<Vec<_>>()
    });
    let tensors: Vec<_> = tensors.collect();
    let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    let path = folder.tensors_with("sum.safetensors", &tensors, &[("lokr_format", "sum_of_terms")]);
    let mut network = Sequential::empty();
    let base = FullyConnected::from_arrays(Array2::zeros((6, 4)), Array1::zeros(6), Activation::Identity).unwrap();
    network.push_named("q", base).unwrap();
    load_adapters(&mut network, &path, &LoadOptions::default()).unwrap();
    let found = network.adapter("q").unwrap().named_update("default").unwrap().weight().unwrap();
    let low_rank = first.rank().is_some() && second.rank().is_some();
    assert!(low_rank, "else files hold no scale");
    assert!((found.into_dyn() - sum).iter().all(|d: &f64| d.abs() < 1e-12));
}
