//! Drawing as SVG.

use std::fmt::Write;

use super::canvas::{Anchor, Canvas, Color, Point, Style};

/// Fonts of the same widths, so that texts end where they are expected to.
const FAMILY: &str = "'DejaVu Sans', Verdana, sans-serif";

pub(super) struct Svg(String);

impl Svg {
    pub(super) fn new(width: f32, height: f32) -> Self {
        let size = format!(r#"width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.1} {height:.1}""#);
        Self(format!("<svg xmlns=\"http://www.w3.org/2000/svg\" {size} font-family=\"{FAMILY}\">\n"))
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.push_str("</svg>\n");
        self.0.into_bytes()
    }

    /// Writing into a text cannot fail.
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{line}");
    }
}

impl Canvas for Svg {
    fn rectangle(&mut self, at: Point, width: f32, height: f32, color: Color) {
        if width > 0.0 {
            let (Point { x, y }, color) = (at, hex(color));
            self.line(format_args!(
                r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{color}"/>"#
            ));
        }
    }

    fn text(&mut self, at: Point, Style { size, color, anchor }: Style, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (Point { x, y }, color) = (at, hex(color));
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.line(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{color}" text-anchor="{anchor}">{text}</text>"#
        ));
    }
}

fn hex([red, green, blue]: Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}
