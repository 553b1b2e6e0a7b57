//! `lokr`'s own: sums of several Kronecker products for one weight, one module per term.

use std::collections::BTreeMap;

/// The entry of the file's header that says so.
pub(crate) const FORMAT: (&str, &str) = ("lokr_format", "sum_of_terms");

/// The module of one term.
pub(crate) fn name(path: &str, term: usize) -> String {
    format!("{path}.term{term}")
}

/// The path in the model that a module's name stands for, or `None` where it is not one of a term.
pub(crate) fn path(name: &str) -> Option<&str> {
    let (path, term) = name.rsplit_once(".term")?;
    (!path.is_empty() && !term.is_empty() && term.bytes().all(|byte| byte.is_ascii_digit())).then_some(path)
}

/// The number of the term that a module's name has.
pub(crate) fn number(name: &str) -> Option<u64> {
    name.rsplit_once(".term")?.1.parse().ok()
}

/// Whether a file's header says that it is one.
pub(crate) fn declared(metadata: &BTreeMap<String, String>) -> bool {
    metadata.get(FORMAT.0).is_some_and(|format| format == FORMAT.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_terms_have_paths_and_others_none() {
        assert_eq!(path(&name("a.b", 12)), Some("a.b"));
        assert_eq!(path("long.term.term0"), Some("long.term"));
        for other in ["a", "a.term", "a.termx", ".term1", "a.term1.b", "term1"] {
            assert_eq!(path(other), None, "{other}");
        }
    }
}
