//! What adapters do to one weight, applied to any of its rows.

use std::ops::Range;

use lokr_core::{Kron, Scalar};
use ndarray::{Array1, Array2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use super::limits::{PASS_TILE, TILE};
use crate::error::Result;
use crate::file::{flattened, product};
use crate::module::{AnyModule, DeltaRows, Dora, DoraAxis, Strength, flat, gains, needs_base, squared_norms};
use crate::quantized::{Codec, Weight};

/// A module with how it is applied, and where.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Applied<'a> {
    /// The number of the adapter.
    pub(in crate::jobs) adapter: usize,
    pub(in crate::jobs) module: AnyModule<'a>,
    pub(in crate::jobs) strength: Strength,
    pub(in crate::jobs) window: Window,
    /// Where the other rows of its weight lie, for norms of DoRA that are over all of them.
    pub(in crate::jobs) elsewhere: Vec<Elsewhere<'a>>,
}

/// Rows of a module's weight in another tensor, or elsewhere in the same one.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Elsewhere<'a> {
    pub(in crate::jobs) weight: Weight,
    pub(in crate::jobs) window: Window,
    /// What is applied to that tensor before the module.
    pub(in crate::jobs) before: Vec<Applied<'a>>,
}

/// Where the rows of a module's weight lie in a stored tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::jobs) struct Window {
    /// The rows of the tensor.
    pub(in crate::jobs) rows: Range<usize>,
    /// The row of the module's weight that is the first of them.
    pub(in crate::jobs) first: usize,
    /// The shape of the module's weight, other rows of which may lie in other tensors.
    pub(in crate::jobs) weight: Vec<usize>,
}

impl Window {
    /// The rows of a tensor of this shape, unless they are all.
    pub(super) fn part_of(&self, tensor: &[usize]) -> Option<(usize, usize)> {
        let Range { start, end } = self.rows;
        (tensor.first() != Some(&self.rows.len())).then_some((start, end))
    }

    /// The rows of the module's weight.
    fn own(&self) -> Range<usize> {
        self.first..self.first + self.rows.len()
    }
}

/// The modules of one weight, in order, ready to be applied.
#[derive(Debug)]
pub(in crate::jobs) struct Steps<T> {
    pub(in crate::jobs) steps: Vec<Step<T>>,
    pub(in crate::jobs) rows: usize,
    pub(in crate::jobs) columns: usize,
    pub(in crate::jobs) kernel: usize,
}

#[derive(Debug)]
pub(in crate::jobs) struct Step<T> {
    delta: Delta<T>,
    pub(super) window: Window,
    /// `s`, without the multiplier.
    pub(in crate::jobs) scale: f64,
    pub(in crate::jobs) multiplier: f64,
    pub(in crate::jobs) dora: Option<Dora>,
}

