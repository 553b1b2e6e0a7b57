//! The font that is part of the program, so that a picture needs none on the system.

use ab_glyph::{Font as _, FontRef, GlyphId, PxScale, ScaleFont, point};

use super::canvas::Point;
use crate::error::CliError;

const DEJAVU_SANS: &[u8] = include_bytes!("../../assets/DejaVuSans-subset.ttf");

pub(super) struct Font(FontRef<'static>);

impl Font {
    pub(super) fn embedded() -> Result<Self, CliError> {
        let font = FontRef::try_from_slice(DEJAVU_SANS).map_err(|error| CliError::Plot { source: error.into() })?;
        Ok(Self(font))
    }

    /// Width of a text, `size` being that of an em.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        let font = self.0.as_scaled(self.scale(size));
        self.glyphs(text).map(|glyph| font.h_advance(glyph)).sum()
    }

    /// Hands over every pixel that a text from `start` on its baseline covers, and how much of it.
    pub(super) fn draw(&self, text: &str, size: f32, start: Point, mut pixel: impl FnMut(i64, i64, f32)) {
        let scale = self.scale(size);
        let font = self.0.as_scaled(scale);
        let mut x = start.x;
        for glyph in self.glyphs(text) {
            let placed = glyph.with_scale_and_position(scale, point(x, start.y));
            x += font.h_advance(glyph);
            if let Some(outline) = self.0.outline_glyph(placed) {
                let corner = outline.px_bounds().min;
                outline.draw(|column, row, coverage| {
                    pixel(corner.x as i64 + i64::from(column), corner.y as i64 + i64::from(row), coverage);
                });
            }
        }
    }

    fn glyphs(&self, text: &str) -> impl Iterator<Item = GlyphId> {
        text.chars().map(|c| self.0.glyph_id(c))
    }

    /// The font's own measure is from the lowest point to the highest.
    fn scale(&self, size: f32) -> PxScale {
        let em = self.0.units_per_em().unwrap_or(1.0);
        PxScale::from(size * self.0.height_unscaled() / em)
    }
}
