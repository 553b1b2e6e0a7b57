//! Regular expressions that choose modules by their names.

use regex::Regex;

use crate::error::JobError;

/// The regular expressions of one option; one that is found anywhere in a name counts.
#[derive(Debug)]
pub(crate) struct Patterns(Vec<Regex>);

impl Patterns {
    /// # Errors
    /// [`JobError::Pattern`].
    pub(crate) fn new(option: &'static str, patterns: &[String]) -> Result<Self, JobError> {
        let compile = |pattern: &String| {
            Regex::new(pattern).map_err(|source| JobError::Pattern {
                option,
                pattern: pattern.clone(),
                source: Box::new(source),
            })
        };
        patterns.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is found in a name.
    pub(crate) fn match_any(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(name))
    }
}