/// The change without scale, `(out, in·K)`.
#[derive(Debug)]
enum Delta<T> {
    /// Full factors of the arithmetic's type, and the product as it is stored for the adapter's own forward pass.
    Product { a: Array2<T>, b: Array2<T>, stored: Box<Kron<'static, f64>> },
    /// PEFT's conv1d layout, which is no product.
    Dense(Array2<T>),
    /// That of another algorithm.
    Rows(DeltaRows<T>),
}

impl<T: Scalar> Steps<T> {
    /// Makes the factors of modules ready for the weight `base`; DoRA takes a pass over it for its norms.
    pub(in crate::jobs) fn new(applied: &[Applied<'_>], base: &Weight) -> Result<Self> {
        let (rows, columns, kernel) = flat(base.tensor.shape());
        let mut all = Self { steps: Vec::new(), rows, columns, kernel };
        for Applied { module, strength, window, elsewhere, .. } in applied {
            let mut step = Step::new(*module, *strength, window)?;
            if let (Some(axis), Some(norms)) = (module.dora_axis(&window.weight)?, module.dora_scale()) {
                let mut squares = all.squared_norms(&step, axis, base);
                for Elsewhere { weight, window, before } in elsewhere.iter().filter(|_| axis == DoraAxis::Input) {
                    let next = Step::new(*module, *strength, window)?;
                    squares += &Self::new(before, weight)?.squared_norms(&next, axis, weight);
                }
                let norms = if axis == DoraAxis::Output { norms.rows(window.own()) } else { norms.clone() };
                step.dora = Some(Dora { axis, gains: gains(&norms, &squares)?, strength: strength.dora });
            }
            all.steps.push(step);
        }
        Ok(all)
    }

    /// No steps, for a tensor of any shape.
    pub(in crate::jobs) fn none(shape: &[usize]) -> Self {
        let (rows, columns) = match shape {
            [] => (1, 1),
            [rows, rest @ ..] => (*rows, product(rest)),
        };
        Self { steps: Vec::new(), rows, columns: columns.max(1), kernel: 1 }
    }

    /// Whether any step changes a row.
    pub(super) fn change(&self, row: usize) -> bool {
        self.steps.iter().any(|step| step.window.rows.contains(&row))
    }

    /// Rows of a tile of a pass that writes nothing.
    pub(in crate::jobs) fn tile_rows(&self) -> usize {
        (PASS_TILE / self.columns.max(1)).max(1)
    }

    /// Rows of a tile of the merge itself: where rows of a low-rank product are formed, several for each pass over the
    /// second half.
    pub(super) fn merge_tile_rows(&self) -> usize {
        let has_rows = self.steps.iter().any(|step| matches!(step.delta, Delta::Rows(_)));
        let tile = if has_rows { PASS_TILE } else { TILE };
        (tile / self.columns.max(1)).max(1)
    }

    /// The squares of the norms of `V`, the rows of the weight that the next step changes, after the steps so far and
    /// with the next one's change. Summed tile by tile in a fixed order.
    fn squared_norms(&self, next: &Step<T>, axis: DoraAxis, base: &Weight) -> Array1<f64> {
        let row_bytes = self.columns * base.encoding.size();
        let (tile, Range { start, end }) = (self.tile_rows(), next.window.rows.clone());
        let sums: Vec<_> = base.tensor.bytes()[start * row_bytes..end * row_bytes]
            .par_chunks(tile * row_bytes)
            .enumerate()
            .map(|(index, bytes)| {
                let mut v = Array2::zeros((bytes.len() / row_bytes, self.columns));
                if let Some(values) = v.as_slice_mut() {
                    base.encoding.decode((start + index * tile) * self.columns, bytes, values);
                }
                let first = start + index * tile;
                let rows = first..first + v.nrows();
                self.apply(&mut v.view_mut(), rows.clone());
                next.add(T::from_f64_lossy(next.scale), &mut v.view_mut(), rows);
                squared_norms(axis, &v.view(), self.kernel)
            })
            .collect();
        match axis {
            DoraAxis::Output => sums.into_iter().flatten().collect(),
            DoraAxis::Input => {
                sums.into_iter().fold(Array1::zeros(self.columns / self.kernel), |sum: Array1<f64>, next| sum + next)
            }
        }
    }

    /// All steps on some rows of the weight.
    #[inline(always)] // Into the caller's instruction set.
    pub(in crate::jobs) fn apply(&self, w: &mut ArrayViewMut2<'_, T>, rows: Range<usize>) {
        for step in &self.steps {
            step.apply(w, rows.clone(), self.kernel);
        }
    }
}

impl<T: Scalar> Delta<T> {
    /// The change of a module that fits a weight of this shape.
    fn new(module: AnyModule<'_>, shape: &[usize]) -> Result<Self> {
        Ok(match module {
            AnyModule::Lokr(module) if module.is_kronecker() => {
                let stored = module.kron::<f64>()?;
                // Multiplied out in f64, so that a low-rank factor is as exact as a full one.
                let cast = |factor: &lokr_core::Factor<'_, f64>| factor.dense().mapv(T::from_f64_lossy);
                Self::Product { a: cast(stored.a()), b: cast(stored.b()), stored: Box::new(stored) }
            }
            AnyModule::Lokr(module) => Self::Dense(flattened(module.delta(shape, 1.0)?)),
            AnyModule::Other(module) => Self::Rows(DeltaRows::new(module.change())?),
        })
    }
}

impl<T: Scalar> Step<T> {
    /// Without DoRA.
    fn new(module: AnyModule<'_>, strength: Strength, window: &Window) -> Result<Self> {
        module.check_shape(&window.weight)?;
        let delta = Delta::new(module, &window.weight)?;
        let (scale, multiplier, window) = (module.scale_by(strength.scale)?, strength.multiplier, window.clone());
        Ok(Self { delta, window, scale, multiplier, dora: None })
    }

