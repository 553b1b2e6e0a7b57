//! Plain tables: columns as wide as their widest cell, two spaces between them. Where that is too wide for a usual
//! terminal, what every row says can be taken out, and the first column, which holds names, is written above the
//! others.

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

impl Table {
    fn widths(&self) -> Vec<usize> {
        let width = |(column, (name, _)): (usize, &(&str, Align))| {
            let cells = self.rows.iter().map(|cells| cells[column].chars().count());
            cells.chain([name.chars().count()]).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(width).collect()
    }

    fn is_too_wide(&self) -> bool {
        self.widths().iter().map(|width| width + 2).sum::<usize>() > WIDEST + 2
    }

    /// Takes out those of these columns that say the same in every row, where the table is too wide: what they say.
    pub(crate) fn take_constant(&mut self, columns: &[&str]) -> Vec<String> {
        let mut taken = Vec::new();
        if !self.is_too_wide() || self.rows.len() < 2 {
            return taken;
        }
        for name in columns {
            let Some(column) = self.columns.iter().position(|(own, _)| own == name) else { continue };
            if self.rows.iter().all(|cells| cells[column] == self.rows[0][column]) {
                taken.push(format!("{name} {}", self.rows[0][column]));
                self.columns.remove(column);
                for cells in &mut self.rows {
                    cells.remove(column);
                }
            }
        }
        taken
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<_> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let (widths, names_above) = (self.widths(), self.is_too_wide() && self.columns.len() > 1);
        for cells in std::iter::once(&head).chain(&self.rows) {
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
        let mut wide = Table::new(vec![("name", Align::Left), ("n", Align::Right), ("kind", Align::Left)]);
        for n in ["1", "2"] {
            wide.row(vec!["a".repeat(76), n.into(), "x".into()]);
        }
        assert_eq!(wide.take_constant(&["kind", "n", "none"]), ["kind x"]);
        assert_eq!(wide.take_constant(&["n"]), [""; 0]);
        assert_eq!(table(69), format!("name\n     n  note\n{}\n  1000  x\nb\n     7\n", "a".repeat(69)));
    }
}
