//! The store as its users see it, the promises by name, and what a failing disk does to it.

mod damage;
mod faults;
mod finding;
mod promises;
mod refold;
mod repair;
mod rewriting;
mod tampering;
mod years;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::ledger::{
    Admitted, AdmittedRecipient, Event, Keep, OutboxView as _, Outcome, SpoolState, Spooled, Unsubscribed,
    Way,
};
use crate::mail::{Address, AddressKey, Class, CopyId, Recipient, Reference, ReversePath, SenderId};
use crate::message::{Piece, Rope};
use crate::policy::{Basis, Register as _};
use crate::relay::{InDoubt, SpoolView as _};
use crate::secret::SystemEntropy;

/// A folder, a clock and a key: what a store needs, kept over restarts.
pub(super) struct Rig {
    pub(super) folder: TempDir,
    pub(super) clock: Arc<ManualClock>,
    pub(super) signer: Signer,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::at(at(0))),
            signer: Signer::generate("poort.voorbeeld.nl", &SystemEntropy).unwrap(),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("sluis.redb")
    }

    pub(super) fn settings(&self) -> Settings {
        Settings::new(self.signer.clone())
    }

    pub(super) fn try_open(&self) -> Result<Store, OpenError> {
        Store::open(&self.path(), self.settings(), self.clock.clone(), Arc::new(SystemEntropy))
    }

    pub(super) fn open(&self) -> Store {
        self.try_open().unwrap()
    }
}

/// So many seconds after the beginning of the test.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_770_000_000 + seconds).unwrap()
}

pub(super) fn sender() -> SenderId {
    SenderId("12345678".to_owned())
}

pub(super) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(super) fn key(text: &str) -> AddressKey {
    address(text).key().clone()
}

pub(super) fn copy(submission: u8, index: u32) -> CopyId {
    CopyId { reference: Reference::from_bytes([submission; 16]), index }
}

pub(super) fn original() -> Bytes {
    let text =
        "Subject: nieuws\r\nFrom: a@voorbeeld.nl\r\n\r\n".to_owned() + &"Hallo allemaal.\r\n".repeat(200);
    Bytes::from(text)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Rope::whole(Bytes::copy_from_slice(bytes)).sha256()
}

/// A copy: a header of its own in front of the original.
pub(super) fn rope(own: &'static str) -> Rope {
    let bytes = original();
    let len = bytes.len();
    Rope::new(bytes, vec![Piece::Own(own.into()), Piece::Original(0..len)]).unwrap()
}

pub(super) fn admitted(copy: CopyId, recipients: &[&str]) -> Event {
    let sent = rope("X-Own: 1\r\n");
    Event::Admitted(Box::new(Admitted {
        copy,
        handover: None,
        tool: None,
        class: Class::Marketing,
        sender: None,
        purpose: None,
        rule: Some("monthly newsletter".to_owned()),
        rules_sha256: "00".to_owned(),
        reverse_path: "nieuws@voorbeeld.nl".to_owned(),
        recipients: recipients
            .iter()
            .map(|one| AdmittedRecipient { recipient: address(one), basis: Basis::NotNeeded, observed: None })
            .collect(),
        message_id: Some("<1@voorbeeld.nl>".to_owned()),
        original_sha256: crate::ledger::tree::Hash(sha256(&original())).to_string(),
        sent_sha256: sent.sha256().iter().map(|byte| format!("{byte:02x}")).collect(),
        size: sent.len() as u64,
        edits: Vec::new(),
        dkim: Vec::new(),
        token: None,
        next_hop: "smtp.example:587".to_owned(),
    }))
}

pub(super) fn outcome(copy: CopyId, recipients: &[&str]) -> Outcome {
    Outcome {
        copy,
        recipients: recipients.iter().map(|one| address(one)).collect(),
        reply: "250 2.0.0 ok".to_owned(),
        next_hop: "smtp.example:587".to_owned(),
        tls: None,
        attempt: 1,
    }
}

