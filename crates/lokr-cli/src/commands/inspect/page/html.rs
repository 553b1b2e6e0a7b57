//! Texts as HTML.

use crate::text::printable;

/// A text that is only a text, whatever it holds.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    // Line ends stay: they are as good as spaces here, and a table in `<pre>` has them.
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            safe.push('\n');
        }
        for letter in printable(line).chars() {
            match letter {
                '&' => safe.push_str("&amp;"),
                '<' => safe.push_str("&lt;"),
                '>' => safe.push_str("&gt;"),
                '"' => safe.push_str("&quot;"),
                '\'' => safe.push_str("&#39;"),
                letter => safe.push(letter),
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_name_cannot_become_a_tag() {
        let safe = "&lt;script&gt;alert(&#39;a&#39;)&lt;/script&gt;&quot;&amp;\\u{1b}";
        assert_eq!(escaped("<script>alert('a')</script>\"&\u{1b}"), safe);
        assert_eq!(escaped("a\nb"), "a\nb");
    }
}
