//! Requests and answers as they stand in the JSON lines.

// Long because it is one vocabulary: requests, answers and what they hold, each a few lines, read side by side.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ledger::{LedgerAnswer, LedgerRequest, PackFile};
use crate::consent::{ConsentEvent, ConsentEventKind, Evidence, Grade, Published, Relation};
use crate::ledger::{
    Counts, EntryNumber, ImportBegun, ImportEnded, ImportUndone, KeptFile, OwedId, Suppressed,
};
use crate::mail::{Address, AddressKey, CopyId, Language, Purpose, Reference, SenderId};
use crate::policy::Step;
use crate::suppression::{Reason, Suppression};

/// Rows of one import request.
pub const MAX_ROWS: usize = 1_000;
/// Items of one page of an answer.
pub const MAX_PAGE: usize = 1_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Take rows into the register.
    Import(Import),
    /// A file is about to be taken in.
    BeginImport(ImportBegun),
    /// It was taken in to its end.
    EndImport(ImportEnded),
    /// A page of imports.
    Imports {
        /// The last one of the page before.
        after: Option<String>,
        /// At most [`MAX_PAGE`].
        limit: usize,
    },
    /// Take back what an import added, a stretch of the ledger at a time.
    Undo {
        /// Its id.
        id: String,
        /// Opt-outs, too.
        opt_outs: bool,
        /// Only tell what would be taken back.
        dry_run: bool,
        /// Where the stretch before ended.
        after: Option<EntryNumber>,
    },
    /// All stretches were taken back.
    EndUndo(ImportUndone),
    /// What is on record for an address.
    Show {
        /// The address.
        address: Address,
        /// Name or id of a sender; all senders of the config when absent.
        sender: Option<String>,
    },
    /// Why a message may or may not go to one recipient.
    Explain(Box<Explain>),
    /// What was refused, or would have been under observe: a stretch of the ledger, counted.
    Refusals {
        /// From then on, UTC.
        from: Timestamp,
        /// Before then.
        to: Timestamp,
        /// What enforcement would have refused, rather than what was refused.
        observed: bool,
        /// Where the stretch before ended.
        after: Option<EntryNumber>,
    },
    /// Put a consent text or a privacy text on record.
    AddText(Box<TextRow>),
    /// A page of texts.
    Texts {
        /// SHA-256 (hex) of the last one of the page before.
        after: Option<String>,
        /// At most [`MAX_PAGE`].
        limit: usize,
    },
    /// A page of the register.
    Register {
        /// Name or id of a sender; all when absent.
        sender: Option<String>,
        /// The last one of the page before.
        after: Option<(SenderId, AddressKey)>,
        /// At most [`MAX_PAGE`].
        limit: usize,
    },
    /// A page of suppressions.
    Suppressions {
        /// Name or id of a sender; all when absent.
        sender: Option<String>,
        /// The last one of the page before.
        after: Option<(SenderId, AddressKey)>,
        /// At most [`MAX_PAGE`].
        limit: usize,
    },
    /// A page of entries.
    Entries {
        /// Which.
        query: Query,
        /// Where the page before said to go on.
        after: Option<EntryNumber>,
        /// At most [`MAX_PAGE`].
        limit: usize,
    },
    /// The evidence pack.
    Pack {
        /// With which entries.
        query: Query,
        /// The language of its page; that of the sender when absent.
        #[serde(default)]
        language: Option<Language>,
    },
    /// About the ledger as a whole.
    Ledger(LedgerRequest),
    /// A page of the spool.
    Queue {
        /// The last one of the page before.
        after: Option<CopyId>,
        /// At most [`MAX_PAGE`].
        limit: usize,
    },
    /// One copy in the spool.
    Copy {
        /// Which.
        copy: CopyId,
    },
    /// Do something to one copy in the spool.
    Change {
        /// Which.
        copy: CopyId,
        /// What.
        action: QueueAction,
    },
    /// A page of what is owed to those who must know.
    Outbox {
        /// The last one of the page before.
        after: Option<OwedId>,
        /// At most [`MAX_PAGE`].
        limit: usize,
    },
    /// Do something to one telling that is owed.
    Settle {
        /// Which.
        telling: OwedId,
        /// What.
        action: OwedAction,
    },
    /// Take a mail to the unsubscribe address.
    Mail {
        /// Whether it came from `<>`.
        null_path: bool,
        /// To whom it was, if that is known.
        recipient: Option<Address>,
        /// The message, base64.
        message: String,
    },
    /// A mailbox that was blocked works after all.
    Unblock {
        /// Whose.
        address: Address,
        /// Name or id of the sender; the only one of the config when absent.
        sender: Option<String>,
        /// How that is known.
        why: String,
    },
    /// A page of the mails that wait for a person.
    Inbox {
        /// The last one of the page before.
        after: Option<EntryNumber>,
        /// At most [`MAX_PAGE`].
        limit: usize,
    },
    /// One of them, with its text.
    Letter {
        /// Which.
        letter: EntryNumber,
    },
    /// Unsubscribe whoever it is from, and answer it.
    Leave {
        /// Which.
        letter: EntryNumber,
        /// Another address than that in From.
        address: Option<Address>,
        /// Name or id of the sender; the only one of the config when absent.
        sender: Option<String>,
    },
    /// Answer it without unsubscribing anybody.
    File {
        /// Which.
        letter: EntryNumber,
    },
    /// What the gateway does now.
    Status,
    /// Read the config file again.
    Reload,
}

