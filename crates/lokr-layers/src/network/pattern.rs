//! Rules for the names of layers.

use regex::Regex;

use crate::error::{LayerError, Result};

/// A rule that names of layers follow or not.
///
/// Regular expressions are those of the crate `regex`; look-around and back-references, which Python knows, are none
/// here.
///
/// # Examples
/// ```
/// use lokr_layers::NamePattern;
///
/// let ends = NamePattern::ending(r"q|v\d")?; // a key of PEFT's `rank_pattern` or `alpha_pattern`
/// assert!(ends.is_match("q") && ends.is_match("blocks.0.v7") && !ends.is_match("blocks.0.mlp_q"));
/// assert!(NamePattern::name("attn.q").is_match("blocks.0.attn.q")); // an entry of PEFT's list of `target_modules`
/// assert!(NamePattern::glob("blocks.*.q")?.is_match("blocks.0.attn.q")); // as Python's `fnmatch`
/// assert!(NamePattern::regex(r"blocks\.[01]\.q")?.is_match("blocks.1.q")); // PEFT's `target_modules` as one string
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct NamePattern {
    text: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Name,
    Regex(Regex),
}

impl NamePattern {
    /// Names that are `name`, or end with a dot and it.
    #[must_use]
    pub fn name(name: impl Into<String>) -> Self {
        Self { text: name.into(), rule: Rule::Name }
    }

    /// Names that a regular expression matches from their start, or from behind a dot, to their end.
    ///
    /// # Errors
    /// [`LayerError::Pattern`].
    pub fn ending(pattern: impl Into<String>) -> Result<Self> {
        let text = pattern.into();
        let whole = format!(r"^(?:.*\.)?(?:{text})$");
        Self::compile(text, &whole)
    }

    /// Names that a regular expression matches from their start to their end.
    ///
    /// # Errors
    /// [`LayerError::Pattern`].
    pub fn regex(pattern: impl Into<String>) -> Result<Self> {
        let text = pattern.into();
        let whole = format!("^(?:{text})$");
        Self::compile(text, &whole)
    }

    /// Names of a form: `*` stands for anything, dots included, `?` for one character, `[abc]`, `[a-c]` and `[!abc]`
    /// for one of a kind.
    ///
    /// # Errors
    /// [`LayerError::Pattern`] for a kind that is none, such as `[z-a]`.
    pub fn glob(pattern: impl Into<String>) -> Result<Self> {
        let text = pattern.into();
        let whole = format!("^{}$", glob_regex(&text));
        Self::compile(text, &whole)
    }

    fn compile(text: String, whole: &str) -> Result<Self> {
        match Regex::new(whole) {
            Ok(regex) => Ok(Self { text, rule: Rule::Regex(regex) }),
            Err(error) => Err(LayerError::Pattern { pattern: text, problem: error.to_string() }),
        }
    }

    /// The rule as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `name` follows the rule.
    #[must_use]
    pub fn is_match(&self, name: &str) -> bool {
        match &self.rule {
            Rule::Name => name.strip_suffix(&self.text).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            Rule::Regex(regex) => regex.is_match(name),
        }
    }
}

/// A form of names as a regular expression, in the manner of Python's `fnmatch.translate`.
fn glob_regex(pattern: &str) -> String {
    let (mut regex, mut rest) = (String::new(), pattern);
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                // A bracket that stands first is one of the kind.
                let inside = usize::from(rest.starts_with('!'));
                let from = inside + usize::from(rest[inside..].starts_with(']'));
                match rest[from..].find(']') {
                    Some(length) => {
                        let kind = rest[inside..from + length].replace('\\', r"\\").replace('[', r"\[");
                        let kind = kind.strip_prefix(']').map_or(kind.clone(), |others| format!(r"\]{others}"));
                        regex.push_str(&format!("[{}{kind}]", if inside == 1 { "^" } else { "" }));
                        rest = &rest[from + length + 1..];
                    }
                    None => regex.push_str(r"\["),
                }
            }
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_whole_or_behind_a_dot() {
        let pattern = NamePattern::name("attn.q");
        for name in ["attn.q", "a.attn.q", "0.1.attn.q"] {
            assert!(pattern.is_match(name), "{name}");
        }
        for name in ["q", "xattn.q", "attn.q.lokr", "", "attnxq"] {
            assert!(!pattern.is_match(name), "{name}");
        }
    }

    /// `re.match(rf"(.*\.)?({key})$", name)`, which PEFT asks of the keys of `rank_pattern`.
    #[test]
    fn endings_follow_pefts_rule() {
        let matches = |pattern: &str, name| NamePattern::ending(pattern).unwrap().is_match(name);
        assert!(matches("fc", "fc") && matches("fc", "a.b.fc") && !matches("fc", "a.xfc") && !matches("fc", "fc.a"));
        assert!(matches("b|c", "a.c") && matches(r"^a\.x", "a.x") && !matches(r"^a\.x", "b.a.x"));
        assert!(matches(".*fc", "a.xfc"));
    }

    #[test]
    fn forms_follow_fnmatch() {
        let matches = |pattern: &str, name| NamePattern::glob(pattern).unwrap().is_match(name);
        assert!(matches("*", "") && matches("*", "a.b") && matches("a.*.q", "a.0.b.q") && !matches("a.*.q", "a.q"));
        assert!(matches("l?", "l7") && !matches("l?", "l17") && !matches("a.b", "axb"));
        assert!(matches("l[0-2]", "l1") && !matches("l[0-2]", "l3") && matches("l[!0-2]", "l3"));
        assert!(matches("l[]x]", "l]") && matches("l[", "l[") && matches("l[x", "l[x") && matches("ä?", "äö"));
        assert!(matches(r"l[\]", r"l\") && matches("(a)+", "(a)+"));
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        for result in [NamePattern::regex("(a"), NamePattern::ending("(a"), NamePattern::glob("[z-a]")] {
            assert!(matches!(result, Err(LayerError::Pattern { .. })));
        }
        assert_eq!(NamePattern::glob("a*").unwrap().as_str(), "a*");
    }
}
