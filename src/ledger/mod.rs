//! The ledger: every fact, once, in an order nobody can change unseen (promise 8).
//!
//! [`Scribe`] is **the one pen**: every change anywhere is a [`Record`] handed to `Scribe::record`, and
//! what it returns is durable. A record is an [`Event`] (the entry: one JSON object that a judge can
//! read) and what must become durable in the same commit ([`Side`]: originals, spool copies). Entries are
//! leaves of an RFC 6962 tree, `SHA-256(0x00 ‖ salt ‖ bytes)`; [`checkpoint`] signs its root as a C2SP
//! note. The store implements [`Book`] and owns the disk; this room never names it.

pub mod checkpoint;
pub mod codec;
pub mod consistency;
mod counts;
mod event;
pub mod keeping;
pub mod pack;
mod page;
pub mod pieces;
mod scribe;
pub mod tree;
pub mod verify;

pub use counts::Counts;
pub use event::{
    Admitted, AdmittedRecipient, Anchored, Consented, DkimSigned, Entry, EntryNumber, Event, Handover, KeyInForce,
    KeyUse, Kind, Outcome, Party, Publication, RefusedRecipient, Related, Stage, Suppressed, Unsubscribed,
    Way, head,
};
pub use scribe::{
    Archive, Batch, Book, Inbox, Keep, Ready, Record, RecordError, Scribe, Side, Spelled, SpoolState,
    Spooled, WeakScribe,
};
