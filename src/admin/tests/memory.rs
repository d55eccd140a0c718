//! A gateway in memory: what requests are answered from in these tests.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::admin::{
    Books, Claim, Control, Filed, HoldLine, ImportLine, Owned, PackFile, Query, SentMessage, Services,
    Status, Subject, Tally, Verified,
};
use crate::clock::{ManualClock, Timestamp};
use crate::ledger::consistency::Consistency;
use crate::ledger::keeping::Erasure;
use crate::ledger::{
    Batch, Book, EntryNumber, Event, InboxView, Letter, OutboxView, Owed, OwedId, Record, RecordError,
    Scribe, Side, Spooled, Suppressed,
};
use crate::mail::{Address, AddressKey, Class, CopyId, Language, Purpose, Sender, SenderId};
use crate::message::Rope;
use crate::policy::{
    ConsentHistory, Effect, Match, Mode, OnRefused, Profile, Register, Rule, Rules, Unavailable,
};
use crate::relay::SpoolView;

/// A store in memory: register, ledger, spool and running gateway in one.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) rules: Arc<Rules>,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    profiles: BTreeMap<(SenderId, AddressKey), Profile>,
    pub(super) suppressed: BTreeMap<(SenderId, AddressKey), Suppressed>,
    pub(super) entries: Vec<Event>,
    pub(super) spool: BTreeMap<CopyId, Spooled>,
    pub(super) outbox: BTreeMap<OwedId, Owed>,
    pub(super) inbox: BTreeMap<EntryNumber, Letter>,
    pub(super) commits: usize,
    pub(super) claimed: HashSet<CopyId>,
    pub(super) woken: usize,
    pub(super) lifted: Vec<Event>,
}

#[derive(Debug, Clone)]
pub(super) struct Shared(pub(super) Arc<Memory>);

pub(super) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(super) fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn sender(id: &str, name: &str) -> Arc<Sender> {
    Arc::new(Sender {
        id: SenderId(id.to_owned()),
        name: name.to_owned(),
        trade_names: vec!["Voorbeeld".to_owned()],
        kvk: "12345678".to_owned(),
        address: "Dorpsstraat 1".to_owned(),
        contact: address("info@voorbeeld.nl"),
        domains: Vec::new(),
        notify: Vec::new(),
        language: Language::Nl,
    })
}

fn rules(senders: &[&str]) -> Rules {
    let senders: Vec<_> = senders.iter().map(|name| sender(name, &format!("{name} B.V."))).collect();
    Rules {
        rules: vec![Rule {
            name: "newsletter".to_owned(),
            matches: Match::default(),
            effect: Effect::Class {
                class: Class::Marketing,
                sender: None,
                purpose: Some(Purpose("nieuws".to_owned())),
                similar_to: Vec::new(),
            },
        }],
        senders,
        mode: Mode::Enforce,
        on_refused: OnRefused::Reject,
        customer_window_months: 36,
        personal_max_recipients: 5,
        personal_max_alike: 20,
        strict_texts: false,
        hash: "00".to_owned(),
    }
}

impl Book for Shared {
    fn commit(&mut self, batch: &mut Batch) -> Result<Vec<EntryNumber>, RecordError> {
        let mut state = self.0.state.lock().unwrap();
        state.commits += 1;
        let mut numbers = Vec::new();
        for record in batch.iter() {
            numbers.push(state.entries.len() as u64);
            for event in &record.events {
                state.apply(event);
            }
            for side in &record.sides {
                match side {
                    Side::Spool(spooled) => drop(state.spool.insert(spooled.copy, (**spooled).clone())),
                    Side::Unspool(copy) => drop(state.spool.remove(copy)),
                    Side::Defer(id, owed) => drop(state.outbox.insert(*id, (**owed).clone())),
                    Side::Paid(id) => drop(state.outbox.remove(id)),
                    Side::Filed(number) => drop(state.inbox.remove(number)),
                    _ => {}
                }
            }
        }
        Ok(numbers)
    }
}

impl State {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Consent(it) => {
                let profile = self.profiles.entry((it.sender.clone(), it.address.clone())).or_default();
                match profile.consents.iter_mut().find(|history| history.purpose == it.purpose) {
                    Some(history) => history.events.push(it.event.clone()),
                    None => profile
                        .consents
                        .push(ConsentHistory { purpose: it.purpose.clone(), events: vec![it.event.clone()] }),
                }
            }
            Event::Relation(it) => {
                let profile = self.profiles.entry((it.sender.clone(), it.address.clone())).or_default();
                profile.relations.push(it.relation.clone());
            }
            Event::Suppression(it) => {
                let key = (it.sender.clone(), it.address.clone());
                self.profiles.entry(key.clone()).or_default().suppressions.push(it.suppression.clone());
                self.suppressed.insert(key, it.clone());
            }
            _ => {}
        }
        self.entries.push(event.clone());
    }
}

