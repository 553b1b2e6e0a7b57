//! Recorded adapters of convolutions, loaded into `lokr-layers`: outputs and gradients are those that PEFT and LyCORIS
//! had. And adapters of convolutions saved, in the shapes that other programs read.

use std::collections::BTreeMap;

use crate::support::build::{Folder, cause};
use crate::support::{Case, values};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, Dialect, LoadOptions, Module, ModuleError, ReadOptions, SaveOptions,
    ScaleRule, TensorFile, Unmatched, load_adapters, save_adapters,
};
use lokr_layers::{
    Activation, AdaptSettings, Conv, Conv1d, Conv2d, ConvGeometry, DoraAxis, Init, Layer, LayerError, LoKrInit,
    LoKrSettings, Sequential,
    rand::{SeedableRng, rngs::SmallRng},
};
use ndarray::{Array2, ArrayD, Axis, IxDyn, s};

/// What training leaves in the parameters, by their names.
type Gradients = BTreeMap<String, ArrayD<f64>>;

/// A recorded convolution with its adapter.
struct Recorded {
    case: Case,
    io: TensorFile,
    path: String,
    module: Module,
    base: BaseModel,
    /// What stands behind the names of what was recorded: nothing where the model has one layer.
    suffix: String,
    /// The name of the module in the file, with its dot.
    prefix: String,
}

impl Recorded {
    fn all() -> Vec<Self> {
        Case::all().iter().flat_map(Self::of).collect()
    }

    /// The convolutions of a case.
    fn of(case: &Case) -> Vec<Self> {
        let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
        let base = || BaseModel::open(case.folder.join("base.safetensors")).unwrap();
        let of_base = base();
        let resolution = adapter.resolve(&of_base, Unmatched::Refuse).unwrap();
        let single = case.json["model"].as_array().unwrap().len() == 1;
        let of_target = |(name, target): (&str, &str)| {
            let path = target.strip_suffix(".weight").unwrap().to_owned();
            let target = case.targets().iter().find(|target| target["module"] == path.as_str()).unwrap();
            let convolution = target["kind"].as_str().unwrap().starts_with("conv");
            convolution.then(|| Self {
                case: Case::load(case.name()),
                io: case.file("io"),
                module: adapter.modules()[name].clone(),
                base: base(),
                suffix: if single { String::new() } else { format!(".{path}") },
                prefix: target["key_prefix"].as_str().unwrap().to_owned(),
                path,
            })
        };
        resolution.targets().filter_map(of_target).collect()
    }

    fn sizes<const N: usize>(&self, key: &str) -> [usize; N] {
        let list = self.case.layer(&self.path)[key].as_array().unwrap();
        std::array::from_fn(|axis| list[axis].as_u64().unwrap() as usize)
    }

    fn layer<const N: usize>(&self) -> Conv<f32, N> {
        let shape = values(&self.io, &self.named("x")).shape().to_vec();
        let input = std::array::from_fn(|axis| shape[axis + 2]);
        let geometry = ConvGeometry::new(shape[1], input, self.sizes("kernel"))
            .stride(self.sizes("stride"))
            .padding(self.sizes("padding"))
            .dilation(self.sizes("dilation"))
            .groups(self.case.layer(&self.path)["groups"].as_u64().unwrap() as usize);
        self.base.convolution(&self.path, &geometry, Activation::Identity).unwrap()
    }

