//! One domain's mail: from its name to a connection that is ready for MAIL.
//!
//! What a server's certificate must be is decided per host, the strictest first: DANE where DNSSEC proves its records
//! (RFC 7672), MTA-STS where the domain has a policy (RFC 8461), else whatever the config asks of everybody. Only
//! opportunistic TLS may end in the clear, and only after a handshake that failed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::find::{self, Addresses, Host};
use super::sts::{Mode, Policy};
use super::{Common, sts};
use crate::net;
use crate::net::dane;
use crate::net::dns::DnsError;
use crate::relay::client::{Connection, Dialer};
use crate::relay::failure::{Failure, Phase};
use crate::relay::{SmtpHop, TlsMode};

/// Connections that are tried for one copy (RFC 5321 5.1 wants at least two). A host that DNS cannot say more of is one.
const TRIES: usize = 5;
/// Connects, handshakes and greetings for one connection take no longer than so many times the limit of a connect.
const CONNECTS: u32 = 10;
/// A host that could not be used, or said 421, comes after the others for so long.
const TIRED: Duration = Duration::from_secs(5 * 60);

/// Connects to the servers of one domain.
#[derive(Debug)]
pub(in crate::relay) struct Domain {
    domain: String,
    common: Arc<Common>,
    /// Hosts that are tried last for a while; no more than one domain names.
    tired: Mutex<HashMap<String, Instant>>,
}

/// What is left for one connection.
#[derive(Debug)]
struct Budget {
    tries: usize,
    lookups: Duration,
}

/// What is asked of a host's TLS.
#[derive(Debug)]
enum Security {
    /// As the config has it for everybody.
    Any(TlsMode),
    /// RFC 7672 2.2: records that cannot be used ask for TLS with whoever it is.
    Encrypted,
    /// RFC 7672: under the name that the records stand at.
    Dane(Arc<ClientConfig>, String),
    /// RFC 8461, enforced.
    Sts,
    /// RFC 8461, being tested: what enforcing would have stopped goes, and the log says so.
    Tested,
}

impl Domain {
    pub(in crate::relay) fn new(domain: &str, common: Arc<Common>) -> Self {
        Self { domain: domain.to_owned(), common, tired: Mutex::default() }
    }

    pub(in crate::relay) fn name(&self) -> String {
        format!("mx {}", self.domain)
    }

    pub(in crate::relay) fn connect_limit(&self) -> Duration {
        self.common.timeouts.connect
    }

    /// `host` asked us to go away: others first, for a while.
    pub(in crate::relay) fn tire(&self, host: &str) {
        let mut tired = self.tired();
        tired.retain(|_, since| since.elapsed() < TIRED);
        tired.insert(host.to_owned(), Instant::now());
    }

    /// Whether another domain waits for the place that an idle connection would keep.
    pub(in crate::relay) fn is_waited_for(&self) -> bool {
        self.common.waiting.load(Ordering::Relaxed) > 0 && self.common.places.available_permits() == 0
    }

    /// Connect to the first of its servers that can be used. What is final is so for the whole domain.
    pub(in crate::relay) async fn dial(&self) -> Result<Connection, Failure> {
        let lookups = self.common.hop.lookups;
        let limit = lookups + self.common.wait + self.common.timeouts.connect * CONNECTS;
        let mut budget = Budget { tries: TRIES, lookups };
        let dial = async {
            match find::literal(&self.domain) {
                Some(ip) => self.dial_literal(ip, &mut budget).await,
                None => self.dial_hosts(&mut budget).await,
            }
        };
        timeout(limit, dial).await.unwrap_or(Err(Failure::Timeout(Phase::Connect)))
    }

