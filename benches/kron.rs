//! Criterion benchmarks against the naive Kronecker product, to see a regression: apply, gradients and merge, in f32
//! and f64; gates against plain loops; and a batch that uses many adapters of one base. Throughput counts flops (the
//! fewest that do the job, for the naive way too), for merges values of `W`.
//!
//! `cargo bench --bench kron`; to compare machines or backends, `cargo bench --bench ratios` is the better tool.
#![allow(clippy::expect_used)] // A benchmark that cannot go on should stop, and say where.

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use lokr::core::{Kron, KronChain, Scalar};
use lokr::layers::{Activation, FullyConnected, Layer, LoKrInit, LoKrSettings, PlacedUpdate, Sequential, Shared};
use ndarray::{Array1, Array2, Axis};

use support::{
    Operator, Shape, backward_flops, forward_flops, generator, join_pool, machine, matrix, naive_apply,
    naive_gradients, naive_merge,
};

const SHAPES: [Shape; 5] = [
    Shape::two(8, 8, 8, 8),
    Shape::two(32, 32, 32, 32),
    Shape::two(48, 24, 64, 32),
    Shape::two(16, 16, 256, 256),
    Shape::chain(8, 3),
];

const BATCHES: [usize; 2] = [1, 128];

/// The naive way is left out beyond this many values of the product: it takes most of a second each time.
const NAIVE_VALUES: usize = 3 << 20;

fn apply<T: Scalar>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("apply {}", T::NAME));
    group.sampling_mode(SamplingMode::Flat); // The naive way takes long even once.
    for shape in SHAPES {
        let rng = &mut generator();
        let operator = Operator::<T>::new(shape, rng);
        let (height, width) = shape.dim();
        for batch in BATCHES {
            let x: Array2<T> = matrix(rng, batch, width);
            let mut y = Array2::zeros((batch, height));
            group.throughput(Throughput::Elements(forward_flops(shape, batch) as u64));
            let parameter = format!("{shape}/batch {batch}");
            group.bench_function(BenchmarkId::new("lokr", &parameter), |bencher| {
                bencher.iter(|| operator.apply_into(&x, black_box(&mut y)));
            });
            if height * width <= NAIVE_VALUES {
                group.bench_function(BenchmarkId::new("naive", &parameter), |bencher| {
                    bencher.iter(|| naive_apply(&operator, &x, black_box(&mut y)));
                });
            }
        }
    }
}

fn gradients<T: Scalar>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("gradients {}", T::NAME));
    group.sampling_mode(SamplingMode::Flat);
    for shape in SHAPES {
        let rng = &mut generator();
        let operator = Operator::<T>::new(shape, rng);
        let (height, width) = shape.dim();
        for batch in BATCHES {
            let (x, dy): (Array2<T>, Array2<T>) = (matrix(rng, batch, width), matrix(rng, batch, height));
            let (mut gradients, mut dx) = (operator.gradients(), Array2::zeros(x.dim()));
            group.throughput(Throughput::Elements(backward_flops(shape, batch) as u64));
            let parameter = format!("{shape}/batch {batch}");
            group.bench_function(BenchmarkId::new("lokr", &parameter), |bencher| {
                bencher.iter(|| operator.gradients_into(&x, &dy, &mut gradients, black_box(&mut dx)));
            });
            if height * width <= NAIVE_VALUES {
                group.bench_function(BenchmarkId::new("naive", &parameter), |bencher| {
                    bencher.iter(|| naive_gradients(&operator, &x, &dy, black_box(&mut dx)));
                });
            }
        }
    }
}

fn merge<T: Scalar>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("merge {}", T::NAME));
    group.sampling_mode(SamplingMode::Flat);
    for shape in SHAPES {
        let rng = &mut generator();
        let operator = Operator::<T>::new(shape, rng);
        let (height, width) = shape.dim();
        let mut w: Array2<T> = matrix(rng, height, width);
        let step = T::from_f64_lossy(1e-6);
        group.throughput(Throughput::Elements((height * width) as u64));
        group.bench_function(BenchmarkId::new("lokr", shape), |bencher| {
            bencher.iter(|| operator.merge(step, black_box(&mut w)));
        });
        if height * width <= NAIVE_VALUES {
            group.bench_function(BenchmarkId::new("naive", shape), |bencher| {
                bencher.iter(|| naive_merge(&operator, step, black_box(&mut w)));
            });
        }
    }
}

/// Solving `(A ⊗ B + c·I)·x = y` for symmetric factors: with the eigen-decomposition kept, anew each time, and naively,
/// with the sum formed and decomposed.
fn eigen_solves<T: Scalar>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("eigen-solve {}", T::NAME));
    group.sampling_mode(SamplingMode::Flat);
    let shift = T::from_f64_lossy(0.5);
    for side in [16, 32] {
        let rng = &mut generator();
        let mut gram = || {
            let half: Array2<T> = matrix(rng, side, side);
            half.dot(&half.t())
        };
        let k = Kron::new(gram(), gram()).expect("no factor is empty");
        let eigen = k.symmetric_eigen().expect("the factors are symmetric");
        let y: Array1<T> = matrix(rng, 1, side * side).row(0).to_owned();
        let name = format!("{side}x{side}*{side}x{side}");
        group.bench_function(BenchmarkId::new("kept", &name), |bencher| {
            bencher.iter(|| black_box(eigen.solve_shifted(shift, &y).expect("it is regular")));
        });
        group.bench_function(BenchmarkId::new("anew", &name), |bencher| {
            bencher.iter(|| black_box(k.solve_shifted(shift, &y).expect("it is regular")));
        });
        group.bench_function(BenchmarkId::new("naive", &name), |bencher| {
            bencher.iter(|| {
                let mut dense = k.to_dense();
                dense.diag_mut().mapv_inplace(|value| value + shift);
                let whole = Kron::new(dense, Array2::ones((1, 1))).expect("no factor is empty");
                black_box(whole.solve(&y).expect("it is regular"))
            });
        });
    }
}

