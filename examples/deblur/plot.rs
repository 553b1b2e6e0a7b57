//! The picture: the photograph, what blurs make of it, and what is got back.

use std::error::Error;
use std::path::Path;

use ndarray::Array3;
use plotters::prelude::*;

use super::common::paper::{pixels, text};
use super::photo::color;

/// An image and what it shows.
pub struct Panel<'a> {
    title: &'a str,
    image: &'a Array3<f64>,
}

impl<'a> Panel<'a> {
    pub fn new(title: &'a str, image: &'a Array3<f64>) -> Self {
        Self { title, image }
    }
}

/// Draws the panels into an SVG file at `path`, four in a row, each with room for an image of `size`.
pub fn save(path: &Path, (rows, columns): (usize, usize), panels: &[Panel<'_>]) -> Result<(), Box<dyn Error>> {
    const PIXEL: usize = 3;
    const ACROSS: usize = 4;
    const GAP: usize = 20;
    const TITLE: usize = 26;
    let (width, height) = (columns * PIXEL + GAP, rows * PIXEL + TITLE + GAP);
    let size = (ACROSS * width + GAP, panels.len().div_ceil(ACROSS) * height + GAP);
    let root = SVGBackend::new(path, (size.0 as u32, size.1 as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    for (index, Panel { title, image }) in panels.iter().enumerate() {
        let (left, top) = (GAP + index % ACROSS * width, GAP + index / ACROSS * height);
        root.draw_text(title, &text(17), (left as i32, top as i32 - 4))?;
        let (_, height, width) = image.dim();
        // An image without its edges lies where it lay.
        let inset = |whole: usize, part: usize| (whole - part) / 2 * PIXEL;
        let corner = (left + inset(columns, width), top + TITLE - 6 + inset(rows, height));
        let image = image.view();
        pixels(&root, (corner.0 as i32, corner.1 as i32), (height, width), PIXEL as i32, |row, column| {
            Some(color(&image, row, column))
        })?;
    }
    root.present()?;
    Ok(())
}
