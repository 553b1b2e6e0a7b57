//! The change of another algorithm than LoKr on some rows of a weight, computed where it is added.

use std::ops::Range;

use lokr_core::Scalar;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, aview1, s};

use super::other::Change;
use crate::error::Result;
use crate::file::{FloatType, Tensor};

/// A change without scale, `(out, in·K)`, ready to be computed on any rows; a vector is a column.
///
/// Nothing of the change's size is ever in memory: only the halves, in the type of the arithmetic and as they are
/// stored.
#[derive(Debug)]
pub(crate) enum DeltaRows<T> {
    Product(Box<Product<T>>),
    /// The elementwise product of two.
    Hadamard(Box<[Product<T>; 2]>),
    Stored(Tensor, FloatType),
}

/// A product of two halves, `(out, r)` and `(r, in·K)`.
#[derive(Debug)]
pub(crate) struct Product<T> {
    up: Array2<T>,
    down: Array2<T>,
    exact: [Array2<f64>; 2],
}

/// Values of a row computed at a time: so many rows of `down` stay in a core's cache while the rows of a tile pass.
const BLOCK: usize = 256;

impl<T: Scalar> DeltaRows<T> {
    pub(crate) fn new(change: &Change) -> Result<Self> {
        Ok(match change {
            Change::Lora(lora) => Self::Product(Box::new(Product::new(lora.halves()?))),
            Change::Loha(loha) => {
                let [first, second] = loha.halves()?;
                Self::Hadamard(Box::new([Product::new(first), Product::new(second)]))
            }
            Change::Difference(difference) => {
                let tensor = difference.tensor();
                Self::Stored(tensor.clone(), tensor.float_type(difference.key())?)
            }
        })
    }

    /// `w ← w + scale·Δ` on the rows `rows` of the weight, which `w` holds. Each value of `Δ` is summed on its own and
    /// then added once.
    #[inline(always)] // Into the caller's instruction set.
    pub(crate) fn add(&self, scale: T, w: &mut ArrayViewMut2<'_, T>, rows: Range<usize>) {
        let columns = w.ncols();
        let (mut first, mut second) = ([T::zero(); BLOCK], [T::zero(); BLOCK]);
        for start in (0..columns).step_by(BLOCK) {
            let block = start..columns.min(start + BLOCK);
            for (row, mut w) in rows.clone().zip(w.rows_mut()) {
                let delta = &mut first[..block.len()];
                match self {
                    Self::Product(product) => product.row(row, block.clone(), delta),
                    Self::Hadamard(pair) => {
                        let [one, other] = &**pair;
                        let factor = &mut second[..block.len()];
                        one.row(row, block.clone(), delta);
                        other.row(row, block.clone(), factor);
                        delta.iter_mut().zip(factor).for_each(|(x, y)| *x *= *y);
                    }
                    Self::Stored(tensor, dtype) => {
                        let [from, to] = [block.start, block.end].map(|at| (row * columns + at) * dtype.size());
                        dtype.decode(&tensor.bytes()[from..to], delta);
                    }
                }
                w.slice_mut(s![block.clone()]).scaled_add(scale, &aview1(delta));
            }
        }
    }

    /// The adapter's own forward pass, `Δ·x`, by other arithmetic than [`DeltaRows::add`]: no row of `Δ` is formed.
    pub(crate) fn forward(&self, x: &Array1<f64>) -> Array1<f64> {
        match self {
            Self::Product(product) => {
                let [up, down] = &product.exact;
                up.dot(&down.dot(x))
            }
            // `Σ_j (Σ_r a[i,r]·b[r,j])·(Σ_t c[i,t]·d[t,j])·x[j] = Σ_rt a[i,r]·c[i,t]·(b·diag(x)·dᵀ)[r,t]`.
            Self::Hadamard(pair) => {
                let [[a, b], [c, d]] = [&pair[0].exact, &pair[1].exact];
                let middle = (b * x).dot(&d.t());
                (a.dot(&middle) * c).sum_axis(Axis(1))
            }
            Self::Stored(tensor, dtype) => {
                let mut row = vec![0f64; x.len()];
                let dot = |bytes: &[u8]| {
                    dtype.decode(bytes, &mut row);
                    row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
                };
                tensor.bytes().chunks(x.len().max(1) * dtype.size()).map(dot).collect()
            }
        }
    }
}

impl<T: Scalar> Product<T> {
    fn new(exact: [Array2<f64>; 2]) -> Self {
        let [up, down] = [&exact[0], &exact[1]].map(|half| half.as_standard_layout().mapv(T::from_f64_lossy));
        Self { up, down, exact }
    }

    /// A part of a row of the product.
    #[inline(always)]
    fn row(&self, row: usize, columns: Range<usize>, out: &mut [T]) {
        out.fill(T::zero());
        let down: ArrayView2<'_, T> = self.down.view();
        let (Some(up), Some(down)) = (self.up.row(row).to_slice(), down.to_slice()) else {
            return; // Both are in standard layout.
        };
        let width = self.down.ncols();
        let piece = |k: usize| &down[k * width + columns.start..k * width + columns.end];
        let (quads, rest) = up.as_chunks::<4>();
        for (quad, &[a, b, c, d]) in quads.iter().enumerate() {
            let k = 4 * quad;
            let sources = piece(k).iter().zip(piece(k + 1)).zip(piece(k + 2)).zip(piece(k + 3));
            for (out, (((&x, &y), &z), &t)) in out.iter_mut().zip(sources) {
                *out += a * x + b * y + (c * z + d * t);
            }
        }
        for (k, &a) in (4 * quads.len()..).zip(rest) {
            out.iter_mut().zip(piece(k)).for_each(|(out, &x)| *out += a * x);
        }
    }
}