    /// One of the places that all domains share. Taken for a connect, never for a question: who keeps us waiting for
    /// an answer of DNS holds up nobody else.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let _waiting = Waiting::new(&self.common.waiting);
        match timeout(self.common.wait, self.common.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Failure::Busy),
        }
    }

    /// What `question` finds in the time that is left for all of them. One that fails is a try.
    async fn look_up<T>(
        &self,
        budget: &mut Budget,
        question: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let since = Instant::now();
        let found = timeout(budget.lookups, question).await.unwrap_or_else(|_| {
            let (domain, limit) = (&self.domain, self.common.hop.lookups.as_secs());
            Err(Failure::Dns(format!("the name servers of {domain} did not say all within {limit} s")))
        });
        budget.lookups = budget.lookups.saturating_sub(since.elapsed());
        if matches!(found, Err(Failure::Dns(_))) {
            budget.tries = budget.tries.saturating_sub(1);
        }
        found
    }

    /// `user@[192.0.2.1]`.
    async fn dial_literal(&self, ip: IpAddr, budget: &mut Budget) -> Result<Connection, Failure> {
        if !self.common.hop.private && !net::public::is_public(ip) {
            return Err(Failure::NoHost(format!("{} is a private address", self.domain)));
        }
        let security = Security::Any(self.common.hop.tls);
        self.dial_addresses(&ip.to_string(), &[ip], &security, budget).await
    }

    async fn dial_hosts(&self, budget: &mut Budget) -> Result<Connection, Failure> {
        let common = &self.common;
        let world = &common.hop.world;
        let hosts = find::hosts(&*world.internet, &self.domain, &common.helo, &*world.entropy);
        let hosts = self.look_up(budget, hosts).await?;
        // Without the answer it is not known what the domain asks for, so nothing is sent.
        let policy = async { Ok(common.policies.policy(&self.domain).await) };
        let policy = if common.hop.mta_sts { self.look_up(budget, policy).await? } else { None };
        let mut failed: Option<Failure> = None;
        for host in self.rested_first(hosts) {
            if budget.tries == 0 {
                break;
            }
            match self.dial_host(&host, policy.as_ref(), budget).await {
                Ok(connection) => return Ok(connection),
                // The others are no better than we are, and no place is free for them either.
                Err(failure @ (Failure::Loop(_) | Failure::Busy)) => return Err(failure),
                Err(failure) => {
                    tracing::debug!(domain = self.domain, host = host.name, %failure, "a host cannot be used");
                    self.tire(&host.name);
                    // One that may work later is worth another try, whatever is wrong with the others.
                    if failed.as_ref().is_none_or(|first| !first.retryable() && failure.retryable()) {
                        failed = Some(failure);
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| Failure::NoHost(format!("{} has no mail server", self.domain))))
    }

    /// In their order, but those that are tired at the end.
    fn rested_first(&self, hosts: Vec<Host>) -> Vec<Host> {
        let tired = self.tired();
        let is_tired = |host: &Host| tired.get(&host.name).is_some_and(|since| since.elapsed() < TIRED);
        let (last, first): (Vec<_>, Vec<_>) = hosts.into_iter().partition(is_tired);
        first.into_iter().chain(last).collect()
    }

    async fn dial_host(
        &self,
        host: &Host,
        policy: Option<&Policy>,
        budget: &mut Budget,
    ) -> Result<Connection, Failure> {
        let hop = &self.common.hop;
        let found = async {
            let internet = &*hop.world.internet;
            let names = if hop.dns.dnssec {
                find::follow(internet, &host.name).await?
            } else {
                find::Names::own(&host.name)
            };
            let addresses = find::addresses(internet, names.end(), hop.ip_versions, hop.private).await?;
            let security = self.security(host, &names, &addresses, policy).await?;
            Ok((addresses, security))
        };
        let (addresses, security) = self.look_up(budget, found).await?;
        self.dial_addresses(&host.name, &addresses.ips, &security, budget).await
    }

    async fn dial_addresses(
        &self,
        host: &str,
        ips: &[IpAddr],
        security: &Security,
        budget: &mut Budget,
    ) -> Result<Connection, Failure> {
        let place = self.place().await?;
        let mut failed = None;
        for ip in ips {
            if budget.tries == 0 {
                break;
            }
            budget.tries -= 1;
            match self.dial_address(host, *ip, security).await {
                Ok(mut connection) => {
                    connection.place = Some(place);
                    return Ok(connection);
                }
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        Err(failed.unwrap_or_else(|| Failure::Connect(format!("{host}: tried {TRIES} others before it"))))
    }

    /// What `host` must show; `Err` when it may not be used.
    async fn security(
        &self,
        host: &Host,
        names: &find::Names,
        addresses: &Addresses,
        policy: Option<&Policy>,
    ) -> Result<Security, Failure> {
        if let Some(dane) = self.dane(host, names, addresses).await? {
            return Ok(dane);
        }
        let Some(policy) = policy else { return Ok(Security::Any(self.common.hop.tls)) };
        let named = policy.names(&host.name);
        match policy.mode {
            sts::Mode::Enforce if named => Ok(Security::Sts),
            Mode::Enforce => {
                let why =
                    format!("{} is no server that the MTA-STS policy of {} names", host.name, self.domain);
                Err(Failure::Tls(why))
            }
            Mode::Testing if named && self.common.hop.tls != TlsMode::None => Ok(Security::Tested),
            Mode::Testing | Mode::None => {
                if policy.mode == Mode::Testing && !named {
                    self.warn_of_test(&host.name, "it is no server that the policy names");
                }
                Ok(Security::Any(self.common.hop.tls))
            }
        }
    }

    /// DANE, where DNSSEC proves server, addresses and records.
    async fn dane(
        &self,
        host: &Host,
        names: &find::Names,
        addresses: &Addresses,
    ) -> Result<Option<Security>, Failure> {
        if !(self.common.hop.dns.dnssec && host.secure) {
            return Ok(None);
        }
        for base in names.bases(addresses.secure) {
            let found = self.proven_tlsa(base).await?;
            if found.is_empty() {
                continue;
            }
            if !found.iter().any(dane::Tlsa::is_usable) {
                return Ok(Some(Security::Encrypted));
            }
            let config = dane::client_config(&found, &[base, &self.domain]);
            let config = config.map_err(|error| Failure::Tls(error.to_string()))?;
            return Ok(Some(Security::Dane(config, base.to_owned())));
        }
        Ok(None)
    }

    /// The TLSA records of `base` that DNSSEC proves.
    async fn proven_tlsa(&self, base: &str) -> Result<Vec<dane::Tlsa>, Failure> {
        let name = format!("_{}._tcp.{base}", self.common.hop.port);
        match self.common.hop.world.internet.tlsa(&name).await {
            Ok(found) if found.secure => Ok(found.records),
            Ok(_) | Err(DnsError::NoName) => Ok(Vec::new()),
            // RFC 7672 2.1.2: a host whose records cannot be looked up is left alone, or an attacker would
            // only have to keep the answer back.
            Err(DnsError::Failed(why)) => Err(Failure::Dns(format!("TLSA of {name}: {why}"))),
        }
    }

    fn warn_of_test(&self, host: &str, why: &str) {
        let domain = &self.domain;
        tracing::warn!(domain, host, why, "the MTA-STS policy is being tested: the mail goes all the same");
    }

    async fn dial_address(&self, host: &str, ip: IpAddr, security: &Security) -> Result<Connection, Failure> {
        let common = &self.common;
        if let Security::Tested = security {
            // Boxed: it is this very function.
            match Box::pin(self.dial_address(host, ip, &Security::Sts)).await {
                Err(failure) if is_of_tls(&failure) || matches!(failure, Failure::NoStartTls) => {
                    self.warn_of_test(host, &failure.to_string());
                }
                tried => return tried,
            }
        }
        let (mode, config, word) = match security {
            Security::Any(mode) => (*mode, &common.any, ""),
            Security::Tested => (common.hop.tls, &common.any, ""),
            Security::Encrypted => (TlsMode::StartTls, &common.any, ""),
            Security::Dane(config, _) => (TlsMode::StartTls, config, " dane"),
            Security::Sts => (TlsMode::StartTls, &common.public, " mta-sts"),
        };
        let hop = SmtpHop { tls: mode, ..SmtpHop::new(host, common.hop.port) };
        let tls_name = if let Security::Dane(_, base) = security { Some(base.clone()) } else { None };
        let tried = self.over(SmtpHop { tls_name, ..hop.clone() }, ip, config).await;
        let mut connection = match tried {
            Err(failure) if mode == TlsMode::Opportunistic && is_of_tls(&failure) => {
                tracing::info!(domain = self.domain, host, %failure, "no TLS with this host; in the clear");
                self.over(SmtpHop { tls: TlsMode::None, ..hop }, ip, config).await?
            }
            tried => tried?,
        };
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        connection.name_peer(format!("{bracketed}:{}", common.hop.port), word);
        Ok(connection)
    }

    async fn over(
        &self,
        hop: SmtpHop,
        ip: IpAddr,
        config: &Arc<ClientConfig>,
    ) -> Result<Connection, Failure> {
        let common = &self.common;
        let tcp = net::connect(&ip.to_string(), hop.port, common.timeouts.connect).await;
        let tcp = tcp.map_err(|error| Failure::Connect(format!("{}: {error}", hop.host)))?;
        let dialer = Dialer::to_mail_server(hop, common.helo.clone(), common.timeouts, config.clone());
        dialer.over(tcp, None).await
    }

    fn tired(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.tired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a dial among those that wait, as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether TLS is what failed.
fn is_of_tls(failure: &Failure) -> bool {
    match failure {
        Failure::Tls(_) => true,
        Failure::Timeout(phase) | Failure::Lost(phase, _) | Failure::Turned(phase, _) => *phase == Phase::Tls,
        _ => false,
    }
}
