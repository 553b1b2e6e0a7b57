//! Kronecker products of `ndarray` matrices, applied, differentiated and decomposed without being formed.
//!
//! A product `A ⊗ B` of two small matrices stands for a large one: two factors of 64 × 64 for a matrix of 4096 × 4096.
//! This crate holds the factors, borrowed or owned, full or low-rank, and does with them what is done with matrices.
//!
//! ```
//! use lokr_core::Kron;
//! use ndarray::array;
//!
//! let k = Kron::new(array![[1.0, 2.0], [0.0, 1.0]], array![[2.0, 0.0], [0.0, 4.0]])?; // (4, 4), from eight values
//! let x = array![[1.0, 2.0, 3.0, 4.0]]; // one sample
//! let y = k.apply(&x)?;
//! assert_eq!(y, array![[14.0, 40.0, 6.0, 16.0]]);
//!
//! let (gradients, dx) = k.gradients(&x, &array![[1.0, 0.0, 0.0, 0.0]])?;
//! assert_eq!(gradients.parts()[0], array![[2.0, 6.0], [0.0, 0.0]]); // of A
//! assert_eq!(dx, array![[2.0, 0.0, 4.0, 0.0]]);
//!
//! assert_eq!(k.solve(&y)?, x);
//! let mut w = k.to_dense();
//! k.add_to(-1.0, &mut w)?;
//! assert!(w.iter().all(|&w| w == 0.0));
//! # Ok::<(), lokr_core::KronError>(())
//! ```
//!
//! # What it can do
//! | task | where |
//! |---|---|
//! | make a product of two factors | [`Kron::new`], [`Factor::low_rank`] |
//! | make one of many factors, nest them | [`KronChain::new`], [`KronBase::kron`](operator::KronBase::kron) |
//! | make a Kronecker sum | [`KronSum`] |
//! | apply it to a vector, to rows or fields | [`Kron::apply`], [`Kron::apply_transposed`], [`Kron::apply_into`] |
//! | add products up, with weights | [`KronTerms`], `&k + &l`, [`Kron::plus`] |
//! | apply a sum of products, differentiate it | [`KronTerms::apply`], [`KronTerms::gradients`] |
//! | apply it again and again | [`Kron::prepared`] |
//! | differentiate | [`Kron::gradients`], [`KronGradients`], [`KronChain::gradients`] |
//! | merge it into a weight | [`Kron::add_to`] |
//! | look at elements and blocks | [`Kron::element`], [`Kron::block`], [`Kron::slice`] |
//! | look at rows, columns, the diagonal | [`Kron::row`], [`Kron::column`], [`Kron::diag`] |
//! | add its elements up | [`Kron::sum`], [`Kron::sum_axis`] |
//! | multiply it by a number, negate it | `k * s`, `-k`, [`Kron::scaled`] |
//! | ask whether it is symmetric | [`Kron::is_symmetric`], [`Kron::is_symmetric_within`] |
//! | change the element type | [`Kron::cast`] |
//! | get the factors back | [`Kron::into_parts`], [`KronChain::into_parts`] |
//! | write it out | [`Kron::to_dense`], [`Kron::try_to_dense`], [`kron_dense`] |
//! | multiply products | [`Kron::matmul`] or `&k * &l`, [`Kron::pow`], [`Kron::hadamard`] |
//! | compare products | [`Kron::inner`], [`Kron::cosine`] |
//! | compare sums of products | [`KronTerms::inner`], [`KronTerms::cosine`], [`KronTerms::frobenius_norm`] |
//! | make a sum of fewer terms | [`KronTerms::compress`] |
//! | solve systems | [`Kron::solve`], [`Kron::solve_shifted`], [`KronSum::solve`] |
//! | solve with the same product again and again | [`Kron::lu`], [`Kron::cholesky_solver`], [`KronSolver`] |
//! | least squares, ridge regression | [`Kron::least_squares`], [`Kron::qr`], [`Kron::ridge`], [`KronSvd::ridge`] |
//! | differentiate solutions | [`KronSolver::solve_gradients`] |
//! | differentiate log-determinants | [`KronSolver::log_determinant_gradients`] |
//! | the same with a shift | [`KronEigen::solve_shifted_gradients`], [`KronEigen::log_determinant_shifted_gradients`] |
//! | solve singular systems, with the null space | [`KronSum::pseudo_solve`], [`KronEigen::pseudo_solve`] |
//! | solve with a sum of products | [`KronTerms::conjugate_gradients`] |
//! | solve with a product plus any diagonal | [`Kron::conjugate_gradients`] |
//! | invert | [`Kron::inverse`], [`Kron::pseudo_inverse`], [`Kron::cholesky`] |
//! | determinant and trace | [`Kron::determinant`], [`Kron::log_determinant`], [`Kron::trace`] |
//! | norms | [`Kron::frobenius_norm`], [`Kron::spectral_norm`], [`Kron::one_norm`] |
//! | rank and condition | [`Kron::rank`], [`Kron::condition_number`], [`KronSolver::reciprocal_condition`] |
//! | symmetric eigenvalues and vectors | [`Kron::symmetric_eigen`], [`KronSum::symmetric_eigen`], [`KronEigen`] |
//! | many shifts, functions of a matrix | [`KronEigen::solve_shifted`], [`KronEigen::apply_function`] |
//! | log-determinant of a shifted product or sum | [`KronEigen::log_determinant_shifted`] |
//! | any eigenvalues, complex | [`Kron::eigenvalues`], [`KronSum::eigenvalues`] |
//! | exponential of a sum | [`KronSum::exp`] |
//! | singular values, a LoRA of the same matrix | [`Kron::svd`], [`KronSvd::low_rank`] |
//! | truncate or filter singular values | [`KronSvd::solve_within`], [`KronSvd::apply_function`] |
//! | nearest product to a matrix | [`nearest_kron`], [`NearestOptions`] |
//! | nearest product to a sum of products | [`nearest_to_sum`] |
//! | split a size in two | [`factorization`], [`FactorizationRule`] |
//! | plan the factors of a layer | [`Planner`], [`FactorChoice`], [`ParameterCounts`] |
//! | dense products | [`matmul_into`], [`PackedMatrix`] |
//! | ask which library multiplies, and how | [`backend()`], [`backend_details`] |
//!
//! The rooms [`operator`], [`algebra`], [`nearest`], [`terms`], [`sizes`] and [`gemm`] have the same items by subject.
//!
//! # Conventions
//! `A` is `(m, n)`, `B` is `(p, q)`, `A ⊗ B` is `(m·p, n·q)` with
//! `(A ⊗ B)[i·p + k, j·q + l] = A[i, j]·B[k, l]`: the outer index belongs to `A`. Data come as batches of rows: `x` has
//! one sample per row, and `apply` computes `Y = X·(A ⊗ B)ᵀ`, what a linear layer with weight `A ⊗ B` does. A single
//! vector and a batch of fields, `(batch, n, q)`, are taken wherever a batch is. Elements are `f32` or `f64`,
//! [`Scalar`].
//!
//! [`Kron`] and [`KronChain`] are two names of one type, [`KronBase`](operator::KronBase); whatever is linked below to
//! one of them the other can do as well.
//!
//! What users pass is checked first and never panics: functions return [`Result`], with the shapes and names in
//! [`KronError`], and leave their arguments as they were. On the embedded backend the bits of a result do not depend on
//! the number of threads.
//!
//! # The identity everything rests on
//! Read a row `x` in row-major order as a matrix `X (n, q)`. Then `(A ⊗ B)·x`, read the same way, is `A·X·Bᵀ (m, p)`
//! (Horn & Johnson, *Topics in Matrix Analysis*, Lemma 4.3.1, restated for rows). Two small products replace one with
//! the whole matrix.
//!
//! # Features
//! `approx` brings the traits of that crate, which compare the matrices that operators stand for; `serde` reads and
//! writes operators as their factors. Both are off by default.
//!
//! # Backends
//! Without a feature, products run on embedded kernels, threaded by rayon. One of the features `openblas-system`,
//! `openblas-static`, `blis`, `intel-mkl`, `accelerate` and `netlib` links a BLAS for large products.

