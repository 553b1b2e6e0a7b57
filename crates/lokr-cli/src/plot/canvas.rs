//! What can be drawn, whatever it is drawn on.

/// Colours as red, green and blue.
pub(super) type Color = [u8; 3];

/// What a canvas is before anything is drawn.
pub(super) const PAPER: Color = [255, 255, 255];

/// A place in the picture, in units of about a point, from the upper left corner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

/// Where a text lies from its point on the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f32,
    pub(super) color: Color,
    pub(super) anchor: Anchor,
}

/// What a picture is drawn on.
pub(super) trait Canvas {
    fn rectangle(&mut self, at: Point, width: f32, height: f32, color: Color);
    fn text(&mut self, at: Point, style: Style, text: &str);
}
