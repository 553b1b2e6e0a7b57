//! `V = W + ΔW`, walked row by row: its norms, and the gradient that comes through them. Each is one pass over `W`, and
//! `ΔW` is never there but for one row.
//!
//! A norm is summed from the elements `w + Δw` themselves rather than from `‖w‖² + 2⟨w, Δw⟩ + ‖Δw‖²`, which takes the
//! same pass and loses its digits where the update nearly cancels the weight.

use lokr_core::{Factor, Scalar};
use ndarray::{Array2, ArrayRef1, ArrayRef2, ArrayView2};

use super::dora::DoraAxis;
use super::lokr_update::LoKrUpdate;

/// Memory that walks keep.
#[derive(Debug, Clone)]
pub(crate) struct Scratch<T> {
    terms: Vec<TermScratch<T>>,
    row: Vec<T>,
    /// Of columns: sums of squares, and the largest magnitudes where those leave the range.
    sums: Vec<f64>,
    largest: Vec<f64>,
}

/// The factors of a term multiplied out, in the orientation of the walk, and their gradients.
#[derive(Debug, Clone)]
struct TermScratch<T> {
    a: Array2<T>,
    b: Array2<T>,
    da: Array2<T>,
    db: Array2<T>,
}

impl<T: Scalar> Scratch<T> {
    pub(crate) fn new() -> Self {
        Self { terms: Vec::new(), row: Vec::new(), sums: Vec::new(), largest: Vec::new() }
    }

    /// Lays the factors out for a walk along rows of `W`, or of `Wᵀ` if that is how it lies.
    fn prepare(&mut self, update: Option<&LoKrUpdate<T>>, flipped: bool) {
        let terms = || update.iter().flat_map(|update| update.terms());
        self.terms.resize_with(terms().count(), || {
            let [a, b, da, db] = std::array::from_fn(|_| Array2::zeros((0, 0)));
            TermScratch { a, b, da, db }
        });
        for ((_, delta), to) in terms().zip(&mut self.terms) {
            lay_out(delta.a(), flipped, &mut to.a);
            lay_out(delta.b(), flipped, &mut to.b);
        }
    }
}

fn lay_out<T: Scalar>(factor: &Factor<'_, T>, flipped: bool, to: &mut Array2<T>) {
    let (rows, cols) = factor.dim();
    let dim = if flipped { (cols, rows) } else { (rows, cols) };
    if to.dim() != dim {
        *to = Array2::zeros(dim);
    }
    match (factor, flipped) {
        (Factor::Full(matrix), false) => to.assign(matrix),
        (Factor::Full(matrix), true) => to.assign(&matrix.t()),
        (Factor::LowRank(low), false) => multiply(low.left(), low.right(), to),
        (Factor::LowRank(low), true) => multiply(low.right().reversed_axes(), low.left().reversed_axes(), to),
    }
}

/// A product of small matrices, without the memory that a product of large ones is worth.
fn multiply<T: Scalar>(left: ArrayView2<'_, T>, right: ArrayView2<'_, T>, to: &mut Array2<T>) {
    to.fill(T::zero());
    for (left, mut to) in left.rows().into_iter().zip(to.rows_mut()) {
        left.iter().zip(right.rows()).for_each(|(&left, right)| to.scaled_add(left, &right));
    }
}

/// Whether `w` lies column by column, so that its transpose is walked.
fn lies_flipped<T>(w: &ArrayView2<'_, T>) -> bool {
    w.strides()[0].unsigned_abs() < w.strides()[1].unsigned_abs()
}

/// Adds a row of `ΔW` to `row`.
fn add_delta<'t, T: Scalar>(
    strengths: impl Iterator<Item = T>,
    terms: impl Iterator<Item = &'t TermScratch<T>>,
    index: usize,
    row: &mut [T],
) {
    for (strength, TermScratch { a, b, .. }) in strengths.zip(terms) {
        let (p, q) = b.dim();
        if let Some(b) = b.row(index % p).as_slice() {
            for (piece, &a) in row.chunks_exact_mut(q).zip(a.row(index / p)) {
                let factor = strength * a;
                piece.iter_mut().zip(b).for_each(|(v, &b)| *v += factor * b);
            }
        }
    }
}