pub mod algebra;
mod check;
mod contraction;
mod decompose;
mod error;
pub mod gemm;
mod hint;
pub mod memory;
pub mod nearest;
pub mod operator;
mod scalar;
mod shape;
pub mod sizes;
mod sums;
pub mod terms;
#[cfg(test)]
mod test_support;

pub use algebra::{
    KronEigen, KronQr, KronSolver, KronSum, KronSvd, LogDeterminant, PseudoSolution, SolvePath, Symmetry,
};
pub use contraction::Order;
pub use error::{KronError, Result};
pub use gemm::{Backend, BackendDetails, PackedMatrix, backend, backend_details, matmul_into};
pub use nearest::{NearestKron, NearestOptions, nearest_kron, nearest_to_sum};
/// Complex numbers, of the crate `num-complex`.
pub use num_complex::Complex;
pub use operator::{Factor, Kron, KronChain, KronGradients, LowRank, kron_dense};
pub use scalar::Scalar;
pub use shape::KronShape;
pub use sizes::{ChoiceNote, FactorChoice, FactorizationRule, ParameterCounts, Planner, factorization};
pub use terms::{CgOptions, CgSolution, Diagonal, KronTerms, Preconditioner, TermsGradients};

/// The former name of [`FactorChoice`].
#[deprecated(note = "renamed to `FactorChoice`")]
pub type Choice = FactorChoice;

/// The former name of [`ChoiceNote`].
#[deprecated(note = "renamed to `ChoiceNote`")]
pub type Note = ChoiceNote;

/// The example of the package's page, tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
