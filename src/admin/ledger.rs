//! Requests about the ledger as a whole, and for the exact bytes of one message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::handle::{ask, write};
use super::wire::{Answer, Query};
use super::{Services, Verified};
use crate::ledger::consistency::Consistency;
use crate::ledger::{EntryNumber, Keep, Record, Side};
use crate::mail::{AddressKey, CopyId};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ledger", rename_all = "snake_case")]
pub enum LedgerRequest {
    /// Check the whole ledger, and that it begins with what these checkpoints from outside signed.
    Verify {
        /// Signed notes.
        anchors: Vec<String>,
    },
    /// How far a check is that runs now.
    Progress,
    /// The newest checkpoint; one is signed first, if anything happened since.
    Checkpoint,
    /// The proof that a later checkpoint continues an earlier one.
    Consistency {
        /// The signed note of the earlier one.
        old: String,
        /// The signed note of the later one; the newest when absent.
        new: Option<String>,
    },
    /// The exact bytes that one person got.
    Message {
        /// Of which message.
        query: Query,
        /// Who.
        to: AddressKey,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ledger", rename_all = "snake_case")]
pub enum LedgerAnswer {
    /// What checking found.
    Verified(Verified),
    /// How far a check is.
    Progress {
        /// Entries looked at, and in all; `None` while none runs.
        at: Option<(u64, u64)>,
    },
    /// A signed note.
    Checkpoint {
        /// The note.
        note: String,
    },
    /// The proof between two checkpoints.
    Consistency(Consistency),
    /// What is kept of a message.
    Message(SentMessage),
}

/// What is kept of the copy that one person got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMessage {
    /// The entry that admitted it.
    pub number: EntryNumber,
    /// The copy.
    pub copy: CopyId,
    /// SHA-256 (hex) of its exact bytes, as the entry has it.
    pub sent_sha256: String,
    /// How much of it is kept: all, its header section, or nothing but the hash.
    pub kept: Keep,
    /// What is kept, base64.
    pub bytes: String,
    /// Other copies of the same question that went to the same person; this one is the newest.
    pub others: Vec<CopyId>,
}

impl SentMessage {
    /// The octets.
    pub fn decoded(&self) -> Option<Vec<u8>> {
        BASE64.decode(&self.bytes).ok()
    }

    /// Spell the octets for the answer.
    pub fn encode(bytes: &[u8]) -> String {
        BASE64.encode(bytes)
    }
}

pub(super) async fn handle(request: LedgerRequest, services: &Services) -> Answer {
    match request {
        LedgerRequest::Verify { anchors } => {
            ask(services, move |services| {
                Ok(Answer::Ledger(LedgerAnswer::Verified(services.books.verify(&anchors)?)))
            })
            .await
        }
        LedgerRequest::Progress => Answer::Ledger(LedgerAnswer::Progress { at: services.books.progress() }),
        LedgerRequest::Checkpoint => match sign(services).await {
            Ok(()) => {
                ask(services, |services| {
                    Ok(match services.books.checkpoint()? {
                        Some(note) => Answer::Ledger(LedgerAnswer::Checkpoint { note }),
                        None => failed("nothing was recorded yet, so nothing is signed"),
                    })
                })
                .await
            }
            Err(answer) => answer,
        },
        LedgerRequest::Consistency { old, new } => match sign(services).await {
            Ok(()) => {
                ask(services, move |services| {
                    Ok(match services.books.consistency(&old, new.as_deref())? {
                        Ok(proof) => Answer::Ledger(LedgerAnswer::Consistency(proof)),
                        Err(why) => Answer::Failed { error: why },
                    })
                })
                .await
            }
            Err(answer) => answer,
        },
        LedgerRequest::Message { query, to } => {
            ask(services, move |services| {
                Ok(match services.books.message(&query, &to)? {
                    Some(message) => Answer::Ledger(LedgerAnswer::Message(message)),
                    None => Answer::Failed {
                        error: format!("no message about {query} to {to} is on record as admitted"),
                    },
                })
            })
            .await
        }
    }
}

/// Sign a checkpoint, if anything happened since the last one.
async fn sign(services: &Services) -> Result<(), Answer> {
    let wish = Record { events: Vec::new(), sides: vec![Side::Checkpoint] };
    write(services, wish, false).await
}

fn failed(why: &str) -> Answer {
    Answer::Failed { error: why.to_owned() }
}
