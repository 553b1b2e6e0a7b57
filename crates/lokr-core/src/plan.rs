//! From an operator to the steps that apply it: which matrices, in which order.

use ndarray::{ArrayView2, CowArray, Ix2};

use crate::order::{AxisChain, Contraction, cheapest_interleaving};
use crate::step::Step;
use crate::{Factor, Kron, Scalar};

/// Matrices acting on one axis, the first to be applied first.
pub(crate) type AxisMatrices<'a, T> = Vec<CowArray<'a, T, Ix2>>;

/// The matrices of an operator, axis by axis (the outermost first), and the cheapest order of contracting them.
#[derive(Debug)]
pub(crate) struct Plan<'a, T> {
    pub(crate) axes: Vec<AxisMatrices<'a, T>>,
    pub(crate) sequence: Vec<Contraction>,
}

impl<'a, T: Scalar> Plan<'a, T> {
    /// The plan for full matrices, one per axis.
    pub(crate) fn for_matrices(matrices: impl Iterator<Item = ArrayView2<'a, T>>) -> Self {
        let axes: Vec<AxisMatrices<'a, T>> = matrices.map(|m| vec![CowArray::from(m)]).collect();
        let chains: Vec<AxisChain> = axes.iter().map(|axis| axis.iter().map(|m| m.dim()).collect()).collect();
        let (sequence, _) = cheapest_interleaving(&chains);
        Self { axes, sequence }
    }

    /// The plan for a product of two factors: every low-rank factor is either kept in halves or multiplied out first,
    /// whichever makes the whole batch cheaper.
    pub(crate) fn for_kron(kron: &'a Kron<'_, T>, batch: usize) -> Self {
        let (forms_a, forms_b) = (Form::candidates(kron.a()), Form::candidates(kron.b()));
        let mut best: Option<(usize, Form, Form, Vec<Contraction>)> = None;
        for &a in &forms_a {
            for &b in &forms_b {
                let (sequence, flops) = cheapest_interleaving(&[a.chain(kron.a()), b.chain(kron.b())]);
                let cost = batch.saturating_mul(flops) + a.cost(kron.a()) + b.cost(kron.b());
                if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
                    best = Some((cost, a, b, sequence));
                }
            }
        }
        let (a, b, sequence) = best.map_or_else(Default::default, |(_, a, b, sequence)| (a, b, sequence));
        Self { axes: vec![a.matrices(kron.a()), b.matrices(kron.b())], sequence }
    }

    /// The steps, first to last.
    pub(crate) fn steps(&self) -> Vec<Step<'_, T>> {
        let step =
            |c: &Contraction| Step { matrix: self.axes[c.axis][c.index].view(), before: c.before, after: c.after };
        self.sequence.iter().map(step).collect()
    }
}

/// How a factor enters a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Form {
    /// As one matrix; a low-rank factor is multiplied out.
    #[default]
    Dense,
    /// A low-rank factor as its halves, the right one first.
    Halves,
}

impl Form {
    fn candidates<T>(factor: &Factor<'_, T>) -> Vec<Self> {
        match factor {
            Factor::Full(_) => vec![Self::Dense],
            Factor::LowRank(_) => vec![Self::Halves, Self::Dense],
        }
    }

    fn chain<T: Scalar>(self, factor: &Factor<'_, T>) -> AxisChain {
        match (self, factor) {
            (Self::Halves, Factor::LowRank(low)) => vec![low.right().dim(), low.left().dim()],
            _ => vec![factor.dim()],
        }
    }

    /// Flops of multiplying a low-rank factor out. The way back to gradients of its halves costs twice as much again,
    /// as a backward pass costs more than twice a forward one, so that one comparison serves both.
    fn cost<T: Scalar>(self, factor: &Factor<'_, T>) -> usize {
        match (self, factor) {
            (Self::Dense, Factor::LowRank(low)) => {
                let (rows, cols) = factor.dim();
                2usize.saturating_mul(rows).saturating_mul(cols).saturating_mul(low.rank())
            }
            _ => 0,
        }
    }

    fn matrices<'a, T: Scalar>(self, factor: &'a Factor<'_, T>) -> AxisMatrices<'a, T> {
        match (self, factor) {
            (Self::Halves, Factor::LowRank(low)) => vec![CowArray::from(low.right()), CowArray::from(low.left())],
            _ => vec![factor.dense()],
        }
    }
}
