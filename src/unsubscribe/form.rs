//! What a POST says: a mail program's one click, or one of the page's buttons.

use crate::ledger::Why;

/// The field that the page's buttons set, and what each says.
pub(super) const WAY: &str = "way";
/// Unsubscribe.
pub(super) const PAGE: &str = "page";
/// Take it back.
pub(super) const UNDO: &str = "undo";
/// Say why.
pub(super) const EXPLAIN: &str = "explain";
/// The field with the reason.
pub(super) const WHY: &str = "why";
/// The field with the proof that whoever takes it back is who made it.
pub(super) const PROOF: &str = "proof";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// RFC 8058, and whatever else is none of the below: a POST to a link unsubscribes.
    OneClick,
    /// The page's button.
    Page,
    /// A reason, after the page's button; with the proof that the page goes on offering.
    Explain(Why, Option<String>),
    /// The page's way back.
    Undo(String),
}

impl Wish {
    /// Read a request body. What our own page does not send, in the form in which it sends it, is a one-click
    /// POST, and so is whatever says `One-Click`.
    pub(super) fn read(body: &[u8]) -> Self {
        if memchr::memmem::find(body, b"One-Click").is_some() {
            return Self::OneClick;
        }
        let text = std::str::from_utf8(body).unwrap_or_default();
        let field = |name: &str| {
            let mut pairs = text.split('&').filter_map(|pair| pair.trim().split_once('='));
            pairs.find_map(|(known, value)| (known == name).then_some(value))
        };
        let proof = || field(PROOF).map(str::to_owned);
        match field(WAY) {
            Some(PAGE) => Self::Page,
            Some(UNDO) => Self::Undo(proof().unwrap_or_default()),
            Some(EXPLAIN) => match Why::ALL.into_iter().find(|why| field(WHY) == Some(why.as_str())) {
                Some(why) => Self::Explain(why, proof()),
                None => Self::Page,
            },
            _ => {
                tracing::debug!("a POST without List-Unsubscribe=One-Click, taken as one");
                Self::OneClick
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p7_whatever_says_one_click_is_one() {
        for (body, wish) in [
            (&b"List-Unsubscribe=One-Click"[..], Wish::OneClick),
            (b"List-Unsubscribe=One-Click&way=undo&proof=x", Wish::OneClick),
            (b"way=undo&proof=x&List-Unsubscribe=One-Click", Wish::OneClick),
            (b"", Wish::OneClick),
            (b"\xff\xfe", Wish::OneClick),
            (b"way=else", Wish::OneClick),
            (b"way=page", Wish::Page),
            (b"way=page\r\n", Wish::Page),
            (b"way=explain&why=because", Wish::Page),
            (b"why=too_often&proof=a.b&way=explain", Wish::Explain(Why::TooOften, Some("a.b".to_owned()))),
            (b"way=undo&proof=a.b", Wish::Undo("a.b".to_owned())),
            (b"way=undo", Wish::Undo(String::new())),
        ] {
            assert_eq!(Wish::read(body), wish, "{}", String::from_utf8_lossy(body));
        }
    }
}
