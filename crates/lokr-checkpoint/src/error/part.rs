//! Why parts of a job cannot be joined.

use std::path::PathBuf;

use thiserror::Error;

/// Why parts of a job cannot be joined.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PartError {
    /// No part lies beside the output.
    #[error("no part of it is here; expected directories of this name with .part-I-of-N behind it")]
    None,
    /// Parts of jobs in different numbers of parts.
    #[error("parts of {first} and parts of {second} lie here; remove those of the job that is not meant")]
    Counts {
        /// Parts of one job.
        first: usize,
        /// Parts of another.
        second: usize,
    },
    /// Some parts are not there.
    #[error("of {of} parts, {} missing: {}", is_or_are(numbers), listed(numbers))]
    Missing {
        /// Their numbers.
        numbers: Vec<usize>,
        /// How many parts the job has.
        of: usize,
    },
    /// A part in the place of another.
    #[error("this is part {number} of {of}, under another name")]
    Renamed {
        /// Its number.
        number: usize,
        /// How many parts its job has.
        of: usize,
    },
    /// A part of another job than the first one.
    #[error("a part of another job than part 1: {what} differs; do it again, or remove it")]
    OtherJob {
        /// What differs.
        what: String,
    },
    /// A file that is not as the part left it.
    #[error(
        "{}: expected {expected} bytes as when the part was made, found {}",
        file.display(),
        found.map_or("no file".to_owned(), |found| found.to_string())
    )]
    File {
        /// Its path within the part.
        file: PathBuf,
        /// Its size then.
        expected: u64,
        /// Its size now, if it is there.
        found: Option<u64>,
    },
    /// A file that two parts have.
    #[error("{}: two parts have a file of this name", file.display())]
    Twice {
        /// Its path within both.
        file: PathBuf,
    },
}

fn is_or_are(numbers: &[usize]) -> &'static str {
    if numbers.len() == 1 { "1 is" } else { "these are" }
}

fn listed(numbers: &[usize]) -> String {
    super::list::list(&numbers.iter().map(usize::to_string).collect::<Vec<_>>())
}