pub(super) fn spooled(copy: CopyId, recipients: &[&str], state: SpoolState) -> Spooled {
    Spooled {
        copy,
        class: Class::Marketing,
        sender: Some(sender()),
        purpose: None,
        rule: None,
        reverse_path: ReversePath::Null,
        recipients: recipients.iter().map(|one| Recipient::new(address(one))).collect(),
        ret: None,
        envid: None,
        original_sha256: sha256(&original()),
        eight_bit: false,
        smtputf8: false,
        attempts: u32::from(state == SpoolState::Trying),
        state,
        admitted_at: at(0),
        expires_at: at(100_000),
        last_reply: String::new(),
        account: None,
        delay_told: false,
    }
}

/// The record that admits a copy and puts it into the spool.
pub(super) fn spooling(copy: CopyId, recipients: &[&str], state: SpoolState, keep: Keep) -> Record {
    Record {
        events: vec![admitted(copy, recipients)],
        sides: vec![
            Side::Original { sha256: sha256(&original()), bytes: original() },
            Side::Edits { copy, original_sha256: sha256(&original()), rope: rope("X-Own: 1\r\n"), keep },
            Side::Spool(Box::new(spooled(copy, recipients, state))),
        ],
    }
}

pub(super) fn unsubscribed(who: &str) -> Event {
    Event::Unsubscribed(Unsubscribed {
        sender: sender(),
        address: key(who),
        way: Way::OneClick,
        token: None,
        reference: Some(copy(1, 0).reference),
        purpose: None,
        ip: Some("192.0.2.1".to_owned()),
        user_agent: None,
    })
}

pub(super) fn sound(store: &Store) {
    assert_eq!(store.verify_all(&[]).unwrap().problems, Vec::<String>::new());
}

#[test]
fn entries_are_found_by_reference_address_and_message_id() {
    let rig = Rig::new();
    let store = rig.open();
    store
        .write(vec![
            Record::of(admitted(copy(1, 0), &["bob@example.org", "eva@example.org"])),
            Record::of(admitted(copy(1, 1), &["ann@example.org"])),
            Record::of(Event::Relayed(outcome(copy(1, 0), &["eva@example.org"]))),
            Record::of(Event::Bounced(outcome(copy(1, 0), &["bob@example.org"]))),
            Record::of(unsubscribed("Bob@Example.ORG")),
            Record::of(admitted(copy(2, 0), &["eva@example.org"])),
        ])
        .unwrap();
    let numbers = |found: Vec<Found>| found.iter().map(|one| one.number).collect::<Vec<_>>();
    assert_eq!(numbers(store.by_reference(copy(1, 0).reference, 100).unwrap()), [0, 1, 2, 3, 4]);
    assert_eq!(numbers(store.by_copy(copy(1, 0), 100).unwrap()), [0, 2, 3]);
    assert_eq!(numbers(store.by_address(&key("bob@example.org"), 100).unwrap()), [0, 3, 4]);
    assert_eq!(numbers(store.by_address(&key("eva@example.org"), 100).unwrap()), [0, 2, 5]);
    let by_message =
        |id, limit| store.page(About::MessageId(id), &Window { limit, ..Window::default() }).unwrap().found;
    assert_eq!(numbers(by_message("<1@voorbeeld.nl>", 2)), [0, 1]);
    assert_eq!(by_message("<1@voorbeeld.n>", 9), []);
    assert_eq!(numbers(store.entries(2..4).unwrap()), [2, 3]);
    sound(&store);
}