/// A message that is asked about, as far as it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// The From address; with `message`, that of its header counts.
    pub from: Option<Address>,
    /// The recipient.
    pub to: Address,
    /// MAIL FROM; the From address when absent, empty for the null path.
    pub envelope_from: Option<String>,
    /// The message itself, base64.
    pub message: Option<String>,
    /// The account it would be handed over by.
    pub account: Option<String>,
    /// The senders that the account is bound to.
    pub senders: Vec<SenderId>,
    /// Where it would be handed over from.
    pub ip: IpAddr,
}

/// A decision and the way to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// `forward`, `refuse` or `defer`.
    pub decision: String,
    /// Whether this gateway only observes: then what would be refused goes.
    pub observe: bool,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The basis, the reason of the refusal, or why it cannot be decided.
    pub why: String,
    /// Of a refusal: the RULES number.
    pub number: Option<String>,
    /// Of a refusal: the law behind it.
    pub law: Option<String>,
    /// Of a refusal: what would make it pass.
    pub remedy: Option<String>,
    /// The way to it.
    pub steps: Vec<Step>,
}

/// How often one clause stood in the way of one rule's mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The rule that decided.
    pub rule: Option<String>,
    /// The sender's name.
    pub sender: Option<String>,
    /// The clause in one word.
    pub clause: String,
    /// Its RULES number.
    pub number: String,
    /// Recipients.
    pub count: u64,
}

/// Rows to be taken into the register, all in one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Where they come from: `cli`, or a file name with the SHA-256 of the file.
    pub source: String,
    /// Whether they stand in a file: then whoever hands it over vouches for them, and they lift no opt-out
    /// (RULES L19).
    #[serde(default)]
    pub from_file: bool,
    /// Judge only, write nothing.
    pub dry_run: bool,
    /// Consent texts as they were shown; rows refer to them by position.
    #[serde(default)]
    pub texts: Vec<String>,
    /// At most [`MAX_ROWS`].
    pub rows: Vec<Row>,
}

/// A text that people are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextRow {
    /// The text.
    pub text: String,
    /// What it asks consent for.
    pub purpose: Option<Purpose>,
    /// Name or id of the sender; the only one of the config when absent.
    pub sender: Option<String>,
    /// Whether it is a privacy text: it asks nothing, so nothing is asked of it.
    pub privacy: bool,
    /// Judge only, write nothing.
    pub dry_run: bool,
}

/// One fact to be taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// A consent event.
    Consent(ConsentRow),
    /// A customer relation.
    Customer(CustomerRow),
    /// A published business address.
    Published(PublishedRow),
    /// A suppression.
    Suppression(SuppressionRow),
    /// A mailbox that does not work.
    Mailbox(MailboxRow),
}

