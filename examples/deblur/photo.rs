//! The photograph: three colour channels of 60 × 90 values.

use std::error::Error;

use ndarray::{Array3, ArrayView3};
use plotters::style::RGBColor;

/// Compiled in, so that the example runs from any folder. A colour after the other in every pixel, row by row.
const PPM: &[u8] = include_bytes!("../data/cat.ppm");
const HEADER: &[u8] = b"P6\n90 60\n255\n";
const COLORS: usize = 3;

/// `(colour, row, column)`, from 0 (dark) to 1.
pub fn load() -> Result<Array3<f64>, Box<dyn Error>> {
    let pixels = PPM.strip_prefix(HEADER).ok_or("cat.ppm: another header than expected")?;
    let values = pixels.iter().map(|&value| f64::from(value) / 255.0).collect();
    let image = Array3::from_shape_vec((60, 90, COLORS), values)?;
    Ok(image.permuted_axes([2, 0, 1]).as_standard_layout().into_owned())
}

/// What a file of 8 bits per colour keeps of an image.
pub fn rounded(image: &Array3<f64>) -> Array3<f64> {
    image.mapv(|value| f64::from(byte(value)) / 255.0)
}

/// One pixel as it is shown. What is out of range is as dark or as bright as can be.
pub fn color(image: &ArrayView3<'_, f64>, row: usize, column: usize) -> RGBColor {
    let [r, g, b] = [0, 1, 2].map(|color| byte(image[[color, row, column]]));
    RGBColor(r, g, b)
}

fn byte(value: f64) -> u8 {
    (value * 255.0).round().clamp(0.0, 255.0) as u8
}
