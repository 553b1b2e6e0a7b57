//! Plain tables: columns as wide as their widest cell, two spaces between them.

use std::fmt;

use crate::text::printable;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: Vec<(&'static str, Align)>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// One cell per column.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        // A line break in a name must not end the line.
        self.rows.push(cells.iter().map(|cell| printable(cell).into_owned()).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<_> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let lines = || std::iter::once(&head).chain(&self.rows);
        let width = |column: usize| lines().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..head.len()).map(width).collect();
        for cells in lines() {
            let mut line = String::new();
            for ((cell, &width), (_, align)) in cells.iter().zip(&widths).zip(&self.columns) {
                let cell = match align {
                    Align::Left => format!("{cell:<width$}  "),
                    Align::Right => format!("{cell:>width$}  "),
                };
                line.push_str(&cell);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_do_not_trail() {
        let mut table = Table::new(vec![("name", Align::Left), ("n", Align::Right), ("note", Align::Left)]);
        table.row(vec!["a⊗b".into(), "1000".into(), String::new()]);
        table.row(vec!["long name".into(), "7".into(), "x".into()]);
        assert_eq!(table.to_string(), "name          n  note\na⊗b        1000\nlong name     7  x\n");
    }
}
