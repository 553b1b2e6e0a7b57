//! Steps on neighbouring axes of long rows, taken together.
//!
//! A row longer than the second-level cache would pass by once for every step. But steps on a stretch of neighbouring
//! axes do not care for the other axes: with a row read as `(before, stretch, after)`, a panel of the stretch and some
//! of what is after it goes through all of these steps while it is in the cache.

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;
use smallvec::SmallVec;

use super::block::{Part, block};
use super::step::{Step, Steps};
use crate::gemm::limits::{PANEL_ROW, STAGED_MATRIX, THREADED_STEP_FLOPS, block_bytes};
use crate::gemm::{Blend, Threads, views};
use crate::scalar::Scalar;

/// Steps that are done together, panel by panel; a single one by itself.
#[derive(Debug)]
pub(super) struct Stage<'s, 'a, T> {
    steps: &'s [Step<'a, T>],
    /// Sizes of the axes before the stretch and after it, multiplied.
    before: usize,
    after: usize,
}

/// Stages, first to last.
pub(super) type Stages<'s, 'a, T> = SmallVec<[Stage<'s, 'a, T>; 4]>;

impl<'s, 'a, T: Scalar> Stage<'s, 'a, T> {
    /// As few stages as the cache allows, without changing the order of the steps.
    pub(super) fn long(steps: &'s [Step<'a, T>]) -> Stages<'s, 'a, T> {
        let mut stages = Stages::new();
        let mut start = 0;
        for end in 1..=steps.len() {
            if end == steps.len() || !Self::of(&steps[start..=end]).fits() {
                stages.push(Self::of(&steps[start..end]));
                start = end;
            }
        }
        stages
    }

    fn of(steps: &'s [Step<'a, T>]) -> Self {
        // The axes outside of the stretch keep their sizes.
        let least = |size: fn(&Step<'a, T>) -> usize| steps.iter().map(size).min().unwrap_or(1);
        Self { steps, before: least(|step| step.before), after: least(|step| step.after) }
    }

    /// Whether a panel fits the cache, with rows long enough to be copied well, and the matrices beside it.
    fn fits(&self) -> bool {
        let small = self.steps.iter().all(|step| step.matrix_bytes() <= STAGED_MATRIX * size_of::<T>());
        small && self.widest() * self.after.min(PANEL_ROW) * size_of::<T>() <= block_bytes()
    }

    /// The most values that the stretch ever has.
    fn widest(&self) -> usize {
        let most = self.steps.iter().map(|step| step.width_in().max(step.width_out())).max().unwrap_or(1);
        most / (self.before * self.after)
    }

    /// Flops for `length` values of the result.
    fn flops(&self, length: usize) -> usize {
        let of_a_row = self.steps.iter().map(Step::flops).fold(0, usize::saturating_add);
        of_a_row.saturating_mul(length / self.width_out())
    }

    /// The steps on panels with so many values after the stretch.
    fn panel(&self, after: usize) -> Steps<'_, T> {
        self.steps.iter().map(|step| step.within(self.before, self.after, after)).collect()
    }
}

impl<T: Scalar> Part<T> for Stage<'_, '_, T> {
    fn width_out(&self) -> usize {
        self.steps.last().map_or(0, Step::width_out)
    }

    fn apply(&self, blend: Blend<T>, x: &[T], y: &mut [T], threads: Threads) {
        let [first, .., last] = self.steps else {
            return self.steps.iter().for_each(|step| step.apply(blend, x, y, threads));
        };
        let threads = threads.for_flops(self.flops(y.len()), THREADED_STEP_FLOPS);
        let (x, y) =
            (views::view(x, first.width_in() / self.before), views::view_mut(y, last.width_out() / self.before));
        let values = (block_bytes() / size_of::<T>() / self.widest()).max(1);
        if self.after <= values {
            // Whole pieces, some at a time.
            let steps = self.panel(self.after);
            return chunked(Axis(0), values / self.after, x, y, threads, |x, y| {
                block(&steps, x.nrows(), blend, x, y, Threads::One);
            });
        }
        // Of every piece some columns at a time, in whole cache lines.
        let columns = if values < PANEL_ROW { values } else { values / PANEL_ROW * PANEL_ROW };
        chunked(Axis(0), 1, x, y, threads, |x, mut y| {
            let (Some(x), Some(y)) = (x.to_slice(), y.as_slice_mut()) else { return };
            let (x, y) = (views::view(x, self.after), views::view_mut(y, self.after));
            chunked(Axis(1), columns, x, y, threads, |x, y| {
                block(&self.panel(x.ncols()), 1, blend, x, y, Threads::One);
            });
        });
    }
}

/// Runs `work` on matching chunks of `x` and `y` along one axis. Each is computed by itself, so the cut does not show
/// in the result.
fn chunked<T: Scalar>(
    axis: Axis,
    size: usize,
    x: ArrayView2<'_, T>,
    mut y: ArrayViewMut2<'_, T>,
    threads: Threads,
    work: impl Fn(ArrayView2<'_, T>, ArrayViewMut2<'_, T>) + Sync,
) {
    let (x, y) = (x.axis_chunks_iter(axis, size), y.axis_chunks_iter_mut(axis, size));
    match threads {
        Threads::All => x.into_par_iter().zip(y).for_each(|(x, y)| work(x, y)),
        Threads::One => x.zip(y).for_each(|(x, y)| work(x, y)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contraction::Operand;
    use ndarray::Array2;

    #[test]
    fn steps_on_long_rows_are_taken_together_as_far_as_panels_fit() {
        let gate = Array2::<f64>::ones((16, 16));
        let step = |place: usize| Step::new(Operand::Matrix(gate.view()), 1 << (4 * place), 1 << (20 - 4 * place));
        // From the innermost axis of 24 on, as plans have them: 2¹² values and 2¹² values.
        let steps: Vec<_> = (0..6).rev().map(step).collect();
        let lengths = |steps| -> Vec<_> { Stage::long(steps).iter().map(|stage| stage.steps.len()).collect() };
        let stages = lengths(&steps);
        assert!(stages.len() < 4 && stages.iter().sum::<usize>() == 6, "{stages:?}");
        // A large matrix stays alone.
        let large = Array2::<f64>::ones((128, 128));
        let step = Step::new(Operand::Matrix(large.view()), 1, 1 << 17);
        assert_eq!(lengths(&[step, step]), [1, 1]);
    }
}