/// One consent event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRow {
    /// Line in the file it stands on.
    pub line: u64,
    /// Whose.
    pub address: Address,
    /// Name or id of the sender; the only one of the config when absent.
    pub sender: Option<String>,
    /// What for.
    pub purpose: Purpose,
    /// What happened.
    pub kind: ConsentEventKind,
    /// When it happened.
    pub at: Timestamp,
    /// Position of the consent text in [`Import::texts`]; its hash then becomes the evidence's.
    pub text: Option<usize>,
    /// How it is known.
    pub evidence: Evidence,
    /// Files that show it, kept already.
    #[serde(default)]
    pub files: Vec<KeptFile>,
}

/// One customer relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerRow {
    /// Line in the file it stands on.
    pub line: u64,
    /// Whose.
    pub address: Address,
    /// Name or id of the sender; the only one of the config when absent.
    pub sender: Option<String>,
    /// The product group bought.
    pub product: String,
    /// The last transaction or the end of the contract.
    pub last_purchase: Timestamp,
    /// Whether opting out was offered when the address was taken.
    pub opt_out_offered: bool,
    /// Whether the customer gave the address in the sale.
    pub given_in_sale: bool,
    /// Order or contract number.
    pub source: Option<String>,
}

/// One published business address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedRow {
    /// Line in the file it stands on.
    pub line: u64,
    /// Whose.
    pub address: Address,
    /// Name or id of the sender; the only one of the config when absent.
    pub sender: Option<String>,
    /// What it may be mailed about.
    pub purpose: Purpose,
    /// The page.
    pub url: String,
    /// The sentence on it that says what the address is for.
    pub quote: String,
    /// When the page was captured.
    pub captured_at: Timestamp,
    /// SHA-256 (hex) of the page as it was captured.
    pub page_sha256: String,
    /// When it must be looked at again; 12 months after the capture when absent.
    pub review_by: Option<Timestamp>,
}

/// One suppression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionRow {
    /// Line in the file it stands on.
    pub line: u64,
    /// Whose.
    pub address: Address,
    /// Name or id of the sender; the only one of the config when absent.
    pub sender: Option<String>,
    /// Why.
    pub reason: Reason,
    /// Since when; an opt-out is not lost for its date, and without one it counts from now.
    pub since: Option<Timestamp>,
    /// Where it is known from.
    pub source: String,
}

/// One mailbox that does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxRow {
    /// Line in the file it stands on.
    pub line: u64,
    /// Whose.
    pub address: Address,
    /// Name or id of the sender; the only one of the config when absent.
    pub sender: Option<String>,
    /// Since when; now when absent.
    pub since: Option<Timestamp>,
    /// Where it is known from.
    pub source: String,
}

/// Which entries: about what, and of which time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// About what.
    pub subject: Subject,
    /// Written at or after this moment.
    pub since: Option<Timestamp>,
    /// Written before this moment.
    pub until: Option<Timestamp>,
}

impl From<Subject> for Query {
    /// Of any time.
    fn from(subject: Subject) -> Self {
        Self { subject, since: None, until: None }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.subject.fmt(f)?;
        if let Some(since) = self.since {
            write!(f, " since {since}")?;
        }
        if let Some(until) = self.until {
            write!(f, " until {until}")?;
        }
        Ok(())
    }
}

/// What a request is about: an address, a submission, a copy, a Message-ID, or one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A mailbox.
    Address(AddressKey),
    /// Our reference of a submission.
    Reference(Reference),
    /// One copy of a submission.
    Copy(CopyId),
    /// A Message-ID with its angle brackets.
    MessageId(String),
    /// One entry by its number.
    Entry(EntryNumber),
    /// Whatever there is.
    Everything,
}

/// A text that is no subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no address, no reference of ours, no Message-ID in <…> and no entry number; \
     write klant@example.nl, <id@example.nl> or a reference from the log"
)]
pub struct SubjectError(pub String);

impl std::str::FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let text = text.trim();
        if text.starts_with('<') && text.ends_with('>') {
            return Ok(Self::MessageId(text.to_owned()));
        }
        if let Ok(number) = text.trim_start_matches('#').parse() {
            return Ok(Self::Entry(number));
        }
        if let Ok(reference) = Reference::parse(text) {
            return Ok(Self::Reference(reference));
        }
        if let Ok(copy) = CopyId::parse(text) {
            return Ok(Self::Copy(copy));
        }
        Address::parse(text)
            .map(|address| Self::Address(address.key().clone()))
            .map_err(|_| SubjectError(text.to_owned()))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Reference(reference) => reference.fmt(f),
            Self::Copy(copy) => copy.fmt(f),
            Self::MessageId(id) => f.write_str(id),
            Self::Entry(number) => write!(f, "#{number}"),
            Self::Everything => f.write_str("everything"),
        }
    }
}

