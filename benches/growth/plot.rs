//! The picture: time by size at each batch, and bytes of the parameters, on logarithmic axes.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::paper::{Area, GRID, INK, text};
use crate::{BATCHES, KINDS, Point};

/// Told apart by colour-blind eyes too (Okabe & Ito).
const COLORS: [RGBColor; 4] =
    [RGBColor(90, 90, 90), RGBColor(0, 114, 178), RGBColor(86, 180, 233), RGBColor(230, 159, 0)];
const PANEL: (u32, u32) = (330, 300);

/// Draws everything into an SVG file; `machine` tells what was measured on.
pub(crate) fn save(path: &Path, points: &[Point], machine: &str) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (3 * PANEL.0, PANEL.1 + 56)).into_drawing_area();
    root.fill(&WHITE)?;
    let (above, below) = root.split_vertically(PANEL.1);
    let panels = above.split_evenly((1, 3));
    for (panel, batch) in panels.iter().zip(BATCHES) {
        let of_batch: Vec<&Point> = points.iter().filter(|point| point.batch == batch).collect();
        let times = |kind: usize| of_batch.iter().map(|point| (point.size, 1e3 * point.seconds[kind])).collect();
        chart(panel, &format!("ms, batch {batch}"), [0, 1, 2, 3].map(times))?;
    }
    let of_first: Vec<&Point> = points.iter().filter(|point| point.batch == BATCHES[0]).collect();
    let bytes = |kind: usize| of_first.iter().map(|point| (point.size, point.bytes[kind] as f64 / 1024.0)).collect();
    chart(&panels[2], "KiB of parameters", [0, 1, 2, 3].map(bytes))?;
    for (index, (kind, color)) in KINDS.iter().zip(COLORS).enumerate() {
        let x = 24 + 170 * index as i32;
        below.draw(&PathElement::new([(x, 14), (x + 22, 14)], color.stroke_width(3)))?;
        below.draw_text(kind, &text(14), (x + 28, 6))?;
    }
    below.draw_text(machine, &text(11), (24, 34))?;
    root.present()?;
    Ok(())
}

fn chart(area: &Area<'_>, title: &str, curves: [Vec<(usize, f64)>; 4]) -> Result<(), Box<dyn Error>> {
    area.draw_text(title, &text(16), (20, 8))?;
    let bits = || curves.iter().flatten().map(|(size, _)| size.ilog2());
    let values = || curves.iter().flatten().map(|(_, value)| *value);
    let (first, last) = (bits().min().unwrap_or(0), bits().max().unwrap_or(0));
    let (bottom, top) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    // Sizes are powers of two, whose exponents stand on a plain axis.
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_top(34)
        .x_label_area_size(28)
        .y_label_area_size(56)
        .build_cartesian_2d(f64::from(first) - 0.3..f64::from(last) + 0.3, (0.8 * bottom..1.25 * top).log_scale())?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(text(12))
        .x_labels((last - first + 1) as usize)
        .x_label_formatter(&|bits| format!("{}", bits.exp2()))
        .y_label_formatter(&|value| format!("{value}"))
        .x_desc("size of the layer")
        .draw()?;
    for (curve, color) in curves.into_iter().zip(COLORS) {
        let points: Vec<(f64, f64)> = curve.into_iter().map(|(size, value)| (f64::from(size.ilog2()), value)).collect();
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, color.filled())))?;
    }
    Ok(())
}
