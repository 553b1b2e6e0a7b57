//! A picture of one or two numbers per module, as SVG or PNG.
//!
//! - [`bars`]: what a picture shows.
//! - [`canvas`]: what can be drawn, rectangles and texts.
//! - [`layout`]: where everything in the picture goes, whatever it is drawn on.
//! - [`svg`], [`pixels`]: the two things it is drawn on, an SVG and the pixels of a PNG.
//! - [`font`]: how wide texts are, and which pixels they cover.
//!
//! Errors, texts and outputs (`error`, `text`, `outputs`) are all that it uses of the program.

mod bars;
mod canvas;
mod font;
mod layout;
mod pixels;
mod svg;

use std::path::Path;

pub(crate) use self::bars::{Plot, Row};
use self::font::Font;
use self::layout::Layout;
use crate::error::CliError;
use crate::outputs::write_whole;

/// The kinds of file that can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Svg,
    Png,
}

impl Format {
    /// The format that a name's ending asks for.
    pub(crate) fn of(path: &Path) -> Result<Self, CliError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "svg" => Ok(Self::Svg),
            "png" => Ok(Self::Png),
            _ => Err(CliError::Extension { path: path.to_owned(), expected: ".svg or .png" }),
        }
    }
}

/// The picture as SVG, to be put into a page.
pub(crate) fn svg(plot: &Plot<'_>) -> Result<String, CliError> {
    Ok(String::from_utf8_lossy(&plot.draw(Format::Svg)?).into_owned())
}

/// Draws the picture into a file.
pub(crate) fn save(path: &Path, format: Format, plot: &Plot<'_>) -> Result<(), CliError> {
    write_whole(path, &plot.draw(format)?)
}

impl Plot<'_> {
    fn draw(&self, format: Format) -> Result<Vec<u8>, CliError> {
        let font = Font::embedded()?;
        let layout = Layout::new(self, &font);
        match format {
            Format::Svg => {
                let mut canvas = svg::Svg::new(layout.width, layout.height);
                layout.paint(&mut canvas);
                Ok(canvas.finish())
            }
            Format::Png => {
                let mut canvas = pixels::Pixels::new(layout.width, layout.height, &font);
                layout.paint(&mut canvas);
                canvas.finish()
            }
        }
    }
}

#[cfg(test)]
mod tests;
