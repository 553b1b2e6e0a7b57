//! What is allocated, counted by the allocator itself.
#![allow(clippy::unwrap_used)] // A helper that fails is a test that fails.

use lokr::core::{Factor, Kron, KronGradients};
use lokr::layers::{
    Activation, Adapter, Dense, DoraAxis, FullyConnected, GradientAt, Init, Layer, LinearLayer, LoKrAdapter, LoKrInit,
    LoKrSettings,
    rand::{SeedableRng, rngs::SmallRng},
};
use lokr_testing::{CountingAllocator, Numbers, assert_close};
use ndarray::{Array1, Array2};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Runs `work` in a pool of one thread, so that all of it is counted, and no queue between threads.
fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(work)
}

/// The test's own yardstick: a counter that counts nothing would let everything pass.
#[test]
fn the_counter_counts() {
    let _alone = ALLOCATOR.alone();
    let (calls, peak) = ALLOCATOR.count(|| drop(std::hint::black_box(vec![0u8; 1 << 20])));
    // The harness may free what it has of the previous test meanwhile.
    assert!(calls >= 1 && peak >= (1 << 20) - 10_000, "{calls} calls, {peak} bytes");
}

fn compiled_forward_allocates_nothing<L: LinearLayer<f32> + Clone + 'static>(base: L) {
    for rank in [4, 1000] {
        let adapter = LoKrAdapter::builder(base.clone()).rank(rank).init(LoKrInit::Random).build().unwrap();
        let compiled = adapter.compile(150).unwrap();
        let mut numbers = Numbers::new(1);
        for batch in [1, 7, 64, 150, 333] {
            let x = numbers.matrix::<f32>(batch, base.input_size());
            let mut y = Array2::from_elem((batch, base.output_size()), f32::NAN);
            let calls = in_pool(|| {
                compiled.forward_into(&x, &mut y).unwrap();
                ALLOCATOR.count(|| compiled.forward_into(&x, &mut y).unwrap()).0
            });
            assert_eq!(calls, 0, "{} rank {rank} batch {batch}", base.type_name());
            assert_close(&y, &adapter.predict(&x).unwrap(), base.input_size(), "compiled");
        }
    }
}

#[test]
fn a_compiled_adapter_of_either_layer_allocates_nothing() {
    let _alone = ALLOCATOR.alone();
    let mut rng = SmallRng::seed_from_u64(2);
    let dense = Dense::new(360, 448, Activation::Gelu, Init::XavierNormal, &mut rng).unwrap();
    compiled_forward_allocates_nothing(dense);
    let full = FullyConnected::new(360, 448, Activation::Softmax, Init::XavierNormal, &mut rng).unwrap();
    compiled_forward_allocates_nothing(full);
}

fn training_steps_allocate_nothing<L: LinearLayer<f32> + Clone + 'static>(base: L) {
    for (rank, decompose_both) in [(4, false), (4, true), (1000, false)] {
        let builder = LoKrAdapter::builder(base.clone()).rank(rank).decompose_both(decompose_both);
        let mut adapter = builder.init(LoKrInit::Random).build().unwrap();
        let mut numbers = Numbers::new(3);
        for batch in [1, 30, 200] {
            let x = numbers.matrix::<f32>(batch, base.input_size());
            let dy = numbers.matrix::<f32>(batch, base.output_size());
            let (mut y, mut dx) = (Array2::zeros(dy.dim()), Array2::zeros(x.dim()));
            let calls = in_pool(|| {
                let mut step = || {
                    adapter.forward_into(&x, &mut y).unwrap();
                    adapter.backward_into(&dy, GradientAt::Output, &mut dx).unwrap();
                };
                step();
                ALLOCATOR.count(step).0
            });
            assert_eq!(calls, 0, "{} rank {rank}, both {decompose_both}, batch {batch}", base.type_name());
        }
    }
}

#[test]
fn training_steps_after_the_first_allocate_nothing() {
    let _alone = ALLOCATOR.alone();
    let mut rng = SmallRng::seed_from_u64(4);
    training_steps_allocate_nothing(Dense::new(120, 96, Activation::Silu, Init::HeNormal, &mut rng).unwrap());
    training_steps_allocate_nothing(FullyConnected::new(120, 96, Activation::Relu, Init::HeNormal, &mut rng).unwrap());
}