impl Register for Memory {
    fn profile(&self, sender: &SenderId, address: &AddressKey) -> Result<Profile, Unavailable> {
        let state = self.state.lock().unwrap();
        Ok(state.profiles.get(&(sender.clone(), address.clone())).cloned().unwrap_or_default())
    }
}

impl Books for Memory {
    fn entries(
        &self,
        query: &Query,
        after: Option<EntryNumber>,
        limit: usize,
    ) -> Result<(Vec<Filed>, Option<EntryNumber>), Unavailable> {
        let Subject::Address(address) = &query.subject else { return Ok((Vec::new(), None)) };
        let state = self.state.lock().unwrap();
        let entries = state.entries.iter().enumerate();
        let filed = entries
            .map(|(number, event)| (number as u64, event))
            .filter(|(number, event)| {
                event.addresses().contains(&address) && after.is_none_or(|after| *number > after)
            })
            .take(limit)
            .map(|(number, event)| Filed { number, json: Some(event.summary()) })
            .collect();
        Ok((filed, None))
    }

    fn register(
        &self,
        _: Option<&SenderId>,
        _: Option<&(SenderId, AddressKey)>,
        limit: usize,
    ) -> Result<Vec<(SenderId, AddressKey, Profile)>, Unavailable> {
        let state = self.state.lock().unwrap();
        let rows = state.profiles.iter().take(limit);
        Ok(rows
            .map(|((sender, address), profile)| (sender.clone(), address.clone(), profile.clone()))
            .collect())
    }

    fn suppressions(
        &self,
        sender: Option<&SenderId>,
        after: Option<&(SenderId, AddressKey)>,
        limit: usize,
    ) -> Result<Vec<Suppressed>, Unavailable> {
        let state = self.state.lock().unwrap();
        Ok(state
            .suppressed
            .iter()
            .filter(|(key, _)| after.is_none_or(|after| *key > after))
            .filter(|(key, _)| sender.is_none_or(|sender| key.0 == *sender))
            .take(limit)
            .map(|(_, suppressed)| suppressed.clone())
            .collect())
    }

    fn refusals(
        &self,
        _: Timestamp,
        _: Timestamp,
        _: bool,
        _: Option<EntryNumber>,
    ) -> Result<(Vec<Tally>, Option<EntryNumber>), Unavailable> {
        Ok((Vec::new(), None))
    }

    fn imports(&self, _: Option<&str>, _: usize) -> Result<Vec<ImportLine>, Unavailable> {
        Ok(Vec::new())
    }

    fn import(&self, _: &str) -> Result<Option<ImportLine>, Unavailable> {
        Ok(None)
    }

    fn facts_of(
        &self,
        _: &str,
        _: std::ops::Range<EntryNumber>,
        _: usize,
        _: usize,
    ) -> Result<(Vec<Owned>, Option<EntryNumber>), Unavailable> {
        Ok((Vec::new(), None))
    }

    fn texts(&self, _: Option<&str>, _: usize) -> Result<Vec<(String, String)>, Unavailable> {
        Ok(Vec::new())
    }

    fn consent_text(&self, sha256: &str) -> Result<Option<EntryNumber>, Unavailable> {
        let state = self.state.lock().unwrap();
        let is_it = |event: &Event| matches!(event, Event::ConsentText { sha256: one, .. } if one == sha256);
        Ok(state.entries.iter().position(is_it).map(|number| number as u64))
    }

    fn pack(&self, query: &Query, _language: Option<Language>) -> Result<Option<PackFile>, Unavailable> {
        let pack = PackFile { file: "pack.zip".into(), octets: 3, missing: Vec::new() };
        Ok((query.subject != Subject::Entry(404)).then_some(pack))
    }

    fn verify(&self, _anchors: &[String]) -> Result<Verified, Unavailable> {
        Err(Unavailable("disk".to_owned()))
    }

    fn progress(&self) -> Option<(u64, u64)> {
        None
    }

    fn checkpoint(&self) -> Result<Option<String>, Unavailable> {
        Ok(None)
    }

    fn consistency(
        &self,
        _old: &str,
        _new: Option<&str>,
    ) -> Result<Result<Consistency, String>, Unavailable> {
        Ok(Err("no checkpoint of this ledger".to_owned()))
    }

    fn holds(&self) -> Result<Vec<HoldLine>, Unavailable> {
        Ok(Vec::new())
    }

    fn purge(&self) -> Result<u64, Unavailable> {
        Ok(0)
    }

    fn erase(&self, _: &AddressKey, _: bool) -> Result<(Erasure, Vec<String>), Unavailable> {
        Ok(Default::default())
    }

    fn backup(&self, _file: &Path) -> Result<Result<Verified, String>, Unavailable> {
        Ok(Err("no store".to_owned()))
    }

    fn message(&self, _query: &Query, _to: &AddressKey) -> Result<Option<SentMessage>, Unavailable> {
        Ok(None)
    }

