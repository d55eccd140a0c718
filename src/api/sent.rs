//! `POST /v1/sent`: what went by another way, taken down in the same ledger with what it rested on.

use serde::{Deserialize, Serialize};

use super::body::By;
use super::check::{Subject, word};
use super::gate::Caller;
use super::problem::Problem;
use crate::admin::Services;
use crate::clock::Timestamp;
use crate::ledger::{ElsewhereRecipient, EntryNumber, Event, Party, Record, SentElsewhere};
use crate::mail::{hex, sha256};
use crate::policy::Basis;

/// People of one report.
const MAX_PEOPLE: usize = 1_000;
/// Octets of the sending tool's own id.
const MAX_REFERENCE: usize = 200;

/// What was sent, or is about to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sent {
    #[serde(default)]
    sender: Option<String>,
    purpose: String,
    channel: By,
    /// When; now when absent.
    #[serde(default)]
    at: Option<Timestamp>,
    /// The message: its hash is kept.
    #[serde(default)]
    text: Option<String>,
    /// Its SHA-256 (hex), where the text itself is not handed over.
    #[serde(default)]
    text_sha256: Option<String>,
    /// The sending tool's own id of it.
    #[serde(default)]
    reference: Option<String>,
    addresses: Vec<String>,
}

/// The entry, and what it says of each.
#[derive(Debug, Serialize)]
pub(super) struct Noted {
    entry: EntryNumber,
    recipients: Vec<NotedRecipient>,
}

/// What is on record about one of them.
#[derive(Debug, Serialize)]
struct NotedRecipient {
    address: String,
    basis: &'static str,
    /// Why it should not have gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    clause: Option<&'static str>,
}

/// Take down `sent`; durable when this returns `Ok`.
pub(super) async fn note(services: &Services, caller: &Caller, sent: Sent) -> Result<Noted, Problem> {
    let subject = Subject::of(services, caller, sent.sender.as_deref(), &sent.purpose, sent.channel)?;
    if sent.addresses.is_empty() || sent.addresses.len() > MAX_PEOPLE {
        return Err(Problem::wrong(format!("addresses: 1 to {MAX_PEOPLE} of them in one request")));
    }
    let at = sent.at.unwrap_or(subject.now);
    if at > subject.now {
        return Err(Problem::wrong("at: is in the future; report what was sent, or leave it out"));
    }
    let text_sha256 = match (sent.text, sent.text_sha256) {
        (Some(text), None) => hex(&sha256(text.as_bytes())),
        (None, Some(hash)) if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            hash.to_lowercase()
        }
        _ => {
            return Err(Problem::wrong(
                "text, or text_sha256 with 64 hex digits: one of them, as proof of what was sent",
            ));
        }
    };
    if sent.reference.as_ref().is_some_and(|reference| reference.len() > MAX_REFERENCE) {
        return Err(Problem::wrong(format!("reference: at most {MAX_REFERENCE} octets")));
    }
    let (services, name) = (services.clone(), caller.name.clone());
    // One reading of the register for all of them, away from the asynchronous workers.
    let judging = services.clone();
    let judged = tokio::task::spawn_blocking(move || {
        // Judged as of then: a consent that came afterwards is none for it (RULES L1).
        let subject = Subject { now: at, ..subject };
        let mut recipients = Vec::with_capacity(sent.addresses.len());
        for (place, text) in sent.addresses.iter().enumerate() {
            let whom = subject.channel.whom(text).map_err(|why| {
                Problem::wrong(format!("addresses[{place}]: {why}; nothing was taken down"))
            })?;
            let judged = subject.judge(&judging, &whom).map_err(|error| Problem::unavailable(error.0))?;
            let (basis, observed) = match judged {
                Ok(basis) => (basis, None),
                Err(refusal) => (Basis::Missing, Some(refusal)),
            };
            recipients.push(ElsewhereRecipient { address: whom.key().clone(), basis, observed });
        }
        Ok::<_, Problem>((subject, recipients))
    });
    let (subject, recipients) =
        judged.await.map_err(|_| Problem::unavailable("the register was not read"))??;
    let noted = recipients
        .iter()
        .map(|one| NotedRecipient {
            address: one.address.as_str().to_owned(),
            basis: word(&one.basis),
            clause: one.observed.as_ref().map(|refusal| refusal.clause.word()),
        })
        .collect();
    let event = Event::SentElsewhere(Box::new(SentElsewhere {
        channel: subject.channel.word().to_owned(),
        sender: Party { id: subject.sender.id.clone(), name: subject.sender.name.clone() },
        purpose: subject.purpose,
        tool: name,
        sent_at: at,
        text_sha256,
        reference: sent.reference,
        rules_sha256: subject.rules.hash.clone(),
        recipients,
    }));
    match services.scribe.record(Record::of(event)).await {
        Ok(entry) => Ok(Noted { entry, recipients: noted }),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}
