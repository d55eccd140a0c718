//! What a webhook is sent: the news as one JSON object, signed as the Standard Webhooks specification has it,
//! so that its libraries check it as it is.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::Serialize;

use crate::ledger::{Entry, EntryNumber, News, OwedId};
use crate::mail::{AddressKey, Purpose, Reference, Sender, SenderId};
use crate::net::call::{Caller, Target};
use crate::secret::Secret;

/// Where the news goes.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its name in the config; what is owed to it is owed to this name.
    pub name: String,
    /// Its URL.
    pub target: Target,
    /// The key of its signatures.
    pub secret: Secret,
    /// The senders whose news it gets; empty: all.
    pub senders: Vec<SenderId>,
    /// How it is called.
    pub caller: Caller,
}

impl Webhook {
    /// Whether it gets the news of `sender`.
    pub fn wants(&self, sender: &SenderId) -> bool {
        self.senders.is_empty() || self.senders.contains(sender)
    }
}

/// The body. Fields are added, never renamed or removed.
#[derive(Serialize)]
struct Body<'a> {
    /// The same for each try, so that what comes twice can be told.
    id: String,
    /// `unsubscribed`, `corrected`, `explained`, `complained`, `blocked`, `unblocked` or `consented`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// When it was recorded.
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    address: &'a AddressKey,
    sender: &'a SenderId,
    sender_name: Option<&'a str>,
    gateway: &'a str,
    entry: EntryNumber,
    way: Option<&'static str>,
    purpose: Option<&'a Purpose>,
    reference: Option<Reference>,
    why: Option<&'static str>,
    /// Of a block: the enhanced status code (RFC 3463), and what the far server said.
    status: Option<&'a str>,
    diagnostic: Option<&'a str>,
    /// Of what is lifted: how that is known, and of a consent: where it came from.
    note: Option<&'a str>,
}

/// The body for `news`, which stands in `entry`.
pub fn body(id: OwedId, entry: &Entry, news: News<'_>, sender: Option<&Sender>) -> Vec<u8> {
    let kind = match news {
        News::Unsubscribed(_) => "unsubscribed",
        News::Corrected(_) => "corrected",
        News::Explained(_) => "explained",
        News::Complained(_) => "complained",
        News::Blocked(_) => "blocked",
        News::Unblocked(_) => "unblocked",
        News::Consented { .. } => "consented",
    };
    let (way, purpose) = match news {
        News::Unsubscribed(it) => (Some(it.way.as_str()), it.purpose.as_ref()),
        News::Consented { what, .. } => (None, Some(&what.purpose)),
        _ => (None, None),
    };
    let note = match news {
        News::Unblocked(it) => Some(it.why.as_str()),
        News::Consented { what, .. } => Some(what.source.as_str()),
        _ => None,
    };
    let (status, diagnostic) = match news {
        News::Blocked(it) => (Some(it.status.as_str()), Some(it.diagnostic.as_str())),
        _ => (None, None),
    };
    let why = if let News::Explained(it) = news { Some(it.why.as_str()) } else { None };
    let body = Body {
        id: message_id(id, &entry.origin),
        kind,
        timestamp: entry.at,
        data: Data {
            address: news.address(),
            sender: news.sender(),
            sender_name: sender.map(|sender| sender.name.as_str()),
            gateway: &entry.origin,
            entry: id.fact,
            way,
            purpose,
            reference: news.reference(),
            why,
            status,
            diagnostic,
            note,
        },
    };
    // Texts and numbers always have a JSON form.
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The `webhook-*` fields for `body`, sent at `now`.
pub fn fields(
    id: OwedId,
    origin: &str,
    now: Timestamp,
    body: &[u8],
    secret: &Secret,
) -> [(&'static str, String); 4] {
    let id = message_id(id, origin);
    let seconds = now.as_second().to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    let mut context = hmac::Context::with_key(&key);
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        context.update(part);
    }
    let signature = format!("v1,{}", BASE64_STANDARD.encode(context.sign()));
    [
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", seconds),
        ("webhook-signature", signature),
    ]
}

fn message_id(id: OwedId, origin: &str) -> String {
    format!("{origin}/{id}")
}

/// The key in a secret file: `whsec_` and base64, as the specification writes it, or the text itself.
pub fn key(text: &str) -> Option<Secret> {
    let text = text.trim();
    let key = match text.strip_prefix("whsec_") {
        Some(encoded) => BASE64_STANDARD.decode(encoded).ok()?,
        None => text.as_bytes().to_vec(),
    };
    (key.len() >= 24).then(|| Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l10_the_signature_is_over_id_time_and_body() {
        // The key and body of an example, and the signature computed anew over id.timestamp.body.
        let secret = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = OwedId { fact: 7, index: 0 };
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let [_, (_, said), (_, at), (_, signature)] = fields(id, "gw", now, body, &secret);
        assert_eq!((said.as_str(), at.as_str()), ("gw/7-0", "1614265330"));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        let signed = [b"gw/7-0.1614265330.".as_slice(), body].concat();
        let tag = BASE64_STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
        assert!(hmac::verify(&key, &signed, &tag).is_ok());
        let other = fields(OwedId { fact: 8, index: 0 }, "gw", now, body, &secret);
        assert_ne!(other[3].1, signature);
    }

    #[test]
    fn a_short_or_broken_key_is_none() {
        for wrong in ["", "short", "whsec_!!", "whsec_AAAA"] {
            assert!(key(wrong).is_none(), "{wrong}");
        }
        assert_eq!(key("  0123456789012345678901234567\n").unwrap().expose().len(), 28);
    }
}