#[test]
fn an_original_is_stored_once_and_goes_with_the_last_copy_that_needs_it() {
    let rig = Rig::new();
    let store = rig.open();
    let waiting = SpoolState::Waiting { next: at(60) };
    let last = spooling(copy(1, 2), &["c@x.nl"], waiting.clone(), Keep::Hash);
    store
        .write(vec![
            spooling(copy(1, 0), &["a@x.nl"], waiting.clone(), Keep::Full),
            spooling(copy(1, 1), &["b@x.nl"], waiting, Keep::Headers),
            Record { sides: last.sides.into_iter().skip(1).collect(), ..last },
        ])
        .unwrap();
    let sent = rope("X-Own: 1\r\n").to_vec();
    for index in 0..3 {
        let (_, loaded) = store.load(copy(1, index)).unwrap().unwrap();
        assert_eq!(loaded.to_vec(), sent);
        let relayed = Event::Relayed(outcome(copy(1, index), &["a@x.nl", "b@x.nl", "c@x.nl"]));
        store
            .write(vec![Record { events: vec![relayed], sides: vec![Side::Unspool(copy(1, index))] }])
            .unwrap();
        assert_eq!(store.load(copy(1, index)).unwrap(), None);
        sound(&store);
    }
    assert_eq!(store.rebuild(copy(1, 0)).unwrap(), Some(Archived::Whole(rope("X-Own: 1\r\n"))));
    let headers = b"X-Own: 1\r\nSubject: nieuws\r\nFrom: a@voorbeeld.nl\r\n\r\n";
    assert_eq!(store.rebuild(copy(1, 1)).unwrap(), Some(Archived::Headers(Bytes::from_static(headers))));
    assert_eq!(store.rebuild(copy(1, 2)).unwrap(), None);
    assert_eq!((store.count().unwrap(), store.open_copies().unwrap()), (0, 0));

    // Straight through, nothing kept: the original does not even come in.
    let mut record = spooling(copy(2, 0), &["a@x.nl"], SpoolState::Held, Keep::Headers);
    record.sides.pop();
    store.write(vec![record]).unwrap();
    assert!(matches!(store.rebuild(copy(2, 0)).unwrap(), Some(Archived::Headers(_))));
    sound(&store);
}

#[test]
fn the_spool_lists_what_is_due_in_order() {
    let rig = Rig::new();
    let store = rig.open();
    let record = |index, state| spooling(copy(1, index), &["a@x.nl"], state, Keep::Hash);
    store
        .write(vec![
            record(0, SpoolState::Waiting { next: at(30) }),
            record(1, SpoolState::Waiting { next: at(10) }),
            record(2, SpoolState::Held),
            record(3, SpoolState::Waiting { next: at(20) }),
        ])
        .unwrap();
    assert_eq!(store.next_due().unwrap(), Some(at(10)));
    assert_eq!(store.due(at(20), 10).unwrap(), [copy(1, 1), copy(1, 3)]);
    assert_eq!(store.due(at(20), 1).unwrap(), [copy(1, 1)]);
    let trying = spooled(copy(1, 1), &["a@x.nl"], SpoolState::Trying);
    let side = Side::Spool(Box::new(trying.clone()));
    store.write(vec![Record { events: Vec::new(), sides: vec![side] }]).unwrap();
    assert_eq!(store.due(at(100), 10).unwrap(), [copy(1, 3), copy(1, 0)]);
    assert_eq!(store.list(Some(copy(1, 0)), 1).unwrap(), [trying]);
    assert_eq!(store.list(None, 10).unwrap().len(), 4);
    sound(&store);
}

#[test]
fn promise_2_what_a_clock_that_was_ahead_put_off_is_due_once_it_is_right() {
    let rig = Rig::new();
    let store = rig.open();
    let (hour, ten_years) = (3_600, 3_650 * 86_400);
    let owe = |who: &str, next: i64| {
        let owed = crate::ledger::Owed {
            sender: sender(),
            address: key(who),
            channel: crate::ledger::Channel::Webhook("crm".to_owned()),
            state: crate::ledger::OwedState::Waiting { next: at(next) },
            since: at(next),
            attempts: 1,
            last_answer: String::new(),
        };
        Record { events: vec![unsubscribed(who)], sides: vec![Side::Owe(0, Box::new(owed))] }
    };
    let put_off = |index, next| {
        spooling(copy(1, index), &["a@x.nl"], SpoolState::Waiting { next: at(next) }, Keep::Hash)
    };
    let far = ten_years + hour;
    store
        .write(vec![
            put_off(0, hour),
            put_off(1, far),
            put_off(2, 30 * 86_400),
            owe("een@x.nl", far),
            owe("twee@x.nl", hour),
        ])
        .unwrap();
    assert_eq!(store.due(at(0), 10).unwrap(), [copy(1, 1)]);
    assert_eq!(store.due(at(2 * hour), 10).unwrap(), [copy(1, 0), copy(1, 1)]);
    assert_eq!(store.due(at(ten_years), 10).unwrap(), [copy(1, 0), copy(1, 2)], "an hour is no long time");
    let owed = |now| store.owed(at(now), 10).unwrap().into_iter().map(|(id, _)| id.fact).collect::<Vec<_>>();
    assert_eq!((owed(0), owed(2 * hour), owed(ten_years)), (vec![3], vec![4, 3], vec![4]));
    sound(&store);
}

