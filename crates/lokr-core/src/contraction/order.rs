//! In which order to contract: flop counts and the choice, on integers only.

use smallvec::{SmallVec, smallvec};

use crate::shape::KronShape;

/// Which factor of `A ⊗ B` is contracted with the input first.
///
/// Both orders give the same result up to rounding; they differ in cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// `A·(X·Bᵀ)`: `2·n·p·(q + m)` flops per row.
    BFirst,
    /// `(A·X)·Bᵀ`: `2·m·q·(n + p)` flops per row.
    AFirst,
}

impl Order {
    /// Flops per row of the input for two full factors; `usize::MAX` when there are more.
    ///
    /// # Examples
    /// ```
    /// use lokr_core::{KronShape, Order};
    /// let shape = KronShape::new(10, 8, 7, 9)?;
    /// assert_eq!(Order::BFirst.flops(shape), 2 * (8 * 9 * 7 + 10 * 8 * 7));
    /// assert_eq!(Order::AFirst.flops(shape), 2 * (10 * 8 * 9 + 10 * 9 * 7));
    /// assert_eq!(Order::cheapest(shape), Order::BFirst);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub const fn flops(self, shape: KronShape) -> usize {
        let KronShape { m, n, p, q } = shape;
        match self {
            Self::BFirst => 2usize.saturating_mul(n).saturating_mul(p).saturating_mul(q.saturating_add(m)),
            Self::AFirst => 2usize.saturating_mul(m).saturating_mul(q).saturating_mul(n.saturating_add(p)),
        }
    }

    /// The order with fewer flops; `BFirst` when they are equal, since it makes one large product out of the batch
    /// before the many small ones.
    #[must_use]
    pub const fn cheapest(shape: KronShape) -> Self {
        if Self::AFirst.flops(shape) < Self::BFirst.flops(shape) { Self::AFirst } else { Self::BFirst }
    }
}

/// What a plan is for, which decides how often each contraction is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Every contraction once.
    Forward,
    /// Every contraction twice, for the gradients of its matrix and of its input, and all but the last a third time, to
    /// compute the intermediates again. Orders that tie forwards differ here: the dearest contraction belongs last.
    Backward,
}

impl Pass {
    /// Times that a contraction is done.
    fn times(self, last: bool) -> usize {
        match (self, last) {
            (Self::Forward, _) => 1,
            (Self::Backward, true) => 2,
            (Self::Backward, false) => 3,
        }
    }

    /// Times that the product of a low-rank factor's halves is done, if it is multiplied out: once forwards, and twice
    /// more for the gradients of the halves.
    pub(crate) fn times_forming(self) -> usize {
        self.times(false)
    }
}

/// One contraction of a plan: which operand's matrix, and its sizes. A row of the tensor is read as
/// `(before, d_in, after)` and becomes `(before, d_out, after)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contraction {
    /// Index of the axis that is contracted (0 is `A`'s, the outermost).
    pub(crate) axis: usize,
    /// Index within that axis's list of matrices.
    pub(crate) index: usize,
    /// Sizes of the axes before it, multiplied.
    pub(crate) before: usize,
    /// Sizes of the axes after it, multiplied.
    pub(crate) after: usize,
}

/// Shapes `(d_out, d_in)` of the matrices that act on one axis, the first to be applied first.
pub(crate) type AxisChain = SmallVec<[(usize, usize); 2]>;

/// The contractions of a plan, first to last. Two factors, low-rank or not, need no memory of their own.
pub(crate) type Sequence = SmallVec<[Contraction; 4]>;

/// One number per axis.
type PerAxis = SmallVec<[usize; 4]>;

/// The cheapest interleaving of the matrices of all axes for a pass, and the flops of that pass per row.
///
/// Matrices of one axis keep their order. Forwards with one matrix per axis the optimum is known in closed form:
/// contracting axis `i` first costs `S·o_i` and scales the row's size `S` by `o_i/d_i`, so that by exchange of
/// neighbours ascending `1/d − 1/o` is best. Else all interleavings are tried when they are few, and for the rest the
/// same rule picks greedily.
pub(crate) fn cheapest_interleaving(axes: &[AxisChain], pass: Pass) -> (Sequence, usize) {
    let mut sizes: PerAxis = axes.iter().map(|chain| chain.first().map_or(1, |&(_, d_in)| d_in)).collect();
    let total: usize = axes.iter().map(|chain| chain.len()).sum();
    let mut sequence = Sequence::new();
    let mut next: PerAxis = smallvec![0; axes.len()];
    let rule_is_best = pass == Pass::Forward && axes.iter().all(|chain| chain.len() == 1);
    if total <= 5 && !rule_is_best {
        return Search { axes, pass, next, sizes, sequence, best: (Sequence::new(), usize::MAX) }.cheapest(total);
    }
    let mut flops = 0;
    for left in (0..total).rev() {
        let key = |axis: &usize| {
            let (d_out, d_in) = axes[*axis][next[*axis]];
            1.0 / d_in as f64 - 1.0 / d_out as f64
        };
        // The innermost axis wins ties, as above.
        let candidates = (0..axes.len()).rev().filter(|&axis| next[axis] < axes[axis].len());
        let Some(axis) = candidates.min_by(|i, j| key(i).total_cmp(&key(j))) else { break };
        let cost = push(axes, axis, next[axis], &mut sizes, &mut sequence);
        flops = pass.times(left == 0).saturating_mul(cost).saturating_add(flops);
        next[axis] += 1;
    }
    (sequence, flops)
}

