//! Limits on what clients may use: connections, failed sign-ins, messages, and message memory.
//!
//! Every table here is bounded too (promise 10): what a client can fill by trying, it can not make
//! grow. IPv6 clients are counted by their /64, the smallest network anybody is given. Time comes from
//! the injected clock, so a test can let an hour go by. Deliberately absent: what a limit means to the
//! client (the session's replies), and limits on one message (the session's terms).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::clock::SharedClock;
use crate::mail::AddressKey;
use crate::message::Fingerprint;
use crate::metrics;

mod alike;
mod alone;
mod known;
mod mails;
mod memory;
mod rate;

use alike::Alike;
pub use alike::Counted;
pub use alone::Alone;
use known::Known;
pub use mails::MailLimits;
use mails::{Mails, network};
pub use memory::{Exhausted, Held, MessageMemory};
use rate::Rate;

/// How much is how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one client (an IPv4 address, an IPv6 /64).
    pub connections_per_ip: usize,
    /// Failed sign-ins of one client in [`Self::sign_in_window`].
    pub sign_in_failures_per_ip: NonZeroU32,
    /// Failed sign-ins to one account in [`Self::sign_in_window`].
    pub sign_in_failures_per_account: NonZeroU32,
    /// In which time failed sign-ins are forgiven.
    pub sign_in_window: Duration,
    /// Messages of one account in an hour; `None` for as many as it likes.
    pub messages_per_account: Option<NonZeroU32>,
    /// Recipients of one account, or of one client that did not sign in, that are refused at RCPT in an
    /// hour; `None` for as many as it likes.
    pub refusals: Option<NonZeroU32>,
    /// Confirmation mails to one address, whatever its +tag, in 24 hours (RULES L12).
    pub form_mails_per_address: NonZeroU32,
    /// Forms sent in from one network (an IPv4 /24, an IPv6 /48) in an hour.
    pub forms_per_network: NonZeroU32,
    /// How often one form is sent in, in an hour.
    pub forms_per_hour: NonZeroU32,
    /// Mails to the unsubscribe address.
    pub mails: MailLimits,
    /// Octets of messages held in memory at once, over all sessions.
    pub message_memory: usize,
    /// How long a session waits for memory before its client is told to come back.
    pub memory_wait: Duration,
    /// Clients and accounts that are remembered, in each table.
    pub keys: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            connections: 1000,
            connections_per_ip: 100,
            sign_in_failures_per_ip: NonZeroU32::MIN.saturating_add(19),
            sign_in_failures_per_account: NonZeroU32::MIN.saturating_add(9),
            sign_in_window: Duration::from_secs(15 * 60),
            messages_per_account: None,
            refusals: None,
            form_mails_per_address: NonZeroU32::MIN.saturating_add(3),
            forms_per_network: NonZeroU32::MIN.saturating_add(29),
            forms_per_hour: NonZeroU32::MIN.saturating_add(999),
            mails: MailLimits::default(),
            message_memory: 512 << 20,
            memory_wait: Duration::from_secs(20),
            keys: 10_000,
        }
    }
}

/// The counters; clones share them.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    in_force: RwLock<Arc<InForce>>,
    connections: Mutex<Connections>,
    known: Known,
    alike: Alike,
    memory: MessageMemory,
    clock: SharedClock,
}

/// The settings, and the counters that are made for them.
#[derive(Debug)]
struct InForce {
    settings: LimitSettings,
    failures_by_ip: Arc<Rate<IpAddr>>,
    failures_by_account: Arc<Rate<String>>,
    messages: Option<Arc<Rate<String>>>,
    refusals: Option<Arc<Rate<String>>>,
    form_mails: Arc<Rate<AddressKey>>,
    forms_by_network: Arc<Rate<IpAddr>>,
    forms_by_name: Arc<Rate<String>>,
    mails: Mails,
}

