//! From an operator to the steps that apply it: which matrices, in which order.

use ndarray::{ArrayView2, CowArray};
use smallvec::{SmallVec, smallvec};

use super::axis::{Axes, Axis};
use super::balance::{AxisMatrices, balance};
use super::factor::Factor;
use super::group::group;
use super::kron::Kron;
use crate::contraction::{AxisChain, Contraction, Operand, Pass, Sequence, Step, Steps, cheapest_interleaving};
use crate::error::Result;
use crate::gemm::views::either_major;
use crate::scalar::Scalar;

/// What acts on the axes of an operator (the outermost first), and the cheapest order of doing it.
#[derive(Debug)]
pub(super) struct Plan<'a, T> {
    pub(super) axes: Axes<'a, T>,
    pub(super) sequence: Sequence,
}

impl<'a, T: Scalar> Plan<'a, T> {
    /// The plan for full matrices, one per axis.
    pub(super) fn for_matrices(matrices: impl Iterator<Item = ArrayView2<'a, T>>, batch: usize, pass: Pass) -> Self {
        let axes: SmallVec<[AxisMatrices<'a, T>; 2]> =
            matrices.map(|m| smallvec![either_major(CowArray::from(m))]).collect();
        let chains: SmallVec<[AxisChain; 4]> = axes.iter().map(|axis| axis.iter().map(|m| m.dim()).collect()).collect();
        let (sequence, _) = cheapest_interleaving(&chains, pass);
        Self::new(axes, sequence, batch, pass)
    }

    /// The plan for contracting these matrices in this order. Forwards the factors are balanced, identities left out
    /// and small neighbours multiplied together; backwards every matrix is a step, because each has a gradient.
    fn new(mut matrices: SmallVec<[AxisMatrices<'a, T>; 2]>, mut sequence: Sequence, batch: usize, pass: Pass) -> Self {
        // The gradient of a scaled matrix would be scaled as well.
        if pass == Pass::Forward {
            balance(&mut matrices);
        }
        let mut axes: Axes<'a, T> = matrices.into_iter().map(Axis::new).collect();
        if pass == Pass::Forward {
            sequence.retain(|c| !matches!(axes[c.axis], Axis::Identity(_)));
            group(&mut axes, &mut sequence, batch);
        }
        Self { axes, sequence }
    }

    /// The product with every low-rank factor multiplied out for which that is cheaper at this batch, in memory of its
    /// own.
    pub(super) fn multiplied_out(kron: &Kron<'_, T>, batch: usize) -> Result<Kron<'static, T>> {
        let (a, b, _) = Self::forms(kron, batch, Pass::Forward);
        Kron::new(a.factor(kron.a()), b.factor(kron.b()))
    }

    /// The plan for a product of two factors: every low-rank factor is either kept in halves or multiplied out first,
    /// whichever makes the whole batch cheaper.
    pub(super) fn for_kron(kron: &'a Kron<'_, T>, batch: usize, pass: Pass) -> Self {
        let (a, b, sequence) = Self::forms(kron, batch, pass);
        Self::new(smallvec![a.matrices(kron.a()), b.matrices(kron.b())], sequence, batch, pass)
    }

    /// The cheapest forms of both factors and the order of their contractions.
    fn forms(kron: &Kron<'_, T>, batch: usize, pass: Pass) -> (Form, Form, Sequence) {
        let (forms_a, forms_b) = (Form::candidates(kron.a()), Form::candidates(kron.b()));
        let mut best: Option<(usize, Form, Form, Sequence)> = None;
        for &a in forms_a {
            for &b in forms_b {
                let (sequence, flops) = cheapest_interleaving(&[a.chain(kron.a()), b.chain(kron.b())], pass);
                let forming = a.cost(kron.a()).saturating_add(b.cost(kron.b())).saturating_mul(pass.times_forming());
                let cost = batch.saturating_mul(flops).saturating_add(forming);
                if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
                    best = Some((cost, a, b, sequence));
                }
            }
        }
        best.map_or_else(Default::default, |(_, a, b, sequence)| (a, b, sequence))
    }

    /// The steps, first to last.
    pub(super) fn steps(&self) -> Steps<'_, T> {
        if self.sequence.is_empty() {
            // Nothing but identities.
            let width = self.axes.iter().map(Axis::size).product();
            return smallvec![Step::new(Operand::Identity(width), 1, 1)];
        }
        let step = |c: &Contraction| Step::new(self.axes[c.axis].operand(c.index), c.before, c.after);
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
    fn candidates<T: Scalar>(factor: &Factor<'_, T>) -> &'static [Self] {
        match factor {
            Factor::Full(_) => &[Self::Dense],
            // Halves that meet in nothing have no values to go by; the factor itself is zero.
            Factor::LowRank(low) if low.rank() == 0 => &[Self::Dense],
            Factor::LowRank(_) => &[Self::Halves, Self::Dense],
        }
    }

    fn chain<T: Scalar>(self, factor: &Factor<'_, T>) -> AxisChain {
        match (self, factor) {
            (Self::Halves, Factor::LowRank(low)) => smallvec![low.right().dim(), low.left().dim()],
            _ => smallvec![factor.dim()],
        }
    }

    /// Flops of multiplying a low-rank factor out.
    fn cost<T: Scalar>(self, factor: &Factor<'_, T>) -> usize {
        match (self, factor) {
            (Self::Dense, Factor::LowRank(low)) => {
                let (rows, cols) = factor.dim();
                2usize.saturating_mul(rows).saturating_mul(cols).saturating_mul(low.rank())
            }
            _ => 0,
        }
    }

    fn factor<T: Scalar>(self, factor: &Factor<'_, T>) -> Factor<'static, T> {
        match self {
            Self::Dense => Factor::from(factor.to_dense()),
            Self::Halves => factor.clone().into_owned(),
        }
    }

    fn matrices<'a, T: Scalar>(self, factor: &'a Factor<'_, T>) -> AxisMatrices<'a, T> {
        match (self, factor) {
            (Self::Halves, Factor::LowRank(low)) => {
                smallvec![either_major(CowArray::from(low.right())), either_major(CowArray::from(low.left()))]
            }
            _ => smallvec![either_major(factor.dense())],
        }
    }
}
