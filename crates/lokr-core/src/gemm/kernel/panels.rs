//! `C ← α·A·B + β·C` with both operands laid out: `A` in panels of rows, `B` in strips of columns.
#![allow(unsafe_code)] // Pointers into slices whose bounds were checked as a whole; see `panels`.

use ndarray::ArrayViewMut2;
use pulp::Simd;

use super::lanes::{Lanes, Work, run_on_best};
use super::operands::Operands;
use super::strided::{Pointer, Sizes};
use crate::gemm::blend::Blend;
use crate::gemm::limits::{PANEL_BYTES, PANEL_ROWS, STRIP_COLUMNS};
use crate::scalar::Scalar;

/// Strips of [`STRIP_COLUMNS`] columns of a matrix, one after the other, in each row after row; the last may have fewer
/// columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strips<'a, T> {
    /// All strips.
    pub(crate) data: &'a [T],
    /// Rows of each strip.
    pub(crate) depth: usize,
    /// The first row that is used.
    pub(crate) start: usize,
}

impl<T> Strips<'_, T> {
    /// Where the rows that are used begin in strip number `strip`, of so many columns.
    fn begin(&self, strip: usize, width: usize) -> usize {
        strip * STRIP_COLUMNS * self.depth + self.start * width
    }
}

/// How the values of a panel lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Panel {
    /// For every column the values of all rows.
    ByColumns,
    /// Row after row, each with room for [`piece()`] values.
    ByRows,
}

impl Panel {
    /// From one row to the next, and from one column to the next.
    #[inline(always)]
    fn strides<T>(self) -> (usize, usize) {
        match self {
            Self::ByColumns => (1, PANEL_ROWS),
            Self::ByRows => (piece::<T>(), 1),
        }
    }

    /// Values of a panel of `k` columns.
    #[inline(always)]
    fn values<T>(self, k: usize) -> usize {
        match self {
            Self::ByColumns => PANEL_ROWS * k,
            Self::ByRows => PANEL_ROWS * piece::<T>(),
        }
    }
}

/// Columns of a panel that are used at a time.
#[inline(always)]
pub(crate) const fn piece<T>() -> usize {
    PANEL_BYTES / size_of::<T>()
}

/// `C ← α·A·B + β·C` with an inner dimension of `k`.
///
/// `a` has the rows of `A` in panels of [`PANEL_ROWS`], one after the other. Whatever fills up the last panel is not
/// used. A panel stays in the first-level cache while all strips go past it.
///
/// # Panics
/// When an element lies outside its slice, or a row of `c` is not contiguous: a bug of the caller.
pub(crate) fn panels<T: Scalar>(
    blend: Blend<T>,
    (panel, a): (Panel, &[T]),
    b: Strips<'_, T>,
    k: usize,
    c: &mut ArrayViewMut2<'_, T>,
) {
    let (m, n) = c.dim();
    if m == 0 || n == 0 {
        return;
    }
    let last = (n - 1) / STRIP_COLUMNS;
    let width = n - last * STRIP_COLUMNS;
    assert!(
        a.len() >= m.div_ceil(PANEL_ROWS) * panel.values::<T>(k)
            && (panel == Panel::ByColumns || k <= piece::<T>())
            && b.start + k <= b.depth
            && b.begin(last, width) + k * width <= b.data.len(),
        "operands of a product of panels"
    );
    let c = Pointer::to(c);
    Panels { sizes: Sizes { m, n, k }, blend, panel, a, b, c }.run_on_best(n);
}

/// Rows of a strip that are asked for before they are used: some hundred cycles.
const AHEAD: usize = 8;

struct Panels<'a, T> {
    sizes: Sizes,
    blend: Blend<T>,
    panel: Panel,
    a: &'a [T],
    b: Strips<'a, T>,
    c: Pointer<T>,
}

run_on_best!(Panels);

impl<T: Scalar> Work<T> for Panels<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        T: Lanes<S>,
    {
        // Known strides, so that they become parts of the instructions.
        match self.panel {
            Panel::ByColumns => self.all(simd, Panel::ByColumns),
            Panel::ByRows => self.all(simd, Panel::ByRows),
        }
    }
}

impl<T: Scalar> Panels<'_, T> {
    #[inline(always)]
    fn all<S: Simd>(self, simd: S, panel: Panel)
    where
        T: Lanes<S>,
    {
        let Sizes { m, n, k } = self.sizes;
        let (a_row, a_col) = panel.strides::<T>();
        let lanes = <T as Lanes<S>>::COUNT;
        for first in (0..m).step_by(PANEL_ROWS) {
            let rows = PANEL_ROWS.min(m - first);
            for (strip, left) in (0..n).step_by(STRIP_COLUMNS).enumerate() {
                let width = STRIP_COLUMNS.min(n - left);
                // SAFETY: `panels` has checked that the last panel and the last strip lie within their slices, so all
                // do; rows and columns below `m` and `n` of `c` exist, and it is borrowed mutably for the whole run.
                unsafe {
                    let operands = Operands {
                        k,
                        blend: self.blend,
                        a: self.a.as_ptr().add(first / PANEL_ROWS * panel.values::<T>(k)),
                        a_row,
                        a_col,
                        b: self.b.data.as_ptr().add(self.b.begin(strip, width)),
                        b_row: width,
                        c: self.c.data.add(first * self.c.row + left),
                        c_row: self.c.row,
                    };
                    let mut col = 0;
                    while col + 2 * lanes <= width {
                        operands.panel::<S, 2, false>(simd, rows, col, lanes);
                        col += 2 * lanes;
                    }
                    if width - col > lanes {
                        operands.panel::<S, 2, true>(simd, rows, col, width - col - lanes);
                    } else if width > col {
                        operands.panel::<S, 1, true>(simd, rows, col, width - col);
                    }
                }
            }
        }
    }
}

impl<T: Scalar> Operands<T> {
    /// Some rows of one panel in `V` registers of columns, the last of which has `tail` lanes if `MASKED`.
    ///
    /// # Safety
    /// The columns and rows must exist.
    #[inline(always)]
    unsafe fn panel<S: Simd, const V: usize, const MASKED: bool>(self, simd: S, rows: usize, col: usize, tail: usize)
    where
        T: Lanes<S>,
    {
        let mask = <T as Lanes<S>>::first(simd, tail);
        let mut row = 0;
        // SAFETY: rows below `rows` exist by the contract.
        unsafe {
            if S::REGISTER_COUNT >= 32 {
                if rows == PANEL_ROWS {
                    return self.tile::<S, PANEL_ROWS, V, MASKED, AHEAD>(simd, mask, 0, col);
                }
                if row + 8 <= rows {
                    self.tile::<S, 8, V, MASKED, AHEAD>(simd, mask, row, col);
                    row += 8;
                }
            } else {
                while row + 6 <= rows {
                    self.tile::<S, 6, V, MASKED, AHEAD>(simd, mask, row, col);
                    row += 6;
                }
            }
            if row + 4 <= rows {
                self.tile::<S, 4, V, MASKED, AHEAD>(simd, mask, row, col);
                row += 4;
            }
            if row + 2 <= rows {
                self.tile::<S, 2, V, MASKED, AHEAD>(simd, mask, row, col);
                row += 2;
            }
            if row < rows {
                self.tile::<S, 1, V, MASKED, AHEAD>(simd, mask, row, col);
            }
        }
    }
}
