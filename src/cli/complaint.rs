//! What a complaint says about the message it is about: the gateway's own trace, Message-IDs.
//!
//! A complaint comes as the message itself, forwarded as an attachment, in an ARF report (RFC 5965), quoted in
//! the text, or as a reply. The most telling clues come first.

use mail_parser::{Message, MessageParser, MimeHeaders as _, PartType};

use crate::admin::Subject;
use crate::mail::CopyId;

/// Messages within messages that are looked into, at most.
const DEPTH: usize = 8;
/// Clues that are followed, at most.
const CLUES: usize = 64;

/// What to look up, the most telling first; no clue twice.
pub(super) fn clues(bytes: &[u8]) -> Vec<Subject> {
    let mut found = Found::default();
    if let Some(message) = MessageParser::default().parse(bytes) {
        found.message(&message, 0);
    }
    // A file that is no mail may still quote the header of one.
    if found.is_empty() {
        found.text(&String::from_utf8_lossy(bytes));
    }
    let mut clues: Vec<Subject> = Vec::new();
    let copies = found.copies.into_iter().map(Subject::Copy);
    let ids = found.inner.into_iter().chain(found.replied).chain(found.outer).map(Subject::MessageId);
    for clue in copies.chain(ids) {
        if clues.len() < CLUES && !clues.contains(&clue) {
            clues.push(clue);
        }
    }
    clues
}

#[derive(Default)]
struct Found {
    copies: Vec<CopyId>,
    /// Message-IDs of what is attached or quoted.
    inner: Vec<String>,
    /// Message-IDs that it answers.
    replied: Vec<String>,
    /// Its own Message-ID: it may be the message itself, as it was saved.
    outer: Vec<String>,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.copies.is_empty() && self.inner.is_empty() && self.replied.is_empty() && self.outer.is_empty()
    }

    fn message(&mut self, message: &Message<'_>, depth: usize) {
        for (name, value) in message.headers_raw() {
            self.field(name, value, depth == 0);
        }
        for part in &message.parts {
            match &part.body {
                PartType::Message(inner) if depth < DEPTH => self.message(inner, depth + 1),
                PartType::Text(text) | PartType::Html(text) => self.text(text),
                PartType::Binary(bytes) | PartType::InlineBinary(bytes)
                    if part.content_type().is_some_and(|kind| {
                        kind.ctype() == "message" || kind.subtype() == Some("rfc822-headers")
                    }) =>
                {
                    self.text(&String::from_utf8_lossy(bytes));
                }
                _ => {}
            }
        }
    }

    fn field(&mut self, name: &str, value: &str, is_outer: bool) {
        let ids = || value.split_whitespace().filter(|word| word.starts_with('<') && word.ends_with('>'));
        match name.to_ascii_lowercase().as_str() {
            "sluis-trace" => {
                self.copies.extend(value.split_whitespace().next().and_then(|word| CopyId::parse(word).ok()));
            }
            "message-id" | "original-message-id" | "x-original-message-id" => {
                let to = if is_outer { &mut self.outer } else { &mut self.inner };
                to.extend(ids().map(str::to_owned));
            }
            "in-reply-to" | "references" => self.replied.extend(ids().map(str::to_owned)),
            _ => {}
        }
    }

    /// Header lines quoted in a text: `> Message-ID: <…>`.
    fn text(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.trim_start_matches(['>', ' ', '\t', '|']);
            if let Some((name, value)) = line.split_once(':')
                && name.len() <= 24
                && !name.contains(' ')
            {
                self.field(name, value, false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "01jabcdefghjkmnpqrstvwxyz0-3";
    const ID: &str = "<nieuws.7@voorbeeldhypotheken.nl>";

    fn sent() -> String {
        format!(
            "Sluis-Trace: {TRACE} sluis.test marketing 12345678\r\n\tmark\r\nFrom: a@b.nl\r\nMessage-ID: {ID}\r\nSubject: Dag\r\n\r\nDag\r\n"
        )
    }

    fn expected() -> Vec<Subject> {
        vec![Subject::Copy(CopyId::parse(TRACE).unwrap()), Subject::MessageId(ID.to_owned())]
    }

    #[test]
    fn a_message_is_recognised_as_it_was_saved_forwarded_or_quoted() {
        assert_eq!(clues(sent().as_bytes()), expected());
        let attached = format!(
            "From: klager@x.nl\r\nMessage-ID: <klacht@x.nl>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nIk wil dit niet.\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{}\r\n--b--\r\n",
            sent()
        );
        assert_eq!(clues(attached.as_bytes())[..2], expected());
        let quoted = format!(
            "From: klager@x.nl\r\nMessage-ID: <klacht@x.nl>\r\nContent-Type: text/plain\r\n\r\nZie onder:\r\n> Sluis-Trace: {TRACE} sluis.test\r\n> Message-ID: {ID}\r\n"
        );
        assert_eq!(clues(quoted.as_bytes())[..2], expected());
        let report = format!(
            "From: fbl@provider.nl\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
             --b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{}\r\n--b--\r\n",
            sent()
        );
        assert_eq!(clues(report.as_bytes())[..2], expected());
    }

    #[test]
    fn a_reply_names_what_it_answers_before_itself() {
        let reply =
            format!("From: klager@x.nl\r\nMessage-ID: <klacht@x.nl>\r\nIn-Reply-To: {ID}\r\n\r\nStop.\r\n");
        let found = clues(reply.as_bytes());
        assert_eq!(found[0], Subject::MessageId(ID.to_owned()));
        assert_eq!(clues(b"no mail at all"), []);
        assert_eq!(clues(b""), []);
    }
}
