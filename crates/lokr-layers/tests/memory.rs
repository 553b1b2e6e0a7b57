//! What training allocates, counted by the allocator itself.
#![allow(clippy::unwrap_used)] // A helper that fails is a test that fails.

use lokr_layers::{
    Activation, Adam, AdamW, Conv2d, ConvGeometry, CrossEntropy, Dense, Embedding, Group, Init, Layer, LayerNorm,
    LoKrAdapter, LoKrInit, LoKrSettings, Optimizer, PlacedUpdate, Samples, Schedule, Sequential, Sgd, Targets, Trainer,
    Training,
    rand::{SeedableRng, rngs::SmallRng},
};
use lokr_testing::{CountingAllocator, matrix};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

type Make = fn() -> Box<dyn Optimizer<f32>>;
type Set = fn(Training<'_, f32>) -> Training<'_, f32>;

/// Calls of the allocator in a run of that many steps.
fn calls(steps: usize, make: Make, set: Set) -> usize {
    let x = matrix::<f32>(8 * steps, 24, 1);
    let labels: Vec<usize> = (0..8 * steps).map(|i| i % 18).collect();
    let samples = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let base = Dense::new(24, 18, Activation::Identity, Init::HeNormal, &mut SmallRng::seed_from_u64(2)).unwrap();
    let mut adapter = LoKrAdapter::builder(base).rank(2).init(LoKrInit::Random).build().unwrap();
    let mut optimizer = make();
    let training = set(Trainer::new(CrossEntropy::new()).batch_size(8));
    let mut seen = 0;
    let training = training.on_progress(|_| seen += 1);
    ALLOCATOR.count(|| drop(training.fit(&mut adapter, &mut *optimizer, &samples).unwrap())).0
}

#[test]
fn training_steps_after_the_first_allocate_nothing() {
    let _alone = ALLOCATOR.alone();
    let optimizers: [Make; 4] = [
        || Box::new(Sgd::new(0.1).unwrap()),
        || Box::new(Sgd::new(0.1).unwrap().nesterov(0.9).unwrap()),
        || Box::new(Adam::new(1e-3).unwrap()),
        || Box::new(AdamW::new(1e-3).unwrap().group(Group::lora_plus(16.0)).unwrap()),
    ];
    let settings: [Set; 3] = [
        |training| training,
        |training| training.clip_norm(0.1).schedule(Schedule::cosine().warmup(3)).micro_batch_size(3),
        |training| training.clip_value(0.01).measure_gradient_norm(),
    ];
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| {
        settings.into_iter().for_each(|set| _ = calls(4, optimizers[0], set)); // threads make their scratch memory once
        for (i, make) in optimizers.into_iter().enumerate() {
            for (j, set) in settings.into_iter().enumerate() {
                assert_eq!(calls(5, make, set), calls(50, make, set), "optimizer {i}, settings {j}");
            }
        }
    });
}

#[test]
fn many_adapters_on_one_base_hold_one_base() {
    let _alone = ALLOCATOR.alone();
    const SIZE: usize = 512;
    let weight = SIZE * SIZE * size_of::<f32>();
    let base =
        Dense::<f32>::new(SIZE, SIZE, Activation::Relu, Init::HeNormal, &mut SmallRng::seed_from_u64(2)).unwrap();
    let mut network = Sequential::empty();
    network.push_named("q", base).unwrap();
    network.share("q").unwrap();
    let x = matrix::<f32>(8, SIZE, 1);
    network.predict(&x).unwrap(); // threads make their scratch memory once
    let mut adapted = Vec::new();
    let bytes = ALLOCATOR.count(|| {
        for seed in 0..64 {
            let mut copy = network.clone();
            copy.adapt("q", LoKrSettings::new().rank(2).seed(seed)).unwrap();
            copy.predict(&x).unwrap();
            adapted.push(copy);
        }
    });
    assert!(bytes.1 < weight, "64 adapters take {} bytes, their base {weight}", bytes.1);
    // And with updates by name, in a mixed batch: nothing of the weight's size.
    let names: Vec<String> = (0..64).map(|i| format!("task{i}")).collect();
    let update = |seed| LoKrSettings::new().rank(2).seed(seed).update((SIZE, SIZE)).unwrap();
    let bytes = ALLOCATOR.count(|| {
        for (seed, name) in (0..).zip(&names) {
            let placed = PlacedUpdate { layer: "q".to_owned(), update: update(seed), placement: None };
            network.put_updates(name, vec![placed]).unwrap();
        }
        let rows: Vec<_> = names.iter().rev().take(8).map(|name| Some(name.as_str())).collect();
        network.predict_mixed(&x, &rows).unwrap();
    });
    assert!(bytes.1 < weight, "64 updates take {} bytes, their base {weight}", bytes.1);
}

#[test]
fn a_compiled_network_allocates_nothing() {
    let _alone = ALLOCATOR.alone();
    let rng = &mut SmallRng::seed_from_u64(2);
    let mut network = Sequential::<f32>::empty();
    network.push(Embedding::from_table(matrix(5, 4, 1), 6).unwrap()).unwrap();
    network.push(LayerNorm::new(4).unwrap().pieces(6)).unwrap();
    let image = ConvGeometry::new(2, [3, 4], [3, 3]).padding([1, 1]);
    let conv = Conv2d::new(&image, 2, Activation::Relu, Init::HeNormal, rng).unwrap();
    network.push(LoKrSettings::new().rank(1).init(LoKrInit::Random).adapt(conv).unwrap()).unwrap();
    network.push(Conv2d::new(&image.groups(2), 2, Activation::Tanh, Init::HeNormal, rng).unwrap()).unwrap();
    let base = Dense::new(24, 18, Activation::Silu, Init::HeNormal, rng).unwrap();
    network.push(LoKrSettings::new().rank(2).init(LoKrInit::Random).adapt(base).unwrap()).unwrap();
    network.push(Dense::new(18, 3, Activation::Softmax, Init::HeNormal, rng).unwrap()).unwrap();
    let compiled = network.compiled(8).unwrap();
    let x = ndarray::Array2::from_shape_fn((20, 6), |(i, j)| ((i + j) % 5) as f32);
    let (mut workspace, mut y) = (compiled.workspace().unwrap(), ndarray::Array2::zeros((20, 3)));
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| {
        compiled.forward_into(&x, &mut workspace, &mut y).unwrap(); // threads make their scratch memory once
        let calls = ALLOCATOR.count(|| compiled.forward_into(&x, &mut workspace, &mut y).unwrap()).0;
        assert_eq!(calls, 0);
    });
    assert!((y - network.predict(&x).unwrap()).iter().all(|d| d.abs() < 1e-5));
}
