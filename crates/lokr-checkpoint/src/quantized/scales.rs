//! Which scale belongs to which element of a weight.

/// Scales over the cells of a weight as a matrix `(out, in·K)`: one cell, rows, or blocks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scales {
    /// Row-major over the cells.
    pub(super) values: Vec<f32>,
    /// Columns of the weight, and rows and columns of a cell; those at the edges may be smaller.
    columns: usize,
    cell: [usize; 2],
    /// Cells side by side.
    across: usize,
}

/// The side of DeepSeek's blocks, to which shapes are fitted first.
const USUAL: usize = 128;

impl Scales {
    /// Cells for scales of a shape beside a weight of a shape; nothing if they do not fit. `block` is the size of
    /// blocks, where the model tells it.
    pub(super) fn new(values: Vec<f32>, shape: &[usize], weight: &[usize], block: Option<[usize; 2]>) -> Option<Self> {
        let (&rows, rest) = weight.split_first()?;
        let columns = rest.iter().product::<usize>();
        // Ones behind are axes that were kept.
        let ones = shape.iter().rev().take_while(|&&n| n == 1).count();
        let (down, across) = match shape[..shape.len() - ones] {
            [] => (1, 1),
            [down] => (down, 1),
            [down, across] if weight.len() == 2 => (down, across),
            _ => return None,
        };
        let cell = match (down, across) {
            (1, 1) => [rows.max(1), columns.max(1)],
            (_, 1) if down == rows => [1, columns.max(1)],
            _ if shape.len() == 1 => return None,
            _ => block_for([rows, columns], [down, across], block)?,
        };
        Some(Self { values, columns, cell, across })
    }

    /// The same cells with other scales.
    pub(super) fn with_values(&self, values: Vec<f32>) -> Self {
        Self { values, ..self.clone() }
    }

    /// The scale's number of an element, and how many elements from there on have it.
    #[inline(always)]
    pub(super) fn run(&self, element: usize) -> (usize, usize) {
        if self.values.len() == 1 {
            return (0, usize::MAX);
        }
        let (row, column) = (element / self.columns, element % self.columns);
        let band = column / self.cell[1];
        let end = ((band + 1) * self.cell[1]).min(self.columns);
        (row / self.cell[0] * self.across + band, end - column)
    }

    /// The numbers of the scales of some rows.
    pub(crate) fn of_rows(&self, rows: std::ops::Range<usize>) -> std::ops::Range<usize> {
        rows.start / self.cell[0] * self.across..rows.end.div_ceil(self.cell[0]) * self.across
    }

    /// Columns of the weight.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }
}

/// The block of which so many cover a matrix, as the model tells it; else a square one whose side is a power of two,
/// the usual one before all, or equal groups of each row's columns. Other blocks have to be told: too many would fit.
fn block_for(sizes: [usize; 2], cells: [usize; 2], told: Option<[usize; 2]>) -> Option<[usize; 2]> {
    let fits =
        |block: &[usize; 2]| (0..2).all(|axis| block[axis] > 0 && sizes[axis].div_ceil(block[axis]) == cells[axis]);
    if told.is_some() {
        return told.filter(fits);
    }
    let powers = (1..usize::BITS - 1).map(|bit| 1 << bit);
    let squares = std::iter::once(USUAL).chain(powers).map(|side| [side, side]);
    let groups = sizes[1].checked_div(cells[1]).filter(|side| side * cells[1] == sizes[1]).map(|side| [1, side]);
    squares.chain(groups).find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(shape: &[usize], weight: &[usize], block: Option<[usize; 2]>) -> Option<[usize; 2]> {
        let values = vec![1.0; shape.iter().product()];
        Scales::new(values, shape, weight, block).map(|scales| scales.cell)
    }

    #[test]
    fn cells_follow_from_the_shapes() {
        assert_eq!(cell(&[], &[6, 10], None), Some([6, 10]));
        assert_eq!(cell(&[1], &[6, 10, 3, 3], None), Some([6, 90]));
        assert_eq!(cell(&[6], &[6, 10], None), Some([1, 10]));
        assert_eq!(cell(&[6, 1], &[6, 10], None), Some([1, 10]));
        assert_eq!(cell(&[6, 1, 1, 1], &[6, 10, 3, 3], None), Some([1, 90]));
        assert_eq!(cell(&[2, 2], &[160, 192], None), Some([128, 128]));
        assert_eq!(cell(&[1, 2], &[64, 160], None), Some([128, 128]));
        assert_eq!(cell(&[3, 2], &[96, 64], None), Some([32, 32]));
        assert_eq!(cell(&[3, 3], &[80, 80], None), Some([32, 32]));
        assert_eq!(cell(&[2, 1], &[160, 100], None), Some([128, 128]));
        assert_eq!(cell(&[96, 4], &[96, 64], None), Some([1, 16]));
        assert_eq!(cell(&[96, 4, 1], &[96, 64], None), Some([1, 16]));
        assert_eq!(cell(&[3, 2], &[96, 64], Some([32, 48])), Some([32, 48]));
        for (shape, weight, block) in [
            (&[5][..], &[6, 10][..], None),
            (&[10], &[6, 10], Some([128, 128])),
            (&[7, 1], &[6, 10], None),
            (&[2, 3], &[160, 192], Some([128, 128])),
            (&[1, 2], &[160, 192], None),
            (&[2, 1], &[64, 160], None),
            (&[3], &[6, 10], None),
            (&[6, 10, 3], &[6, 10, 3], None),
        ] {
            assert_eq!(cell(shape, weight, block), None, "{shape:?} {weight:?}");
        }
    }

    #[test]
    fn every_element_has_the_scale_of_its_cell() {
        let scales = Scales::new(vec![1.0; 6], &[2, 3], &[5, 7], Some([3, 3])).unwrap();
        for row in 0..5 {
            let mut column = 0;
            while column < 7 {
                let (number, run) = scales.run(row * 7 + column);
                assert_eq!(number, row / 3 * 3 + column / 3);
                assert_eq!(run, (column / 3 * 3 + 3).min(7) - column);
                column += run;
            }
        }
        assert_eq!([scales.of_rows(0..3), scales.of_rows(2..4), scales.of_rows(3..5)], [0..3, 0..6, 3..6]);
    }
}