/// Calls `each` with the index of every row of `V`, walked along memory, the row, and the terms with their strengths.
fn walk<T: Scalar>(
    update: Option<&LoKrUpdate<T>>,
    w: ArrayView2<'_, T>,
    scratch: &mut Scratch<T>,
    mut each: impl FnMut(usize, &mut [T], &mut dyn Iterator<Item = (T, &mut TermScratch<T>)>),
) {
    let Scratch { terms, row, .. } = scratch;
    let strengths = || update.iter().flat_map(|update| update.terms()).map(|(strength, _)| strength);
    row.resize(w.ncols(), T::zero());
    for (index, w) in w.rows().into_iter().enumerate() {
        row.iter_mut().zip(w).for_each(|(to, &from)| *to = from);
        add_delta(strengths(), terms.iter(), index, row);
        each(index, row, &mut strengths().zip(&mut *terms));
    }
}

impl<T: Scalar> LoKrUpdate<T> {
    /// Calls `change` with every element of `w`, that of `ΔW` at its place, and the number of `along` for its row or
    /// column.
    pub(crate) fn change_rows(
        &self,
        w: &mut ArrayRef2<T>,
        axis: DoraAxis,
        along: &ArrayRef1<T>,
        change: impl Fn(&mut T, T, T),
    ) {
        let (mut scratch, flipped) = (Scratch::new(), lies_flipped(&w.view()));
        scratch.prepare(Some(self), flipped);
        let along_rows = (axis == DoraAxis::Output) != flipped;
        let mut w = if flipped { w.view_mut().reversed_axes() } else { w.view_mut() };
        let mut delta = vec![T::zero(); w.ncols()];
        for (index, w) in w.rows_mut().into_iter().enumerate() {
            delta.fill(T::zero());
            add_delta(self.terms().map(|(strength, _)| strength), scratch.terms.iter(), index, &mut delta);
            let columns = w.into_iter().zip(&delta).enumerate();
            columns.for_each(|(col, (w, &delta))| change(w, delta, along[if along_rows { index } else { col }]));
        }
    }
}

/// Writes the norms of the rows or columns of `V` over `found`; those of `W` without an update.
pub(super) fn norms<T: Scalar>(
    update: Option<&LoKrUpdate<T>>,
    w: &ArrayRef2<T>,
    axis: DoraAxis,
    scratch: &mut Scratch<T>,
    found: &mut ArrayRef1<T>,
) {
    let flipped = lies_flipped(&w.view());
    scratch.prepare(update, flipped);
    let w = if flipped { w.t() } else { w.view() };
    if (axis == DoraAxis::Output) != flipped {
        walk(update, w, scratch, |index, row, _| found[index] = norm(row));
        return;
    }
    let mut sums = std::mem::take(&mut scratch.sums);
    sums.clear();
    sums.resize(w.ncols(), 0.0);
    walk(update, w, scratch, |_, row, _| sums.iter_mut().zip(&*row).for_each(|(sum, &v)| *sum += square(v)));
    if sums.iter().all(|&sum| in_range(sum)) {
        found.iter_mut().zip(&sums).for_each(|(found, sum)| *found = T::from_f64_lossy(sum.sqrt()));
    } else {
        let mut largest = std::mem::take(&mut scratch.largest);
        largest.clear();
        largest.resize(w.ncols(), 0.0);
        walk(update, w, scratch, |_, row, _| {
            largest.iter_mut().zip(&*row).for_each(|(largest, &v)| *largest = max_or_nan(*largest, v));
        });
        sums.fill(0.0);
        walk(update, w, scratch, |_, row, _| {
            let columns = sums.iter_mut().zip(&largest).zip(&*row);
            columns.for_each(|((sum, &largest), &v)| *sum += share(v, largest).powi(2));
        });
        let norms = sums.iter().zip(&largest).map(|(sum, largest)| largest * sum.sqrt());
        found.iter_mut().zip(norms).for_each(|(found, norm)| *found = T::from_f64_lossy(norm));
        scratch.largest = largest;
    }
    scratch.sums = sums;
}

