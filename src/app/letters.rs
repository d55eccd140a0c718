//! The mails of the gateway itself, notices of what is news to a sender (RULES L10) and confirmation mails (L12): worded
//! by `notify`, put into the spool in the same commit as the fact that causes them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::clock::SharedClock;
use crate::config;
use crate::consent::ConsentEvent;
use crate::ledger::{News, Party, Record, Side};
use crate::mail::{Address, Purpose, Reference, Sender};
use crate::message::date_time;
use crate::notify::{self, Confirmation, Digests, Letterhead, Notice};
use crate::relay::{Spool, Tidings, notice};
use crate::secret::{SharedEntropy, random};
use crate::subscribe::{Form, Mails};
use crate::unsubscribe::Notices;

/// Writes news, for whoever has a spool to send it by.
#[derive(Debug)]
pub(super) struct Herald {
    postmaster: Address,
    hostname: String,
    clock: SharedClock,
    entropy: SharedEntropy,
    tell: watch::Receiver<Arc<notify::Settings>>,
    owing: Arc<Notify>,
}

/// The same, with a spool.
#[derive(Debug)]
pub(super) struct Letters {
    spool: Spool,
    herald: Arc<Herald>,
}

impl Letters {
    pub(super) fn new(spool: Spool, herald: Arc<Herald>) -> Self {
        Self { spool, herald }
    }
}

/// What a mail of our own is about.
#[derive(Clone, Copy)]
struct Regarding<'a> {
    /// In the word of its entry.
    about: &'a str,
    /// For whom it is written.
    sender: &'a Sender,
    /// Whom it is From.
    from: &'a Address,
    /// What it asks a consent for.
    asks_for: Option<&'a Purpose>,
}

impl Herald {
    pub(super) fn new(
        settings: &config::Settings,
        clock: SharedClock,
        entropy: SharedEntropy,
        tell: watch::Receiver<Arc<notify::Settings>>,
        owing: Arc<Notify>,
    ) -> Self {
        Self {
            postmaster: settings.postmaster.clone(),
            hostname: settings.name.ascii().to_owned(),
            clock,
            entropy,
            tell,
            owing,
        }
    }

    /// Put one mail into `record`.
    fn post(&self, spool: &Spool, record: &mut Record, notice: Notice, regarding: Regarding<'_>) {
        let Regarding { about, sender, from, asks_for } = regarding;
        let letter = notice::Letter {
            to: notice.to,
            about: about.to_owned(),
            sender: Some(Party { id: sender.id.clone(), name: sender.name.clone() }),
            asks_for: asks_for.cloned(),
            message_id: Some(notice.message_id),
            from: Some(from.clone()),
            bytes: notice.bytes.into(),
        };
        spool.enclose(record, letter, self.clock.now());
    }

    fn id(&self, now: jiff::Timestamp) -> String {
        Reference::new(now, random(&*self.entropy)).to_string()
    }
}

impl Herald {
    /// What is owed for `news`, which is the entry at `place`, to whom `sender` names.
    fn announce(&self, record: &mut Record, place: usize, news: News<'_>, sender: &Sender, spool: &Spool) {
        let now = self.clock.now();
        let settings = self.tell.borrow().clone();
        if !settings.daily_for.contains(&sender.id) {
            let about = if matches!(news, News::Complained(_)) { "complaint" } else { "unsubscribe" };
            let regarding = Regarding { about, sender, from: &self.postmaster, asks_for: None };
            for to in &sender.notify {
                let id = self.id(now);
                let letterhead =
                    Letterhead { postmaster: &self.postmaster, hostname: &self.hostname, id: &id, now };
                if let Some(notice) = notify::at_once(news, sender, to, &letterhead) {
                    self.post(spool, record, notice, regarding);
                }
            }
        }
        owe(record, place, news, sender, &settings, now);
    }
}

/// Add to `record` what is owed for `news`, which is its entry at `place`, besides mails that go at once (RULES L10).
fn owe(
    record: &mut Record,
    place: usize,
    news: News<'_>,
    sender: &Sender,
    settings: &notify::Settings,
    now: jiff::Timestamp,
) {
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    let owed = notify::owed(news, sender, settings, now);
    record.sides.extend(owed.into_iter().map(|owed| Side::Owe(place, Box::new(owed))));
}

