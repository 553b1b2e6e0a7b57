//! From an operator to the steps that apply it: which matrices, in which order.

use ndarray::CowArray;
use smallvec::{SmallVec, smallvec};

use super::axis::{Axes, Axis, AxisMatrices};
use super::balance::balance;
use super::factor::Factor;
use super::group::group;
use super::structure::{Structure, all_finite};
use crate::contraction::{AxisChain, Operand, Pass, Sequence, Step, Steps, cheapest_interleaving};
use crate::gemm::views::either_major;
use crate::scalar::Scalar;

/// Of so many low-rank factors all combinations of forms are compared; of more, each is decided by itself.
const COMPARED: usize = 3;

/// What acts on the axes of an operator (the outermost first), and the cheapest order of doing it.
#[derive(Debug)]
pub(super) struct Plan<'a, T> {
    pub(super) axes: Axes<'a, T>,
    pub(super) sequence: Sequence,
}

/// In which form every factor enters a plan, the outermost first, and the order of the contractions.
pub(super) struct Forms {
    pub(super) forms: SmallVec<[Form; 4]>,
    sequence: Sequence,
}

impl<'a, T: Scalar> Plan<'a, T> {
    /// The plan for a product: every low-rank factor is either kept in halves or multiplied out first, whichever makes
    /// the whole batch cheaper. Forwards the factors are balanced, identities left out and small neighbours multiplied
    /// together; backwards every matrix is a step, because each has a gradient.
    ///
    /// Zeros are passed over where all values are finite only, those of the factors and, as `data_is_finite` says, of
    /// the data: `0·NaN` is NaN.
    pub(super) fn new(
        factors: &'a [Factor<'_, T>],
        batch: usize,
        pass: Pass,
        data_is_finite: impl FnOnce() -> bool,
    ) -> Self {
        let Forms { forms, mut sequence } = Self::forms(factors, batch, pass);
        let mut axes = Axes::new();
        for (form, factor) in forms.iter().zip(factors) {
            axes.push(Axis::Matrices(form.matrices(factor)));
        }
        // The gradient of a scaled matrix would be scaled as well.
        if pass == Pass::Forward {
            balance(&mut axes);
        }
        let mut structures: SmallVec<[Structure; 8]> = SmallVec::new();
        axes.iter().for_each(|axis| structures.push(axis.structure()));
        if structures.iter().any(|&structure| structure != Structure::Full) {
            let mut matrices = axes.iter().flat_map(Axis::matrices);
            if matrices.all(|matrix| all_finite(matrix)) && data_is_finite() {
                axes.iter_mut().zip(structures).for_each(|(axis, structure)| axis.simplify(structure));
                if pass == Pass::Forward {
                    sequence.retain(|c| !matches!(axes[c.axis], Axis::Identity(_)));
                }
            }
        }
        if pass == Pass::Forward {
            group(&mut axes, &mut sequence, batch);
        }
        Self { axes, sequence }
    }

    /// The cheapest forms of the factors and the order of their contractions.
    pub(super) fn forms(factors: &[Factor<'_, T>], batch: usize, pass: Pass) -> Forms {
        // Pushed one by one: this is done before every application, and collecting takes its time.
        let (mut forms, mut undecided): (SmallVec<[Form; 4]>, SmallVec<[usize; 2]>) = Default::default();
        for (index, factor) in factors.iter().enumerate() {
            forms.push(Form::by_itself(factor));
            if Form::candidates(factor).len() > 1 {
                undecided.push(index);
            }
        }
        let order = |forms: &[Form]| {
            let (mut chains, mut forming): (SmallVec<[AxisChain; 4]>, usize) = Default::default();
            for (form, factor) in forms.iter().zip(factors) {
                chains.push(form.chain(factor));
                forming = forming.saturating_add(form.cost(factor));
            }
            let (sequence, flops) = cheapest_interleaving(&chains, pass);
            let cost = batch.saturating_mul(flops).saturating_add(forming.saturating_mul(pass.times_forming()));
            (cost, sequence)
        };
        if undecided.is_empty() || undecided.len() > COMPARED {
            let (_, sequence) = order(&forms);
            return Forms { forms, sequence };
        }
        let mut best: Option<(usize, Forms)> = None;
        for choice in 0..1_usize << undecided.len() {
            for (place, &index) in undecided.iter().rev().enumerate() {
                forms[index] = if choice >> place & 1 == 0 { Form::Halves } else { Form::Dense };
            }
            let (cost, sequence) = order(&forms);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, Forms { forms: forms.clone(), sequence }));
            }
        }
        best.map_or_else(|| Forms { forms: SmallVec::new(), sequence: Sequence::new() }, |(_, forms)| forms)
    }

    /// The steps, first to last.
    pub(super) fn steps(&self) -> Steps<'_, T> {
        if self.sequence.is_empty() {
            // Nothing but identities.
            let width = self.axes.iter().map(Axis::size).product();
            return smallvec![Step::new(Operand::Identity(width), 1, 1)];
        }
        let mut steps = Steps::new();
        for c in &self.sequence {
            steps.push(Step::new(self.axes[c.axis].operand(c.index), c.before, c.after));
        }
        steps
    }
}

/// How a factor enters a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Form {
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

    /// The form of a factor alone: that with fewer values to multiply by.
    fn by_itself<T: Scalar>(factor: &Factor<'_, T>) -> Self {
        let (rows, cols) = factor.dim();
        match Self::candidates(factor) {
            [only] => *only,
            _ if factor.parameter_count() < rows.saturating_mul(cols) => Self::Halves,
            _ => Self::Dense,
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

    pub(super) fn factor<T: Scalar>(self, factor: &Factor<'_, T>) -> Factor<'static, T> {
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
