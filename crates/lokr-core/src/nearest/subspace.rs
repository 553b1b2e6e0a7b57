//! The leading right singular vectors of a tall matrix that can only be multiplied with.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::SplitMix64;

use super::options::NearestOptions;
use super::rearranged::Rearranged;
use crate::decompose::symmetric_eigen;
use crate::error::Result;
use crate::gemm::{Blend, Threads, matmul, product};
use crate::operator::Factor;
use crate::scalar::Scalar;

/// Up to this width `RᵀR` is formed and decomposed directly.
const EXACT_WIDTH: usize = 64;

/// The basis is thinned out when it would grow beyond this many vectors (or four blocks).
const BASIS: usize = 96;

/// What an iteration found.
pub(super) struct Subspace {
    /// Orthonormal rows, the leading first, `(k, width)`.
    pub(super) vectors: Array2<f64>,
    /// Passes over the matrix.
    pub(super) iterations: usize,
    pub(super) converged: bool,
}

/// The `k` leading eigenvectors of `RᵀR`, by block Lanczos with full orthogonalisation and thick restarts (Golub &
/// Underwood 1977; Wu & Simon 2000), each block one pass over the matrix.
///
/// The basis and the images of its vectors are both kept (`width` values each), so that the residuals
/// `‖RᵀR x − θ x‖` are computed, not estimated, and a restart needs no pass. A vector is accepted when its residual is
/// at most the tolerance times the largest eigenvalue.
pub(super) fn leading<T: Scalar>(
    operation: &'static str,
    matrix: &Rearranged<'_, T>,
    k: usize,
    options: &NearestOptions,
) -> Result<Subspace> {
    let width = matrix.width();
    let block = k.saturating_add(options.oversampling).min(width);
    let eigen = |matrix: Array2<f64>| symmetric_eigen(operation, "R(W)ᵀR(W)", &Factor::from(matrix));
    if width <= EXACT_WIDTH || 2 * block >= width {
        let gram = symmetric(matrix.gram());
        let (_, vectors) = eigen(gram)?;
        return Ok(Subspace { vectors: last_columns(&vectors, k), iterations: 1, converged: true });
    }

    // The products are rounded to `T`; no residual can be asked to fall below that noise.
    let tolerance = options.tolerance.max(32.0 * T::epsilon().to_f64_exact());
    let limit = BASIS.max(4 * block);
    let mut random = SplitMix64::seed_from_u64(options.seed);
    let start = Array2::from_shape_simple_fn((block, width), || symmetric_uniform(&mut random));
    let mut next = orthonormal(start, 0.0, &Array2::zeros((0, width)));
    let mut basis = Array2::zeros((0, width));
    let mut images = Array2::zeros((0, width));
    let mut projected = Array2::zeros((0, 0));
    let mut iterations = 0;
    loop {
        iterations += 1;
        let image = matrix.normal(&next);
        basis = stacked(&basis, &next);
        images = stacked(&images, &image);
        projected = bordered(&projected, &times(image.view(), basis.t()));

        let (values, vectors) = eigen(projected.clone())?;
        let values: Array1<f64> = values.iter().rev().copied().collect();
        let leading = last_columns(&vectors, k);
        let found = times(leading.view(), basis.view());
        let mut residuals = times(leading.view(), images.view());
        for ((mut residual, vector), &value) in residuals.rows_mut().into_iter().zip(found.rows()).zip(&values) {
            residual.scaled_add(-value, &vector);
        }
        let accepted = residuals.rows().into_iter().all(|r| r.dot(&r).sqrt() <= tolerance * values[0]);
        if accepted || iterations >= options.max_iterations {
            return Ok(Subspace { vectors: found, iterations, converged: accepted });
        }

        next = orthonormal(image, 1e-13 * values[0], &basis);
        if next.is_empty() {
            // The basis spans everything that the matrix maps it to: its vectors are exact.
            return Ok(Subspace { vectors: found, iterations, converged: true });
        }
        if basis.nrows() + next.nrows() > limit {
            let kept = last_columns(&vectors, k + block);
            basis = times(kept.view(), basis.view());
            images = times(kept.view(), images.view());
            projected = Array2::from_diag(&values.slice(s![..kept.nrows()]));
        }
    }
}

/// The last `count` columns, from the last on, as rows.
fn last_columns(vectors: &Array2<f64>, count: usize) -> Array2<f64> {
    vectors.slice(s![.., ..;-1]).slice(s![.., ..count]).t().to_owned()
}

/// `A·B` of small matrices, on the calling thread.
fn times(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Array2<f64> {
    matmul(a, b, Threads::One)
}

fn stacked(top: &Array2<f64>, bottom: &Array2<f64>) -> Array2<f64> {
    let mut stacked = Array2::zeros((top.nrows() + bottom.nrows(), bottom.ncols()));
    stacked.slice_mut(s![..top.nrows(), ..]).assign(top);
    stacked.slice_mut(s![top.nrows().., ..]).assign(bottom);
    stacked
}

/// The symmetric matrix with `corner` at the top left and `border` as its last rows and columns.
fn bordered(corner: &Array2<f64>, border: &Array2<f64>) -> Array2<f64> {
    let (old, size) = (corner.nrows(), border.ncols());
    Array2::from_shape_fn((size, size), |(i, j)| match (i.max(j), i.min(j)) {
        (large, small) if large >= old => border[[large - old, small]],
        _ => corner[[i, j]],
    })
}

/// Exactly symmetric, from the lower triangle.
fn symmetric(matrix: Array2<f64>) -> Array2<f64> {
    bordered(&Array2::zeros((0, 0)), &matrix)
}

/// Orthonormal rows with the span of `block`, outside the span of the orthonormal rows of `basis`. What is left of a
/// row at or below `negligible` is dropped. Projects twice, which is enough (Giraud, Langou & Rozložník 2005).
fn orthonormal(mut block: Array2<f64>, negligible: f64, basis: &Array2<f64>) -> Array2<f64> {
    for negligible in [negligible, 0.0] {
        let shares = times(block.view(), basis.t());
        product(Blend { alpha: -1.0, beta: 1.0 }, shares.view(), basis.view(), block.view_mut(), Threads::One);
        let mut kept = 0;
        for row in 0..block.nrows() {
            let (done, mut rest) = block.view_mut().split_at(Axis(0), row);
            let mut current = rest.row_mut(0);
            for _ in 0..2 {
                for other in done.rows().into_iter().take(kept) {
                    let share = other.dot(&current);
                    current.scaled_add(-share, &other);
                }
            }
            let norm = current.dot(&current).sqrt();
            if norm > negligible {
                current /= norm;
                let current = current.to_owned();
                block.row_mut(kept).assign(&current);
                kept += 1;
            }
        }
        block = block.slice_move(s![..kept, ..]);
    }
    block
}

/// Uniform in `[−1, 1)`; the same seed gives the same bits everywhere.
fn symmetric_uniform(random: &mut SplitMix64) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_recorded_values() {
        let mut random = SplitMix64::seed_from_u64(0x0123_4567_89AB_CDEF);
        let found: Vec<f64> = (0..3).map(|_| symmetric_uniform(&mut random)).collect();
        assert_eq!(found, [-0.8322076761895711, 0.6675818689193549, -0.6283961317505076]);
    }
}
