//! Neighbouring small factors, multiplied together where that saves more than it costs.
//!
//! `(A ⊗ B)·x` in one step with `A ⊗ B` takes more flops than in two, but moves the data once. For factors of 2 × 2 it
//! is the moving that counts, for 64 × 64 the flops. Identities are no part of a group of matrices, so that they do
//! nothing to any value.

use ndarray::linalg::kron;
use ndarray::{Array1, CowArray};
use smallvec::{SmallVec, smallvec};

use super::axis::{Axes, Axis};
use crate::contraction::{Contraction, Sequence, diagonal_cost, matrix_cost};
use crate::gemm::limits::{FORMING_COST, GROUPED_DIAGONAL, GROUPED_SIDE, LEAST_GROUPED, STEP_COST};
use crate::scalar::Scalar;
use crate::sums::{exponents, wide_exponent};

/// Multiplies neighbours together where that makes a batch of `rows` cheaper. A group is contracted when the first of
/// its members was.
pub(super) fn group<T: Scalar>(axes: &mut Axes<'_, T>, sequence: &mut Sequence, rows: usize) {
    // Two factors are what users multiply themselves if they want to; leaving them alone keeps memory out of it.
    if axes.len() < 3 || sequence.len() < 2 {
        return;
    }
    let values = |c: &Contraction| c.before.saturating_mul(c.after).saturating_mul(axes[c.axis].size());
    if sequence.iter().map(values).max().unwrap_or(0).saturating_mul(rows) < LEAST_GROUPED {
        return;
    }
    let mut groups = cheapest::<T>(&members(axes, sequence), rows);
    groups.retain(|&mut (start, end)| in_range(&axes[start..end]));
    // From the last on, so that the places of the others stay.
    for &(start, end) in &groups {
        axes[start] = product(&axes[start..end]);
        axes.drain(start + 1..end);
        for c in sequence.iter_mut() {
            c.axis = if c.axis < end { c.axis.min(start) } else { c.axis - (end - start - 1) };
        }
    }
    if !groups.is_empty() {
        tidy(axes, sequence);
    }
}

/// What a factor may be multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Diagonals.
    Identity,
    /// Diagonals and identities.
    Diagonal,
    /// Small matrices.
    Matrix,
    /// Nothing: it is large, or in halves.
    Other,
}

/// One axis as a candidate for a group.
#[derive(Debug, Clone, Copy)]
struct Member {
    kind: Kind,
    dim: (usize, usize),
    /// Place in the sequence, and the sizes of the axes around it then, multiplied.
    place: usize,
    before: f64,
    after: f64,
}

type Members = SmallVec<[Member; 4]>;

fn members<T: Scalar>(axes: &Axes<'_, T>, sequence: &Sequence) -> Members {
    let member = |axis: &Axis<'_, T>| {
        let (kind, dim) = match axis {
            Axis::Identity(size) => (Kind::Identity, (*size, *size)),
            Axis::Diagonal(diagonal) => (Kind::Diagonal, (diagonal.len(), diagonal.len())),
            Axis::Matrices(matrices) => match &matrices[..] {
                [matrix] if matrix.nrows().max(matrix.ncols()) <= GROUPED_SIDE / 2 => (Kind::Matrix, matrix.dim()),
                _ => (Kind::Other, (1, 1)),
            },
        };
        Member { kind, dim, place: usize::MAX, before: 1.0, after: 1.0 }
    };
    let mut members: Members = axes.iter().map(member).collect();
    for (place, c) in sequence.iter().enumerate() {
        let member = &mut members[c.axis];
        (member.place, member.before, member.after) = (place, c.before as f64, c.after as f64);
    }
    members
}

/// The groups of the cheapest partition, as `(start, end)`, the last one first.
fn cheapest<T: Scalar>(members: &Members, rows: usize) -> SmallVec<[(usize, usize); 2]> {
    // For all axes up to one: the least cost, and where the last group begins then.
    let mut best: SmallVec<[(f64, usize); 8]> = smallvec![(0.0, 0)];
    for end in 1..=members.len() {
        let mut choice = (f64::INFINITY, end - 1);
        for start in (0..end).rev() {
            let Some(cost) = cost::<T>(&members[start..end], rows as f64) else { break };
            if best[start].0 + cost < choice.0 {
                choice = (best[start].0 + cost, start);
            }
        }
        best.push(choice);
    }
    let (mut groups, mut end) = (SmallVec::new(), members.len());
    while end > 0 {
        let start = best[end].1;
        if end - start > 1 {
            groups.push((start, end));
        }
        end = start;
    }
    groups
}

/// Cost of neighbours as one group; `None` if they cannot be one, and none that has these in it can.
fn cost<T: Scalar>(members: &[Member], rows: f64) -> Option<f64> {
    let bytes = size_of::<T>();
    if let [member] = members {
        let count = rows * member.before;
        return Some(match member.kind {
            Kind::Matrix => matrix_cost(bytes, count, member.dim, member.after),
            Kind::Diagonal => diagonal_cost(bytes, count * member.dim.0 as f64 * member.after),
            Kind::Identity | Kind::Other => 0.0,
        });
    }
    let all = |kinds: &[Kind]| members.iter().all(|member| kinds.contains(&member.kind));
    let dim = members.iter().fold((1, 1), |dim, member| (dim.0 * member.dim.0, dim.1 * member.dim.1));
    // The others wait, as they were, on the axes around the one that comes first.
    let (first, earliest) = members.iter().enumerate().min_by_key(|(_, member)| member.place)?;
    let size = |members: &[Member]| members.iter().map(|member| member.dim.1).product::<usize>() as f64;
    let before = earliest.before / size(&members[..first]);
    let after = earliest.after / size(&members[first + 1..]);
    if all(&[Kind::Matrix]) && dim.0.max(dim.1) <= GROUPED_SIDE {
        let forming = FORMING_COST * (dim.0 * dim.1) as f64;
        Some(STEP_COST + forming + matrix_cost(bytes, rows * before, dim, after))
    } else if all(&[Kind::Diagonal, Kind::Identity]) && dim.0 <= GROUPED_DIAGONAL {
        let forming = FORMING_COST * dim.0 as f64;
        Some(STEP_COST + forming + diagonal_cost(bytes, rows * before * dim.0 as f64 * after))
    } else {
        None
    }
}

