//! What pictures are drawn with.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

/// A part of a picture.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub const INK: RGBColor = RGBColor(45, 49, 58);
pub const GRID: RGBColor = RGBColor(228, 230, 235);

/// Makes sure that a file can be written at `path`, before any work goes into what it is to show. Its folder is made if
/// need be.
pub fn check(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path).map(drop)
}

pub fn text(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// An image of `rows` by `columns` pixels, each a square of `side`, with its upper left corner at a point; `color`
/// tells that of a row and column, none for paper.
pub fn pixels(
    area: &Area<'_>,
    (left, top): (i32, i32),
    (rows, columns): (usize, usize),
    side: i32,
    color: impl Fn(usize, usize) -> Option<RGBColor>,
) -> Result<(), Box<dyn Error>> {
    let corner = |row: usize, column: usize| (left + side * column as i32, top + side * row as i32);
    for row in 0..rows {
        // Neighbours of one colour are one rectangle.
        let mut start = 0;
        for column in 0..columns {
            let this = color(row, column);
            if column + 1 < columns && color(row, column + 1) == this {
                continue;
            }
            if let Some(this) = this {
                area.draw(&Rectangle::new([corner(row, start), corner(row + 1, column + 1)], this.filled()))?;
            }
            start = column + 1;
        }
    }
    area.draw(&Rectangle::new([corner(0, 0), corner(rows, columns)], GRID))?;
    Ok(())
}
