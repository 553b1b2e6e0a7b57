//! Which update each row of a batch uses.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Which update each row of a batch uses, by its name; a row without one passes the base alone. For
/// [`crate::Layer::predict_mixed_into`].
///
/// # Examples
/// ```
/// use lokr_layers::RowUpdates;
///
/// let rows = RowUpdates::new(&[Some("b"), None, Some("a"), Some("b")]);
/// let groups: Vec<_> = rows.groups().collect();
/// assert_eq!(groups, [("a", &[2][..]), ("b", &[0, 3])]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowUpdates<'n> {
    rows: usize,
    groups: BTreeMap<&'n str, Vec<usize>>,
}

impl<'n> RowUpdates<'n> {
    /// From a name, or none, for each row.
    #[must_use]
    pub fn new(names: &[Option<&'n str>]) -> Self {
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, name) in names.iter().enumerate() {
            if let Some(name) = name {
                groups.entry(name).or_default().push(row);
            }
        }
        Self { rows: names.len(), groups }
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The names, sorted, each with its rows in their order; never without any.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&'n str, &[usize])> {
        self.groups.iter().map(|(name, rows)| (*name, rows.as_slice()))
    }

    /// [`RowUpdates::groups`] and, without a name, the rows that have none; never without rows.
    pub(crate) fn all_groups(&self) -> impl Iterator<Item = (Option<&'n str>, Cow<'_, [usize]>)> {
        let mut bare = vec![true; self.rows];
        self.groups.values().flatten().for_each(|&row| bare[row] = false); // Rows are counted by them.
        let bare: Vec<usize> = (0..self.rows).filter(|&row| bare[row]).collect();
        let groups = self.groups().map(|(name, rows)| (Some(name), Cow::Borrowed(rows)));
        groups.chain((!bare.is_empty()).then_some((None, Cow::Owned(bare))))
    }
}
