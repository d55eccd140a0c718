//! Direct delivery: each recipient's domain says in DNS who takes its mail, and there it goes (RFC 5321 5.1).
//!
//! A pool of connections per domain, so that each has its own limit, failures and rest; all together stay within the
//! connections of the next hop. Who is connected to, and what certificate is believed, is the [`dial::Domain`]'s:
//! hosts by MX ([`find`]), DANE before MTA-STS ([`sts`]) before opportunistic TLS. What DNS says for good is a
//! refusal, what it cannot say now a wait. Everything that is asked of the internet goes through [`Internet`].
//! Deliberately absent: memory on the disk. After a restart everything is asked anew.

pub(super) mod dial;
mod find;
mod online;
mod sts;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::Failure;
use super::pool::Pool;
use super::rate::Rate;
use super::{Abilities, Copy, Delivery, Fate, MayGo, Settings, client, settings};
use crate::mail::Address;
use crate::net::dane::Tlsa;
use crate::net::dns::{self, DnsError, Found, Mx};
use crate::net::tls::{self, TlsError, Trust};
use crate::secret::SharedEntropy;

pub use online::{Online, Web};

/// A question to the internet, under way.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the internet knows of a domain's mail. Names are A-labels without a dot at their end.
pub trait Internet: Send + Sync + fmt::Debug {
    /// The mail servers of `domain`.
    fn mx<'a>(&'a self, domain: &'a str) -> Asked<'a, Result<Found<Mx>, DnsError>>;
    /// The IPv4 addresses of `host`.
    fn ipv4<'a>(&'a self, host: &'a str) -> Asked<'a, Result<Found<IpAddr>, DnsError>>;
    /// The IPv6 addresses of `host`.
    fn ipv6<'a>(&'a self, host: &'a str) -> Asked<'a, Result<Found<IpAddr>, DnsError>>;
    /// What `host` is an alias of; nothing, when it is a name of its own.
    fn alias<'a>(&'a self, host: &'a str) -> Asked<'a, Result<Found<String>, DnsError>>;
    /// The TLSA records of `name`, `_25._tcp.mx.example.org`.
    fn tlsa<'a>(&'a self, name: &'a str) -> Asked<'a, Result<Found<Tlsa>, DnsError>>;
    /// The texts of `name`.
    fn txt<'a>(&'a self, name: &'a str) -> Asked<'a, Result<Found<String>, DnsError>>;
    /// The MTA-STS policy of `domain`, fetched from its own web server (RFC 8461 3.3).
    fn policy<'a>(&'a self, domain: &'a str) -> Asked<'a, Result<String, String>>;
}

/// The internet, and chance.
#[derive(Debug, Clone)]
pub struct World {
    /// Who is asked.
    pub internet: Arc<dyn Internet>,
    /// Whose turn it is among equals.
    pub entropy: SharedEntropy,
}

impl PartialEq for World {
    /// There is one: what differs in how it is asked stands in the settings beside it.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for World {}

/// Which addresses are connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpVersions {
    /// IPv6 and IPv4 by turns.
    #[default]
    Both,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// Direct delivery, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MxHop {
    /// The port of mail servers: 25.
    pub port: u16,
    /// [`TlsMode::Opportunistic`](super::TlsMode), or `StartTls` or `None` for everybody.
    pub tls: super::TlsMode,
    /// Whose certificates are believed where MTA-STS asks for one.
    pub trust: Trust,
    /// Whether MTA-STS is honoured (RFC 8461).
    pub mta_sts: bool,
    /// Which addresses are connected to.
    pub ip_versions: IpVersions,
    /// Connect to private and loopback addresses, too; else a name that leads there has no address.
    pub private: bool,
    /// Connections to one domain at once (default 5).
    pub per_domain: usize,
    /// Domains that are remembered (default 10,000).
    pub domains: usize,
    /// How long everything that is asked about a domain for one connection may take, all in all: MX, policy, addresses,
    /// TLSA (default 60 s: a policy whose web server is silent takes 30 of them, behind name servers that are slow).
    pub lookups: Duration,
    /// How DNS is asked. With `dnssec`, DANE is honoured (RFC 7672).
    pub dns: dns::Settings,
    /// Whom to ask.
    pub world: World,
}

