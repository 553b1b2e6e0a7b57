//! What a picture shows.

/// Horizontal bars, one per row.
pub(crate) struct Plot<'a> {
    pub(crate) title: String,
    /// What the bars show, with its unit.
    pub(crate) axis: &'a str,
    /// What the marks show, where there are any.
    pub(crate) marks: Option<&'a str>,
    pub(crate) rows: Vec<Row<'a>>,
}

/// A name and its numbers. Without a value there is no bar.
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Option<f64>,
    pub(crate) mark: Option<f64>,
}
