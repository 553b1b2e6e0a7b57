//! The same values, lying otherwise in memory.

use ndarray::{Array2, ArrayRef2, NdFloat, ShapeBuilder, s};

/// How a matrix lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Row after row.
    RowMajor,
    /// Column after column.
    ColumnMajor,
    /// Every second row and column of a larger matrix full of NaN.
    Strided,
    /// Both axes reversed.
    Reversed,
    /// Some columns out of a wider matrix: rows contiguous, with gaps between.
    Columns,
}

/// Every layout there is.
pub const LAYOUTS: [Layout; 5] =
    [Layout::RowMajor, Layout::ColumnMajor, Layout::Strided, Layout::Reversed, Layout::Columns];

/// Runs `work` on a view that has the values of `matrix` and that layout. What lies between them is NaN.
pub fn with_layout<T: NdFloat, R>(
    matrix: &ArrayRef2<T>,
    layout: Layout,
    work: impl FnOnce(&mut ArrayRef2<T>) -> R,
) -> R {
    let (rows, cols) = matrix.dim();
    let mut memory = match layout {
        Layout::RowMajor | Layout::Reversed => Array2::from_elem((rows, cols), T::nan()),
        Layout::ColumnMajor => Array2::from_elem((rows, cols).f(), T::nan()),
        Layout::Strided => Array2::from_elem((2 * rows + 1, 2 * cols + 1), T::nan()),
        Layout::Columns => Array2::from_elem((rows, cols + 3), T::nan()),
    };
    let mut view = match layout {
        Layout::RowMajor | Layout::ColumnMajor => memory.view_mut(),
        Layout::Strided => memory.slice_mut(s![1..2 * rows + 1; 2, 1..2 * cols + 1; 2]),
        Layout::Reversed => memory.slice_mut(s![..;-1, ..;-1]),
        Layout::Columns => memory.slice_mut(s![.., 2..cols + 2]),
    };
    view.assign(matrix);
    work(&mut view)
}