/// Whether no element of the product of these leaves the range of the type.
fn in_range<T: Scalar>(members: &[Axis<'_, T>]) -> bool {
    let range = |axis: &Axis<'_, T>| match axis {
        Axis::Matrices(matrices) => matrices.first().and_then(|matrix| exponents(matrix)),
        Axis::Diagonal(diagonal) => exponents(&diagonal.view().insert_axis(ndarray::Axis(0))),
        Axis::Identity(_) => None,
    };
    let ranges = members.iter().filter_map(range);
    let (low, high) = ranges.fold((0, 0), |(low, high), range| (low + range.0, high + range.1));
    let wide = wide_exponent::<T>();
    -wide <= low && high <= wide
}

/// The product of the members of a group.
fn product<'a, T: Scalar>(members: &[Axis<'_, T>]) -> Axis<'a, T> {
    let matrix = |axis: &Axis<'_, T>| match axis {
        Axis::Matrices(matrices) => matrices.first().map(|matrix| matrix.to_owned()),
        _ => None,
    };
    let matrices: Option<SmallVec<[_; 4]>> = members.iter().map(matrix).collect();
    if let Some(product) = matrices.and_then(|matrices| matrices.into_iter().reduce(|a, b| kron(&a, &b))) {
        return Axis::Matrices(smallvec![CowArray::from(product)]);
    }
    let diagonal = |axis: &Axis<'_, T>| match axis {
        Axis::Diagonal(diagonal) => diagonal.to_owned(),
        _ => Array1::ones(axis.size()),
    };
    let outer = |a: Array1<T>, b: Array1<T>| a.iter().flat_map(|&a| b.iter().map(move |&b| a * b)).collect();
    let product = members.iter().map(diagonal).fold(Array1::ones(1), outer);
    Axis::Diagonal(CowArray::from(product))
}

/// One contraction for every group, and the sizes around all of them.
fn tidy<T: Scalar>(axes: &Axes<'_, T>, sequence: &mut Sequence) {
    let mut sizes: SmallVec<[usize; 4]> = axes.iter().map(Axis::size).collect();
    let mut done: SmallVec<[usize; 4]> = smallvec![0; axes.len()];
    sequence.retain(|c| {
        let new = c.index == done[c.axis];
        if new {
            c.before = sizes[..c.axis].iter().product();
            c.after = sizes[c.axis + 1..].iter().product();
            sizes[c.axis] = axes[c.axis].size_after(c.index);
            done[c.axis] += 1;
        }
        new
    });
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use crate::contraction::Pass;
    use crate::operator::Factor;
    use lokr_testing::matrix;
    use ndarray::Array2;

    /// Sizes of the axes that a plan for a batch has in the end.
    fn sizes(factors: &[Factor<'_, f64>], batch: usize) -> Vec<usize> {
        Plan::new(factors, batch, Pass::Forward, || true).axes.iter().map(|axis| axis.size()).collect()
    }

    fn full(shapes: &[(usize, usize)]) -> Vec<Factor<'static, f64>> {
        (1..).zip(shapes).map(|(seed, &(rows, cols))| Factor::from(matrix(rows, cols, seed))).collect()
    }

    #[test]
    fn small_neighbours_are_multiplied_together_and_large_ones_are_not() {
        let gates = sizes(&full(&[(2, 2); 20]), 1);
        assert!(gates.len() <= 10 && gates.iter().product::<usize>() == 1 << 20, "{gates:?}");
        assert_eq!(sizes(&full(&[(64, 64); 3]), 1), [64; 3]);
        assert_eq!(sizes(&full(&[(2, 2), (2, 2), (2, 2), (128, 128)]), 100).last(), Some(&128));
        // A small batch does not pay for the products, and two factors are left alone.
        assert_eq!(sizes(&full(&[(2, 2); 4]), 1), [2; 4]);
        assert_eq!(sizes(&full(&[(4, 4); 2]), 1000), [4; 2]);
    }

    #[test]
    fn reducing_and_widening_neighbours_are_not_multiplied() {
        // One after the other they take a row through eight values less; together eight times the flops.
        assert_eq!(sizes(&full(&[(32, 1), (1, 32), (200, 200)]), 1000), [1, 32, 200]);
    }

    #[test]
    fn identities_and_halves_divide_groups_of_matrices_but_not_of_diagonals() {
        let low = Factor::low_rank(matrix(9, 1, 8), matrix(1, 9, 9)).unwrap();
        for between in [Factor::from(Array2::eye(9)), low] {
            let mut factors = full(&[(2, 2); 4]);
            factors.insert(2, between);
            assert_eq!(sizes(&factors, 500), [4, 9, 4]);
        }
        let diagonal = |size| Factor::from(Array2::from_diag(&matrix(1, size, 3).row(0)));
        let identity = || Factor::from(Array2::eye(4));
        assert_eq!(sizes(&[identity(), diagonal(3), identity(), diagonal(5), identity()], 500), [4, 60, 4]);
        assert_eq!(sizes(&[diagonal(80), diagonal(80), diagonal(2)], 5), [80, 160]);
    }
}
