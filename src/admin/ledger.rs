//! Requests about the ledger as a whole, and for the exact bytes of one message.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::handle::{ask, read, write};
use super::wire::{Answer, Query};
use super::{Services, Verified};
use crate::ledger::consistency::Consistency;
use crate::ledger::keeping::{Erasure, Keeping};
use crate::ledger::{EntryNumber, Event, Keep, Record, Side};
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
    /// Put a legal hold on a mailbox, or on everything: nothing of it is purged until it ends.
    Hold {
        /// Whose entries; all when absent.
        about: Option<AddressKey>,
        /// Why.
        why: String,
    },
    /// End a hold.
    Release {
        /// The entry that holds.
        hold: EntryNumber,
        /// Why.
        why: String,
    },
    /// The holds that stand.
    Holds,
    /// Purge now what is due; it happens by itself as well.
    Purge,
    /// Erase one person (RULES L18).
    Erase {
        /// Who.
        address: AddressKey,
        /// Only tell what would be done.
        dry_run: bool,
    },
    /// Copy the store to a file of the gateway's machine, and check the copy.
    Backup {
        /// The file, absolute; it must not be there yet.
        file: PathBuf,
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
    /// The holds that stand.
    Holds {
        /// In order.
        holds: Vec<HoldLine>,
    },
    /// What a purge did.
    Purged {
        /// Entries whose salt and payload were destroyed.
        entries: u64,
    },
    /// What an erasure did, or would do.
    Erased {
        /// What went and what stays.
        erasure: Erasure,
        /// SHA-256 (hex) of the originals of imports that facts about the person came from.
        originals: Vec<String>,
    },
    /// What is kept of a message.
    Message(SentMessage),
}

/// A hold that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldLine {
    /// The entry that holds.
    pub number: EntryNumber,
    /// Whose entries; all when absent.
    pub about: Option<AddressKey>,
}

/// An evidence pack that was written, for whoever asked to take it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackFile {
    /// The zip file, in the data folder: it may be larger than any answer.
    pub file: PathBuf,
    /// Its octets.
    pub octets: u64,
    /// The files that its entries name and that are not in it, one line each.
    pub missing: Vec<String>,
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
        LedgerRequest::Hold { about, why } => {
            let event = Event::Keeping(Keeping::Held { about, why });
            match services.scribe.record(Record::of(event)).await {
                Ok(number) => Answer::Done {
                    text: format!("held by entry {number}; end it with: sluis ledger hold end {number}"),
                },
                Err(error) => failed(&error.to_string()),
            }
        }
        LedgerRequest::Release { hold, why } => release(hold, why, services).await,
        LedgerRequest::Holds => {
            ask(services, |services| {
                Ok(Answer::Ledger(LedgerAnswer::Holds { holds: services.books.holds()? }))
            })
            .await
        }
        LedgerRequest::Purge => {
            ask(services, |services| {
                Ok(Answer::Ledger(LedgerAnswer::Purged { entries: services.books.purge()? }))
            })
            .await
        }
        LedgerRequest::Erase { address, dry_run } => {
            let erased = ask(services, move |services| {
                let (erasure, originals) = services.books.erase(&address, dry_run)?;
                Ok(Answer::Ledger(LedgerAnswer::Erased { erasure, originals }))
            });
            erased.await
        }
        LedgerRequest::Backup { file } => {
            ask(services, move |services| {
                Ok(match services.books.backup(&file)? {
                    Ok(verified) => Answer::Ledger(LedgerAnswer::Verified(verified)),
                    Err(error) => Answer::Failed { error },
                })
            })
            .await
        }
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

async fn release(hold: EntryNumber, why: String, services: &Services) -> Answer {
    let stands = read(services, |services| services.books.holds()).await;
    match stands {
        Ok(holds) if holds.iter().any(|one| one.number == hold) => {}
        Ok(_) => return failed(&format!("entry {hold} is no hold that stands; see: sluis ledger hold list")),
        Err(answer) => return answer,
    }
    match services.scribe.record(Record::of(Event::Keeping(Keeping::Released { hold, why }))).await {
        Ok(_) => Answer::Done { text: format!("the hold of entry {hold} ended") },
        Err(error) => failed(&error.to_string()),
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
