//! Drawing as PNG.

use super::canvas::{Anchor, Canvas, Color, PAPER, Point, Style};
use super::font::Font;
use crate::error::CliError;

/// Above so many pixels, a picture has one per unit, else two.
const FINE: f32 = 24e6;

pub(super) struct Pixels<'a> {
    font: &'a Font,
    /// Pixels per unit.
    scale: f32,
    width: usize,
    height: usize,
    pixels: Vec<Color>,
}

impl<'a> Pixels<'a> {
    pub(super) fn new(width: f32, height: f32, font: &'a Font) -> Self {
        let scale = if 4.0 * width * height > FINE { 1.0 } else { 2.0 };
        let (width, height) = ((scale * width).ceil() as usize, (scale * height).ceil() as usize);
        Self { font, scale, width, height, pixels: vec![PAPER; width * height] }
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, CliError> {
        self.encode().map_err(|error| CliError::Plot { source: error.into() })
    }

    fn encode(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut file = Vec::new();
        let (width, height) = (u32::try_from(self.width), u32::try_from(self.height));
        let (Ok(width), Ok(height)) = (width, height) else {
            return Err(png::EncodingError::LimitsExceeded);
        };
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Balanced);
        // After the level, which chooses a filter too. Flat colours need none.
        encoder.set_filter(png::Filter::NoFilter);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_flattened())?;
        writer.finish()?;
        Ok(file)
    }

    /// The pixel at a place, where there is one.
    fn pixel(&mut self, x: i64, y: i64) -> Option<&mut Color> {
        let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
        if x < self.width { self.pixels.get_mut(y * self.width + x) } else { None }
    }
}

impl Canvas for Pixels<'_> {
    fn rectangle(&mut self, at: Point, width: f32, height: f32, color: Color) {
        let pixels = |from: f32, length: f32| {
            let edge = |x: f32| (self.scale * x).round() as i64;
            edge(from)..edge(from + length)
        };
        let (columns, rows) = (pixels(at.x, width), pixels(at.y, height));
        for y in rows {
            for x in columns.clone() {
                if let Some(pixel) = self.pixel(x, y) {
                    *pixel = color;
                }
            }
        }
    }

    fn text(&mut self, at: Point, Style { size, color, anchor }: Style, text: &str) {
        let font = self.font;
        let size = self.scale * size;
        let before = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => font.width(text, size) / 2.0,
            Anchor::End => font.width(text, size),
        };
        let start = Point { x: (self.scale * at.x - before).round(), y: (self.scale * at.y).round() };
        font.draw(text, size, start, |x, y, coverage| {
            if let Some(pixel) = self.pixel(x, y) {
                for (under, ink) in pixel.iter_mut().zip(color) {
                    let (below, above) = (f32::from(*under), f32::from(ink));
                    *under = (below + (above - below) * coverage.min(1.0)).round() as u8;
                }
            }
        });
    }
}
