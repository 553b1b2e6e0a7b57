//! Networks made from their files alone, and adapters that know their bases.

use crate::support::build::{Folder, cause};
use lokr_checkpoint::{
    BaseCheck, CheckpointError as E, Dialect, FileError, LoadOptions, ModuleError, SaveOptions, SavedNetwork,
    TensorFile, Updates, base_hash, load_adapters, read_network, save_adapters, save_network, write_tensors,
};
use lokr_core::Scalar;
use lokr_layers::{
    Activation, AdaptSettings, Conv1d, Conv2d, Conv3d, ConvGeometry, DeltaPlacement, Dense, DoraAxis, Embedding,
    FullyConnected, Layer, LayerError, LayerNorm, LayerSpec, LoKrInit, LoKrSettings, Restore, Sequential,
};
use lokr_testing::matrix;
use ndarray::{Array1, Array2};

fn settings<T: Scalar>() -> LoKrSettings<T> {
    LoKrSettings::new().rank(1).alpha(T::from_f64_lossy(0.3)).init(LoKrInit::Random)
}

/// Layers of all types, with numbers that decimals do not hold, frozen in part.
fn network<T: Scalar>() -> Sequential<T> {
    let bias = |n| Array1::from_elem(n, T::from_f64_lossy(1.0 / 3.0));
    let leaky = Activation::LeakyRelu { slope: 1.0 / 7.0 };
    let mut block = Sequential::empty();
    block.push_named("q", FullyConnected::from_arrays(matrix(12, 8, 1), bias(12), leaky).unwrap()).unwrap();
    block.push_named("norm", LayerNorm::new(4).unwrap().pieces(3).epsilon(1e-5 / 3.0).unwrap()).unwrap();
    let mut network = Sequential::empty();
    network.push_named("tokens", Embedding::from_table(matrix(5, 4, 2), 2).unwrap()).unwrap();
    network.push_named("block", block).unwrap();
    let v = Dense::from_arrays(matrix(12, 6, 3), bias(6), Activation::Tanh).unwrap().without_bias();
    network.push_named("v", v).unwrap();
    network.push_named("head", Dense::from_arrays(matrix(6, 3, 4), bias(3), Activation::Softmax).unwrap()).unwrap();
    let sum = settings().terms(2).term_weights(true).learned_scalar(true).input_dropout(1.0 / 3.0).seed(u64::MAX);
    network.adapt("q", AdaptSettings::from(sum).freeze_rest(false)).unwrap();
    network.adapter_mut("block.q").unwrap().set_scaling(T::from_f64_lossy(1.0 / 9.0)).unwrap();
    network.adapt("v", AdaptSettings::from(settings().dora(DoraAxis::Output)).freeze_rest(false)).unwrap();
    let after = settings().placement(DeltaPlacement::AfterActivation).freeze_base(false);
    network.adapt("head", AdaptSettings::from(after).freeze_rest(false)).unwrap();
    network.visit_mut(&mut |_, mut values, _| values += T::from_f64_lossy(1.0 / 11.0));
    network.freeze("norm").unwrap();
    network
}

fn tokens<T: Scalar>() -> Array2<T> {
    Array2::from_shape_fn((6, 2), |(i, j)| T::from_usize_lossy((i + 2 * j) % 5))
}

