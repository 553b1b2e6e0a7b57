//! The naive way: the Kronecker product is formed, by [`kron_dense`], and used as any matrix.

use lokr::core::{KronChain, Scalar, kron_dense, matmul_into};
use ndarray::{Array2, ArrayRef2, s};

use super::operator::Operator;

/// The factors as full matrices; of a chain, the first and the product of the others.
fn dense_factors<T: Scalar>(operator: &Operator<T>) -> (Array2<T>, Array2<T>) {
    match operator {
        Operator::Two(kron) => (kron.a().to_dense(), kron.b().to_dense()),
        Operator::Chain(chain) => {
            let (first, others) = chain.factors().split_first().expect("a chain has a factor");
            let rest = KronChain::new(others).and_then(|rest| rest.to_dense()).expect("the sizes are small");
            (first.to_dense(), rest)
        }
    }
}

fn form<T: Scalar>(operator: &Operator<T>) -> Array2<T> {
    let (a, b) = dense_factors(operator);
    kron_dense(&a, &b).expect("the sizes are small")
}

/// `Y ← X·Kᵀ` with `K` formed first.
pub fn naive_apply<T: Scalar>(operator: &Operator<T>, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) {
    let k = form(operator);
    matmul_into(T::one(), x, &k.t(), T::zero(), y).expect("the shapes fit");
}

/// Gradients of two full factors.
pub struct NaiveGradients<T> {
    pub a: Array2<T>,
    pub b: Array2<T>,
}

/// The gradients by way of the dense gradient `dYᵀ·X`, and `dX ← dY·K` with `K` formed first. Halves of a low-rank
/// factor are left out: their share is small. The blocks of the dense gradient that belong to one element of `A` are
/// read row by row.
pub fn naive_gradients<T: Scalar>(
    operator: &Operator<T>,
    x: &ArrayRef2<T>,
    dy: &ArrayRef2<T>,
    dx: &mut ArrayRef2<T>,
) -> NaiveGradients<T> {
    let (a, b) = dense_factors(operator);
    let k = kron_dense(&a, &b).expect("the sizes are small");
    matmul_into(T::one(), dy, &k, T::zero(), dx).expect("the shapes fit");
    let mut dense = k; // Its memory serves again.
    matmul_into(T::one(), &dy.t(), x, T::zero(), &mut dense).expect("the shapes fit");
    let (mut d_a, mut d_b) = (Array2::zeros(a.dim()), Array2::zeros(b.dim()));
    let (p, q) = b.dim();
    for ((i, j), &a) in a.indexed_iter() {
        let block = dense.slice(s![i * p..(i + 1) * p, j * q..(j + 1) * q]);
        for ((dense, b), mut d_b) in block.rows().into_iter().zip(b.rows()).zip(d_b.rows_mut()) {
            d_a[[i, j]] += dense.dot(&b);
            d_b.scaled_add(a, &dense);
        }
    }
    NaiveGradients { a: d_a, b: d_b }
}

/// `W ← W + s·K` with `K` formed first.
pub fn naive_merge<T: Scalar>(operator: &Operator<T>, s: T, w: &mut ArrayRef2<T>) {
    w.scaled_add(s, &form(operator));
}