    fn named(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    fn rows(&self, name: &str) -> Array2<f32> {
        let array = values(&self.io, &self.named(name)).mapv(|x| x as f32);
        let (batch, length) = (array.shape()[0], array.len());
        array.into_shape_with_order((batch, length / batch)).unwrap()
    }

    fn assert_close(&self, kind: &str, name: &str, got: &ArrayD<f64>) {
        let reference = values(&self.io, name);
        let got = got.clone().into_shape_with_order(reference.raw_dim()).unwrap();
        self.case.assert_close(kind, name, &got, &reference);
    }

    fn assert_rows(&self, kind: &str, name: &str, got: &Array2<f32>) {
        self.assert_close(kind, &self.named(name), &got.mapv(f64::from).into_dyn());
    }

    /// Outputs and gradients of the adapter of a layer; how many gradients of parameters there were.
    fn check<const N: usize>(&self) -> usize {
        let mut layer = self.module.to_layer(self.layer::<N>(), ScaleRule::Trained).unwrap();
        let (x, dy) = (self.rows("x"), self.rows("grad_out"));
        self.assert_rows("y", "y", &layer.predict(&x).unwrap());
        self.assert_rows("y", "y", &layer.forward(&x).unwrap());
        self.assert_rows("grad", "grad_x", &layer.backward(&dy).unwrap());
        self.assert_rows("y", "y", &layer.merge().unwrap().predict(&x).unwrap());
        let gradients = self.as_recorded(gradients(&layer));
        for (name, gradient) in &gradients {
            self.assert_close("grad", &format!("grad.{}{name}", self.prefix), gradient);
        }
        gradients.len()
    }

    /// The gradients as the program has them, whose conv1d with a full `lokr_w2` uses each factor in several terms.
    fn as_recorded(&self, found: Gradients) -> Gradients {
        if self.module.is_kronecker() {
            return found;
        }
        let (w1, w2) = (self.module.w1().dim(), values_shape(&self.module));
        let (mut of_w1, mut of_w2) = (ArrayD::zeros(IxDyn(&[w1.0, w1.1])), ArrayD::zeros(IxDyn(&w2)));
        for t in 0..w2[2] {
            of_w2.index_axis_mut(Axis(2), t).assign(&found[&format!("term{t}.lokr_w1")]);
            of_w1 += &found[&format!("term{t}.lokr_w2")].slice(s![.., t..;w2[2]]).into_dyn();
        }
        BTreeMap::from([("lokr_w1".to_owned(), of_w1), ("lokr_w2".to_owned(), of_w2)])
    }
}

fn values_shape(module: &Module) -> Vec<usize> {
    module.w2().tensors()[0].1.shape().to_vec()
}

fn gradients(layer: &dyn Layer<f32>) -> Gradients {
    let mut gradients = Gradients::new();
    layer.visit(&mut |name, _, gradient| drop(gradients.insert(name.to_owned(), gradient.unwrap().mapv(f64::from))));
    gradients
}

#[test]
fn outputs_and_gradients_of_convolutions_are_those_recorded() {
    let recorded = Recorded::all();
    let mut checked = 0;
    for one in &recorded {
        let axes = one.case.layer(&one.path)["kind"].as_str().unwrap();
        checked += if axes == "conv1d" { one.check::<1>() } else { one.check::<2>() };
    }
    let gradients_of = |one: &Recorded| {
        let start = format!("grad.{}", one.prefix);
        one.io.names().filter(|name| name.starts_with(&start)).count()
    };
    eprintln!("{} convolutions, {checked} gradients of factors and norms", recorded.len());
    assert_eq!(checked, recorded.iter().map(gradients_of).sum::<usize>(), "every recorded gradient of a parameter");
    assert_eq!(recorded.len(), 27);
}

fn conv(channels: usize, out: usize, groups: usize, rng: &mut SmallRng) -> Conv2d<f32> {
    let geometry = ConvGeometry::new(channels, [5, 4], [3, 2]).padding([1, 0]).groups(groups);
    Conv2d::new(&geometry, out, Activation::Silu, Init::HeNormal, rng).unwrap()
}

/// Three adapted convolutions of different forms and one that trains whole.
fn network(norms: bool) -> (Sequential<f32>, Sequential<f32>) {
    let rng = &mut SmallRng::seed_from_u64(7);
    let mut network = Sequential::empty();
    network.push_named("down.conv", conv(6, 4, 1, rng)).unwrap();
    let next = ConvGeometry::new(4, [5, 3], [3, 3]).padding([1, 1]).groups(2);
    network.push_named("up.conv", Conv2d::new(&next, 8, Activation::Relu, Init::HeNormal, rng).unwrap()).unwrap();
    let head = ConvGeometry::new(8, [5, 3], [5, 3]);
    network.push_named("head", Conv2d::new(&head, 2, Activation::Identity, Init::HeNormal, rng).unwrap()).unwrap();
    let fresh = network.clone();
    let settings = LoKrSettings::new().rank(1).alpha(2.0).init(LoKrInit::Random).seed(3);
    let first = if norms { settings.clone().dora(DoraAxis::Input) } else { settings.clone().tucker(true) };
    network.adapt("down.conv", AdaptSettings::from(first).train_whole("head")).unwrap();
    let second = if norms { settings.dora(DoraAxis::Output) } else { settings.full_matrix(true) };
    network.adapt("up.conv", AdaptSettings::from(second).freeze_rest(false)).unwrap();
    (network, fresh)
}

#[test]
fn adapters_of_convolutions_are_saved_in_the_shapes_of_files_and_read_back() {
    let folder = Folder::new();
    let x = Array2::from_shape_fn((2, 6 * 20), |(i, j)| ((7 * i + 3 * j) % 11) as f32 / 5.0 - 1.0);
    for (dialect, norms) in
        [(Dialect::Lycoris, false), (Dialect::Lycoris, true), (Dialect::Kohya, false), (Dialect::Dotted, true)]
    {
        let (network, mut fresh) = network(norms);
        let path = folder.path(&format!("{dialect}-{norms}.safetensors"));
        let options = SaveOptions { whole_layers: false, ..SaveOptions::to(dialect) };
        let saved = save_adapters(&network, &path, &options).unwrap();
        assert_eq!(saved[0].layers, ["down.conv", "up.conv"]);
        let file = TensorFile::open(&path).unwrap();
        let shape_of = |end: &str| {
            let name = file.names().find(|name| name.ends_with(end)).unwrap_or_else(|| panic!("{end}"));
            file.info(name).unwrap().1.to_vec()
        };
        if norms {
            assert_eq!(
                shape_of(if dialect == Dialect::Dotted { "down.conv.dora_scale" } else { "down_conv.dora_scale" }),
                [1, 6, 1, 1]
            );
        } else {
            assert_eq!(shape_of("lokr_t2"), [1, 1, 3, 2]);
            assert_eq!(shape_of("lokr_w2").len(), 4);
        }
        load_adapters(&mut fresh, &path, &LoadOptions::default()).unwrap();
        let tucker = fresh.adapter("down.conv").unwrap().named_update("default").unwrap().tucker().is_some();
        assert_eq!(tucker, !norms);
        // The head was not saved.
        assert_eq!(fresh.predict(&x).unwrap(), network.predict(&x).unwrap(), "{dialect} {norms}");
    }
}

#[test]
fn peft_gets_convolutions_and_layers_trained_whole_with_all_axes() {
    let folder = Folder::new();
    let rng = &mut SmallRng::seed_from_u64(7);
    let mut network = Sequential::empty();
    let line = ConvGeometry::new(6, [9], [3]);
    network.push_named("tcn", Conv1d::new(&line, 8, Activation::Relu, Init::HeNormal, rng).unwrap()).unwrap();
    let head = ConvGeometry::new(8, [7], [7]);
    network.push_named("head", Conv1d::new(&head, 2, Activation::Relu, Init::HeNormal, rng).unwrap()).unwrap();
    let mut fresh = network.clone();
    let settings = LoKrSettings::new().rank(1).alpha(2.0).init(LoKrInit::Random).tucker(true);
    network.adapt("tcn", AdaptSettings::from(settings).train_whole("head")).unwrap();
    network.visit_mut(&mut |_, mut values, _| values += 0.125); // in place of training
    let path = folder.path("peft");
    let saved = save_adapters(&network, &path, &SaveOptions::to(Dialect::Peft)).unwrap();
    assert_eq!((saved[0].layers.as_slice(), saved[0].whole.len()), (&["tcn".to_owned()][..], 2));
    let file = TensorFile::open(path.join("adapter_model.safetensors")).unwrap();
    let shape = |name: &str| file.info(&format!("base_model.model.{name}")).unwrap().1.to_vec();
    assert_eq!(shape("tcn.lokr_t2"), [1, 1, 3, 1]); // as PEFT alone has it
    assert_eq!(shape("head.weight"), [2, 8, 7]);
    load_adapters(&mut fresh, &path, &LoadOptions::default()).unwrap();
    let x = Array2::from_shape_fn((2, 54), |(i, j)| ((7 * i + 3 * j) % 11) as f32 / 5.0 - 1.0);
    assert_eq!(fresh.predict(&x).unwrap(), network.predict(&x).unwrap());
}

#[test]
fn what_does_not_fit_a_convolution_is_refused_and_changes_nothing() {
    let recorded = Recorded::all();
    let tucker = recorded.iter().find(|one| one.case.name() == "lycoris_conv2d_tucker").unwrap();
    let rng = &mut SmallRng::seed_from_u64(1);
    let geometry = ConvGeometry::new(18, [5, 5], [1, 3]);
    let other = Conv2d::<f32>::new(&geometry, 20, Activation::Relu, Init::HeNormal, rng).unwrap();
    cause(tucker.module.to_layer(other.clone(), ScaleRule::Trained), |e| {
        matches!(e, E::Module(ModuleError::Kernel { key: "lokr_t2", .. }))
    });
    let mut network = Sequential::empty();
    network.push_named("conv", other).unwrap();
    let before = network.parameters();
    cause(load_adapters(&mut network, tucker.case.adapter_path(), &LoadOptions::default()), |e| {
        matches!(e, E::Module(ModuleError::Kernel { .. }))
    });
    assert!(network.parameters() == before && network.adapters().is_empty());

    let wrong = ConvGeometry::new(18, [5, 5], [3, 3]).groups(3);
    cause(tucker.base.convolution::<f32, 2>("conv", &wrong, Activation::Relu), |e| {
        matches!(e, E::Layer(LayerError::InvalidSetting { setting: "groups", .. }))
    });
    let linear = ConvGeometry::new(18, [5], [3]);
    cause(tucker.base.convolution::<f32, 1>("conv", &linear, Activation::Relu), |e| {
        matches!(e, E::Layer(LayerError::NamedShape { layer: "Conv1d", .. }))
    });
}
