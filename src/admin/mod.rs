//! Local control: what the commands of the command line ask of a gateway.
//!
//! While the gateway runs, it holds the store, so every command that reads or writes state talks to a
//! Unix socket in the data folder ([`serve`], [`Client`]); when none runs, the command opens the store
//! itself and calls the same [`handle`]. One request and one answer are one JSON line each, of bounded length.
//! Only the user that the gateway runs as (and root) gets in: the socket has mode 0600 and the peer's user id
//! is asked of the kernel.
//!
//! A row of an import is judged here and nowhere else (RULES L19): [`handle`] checks it, skips what is on
//! record already, and writes the rest of its batch in one record, so that a batch is in or out. Changes go
//! through `ledger::Scribe` like any other; reads through the traits below, because this room does not know
//! the store. Deliberately absent: parsing of files (the command line's) and access over a network.

mod explain;
mod handle;
mod inbox;
mod ledger;
mod outbox;
mod queue;
mod recall;
mod rows;
mod socket;
#[cfg(test)]
mod tests;
mod text;
mod undo;
mod wire;

use std::any::Any;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

pub use handle::handle;
pub use ledger::{HoldLine, LedgerAnswer, LedgerRequest, PackFile, SentMessage};
pub use socket::{Client, ClientError, Listener, serve};
pub use wire::{
    Answer, ConsentLine, ConsentRow, CopyLine, CustomerRow, Explain, Explained, Filed, Import, ImportLine,
    Imported, LetterLine, MAX_PAGE, MAX_ROWS, MailboxRow, OwedAction, OwedLine, ProfileView, PublishedRow,
    Query, QueueAction, RegisterRow, Reject, Request, Row, Status, Subject, SubjectError, SuppressionRow,
    Tally, TextRow, Undone, Verified,
};

use crate::clock::{SharedClock, Timestamp};
use crate::ledger::consistency::Consistency;
use crate::ledger::keeping::Erasure;
use crate::ledger::{EntryNumber, Fact, InboxView, OutboxView, Record, Scribe, Suppressed};
use crate::mail::{Address, AddressKey, CopyId, Language, SenderId};
use crate::policy::{Profile, Register, Rules, Unavailable};
use crate::relay::SpoolView;

/// What requests are answered from; clones share it.
#[derive(Debug, Clone)]
pub struct Services {
    /// The pen.
    pub scribe: Scribe,
    /// What is on record for an address.
    pub register: Arc<dyn Register>,
    /// The ledger, to read.
    pub books: Arc<dyn Books>,
    /// The spool, to read.
    pub spool: Arc<dyn SpoolView>,
    /// What is owed to those who must know, to read.
    pub outbox: Arc<dyn OutboxView>,
    /// Mails that wait for a person, to read.
    pub inbox: Arc<dyn InboxView>,
    /// Who takes mail to the unsubscribe address; `None` when no gateway runs.
    pub mailbox: Option<Arc<dyn Mailbox>>,
    /// The running gateway, or what stands for it when none runs.
    pub control: Arc<dyn Control>,
    /// The time.
    pub clock: SharedClock,
}

/// A fact, and of whom it is.
pub type Owned = (SenderId, AddressKey, Fact);