/// Convolutions of three, two and one axes, with a sum in Tucker form, norms and groups, and LoRA.
fn convolutions<T: Scalar>() -> Sequential<T> {
    let third = T::from_f64_lossy(1.0 / 3.0);
    let weight = |shape: &[usize]| {
        let (rows, columns) = (shape[0], shape[1..].iter().product());
        matrix::<T>(rows, columns, 5).into_shape_with_order(shape).unwrap()
    };
    let bias = |n| Array1::from_elem(n, third);
    let mut network = Sequential::empty();
    let space = ConvGeometry::new(2, [2, 3, 4], [1, 2, 3]).padding([0, 1, 1]); // 3 × (2, 4, 4)
    let layer = Conv3d::from_arrays(&space, weight(&[3, 2, 1, 2, 3]), bias(3), Activation::Silu).unwrap();
    network.push_named("space", layer).unwrap();
    let image = ConvGeometry::new(6, [4, 4], [3, 3]).stride([2, 1]).padding([1, 1]).groups(2); // 4 × (2, 4)
    let layer = Conv2d::from_arrays(&image, weight(&[4, 3, 3, 3]), bias(4), Activation::Tanh).unwrap();
    network.push_named("image", layer.without_bias()).unwrap();
    let sound = ConvGeometry::new(4, [8], [3]).dilation([2]); // 6 × 4
    let layer = Conv1d::from_arrays(&sound, weight(&[6, 4, 3]), bias(6), Activation::Gelu).unwrap();
    network.push_named("sound", layer).unwrap();
    network.push_named("head", Dense::from_arrays(matrix(24, 3, 4), bias(3), Activation::Softmax).unwrap()).unwrap();
    let sum = settings().terms(2).tucker(true).seed(5);
    network.adapt("space", AdaptSettings::from(sum).freeze_rest(false)).unwrap();
    network.adapt("image", AdaptSettings::from(settings().dora(DoraAxis::Input)).freeze_rest(false)).unwrap();
    let lora = settings().lora().init(LoKrInit::Random).freeze_base(false);
    network.adapt("sound", AdaptSettings::from(lora).freeze_rest(false)).unwrap();
    network.visit_mut(&mut |_, mut values, _| values += T::from_f64_lossy(1.0 / 11.0));
    network
}

fn comes_back<T: Scalar>(network: &Sequential<T>, x: &Array2<T>) {
    let folder = Folder::new();
    let file = folder.path("network");
    save_network(&file, network, None).unwrap();
    let SavedNetwork { network: read, run } = read_network::<T>(&file).unwrap();
    assert!(run.is_none());
    assert_eq!(LayerSpec::of(&read).unwrap(), LayerSpec::of(network).unwrap());
    assert_eq!(read.predict(x).unwrap(), network.predict(x).unwrap());
    assert_eq!(read.parameters(), network.parameters());
    save_network(folder.path("again"), &read, None).unwrap();
    assert_eq!(std::fs::read(folder.path("again")).unwrap(), std::fs::read(&file).unwrap());
}

#[test]
fn a_network_is_made_from_its_file_alone_with_every_bit() {
    comes_back::<f32>(&network(), &tokens());
    comes_back::<f64>(&network(), &tokens());
    comes_back::<f32>(&convolutions(), &matrix(3, 48, 7));
    comes_back::<f64>(&convolutions(), &matrix(3, 48, 7));
}

#[test]
fn headers_that_describe_no_network_are_refused() {
    let folder = Folder::new();
    let path = folder.path("network");
    save_network(&path, &network::<f32>(), None).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let tensors = file.names().map(|name| (name.to_owned(), file.tensor(name).unwrap())).collect();
    let changed = |change: &dyn Fn(&str) -> Option<String>| {
        let (to, mut metadata) = (folder.path("changed"), file.metadata().clone());
        let spec = metadata.remove("lokr_network").unwrap();
        metadata.extend(change(&spec).map(|spec| ("lokr_network".to_owned(), spec)));
        write_tensors(&to, &tensors, &metadata, lokr_checkpoint::Overwrite::Replace).unwrap();
        read_network::<f32>(&to).map(drop)
    };
    changed(&|spec| Some(spec.to_owned())).unwrap();
    let description = "network with a description of its layers";
    cause(
        changed(&|_| None),
        |e| matches!(e, E::File(FileError::OtherKind { expected, .. }) if *expected == description),
    );
    cause(changed(&|_| Some("{}".to_owned())), |e| matches!(e, E::File(FileError::Json(_))));
    cause(changed(&|spec| Some(spec.replacen("\"inputs\":8", "\"inputs\":9", 1))), |e| {
        matches!(e, E::Layer(LayerError::Shape { .. } | LayerError::Chain { .. } | LayerError::NamedShape { .. }))
    });
    cause(
        changed(&|spec| Some(spec.replacen("[\"head\"", "[\"tail\"", 1))),
        |e| matches!(e, E::Layer(LayerError::UnknownName { name, .. }) if name.starts_with("head.")),
    );
    cause(read_network::<f64>(&path).map(drop), |e| matches!(e, E::File(FileError::OtherType { .. })));
}

