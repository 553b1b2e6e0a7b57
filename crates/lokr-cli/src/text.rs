//! How names, counts, numbers and errors are written.

use std::borrow::Cow;
use std::error::Error;

/// A text from a file, its control characters escaped, those of the writing direction too: names must not steer the
/// terminal.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return text.into();
    }
    let mut safe = String::new();
    for c in text.chars() {
        if steers(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe.into()
}

/// A message and its causes in one line. Messages that hold their cause already are not repeated.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    printable(&line.replace(['\n', '\r'], " ")).into_owned()
}

/// A command line as a shell takes it: words with other characters than usual ones in quotes.
pub(crate) fn shell_words(words: &[String]) -> String {
    let plain =
        |word: &String| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./=:,+@%".contains(c));
    let quoted = words.iter().map(|word| match plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// `1 module`, `2 modules`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// `1234567` as `1.23 MB`.
pub(crate) fn bytes(count: u64) -> String {
    let (mut value, mut unit) = (count as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    let digits = if unit == "B" || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

/// A shape as `4×3`.
pub(crate) fn dimensions(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

/// A rank, or a dash where a factor is full.
pub(crate) fn rank(rank: Option<usize>) -> String {
    rank.map_or("-".to_owned(), |rank| rank.to_string())
}

/// Four significant digits, or a dash.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(value) if (1e-3..1e4).contains(&value.abs()) => {
            let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
            let text = format!("{value:.digits$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
        Some(value) => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        for (value, text) in [
            (1.0, "1"),
            (0.5, "0.5"),
            (12.3456, "12.35"),
            (1234.5, "1234"),
            (0.012345, "0.01235"),
            (9999.9, "10000"),
            (-0.25, "-0.25"),
            (100.0, "100"),
            (1.5e-5, "1.500e-5"),
            (0.0, "0"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(Some(value)), text);
        }
        assert_eq!(number(None), "-");
    }

    #[test]
    fn words_for_a_shell_are_quoted_where_needed() {
        let words = ["lokr", "a b", "it's", "", "x/y-z.safetensors"].map(str::to_owned);
        assert_eq!(shell_words(&words), r"lokr 'a b' 'it'\''s' '' x/y-z.safetensors");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("‖ΔW‖ é"), "‖ΔW‖ é");
        assert_eq!(printable("a\u{1b}[31m\nb\t"), r"a\u{1b}[31m\nb\t");
        assert_eq!(printable("a\u{202e}b"), r"a\u{202e}b");
    }

    #[test]
    fn sizes_have_three_digits() {
        for (count, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (12_345, "12.3 kB"), (123_456_789, "123 MB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