    /// The step on some rows of the tensor, as far as they are its.
    #[inline(always)]
    fn apply(&self, w: &mut ArrayViewMut2<'_, T>, rows: Range<usize>, kernel: usize) {
        let Range { start, end } = &self.window.rows;
        let own = rows.start.max(*start)..rows.end.min(*end);
        if own.is_empty() {
            return;
        }
        let mut w = w.slice_mut(s![own.start - rows.start..own.end - rows.start, ..]);
        match &self.dora {
            None => self.add(T::from_f64_lossy(self.multiplier * self.scale), &mut w, own),
            Some(dora) => self.apply_dora(dora, &mut w, own, kernel),
        }
    }

    fn apply_dora(&self, dora: &Dora, w: &mut ArrayViewMut2<'_, T>, rows: Range<usize>, kernel: usize) {
        let base = needs_base(dora.strength, self.multiplier).then(|| w.to_owned());
        self.add(T::from_f64_lossy(self.scale), w, rows.clone());
        let base = base.as_ref().map(|base| base.view());
        dora.apply(w, base.as_ref(), rows.start - self.window.rows.start, self.multiplier, kernel);
    }

    /// `w ← w + s·Δ` on some rows of the tensor, all of them its own.
    #[inline(always)]
    fn add(&self, s: T, w: &mut ArrayViewMut2<'_, T>, rows: Range<usize>) {
        // Where the rows lie in the module's weight.
        let own = |row: usize| row - self.window.rows.start + self.window.first;
        let rows = own(rows.start)..own(rows.end);
        let (a, b) = match &self.delta {
            Delta::Dense(delta) => return w.scaled_add(s, &delta.slice(s![rows, ..])),
            Delta::Rows(delta) => return delta.add(s, w, rows),
            Delta::Product { a, b, .. } => (a, b),
        };
        for (row, mut w) in rows.zip(w.rows_mut()) {
            let (a, b) = (a.row(row / b.nrows()), b.row(row % b.nrows()));
            if let (Some(w), Some(b)) = (w.as_slice_mut(), b.as_slice()) {
                for (piece, &a) in w.chunks_exact_mut(b.len()).zip(a) {
                    let scale = s * a;
                    piece.iter_mut().zip(b).for_each(|(w, &b)| *w += scale * b);
                }
            }
        }
    }

    /// The adapter's own forward pass, without forming the product: `Δ·x` without scale, on the rows of the window.
    pub(super) fn forward(&self, x: &Array1<f64>) -> Result<Array1<f64>> {
        let all = match &self.delta {
            Delta::Product { stored, .. } => {
                let x = x.view().insert_axis(Axis(0));
                stored.apply(&x)?.remove_axis(Axis(0))
            }
            Delta::Dense(delta) => delta.mapv(T::to_f64_exact).dot(x),
            Delta::Rows(delta) => delta.forward(x),
        };
        Ok(all.slice(s![self.window.own()]).to_owned())
    }
}
