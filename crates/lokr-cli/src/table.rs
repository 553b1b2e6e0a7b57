//! Plain tables: columns as wide as their widest cell, two spaces between them. Where that is too wide for a usual
//! terminal, the first column, which holds names, is written above the others.

use std::fmt;

use crate::text::printable;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// The columns of a usual terminal.
const WIDEST: usize = 80;

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
        let names_above = widths.iter().map(|width| width + 2).sum::<usize>() > WIDEST + 2 && widths.len() > 1;
        for cells in lines() {
            let mut line = String::new();
            let mut columns: Vec<_> = cells.iter().zip(&widths).zip(&self.columns).collect();
            if names_above {
                columns.remove(0);
                writeln!(f, "{}", cells[0])?;
                line.push_str("  ");
            }
            for ((cell, &width), (_, align)) in columns {
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

    #[test]
    fn names_that_are_too_long_stand_above_their_rows() {
        let table = |length: usize| {
            let mut table = Table::new(vec![("name", Align::Left), ("n", Align::Right), ("note", Align::Left)]);
            table.row(vec!["a".repeat(length), "1000".into(), "x".into()]);
            table.row(vec!["b".into(), "7".into(), String::new()]);
            table.to_string()
        };
        assert!(table(68).lines().all(|line| line.chars().count() <= 80), "{}", table(68));
        assert_eq!(table(68).lines().count(), 3);
        assert_eq!(table(69), format!("name\n     n  note\n{}\n  1000  x\nb\n     7\n", "a".repeat(69)));
    }
}