    fn entry_count(&self) -> Result<u64, Unavailable> {
        Ok(self.state.lock().unwrap().entries.len() as u64)
    }
}

impl InboxView for Memory {
    fn list_letters(
        &self,
        after: Option<EntryNumber>,
        limit: usize,
    ) -> Result<Vec<(EntryNumber, Letter)>, Unavailable> {
        let state = self.state.lock().unwrap();
        let rows = state.inbox.iter().filter(|(number, _)| after.is_none_or(|after| **number > after));
        Ok(rows.take(limit).map(|(number, letter)| (*number, letter.clone())).collect())
    }

    fn find_letter(&self, number: EntryNumber) -> Result<Option<Letter>, Unavailable> {
        Ok(self.state.lock().unwrap().inbox.get(&number).cloned())
    }

    fn count_letters(&self) -> Result<u64, Unavailable> {
        Ok(self.state.lock().unwrap().inbox.len() as u64)
    }
}

impl OutboxView for Memory {
    fn owed(&self, _: Timestamp, _: usize) -> Result<Vec<(OwedId, Owed)>, Unavailable> {
        Ok(Vec::new())
    }

    fn next_owed(&self) -> Result<Option<Timestamp>, Unavailable> {
        Ok(None)
    }

    fn entry(&self, _: EntryNumber) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(None)
    }

    fn lane(&self, _: &str, _: usize) -> Result<Vec<(OwedId, Owed)>, Unavailable> {
        Ok(Vec::new())
    }

    fn list_owed(&self, after: Option<OwedId>, limit: usize) -> Result<Vec<(OwedId, Owed)>, Unavailable> {
        let state = self.state.lock().unwrap();
        let rows = state.outbox.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        Ok(rows.take(limit).map(|(id, owed)| (*id, owed.clone())).collect())
    }

    fn find_owed(&self, id: OwedId) -> Result<Option<Owed>, Unavailable> {
        Ok(self.state.lock().unwrap().outbox.get(&id).cloned())
    }
}

impl SpoolView for Memory {
    fn due(&self, _: Timestamp, _: usize) -> Result<Vec<CopyId>, Unavailable> {
        Ok(Vec::new())
    }

    fn next_due(&self) -> Result<Option<Timestamp>, Unavailable> {
        Ok(None)
    }

    fn find(&self, copy: CopyId) -> Result<Option<Spooled>, Unavailable> {
        Ok(self.state.lock().unwrap().spool.get(&copy).cloned())
    }

    fn load(&self, copy: CopyId) -> Result<Option<(Spooled, Rope)>, Unavailable> {
        let state = self.state.lock().unwrap();
        Ok(state
            .spool
            .get(&copy)
            .cloned()
            .and_then(|spooled| Some((spooled, Rope::new(bytes::Bytes::new(), Vec::new())?))))
    }

    fn list(&self, after: Option<CopyId>, limit: usize) -> Result<Vec<Spooled>, Unavailable> {
        let state = self.state.lock().unwrap();
        let later = state.spool.values().filter(|one| after.is_none_or(|after| one.copy > after));
        Ok(later.take(limit).cloned().collect())
    }

    fn count(&self) -> Result<u64, Unavailable> {
        Ok(self.state.lock().unwrap().spool.len() as u64)
    }
}

impl Control for Memory {
    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    fn status(&self) -> Option<Status> {
        None
    }

    fn reload(&self) -> Result<String, String> {
        Err("sluis.toml:3:8: mode: wrong".to_owned())
    }

    fn claim(&self, copy: CopyId) -> Option<Claim> {
        let state = self.state.lock().unwrap();
        (!state.claimed.contains(&copy)).then(|| Claim(Box::new(())))
    }

    fn wake(&self) {
        self.state.lock().unwrap().woken += 1;
    }

    fn tell_lifted(&self, record: &mut Record, place: usize) -> Result<(), Unavailable> {
        self.state.lock().unwrap().lifted.push(record.events[place].clone());
        Ok(())
    }
    fn rouse(&self) {}
}

/// A gateway in memory, and its pen's writer.
pub(super) struct House {
    pub(super) memory: Arc<Memory>,
    pub(super) services: Services,
}

pub(super) fn house(senders: &[&str]) -> House {
    let memory = Arc::new(Memory { rules: Arc::new(rules(senders)), state: Mutex::default() });
    let (scribe, inbox) = Scribe::channel(16);
    let mut book = Shared(Arc::clone(&memory));
    std::thread::spawn(move || inbox.serve(&mut book, 16));
    let services = Services {
        scribe,
        register: memory.clone(),
        books: memory.clone(),
        spool: memory.clone(),
        outbox: memory.clone(),
        inbox: memory.clone(),
        mailbox: None,
        control: memory.clone(),
        clock: Arc::new(ManualClock::at(now())),
    };
    House { memory, services }
}