/// What can be done to a copy in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueAction {
    /// Try it now; releases a held one.
    Retry,
    /// Keep it until `retry` or `drop`.
    Hold,
    /// Give it up, without a DSN.
    Drop,
}

/// What can be done to a telling that is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwedAction {
    /// Tell it now; a dead one gets its whole time again.
    Retry,
    /// Give it up.
    Drop,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// What became of the rows.
    Imported(Imported),
    /// A page of imports; the last page is shorter than was asked for.
    Imports {
        /// In order of their ids, which is that of time.
        imports: Vec<ImportLine>,
    },
    /// What became of one stretch of an undoing.
    Undone(Undone),
    /// What is on record, one for each sender.
    Profiles {
        /// In the order of the config.
        profiles: Vec<ProfileView>,
    },
    /// A decision and the way to it.
    Explained(Explained),
    /// A stretch of the ledger, counted.
    Refusals {
        /// What was found in it, in no order.
        tallies: Vec<Tally>,
        /// Where it ended, when there is more.
        next: Option<EntryNumber>,
    },
    /// What became of a text.
    Text {
        /// What is wrong with it, the worst first.
        faults: Vec<String>,
        /// Whether it was refused for that.
        refused: bool,
        /// Whether it was on record before.
        already: bool,
    },
    /// A page of texts; the last page is shorter than was asked for.
    Texts {
        /// SHA-256 (hex) and text, in order of the hashes.
        texts: Vec<(String, String)>,
    },
    /// A page of the register; the last page is shorter than was asked for.
    Register {
        /// In order of sender and address.
        rows: Vec<RegisterRow>,
    },
    /// A page of suppressions; the last page is shorter than was asked for.
    Suppressions {
        /// In order of sender and address.
        suppressions: Vec<Suppressed>,
    },
    /// A page of entries.
    Entries {
        /// In order.
        entries: Vec<Filed>,
        /// Where to go on; `None` on the last page.
        next: Option<EntryNumber>,
    },
    /// An evidence pack.
    Pack(PackFile),
    /// About the ledger as a whole.
    Ledger(LedgerAnswer),
    /// A page of the spool; the last page is shorter than was asked for.
    Queue {
        /// In order of id.
        copies: Vec<CopyLine>,
    },
    /// A page of the inbox, or one mail; the last page is shorter than was asked for.
    Inbox {
        /// In order.
        letters: Vec<LetterLine>,
    },
    /// A page of the outbox; the last page is shorter than was asked for.
    Outbox {
        /// In order of id.
        tellings: Vec<OwedLine>,
    },
    /// It was done; what to tell.
    Done {
        /// One line.
        text: String,
    },
    /// What the gateway does.
    Status(Status),
    /// It was not done.
    Failed {
        /// One line.
        error: String,
    },
}

/// What became of the rows of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Rows that were written (or would be).
    pub added: u64,
    /// Rows whose fact was on record before.
    pub already: u64,
    /// Rows that were not taken.
    pub rejected: Vec<Reject>,
    /// What somebody should look at.
    pub notes: Vec<String>,
}

/// An import, for a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportLine {
    /// Its id.
    pub id: String,
    /// When it began.
    pub at: Timestamp,
    /// What it was read as.
    pub format: String,
    /// Name of the file.
    pub file: String,
    /// Its SHA-256, under which it is kept.
    pub sha256: String,
    /// The entry that says that it begins.
    pub begun: EntryNumber,
    /// The entry that says that it ended.
    pub ended: Option<EntryNumber>,
    /// Facts added, facts that were there, rows rejected; `None` while it is not finished.
    pub result: Option<(u64, u64, u64)>,
    /// Whether it was undone.
    pub undone: bool,
}

/// What became of one stretch of an undoing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// Facts that were taken back, or would be.
    pub taken_back: u64,
    /// Opt-outs that stay.
    pub kept: u64,
    /// Where the stretch ended, when there is more.
    pub next: Option<EntryNumber>,
}

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Line in the file.
    pub line: u64,
    /// Why, beginning with the RULES number.
    pub why: String,
}