impl MxHop {
    /// The defaults.
    pub fn new(world: World) -> Self {
        Self {
            port: 25,
            tls: super::TlsMode::Opportunistic,
            trust: Trust::System,
            mta_sts: true,
            ip_versions: IpVersions::Both,
            private: false,
            per_domain: 5,
            domains: 10_000,
            lookups: Duration::from_secs(60),
            dns: dns::Settings::default(),
            world,
        }
    }
}

/// What the pools of all domains share.
#[derive(Debug)]
pub(super) struct Common {
    hop: MxHop,
    helo: String,
    timeouts: settings::Timeouts,
    /// How long to wait for a place.
    wait: Duration,
    /// Takes any certificate: opportunistic TLS.
    any: Arc<rustls::ClientConfig>,
    /// Takes those that MTA-STS wants.
    public: Arc<rustls::ClientConfig>,
    policies: sts::Policies,
    /// Connections, of all domains together.
    places: Arc<Semaphore>,
    /// Dials that wait for a place.
    waiting: AtomicUsize,
}

/// The right to try a waiting copy; held until it was tried.
#[derive(Debug, Default)]
pub(super) struct Room {
    _permit: Option<OwnedSemaphorePermit>,
}

/// The way to everybody.
#[derive(Debug)]
pub(super) struct Direct {
    common: Arc<Common>,
    pool: settings::PoolSettings,
    rate: Option<Arc<Rate>>,
    pools: Mutex<HashMap<String, Pool>>,
}

impl Direct {
    pub(super) fn new(hop: MxHop, settings: &Settings) -> Result<Self, TlsError> {
        let pool = settings.pool;
        let common = Common {
            helo: settings.helo.clone(),
            timeouts: settings.timeouts,
            wait: pool.wait,
            any: tls::client_config(&Trust::Anybody, None)?,
            public: tls::client_config(if hop.mta_sts { &hop.trust } else { &Trust::Anybody }, None)?,
            policies: sts::Policies::new(hop.world.internet.clone(), hop.domains),
            places: Arc::new(Semaphore::new(pool.connections.max(1))),
            waiting: AtomicUsize::new(0),
            hop,
        };
        let rate = pool.per_minute.map(|count| Arc::new(Rate::new(count)));
        Ok(Self { common: Arc::new(common), pool, rate, pools: Mutex::default() })
    }

