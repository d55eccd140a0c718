//! The ledger: every fact, once, in an order nobody can change unseen (promise 8).
//!
//! [`Scribe`] is **the one pen**: every change anywhere is a [`Record`] handed to `Scribe::record`, and
//! what it returns is durable. A record is an [`Event`] (the entry: one JSON object that a judge can
//! read) and what must become durable in the same commit ([`Side`]: originals, spool copies). Entries are
//! leaves of an RFC 6962 tree, `SHA-256(0x00 ‖ salt ‖ bytes)`; [`checkpoint`] signs its root as a C2SP
//! note. The store implements [`Book`] and owns the disk; this room never names it.

pub mod checkpoint;
mod choice;
pub mod codec;
pub mod consistency;
mod counts;
mod elsewhere;
mod event;
mod evidence;
mod import;
mod inbox;
pub mod keeping;
mod outbox;
pub mod pack;
mod page;
pub mod pieces;
mod record;
mod scribe;
pub mod stamp;
pub mod succession;
pub mod tree;
pub mod verify;

pub use choice::{Corrected, Explained, News, Why};
pub use counts::Counts;
pub use elsewhere::{ElsewhereRecipient, SentElsewhere};
pub use event::{
    Admitted, AdmittedRecipient, Anchored, Consented, DkimSigned, Entry, EntryNumber, Event, Handover,
    KeyInForce, KeyUse, Kind, Outcome, Party, Publication, RefusedRecipient, Related, Stage, Suppressed,
    Unsubscribed, Way, head,
};
pub use evidence::{EvidenceKept, KeptFile, NamedFile, NotKept, Opened, Shelf};
pub use import::{Fact, ImportBegun, ImportEnded, ImportUndone, TakenBack, Undeliverable};
pub use inbox::{Answered, Held, Ignored, InboxView, Letter, Returned, Unblocked};
pub use outbox::{Channel, OutboxView, Owed, OwedId, OwedState, Telling, Told};
pub use record::{Archive, Keep, NEVER_PUT_OFF, Record, Side, SpoolState, Spooled};
pub use scribe::{Batch, Book, Inbox, Ready, RecordError, Scribe, Spelled, WeakScribe};
