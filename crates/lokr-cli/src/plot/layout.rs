//! Where everything in the picture goes.

use super::bars::{Plot, Row};
use super::canvas::{Anchor, Canvas, Color, PAPER, Point, Style};
use super::font::Font;
use crate::text::{number, printable};

const INK: Color = [38, 42, 51];
const FAINT: Color = [110, 116, 128];
const GRID: Color = [225, 228, 233];
pub(super) const BAR: Color = [86, 156, 214];
const MARK: Color = [213, 94, 0];

/// Free space around everything.
const MARGIN: f32 = 20.0;
const TITLE: f32 = 15.0;
const TEXT: f32 = 11.0;
/// Room for the title and the legend.
const HEAD: f32 = 68.0;
/// From one row to the next.
const ROW: f32 = 16.0;
/// Length of the longest bar.
const BARS: f32 = 340.0;
/// Between a name and its bar, and the bar and its number.
const GAP: f32 = 8.0;
/// Between columns of rows.
const GUTTER: f32 = 36.0;
/// Room for the numbers and the name of the axis below the bars.
const FOOT: f32 = 40.0;
/// More rows than this stand in several columns: a taller picture would be more than many programs can show.
const ROWS: usize = 160;
/// Longer texts lose their beginnings, which names share.
const LONGEST: usize = 110;

/// A plot with the sizes of its parts.
pub(super) struct Layout<'a> {
    plot: &'a Plot<'a>,
    font: &'a Font,
    pub(super) width: f32,
    pub(super) height: f32,
    title: String,
    names: Vec<String>,
    values: Vec<String>,
    /// Right of which the bars of a column begin.
    name_width: f32,
    column_width: f32,
    rows_per_column: usize,
    /// Numbers on the axis, from 0 on.
    ticks: Vec<Tick>,
    /// Where the text for the marks begins, beside that for the bars.
    marks_at: f32,
}

impl<'a> Layout<'a> {
    pub(super) fn new(plot: &'a Plot<'a>, font: &'a Font) -> Self {
        let title = short(&plot.title);
        let names: Vec<_> = plot.rows.iter().map(|row| short(row.name)).collect();
        let values: Vec<_> = plot.rows.iter().map(|row| number(row.value)).collect();
        let widest = |texts: &[String]| texts.iter().map(|text| font.width(text, TEXT)).fold(0.0, f32::max);
        let columns = plot.rows.len().div_ceil(ROWS).max(1);
        let numbers = plot.rows.iter().flat_map(|row| [row.value, row.mark]).flatten();
        let ticks = ticks(numbers.filter(|value| value.is_finite()).fold(0.0, f64::max));
        let last = ticks.last().map_or(0.0, |tick| font.width(&tick.text, TEXT));
        let name_width = widest(&names).max(font.width("module", TEXT));
        let column_width = name_width + GAP + BARS + (GAP + widest(&values)).max(last / 2.0);
        let marks_at = 18.0 + font.width(plot.axis, TEXT) + 24.0;
        let legend = plot.marks.map_or(0.0, |marks| marks_at + 18.0 + font.width(marks, TEXT));
        let all_columns = columns as f32 * (column_width + GUTTER) - GUTTER;
        let rows_per_column = plot.rows.len().div_ceil(columns);
        Self {
            width: 2.0 * MARGIN + all_columns.max(font.width(&title, TITLE)).max(legend),
            height: 2.0 * MARGIN + HEAD + rows_per_column as f32 * ROW + FOOT,
            plot,
            font,
            title,
            names,
            values,
            name_width,
            column_width,
            rows_per_column,
            ticks,
            marks_at,
        }
    }

    pub(super) fn paint(&self, canvas: &mut dyn Canvas) {
        canvas.rectangle(Point { x: 0.0, y: 0.0 }, self.width, self.height, PAPER);
        let title = Style { size: TITLE, color: INK, anchor: Anchor::Start };
        canvas.text(Point { x: MARGIN, y: MARGIN + TITLE }, title, &self.title);
        if let Some(marks) = self.plot.marks {
            let y = MARGIN + TITLE + 24.0;
            canvas.rectangle(Point { x: MARGIN, y: y - 10.0 }, 12.0, 12.0, BAR);
            write(canvas, MARGIN + 18.0, y, Anchor::Start, self.plot.axis);
            canvas.rectangle(Point { x: MARGIN + self.marks_at + 9.0, y: y - 11.0 }, 2.0, 14.0, MARK);
            write(canvas, MARGIN + self.marks_at + 18.0, y, Anchor::Start, marks);
        }
        for (column, rows) in self.plot.rows.chunks(self.rows_per_column.max(1)).enumerate() {
            self.paint_column(column, rows, canvas);
        }
    }