/// Adds to the gradients of the factors what comes through the norms: that of `Σ c·‖V‖²/2` over rows or columns.
pub(super) fn add_norm_gradients<T: Scalar>(
    update: &mut LoKrUpdate<T>,
    w: &ArrayRef2<T>,
    axis: DoraAxis,
    c: &ArrayRef1<T>,
    scratch: &mut Scratch<T>,
) {
    let flipped = lies_flipped(&w.view());
    scratch.prepare(Some(update), flipped);
    for term in &mut scratch.terms {
        clear(&mut term.da, term.a.dim());
        clear(&mut term.db, term.b.dim());
    }
    let along_rows = (axis == DoraAxis::Output) != flipped;
    let w = if flipped { w.t() } else { w.view() };
    walk(Some(update), w, scratch, |index, row, terms| {
        if along_rows {
            row.iter_mut().for_each(|v| *v *= c[index]);
        } else {
            row.iter_mut().zip(c).for_each(|(v, &c)| *v *= c);
        }
        for (strength, TermScratch { a, b, da, db }) in terms {
            let (p, q) = b.dim();
            let (i, k) = (index / p, index % p);
            let (b, mut db) = (b.row(k), db.row_mut(k));
            if let (Some(b), Some(db)) = (b.as_slice(), db.as_slice_mut()) {
                for ((piece, &a), da) in row.chunks_exact(q).zip(a.row(i)).zip(da.row_mut(i)) {
                    *da += strength * piece.iter().zip(b).map(|(&v, &b)| v * b).sum::<T>();
                    let factor = strength * a;
                    db.iter_mut().zip(piece).for_each(|(db, &v)| *db += factor * v);
                }
            }
        }
    });
    for (term, scratch) in update.terms.iter_mut().zip(&scratch.terms) {
        let Some(gradients) = &mut term.gradients else { continue };
        let parts = gradients.parts_mut();
        let (of_a, of_b) = parts.split_at_mut(term.delta.a().parts().count());
        add_to_factor(term.delta.a(), &oriented(&scratch.da, flipped), of_a);
        add_to_factor(term.delta.b(), &oriented(&scratch.db, flipped), of_b);
    }
}

fn oriented<T>(matrix: &Array2<T>, flipped: bool) -> ArrayView2<'_, T> {
    if flipped { matrix.t() } else { matrix.view() }
}

fn clear<T: Scalar>(matrix: &mut Array2<T>, dim: (usize, usize)) {
    if matrix.dim() == dim { matrix.fill(T::zero()) } else { *matrix = Array2::zeros(dim) }
}

/// Adds the gradient of a factor to those of its stored matrices.
fn add_to_factor<T: Scalar>(factor: &Factor<'_, T>, gradient: &ArrayView2<'_, T>, parts: &mut [Array2<T>]) {
    match (factor, parts) {
        (Factor::Full(_), [part]) => *part += gradient,
        (Factor::LowRank(low), [left, right]) => {
            for ((gradient, mut of_left), left) in
                gradient.rows().into_iter().zip(left.rows_mut()).zip(low.left().rows())
            {
                of_left
                    .iter_mut()
                    .zip(low.right().rows())
                    .for_each(|(of_left, right)| *of_left += gradient.dot(&right));
                right.rows_mut().into_iter().zip(left).for_each(|(mut row, &left)| row.scaled_add(left, &gradient));
            }
        }
        _ => {}
    }
}

/// The norm of a row, in `f64`, right wherever the result is in range.
fn norm<T: Scalar>(row: &[T]) -> T {
    let sum: f64 = row.iter().map(|&v| square(v)).sum();
    if in_range(sum) {
        return T::from_f64_lossy(sum.sqrt());
    }
    let largest = row.iter().fold(0.0, |largest, &v| max_or_nan(largest, v));
    let sum: f64 = row.iter().map(|&v| share(v, largest).powi(2)).sum();
    T::from_f64_lossy(largest * sum.sqrt())
}

fn square<T: Scalar>(value: T) -> f64 {
    let value = value.to_f64_exact();
    value * value
}

/// Whether squares have neither overflowed in a sum nor all but vanished.
fn in_range(sum: f64) -> bool {
    sum.is_finite() && sum > f64::MIN_POSITIVE / f64::EPSILON / f64::EPSILON
}

fn max_or_nan<T: Scalar>(largest: f64, value: T) -> f64 {
    let value = value.to_f64_exact().abs();
    if value > largest || value.is_nan() { value } else { largest }
}

/// `value/largest`; zero where all are, and one where both are infinite.
fn share<T: Scalar>(value: T, largest: f64) -> f64 {
    let value = value.to_f64_exact().abs();
    if value == largest && value != 0.0 {
        1.0
    } else if largest == 0.0 {
        0.0
    } else {
        value / largest
    }
}
