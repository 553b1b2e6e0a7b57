//! Names with places for numbers.

/// How a name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// The path as it is.
    Dotted,
    /// `_` for `.`, as LyCORIS and kohya write it.
    Flat,
}

/// What stands in a name where a pattern has `#` and `*`, in their order.
pub(super) type Found<'a> = Vec<&'a str>;

/// What stands at the pattern's places in a name that fits it. `#` stands for a number; `*`, at the beginning or the
/// end only and followed or preceded by a dot, for one or more components. The other letters stand for themselves, and
/// in [`Spelling::Flat`] a dot for `_`.
pub(super) fn find<'a>(pattern: &str, name: &'a str, spelling: Spelling) -> Option<Found<'a>> {
    let mut found = Vec::new();
    let (mut pattern, mut rest) = (pattern, name);
    if let Some(tail) = pattern.strip_prefix('*') {
        let length = if spelling == Spelling::Dotted { suffix(tail, rest)? } else { suffix_flat(tail, rest)? };
        let (first, last) = rest.split_at(rest.len() - length);
        if first.is_empty() {
            return None;
        }
        found.push(first);
        (pattern, rest) = (tail, last);
    }
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '#' => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                if digits == 0 {
                    return None;
                }
                found.push(&rest[..digits]);
                rest = &rest[digits..];
            }
            '*' => {
                found.push(rest);
                return (letters.as_str().is_empty() && !rest.is_empty()).then_some(found);
            }
            letter => rest = rest.strip_prefix(written(letter, spelling))?,
        }
    }
    rest.is_empty().then_some(found)
}

fn written(letter: char, spelling: Spelling) -> char {
    if letter == '.' && spelling == Spelling::Flat { '_' } else { letter }
}

/// The length of the end of `name` that is `tail`, which has no places.
fn suffix(tail: &str, name: &str) -> Option<usize> {
    name.ends_with(tail).then_some(tail.len())
}

fn suffix_flat(tail: &str, name: &str) -> Option<usize> {
    let same = |(pattern, letter): (u8, u8)| letter == if pattern == b'.' { b'_' } else { pattern };
    let fits = name.len() >= tail.len() && tail.bytes().rev().zip(name.bytes().rev()).all(same);
    // Names are cut where a letter begins.
    fits.then_some(tail.len()).filter(|length| name.is_char_boundary(name.len() - length))
}

/// The name that a pattern with as many places makes of what was found.
pub(super) fn fill(pattern: &str, found: &[&str]) -> String {
    let mut found = found.iter();
    let mut name = String::with_capacity(pattern.len() + 4);
    for letter in pattern.chars() {
        match letter {
            '#' | '*' => name.push_str(found.next().copied().unwrap_or_default()),
            letter => name.push(letter),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_rests_are_found_and_filled_in() {
        for (pattern, name, right) in [
            ("a.#.b", "a.12.b", Some(&["12"][..])),
            ("a.#.b", "a.x.b", None),
            ("a.#.b", "a.1.b.c", None),
            ("a.#.*", "a.1.b.c", Some(&["1", "b.c"])),
            ("a.#.*", "a.1.", None),
            ("*.to_qkv", "a.1.to_qkv", Some(&["a.1"])),
            ("*.to_qkv", "to_qkv", None),
            ("a", "a", Some(&[])),
            ("a", "ab", None),
        ] {
            assert_eq!(find(pattern, name, Spelling::Dotted).as_deref(), right, "{pattern} {name}");
            if let Some(found) = right {
                assert_eq!(fill(pattern, found), name);
                let flat = |text: &str| text.replace('.', "_");
                let found: Vec<_> = found.iter().map(|text| flat(text)).collect();
                assert_eq!(find(pattern, &flat(name), Spelling::Flat).unwrap(), found, "{pattern} {name}");
            }
        }
        assert_eq!(find("a.b_c", "a_b_c", Spelling::Dotted), None);
        assert!(find("*.é", "x_é", Spelling::Flat).is_some());
        assert!(find("*.ab", "é_ab", Spelling::Flat).is_some());
    }
}