/// [`owe`] for the entry of `record` at `place`: a mailbox that works again, or a consent, which `lifts` what stood
/// against its address or does not. Nothing for a sender that `settings` do not know.
pub(super) fn owe_good_news(
    record: &mut Record,
    place: usize,
    lifts: bool,
    settings: &notify::Settings,
    now: jiff::Timestamp,
) {
    // A copy, because what is owed is added to the record that the event stands in.
    let Some(event) = record.events.get(place).cloned() else { return };
    let news = match News::of(&event) {
        Some(News::Consented { what, .. }) => News::Consented { what, lifts },
        Some(news) => news,
        None => return,
    };
    if let Some(sender) = settings.senders.iter().find(|sender| sender.id == *news.sender()) {
        owe(record, place, news, sender, settings, now);
    }
}

impl Tidings for Herald {
    fn tell(&self, record: &mut Record, place: usize, news: News<'_>, spool: &Spool) {
        let senders = self.tell.borrow().senders.clone();
        if let Some(sender) = senders.iter().find(|sender| sender.id == *news.sender()) {
            self.announce(record, place, news, sender, spool);
        }
    }

    fn recorded(&self) {
        self.owing.notify_one();
    }
}

impl Notices for Letters {
    fn compose(&self, news: News<'_>, sender: &Sender) -> Record {
        let mut record = Record::default();
        self.herald.announce(&mut record, 0, news, sender, &self.spool);
        record
    }

    fn pass_on(&self, record: &mut Record, to: &Address, message: Bytes) {
        let now = self.herald.clock.now();
        let received = format!("Received: by {} (Sluis);\r\n\t{}\r\n", self.herald.hostname, date_time(now));
        let letter = notice::Letter {
            to: to.clone(),
            about: "returned".to_owned(),
            sender: None,
            asks_for: None,
            message_id: None,
            from: None,
            bytes: [received.as_bytes(), &message].concat().into(),
        };
        self.spool.enclose(record, letter, now);
    }

    fn recorded(&self) {
        self.spool.wake();
    }
}

impl Digests for Letters {
    fn enclose(
        &self,
        record: &mut Record,
        news: &[(jiff::Timestamp, News<'_>)],
        sender: &Sender,
        to: &Address,
    ) {
        let now = self.herald.clock.now();
        let id = self.herald.id(now);
        let letterhead =
            Letterhead { postmaster: &self.herald.postmaster, hostname: &self.herald.hostname, id: &id, now };
        let notice = notify::digest(news, sender, to, &letterhead);
        let from = &self.herald.postmaster;
        let regarding = Regarding { about: "news of a day", sender, from, asks_for: None };
        self.herald.post(&self.spool, record, notice, regarding);
    }

    fn recorded(&self) {
        self.spool.wake();
    }
}

impl Mails for Letters {
    fn confirmation(&self, form: &Form, to: &Address, link: &str, asked: &ConsentEvent) -> Record {
        let now = self.herald.clock.now();
        let id = self.herald.id(now);
        let letterhead = Letterhead { postmaster: &form.from, hostname: &self.herald.hostname, id: &id, now };
        let confirmation = Confirmation {
            sender: &form.sender,
            purpose: &form.purpose,
            text: &form.text,
            link,
            asked_at: asked.at,
            ip: asked.evidence.ip.as_deref(),
            until: asked.at + form.confirm_within,
            language: form.language,
        };
        let notice = notify::confirmation(&confirmation, to, &letterhead);
        let mut record = Record::default();
        let (sender, from, asks_for) = (&*form.sender, &form.from, Some(&form.purpose));
        let regarding = Regarding { about: "confirmation", sender, from, asks_for };
        self.herald.post(&self.spool, &mut record, notice, regarding);
        record
    }

    fn confirmed(&self, record: &mut Record, place: usize, lifts: bool) {
        let settings = self.herald.tell.borrow().clone();
        owe_good_news(record, place, lifts, &settings, self.herald.clock.now());
    }

    fn recorded(&self) {
        self.spool.wake();
    }
}
