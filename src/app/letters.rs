//! The notices of an unsubscribe (RULES L10): worded by `notify`, put into the spool in the same commit as
//! the unsubscribe itself.

use crate::clock::SharedClock;
use crate::config;
use crate::ledger::{Party, Record, Unsubscribed};
use crate::mail::{Address, Reference, Sender};
use crate::notify::{self, Letterhead};
use crate::relay::{Spool, notice};
use crate::secret::{SharedEntropy, random};
use crate::unsubscribe::Notices;

/// Writes and sends the notices.
#[derive(Debug)]
pub(super) struct Letters {
    spool: Spool,
    postmaster: Address,
    hostname: String,
    clock: SharedClock,
    entropy: SharedEntropy,
}

impl Letters {
    pub(super) fn new(
        spool: Spool,
        settings: &config::Settings,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Self {
        Self {
            spool,
            postmaster: settings.postmaster.clone(),
            hostname: settings.name.ascii().to_owned(),
            clock,
            entropy,
        }
    }
}

impl Notices for Letters {
    fn compose(&self, unsubscribed: &Unsubscribed, sender: &Sender) -> Record {
        let now = self.clock.now();
        let mut record = Record::default();
        for to in &sender.notify {
            let id = Reference::new(now, random(&*self.entropy)).to_string();
            let letterhead =
                Letterhead { postmaster: &self.postmaster, hostname: &self.hostname, id: &id, now };
            let notice = notify::unsubscribed(unsubscribed, sender, to, &letterhead);
            let letter = notice::Letter {
                to: notice.to,
                about: "unsubscribe".to_owned(),
                sender: Some(Party { id: sender.id.clone(), name: sender.name.clone() }),
                message_id: Some(notice.message_id),
                bytes: notice.bytes.into(),
            };
            self.spool.enclose(&mut record, letter, now);
        }
        record
    }

    fn recorded(&self) {
        self.spool.wake();
    }
}
