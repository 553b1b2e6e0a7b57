//! Names of layers in the order of their numbers.

use std::cmp::Ordering;

/// By name, but layer 2 before layer 10: runs of digits are compared as numbers.
pub(super) fn natural_order(first: &str, second: &str) -> Ordering {
    let (mut first_rest, mut second_rest) = (first, second);
    loop {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (first_number, second_number) = (digits(first_rest), digits(second_rest));
        if first_number > 0 && second_number > 0 {
            let (x, y) = (&first_rest[..first_number], &second_rest[..second_number]);
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
                Ordering::Equal => {}
                other => return other,
            }
            (first_rest, second_rest) = (&first_rest[first_number..], &second_rest[second_number..]);
            continue;
        }
        let (mut x, mut y) = (first_rest.chars(), second_rest.chars());
        match (x.next(), y.next()) {
            // Names that differ in leading zeros only.
            (None, None) => return first.cmp(second),
            (x, y) if x != y => return x.cmp(&y),
            _ => (first_rest, second_rest) = (x.as_str(), y.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_compared_as_numbers() {
        let sorted =
            ["a", "a.1.x", "a.2", "a.2.b", "a.02.b", "a.10.b", "a.99999999999999999999.b", "a.b", "b1é", "b1ê"];
        let mut names = sorted;
        names.reverse();
        names.sort_by(|first, second| natural_order(first, second));
        // Leading zeros decide last: `02` and `2` are one number.
        let mut expected = sorted;
        expected.swap(3, 4);
        assert_eq!(names, expected);
    }
}
