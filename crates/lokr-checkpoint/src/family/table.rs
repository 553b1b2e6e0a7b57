//! The lines of a table.

use std::ops::Range;

use super::pattern::{Spelling, fill, find};

/// The names that models of one architecture have.
#[derive(Debug)]
pub(crate) struct Family {
    /// What people call it.
    pub(crate) name: &'static str,
    pub(crate) lines: Lines,
    /// Modules that are called the same everywhere.
    pub(crate) common: &'static [&'static str],
}

/// The lines of a table.
#[derive(Debug, Default)]
pub(crate) struct Lines(pub(crate) Vec<Line>);

/// A module by one name, and by another or in parts.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) parts: Vec<String>,
    pub(crate) share: Share,
}

/// How the rows of a module are shared out among its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Share {
    /// Evenly.
    Even,
    /// All parts but the last have as many rows as the weight has columns.
    Columns,
    /// The first part has as many rows as that module has columns, and the rest are shared evenly: attention whose keys
    /// and values have fewer heads than its queries. Where the model has no such module, all parts have as many rows as
    /// there are columns, or it is not known.
    ColumnsOf(String),
    /// The one part has the halves the other way round.
    Swapped,
    /// As [`Share::Swapped`] where there are twice as many rows as columns, and else unchanged.
    SwappedPair,
}

/// Another name of the same module.
pub(super) fn same(name: &str, other: &str) -> Line {
    line(name, &[other], Share::Even)
}

/// Parts of equally many rows, the first on top.
pub(super) fn even(name: &str, parts: &[&str]) -> Line {
    line(name, parts, Share::Even)
}

/// Parts of which all but the last have as many rows as the weight has columns.
pub(super) fn columns(name: &str, parts: &[&str]) -> Line {
    line(name, parts, Share::Columns)
}

/// Query, key and value; `out` is the module that takes the heads of the query together again.
pub(super) fn grouped(name: &str, parts: &[&str], out: &str) -> Line {
    line(name, parts, Share::ColumnsOf(out.to_owned()))
}

/// Another name, behind which the halves of the rows are the other way round (shift and scale of a modulation).
pub(super) fn swapped(name: &str, other: &str) -> Line {
    line(name, &[other], Share::Swapped)
}

/// Another name, behind which the halves are the other way round where there are but two rows for each column.
pub(super) fn swapped_pair(name: &str, other: &str) -> Line {
    line(name, &[other], Share::SwappedPair)
}

fn line(name: &str, parts: &[&str], share: Share) -> Line {
    Line { name: name.to_owned(), parts: parts.iter().map(|&part| part.to_owned()).collect(), share }
}

impl Family {
    /// Whether a module of this family may be called so.
    pub(crate) fn knows(&self, name: &str, spelling: Spelling) -> bool {
        let fits = |pattern: &str| find(pattern, name, spelling).is_some();
        let of_line = |line: &Line| fits(&line.name) || line.parts.iter().any(|part| fits(part));
        self.common.iter().any(|&pattern| fits(pattern)) || self.lines.0.iter().any(of_line)
    }
}

impl Line {
    /// The names of the parts of a module that is called `name`, and of the module that [`Share::ColumnsOf`] names.
    pub(crate) fn parts_of(&self, name: &str) -> Option<(Vec<String>, Option<String>)> {
        let found = find(&self.name, name, Spelling::Dotted)?;
        Some((self.fill_parts(&found), self.fill_out(&found)))
    }

    /// The name of the module whose first part is called `part`, and the names of all its parts.
    pub(crate) fn whole_of(&self, part: &str) -> Option<(String, Vec<String>)> {
        let found = find(&self.parts[0], part, Spelling::Dotted)?;
        Some((fill(&self.name, &found), self.fill_parts(&found)))
    }

    fn fill_parts(&self, found: &[&str]) -> Vec<String> {
        self.parts.iter().map(|part| fill(part, found)).collect()
    }

    fn fill_out(&self, found: &[&str]) -> Option<String> {
        match &self.share {
            Share::ColumnsOf(out) => Some(fill(out, found)),
            _ => None,
        }
    }
}

/// Which rows of a module each of its parts has, in the order of the parts; nothing where they do not add up. `first`
/// is the number of rows of the first part, where another module tells.
pub(crate) fn shares(
    share: &Share,
    parts: usize,
    (rows, columns): (usize, usize),
    first: Option<usize>,
) -> Option<Vec<Vec<Range<usize>>>> {
    let even = |rows: usize, parts: usize| rows.is_multiple_of(parts).then(|| vec![rows / parts; parts]);
    let sizes = match (share, first) {
        (Share::SwappedPair, _) if Some(rows) != columns.checked_mul(2) => vec![rows],
        (Share::Swapped | Share::SwappedPair, _) => {
            return rows.is_multiple_of(2).then(|| vec![vec![rows / 2..rows, 0..rows / 2]]);
        }
        (Share::ColumnsOf(_), Some(first)) => [vec![first], even(rows.checked_sub(first)?, parts - 1)?].concat(),
        (Share::ColumnsOf(_), None) if Some(rows) != columns.checked_mul(parts) => return None,
        (Share::Columns, _) => {
            let last = rows.checked_sub(columns.checked_mul(parts - 1)?)?;
            [vec![columns; parts - 1], vec![last]].concat()
        }
        (Share::Even | Share::ColumnsOf(_), _) => even(rows, parts)?,
    };
    let mut start = 0;
    let ranges = sizes.into_iter().map(|size| {
        start += size;
        std::iter::once(start - size..start).collect::<Vec<_>>()
    });
    let ranges: Vec<_> = ranges.collect();
    ranges.iter().flatten().all(|range| !range.is_empty()).then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shared_out() {
        let out = || Share::ColumnsOf("out".to_owned());
        for (share, parts, size, first, right) in [
            (Share::Even, 3, (12, 5), None, Some(&[&[(0, 4)][..], &[(4, 8)], &[(8, 12)]][..])),
            (Share::Even, 3, (13, 5), None, None),
            (Share::Columns, 3, (11, 3), None, Some(&[&[(0, 3)], &[(3, 6)], &[(6, 11)]])),
            (Share::Columns, 3, (6, 3), None, None),
            (Share::Columns, 3, (5, 3), None, None),
            (out(), 3, (16, 8), Some(8), Some(&[&[(0, 8)], &[(8, 12)], &[(12, 16)]])),
            (out(), 3, (16, 8), Some(9), None),
            (out(), 3, (16, 8), Some(17), None),
            (out(), 3, (12, 4), None, Some(&[&[(0, 4)], &[(4, 8)], &[(8, 12)]])),
            (out(), 3, (12, 8), None, None),
            (Share::Swapped, 1, (6, 2), None, Some(&[&[(3, 6), (0, 3)]])),
            (Share::Swapped, 1, (7, 2), None, None),
            (Share::SwappedPair, 1, (4, 2), None, Some(&[&[(2, 4), (0, 2)]])),
            (Share::SwappedPair, 1, (12, 2), None, Some(&[&[(0, 12)]])),
        ] {
            let right = right.map(|parts| {
                parts
                    .iter()
                    .map(|ranges| ranges.iter().map(|&(start, end)| start..end).collect::<Vec<_>>())
                    .collect::<Vec<_>>()
            });
            assert_eq!(shares(&share, parts, size, first), right, "{share:?} {size:?}");
        }
    }
}
