//! One part of a job.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{JobError, Result};
use crate::file::parent;

/// One part of a job that several processes do, each for itself: number `I` of `N`, written `I/N`.
///
/// Which shards of a model, or which weights, are a part's turn follows from their sizes alone. Each part has a
/// directory of its own beside the output, which [`join`](crate::join) makes of all of them.
///
/// # Examples
/// ```
/// use std::path::Path;
/// use lokr_checkpoint::Part;
///
/// let part: Part = "2/4".parse()?;
/// assert_eq!(part, Part::new(2, 4)?);
/// assert_eq!(part.path("merged/"), Path::new("merged.part-2-of-4"));
/// assert!("5/4".parse::<Part>().is_err());
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    number: usize,
    of: usize,
}

impl Part {
    /// Part `number`, from 1, of so many.
    ///
    /// # Errors
    /// [`JobError::Option`] unless `number` is one of `1..=of`.
    pub fn new(number: usize, of: usize) -> Result<Self> {
        if (1..=of).contains(&number) {
            Ok(Self { number, of })
        } else {
            Err(refused(&format!("{number}/{of}")).into())
        }
    }

    /// Its number, from 1.
    #[must_use]
    pub fn number(self) -> usize {
        self.number
    }

    /// How many parts there are.
    #[must_use]
    pub fn of(self) -> usize {
        self.of
    }

    /// Where it is, beside the output of the job.
    #[must_use]
    pub fn path(self, out: impl AsRef<Path>) -> PathBuf {
        let (directory, name) = place(out.as_ref());
        let mut own = name;
        own.push(format!("{INFIX}{}-of-{}", self.number, self.of));
        directory.join(own)
    }

    /// All parts that lie beside an output, by their numbers.
    pub(in crate::jobs) fn found(out: &Path) -> Result<Vec<Self>> {
        let (directory, name) = place(out);
        let mut parts = Vec::new();
        for entry in std::fs::read_dir(if directory.as_os_str().is_empty() { Path::new(".") } else { &directory })? {
            let found = entry?.file_name();
            let numbers = found.to_str().zip(name.to_str()).and_then(|(found, name)| found.strip_prefix(name));
            let numbers = numbers.and_then(|rest| rest.strip_prefix(INFIX)?.split_once("-of-"));
            let Some((number, of)) = numbers else { continue };
            parts.extend(number.parse().ok().zip(of.parse().ok()).and_then(|(number, of)| Self::new(number, of).ok()));
        }
        parts.sort_by_key(|part| (part.of, part.number));
        Ok(parts)
    }

    /// Which of some things are this part's turn, by their places: each goes, the largest first, to the part that has
    /// least.
    pub(in crate::jobs) fn turn(self, sizes: &[u64]) -> Vec<bool> {
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(sizes[i]), i));
        let (mut loads, mut turns) = (vec![(0_u64, 0_usize); self.of], vec![false; sizes.len()]);
        for i in order {
            // Things without size are dealt out too.
            let least = (0..self.of).min_by_key(|&part| (loads[part], part)).unwrap_or(0);
            loads[least].0 += sizes[i];
            loads[least].1 += 1;
            turns[i] = least + 1 == self.number;
        }
        turns
    }
}

const INFIX: &str = ".part-";

/// The directory of an output, empty for the current one, and its name there.
fn place(out: &Path) -> (PathBuf, OsString) {
    let out: PathBuf = out.components().collect();
    let directory =
        if out.parent().is_some_and(|parent| parent.as_os_str().is_empty()) { Path::new("") } else { parent(&out) };
    (directory.to_owned(), out.file_name().unwrap_or_default().to_owned())
}

fn refused(found: &str) -> JobError {
    let expected = "I/N with I from 1 to N";
    JobError::Option { option: "shard", expected, found: found.to_owned() }
}

impl FromStr for Part {
    type Err = crate::error::CheckpointError;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        let (number, of) = numbers.ok_or_else(|| refused(text))?;
        Self::new(number, of)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}