    /// What entries and logs call it, before a host is known.
    pub(super) fn name(&self) -> &'static str {
        "mx"
    }

    pub(super) fn connections(&self) -> usize {
        self.pool.connections.max(1)
    }

    /// What the servers of `domain` can do, as last seen. Where nobody has been yet: what nearly all can.
    pub(super) fn abilities(&self, domain: Option<&str>) -> Abilities {
        let seen = domain.and_then(|domain| self.pools().get(domain)?.abilities());
        seen.unwrap_or(Abilities { eight_bit: true, smtputf8: true, size: None })
    }

    /// How long copies to these recipients had better wait: all their domains failed a moment ago.
    pub(super) fn rest<'a>(&self, recipients: impl Iterator<Item = &'a Address>) -> Option<Duration> {
        let pools = self.pools();
        let rests = recipients.map(|one| pools.get(one.domain().ascii()).and_then(Pool::rest));
        rests.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// Whichever domain was down may be there again.
    pub(super) fn rouse(&self) {
        self.pools().values().for_each(Pool::rouse);
    }

    /// Room for one more waiting copy to these recipients, beside those that the spool is trying; `None` when their
    /// domain has as many under way as it has connections.
    pub(super) fn room<'a>(&self, mut recipients: impl Iterator<Item = &'a Address>) -> Option<Room> {
        let domain = recipients.next()?.domain().ascii();
        match self.pool_of(domain) {
            Some(pool) => pool.room().map(|permit| Room { _permit: Some(permit) }),
            // It will find no pool either, and is put off then.
            None => Some(Room::default()),
        }
    }

    /// Send a copy to the domain of its recipients; to each of them in turn when they have several, which happens
    /// only to copies that were made for another next hop.
    pub(super) async fn deliver(&self, copy: &Copy, may_go: MayGo<'_>) -> Delivery {
        let mut domains: Vec<&str> = Vec::new();
        for recipient in &copy.recipients {
            let domain = recipient.permit.recipient().domain().ascii();
            if !domains.contains(&domain) {
                domains.push(domain);
            }
        }
        if let [domain] = domains[..] {
            return self.deliver_to(domain, copy, may_go).await;
        }
        let mut fates: Vec<Option<Fate>> = vec![None; copy.recipients.len()];
        let mut parts = Vec::new();
        for domain in domains {
            let is_there = |at: &usize| copy.recipients[*at].permit.recipient().domain().ascii() == domain;
            let there: Vec<usize> = (0..copy.recipients.len()).filter(is_there).collect();
            let recipients = there.iter().map(|&at| copy.recipients[at].clone()).collect();
            let part = Copy { recipients, ..copy.clone() };
            let delivery = self.deliver_to(domain, &part, may_go).await;
            for (at, fate) in there.into_iter().zip(&delivery.fates) {
                fates[at] = Some(fate.clone());
            }
            parts.push(delivery);
        }
        together(fates.into_iter().flatten().collect(), &parts)
    }

    async fn deliver_to(&self, domain: &str, copy: &Copy, may_go: MayGo<'_>) -> Delivery {
        match self.pool_of(domain) {
            Some(pool) => {
                if self.common.places.available_permits() == 0 {
                    self.make_room(domain).await;
                }
                pool.deliver(copy, may_go).await
            }
            None => Delivery {
                fates: client::all_deferred(copy, &Failure::Busy),
                next_hop: self.name().to_owned(),
                tls: None,
                down: true,
                unable: false,
                dsn_passed_on: false,
            },
        }
    }

    /// The pool of a domain; `None` when as many as may be remembered are in use.
    fn pool_of(&self, domain: &str) -> Option<Pool> {
        let mut pools = self.pools();
        if let Some(pool) = pools.get(domain) {
            return Some(pool.clone());
        }
        if pools.len() >= self.common.hop.domains.max(1) {
            // Those that remember nothing worth keeping go first; then any that nobody uses.
            pools.retain(|_, pool| !pool.is_forgettable());
            if pools.len() >= self.common.hop.domains.max(1) {
                pools.retain(|_, pool| pool.is_in_use());
            }
            if pools.len() >= self.common.hop.domains.max(1) {
                return None;
            }
        }
        let settings = settings::PoolSettings {
            connections: self.common.hop.per_domain.max(1),
            per_minute: None,
            ..self.pool
        };
        let dialer = dial::Domain::new(domain, self.common.clone());
        let pool = Pool::of_domain(dialer, settings, self.rate.clone());
        pools.insert(domain.to_owned(), pool.clone());
        Some(pool)
    }

    /// Give up idle connections to other domains.
    async fn make_room(&self, domain: &str) {
        let others: Vec<Pool> = {
            let pools = self.pools();
            pools.iter().filter(|(name, _)| *name != domain).map(|(_, pool)| pool.clone()).collect()
        };
        for pool in others {
            pool.close().await;
        }
    }

    pub(super) async fn close(&self) {
        let all: Vec<Pool> = self.pools().values().cloned().collect();
        for pool in all {
            pool.close().await;
        }
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<String, Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts of one copy as one delivery.
fn together(fates: Vec<Fate>, parts: &[Delivery]) -> Delivery {
    let names: Vec<&str> = parts.iter().map(|part| part.next_hop.as_str()).collect();
    let secured: Vec<&str> = parts.iter().filter_map(|part| part.tls.as_deref()).collect();
    Delivery {
        fates,
        next_hop: names.join(", "),
        tls: (secured.len() == parts.len()).then(|| secured.join(", ")),
        down: parts.iter().all(|part| part.down),
        unable: parts.iter().all(|part| part.unable),
        dsn_passed_on: parts.iter().all(|part| part.dsn_passed_on),
    }
}
