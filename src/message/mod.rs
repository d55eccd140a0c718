//! Messages: where their parts are, and edits as splices over the original bytes.
//!
//! A [`Message`] keeps the bytes it was made from and knows the offsets of headers and parts. [`compose`]
//! makes one copy as a [`Rope`]: ranges of the shared original with our pieces between them, complete in
//! memory before anything is sent (promise 3), with every byte we did not mean to change unchanged
//! (promise 4), signed last. Pure: no IO, no clock, no randomness of its own. Deliberately absent: any
//! decision whether the message may go.

mod attributes;
mod body;
mod charset;
mod compose;
mod css;
mod edit;
mod elements;
mod fingerprint;
mod footer;
mod header;
mod html;
mod identity;
mod list;
mod names;
mod place;
mod plan;
mod recode;
mod rope;
mod sign;
mod structure;
mod style;
mod template;
mod trace;
mod transfer;
mod utf7;

pub use compose::{Brief, ComposeError, Composed, Signer, SigningKey, Unsubscribe, compose};
pub use fingerprint::Fingerprint;
pub use footer::Templates;
pub use plan::Plan;
pub use rope::{Piece, Rope};
pub use sign::seal;
pub use template::{Flavour, Template, TemplateError};
pub use trace::date_time;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::mail::{Address, AddressError, Language};
use header::{Block, Field};
use structure::Tree;

/// Bounds on structure (promise 10); beyond them marketing is refused and the rest passes unedited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of multiparts.
    pub depth: usize,
    /// Parts in all.
    pub parts: usize,
    /// Header fields in all.
    pub headers: usize,
    /// Octets of one header block.
    pub header_bytes: usize,
    /// Placeholders (`{{unsubscribe_url}}` and the like) of one part: each is filled in for each copy.
    pub placeholders: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 16, parts: 512, headers: 2_000, header_bytes: 256 * 1024, placeholders: 1_000 }
    }
}

/// A parsed message: the original bytes, and where everything is. Clones share both.
#[derive(Debug, Clone)]
pub struct Message {
    original: Bytes,
    index: Arc<Index>,
}

#[derive(Debug)]
struct Index {
    tree: Tree,
    /// Asked for by every copy.
    from: OnceLock<Option<FromMailbox>>,
    eight_bit: OnceLock<bool>,
}

/// The mailbox in a From header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromMailbox {
    /// Display name, encoded words decoded; `None` when there is none.
    pub name: Option<String>,
    /// The address.
    pub address: Address,
}

impl Message {
    /// Index `original`. Never fails: what cannot be understood shows in the answers of the other
    /// methods and in [`compose`].
    pub fn parse(original: Bytes, limits: &Limits) -> Self {
        let tree = structure::index(&original, limits);
        let index = Index { tree, from: OnceLock::new(), eight_bit: OnceLock::new() };
        Self { original, index: Arc::new(index) }
    }

    /// The bytes as the client gave them.
    pub fn original(&self) -> &Bytes {
        &self.original
    }

    fn tree(&self) -> &Tree {
        &self.index.tree
    }

    /// The header of the message itself; the tree always has its root.
    fn head(&self) -> &Block {
        &self.tree().parts[0].block
    }

    /// The only field called `name`.
    fn only<'a>(&'a self, name: &'a str) -> Option<&'a Field> {
        let field = self.head().first(&self.original, name)?;
        (self.head().named(&self.original, name).count() == 1).then_some(field)
    }

    /// The From mailbox, when there is exactly one From field with exactly one mailbox, in no group.
    pub fn from(&self) -> Option<&FromMailbox> {
        self.index.from.get_or_init(|| self.read_from()).as_ref()
    }

    fn read_from(&self) -> Option<FromMailbox> {
        let field = self.only("From")?;
        let mut mailboxes = field.mailboxes(&self.original);
        let (name, address) = mailboxes.pop()?;
        let grouped = self.original[field.value.clone()].contains(&b':') && field.has_group(&self.original);
        if !mailboxes.is_empty() || grouped {
            return None;
        }
        let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        Some(FromMailbox { name, address: Address::parse(&address).ok()? })
    }

    /// All header fields in order: lower-case name and unfolded value, encoded words decoded.
    pub fn headers(&self) -> Vec<(String, String)> {
        let bytes = &self.original;
        self.head()
            .fields
            .iter()
            .map(|field| {
                let name = String::from_utf8_lossy(&bytes[field.name.clone()]).to_ascii_lowercase();
                (name, field.decoded(bytes))
            })
            .collect()
    }

