//! One copy, as one recipient gets it.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::body::Splice;
use super::header::{Block, Bounds, scan};
use super::plan::{Plan, Wrap};
use super::sign::HashedBody;
use super::{Message, Piece, Rope, Templates, edit, list, recode, sign, trace, transfer};
use crate::mail::{Class, Purpose, Sender};

/// What a copy is to carry. Everything variable comes in here; nothing is looked up.
#[derive(Clone)]
pub struct Brief<'a> {
    /// What it is: marketing gets everything, service the identity footer, personal and system only the
    /// trace header (and Received).
    pub class: Class,
    /// Whom it is sent for.
    pub sender: Option<&'a Sender>,
    /// What it is about.
    pub purpose: Option<&'a Purpose>,
    /// The sender's footer templates; without them, the built-in ones are filled in anew.
    pub templates: Option<&'a Templates>,
    /// The way out for this recipient; always there for marketing.
    pub unsubscribe: Option<&'a Unsubscribe>,
    /// Value of the `Sluis-Trace` header: our reference and copy, sealed as the gateway likes.
    pub trace: &'a str,
    /// Value of the `Received` header, already folded at CRLF SP; `None` adds none.
    pub received: Option<&'a str>,
    /// Added as Message-ID when there is none (RULES P2), with angle brackets.
    pub message_id: &'a str,
    /// Added as Date when there is none (RULES P2), and the time of the signatures.
    pub now: Timestamp,
    /// Whether the next hop takes 8BITMIME; if not, edited parts and headers stay 7-bit and an 8-bit
    /// message is recoded (RULES P5).
    pub next_hop_8bit: bool,
    /// Recognises what an earlier run put in (RULES P12: authenticated, never by text), so that running
    /// twice adds nothing. Asked with each visible link of a body part of marketing, whole (true: a link
    /// of ours that opts this very recipient out of this sender), and with the value of a `Sluis-Trace`
    /// that came in with service mail (true: sealed by us, so the identity is in it already).
    pub is_ours: &'a (dyn Fn(&str) -> bool + Sync),
}

/// The opt-out of one copy (RULES L8, P7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The https link with the token, at most 900 octets; http only to this very machine (a first try).
    pub url: String,
    /// The mailto link, `mailto:` included.
    pub mailto: Option<String>,
    /// List-Id between its angle brackets, stable per purpose (RULES P10).
    pub list_id: String,
}

/// A key that signs (RULES P11).
#[derive(Clone)]
pub struct Signer {
    /// `d=`.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// The key.
    pub key: SigningKey,
}

/// A DKIM key, ready to sign.
#[derive(Clone)]
pub enum SigningKey {
    /// rsa-sha256.
    Rsa(Arc<mail_auth::common::crypto::RsaKey<mail_auth::common::crypto::Sha256>>),
    /// ed25519-sha256.
    Ed25519(Arc<mail_auth::common::crypto::Ed25519Key>),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({}._domainkey.{})", self.selector, self.domain)
    }
}

/// A finished copy.
#[derive(Debug, Clone)]
pub struct Composed {
    /// Its exact bytes.
    pub rope: Rope,
    /// What was edited, in words, for the ledger.
    pub edits: Vec<String>,
    /// `selector._domainkey.domain` of each signature made.
    pub dkim: Vec<String>,
    /// Message-ID as sent.
    pub message_id: Option<String>,
    /// Whether it has octets over 127.
    pub eight_bit: bool,
}

/// Why there is no copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// RULES L7: not the sender's name, domain or a working Reply-To. Becomes 550 5.7.1.
    #[error("{0}")]
    Identity(String),
    /// RULES L8: an opt-out cannot be put in safely. Becomes 550 5.7.1.
    #[error("{0}")]
    NoOptOut(String),
    /// RULES P1, P12: the message is broken in a way that makes an edit unsafe. Becomes 550 5.6.0.
    #[error("{0}")]
    Malformed(String),
    /// Something failed on our side (a key that does not sign). Becomes 451 (promise 3).
    #[error("{0}")]
    Failed(String),
}

/// Make the copy that `brief` asks for. Pure; complete before it returns (promise 3). For several copies
/// of one message, make a [`Plan`] once and call [`Plan::copy`].
pub fn compose(message: &Message, brief: &Brief<'_>, signers: &[Signer]) -> Result<Composed, ComposeError> {
    Plan::new(message, brief)?.copy(brief, signers)
}

