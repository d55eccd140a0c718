//! The running gateway as the admin room sees it.

use std::sync::Arc;

use super::letters;
use super::reload::Reload;
use crate::admin::{Claim, Control, Status};
use crate::ledger::Record;
use crate::limits::Limits;
use crate::mail::CopyId;
use crate::notify::Outbox;
use crate::policy::{Rules, Unavailable};
use crate::relay::{HopStatus, Relay, Spool};
use crate::unsubscribe::Health;

/// The next hop that `[relay]` is itself needs no name.
const OWN_HOP: &str = "relay";

/// What a status tells that does not change while the gateway runs.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub name: String,
    pub since: jiff::Timestamp,
    pub listeners: Vec<String>,
    pub relay: Relay,
}

/// The controls of a gateway that runs.
#[derive(Debug)]
pub(super) struct Remote {
    pub reload: Arc<Reload>,
    pub spool: Spool,
    pub outbox: Outbox,
    pub health: Health,
    pub limits: Limits,
    pub facts: Facts,
}

impl Control for Remote {
    fn rules(&self) -> Arc<Rules> {
        self.reload.rules_in_force()
    }

    fn status(&self) -> Option<Status> {
        let rules = self.rules();
        let facts = self.facts.clone();
        Some(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: facts.name,
            mode: rules.mode.as_str().to_owned(),
            rules_sha256: rules.hash.clone(),
            since: facts.since,
            listeners: facts.listeners,
            sessions: self.limits.open() as u64,
            next_hop: facts.relay.status().iter().map(shown).collect::<Vec<_>>().join(", "),
            unsubscribe_healthy: self.health.is_up(),
            unsubscribe_fault: self.health.fault(),
            spool: 0,
            entries: 0,
        })
    }

    fn reload(&self) -> Result<String, String> {
        self.reload.reload()
    }

    fn claim(&self, copy: CopyId) -> Option<Claim> {
        self.spool.claim(copy).map(|flight| Claim(Box::new(flight)))
    }

    fn wake(&self) {
        self.spool.wake();
        self.outbox.wake();
    }

    fn tell_lifted(&self, record: &mut Record, place: usize) -> Result<(), Unavailable> {
        let settings = self.reload.tell.borrow().clone();
        letters::owe_good_news(record, place, true, &settings, self.reload.clock.now());
        Ok(())
    }

    fn rouse(&self) {
        self.facts.relay.rouse();
    }
}

/// `newsletters smtp.example:587 (down: connection refused)`.
fn shown(hop: &HopStatus) -> String {
    let mut text = if hop.label == OWN_HOP { String::new() } else { format!("{} ", hop.label) };
    text.push_str(&hop.name);
    if let Some(why) = &hop.down {
        text.push_str(&format!(" (down: {why})"));
    }
    text
}
