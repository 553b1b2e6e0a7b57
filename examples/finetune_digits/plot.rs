//! The picture: examples of both domains above, curves of loss and accuracy below.

use std::error::Error;
use std::path::Path;

use ndarray::ArrayView1;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::data::{CLASSES, Digits, SIDE};
use super::paper::{Area, GRID, INK, pixels, text};
use super::training::Run;

/// Told apart by colour-blind eyes too (Okabe & Ito).
const COLORS: [RGBColor; 5] =
    [RGBColor(60, 60, 60), RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(86, 180, 233), RGBColor(230, 159, 0)];

/// Draws everything into an SVG file at `path`.
pub fn save(path: &Path, upright: &Digits, shifted: &Digits, runs: &[Run]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (960, 520)).into_drawing_area();
    root.fill(&WHITE)?;
    let (images, charts) = root.split_vertically(112);
    let (left, right) = images.split_horizontally(480);
    strip(&left, "What the base network has learned", upright)?;
    strip(&right, "What it learns through adapters", shifted)?;

    let (left, right) = charts.split_horizontally(480);
    let losses: Vec<_> = runs.iter().map(|run| (run.name.as_str(), points(&run.losses, 1))).collect();
    let accuracies: Vec<_> = runs.iter().map(|run| (run.name.as_str(), points(&run.accuracies, 0))).collect();
    let epochs = runs.iter().map(|run| run.losses.len()).max().unwrap_or(0) as f64;
    let values = || runs.iter().flat_map(|run| &run.losses).copied().filter(|&loss| loss > 0.0);
    let (low, high) = (values().fold(1.0, f64::min), values().fold(1.0, f64::max));
    let log_scale = (low * 0.8..high * 1.25).log_scale();
    chart(&left, "Training loss", &losses, epochs, log_scale, &|loss| format!("{loss}"), None)?;
    chart(
        &right,
        "Accuracy on shifted validation images",
        &accuracies,
        epochs,
        0.0..1.0,
        &|accuracy| format!("{:.0} %", accuracy * 100.0),
        Some(SeriesLabelPosition::LowerRight),
    )?;
    root.present()?;
    Ok(())
}

fn points(values: &[f64], first_epoch: usize) -> Vec<(f64, f64)> {
    values.iter().enumerate().map(|(i, &value)| ((first_epoch + i) as f64, value)).collect()
}

/// One example of each digit, side by side.
fn strip(area: &Area<'_>, title: &str, digits: &Digits) -> Result<(), Box<dyn Error>> {
    area.draw_text(title, &text(19), (20, 18))?;
    for class in 0..CLASSES {
        if let Some(index) = digits.labels.iter().position(|&label| label == class) {
            image(area, (20 + 44 * class as i32, 50), digits.images.row(index))?;
        }
    }
    Ok(())
}

fn image(area: &Area<'_>, corner: (i32, i32), image: ArrayView1<'_, f32>) -> Result<(), Box<dyn Error>> {
    pixels(area, corner, (SIDE, SIDE), 5, |row, column| Some(gray(image[SIDE * row + column])))
}

/// Ink, from -1 to 1, as it looks on paper.
fn gray(ink: f32) -> RGBColor {
    let level = ((1.0 - ink) / 2.0 * 255.0) as u8;
    RGBColor(level, level, level)
}

/// One line per curve over the epochs. The last curve is the first in the legend.
fn chart<Y>(
    area: &Area<'_>,
    title: &str,
    curves: &[(&str, Vec<(f64, f64)>)],
    epochs: f64,
    y_range: Y,
    y_label: &dyn Fn(&f64) -> String,
    legend: Option<SeriesLabelPosition>,
) -> Result<(), Box<dyn Error>>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    area.draw_text(title, &text(19), (20, 4))?;
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_top(36)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..epochs, y_range)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .x_label_formatter(&|epoch| format!("{epoch:.0}"))
        .y_label_formatter(y_label)
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(text(14))
        .draw()?;
    for ((name, points), color) in curves.iter().rev().zip(COLORS.iter().cycle()) {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
    }
    if let Some(position) = legend {
        chart
            .configure_series_labels()
            .position(position)
            .background_style(WHITE.mix(0.85))
            .border_style(GRID)
            .label_font(text(14))
            .draw()?;
    }
    Ok(())
}