#[test]
fn a_store_that_cannot_be_opened_says_why() {
    let rig = Rig::new();
    let store = rig.open();
    assert_eq!(rig.try_open().unwrap_err(), OpenError::Locked { path: rig.path() });
    store.write(vec![Record::of(unsubscribed("bob@example.org"))]).unwrap();
    drop(store);
    let other = Signer::generate("andere", &SystemEntropy).unwrap();
    let open = |path: &Path, signer: &Signer| {
        Store::open(path, Settings::new(signer.clone()), rig.clock.clone(), Arc::new(SystemEntropy))
    };
    assert!(matches!(open(&rig.path(), &other), Err(OpenError::Origin { .. })));

    let text = rig.folder.path().join("text");
    std::fs::write(&text, "this is no store\n".repeat(1000)).unwrap();
    assert!(matches!(open(&text, &other), Err(OpenError::NotAStore { .. })));
    let foreign = rig.folder.path().join("foreign");
    {
        let database = Database::create(&foreign).unwrap();
        let writing = database.begin_write().unwrap();
        writing.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap().insert(1, 2).unwrap();
        writing.commit().unwrap();
    }
    assert!(matches!(open(&foreign, &other), Err(OpenError::NotAStore { .. })));
    let nowhere = rig.folder.path().join("no/folder");
    assert!(matches!(open(&nowhere, &other), Err(OpenError::Io { .. })));
    {
        let database = Database::create(rig.path()).unwrap();
        let writing = database.begin_write().unwrap();
        writing.open_table(tables::META).unwrap().insert("format", &[9u8][..]).unwrap();
        writing.commit().unwrap();
    }
    let error = rig.try_open().unwrap_err();
    assert!(matches!(&error, OpenError::Version { found, .. } if found == "9"), "{error}");
    let bytes = std::fs::read(rig.path()).unwrap();
    std::fs::write(rig.path(), &bytes[..bytes.len() / 2]).unwrap();
    let error = rig.try_open().unwrap_err();
    assert!(matches!(error, OpenError::Corrupted { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::new();
    drop(rig.open());
    assert_eq!(std::fs::metadata(rig.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_wait_share_commits() {
    let rig = Rig::new();
    let store = rig.open();
    let (scribe, closing) = store.start().unwrap();
    let before = store.writer().commits();
    let tasks: Vec<_> = (0..200u32)
        .map(|index| {
            let scribe = scribe.clone();
            tokio::spawn(async move {
                let record = Record::of(admitted(copy(1, index), &["a@x.nl"]));
                scribe.record(record).await.unwrap()
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(task.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>(), "each record has its own number");
    let commits = store.writer().commits() - before;
    assert!(commits <= 100, "{commits} commits for 200 records that came at once");
    drop(scribe);
    tokio::task::spawn_blocking(move || closing.join()).await.unwrap();
    assert_eq!(store.latest_checkpoint().unwrap().map(|(size, _)| size), Some(200), "signed on closing");
    sound(&store);
}

#[test]
fn a_checkpoint_is_signed_once_a_minute_while_anything_happens() {
    let rig = Rig::new();
    let store = rig.open();
    let fact = || vec![Record::of(unsubscribed("bob@example.org"))];
    store.write(fact()).unwrap();
    store.write(fact()).unwrap();
    assert_eq!(store.latest_checkpoint().unwrap(), None);
    rig.clock.set(at(60));
    store.write(fact()).unwrap();
    let size = || store.latest_checkpoint().unwrap().map(|(size, _)| size);
    assert_eq!((size(), store.size().unwrap()), (Some(3), 4));
    store.checkpoint().unwrap();
    assert_eq!(store.size().unwrap(), 4, "nothing happened: nothing to sign");
    store.write(fact()).unwrap();
    store.checkpoint().unwrap();
    assert_eq!((size(), store.size().unwrap()), (Some(5), 6));
    rig.clock.set(at(-1_000));
    store.write(fact()).unwrap();
    assert_eq!(size(), Some(7), "a clock that jumps back does not stop the checkpoints");
    sound(&store);
    drop(store);
    let store = rig.open();
    store.checkpoint().unwrap();
    assert_eq!(store.size().unwrap(), 8, "a restart alone is nothing to sign");
}
