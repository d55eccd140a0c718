//! What a consent text must say, as far as a program can see it (RULES L2).

use super::ConsentError;

/// Words by which texts ask for consent on behalf of companies they do not name.
const UNNAMED_OTHERS: [&str; 10] = [
    "partners",
    "partnerbedrijven",
    "geselecteerde derden",
    "selected third parties",
    "carefully selected companies",
    "zorgvuldig geselecteerde bedrijven",
    "partnerunternehmen",
    "ausgewählte dritte",
    "partenaires",
    "tiers sélectionnés",
];

/// Whether `text` may be shown as a consent text for a sender with these `names` (statutory name and trade
/// names): one of them is in it, and nobody unnamed is ("this company and selected partners" is consent for
/// nobody else). Case and white space do not matter; a name may itself hold such a word.
pub fn check_text(text: &str, names: &[&str]) -> Result<(), ConsentError> {
    let mut plain = plain(text);
    let mut named = false;
    for name in names.iter().map(|name| self::plain(name)).filter(|name| !name.is_empty()) {
        if plain.contains(&name) {
            named = true;
            plain = plain.replace(&name, "\u{1f}");
        }
    }
    if !named {
        return Err(ConsentError::SenderNotNamed { names: names.join(", ") });
    }
    match UNNAMED_OTHERS.iter().find(|word| has_words(&plain, word)) {
        Some(word) => Err(ConsentError::Partners { word: (*word).to_owned() }),
        None => Ok(()),
    }
}

/// Lower case, single spaces.
pub(super) fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Whether `words` stand in `text` as whole words.
fn has_words(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + words.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// The first of `words` that stands in `text`, which is [`plain`].
pub(super) fn has_any(text: &str, words: &[&'static str]) -> Option<&'static str> {
    words.iter().copied().find(|word| has_words(text, word))
}