    fn paint_column(&self, column: usize, rows: &[Row<'_>], canvas: &mut dyn Canvas) {
        let bars = MARGIN + column as f32 * (self.column_width + GUTTER) + self.name_width + GAP;
        let (top, height) = (MARGIN + HEAD, rows.len() as f32 * ROW);
        let end = self.ticks.last().map_or(1.0, |tick| tick.value);
        let x = |value: f64| bars + BARS * (value / end) as f32;
        let faint = |anchor| Style { size: TEXT, color: FAINT, anchor };
        canvas.text(Point { x: bars - GAP, y: top - 8.0 }, faint(Anchor::End), "module");
        for Tick { value, text } in &self.ticks {
            canvas.rectangle(Point { x: x(*value) - 0.5, y: top - 4.0 }, 1.0, height + 8.0, GRID);
            for y in [top - 8.0, top + height + 17.0] {
                canvas.text(Point { x: x(*value), y }, faint(Anchor::Middle), text);
            }
        }
        write(canvas, bars + BARS / 2.0, top + height + 34.0, Anchor::Middle, self.plot.axis);
        for (index, row) in rows.iter().enumerate() {
            let y = top + index as f32 * ROW;
            let place = column * self.rows_per_column + index;
            let shown = |value: Option<f64>| value.filter(|value| value.is_finite());
            let value = shown(row.value).map_or(bars, x);
            write(canvas, bars - GAP, y + 12.0, Anchor::End, &self.names[place]);
            canvas.rectangle(Point { x: bars, y: y + 2.0 }, value - bars, ROW - 4.0, BAR);
            if let Some(mark) = shown(row.mark) {
                canvas.rectangle(Point { x: x(mark) - 1.0, y: y + 1.0 }, 2.0, ROW - 2.0, MARK);
            }
            let text = &self.values[place];
            // No line of the grid goes through the number.
            canvas.rectangle(
                Point { x: value + GAP - 2.0, y: y + 1.0 },
                self.font.width(text, TEXT) + 4.0,
                ROW - 2.0,
                PAPER,
            );
            write(canvas, value + GAP, y + 12.0, Anchor::Start, text);
        }
        canvas.rectangle(Point { x: bars - 0.5, y: top - 4.0 }, 1.0, height + 8.0, FAINT);
    }
}

fn write(canvas: &mut dyn Canvas, x: f32, y: f32, anchor: Anchor, text: &str) {
    canvas.text(Point { x, y }, Style { size: TEXT, color: INK, anchor }, text);
}

/// The end of a text that is too long.
fn short(text: &str) -> String {
    let text = printable(text);
    match text.chars().count().checked_sub(LONGEST) {
        None | Some(0) => text.into_owned(),
        Some(more) => std::iter::once('…').chain(text.chars().skip(more + 1)).collect(),
    }
}

/// A number on the axis, and how it is written.
struct Tick {
    value: f64,
    text: String,
}

/// Round numbers from 0 to beyond `largest`, between two and six of them, all with the same digits.
fn ticks(largest: f64) -> Vec<Tick> {
    let exponent = if largest > 0.0 { (largest / 5.0).log10().floor() as i32 } else { 0 };
    let unit = 10f64.powi(exponent);
    // Of 10 units five steps are always enough.
    let step = [1, 2, 5].into_iter().find(|&step| f64::from(5 * step) * unit >= largest).unwrap_or(10);
    let count = (largest / (f64::from(step) * unit)).ceil().max(1.0) as i32;
    let text = |multiple: i32| match exponent {
        _ if multiple == 0 => "0".to_owned(),
        -4..=5 => format!("{:.*}", usize::try_from(-exponent).unwrap_or(0), f64::from(multiple) * unit),
        _ => format!("{multiple}e{exponent}"),
    };
    let tick = |multiple: i32| Tick { value: f64::from(multiple) * unit, text: text(multiple) };
    (0..=count).map(|index| tick(index * step)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_beyond_every_value() {
        for largest in [1e-300, 3.2e-5, 0.07, 0.999, 1.0, 1.01, 4.9, 5.0, 7.3, 26.9, 1e9, 1e300] {
            let ticks: Vec<_> = ticks(largest).into_iter().map(|tick| tick.value).collect();
            assert!((3..=6).contains(&ticks.len()), "{largest}: {ticks:?}");
            assert!(ticks[0] == 0.0 && ticks[ticks.len() - 1] >= largest * (1.0 - 1e-15), "{largest}: {ticks:?}");
        }
        let texts = |largest| ticks(largest).into_iter().map(|tick| tick.text).collect::<Vec<_>>();
        assert_eq!(texts(7.3), ["0", "2", "4", "6", "8"]);
        assert_eq!(texts(0.0012), ["0", "0.0005", "0.0010", "0.0015"]);
        assert_eq!(texts(2.9e-7), ["0", "10e-8", "20e-8", "30e-8"]);
        assert_eq!(texts(70_000.0), ["0", "20000", "40000", "60000", "80000"]);
        assert_eq!(texts(0.0), ["0", "1"]);
    }

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(short("a.b"), "a.b");
        let long = format!("{}.q_proj", "layers.".repeat(100));
        let cut = short(&long);
        assert!(cut.starts_with('…') && cut.ends_with("layers..q_proj") && cut.chars().count() == LONGEST, "{cut}");
    }
}
