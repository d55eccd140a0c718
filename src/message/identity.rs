//! Whether a marketing message says who sends it (RULES L7).
//!
//! From is one mailbox, its display name is or contains a registered name of the sender, it hides no other
//! address, its domain is the sender's own, and somebody reads the answers. Names are compared after NFKC,
//! confusable folding (UTS 39) and case folding. Deliberately absent: L14 (visible recipients), which is
//! the policy's.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

use super::header::Block;
use super::{ComposeError, Message};
use crate::mail::{Address, Sender, one_line_within};

/// Fields of which RFC 5322 3.6 allows one, and that readers and filters pick differently from.
const SINGLE: [&str; 7] = ["From", "Subject", "Date", "To", "Message-ID", "Reply-To", "Sender"];

/// Check L7 for marketing sent for `sender`.
pub(crate) fn check(message: &Message, sender: &Sender) -> Result<(), ComposeError> {
    let bytes = message.original();
    let block = message.head();
    duplicates(bytes, block)?;
    let from = message.from().ok_or_else(|| {
        ComposeError::Identity("From must have exactly one mailbox that can be read".to_owned())
    })?;
    let name = from.name.as_deref().unwrap_or_default();
    if !is_registered(name, sender) {
        return Err(ComposeError::Identity(format!(
            "the From display name \"{}\" is not a registered name of {}",
            printable(name),
            printable(&sender.name)
        )));
    }
    if let Some(other) = hidden_address(name, &from.address) {
        return Err(ComposeError::Identity(format!(
            "the From display name shows another address, {}",
            printable(&other)
        )));
    }
    if !sender.domains.iter().any(|domain| from.address.domain().is_within(domain)) {
        return Err(ComposeError::Identity(format!(
            "the From domain {} does not belong to {}",
            from.address.domain().ascii(),
            printable(&sender.name)
        )));
    }
    answers(bytes, block, &from.address)
}

/// Two fields where one is allowed: what the reader sees is anyone's guess.
fn duplicates(bytes: &[u8], block: &Block) -> Result<(), ComposeError> {
    match SINGLE.iter().find(|name| block.named(bytes, name).count() > 1) {
        Some(name) => Err(ComposeError::Malformed(format!("more than one {name} field"))),
        None => Ok(()),
    }
}

/// Whether answers reach somebody: Reply-To, or From when there is none.
fn answers(bytes: &[u8], block: &Block, from: &Address) -> Result<(), ComposeError> {
    let Some(field) = block.first(bytes, "Reply-To") else {
        return if is_no_reply(from) {
            Err(ComposeError::Identity(format!("nobody reads answers to {from}, and there is no Reply-To")))
        } else {
            Ok(())
        };
    };
    let mailboxes = field.mailboxes(bytes);
    if mailboxes.is_empty() {
        return Err(ComposeError::Identity("Reply-To has no mailbox that can be read".to_owned()));
    }
    for (_, text) in mailboxes {
        let Ok(address) = Address::parse(&text) else {
            return Err(ComposeError::Identity("Reply-To has no mailbox that can be read".to_owned()));
        };
        if is_no_reply(&address) {
            return Err(ComposeError::Identity(format!("nobody reads answers to {address} (Reply-To)")));
        }
    }
    Ok(())
}

/// `noreply`, `no-reply`, `do_not_reply+x`, `niet-beantwoorden` and their like.
fn is_no_reply(address: &Address) -> bool {
    let local: String =
        address.local().chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    ["noreply", "donotreply", "dontreply", "nichtantworten", "nietbeantwoorden", "nepasrepondre"]
        .iter()
        .any(|word| local.contains(word))
}

fn is_registered(name: &str, sender: &Sender) -> bool {
    let names = || std::iter::once(&sender.name).chain(&sender.trade_names);
    // Mostly it is there as it is registered; folding costs more than all else that is done to a message.
    if names().any(|registered| !registered.is_empty() && contains_words(name, registered)) {
        return true;
    }
    let shown = fold(name);
    names()
        .map(|registered| fold(registered))
        .any(|registered| !registered.is_empty() && contains_words(&shown, &registered))
}

/// Whether `registered` stands in `shown` as whole words: "ING" is not in "Marketing".
fn contains_words(shown: &str, registered: &str) -> bool {
    shown.match_indices(registered).any(|(at, found)| {
        let before = shown[..at].chars().next_back();
        let after = shown[at + found.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// The form in which names are compared: NFKC, case-folded, look-alikes made alike, spaces single.
fn fold(name: &str) -> String {
    let skeleton = if name.is_ascii() { fold_ascii(name) } else { fold_any(name) };
    skeleton.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fold_any(name: &str) -> String {
    let lower: String = name.nfkc().flat_map(char::to_lowercase).collect();
    unicode_security::skeleton(&lower).flat_map(char::to_lowercase).collect()
}

/// The same for ASCII, where neither step looks at what stands beside a character.
fn fold_ascii(name: &str) -> String {
    static FOLDED: LazyLock<[String; 128]> =
        LazyLock::new(|| std::array::from_fn(|code| fold_any(&char::from(code as u8).to_string())));
    name.bytes().map(|octet| FOLDED[usize::from(octet)].as_str()).collect()
}

/// An address in the display name that is not `own`.
fn hidden_address(name: &str, own: &Address) -> Option<String> {
    if name.is_ascii() && !name.contains('@') {
        return None;
    }
    let plain: String = name.nfkc().collect();
    // `ceo @ bank.example` is read as an address, too; `Team @ Utrecht` is not.
    let joined = plain.split('@').map(str::trim).collect::<Vec<_>>().join("@");
    let dotted = |word: &&str| word.rsplit('@').next().is_some_and(|domain| domain.contains('.'));
    let is_other =
        |word: &&str| Address::parse(word).map_or(word.contains('.'), |found| found.key() != own.key());
    let found = with_at(&plain).find(is_other);
    found.or_else(|| with_at(&joined).filter(dotted).find(is_other)).map(str::to_owned)
}

/// The words of a display name that may be addresses.
fn with_at(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| c.is_whitespace() || "<>()[]\"',;:|".contains(c))
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.contains('@') && word.len() > 1)
}

/// Someone else's text on its way into a reply: one line, bounded.
fn printable(text: &str) -> String {
    one_line_within(text, 120)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn l7_the_short_way_for_ascii_folds_as_the_long_one(name in "[\\x00-\\x7f]{0,40}") {
            prop_assert_eq!(fold_ascii(&name), fold_any(&name));
        }
    }
}