/// What is on record for one address with one sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileView {
    /// The sender's id.
    pub sender: SenderId,
    /// Its name.
    pub name: String,
    /// One line per purpose.
    pub consents: Vec<ConsentLine>,
    /// Purchases.
    pub relations: Vec<Relation>,
    /// Publications of the address, each with what it may be mailed about.
    pub published: Vec<(Purpose, Published)>,
    /// Suppressions, of the base address too.
    pub suppressions: Vec<Suppression>,
    /// The answer of the next hop that blocked it, if it is blocked.
    pub blocked: Option<String>,
}

/// One address in the register of one sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterRow {
    /// Whose.
    pub address: AddressKey,
    /// What is on record under this very address.
    pub profile: ProfileView,
}

/// A consent history and what it comes to today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentLine {
    /// What for.
    pub purpose: Purpose,
    /// `none`, `requested`, `granted`, `withdrawn` or `expired`.
    pub state: String,
    /// The grade of a consent that stands.
    pub grade: Option<Grade>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The history.
    pub events: Vec<ConsentEvent>,
}

/// An entry as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filed {
    /// Its number.
    pub number: EntryNumber,
    /// Its exact bytes, one JSON object; `None` once it was erased.
    pub json: Option<String>,
}

/// What checking the ledger found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Entries that were read.
    pub entries: u64,
    /// Of those, erased: only their leaf hash is left.
    pub erased: u64,
    /// Recipients by fate.
    pub counts: Counts,
    /// Checkpoints that were checked.
    pub checkpoints: u64,
    /// Files beside the store that are what the entries say; in a backup, those that are in it.
    #[serde(default)]
    pub files: u64,
    /// What differs; empty when all is well. Of a backup, the files that are not in it.
    pub findings: Vec<String>,
    /// What somebody should know.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A copy in the spool, for a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyLine {
    /// Its id.
    pub copy: CopyId,
    /// Its class.
    pub class: String,
    /// MAIL FROM, empty for the null path.
    pub reverse_path: String,
    /// Recipients that still wait.
    pub recipients: Vec<Address>,
    /// `trying`, `waiting` or `held`.
    pub state: String,
    /// When it is tried next.
    pub next: Option<Timestamp>,
    /// Tries so far.
    pub attempts: u32,
    /// When it came.
    pub admitted_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// The last failure.
    pub last_reply: String,
}

/// A mail that waits for a person, for a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterLine {
    /// The entry that says so.
    pub letter: EntryNumber,
    /// When it came.
    pub at: Timestamp,
    /// Who says it is from them.
    pub from: Option<Address>,
    /// Its subject.
    pub subject: String,
    /// Why a person has to.
    pub why: String,
    /// Its beginning, when it was asked for.
    pub text: Option<String>,
}

/// A telling that is owed, for a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedLine {
    /// Its id.
    pub telling: OwedId,
    /// Whom, and how.
    pub channel: String,
    /// From which sender somebody unsubscribed.
    pub sender: SenderId,
    /// Who.
    pub address: AddressKey,
    /// `waiting` or `dead`.
    pub state: String,
    /// When it is told next, once what is owed before it is.
    pub next: Option<Timestamp>,
    /// When it began to be owed.
    pub since: Timestamp,
    /// Tries so far.
    pub attempts: u32,
    /// What the last try was answered.
    pub last_answer: String,
}

/// What a gateway does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Host name.
    pub name: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Hash of the rules in force.
    pub rules_sha256: String,
    /// Since when it runs.
    pub since: Timestamp,
    /// What it listens on, as `smtp 127.0.0.1:2525`.
    pub listeners: Vec<String>,
    /// Sessions that are open.
    pub sessions: u64,
    /// The next hop.
    pub next_hop: String,
    /// Whether the unsubscribe endpoint answers its own health check.
    pub unsubscribe_healthy: bool,
    /// What is wrong when it does not.
    #[serde(default)]
    pub unsubscribe_fault: Option<String>,
    /// Copies in the spool.
    pub spool: u64,
    /// Entries in the ledger.
    pub entries: u64,
}
