//! What a merge allocates, counted by the allocator itself.
#![allow(clippy::unwrap_used, clippy::expect_used)] // In helpers too, a failure is the test's.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use lokr_checkpoint::{
    Adapter, BaseModel, FloatType, MergeOptions, Overwrite, ReadOptions, Strength, Tensor, VerifyOptions, merge,
    verify, write_tensors,
};
use lokr_testing::CountingAllocator;
use ndarray::Array2;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Rows and columns of a layer: 2 MiB in bf16.
const SIZE: usize = 1024;
const MIB: usize = 1 << 20;

/// A model of so many equal layers and an adapter of them all.
fn model(folder: &Path, layers: usize) -> (BaseModel, Adapter) {
    let matrix = |size: usize| Array2::from_shape_fn((size, size), |(i, j)| ((i * 7 + j * 3) % 32) as f32 / 16.0 - 1.0);
    let (weight, factor) =
        (Tensor::from_array(&matrix(SIZE), FloatType::Bf16), Tensor::from_array(&matrix(32), FloatType::Bf16));
    let (mut weights, mut factors) = (BTreeMap::new(), BTreeMap::new());
    for layer in 0..layers {
        weights.insert(format!("{layer}.weight"), weight.clone());
        for key in ["lokr_w1", "lokr_w2"] {
            factors.insert(format!("lycoris_{layer}.{key}"), factor.clone());
        }
    }
    let write = |name: &str, tensors| {
        let path = folder.join(name);
        write_tensors(&path, &tensors, &BTreeMap::new(), Overwrite::Refuse).unwrap();
        path
    };
    let base = BaseModel::open(write("base.safetensors", weights)).unwrap();
    (base, Adapter::read(write("adapter.safetensors", factors), &ReadOptions::default()).unwrap())
}

/// One test only, because the counters are shared: the peak of merging and verifying many layers is that of a few.
#[test]
fn memory_does_not_grow_with_the_model() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let peaks = [4, 24].map(|layers| {
        let folder = tempfile::tempdir().unwrap();
        let (base, adapter) = model(folder.path(), layers);
        let (adapters, out) = ([(&adapter, Strength::default())], folder.path().join("out.safetensors"));
        let go_on = &mut |_: lokr_checkpoint::Progress<'_>| ControlFlow::Continue(());
        pool.install(|| {
            let (_, merging) = ALLOCATOR.count(|| {
                merge(&base, &adapters, &out, &MergeOptions::default(), go_on).unwrap();
            });
            let merged = BaseModel::open(&out).unwrap();
            let (_, verifying) = ALLOCATOR.count(|| {
                verify(&base, &adapters, &merged, &VerifyOptions::default(), go_on).unwrap();
            });
            [merging, verifying]
        })
    });
    let [few, many] = peaks;
    // The larger model has 48 MiB.
    for (few, many) in few.into_iter().zip(many) {
        assert!(many < few + few / 2 + MIB && many < 24 * MIB, "{peaks:?}");
    }
}
