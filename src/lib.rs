//! LoKr adapters: a trained weight `W` learns something new through `W + s·(A ⊗ B)`, and the Kronecker product of
//! the two small factors is applied, differentiated and merged without ever being formed.
//!
//! This crate is one name for the crates of the project. Each can be used alone, and has a page that tells what it
//! can do:
//!
//! | module | crate | for |
//! |---|---|---|
//! | [`core`] | `lokr-core` | Kronecker products as operators, and what their factors tell of them; factor sizes |
//! | [`layers`] | `lokr-layers` | layers, the trainable adapter around them, losses, optimizers, a training loop |
//! | `checkpoint` | `lokr-checkpoint` | adapters of PEFT, LyCORIS, kohya and others on disk; jobs on whole models |
//! | `onnx` | `lokr-onnx` | networks as ONNX models, adapters merged or apart |
//!
//! The last two are there with the features of their names, which are off by default: networks that stay in memory
//! need none of them. The program `lokr`, for adapters on disk without writing code, is the crate `lokr-cli`.
//!
//! # Conventions
//! `A` is `(m, n)`, `B` is `(p, q)`, a weight `(out, in)` with `out = m·p` and `in = n·q`; the outer index belongs
//! to `A`. Data are batches with one sample per row, arrays of [`ndarray`](https://docs.rs/ndarray) in `f32` or
//! `f64`. What goes wrong is a `Result` that names sizes, and nothing has been changed then.
//!
//! # Products
//! A [`Kron`](core::Kron) is the product of two factors, each full or low-rank. This one stands for a matrix of
//! 4096 × 4096:
//!
//! ```
//! use lokr::core::Kron;
//! use ndarray::Array2;
//!
//! let a = Array2::from_shape_fn((64, 64), |(i, j)| ((3 * i + 5 * j) % 7) as f64 - 3.0);
//! let b = Array2::from_diag_elem(64, 2.0);
//! let kron = Kron::new(a, b)?;
//! assert_eq!((kron.dim(), kron.parameter_count()), ((4096, 4096), 8192));
//!
//! let y = kron.apply(&Array2::ones((8, 4096)))?; // X·(A ⊗ B)ᵀ
//! assert_eq!(y.dim(), (8, 4096));
//! let norm = kron.a().to_dense().iter().map(|v| v * v).sum::<f64>().sqrt() * 16.0; // ‖B‖ = 2·√64
//! assert!((kron.frobenius_norm() - norm).abs() < 1e-9 * norm);
//! # Ok::<(), lokr::core::KronError>(())
//! ```
//!
//! # Training
//! A [`LoKrAdapter`](layers::LoKrAdapter) goes around any [`Layer`](layers::Layer) and is one itself: it is
//! trained, and then merged into a plain layer.
//!
//! ```
//! use lokr::layers::{Activation, FullyConnected, Layer, LoKrAdapter};
//! use ndarray::{Array1, Array2};
//!
//! let weights = Array2::from_shape_fn((16, 12), |(i, j)| ((5 * i + 3 * j) % 7) as f64 / 7.0 - 0.5);
//! let base = FullyConnected::from_arrays(weights, Array1::zeros(16), Activation::Tanh)?;
//! let mut adapted = LoKrAdapter::new(base, 2, None, true)?; // rank 2, alpha as the rank, the base frozen
//!
//! let x = Array2::from_shape_fn((8, 12), |(i, j)| ((i + 2 * j) % 5) as f64 / 5.0);
//! let loss = |y: &Array2<f64>| y.iter().map(|y| (y - 0.5).powi(2)).sum::<f64>();
//! let before = loss(&adapted.predict(&x)?);
//! for _ in 0..100 {
//!     let error = adapted.forward(&x)? - 0.5;
//!     adapted.clear_gradients();
//!     adapted.backward(&(error / 8.0))?;
//!     adapted.update_parameters(0.1)?;
//! }
//! let merged: FullyConnected<f64> = adapted.merge()?;
//! assert!(loss(&merged.predict(&x)?) < before / 2.0);
//! # Ok::<(), lokr::layers::LayerError>(())
//! ```
//!
//! # Files
//! With the feature `checkpoint`: an adapter that PEFT saved, and a layer of the model with it, to be used or
//! trained on.
//!
#![cfg_attr(feature = "checkpoint", doc = "```")]
#![cfg_attr(not(feature = "checkpoint"), doc = "```ignore")]
//! use lokr::checkpoint::{Adapter, BaseModel, ReadOptions, ScaleRule};
//! use lokr::layers::{Activation, Layer};
//! use ndarray::Array2;
//!
//! let adapter = Adapter::read("examples/adapters/my-adapter", &ReadOptions::default())?;
//! let model = BaseModel::open("examples/adapters/model.safetensors")?;
//!
//! let layer = model.fully_connected::<f32>("fc1", Activation::Relu)?;
//! let adapted = adapter.modules()["fc1"].to_layer(layer, ScaleRule::Trained)?;
//! assert_eq!(adapted.predict(&Array2::zeros((1, 28)))?.dim(), (1, 40));
//! # Ok::<(), lokr::checkpoint::CheckpointError>(())
//! ```
//!
//! # Backends
//! Large matrix products go to embedded kernels, or to a BLAS that a cargo feature chooses: `openblas-system`,
//! `openblas-static`, `blis`, `intel-mkl`, `accelerate` or `netlib`. [`core::backend`] names the one in use. A
//! library should enable none of them and leave the choice to the program.
//!
//! # Further
//! The project's folder `docs` holds a book: the mathematics with derivations, how to choose rank and factor, file
//! formats, backends and measurements.

#[cfg(feature = "checkpoint")]
#[doc(inline)]
pub use lokr_checkpoint as checkpoint;
#[doc(inline)]
pub use lokr_core as core;
#[doc(inline)]
pub use lokr_layers as layers;
#[cfg(feature = "onnx")]
#[doc(inline)]
pub use lokr_onnx as onnx;

/// The example of the README compiles and holds.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So do those of the tour.
#[cfg(doctest)]
#[doc = include_str!("../docs/tour.md")]
struct Tour;

/// The examples of the chapter on training.
#[cfg(doctest)]
#[doc = include_str!("../docs/training.md")]
struct TrainingChapter;