/// Qubits of the states that gates are applied to.
const QUBITS: usize = 20;

/// A layer of 2 × 2 gates on all qubits, and one gate among identities, against a plain loop over the amplitudes. The
/// naive product has 2⁴⁰ values and is left out.
fn gates<T: Scalar>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("gates {}", T::NAME));
    group.throughput(Throughput::Elements(1 << QUBITS));
    let rng = &mut generator();
    let layer: Vec<Array2<T>> = (0..QUBITS).map(|_| matrix(rng, 2, 2)).collect();
    let one_at = |qubit: usize| {
        let mut gates = vec![Array2::eye(2); QUBITS];
        gates[qubit].assign(&layer[qubit]);
        gates
    };
    let state: Array1<T> = matrix(rng, 1, 1 << QUBITS).row(0).to_owned();
    let ones = [0, QUBITS / 2, QUBITS - 2, QUBITS - 1].map(|qubit| (format!("qubit {qubit}"), one_at(qubit)));
    for (name, gates) in std::iter::once(("layer".to_owned(), layer.clone())).chain(ones) {
        let chain = KronChain::new(&gates).expect("gates have elements");
        group.bench_function(BenchmarkId::new("lokr", &name), |bencher| {
            bencher.iter(|| black_box(chain.apply(&state).expect("the sizes fit")));
        });
        group.bench_function(BenchmarkId::new("plain loop", &name), |bencher| {
            bencher.iter(|| black_box(plain_gates(&gates, &state)));
        });
    }
}

/// Gate after gate that is not the identity, pair after pair of amplitudes, in place.
fn plain_gates<T: Scalar>(gates: &[Array2<T>], state: &Array1<T>) -> Vec<T> {
    let mut state = state.to_vec();
    for (qubit, gate) in gates.iter().enumerate().filter(|(_, gate)| **gate != Array2::<T>::eye(2)) {
        let step = 1 << (gates.len() - 1 - qubit);
        for base in (0..state.len()).step_by(2 * step) {
            for i in base..base + step {
                let (a, b) = (state[i], state[i + step]);
                state[i] = gate[[0, 0]] * a + gate[[0, 1]] * b;
                state[i + step] = gate[[1, 0]] * a + gate[[1, 1]] * b;
            }
        }
    }
    state
}

/// Adapters of one base that a batch uses, and rows of it.
const SERVED: usize = 16;
const ROWS: usize = 64;

/// A batch whose rows use different adapters of one base, 1024 → 1024: in one pass, and with a forward for each adapter
/// on its rows. The base alone is what no way can be faster than.
fn serving(c: &mut Criterion) {
    const SIDE: usize = 4096;
    let mut group = c.benchmark_group("mixed batch f32");
    group.throughput(Throughput::Elements(ROWS as u64));
    let rng = &mut generator();
    let (weight, bias) = (matrix::<f32>(rng, SIDE, SIDE), Array1::zeros(SIDE));
    let base = Shared::new(FullyConnected::from_arrays(weight, bias, Activation::Relu).expect("it is finite"));
    let base = base.expect("linear layers can be frozen");
    let x = matrix::<f32>(rng, ROWS, SIDE);
    let names: Vec<String> = (0..SERVED).map(|i| format!("task{i}")).collect();
    let rows: Vec<Option<&str>> = (0..ROWS).map(|row| Some(names[row % SERVED].as_str())).collect();
    for rank in [4, 64] {
        let mut network = Sequential::empty();
        network.push_named("q", base.clone()).expect("it is the first");
        let settings = |seed| LoKrSettings::new().rank(rank).init(LoKrInit::Random).seed(seed);
        let mut apart = Vec::new();
        for (seed, name) in (0..).zip(&names) {
            let update = settings(seed).update((SIDE, SIDE)).expect("the settings fit");
            let placed = PlacedUpdate { layer: "q".to_owned(), update, placement: None };
            network.put_updates(name, vec![placed]).expect("it fits");
            apart.push(settings(seed).adapt(base.clone()).expect("it fits"));
        }
        group.bench_function(BenchmarkId::new("one pass", rank), |bencher| {
            bencher.iter(|| black_box(network.predict_mixed(&x, &rows).expect("the shapes fit")));
        });
        group.bench_function(BenchmarkId::new("a forward per adapter", rank), |bencher| {
            bencher.iter(|| {
                let mut y = Array2::zeros((ROWS, SIDE));
                for (first, adapter) in apart.iter().enumerate() {
                    let own: Vec<usize> = (first..ROWS).step_by(SERVED).collect();
                    let part = adapter.predict(&x.select(Axis(0), &own)).expect("the shapes fit");
                    own.iter().zip(part.rows()).for_each(|(&row, part)| y.row_mut(row).assign(&part));
                }
                black_box(y)
            });
        });
    }
    group.bench_function("base alone", |bencher| {
        bencher.iter(|| black_box(base.predict(&x).expect("the shapes fit")));
    });
}

fn all(c: &mut Criterion) {
    join_pool();
    println!("{}", machine());
    apply::<f32>(c);
    apply::<f64>(c);
    gradients::<f32>(c);
    gradients::<f64>(c);
    merge::<f32>(c);
    merge::<f64>(c);
    eigen_solves::<f32>(c);
    eigen_solves::<f64>(c);
    gates::<f32>(c);
    gates::<f64>(c);
    serving(c);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .without_plots();
    targets = all
}
criterion_main!(benches);
