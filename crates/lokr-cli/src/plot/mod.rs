//! A picture of one or two numbers per module, as SVG or PNG.
//!
//! - [`bars`]: what a picture shows.
//! - [`canvas`]: what can be drawn, rectangles and texts.
//! - [`layout`]: where everything in the picture goes, whatever it is drawn on.
//! - [`svg`], [`pixels`]: the two things it is drawn on, an SVG and the pixels of a PNG.
//! - [`font`]: how wide texts are, and which pixels they cover.
//!
//! Errors and texts (`error`, `text`) are all that it uses of the program.

mod bars;
mod canvas;
mod font;
mod layout;
mod pixels;
mod svg;

use std::io::Write;
use std::path::Path;

pub(crate) use self::bars::{Plot, Row};
use self::font::Font;
use self::layout::Layout;
use crate::error::CliError;

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

/// Draws the picture, and writes it beside the target and renames it over it.
pub(crate) fn save(path: &Path, format: Format, plot: &Plot<'_>) -> Result<(), CliError> {
    let bytes = plot.draw(format)?;
    let write = || {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".lokr-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Those of any new file, less what the user's mask takes away; without it the file would be the owner's
            // only.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(directory)?;
        file.write_all(&bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| CliError::Write { path: path.to_owned(), source })
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
