//! The picture: what was learned from, the prediction and its standard deviation, for a map and for a day.

use std::error::Error;
use std::f64::consts::TAU;
use std::path::Path;

use ndarray::{Array1, ArrayView2, Axis};
use plotters::prelude::*;

use super::common::paper::{Area, GRID, INK, pixels, text};
use super::data::Temperature;
use super::study::Learned;

/// Told apart by colour-blind eyes too (Okabe & Ito).
const COLORS: [RGBColor; 2] = [RGBColor(0, 114, 178), RGBColor(230, 159, 0)];
const WIDTH: u32 = 290;
const HEIGHT: u32 = 250;

/// Draws everything into an SVG file at `path`: above the map of the hour `index` alone, below that hour of the day.
pub fn save(
    path: &Path,
    map: &Learned,
    whole: &Learned,
    day: &Temperature,
    index: usize,
) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (4 * WIDTH, 2 * HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let panels = root.split_evenly((2, 4));
    let (hours, rows, columns) = day.values.dim();
    let truth = day.values.index_axis(Axis(0), index);
    let hour = |values: &Array1<f64>| -> Result<_, Box<dyn Error>> {
        let hours = values.to_shape((hours, rows, columns))?;
        Ok(hours.index_axis(Axis(0), index).to_owned())
    };
    let of_map = |values: &Array1<f64>| values.to_shape((rows, columns)).map(|map| map.to_owned());
    let (mean, deviation) = (of_map(&map.mean)?, of_map(&map.deviation)?);
    let (day_mean, day_deviation) = (hour(&whole.mean)?, hour(&whole.deviation)?);

    let least = truth.iter().copied().fold(f64::INFINITY, f64::min);
    let most = truth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let degrees = (least, most, "°C");
    let widest = day_deviation.iter().chain(&deviation).copied().fold(0.0, f64::max);
    let kelvins = (0.0, widest, "K");
    let learned_from = |row: usize, column: usize| row.is_multiple_of(2) && column.is_multiple_of(2);
    let all = |_, _| true;
    heat(&panels[0], "14 h: learned from", truth, degrees, learned_from)?;
    heat(&panels[1], "mean", mean.view(), degrees, all)?;
    heat(&panels[2], "standard deviation", deviation.view(), kelvins, all)?;
    likelihoods(&panels[3], [map, whole])?;
    heat(&panels[4], "14 h: not learned from", truth, degrees, all)?;
    heat(&panels[5], "mean, learned from 0, 4, … 24 h", day_mean.view(), degrees, all)?;
    heat(&panels[6], "standard deviation", day_deviation.view(), kelvins, all)?;
    scores(&panels[7], [map, whole])?;
    root.present()?;
    Ok(())
}

/// A map, dark where values are least; only what is `shown` of it.
fn heat(
    area: &Area<'_>,
    title: &str,
    values: ArrayView2<'_, f64>,
    (least, most, unit): (f64, f64, &str),
    shown: impl Fn(usize, usize) -> bool,
) -> Result<(), Box<dyn Error>> {
    const PIXEL: i32 = 5;
    area.draw_text(title, &text(17), (20, 8))?;
    pixels(area, (20, 34), values.dim(), PIXEL, |row, column| {
        let this = color((values[[row, column]] - least) / (most - least));
        shown(row, column).then_some(this)
    })?;
    // The scale, below.
    let below = 34 + PIXEL * values.nrows() as i32 + 10;
    for step in 0..100 {
        let this = color(f64::from(step) / 99.0);
        area.draw(&Rectangle::new([(20 + step, below), (21 + step, below + 8)], this.filled()))?;
    }
    let scale = format!("{least:.1} to {most:.1} {unit}");
    area.draw_text(&scale, &text(14), (128, below - 3))?;
    Ok(())
}

/// From dark to bright as a share goes from 0 to 1: matplotlib's viridis, between five of its colours.
fn color(share: f64) -> RGBColor {
    const ANCHORS: [[f64; 3]; 5] =
        [[68.0, 1.0, 84.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [253.0, 231.0, 37.0]];
    let at = share.clamp(0.0, 1.0) * 4.0;
    let below = (at as usize).min(3);
    let mix = |part: usize| {
        let (dark, bright) = (ANCHORS[below][part], ANCHORS[below + 1][part]);
        (dark + (at - below as f64) * (bright - dark)).round() as u8
    };
    RGBColor(mix(0), mix(1), mix(2))
}

fn likelihoods(area: &Area<'_>, studies: [&Learned; 2]) -> Result<(), Box<dyn Error>> {
    let curves = studies.map(|learned| {
        let points = learned.study.data.values.len() as f64;
        learned.likelihoods.iter().enumerate().map(|(step, value)| (step as f64, value / points)).collect::<Vec<_>>()
    });
    let values = || curves.iter().flatten().map(|(_, value)| *value);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let steps = curves.iter().map(Vec::len).max().unwrap_or(1).saturating_sub(1) as f64;
    chart(area, "log-likelihood of a point", "step", (0.0, steps), (least, most + 0.1), &curves)
}

/// How the errors are distributed, in predicted standard deviations, with the normal distribution.
fn scores(area: &Area<'_>, studies: [&Learned; 2]) -> Result<(), Box<dyn Error>> {
    const BINS: i32 = 32;
    const BIN: f64 = 0.25;
    let curves = studies.map(|learned| {
        let scores = learned.scores();
        let share = |bin: i32| {
            let low = f64::from(bin) * BIN;
            let inside = scores.iter().filter(|&&score| score >= low && score < low + BIN).count();
            (low + 0.5 * BIN, inside as f64 / (scores.len() as f64 * BIN))
        };
        (-BINS / 2..BINS / 2).map(share).collect::<Vec<_>>()
    });
    let most = curves.iter().flatten().map(|(_, value)| *value).fold(0.0, f64::max);
    let normal = |x: f64| (x, (-0.5 * x * x).exp() / TAU.sqrt());
    let [map, whole] = curves;
    let normal = (-40..=40).map(|i| normal(f64::from(i) * 0.1)).collect();
    chart(area, "errors / standard deviation", "", (-4.0, 4.0), (0.0, most * 1.05), &[map, whole, normal])
}

/// The map's curve, the day's, and others in grey.
fn chart(
    area: &Area<'_>,
    title: &str,
    x_title: &str,
    (left, right): (f64, f64),
    (bottom, top): (f64, f64),
    curves: &[Vec<(f64, f64)>],
) -> Result<(), Box<dyn Error>> {
    area.draw_text(title, &text(17), (20, 8))?;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_top(34)
        .x_label_area_size(34)
        .y_label_area_size(40)
        .build_cartesian_2d(left..right, bottom..top)?;
    chart
        .configure_mesh()
        .x_desc(x_title)
        .x_labels(5)
        .y_labels(5)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(text(13))
        .draw()?;
    let names = ["one hour", "the day", "normal"];
    let colors = [COLORS[0], COLORS[1], INK];
    for ((points, color), name) in curves.iter().zip(colors).zip(names) {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(3)));
    }
    let corner = if bottom < 0.0 { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperRight };
    chart
        .configure_series_labels()
        .position(corner)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .label_font(text(13))
        .draw()?;
    Ok(())
}
