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

/// A module with how it is applied.
#[derive(Debug, Clone, Copy)]
pub(in crate::jobs) struct Applied<'a> {
    /// The number of the adapter.
    pub(in crate::jobs) adapter: usize,
    pub(in crate::jobs) module: AnyModule<'a>,
    pub(in crate::jobs) strength: Strength,
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
        let shape = base.tensor.shape();
        let (rows, columns, kernel) = flat(shape);
        let mut all = Self { steps: Vec::new(), rows, columns, kernel };
        for Applied { module, strength, .. } in applied {
            module.check_shape(shape)?;
            let delta = Delta::new(*module, shape)?;
            let scale = module.scale_by(strength.scale)?;
            let mut step = Step { delta, scale, multiplier: strength.multiplier, dora: None };
            if let (Some(axis), Some(norms)) = (module.dora_axis(shape)?, module.dora_scale()) {
                let gains = gains(norms, &all.squared_norms(&step, axis, base))?;
                step.dora = Some(Dora { axis, gains, strength: strength.dora });
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

    /// The squares of the norms of `V`, the weight after the steps so far plus the next one's change. Summed tile by
    /// tile in a fixed order.
    fn squared_norms(&self, next: &Step<T>, axis: DoraAxis, base: &Weight) -> Array1<f64> {
        let row_bytes = self.columns * base.encoding.size();
        let tile = self.tile_rows();
        let sums: Vec<_> = base
            .tensor
            .bytes()
            .par_chunks(tile * row_bytes)
            .enumerate()
            .map(|(index, bytes)| {
                let mut v = Array2::zeros((bytes.len() / row_bytes, self.columns));
                if let Some(values) = v.as_slice_mut() {
                    base.encoding.decode(index * tile * self.columns, bytes, values);
                }
                let rows = index * tile..index * tile + v.nrows();
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
    #[inline(always)]
    fn apply(&self, w: &mut ArrayViewMut2<'_, T>, rows: Range<usize>, kernel: usize) {
        match &self.dora {
            None => self.add(T::from_f64_lossy(self.multiplier * self.scale), w, rows),
            Some(dora) => self.apply_dora(dora, w, rows, kernel),
        }
    }

    fn apply_dora(&self, dora: &Dora, w: &mut ArrayViewMut2<'_, T>, rows: Range<usize>, kernel: usize) {
        let base = needs_base(dora.strength, self.multiplier).then(|| w.to_owned());
        self.add(T::from_f64_lossy(self.scale), w, rows.clone());
        let base = base.as_ref().map(|base| base.view());
        dora.apply(w, base.as_ref(), rows.start, self.multiplier, kernel);
    }

    /// `w ← w + s·Δ` on some rows.
    #[inline(always)]
    fn add(&self, s: T, w: &mut ArrayViewMut2<'_, T>, rows: Range<usize>) {
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

    /// The adapter's own forward pass, without forming the product: `Δ·x` without scale.
    pub(super) fn forward(&self, x: &Array1<f64>) -> Result<Array1<f64>> {
        match &self.delta {
            Delta::Product { stored, .. } => {
                let x = x.view().insert_axis(Axis(0));
                Ok(stored.apply(&x)?.remove_axis(Axis(0)))
            }
            Delta::Dense(delta) => Ok(delta.mapv(T::to_f64_exact).dot(x)),
            Delta::Rows(delta) => Ok(delta.forward(x)),
        }
    }
}