/// Reads the ledger. Implemented by `app` for the store.
pub trait Books: Send + Sync + std::fmt::Debug {
    /// A page of up to `limit` entries, in order, and where to go on (`after`); `None` when there is no more.
    fn entries(
        &self,
        query: &Query,
        after: Option<EntryNumber>,
        limit: usize,
    ) -> Result<(Vec<Filed>, Option<EntryNumber>), Unavailable>;
    /// Up to `limit` addresses of the register in order of sender and address, after `after`; of `sender` only, if
    /// given.
    fn register(
        &self,
        sender: Option<&SenderId>,
        after: Option<&(SenderId, AddressKey)>,
        limit: usize,
    ) -> Result<Vec<(SenderId, AddressKey, Profile)>, Unavailable>;
    /// Up to `limit` suppressions in order of sender and address, after `after`; of `sender` only, if given.
    fn suppressions(
        &self,
        sender: Option<&SenderId>,
        after: Option<&(SenderId, AddressKey)>,
        limit: usize,
    ) -> Result<Vec<Suppressed>, Unavailable>;
    /// What was refused (or, `observed`, would have been) from `from` on and before `to`, in a bounded stretch
    /// of the ledger after number `after`; and where that ended, when there is more.
    fn refusals(
        &self,
        from: Timestamp,
        to: Timestamp,
        observed: bool,
        after: Option<EntryNumber>,
    ) -> Result<(Vec<Tally>, Option<EntryNumber>), Unavailable>;
    /// At most `limit` imports, after the one with the id `after`.
    fn imports(&self, after: Option<&str>, limit: usize) -> Result<Vec<ImportLine>, Unavailable>;
    /// The import with this id.
    fn import(&self, id: &str) -> Result<Option<ImportLine>, Unavailable>;
    /// What the import `id` added, at most `most` facts, in at most `stretch` entries from number `from` to before
    /// `end`; and where that ended, when there is more.
    fn facts_of(
        &self,
        id: &str,
        range: std::ops::Range<EntryNumber>,
        stretch: usize,
        most: usize,
    ) -> Result<(Vec<Owned>, Option<EntryNumber>), Unavailable>;
    /// Up to `limit` texts, by their SHA-256 (hex), after `after`.
    fn texts(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, String)>, Unavailable>;
    /// The number of the entry that holds the consent text with this SHA-256 (hex).
    fn consent_text(&self, sha256: &str) -> Result<Option<EntryNumber>, Unavailable>;
    /// The evidence pack of the entries asked for, as a file that whoever asks takes away; `None` when there are none.
    /// Its page is in `language`, or in that of the sender it is about.
    fn pack(&self, query: &Query, language: Option<Language>) -> Result<Option<PackFile>, Unavailable>;
    /// Check the whole ledger against itself (leaves, roots, checkpoints, counts, projections, spool) and against
    /// checkpoints from outside.
    fn verify(&self, anchors: &[String]) -> Result<Verified, Unavailable>;
    /// How many entries a check that runs now has looked at, and of how many.
    fn progress(&self) -> Option<(u64, u64)>;
    /// The newest checkpoint; `None` before there is any.
    fn checkpoint(&self) -> Result<Option<String>, Unavailable>;
    /// The proof between two checkpoints, the newest where no later one is given; the inner error says why a
    /// note given is none of this ledger's.
    fn consistency(&self, old: &str, new: Option<&str>) -> Result<Result<Consistency, String>, Unavailable>;
    /// The holds that stand, in order.
    fn holds(&self) -> Result<Vec<HoldLine>, Unavailable>;
    /// Purge what is due; how many entries went.
    fn purge(&self) -> Result<u64, Unavailable>;
    /// Erase one person, or tell what that would do; with the SHA-256 (hex) of the originals of imports that facts
    /// about the person came from.
    fn erase(&self, address: &AddressKey, dry_run: bool) -> Result<(Erasure, Vec<String>), Unavailable>;
    /// Copy the store to `file` and check the copy; the inner error says why there is none.
    fn backup(&self, file: &Path) -> Result<Result<Verified, String>, Unavailable>;
    /// What is kept of the newest copy that `to` got; `None` when no such copy was admitted.
    fn message(&self, query: &Query, to: &AddressKey) -> Result<Option<SentMessage>, Unavailable>;
    /// How many entries there are.
    fn entry_count(&self) -> Result<u64, Unavailable>;
}

/// The running gateway.
pub trait Control: Send + Sync + std::fmt::Debug {
    /// The rules in force.
    fn rules(&self) -> Arc<Rules>;
    /// What it does now; `None` when no gateway runs. Spool and entries are counted by the caller.
    fn status(&self) -> Option<Status>;
    /// Read the config file again and take it whole or not at all; the error says what is wrong with it.
    fn reload(&self) -> Result<String, String>;
    /// Keep the spool's worker away from `copy` for as long as the claim lives; `None` while it is trying it.
    fn claim(&self, copy: CopyId) -> Option<Claim>;
    /// Something in the spool or the outbox changed: have its worker look.
    fn wake(&self);
    /// Add to `record` what is owed to whom because its entry at `place` lifts a block or an unsubscribe (RULES L10).
    fn tell_lifted(&self, record: &mut Record, place: usize) -> Result<(), Unavailable>;
    /// An administrator wants a copy tried, so a next hop that was down may be there again: nobody leaves it alone now.
    fn rouse(&self);
}

/// Something that takes its time; the text says what was done, or why it was not.
pub type Doing<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// The unsubscribe address of a running gateway.
pub trait Mailbox: Send + Sync + std::fmt::Debug {
    /// Take one mail, which came from `<>` if `null_path` says so, to `recipient` if that is known; what it asks for is durable when this is done.
    fn take(&self, null_path: bool, recipient: Option<Address>, message: Vec<u8>) -> Doing<'_>;
    /// Unsubscribe `address`, or else whoever the mail of entry `number` is from, and answer that mail.
    fn answer(&self, number: EntryNumber, address: Option<Address>, sender: SenderId) -> Doing<'_>;
}

/// The sole right to change one copy in the spool, until it is dropped.
pub struct Claim(
    /// What is dropped with it.
    pub Box<dyn Any + Send>,
);

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claim")
    }
}
