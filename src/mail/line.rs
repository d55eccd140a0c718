//! Text from elsewhere on one line: in a reply, a header, a report, a log.

/// `text` with a space for each control character.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The same, and at most `most` characters of it: what is longer ends in `…` after them (promise 10).
pub fn one_line_within(text: &str, most: usize) -> String {
    let mut chars = text.chars();
    let mut line = one_line(&chars.by_ref().take(most).collect::<String>());
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_10_what_comes_from_elsewhere_stays_one_bounded_line() {
        assert_eq!(one_line("a\r\nb\tc\u{85}d é"), "a  b c d é");
        assert_eq!(one_line_within("a\nbc", 4), "a bc");
        assert_eq!(one_line_within("éénentwintig", 3), "één…");
        assert_eq!(one_line_within("", 0), "");
    }
}