/// A copy in the making.
#[derive(Default)]
struct Draft {
    head: Vec<Splice>,
    body: Vec<Splice>,
    /// Our fields at the top.
    top: Vec<u8>,
    /// Lower-case names of fields that were changed or removed.
    changed: Vec<&'static str>,
    /// Lower-case names of fields that were added.
    added: Vec<&'static str>,
    edits: Vec<String>,
}

impl Plan {
    /// Make one copy.
    pub fn copy(&self, brief: &Brief<'_>, signers: &[Signer]) -> Result<Composed, ComposeError> {
        let block = self.message.head();
        let mut draft = Draft { top: trace::trace(brief)?, ..Draft::default() };
        draft.added.push("received");
        draft.added.push(trace::TRACE_KEY);
        let message_id = self.missing_fields(brief, &mut draft)?;
        for (range, name) in &self.head.removed {
            draft.head.push((range.clone(), Bytes::new()));
            draft.changed.push(name);
            if *name != trace::TRACE_KEY {
                draft.edits.push(format!("{name} removed"));
            }
        }
        self.way_out(brief, &mut draft)?;
        self.body_parts(brief, &mut draft)?;
        let wrap = self.wrap.as_ref().filter(|wrap| !wrap.links.iter().any(|l| (brief.is_ours)(l)));
        let tail = match wrap {
            Some(wrap) => Some(self.wrapping(wrap, brief, &mut draft)?),
            None => None,
        };
        self.mime_version(wrap.is_some(), &mut draft);
        self.end_of_header(block, wrap.is_some() || !draft.body.is_empty(), &mut draft);
        self.old_signatures(wrap.is_some() || !draft.body.is_empty(), signers, &mut draft);
        self.assemble(draft, tail, message_id, brief, signers)
    }

    /// RULES P2.
    fn missing_fields(&self, brief: &Brief<'_>, draft: &mut Draft) -> Result<Option<String>, ComposeError> {
        if !self.head.has_date {
            draft.top.extend(trace::date(brief.now));
            draft.added.push("date");
            draft.edits.push("Date added".to_owned());
        }
        if self.head.has_message_id {
            return Ok(self.message.message_id());
        }
        draft.top.extend(trace::message_id(brief.message_id)?);
        draft.added.push("message-id");
        draft.edits.push("Message-ID added".to_owned());
        Ok(Some(brief.message_id.to_owned()))
    }

    /// The List-* fields of marketing (RULES L8, P7, P8): the tool's own are replaced where they stand.
    fn way_out(&self, brief: &Brief<'_>, draft: &mut Draft) -> Result<(), ComposeError> {
        if self.class != Class::Marketing {
            return Ok(());
        }
        let Some(way_out) = brief.unsubscribe else {
            return Err(ComposeError::NoOptOut("there is no unsubscribe link for this copy".to_owned()));
        };
        let fields = list::fields(way_out)?;
        for (name, place, text) in [
            ("list-unsubscribe", &self.head.unsubscribe, fields.unsubscribe.into()),
            ("list-unsubscribe-post", &self.head.post, Bytes::from_static(fields.post)),
        ] {
            match place {
                Some(range) => {
                    draft.head.push((range.clone(), text));
                    draft.changed.push(name);
                    draft.edits.push(format!("{name} replaced"));
                }
                None => {
                    draft.top.extend(text);
                    draft.added.push(name);
                    draft.edits.push(format!("{name} added"));
                }
            }
        }
        if !self.head.has_list_id {
            draft.top.extend(fields.id);
            draft.added.push("list-id");
            draft.edits.push("list-id added".to_owned());
        }
        Ok(())
    }

    /// Footers, placeholders and recoding.
    fn body_parts(&self, brief: &Brief<'_>, draft: &mut Draft) -> Result<(), ComposeError> {
        let original = self.message.original();
        let tree = self.message.tree();
        let link = brief.unsubscribe.map(|u| u.url.as_str()).unwrap_or_default();
        let marked =
            self.class == Class::Service && self.head.traces.iter().any(|value| (brief.is_ours)(value));
        for recode in &self.recodes {
            recoded(original, tree, recode, draft);
        }
        let beside = self.beside.iter().any(|link| (brief.is_ours)(link));
        for planned in &self.parts {
            let ours = match self.class {
                Class::Marketing => beside || planned.edit.links.iter().any(|link| (brief.is_ours)(link)),
                _ => marked,
            };
            if ours || planned.edit.is_empty() {
                if let Some(recode) = &planned.bare {
                    recoded(original, tree, recode, draft);
                }
                continue;
            }
            // Footers are there whenever parts are planned.
            let Some(footers) = &self.footers else { continue };
            let footer = if planned.edit.media == "text/html" { &footers.html } else { &footers.text };
            let splices = planned.edit.splices(original, footer, link).ok_or_else(|| {
                ComposeError::Failed("the unsubscribe link cannot be written in this message".to_owned())
            })?;
            if let Some(label) = &planned.edit.relabel {
                relabelled(original, tree, planned.number, label, draft);
            }
            draft.body.extend(splices);
            draft.edits.push(format!("footer in {}", planned.edit.media));
        }
        Ok(())
    }