/// Dropout, numbers that are trained, sums, norms of the weight, several updates: memory is made once, and no product
/// is formed. A weight of these sizes takes 45 KiB, which a first step must not need beside its buffers.
#[test]
fn training_steps_with_every_feature_allocate_nothing() {
    let _alone = ALLOCATOR.alone();
    let mut rng = SmallRng::seed_from_u64(8);
    let base = Dense::<f32>::new(120, 96, Activation::Silu, Init::HeNormal, &mut rng).unwrap();
    let settings = || LoKrSettings::<f32>::new().rank(4).decompose_both(true).init(LoKrInit::Random);
    let mut numbers = Numbers::new(9);
    for (name, settings) in [
        ("dropout", settings().input_dropout(0.2).rank_dropout(0.2).rescale_rank_dropout(true).module_dropout(0.2)),
        ("numbers", settings().terms(3).term_weights(true).learned_scalar(true)),
        ("norms of rows", settings().dora(DoraAxis::Output)),
        ("norms of columns", settings().terms(2).dora(DoraAxis::Input)),
    ] {
        let mut adapter = settings.adapt(base.clone()).unwrap();
        if name == "numbers" {
            adapter.add_update("second", LoKrSettings::new().seed(1).update((96, 120)).unwrap()).unwrap();
        }
        let (x, dy) = (numbers.matrix::<f32>(30, 120), numbers.matrix::<f32>(30, 96));
        let (mut y, mut dx) = (Array2::zeros(dy.dim()), Array2::zeros(x.dim()));
        let calls = in_pool(|| {
            let mut step = || {
                adapter.set_scaling(0.5).unwrap(); // what was computed from the parameters is computed anew
                adapter.forward_into(&x, &mut y).unwrap();
                adapter.backward_into(&dy, GradientAt::Output, &mut dx).unwrap();
            };
            (0..4).for_each(|_| step()); // one of them at least is not left out
            ALLOCATOR.count(step).0
        });
        assert_eq!(calls, 0, "{name}");
    }
}

/// A base of 64 MiB: the norms of the weight are found without a second one.
#[test]
fn norms_of_a_weight_need_no_matrix_of_its_size() {
    let _alone = ALLOCATOR.alone();
    let size = 4096;
    let base = FullyConnected::from_arrays(
        Array2::from_elem((size, size), 0.01_f32),
        Array1::zeros(size),
        Activation::Identity,
    );
    let mut adapter = LoKrSettings::new().rank(8).dora(DoraAxis::Input).adapt(base.unwrap()).unwrap();
    let x = Array2::from_elem((2, size), 0.5);
    let peak = in_pool(|| {
        ALLOCATOR
            .count(|| {
                let y = adapter.forward(&x).unwrap();
                adapter.backward(&y).unwrap();
            })
            .1
    });
    assert!(peak < 4 << 20, "{peak} bytes");
}

/// `W` would take 64 MiB, one output 1 MiB.
#[test]
fn forward_and_backward_at_4096_stay_within_blocks_and_partial_sums() {
    let _alone = ALLOCATOR.alone();
    let mut numbers = Numbers::new(5);
    let batch = 64;
    let (x, dy) = (numbers.matrix::<f32>(batch, 4096), numbers.matrix::<f32>(batch, 4096));
    let full = Kron::new(numbers.matrix(64, 64), numbers.matrix(64, 64)).unwrap();
    let low = Factor::low_rank(numbers.matrix(64, 8), numbers.matrix(8, 64)).unwrap();
    let low = Kron::new(numbers.matrix(64, 64), low).unwrap();
    let uneven = Kron::new(numbers.matrix(8, 8), numbers.matrix(512, 512)).unwrap();
    for (name, kron, limit) in [("64·64", full, 4 << 20), ("rank 8", low, 4 << 20), ("8·512", uneven, 24 << 20)] {
        let (mut y, mut dx) = (Array2::zeros((batch, 4096)), Array2::zeros((batch, 4096)));
        let mut gradients = KronGradients::zeros(&kron);
        // A pool of its own has fresh threads, whose scratch memory counts in full.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let peak = pool.install(|| {
            ALLOCATOR
                .count(|| {
                    kron.apply_into(1.0, &x, 0.0, &mut y).unwrap();
                    kron.gradients_into(1.0, &x, &dy, &mut gradients, 0.0, &mut dx).unwrap();
                })
                .1
        });
        assert!(peak <= limit, "{name}: {peak} bytes above inputs and outputs");
    }
}

#[test]
fn merging_needs_no_temporary_of_the_weights_size() {
    let _alone = ALLOCATOR.alone();
    let mut numbers = Numbers::new(6);
    let kron = Kron::new(numbers.matrix::<f32>(32, 32), numbers.matrix(64, 64)).unwrap();
    let mut w = Array2::zeros((2048, 2048));
    let peak = in_pool(|| ALLOCATOR.count(|| kron.add_to(0.5, &mut w).unwrap()).1);
    assert!(peak < 1 << 16, "{peak} bytes beside a weight of {}", w.len() * 4);
    assert_eq!(w[[2047, 2046]], 0.5 * kron.element(2047, 2046).unwrap());
}