#[test]
fn an_adapter_is_put_on_its_own_base_only() {
    let folder = Folder::new();
    let layer = |seed| Dense::from_arrays(matrix::<f32>(12, 8, seed), Array1::zeros(8), Activation::Silu).unwrap();
    let plain = |seeds: [u64; 2]| {
        let mut network = Sequential::empty();
        network.push_named("q", layer(seeds[0])).unwrap();
        let back = FullyConnected::from_arrays(matrix::<f32>(12, 8, seeds[1]), Array1::zeros(12), Activation::Identity);
        network.push_named("v", back.unwrap()).unwrap();
        network
    };
    let mut network = plain([1, 2]);
    network.adapt(["q", "v"], settings()).unwrap();
    for dialect in [Dialect::Peft, Dialect::Lycoris] {
        let path = folder.path(&format!("{dialect}"));
        let options = SaveOptions { base_hash: true, whole_layers: false, ..SaveOptions::to(dialect) };
        save_adapters(&network, &path, &options).unwrap();
        let (free, required) =
            (LoadOptions::default(), LoadOptions { base: BaseCheck::Required, ..LoadOptions::default() });
        load_adapters(&mut plain([1, 2]), &path, &required).unwrap();
        load_adapters(&mut network.clone(), &path, &required).unwrap(); // a new start of the same adapter
        let mut other = plain([1, 3]);
        let error = |e: &E| matches!(e, E::Module(ModuleError::OtherBase { module, .. }) if module == "v");
        cause(load_adapters(&mut other, &path, &free), error);
        assert!(other.adapters().is_empty());
        let off = LoadOptions { base: BaseCheck::Off, ..LoadOptions::default() };
        load_adapters(&mut other, &path, &off).unwrap();

        let bare = folder.path(&format!("{dialect} bare"));
        save_adapters(&network, &bare, &SaveOptions { base_hash: false, ..options.clone() }).unwrap();
        load_adapters(&mut plain([1, 3]), &bare, &free).unwrap();
        let error = |e: &E| matches!(e, E::Module(ModuleError::NoBaseHash { .. }));
        cause(load_adapters(&mut plain([1, 2]), &bare, &required), error);
    }
    // A base that is merged into is no base any more.
    network.adapter_mut("q").unwrap().merge_in_place(Restore::Exact).unwrap();
    let options = SaveOptions { base_hash: true, updates: Updates::Active, ..SaveOptions::to(Dialect::Peft) };
    cause(save_adapters(&network, folder.path("none"), &options), |e| {
        matches!(e, E::Layer(LayerError::AlreadyMerged { .. }))
    });
    assert!(!folder.path("none").exists());
    // Values, shapes and biases count, how they are stored does not.
    let (w, zeros) = (matrix::<f64>(6, 4, 1), Array1::zeros(6));
    let full = FullyConnected::from_arrays(w.clone(), zeros.clone(), Activation::Relu).unwrap();
    let dense = Dense::from_arrays(w.t().to_owned(), zeros.clone(), Activation::Tanh).unwrap();
    let turned =
        FullyConnected::from_arrays(w.into_shape_with_order((4, 6)).unwrap(), Array1::zeros(4), Activation::Relu);
    let hash = base_hash(&full).unwrap();
    assert_eq!((hash.len(), base_hash(&dense).unwrap()), (64, hash.clone()));
    assert_ne!(base_hash(&full.clone().without_bias()).unwrap(), hash);
    assert_ne!(base_hash(&turned.unwrap()).unwrap(), hash);
}
