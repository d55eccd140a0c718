//! The mails of the gateway itself, notices of an unsubscribe (RULES L10) and confirmation mails (L12): worded by
//! `notify`, put into the spool in the same commit as the fact that causes them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::clock::SharedClock;
use crate::config;
use crate::consent::ConsentEvent;
use crate::ledger::{News, Party, Record, Side};
use crate::mail::{Address, Reference, Sender};
use crate::message::date_time;
use crate::notify::{self, Confirmation, Digests, Letterhead, Notice};
use crate::relay::{Spool, notice};
use crate::secret::{SharedEntropy, random};
use crate::subscribe::{Form, Mails};
use crate::unsubscribe::Notices;

/// Writes and sends the notices.
#[derive(Debug)]
pub(super) struct Letters {
    spool: Spool,
    postmaster: Address,
    hostname: String,
    clock: SharedClock,
    entropy: SharedEntropy,
    tell: watch::Receiver<Arc<notify::Settings>>,
    owing: Arc<Notify>,
}

impl Letters {
    pub(super) fn new(
        spool: Spool,
        settings: &config::Settings,
        clock: SharedClock,
        entropy: SharedEntropy,
        tell: watch::Receiver<Arc<notify::Settings>>,
        owing: Arc<Notify>,
    ) -> Self {
        Self {
            spool,
            postmaster: settings.postmaster.clone(),
            hostname: settings.name.ascii().to_owned(),
            clock,
            entropy,
            tell,
            owing,
        }
    }
}

impl Letters {
    /// Put one mail From `from` into `record`.
    fn post(&self, record: &mut Record, notice: Notice, about: &str, sender: &Sender, from: &Address) {
        let letter = notice::Letter {
            to: notice.to,
            about: about.to_owned(),
            sender: Some(Party { id: sender.id.clone(), name: sender.name.clone() }),
            message_id: Some(notice.message_id),
            from: Some(from.clone()),
            bytes: notice.bytes.into(),
        };
        self.spool.enclose(record, letter, self.clock.now());
    }

    fn id(&self, now: jiff::Timestamp) -> String {
        Reference::new(now, random(&*self.entropy)).to_string()
    }
}

impl Notices for Letters {
    fn compose(&self, news: News<'_>, sender: &Sender) -> Record {
        let now = self.clock.now();
        let settings = self.tell.borrow().clone();
        let mut record = Record::default();
        if !settings.daily_for.contains(&sender.id) {
            for to in &sender.notify {
                let id = self.id(now);
                let letterhead =
                    Letterhead { postmaster: &self.postmaster, hostname: &self.hostname, id: &id, now };
                if let Some(notice) = notify::at_once(news, sender, to, &letterhead) {
                    self.post(&mut record, notice, "unsubscribe", sender, &self.postmaster);
                }
            }
        }
        let owed = notify::owed(news, sender, &settings, now);
        record.sides.extend(owed.into_iter().map(|owed| Side::Owe(Box::new(owed))));
        record
    }

    fn pass_on(&self, record: &mut Record, to: &Address, message: Bytes) {
        let now = self.clock.now();
        let received = format!("Received: by {} (Sluis);\r\n\t{}\r\n", self.hostname, date_time(now));
        let letter = notice::Letter {
            to: to.clone(),
            about: "returned".to_owned(),
            sender: None,
            message_id: None,
            from: None,
            bytes: [received.as_bytes(), &message].concat().into(),
        };
        self.spool.enclose(record, letter, now);
    }

    fn recorded(&self) {
        self.spool.wake();
        self.owing.notify_one();
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
        let now = self.clock.now();
        let id = self.id(now);
        let letterhead = Letterhead { postmaster: &self.postmaster, hostname: &self.hostname, id: &id, now };
        let notice = notify::digest(news, sender, to, &letterhead);
        self.post(record, notice, "unsubscribes of a day", sender, &self.postmaster);
    }

    fn recorded(&self) {
        self.spool.wake();
    }
}

impl Mails for Letters {
    fn confirmation(&self, form: &Form, to: &Address, link: &str, asked: &ConsentEvent) -> Record {
        let now = self.clock.now();
        let id = self.id(now);
        let letterhead = Letterhead { postmaster: &form.from, hostname: &self.hostname, id: &id, now };
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
        self.post(&mut record, notice, "confirmation", &form.sender, &form.from);
        record
    }

    fn recorded(&self) {
        self.spool.wake();
    }
}