    /// The message intact as the first part, the footer as the second: the fields that move, the octets
    /// before the original body and those after it.
    fn wrapping(
        &self,
        wrap: &Wrap,
        brief: &Brief<'_>,
        draft: &mut Draft,
    ) -> Result<(Vec<Piece>, Vec<u8>), ComposeError> {
        if !self.next_hop_8bit {
            self.wraps_in_seven_bit(wrap)?;
        }
        let failed = || ComposeError::Failed("no footer to wrap with".to_owned());
        let footers = self.footers.as_ref().ok_or_else(failed)?;
        let original = self.message.original();
        let boundary = &wrap.boundary;
        let eight = self.eight_bit && self.next_hop_8bit;
        let mut outer = format!("Content-Type: multipart/mixed;\r\n boundary=\"{boundary}\"\r\n");
        if eight {
            outer.push_str("Content-Transfer-Encoding: 8bit\r\n");
        }
        let mut before = vec![Piece::Own(Bytes::from(format!("--{boundary}\r\n")))];
        let mut outer = Some(Bytes::from(outer));
        for range in &wrap.fields {
            if wrap.stays.contains(range) {
                // It stays where it is, so this is a piece of ours: nothing of the original goes out twice.
                before.push(Piece::Own(Bytes::copy_from_slice(&original[range.clone()])));
            } else {
                draft.head.push((range.clone(), outer.take().unwrap_or_default()));
                before.push(Piece::Original(range.clone()));
            }
            if !original[range.clone()].ends_with(b"\n") {
                before.push(Piece::Own(Bytes::from_static(b"\r\n")));
            }
        }
        match outer {
            Some(outer) => draft.top.extend(outer),
            None => draft.changed.push("content-type"),
        }
        draft.changed.push("content-transfer-encoding");
        before.push(Piece::Own(Bytes::from_static(b"\r\n")));
        let link = brief.unsubscribe.map(|u| u.url.as_str());
        let text = footers.text.render(true, link);
        let mut after = format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: quoted-printable\r\nContent-Disposition: inline\r\n\r\n"
        )
        .into_bytes();
        after.extend(transfer::qp_encode(text.as_bytes()));
        after.extend(format!("\r\n--{boundary}--\r\n").bytes());
        draft.edits.push(format!("wrapped ({})", wrap.why));
        Ok((before, after))
    }

    fn mime_version(&self, wrapped: bool, draft: &mut Draft) {
        let relabelled = draft.head.iter().any(|(_, text)| {
            text.starts_with(b"Content-Transfer-Encoding:") || text.starts_with(b"Content-Type:")
        });
        if !self.head.has_mime && (wrapped || relabelled) {
            draft.top.extend_from_slice(b"MIME-Version: 1.0\r\n");
            draft.added.push("mime-version");
        }
    }

    /// A header that is not ended gets its end, if something follows it now.
    fn end_of_header(&self, block: &Block, needed: bool, draft: &mut Draft) {
        let end = block.range.end;
        let original = self.message.original();
        let header = &original[block.range.clone()];
        let open_line = !header.is_empty() && !header.ends_with(b"\n");
        if open_line && block.top == end {
            draft.top.splice(0..0, *b"\r\n");
        } else if open_line && needed {
            // Before any field that is added at the end of the header.
            draft.head.insert(0, (end..end, Bytes::from_static(b"\r\n")));
        }
        if !block.ended && needed {
            draft.head.push((end..end, Bytes::from_static(b"\r\n")));
        }
    }

    /// RULES P11: what our edits broke, and what we are about to replace, goes.
    fn old_signatures(&self, body_changed: bool, signers: &[Signer], draft: &mut Draft) {
        let original = self.message.original();
        let present = |name: &str| self.message.head().named(original, name).count();
        for (range, covered) in &self.head.signatures {
            let broken = body_changed
                || draft.changed.iter().any(|name| covered.covers(name))
                || draft.added.iter().any(|name| covered.breaks_when_added(name, present(name)));
            let replaced = signers
                .iter()
                .any(|s| s.domain.eq_ignore_ascii_case(&covered.domain) && s.selector == covered.selector);
            if broken || replaced {
                draft.head.push((range.clone(), Bytes::new()));
                if !replaced {
                    draft.edits.push(format!("broken signature of {} removed", covered.domain));
                }
            }
        }
    }

    fn assemble(
        &self,
        mut draft: Draft,
        wrapped: Option<(Vec<Piece>, Vec<u8>)>,
        message_id: Option<String>,
        brief: &Brief<'_>,
        signers: &[Signer],
    ) -> Result<Composed, ComposeError> {
        let original = self.message.original();
        let block = self.message.head();
        let failed = |what: &str| ComposeError::Failed(what.to_owned());
        let top = std::mem::take(&mut draft.top);
        draft.head.insert(0, (block.top..block.top, top.into()));
        let splices = |list| edit::ordered(list).ok_or_else(|| failed("edits overlap"));
        let (head_splices, body_splices) = (splices(draft.head)?, splices(draft.body)?);

        let mut head = Vec::with_capacity(head_splices.len() * 2 + 2);
        edit::pieces(0..block.body, &head_splices, &mut head);
        let mut body = Vec::with_capacity(body_splices.len() * 2 + 4);
        let after = wrapped.map(|(before, after)| {
            body.extend(before);
            after
        });
        edit::pieces(block.body..original.len(), &body_splices, &mut body);
        body.extend(after.map(|after| Piece::Own(Bytes::from(after))));

        let (signatures, dkim) = self.signed(&head, &body, brief, signers)?;
        if !signatures.is_empty() {
            let at = head.iter().position(|piece| matches!(piece, Piece::Own(_))).unwrap_or(0);
            head.insert(at, Piece::Own(Bytes::from(signatures)));
        }
        let mut pieces = head;
        pieces.append(&mut body);
        let eight_bit = self.is_eight_bit(original, &pieces);
        let rope =
            Rope::new(original.clone(), pieces).ok_or_else(|| failed("an edit outside the message"))?;
        Ok(Composed { rope, edits: draft.edits, dkim, message_id, eight_bit })
    }

    /// The DKIM-Signature fields over these pieces, and the names of the keys.
    fn signed(
        &self,
        head: &[Piece],
        body: &[Piece],
        brief: &Brief<'_>,
        signers: &[Signer],
    ) -> Result<(Vec<u8>, Vec<String>), ComposeError> {
        let block = self.message.head();
        // A header that readers take apart differently cannot be signed to anyone's use.
        if signers.is_empty() || block.junk || block.over {
            return Ok((Vec::new(), Vec::new()));
        }
        let original = self.message.original();
        let head = edit::bytes(original, head);
        let bounds = Bounds { fields: usize::MAX, bytes: usize::MAX };
        let fields = scan(&head, 0..head.len(), bounds);
        let body: Vec<&[u8]> = body.iter().map(|piece| edit::chunk(original, piece)).collect();
        let now = u64::try_from(brief.now.as_second()).unwrap_or(0);
        let made = sign::sign(&head, &fields, &HashedBody::of(&body), self.class, now, signers)
            .map_err(ComposeError::Failed)?;
        let (texts, names): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        Ok((texts.concat(), names))
    }

    fn is_eight_bit(&self, original: &[u8], pieces: &[Piece]) -> bool {
        let own = |piece: &Piece| matches!(piece, Piece::Own(bytes) if !bytes.is_ascii());
        if self.eight_bit && self.next_hop_8bit {
            return true;
        }
        let kept = |piece: &Piece| self.eight_bit && !edit::chunk(original, piece).is_ascii();
        pieces.iter().any(|piece| own(piece) || kept(piece))
    }
}

fn recoded(original: &[u8], tree: &super::structure::Tree, recode: &recode::Recode, draft: &mut Draft) {
    if let Some(label) = &recode.relabel {
        relabelled(original, tree, recode.part, label, draft);
    }
    let (range, text) = &recode.splice;
    if !range.is_empty() {
        draft.body.push((range.clone(), text.clone()));
        draft.edits.push("recoded to 7-bit".to_owned());
    }
}

fn relabelled(
    original: &[u8],
    tree: &super::structure::Tree,
    part: usize,
    label: &super::body::Relabel,
    draft: &mut Draft,
) {
    let splices = recode::relabel(original, &tree.parts[part], label);
    if part > 0 {
        draft.body.extend(splices);
        return;
    }
    draft.changed.push("content-transfer-encoding");
    draft.changed.push("content-type");
    draft.head.extend(splices);
}
