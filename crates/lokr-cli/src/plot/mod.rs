//! A picture of one or two numbers per module, as SVG or PNG.

mod font;
mod layout;
mod pixels;
mod svg;

use std::io::Write;
use std::path::Path;

use crate::error::CliError;
use font::Font;
use layout::Layout;

/// Colours as red, green and blue.
type Color = [u8; 3];

const PAPER: Color = [255, 255, 255];
const INK: Color = [38, 42, 51];
const FAINT: Color = [110, 116, 128];
const GRID: Color = [225, 228, 233];
const BAR: Color = [86, 156, 214];
const MARK: Color = [213, 94, 0];

/// The kinds of file that can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Svg,
    Png,
}

impl Format {
    /// The format that a name's ending asks for.
    pub fn of(path: &Path) -> Result<Self, CliError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "svg" => Ok(Self::Svg),
            "png" => Ok(Self::Png),
            _ => Err(CliError::Extension { path: path.to_owned(), expected: ".svg or .png" }),
        }
    }
}

/// Horizontal bars, one per row.
pub struct Plot<'a> {
    pub title: String,
    /// What the bars show, with its unit.
    pub axis: &'a str,
    /// What the marks show, where there are any.
    pub marks: Option<&'a str>,
    pub rows: Vec<Row<'a>>,
}

/// A name and its numbers. Without a value there is no bar.
pub struct Row<'a> {
    pub name: &'a str,
    pub value: Option<f64>,
    pub mark: Option<f64>,
}

/// A place in the picture, in units of about a point, from the upper left corner.
#[derive(Debug, Clone, Copy)]
struct Point {
    x: f32,
    y: f32,
}

/// Where a text lies from its point on the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
struct Style {
    size: f32,
    color: Color,
    anchor: Anchor,
}

/// What a picture is drawn on.
trait Canvas {
    fn rectangle(&mut self, at: Point, width: f32, height: f32, color: Color);
    fn text(&mut self, at: Point, style: Style, text: &str);
}

/// Draws the picture, and writes it beside the target and renames it over it.
pub fn save(path: &Path, format: Format, plot: &Plot<'_>) -> Result<(), CliError> {
    let bytes = plot.draw(format)?;
    let write = || {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".lokr-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Those of any new file, less what the user's mask takes away; without it the file would be the owner's only.
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