impl InForce {
    /// Counters for `settings`; those of `before` go on where their own settings are the same.
    fn new(settings: LimitSettings, before: Option<&Self>, clock: &SharedClock) -> Self {
        let hour = Duration::from_secs(3600);
        let (window, keys) = (settings.sign_in_window, settings.keys);
        Self {
            failures_by_ip: Rate::again(
                before.map(|b| &b.failures_by_ip),
                settings.sign_in_failures_per_ip,
                window,
                keys,
                clock,
            ),
            failures_by_account: Rate::again(
                before.map(|b| &b.failures_by_account),
                settings.sign_in_failures_per_account,
                window,
                keys,
                clock,
            ),
            messages: settings
                .messages_per_account
                .map(|count| Rate::again(before.and_then(|b| b.messages.as_ref()), count, hour, keys, clock)),
            refusals: settings
                .refusals
                .map(|count| Rate::again(before.and_then(|b| b.refusals.as_ref()), count, hour, keys, clock)),
            form_mails: Rate::again(
                before.map(|b| &b.form_mails),
                settings.form_mails_per_address,
                hour * 24,
                keys,
                clock,
            ),
            forms_by_network: Rate::again(
                before.map(|b| &b.forms_by_network),
                settings.forms_per_network,
                hour,
                keys,
                clock,
            ),
            forms_by_name: Rate::again(
                before.map(|b| &b.forms_by_name),
                settings.forms_per_hour,
                hour,
                keys,
                clock,
            ),
            mails: Mails::new(settings.mails, keys, before.map(|b| &b.mails), clock),
            settings,
        }
    }
}

