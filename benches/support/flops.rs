//! The fewest flops an operator can be applied and differentiated with, counted here and not by the library.
//!
//! Contracting an axis `d_in → d_out` of a row that holds `S` values costs `2·S·d_out` flops and leaves `S·d_out/d_in`
//! values. A forward pass does every contraction once. A backward pass that is given the input does each of them twice
//! (the gradient of its matrix, and the gradient of its input), and all but the last a third time, to compute the
//! intermediates again. All orders of the axes are tried, and a low-rank factor both in halves and multiplied out.

use super::shape::Shape;

/// Fewest flops of a forward pass over `batch` rows.
pub fn forward_flops(shape: Shape, batch: usize) -> usize {
    flops(shape, batch, Weights { inner: 1, last: 1, forming: 1 })
}

/// Fewest flops of a backward pass over `batch` rows: the gradients of all matrices and of the input.
pub fn backward_flops(shape: Shape, batch: usize) -> usize {
    flops(shape, batch, Weights { inner: 3, last: 2, forming: 3 })
}

/// How often a contraction is done, and how often the product of a low-rank factor's halves.
#[derive(Clone, Copy)]
struct Weights {
    inner: usize,
    last: usize,
    forming: usize,
}

fn flops(shape: Shape, batch: usize, weights: Weights) -> usize {
    let axes = shape.axes();
    let kept = batch * cheapest(&axes, weights);
    match shape {
        Shape::Two { m, n, p, q, rank: Some(r) } => {
            let formed = batch * cheapest(&Shape::two(m, n, p, q).axes(), weights) + weights.forming * 2 * p * r * q;
            kept.min(formed)
        }
        _ => kept,
    }
}

/// Fewest flops per row over all orders; matrices of one axis keep theirs.
fn cheapest(axes: &[Vec<(usize, usize)>], weights: Weights) -> usize {
    let sizes: Vec<usize> = axes.iter().map(|axis| axis[0].1).collect();
    search(axes, &mut vec![0; axes.len()], &mut sizes.clone(), weights)
}

fn search(axes: &[Vec<(usize, usize)>], next: &mut [usize], sizes: &mut [usize], weights: Weights) -> usize {
    let left: usize = axes.iter().zip(next.iter()).map(|(axis, &next)| axis.len() - next).sum();
    let mut best = usize::MAX;
    for axis in 0..axes.len() {
        let Some(&(d_out, d_in)) = axes[axis].get(next[axis]) else { continue };
        let cost = 2 * sizes.iter().product::<usize>() * d_out;
        sizes[axis] = d_out;
        next[axis] += 1;
        let total = match left {
            1 => weights.last * cost,
            _ => weights.inner * cost + search(axes, next, sizes, weights),
        };
        best = best.min(total);
        next[axis] -= 1;
        sizes[axis] = d_in;
    }
    best
}
