//! A picture of one number per module.

use std::io::Write;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::CliError;

const INK: RGBColor = RGBColor(45, 49, 58);
const BAR: RGBColor = RGBColor(86, 180, 233);
const MARK: RGBColor = RGBColor(213, 94, 0);
const ROW: u32 = 18;
const TOP: u32 = 52;
const BARS: u32 = 480;
const VALUES: u32 = 90;

/// Horizontal bars: a name, a value and, where there is one, a second value as a mark on the bar. Written beside the
/// target and renamed over it. SVG needs no fonts here: who shows the picture has them.
pub fn save(path: &Path, title: &str, rows: &[(&str, f64, Option<f64>)]) -> Result<(), CliError> {
    let mut svg = String::new();
    draw(&mut svg, title, rows).map_err(|error| CliError::Plot { source: error })?;
    let write = || {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Those of any new file, less what the user's mask takes away; without it the file would be the owner's only.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(directory)?;
        file.write_all(svg.as_bytes())?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| CliError::Write { path: path.to_owned(), source })
}

fn draw(
    svg: &mut String,
    title: &str,
    rows: &[(&str, f64, Option<f64>)],
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let longest = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let left = 24 + 7 * longest as u32;
    let (width, height) = (left + BARS + VALUES, TOP + ROW * rows.len() as u32 + 16);
    let root = SVGBackend::with_string(svg, (width, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let style = |size: u32, h: HPos| ("sans-serif", size).into_font().color(&INK).pos(Pos::new(h, VPos::Center));
    root.draw_text(title, &style(18, HPos::Left), (16, 24))?;
    let largest = rows.iter().map(|row| row.1).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let x = |value: f64| {
        let share = if largest > 0.0 && value.is_finite() { value / largest } else { 0.0 };
        left as i32 + (share * f64::from(BARS)).round() as i32
    };
    for (index, &(name, value, mark)) in rows.iter().enumerate() {
        let top = (TOP + ROW * index as u32) as i32;
        let middle = top + ROW as i32 / 2;
        root.draw_text(name, &style(12, HPos::Right), (left as i32 - 8, middle))?;
        root.draw(&Rectangle::new([(left as i32, top + 3), (x(value), top + ROW as i32 - 3)], BAR.filled()))?;
        if let Some(mark) = mark {
            let line = [(x(mark), top + 1), (x(mark), top + ROW as i32 - 1)];
            root.draw(&PathElement::new(line, MARK.stroke_width(2)))?;
        }
        root.draw_text(&crate::report::number(Some(value)), &style(12, HPos::Left), (x(value) + 8, middle))?;
    }
    root.present()?;
    Ok(())
}