#[derive(Debug, Default)]
struct Connections {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A limit was reached; its name is the one of the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("limit {0} reached")]
pub struct Reached(pub &'static str);

/// One connection; counted until it is dropped.
#[derive(Debug)]
pub struct Connected {
    limits: Limits,
    client: IpAddr,
}

impl Limits {
    /// Counters at zero.
    pub fn new(settings: LimitSettings, clock: &SharedClock) -> Self {
        Self(Arc::new(Inner {
            connections: Mutex::default(),
            known: Known::default(),
            alike: Alike::new(settings.keys, clock),
            memory: MessageMemory::new(settings.message_memory, settings.memory_wait),
            in_force: RwLock::new(Arc::new(InForce::new(settings, None, clock))),
            clock: Arc::clone(clock),
        }))
    }

    /// Go by other settings from now on. What is counted stays counted, but for a rate whose own settings
    /// change: that begins anew. What is open and held already stays so.
    pub fn change(&self, settings: LimitSettings) {
        self.0.memory.resize(settings.message_memory, settings.memory_wait);
        self.0.alike.resize(settings.keys);
        let mut in_force = self.0.in_force.write().unwrap_or_else(PoisonError::into_inner);
        *in_force = Arc::new(InForce::new(settings, Some(&in_force), &self.0.clock));
    }

    fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.0.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Count a new connection from `ip`, unless there are too many.
    pub fn connect(&self, ip: IpAddr) -> Result<Connected, Reached> {
        let client = client(ip);
        let in_force = self.in_force();
        let settings = &in_force.settings;
        let mut connections = self.connections();
        let own = connections.by_client.get(&client).copied().unwrap_or(0);
        if connections.all >= settings.connections {
            return Err(reached("connections"));
        }
        if own >= settings.connections_per_ip {
            return Err(reached("connections_per_ip"));
        }
        connections.all += 1;
        connections.by_client.insert(client, own + 1);
        metrics::sessions_open(connections.all);
        Ok(Connected { limits: self.clone(), client })
    }

    /// Whether `ip` may try to sign in to `account`; to be asked before the password is looked at.
    pub fn may_sign_in(&self, ip: IpAddr, account: &str) -> Result<(), Reached> {
        let in_force = self.in_force();
        if !in_force.failures_by_ip.has_room(client(ip)) {
            return Err(reached("sign_in_failures_per_ip"));
        }
        // Who was right before is held to his own failures only, not to those of somebody else at this account.
        let account = account.to_lowercase();
        if !in_force.failures_by_account.has_room(account.clone())
            && !self.0.known.has(client(ip), &account, self.0.clock.now())
        {
            return Err(reached("sign_in_failures_per_account"));
        }
        Ok(())
    }

    /// `ip` signed in to `account`.
    pub fn signed_in(&self, ip: IpAddr, account: &str) {
        let most = self.in_force().settings.keys;
        self.0.known.add(client(ip), account.to_lowercase(), self.0.clock.now(), most);
    }

    /// Count a failed sign-in.
    pub fn sign_in_failed(&self, ip: IpAddr, account: &str) {
        let in_force = self.in_force();
        in_force.failures_by_ip.take(client(ip));
        in_force.failures_by_account.take(account.to_lowercase());
    }

    /// Count a message of `account`, or of a client that did not sign in, unless there were too many in the
    /// last hour.
    pub fn message(&self, account: Option<&str>, ip: IpAddr) -> Result<(), Reached> {
        match &self.in_force().messages {
            Some(messages) if !messages.take(who(account, ip)) => Err(reached("messages_per_hour")),
            _ => Ok(()),
        }
    }

    /// Whether one more recipient may be looked at for `account`, or for a client that did not sign in; to be
    /// asked before the register is.
    pub fn may_be_refused(&self, account: Option<&str>, ip: IpAddr) -> Result<(), Reached> {
        match &self.in_force().refusals {
            Some(refusals) if !refusals.has_room(who(account, ip)) => Err(reached("refusals_per_hour")),
            _ => Ok(()),
        }
    }

    /// Count a recipient that was refused.
    pub fn recipient_refused(&self, account: Option<&str>, ip: IpAddr) {
        if let Some(refusals) = &self.in_force().refusals {
            refusals.take(who(account, ip));
        }
    }

    /// Count a message of `account`, or of `from` at a client that did not sign in (which may be a mail server
    /// for many), among those that say nearly the same (RULES L13).
    pub fn alike(&self, account: Option<&str>, ip: IpAddr, from: &str, words: Fingerprint) -> Counted {
        let who = match account {
            Some(account) => account.to_lowercase(),
            None => format!("{} {}", who(None, ip), from.to_lowercase()),
        };
        self.0.alike.count(who, words)
    }

    /// Count a form that was sent in from `ip`, unless its network or everybody did so too often in the last
    /// hour. Says nothing of any address, so the client may be told.
    pub fn form(&self, name: &str, ip: IpAddr) -> Result<(), Reached> {
        let in_force = self.in_force();
        if !in_force.forms_by_network.take(network(ip)) {
            return Err(reached("forms_per_network"));
        }
        if !in_force.forms_by_name.take(name.to_owned()) {
            return Err(reached("forms_per_hour"));
        }
        Ok(())
    }

    /// Count a confirmation mail to `address`, unless it got too many in 24 hours, under any form and tag
    /// (RULES L12). Not to be told to the client.
    pub fn form_mail(&self, address: &AddressKey) -> Result<(), Reached> {
        let base = address.base().unwrap_or_else(|| address.clone());
        if self.in_force().form_mails.take(base) { Ok(()) } else { Err(reached("form_mails_per_address")) }
    }

    /// The budget of buffered message octets.
    pub fn memory(&self) -> &MessageMemory {
        &self.0.memory
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.connections().all
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut connections = self.limits.connections();
        connections.all = connections.all.saturating_sub(1);
        match connections.by_client.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                connections.by_client.remove(&self.client);
            }
        }
        metrics::sessions_open(connections.all);
    }
}

fn reached(limit: &'static str) -> Reached {
    metrics::limit_hit(limit);
    Reached(limit)
}

/// What counts as one who sends: the account, or else the client. An account of such a name would share the
/// counter, no more.
fn who(account: Option<&str>, ip: IpAddr) -> String {
    account.map_or_else(|| format!("ip/{}", client(ip)), str::to_lowercase)
}

