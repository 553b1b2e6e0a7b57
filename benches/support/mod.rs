//! What the benchmarks share: the named shapes, their operators and flop counts, the naive way, seeded data.
#![allow(dead_code, unreachable_pub, unused_imports)] // Every benchmark uses a part of it.

mod data;
mod flops;
mod machine;
pub mod measure;
mod naive;
mod operator;
mod shape;

pub use data::{generator, matrix};
pub use flops::{backward_flops, forward_flops};
pub use machine::{join_pool, machine, processor};
pub use naive::{NaiveGradients, naive_apply, naive_gradients, naive_merge};
pub use operator::Operator;
pub use shape::Shape;