    /// The Message-ID with its angle brackets, when there is exactly one.
    pub fn message_id(&self) -> Option<String> {
        let text = self.only("Message-ID")?.text(&self.original);
        (text.starts_with('<') && text.ends_with('>')).then_some(text)
    }

    /// The language it says it is in (Content-Language, RFC 3282), when that is one of ours.
    pub fn language(&self) -> Option<Language> {
        let text = self.head().first(&self.original, "Content-Language")?.text(&self.original);
        let first = text.split([',', '-', '_', ';', ' ']).next()?.to_ascii_lowercase();
        Language::ALL.into_iter().find(|one| one.code() == first)
    }

    /// The List-Id between its angle brackets, lower-case.
    pub fn list_id(&self) -> Option<String> {
        list::list_id(&self.original, self.head())
    }

    /// The tool that made it: User-Agent, else X-Mailer.
    pub fn tool(&self) -> Option<String> {
        ["User-Agent", "X-Mailer"]
            .iter()
            .find_map(|name| self.head().first(&self.original, name))
            .map(|field| field.decoded(&self.original))
            .filter(|tool| !tool.is_empty())
    }

    /// The mailboxes in To and Cc, each read or not; those of Resent-To and Resent-Cc are as visible. One whose
    /// address cannot be read by us may well be read by whoever gets the message.
    pub fn visible_recipients(&self) -> Vec<Result<Address, AddressError>> {
        self.visible_fields()
            .flat_map(|field| field.mailboxes(&self.original))
            .filter(|(_, address)| address.contains('@'))
            .map(|(_, address)| Address::parse(&address))
            .collect()
    }

    fn visible_fields(&self) -> impl Iterator<Item = &Field> {
        const FIELDS: [&str; 4] = ["To", "Cc", "Resent-To", "Resent-Cc"];
        self.head().fields.iter().filter(|field| FIELDS.iter().any(|name| field.is(&self.original, name)))
    }

    /// The mailboxes that a reader sees in those fields, each once: those in display names and comments, and
    /// those that no comma parts from the next, are as visible as any.
    pub fn shown_recipients(&self) -> Vec<Address> {
        let mut shown: Vec<Address> = Vec::new();
        let mut keys = HashSet::new();
        for field in self.visible_fields() {
            let text = field.decoded(&self.original);
            let words = text.split(|c: char| c.is_whitespace() || "<>()[]\",;:|".contains(c));
            let words = words.filter(|word| word.contains('@'));
            let found = words.filter_map(|word| Address::parse(word.trim_matches(['.', '\''])).ok());
            shown.extend(found.filter(|address| keys.insert(address.key().clone())));
        }
        shown
    }

    /// Whether it is a DSN, an MDN or an automatic reply by its own headers (RULES P9, P13): a
    /// `multipart/report`, or `Auto-Submitted` other than `no`.
    pub fn is_automatic(&self) -> bool {
        let auto = self.head().first(&self.original, "Auto-Submitted").map(|field| {
            let text = field.text(&self.original).to_ascii_lowercase();
            text.split([';', '(']).next().unwrap_or_default().trim() != "no"
        });
        self.tree().parts[0].media == "multipart/report" || auto == Some(true)
    }

    /// Received fields: for the loop limit (RFC 5321 6.3).
    pub fn received_count(&self) -> usize {
        self.head().named(&self.original, "Received").count()
    }

    /// Whether the header has octets over 127, so that it needs SMTPUTF8 (RFC 6532).
    pub fn has_utf8_headers(&self) -> bool {
        !self.original[self.head().range.clone()].is_ascii()
    }

    /// Whether it has octets over 127 anywhere.
    pub fn has_eight_bit(&self) -> bool {
        *self.index.eight_bit.get_or_init(|| !self.original.is_ascii())
    }

    /// The tool's own one-click link: the https URI of List-Unsubscribe, when List-Unsubscribe-Post is
    /// there too (RULES P8).
    pub fn one_click_link(&self) -> Option<String> {
        let post = self.head().first(&self.original, "List-Unsubscribe-Post")?.text(&self.original);
        if !post.eq_ignore_ascii_case("List-Unsubscribe=One-Click") {
            return None;
        }
        let value = self.head().first(&self.original, "List-Unsubscribe")?.text(&self.original);
        list::uris(&value)
            .into_iter()
            .find(|uri| uri.get(..8).is_some_and(|s| s.eq_ignore_ascii_case("https://")))
    }
}

#[cfg(test)]
mod tests;