/// What counts as one client.
fn client(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::mail::Address;

    #[test]
    fn l12_forms_are_counted_by_network_and_mails_by_mailbox_whatever_its_tag() {
        let (limits, clock) = limits(LimitSettings {
            form_mails_per_address: count(2),
            forms_per_network: count(2),
            forms_per_hour: count(3),
            ..LimitSettings::default()
        });
        for other in ["192.0.2.1", "192.0.2.200"] {
            assert_eq!(limits.form("nieuws", ip(other)), Ok(()));
        }
        assert_eq!(limits.form("nieuws", ip("192.0.2.77")), Err(Reached("forms_per_network")));
        assert_eq!(limits.form("nieuws", ip("2001:db8:1::1")), Ok(()));
        assert_eq!(limits.form("nieuws", ip("2001:db8:2::1")), Err(Reached("forms_per_hour")));
        assert_eq!(limits.form("tips", ip("2001:db8:3::1")), Ok(()), "each form has its own");
        let mail = |address| limits.form_mail(Address::parse(address).unwrap().key());
        assert!(mail("bob+1@example.org").is_ok() && mail("Bob@example.org").is_ok());
        assert_eq!(mail("bob+2@example.org"), Err(Reached("form_mails_per_address")));
        assert!(mail("anna@example.org").is_ok());
        clock.set(Timestamp::from_second(1_700_000_000 + 24 * 3600).unwrap());
        assert!(mail("bob+2@example.org").is_ok() && limits.form("nieuws", ip("192.0.2.1")).is_ok());
    }

    pub(super) fn limits(settings: LimitSettings) -> (Limits, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_second(1_700_000_000).unwrap()));
        let shared: SharedClock = clock.clone();
        (Limits::new(settings, &shared), clock)
    }

    pub(super) fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    pub(super) fn count(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    #[test]
    fn promise_10_connections_by_client_and_in_all() {
        let settings = LimitSettings { connections: 3, connections_per_ip: 2, ..LimitSettings::default() };
        let (limits, _) = limits(settings);
        let first = limits.connect(ip("192.0.2.1")).unwrap();
        let _second = limits.connect(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(limits.connect(ip("192.0.2.1")).unwrap_err(), Reached("connections_per_ip"));
        let _other = limits.connect(ip("2001:db8::1")).unwrap();
        assert_eq!(limits.connect(ip("192.0.2.9")).unwrap_err(), Reached("connections"));
        drop(first);
        let _again = limits.connect(ip("192.0.2.1")).unwrap();
        assert_eq!(limits.connections().by_client.len(), 2);
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let settings = LimitSettings { connections_per_ip: 1, ..LimitSettings::default() };
        let (limits, _) = limits(settings);
        let _one = limits.connect(ip("2001:db8:0:1::1")).unwrap();
        assert!(limits.connect(ip("2001:db8:0:1:ffff::2")).is_err());
        assert!(limits.connect(ip("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn p4_failed_sign_ins_are_throttled_and_forgiven() {
        let (limits, clock) = limits(LimitSettings {
            sign_in_failures_per_ip: count(3),
            sign_in_failures_per_account: count(2),
            sign_in_window: Duration::from_secs(60),
            ..LimitSettings::default()
        });
        let here = ip("192.0.2.1");
        for _ in 0..2 {
            assert_eq!(limits.may_sign_in(here, "anna"), Ok(()));
            assert_eq!(limits.may_sign_in(here, "anna"), Ok(()), "asking costs nothing");
            limits.sign_in_failed(here, "anna");
        }
        assert_eq!(limits.may_sign_in(here, "Anna"), Err(Reached("sign_in_failures_per_account")));
        assert_eq!(limits.may_sign_in(here, "bob"), Ok(()));
        limits.sign_in_failed(here, "bob");
        assert_eq!(limits.may_sign_in(here, "bob"), Err(Reached("sign_in_failures_per_ip")));
        clock.set(Timestamp::from_second(1_700_000_061).unwrap());
        assert_eq!(limits.may_sign_in(here, "anna"), Ok(()));
    }

    #[test]
    fn p4_nobody_locks_an_account_s_own_client_out() {
        let (limits, clock) = limits(LimitSettings {
            sign_in_failures_per_ip: count(3),
            sign_in_failures_per_account: count(2),
            keys: 100,
            ..LimitSettings::default()
        });
        let (owner, stranger) = (ip("192.0.2.1"), ip("198.51.100.1"));
        limits.signed_in(owner, "Anna");
        for _ in 0..2 {
            limits.sign_in_failed(stranger, "anna");
        }
        assert_eq!(limits.may_sign_in(stranger, "anna"), Err(Reached("sign_in_failures_per_account")));
        assert_eq!(limits.may_sign_in(owner, "anna"), Ok(()));
        assert!(limits.may_sign_in(ip("192.0.2.2"), "anna").is_err(), "nobody knows that client");
        for _ in 0..3 {
            limits.sign_in_failed(owner, "anna");
        }
        assert_eq!(limits.may_sign_in(owner, "anna"), Err(Reached("sign_in_failures_per_ip")));
        for n in 0..1000u32 {
            limits.signed_in(IpAddr::V4(n.into()), "bob");
        }
        assert!(limits.0.known.len() <= 100);
        clock.set(Timestamp::from_second(1_700_000_000 + 30 * 24 * 3600).unwrap());
        limits.sign_in_failed(stranger, "bob");
        limits.sign_in_failed(stranger, "bob");
        assert!(limits.may_sign_in(IpAddr::V4(999.into()), "bob").is_err(), "not for ever");
    }

    #[test]
    fn messages_of_an_account_in_an_hour() {
        let settings = LimitSettings { messages_per_account: Some(count(2)), ..LimitSettings::default() };
        let (limits, clock) = limits(settings);
        let message = |account| limits.message(Some(account), ip("192.0.2.1"));
        assert!(message("anna").is_ok() && message("Anna").is_ok());
        assert_eq!(message("anna"), Err(Reached("messages_per_hour")));
        assert!(message("bob").is_ok());
        assert!(limits.message(None, ip("192.0.2.1")).is_ok());
        clock.set(Timestamp::from_second(1_700_003_600).unwrap());
        assert!(message("anna").is_ok());
    }

    #[test]
    fn promise_10_refusals_in_an_hour_by_account_or_client() {
        let settings = LimitSettings { refusals: Some(count(2)), ..LimitSettings::default() };
        let (limits, clock) = limits(settings);
        let (here, there) = (ip("192.0.2.1"), ip("192.0.2.2"));
        for _ in 0..2 {
            assert_eq!(limits.may_be_refused(None, here), Ok(()));
            assert_eq!(limits.may_be_refused(None, here), Ok(()), "asking costs nothing");
            limits.recipient_refused(None, here);
        }
        assert_eq!(limits.may_be_refused(None, here), Err(Reached("refusals_per_hour")));
        assert_eq!(limits.may_be_refused(None, there), Ok(()));
        assert_eq!(limits.may_be_refused(Some("anna"), here), Ok(()));
        clock.set(Timestamp::from_second(1_700_001_800).unwrap());
        assert_eq!(limits.may_be_refused(None, here), Ok(()), "one came back in half an hour");
    }

    #[test]
    fn promise_10_the_tables_do_not_grow() {
        let (limits, _) = limits(LimitSettings { keys: 100, ..LimitSettings::default() });
        for _ in 0..20 {
            limits.sign_in_failed(ip("192.0.2.1"), "anna");
        }
        for n in 0..5000u32 {
            limits.sign_in_failed(IpAddr::V4(n.into()), &format!("account{n}"));
        }
        assert!(limits.in_force().failures_by_account.len() <= 100);
        assert!(limits.may_sign_in(ip("198.51.100.1"), "anna").is_err(), "who owes most is kept");
    }

    #[test]
    fn changed_settings_count_at_once_and_what_was_counted_stays() {
        let before = LimitSettings {
            connections_per_ip: 1,
            messages_per_account: Some(count(1)),
            refusals: Some(count(1)),
            ..LimitSettings::default()
        };
        let (limits, _) = limits(before.clone());
        let here = ip("192.0.2.1");
        let _one = limits.connect(here).unwrap();
        assert!(limits.connect(here).is_err());
        limits.message(Some("anna"), here).unwrap();
        limits.recipient_refused(Some("anna"), here);
        limits.change(LimitSettings { connections_per_ip: 2, refusals: Some(count(9)), ..before.clone() });
        let _two = limits.connect(here).unwrap();
        assert!(limits.connect(here).is_err(), "the first one still counts");
        assert!(limits.message(Some("anna"), here).is_err(), "an untouched rate goes on");
        assert!(limits.may_be_refused(Some("anna"), here).is_ok());
        limits.change(LimitSettings { messages_per_account: None, ..before });
        assert!(limits.message(Some("anna"), here).is_ok());
    }
}