/// Appends the contraction of `axis` to `sequence`, updates the sizes, returns its flops per row.
fn push(axes: &[AxisChain], axis: usize, index: usize, sizes: &mut [usize], sequence: &mut Sequence) -> usize {
    let (d_out, d_in) = axes[axis][index];
    let before = product(&sizes[..axis]);
    let after = product(&sizes[axis + 1..]);
    sequence.push(Contraction { axis, index, before, after });
    sizes[axis] = d_out;
    product(&[2, before, after, d_in, d_out])
}

/// The product; `usize::MAX` where it is more, in an order that no row of data that exists will take.
fn product(sizes: &[usize]) -> usize {
    sizes.iter().fold(1, |product: usize, &size| product.saturating_mul(size))
}

/// Tries every interleaving.
struct Search<'a> {
    axes: &'a [AxisChain],
    pass: Pass,
    /// For every axis, its first matrix that is not contracted yet.
    next: PerAxis,
    /// For every axis, its size now.
    sizes: PerAxis,
    sequence: Sequence,
    best: (Sequence, usize),
}

impl Search<'_> {
    /// The cheapest interleaving of `total` contractions and its flops.
    fn cheapest(mut self, total: usize) -> (Sequence, usize) {
        self.extend(0, total);
        self.best
    }

    /// Tries all ways to go on from a sequence of so many flops, with `left` contractions to come.
    fn extend(&mut self, flops: usize, left: usize) {
        if left == 0 {
            if flops < self.best.1 || self.best.0.is_empty() {
                self.best = (self.sequence.clone(), flops);
            }
            return;
        }
        // The innermost axis first, so that it wins ties: its product is one large one over the whole batch.
        for axis in (0..self.axes.len()).rev() {
            let index = self.next[axis];
            if index == self.axes[axis].len() {
                continue;
            }
            let size = self.sizes[axis];
            let cost = push(self.axes, axis, index, &mut self.sizes, &mut self.sequence);
            self.next[axis] += 1;
            let cost = self.pass.times(left == 1).saturating_mul(cost);
            self.extend(flops.saturating_add(cost), left - 1);
            self.next[axis] -= 1;
            self.sizes[axis] = size;
            self.sequence.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiply-adds of the two orders, counted by running the loops.
    fn count(order: Order, KronShape { m, n, p, q }: KronShape) -> usize {
        let mut count = 0;
        let mut product = |rows: usize, inner: usize, cols: usize| (0..rows * inner * cols).for_each(|_| count += 1);
        match order {
            Order::BFirst => {
                product(n, q, p);
                product(m, n, p);
            }
            Order::AFirst => {
                product(m, n, q);
                product(m, q, p);
            }
        }
        count
    }

    #[test]
    fn flops_are_twice_the_counted_multiply_adds_and_the_cheaper_order_is_chosen() {
        for shape in [(10, 8, 7, 9), (7, 9, 10, 8), (1, 5, 3, 2), (2, 3, 5, 7), (4, 4, 4, 4), (13, 1, 1, 11)] {
            let shape = KronShape::new(shape.0, shape.1, shape.2, shape.3).unwrap();
            let (a, b) = (count(Order::AFirst, shape), count(Order::BFirst, shape));
            assert_eq!((Order::AFirst.flops(shape), Order::BFirst.flops(shape)), (2 * a, 2 * b));
            let cheapest = count(Order::cheapest(shape), shape);
            assert_eq!(cheapest, a.min(b), "{shape:?}");
            let axes = [smallvec![(shape.m, shape.n)], smallvec![(shape.p, shape.q)]];
            assert_eq!(cheapest_interleaving(&axes, Pass::Forward).1, 2 * cheapest, "{shape:?}");
        }
    }

    #[test]
    fn the_rule_is_optimal() {
        // Its cost must equal the best of all orders, up to 720.
        let shapes = [(3, 2), (2, 5), (4, 4), (1, 3), (7, 2), (2, 2)];
        for count in 0..=shapes.len() {
            let axes: Vec<AxisChain> = shapes[..count].iter().map(|&s| smallvec![s]).collect();
            let (sequence, flops) = cheapest_interleaving(&axes, Pass::Forward);
            let search = Search {
                axes: &axes,
                pass: Pass::Forward,
                next: smallvec![0; count],
                sizes: shapes[..count].iter().map(|s| s.1).collect(),
                sequence: Sequence::new(),
                best: (Sequence::new(), usize::MAX),
            };
            assert_eq!(flops, search.cheapest(count).1);
            assert_eq!(sequence.len(), count);
        }
    }

    #[test]
    fn backwards_the_dearest_contraction_comes_last() {
        // Forwards both orders take 2·8·512·(8 + 512) flops; backwards one of the two is done a third time.
        for (m, p, first) in [(8, 512, 0), (512, 8, 1)] {
            let axes = [smallvec![(m, m)], smallvec![(p, p)]];
            let (sequence, flops) = cheapest_interleaving(&axes, Pass::Backward);
            assert_eq!(sequence[0].axis, first);
            assert_eq!(flops, 2 * 8 * 512 * (3 * 8 + 2 * 512));
        }
    }

    #[test]
    fn low_rank_matrices_keep_their_order() {
        let axes = [smallvec![(4, 4)], smallvec![(2, 100), (100, 2)]];
        let (sequence, _) = cheapest_interleaving(&axes, Pass::Forward);
        let b: Vec<usize> = sequence.iter().filter(|c| c.axis == 1).map(|c| c.index).collect();
        assert_eq!(b, [0, 1]);
        // The row is narrowest between the halves of B, so A goes there.
        assert_eq!(sequence.iter().position(|c| c.axis == 0), Some(1));
    }
}
