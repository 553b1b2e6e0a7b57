//! `lokr join`.

use std::fmt;
use std::path::Path;

use lokr_checkpoint::join;
use serde::Serialize;

use super::begin;
use super::written::Written;
use crate::args::JoinArgs;
use crate::error::CliError;
use crate::report::{Reporter, lossy_path};
use crate::text::{bytes, counted};

#[derive(Serialize)]
struct Report<'a> {
    #[serde(serialize_with = "lossy_path")]
    out: &'a Path,
    parts: usize,
    files: Vec<String>,
    bytes: u64,
}

pub(crate) fn run(args: &JoinArgs, reporter: &Reporter) -> Result<(), CliError> {
    begin(&args.output)?;
    let out = &args.output.out;
    let joined = join(out, args.output.overwrite())?;
    match joined.extracted {
        Some((report, dialect)) => reporter.summary(&Written { out, dialect, report, warnings: None }),
        None => reporter.summary(&Report { out, parts: joined.parts, files: joined.files, bytes: joined.bytes }),
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, files) = (counted(self.parts, "part"), counted(self.files.len(), "file"));
        writeln!(f, "{parts} of one job, {files}, {}, joined to {}", bytes(self.bytes), self.out.display())
    }
}
