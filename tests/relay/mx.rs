//! Direct delivery against a scripted internet: who is asked, in which order, under which TLS, and what it means when
//! DNS, a policy or a server says no. At the end the whole gateway, with DNS over UDP.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, TLSA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use sluis::app::Running;
use sluis::ledger::Event;
use sluis::mail::sha256;
use sluis::net::dane::Tlsa;
use sluis::net::dns::{self, DnsError, Found, Mx, Resolver};
use sluis::net::tls::Trust;
use sluis::relay::{
    Asked, Delivery, Handed, Internet, IpVersions, MxHop, NextHop as Kind, Relay, Settings, TlsMode, World,
};
use sluis::secret::SystemEntropy;
use tokio::net::{TcpListener, UdpSocket};

use super::secure::{certificate_of, offering};
use super::support::gateway::{INVOICES, config_text, free_port, message, start};
use super::support::next_hop::{Answer, EVERYTHING, Moment, NextHop};
use super::support::patience::until;
use super::support::smtp::Client;
use super::trail::Log;
use super::{MESSAGE, brief, copy_of, free};

/// What the internet says; what is not written down does not exist.
#[derive(Debug, Default)]
struct Zone {
    said: Mutex<Said>,
    /// Fetches of policies.
    fetches: AtomicUsize,
    /// Questions for addresses that were never answered.
    unanswered: AtomicUsize,
}

#[derive(Debug, Default)]
struct Said {
    /// Hosts whose name server says nothing at all.
    silent: std::collections::HashSet<String>,
    mx: HashMap<String, Result<Found<Mx>, DnsError>>,
    ips: HashMap<String, Result<Found<IpAddr>, DnsError>>,
    aliases: HashMap<String, Result<Found<String>, DnsError>>,
    tlsa: HashMap<String, Result<Found<Tlsa>, DnsError>>,
    txt: HashMap<String, Vec<String>>,
    policies: HashMap<String, String>,
}

impl Zone {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap()
    }

    fn mx(&self, domain: &str, hosts: &[(u16, &str)]) {
        let records =
            hosts.iter().map(|(preference, host)| Mx { preference: *preference, host: (*host).into() });
        self.said().mx.insert(domain.into(), Ok(Found { records: records.collect(), secure: true }));
    }

    fn ip(&self, host: &str, ips: &[&str]) {
        let records = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        self.said().ips.insert(host.into(), Ok(Found { records, secure: true }));
    }

    fn policy(&self, domain: &str, id: &str, mode: &str, mx: &str) {
        let text = format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 86400\n");
        self.said().txt.insert(format!("_mta-sts.{domain}"), vec![format!("v=STSv1; id={id}")]);
        self.said().policies.insert(domain.into(), text);
    }

    fn unless_silent(&self, host: &str, four: bool) -> Asked<'_, Result<Found<IpAddr>, DnsError>> {
        if !self.said().silent.contains(host) {
            return Box::pin(std::future::ready(self.family(host, four)));
        }
        self.unanswered.fetch_add(1, Ordering::SeqCst);
        // As a resolver gives up on a question.
        Box::pin(async {
            tokio::time::sleep(std::time::Duration::from_secs(15)).await;
            Err(DnsError::Failed("no answer".to_owned()))
        })
    }

    fn family(&self, host: &str, four: bool) -> Result<Found<IpAddr>, DnsError> {
        let mut found = self.said().ips.get(host).cloned().unwrap_or(Err(DnsError::NoName))?;
        found.records.retain(|ip| ip.is_ipv4() == four);
        Ok(found)
    }
}

impl Internet for Zone {
    fn mx<'a>(&'a self, domain: &'a str) -> Asked<'a, Result<Found<Mx>, DnsError>> {
        let found = self.said().mx.get(domain).cloned().unwrap_or(Err(DnsError::NoName));
        Box::pin(std::future::ready(found))
    }

    fn ipv4<'a>(&'a self, host: &'a str) -> Asked<'a, Result<Found<IpAddr>, DnsError>> {
        self.unless_silent(host, true)
    }

    fn ipv6<'a>(&'a self, host: &'a str) -> Asked<'a, Result<Found<IpAddr>, DnsError>> {
        self.unless_silent(host, false)
    }

    fn alias<'a>(&'a self, host: &'a str) -> Asked<'a, Result<Found<String>, DnsError>> {
        let found = self.said().aliases.get(host).cloned().unwrap_or(Err(DnsError::NoName));
        Box::pin(std::future::ready(found))
    }

    fn tlsa<'a>(&'a self, name: &'a str) -> Asked<'a, Result<Found<Tlsa>, DnsError>> {
        let found = self.said().tlsa.get(name).cloned().unwrap_or(Err(DnsError::NoName));
        Box::pin(std::future::ready(found))
    }

    fn txt<'a>(&'a self, name: &'a str) -> Asked<'a, Result<Found<String>, DnsError>> {
        let found = self.said().txt.get(name).cloned().map(|records| Found { records, secure: false });
        Box::pin(std::future::ready(found.ok_or(DnsError::NoName)))
    }

    fn policy<'a>(&'a self, domain: &'a str) -> Asked<'a, Result<String, String>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let text = self.said().policies.get(domain).cloned().ok_or("no such file".to_owned());
        Box::pin(std::future::ready(text))
    }
}

/// A zone, and the port that all its servers have.
struct Rig {
    zone: Arc<Zone>,
    port: u16,
}

impl Rig {
    async fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        Self { zone: Arc::default(), port }
    }

    fn at(&self, ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), self.port)
    }

    /// The address of the only server of `example.org`, another one each time: a port is not free at once when its
    /// server stops.
    fn next(&self, case: usize) -> SocketAddr {
        let ip = format!("127.0.1.{}", case + 1);
        self.zone.mx("example.org", &[(10, "mx.example.org")]);
        self.zone.ip("mx.example.org", &[&ip]);
        self.at(&ip)
    }

    /// A friendly server there.
    async fn server(&self, ip: &str) -> NextHop {
        NextHop::at(self.at(ip), EVERYTHING, |_, _| None).await
    }

    fn hop(&self) -> MxHop {
        let world = World { internet: self.zone.clone(), entropy: Arc::new(SystemEntropy) };
        MxHop { port: self.port, private: true, ..MxHop::new(world) }
    }

    fn relay_with(&self, change: impl FnOnce(&mut MxHop, &mut Settings)) -> Relay {
        let mut hop = self.hop();
        let mut settings = Settings::new(Kind::Directory("nowhere".into()), "gateway.example");
        change(&mut hop, &mut settings);
        Relay::new(Settings { next_hop: Kind::Mx(hop), ..settings }).unwrap()
    }

    fn relay(&self) -> Relay {
        self.relay_with(|_, _| {})
    }
}

async fn to(relay: &Relay, recipient: &str) -> Delivery {
    relay.deliver(&copy_of(MESSAGE, &[recipient]), &free).await
}

async fn fate(relay: &Relay, recipient: &str) -> String {
    brief(&to(relay, recipient).await.fates[0])
}

#[tokio::test]
async fn rfc_5321_5_1_the_next_server_takes_over_and_its_connection_is_kept() {
    let rig = Rig::new().await;
    rig.zone.mx("example.org", &[(20, "mx2.example.org"), (10, "mx1.example.org")]);
    rig.zone.ip("mx1.example.org", &["127.0.0.2", "127.0.0.3"]);
    rig.zone.ip("mx2.example.org", &["127.0.0.4"]);
    let mut second = rig.server("127.0.0.4").await;
    let relay = rig.relay();
    for _ in 0..2 {
        let delivery = to(&relay, "a@example.org").await;
        assert_eq!(brief(&delivery.fates[0]), "relayed 250 2.0.0");
        assert_eq!((delivery.next_hop, delivery.down), (format!("mx2.example.org:{}", rig.port), false));
        assert_eq!(second.next().await.rcpt, ["<a@example.org>"]);
    }
    assert_eq!(second.connections(), 1);
    // The first one is back, but it was away a moment ago: who works goes first.
    let mut first = rig.server("127.0.0.3").await;
    relay.close().await;
    assert_eq!(fate(&relay, "a@example.org").await, "relayed 250 2.0.0");
    second.next().await;
    // Somebody who has not seen it away goes by preference, to its second address.
    assert_eq!(fate(&rig.relay(), "a@example.org").await, "relayed 250 2.0.0");
    first.next().await;
}

#[tokio::test]
async fn rfc_5321_5_1_a_server_that_says_421_comes_after_the_others() {
    let rig = Rig::new().await;
    rig.zone.mx("example.org", &[(10, "mx1.example.org"), (20, "mx2.example.org")]);
    rig.zone.ip("mx1.example.org", &["127.0.0.2"]);
    rig.zone.ip("mx2.example.org", &["127.0.0.3"]);
    let busy = |_, line: &str| {
        line.starts_with("MAIL").then(|| Answer::SayAndHangUp("421 4.3.2 busy\r\n".to_owned()))
    };
    let _first = NextHop::at(rig.at("127.0.0.2"), EVERYTHING, busy).await;
    let mut second = rig.server("127.0.0.3").await;
    let relay = rig.relay();
    assert_eq!(fate(&relay, "a@example.org").await, "deferred 421 4.3.2");
    assert_eq!(fate(&relay, "a@example.org").await, "relayed 250 2.0.0");
    second.next().await;
}

#[tokio::test]
async fn rfc_5321_5_1_without_mx_the_domain_itself_is_the_server() {
    let rig = Rig::new().await;
    rig.zone.mx("example.org", &[]);
    rig.zone.ip("example.org", &["127.0.0.2"]);
    let mut server = rig.server("127.0.0.2").await;
    assert_eq!(to(&rig.relay(), "a@example.org").await.next_hop, format!("example.org:{}", rig.port));
    server.next().await;
    assert_eq!(fate(&rig.relay(), "a@[127.0.0.2]").await, "relayed 250 2.0.0");
    assert_eq!(server.next().await.rcpt, ["<a@[127.0.0.2]>"]);
    let mut six = rig.server("::1").await;
    assert_eq!(to(&rig.relay(), "a@[IPv6:::1]").await.next_hop, format!("[::1]:{}", rig.port));
    six.next().await;
}

#[tokio::test]
async fn p15_what_dns_says_for_good_is_a_refusal_and_what_it_cannot_say_a_wait() {
    let rig = Rig::new().await;
    let zone = &rig.zone;
    zone.mx("null.example", &[(0, "")]);
    zone.mx("empty.example", &[(10, "mx.empty.example")]);
    zone.mx("private.example", &[(10, "mx.private.example")]);
    zone.ip("mx.private.example", &["10.0.0.1", "127.0.0.1", "fd00::1"]);
    zone.mx("ours.example", &[(10, "gateway.example"), (20, "backup.example")]);
    zone.mx("nothing.example", &[]);
    let failed = || DnsError::Failed("no answer".to_owned());
    zone.said().mx.insert("lame.example".to_owned(), Err(failed()));
    zone.mx("half.example", &[(10, "mx.empty.example"), (20, "mx.half.example")]);
    zone.said().ips.insert("mx.half.example".to_owned(), Err(failed()));
    let relay = rig.relay_with(|hop, _| hop.private = false);
    for (domain, expected, down) in [
        ("typo.example", "refused 550 5.1.2", false),
        ("null.example", "refused 556 5.1.10", false),
        ("empty.example", "refused 550 5.4.4", false),
        ("nothing.example", "refused 550 5.4.4", false),
        ("private.example", "refused 550 5.4.4", false),
        ("[127.0.0.1]", "refused 550 5.4.4", false),
        ("ours.example", "refused 554 5.4.6", false),
        ("lame.example", "deferred 451 4.4.3", true),
        ("half.example", "deferred 451 4.4.3", true),
    ] {
        let delivery = to(&relay, &format!("a@{domain}")).await;
        assert_eq!((brief(&delivery.fates[0]).as_str(), delivery.down), (expected, down), "{domain}");
    }
}

#[tokio::test]
async fn p1_a_server_that_greets_with_our_own_name_is_a_loop() {
    let rig = Rig::new().await;
    rig.zone.mx("example.org", &[(10, "mx.example.org")]);
    rig.zone.ip("mx.example.org", &["127.0.0.2"]);
    let us = |moment, _: &str| {
        let greets = moment == Moment::Greeting;
        greets.then(|| Answer::Say("220 Gateway.example ESMTP\r\n".to_owned()))
    };
    let mut server = NextHop::at(rig.at("127.0.0.2"), EVERYTHING, us).await;
    assert_eq!(fate(&rig.relay(), "a@example.org").await, "refused 554 5.4.6");
    assert!(server.try_next().is_none());
}

#[tokio::test]
async fn ipv6_and_ipv4_by_turns_or_one_of_them() {
    let rig = Rig::new().await;
    rig.zone.mx("example.org", &[(10, "mx.example.org")]);
    rig.zone.ip("mx.example.org", &["127.0.0.2", "::1"]);
    let (mut four, mut six) = (rig.server("127.0.0.2").await, rig.server("::1").await);
    for (versions, is_six) in [(IpVersions::Both, true), (IpVersions::V4, false), (IpVersions::V6, true)] {
        let relay = rig.relay_with(|hop, _| hop.ip_versions = versions);
        assert_eq!(fate(&relay, "a@example.org").await, "relayed 250 2.0.0");
        let server = if is_six { &mut six } else { &mut four };
        server.next().await;
    }
    drop(six);
    assert_eq!(fate(&rig.relay(), "a@example.org").await, "relayed 250 2.0.0", "the other address");
    four.next().await;
}

#[tokio::test]
async fn rfc_7435_tls_where_it_is_offered_and_works_else_in_the_clear() {
    let rig = Rig::new().await;
    let stranger = certificate_of("whoever.example");
    let (offered, server) = (offering("STARTTLS"), Some(stranger.server.clone()));
    for (case, (extensions, server, mode, expected, secured)) in [
        (&offered[..], server.clone(), TlsMode::Opportunistic, "relayed 250 2.0.0", true),
        (EVERYTHING, None, TlsMode::Opportunistic, "relayed 250 2.0.0", false),
        // It offers what it cannot do: it hangs up at the handshake.
        (&offered, None, TlsMode::Opportunistic, "relayed 250 2.0.0", false),
        (&offered, server.clone(), TlsMode::StartTls, "relayed 250 2.0.0", true),
        (EVERYTHING, None, TlsMode::StartTls, "deferred 451 4.7.5", false),
        (&offered, server, TlsMode::None, "relayed 250 2.0.0", false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut hop = NextHop::at_with_tls(rig.next(case), extensions, server, |_, _| None).await;
        let delivery = to(&rig.relay_with(|hop, _| hop.tls = mode), "a@example.org").await;
        assert_eq!(brief(&delivery.fates[0]), expected, "{mode:?}");
        assert_eq!(delivery.tls.is_some(), secured, "{mode:?}");
        assert_eq!(hop.try_next().is_some(), expected.starts_with("relayed"));
    }
}

#[tokio::test]
async fn rfc_8461_5_enforce_wants_a_named_server_with_a_public_certificate() {
    let rig = Rig::new().await;
    let (right, wrong) = (certificate_of("mx.example.org"), certificate_of("mx.example.net"));
    let offered = offering("STARTTLS");
    for (case, (mode, mx, certificate, expected)) in [
        ("enforce", "mx.example.org", Some(&right), "relayed 250 2.0.0 mta-sts"),
        ("enforce", "*.example.org", Some(&right), "relayed 250 2.0.0 mta-sts"),
        ("enforce", "mx.example.net", Some(&right), "deferred 451 4.7.5"),
        ("enforce", "mx.example.org", Some(&wrong), "deferred 451 4.7.5"),
        ("enforce", "mx.example.org", None, "deferred 451 4.7.5"),
        ("testing", "mx.example.net", Some(&wrong), "relayed 250 2.0.0"),
        ("testing", "mx.example.org", Some(&wrong), "relayed 250 2.0.0"),
        ("testing", "mx.example.org", None, "relayed 250 2.0.0"),
        ("testing", "mx.example.org", Some(&right), "relayed 250 2.0.0 mta-sts"),
        ("none", "mx.example.net", None, "relayed 250 2.0.0"),
    ]
    .into_iter()
    .enumerate()
    {
        rig.zone.policy("example.org", "1", mode, mx);
        let server = certificate.map(|certificate| certificate.server.clone());
        let extensions = if certificate.is_some() { &offered[..] } else { EVERYTHING };
        let mut hop = NextHop::at_with_tls(rig.next(case), extensions, server, |_, _| None).await;
        let trust = |name: &super::secure::Certificate| name.trust.clone();
        let relay = rig.relay_with(|hop, _| hop.trust = certificate.map_or(Trust::Anybody, trust));
        let delivery = to(&relay, "a@example.org").await;
        let believed = delivery.tls.as_deref().and_then(|tls| tls.split(' ').nth(2)).unwrap_or_default();
        let got = format!("{} {believed}", brief(&delivery.fates[0]));
        assert_eq!(got.trim_end(), expected, "{mode} {mx}");
        assert_eq!(hop.try_next().is_some(), expected.starts_with("relayed"), "{mode} {mx}");
    }
}

#[tokio::test]
async fn rfc_8461_5_what_a_policy_under_test_would_have_stopped_is_in_the_log() {
    let rig = Rig::new().await;
    let (right, wrong) = (certificate_of("mx.example.org"), certificate_of("mx.example.net"));
    let offered = offering("STARTTLS");
    for (case, (mx, certificate, expected)) in [
        ("mx.example.org", Some(&right), None),
        ("mx.example.net", Some(&right), Some("it is no server that the policy names")),
        ("mx.example.org", Some(&wrong), Some("TLS failed: ")),
        ("mx.example.org", None, Some("the next hop does not offer STARTTLS")),
    ]
    .into_iter()
    .enumerate()
    {
        let log = Log::default();
        let _guard = log.keep();
        rig.zone.policy("example.org", "1", "testing", mx);
        let server = certificate.map(|certificate| certificate.server.clone());
        let extensions = if certificate.is_some() { &offered[..] } else { EVERYTHING };
        let hop = NextHop::at_with_tls(rig.next(case), extensions, server, |_, _| None).await;
        let relay = rig.relay_with(|hop, _| hop.trust = right.trust.clone());
        assert_eq!(fate(&relay, "a@example.org").await, "relayed 250 2.0.0", "{mx}");
        let warned: Vec<_> = log.all().into_iter().filter(|line| line["level"] == "WARN").collect();
        assert_eq!(warned.len(), usize::from(expected.is_some()), "{warned:?}");
        for (line, expected) in warned.iter().zip(expected) {
            let fields = &line["fields"];
            assert!(fields["why"].as_str().unwrap().starts_with(expected), "{line}");
            assert_eq!(
                (&fields["domain"], &fields["host"]),
                (&"example.org".into(), &"mx.example.org".into())
            );
            let message = fields["message"].as_str().unwrap();
            assert_eq!(message, "the MTA-STS policy is being tested: the mail goes all the same");
        }
        drop(hop);
    }
}

#[tokio::test]
async fn rfc_8461_5_1_a_policy_is_kept_and_fetched_again_when_its_id_changes() {
    let rig = Rig::new().await;
    rig.zone.mx("example.org", &[(10, "mx.example.org")]);
    rig.zone.ip("mx.example.org", &["127.0.0.2"]);
    let mut server = rig.server("127.0.0.2").await;
    rig.zone.policy("example.org", "1", "enforce", "other.example.org");
    let relay = rig.relay_with(|_, settings| settings.pool.pause = std::time::Duration::ZERO);
    let fetches = || rig.zone.fetches.load(Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(fate(&relay, "a@example.org").await, "deferred 451 4.7.5");
    }
    assert_eq!(fetches(), 1, "the second time it is known");
    // Who takes the record away does not take the policy away.
    rig.zone.said().txt.clear();
    assert_eq!(fate(&relay, "a@example.org").await, "deferred 451 4.7.5");
    // A new id, and a web server that is away: what is known still counts, and it is not asked all the time.
    rig.zone.policy("example.org", "2", "none", "mx.example.org");
    let text = rig.zone.said().policies.remove("example.org").unwrap();
    for _ in 0..2 {
        assert_eq!(fate(&relay, "a@example.org").await, "deferred 451 4.7.5");
    }
    assert_eq!(fetches(), 2);
    rig.zone.said().policies.insert("example.org".to_owned(), text);
    rig.zone.said().txt.insert("_mta-sts.example.org".to_owned(), vec!["v=STSv1; id=3".to_owned()]);
    assert_eq!(fate(&relay, "a@example.org").await, "relayed 250 2.0.0");
    server.next().await;
    // A domain whose policy was never seen has none.
    rig.zone.said().txt.insert("_mta-sts.example.org".to_owned(), vec!["v=STSv1; id=4".to_owned()]);
    rig.zone.said().policies.clear();
    assert_eq!(fate(&rig.relay(), "a@example.org").await, "relayed 250 2.0.0");
}

#[tokio::test]
async fn rfc_7672_2_2_tlsa_records_that_dnssec_proves_decide() {
    let rig = Rig::new().await;
    let (right, wrong) = (certificate_of("elsewhere.example"), certificate_of("mx.example.org"));
    let name = format!("_{}._tcp.mx.example.org", rig.port);
    let record = |usage, matching, of: &super::secure::Certificate| {
        Ok(vec![Tlsa { usage, selector: 0, matching, data: sha256(&of.der).to_vec() }])
    };
    let failed = || Err(DnsError::Failed("no answer".to_owned()));
    let offered = offering("STARTTLS");
    for (at, (case, records, proven, mx_proven, extensions, expected)) in [
        ("right", record(3, 1, &right), true, true, &offered[..], "relayed 250 2.0.0 dane"),
        ("wrong", record(3, 1, &wrong), true, true, &offered, "deferred 451 4.7.5"),
        ("no TLS", record(3, 1, &right), true, true, EVERYTHING, "deferred 451 4.7.5"),
        ("none", Ok(Vec::new()), true, true, EVERYTHING, "relayed 250 2.0.0"),
        ("no name", Err(DnsError::NoName), true, true, EVERYTHING, "relayed 250 2.0.0"),
        ("kept back", failed(), true, true, &offered, "deferred 451 4.4.3"),
        ("unproven", record(3, 1, &wrong), false, true, &offered, "relayed 250 2.0.0"),
        ("unproven MX", record(3, 1, &wrong), true, false, &offered, "relayed 250 2.0.0"),
        ("unusable", record(1, 1, &wrong), true, true, &offered, "relayed 250 2.0.0"),
        ("unusable, no TLS", record(1, 1, &wrong), true, true, EVERYTHING, "deferred 451 4.7.5"),
    ]
    .into_iter()
    .enumerate()
    {
        let address = rig.next(at);
        let mx = vec![Mx { preference: 10, host: "mx.example.org".to_owned() }];
        rig.zone.said().mx.insert("example.org".into(), Ok(Found { records: mx, secure: mx_proven }));
        let found = records.map(|records| Found { records, secure: proven });
        rig.zone.said().tlsa.insert(name.clone(), found);
        let server = Some(right.server.clone());
        let mut hop = NextHop::at_with_tls(address, extensions, server, |_, _| None).await;
        let delivery = to(&rig.relay_with(|hop, _| hop.dns.dnssec = true), "a@example.org").await;
        let believed = delivery.tls.as_deref().and_then(|tls| tls.split(' ').nth(2)).unwrap_or_default();
        assert_eq!(format!("{} {believed}", brief(&delivery.fates[0])).trim_end(), expected, "{case}");
        assert_eq!(hop.try_next().is_some(), expected.starts_with("relayed"), "{case}");
    }
}

#[tokio::test]
async fn rfc_7672_2_2_2_an_alias_has_its_records_at_its_end_or_at_its_own_name() {
    fn none<T>() -> Result<Found<T>, DnsError> {
        Err(DnsError::NoName)
    }
    fn failed<T>() -> Result<Found<T>, DnsError> {
        Err(DnsError::Failed("no answer".to_owned()))
    }
    let rig = Rig::new().await;
    let (right, wrong) = (certificate_of("elsewhere.example"), certificate_of("mx.example.org"));
    let of = |certificate: &super::secure::Certificate, secure| {
        let record = Tlsa { usage: 3, selector: 0, matching: 1, data: sha256(&certificate.der).to_vec() };
        Ok(Found { records: vec![record], secure })
    };
    let leads = |to: &str, secure| Ok(Found { records: vec![to.to_owned()], secure });
    let (yes, no) = (|| leads("between.example", true), || leads("between.example", false));
    let offered = offering("STARTTLS");
    for (at, (case, alias, addresses_proven, at_end, at_own, expected)) in [
        ("at the end", yes(), true, of(&right, true), none(), "relayed 250 2.0.0 dane"),
        (
            "at the end, before its own",
            yes(),
            true,
            of(&right, true),
            of(&wrong, true),
            "relayed 250 2.0.0 dane",
        ),
        ("wrong at the end", yes(), true, of(&wrong, true), of(&right, true), "deferred 451 4.7.5"),
        ("at its own name", yes(), true, none(), of(&right, true), "relayed 250 2.0.0 dane"),
        ("unproven at the end", yes(), true, of(&wrong, false), of(&right, true), "relayed 250 2.0.0 dane"),
        ("kept back at the end", yes(), true, failed(), of(&right, true), "deferred 451 4.4.3"),
        (
            "only the alias is proven",
            yes(),
            false,
            of(&wrong, true),
            of(&right, true),
            "relayed 250 2.0.0 dane",
        ),
        ("the same, wrong", yes(), false, of(&right, true), of(&wrong, true), "deferred 451 4.7.5"),
        ("nothing is proven", no(), false, of(&wrong, true), of(&wrong, true), "relayed 250 2.0.0"),
        ("no alias, unproven", none(), false, none(), of(&wrong, true), "relayed 250 2.0.0"),
        ("nobody can say", failed(), true, of(&right, true), of(&right, true), "deferred 451 4.4.3"),
    ]
    .into_iter()
    .enumerate()
    {
        let address = rig.next(at);
        {
            let mut said = rig.zone.said();
            let ips = vec![address.ip()];
            for name in ["mx.example.org", "end.example"] {
                let found = Found { records: ips.clone(), secure: addresses_proven };
                said.ips.insert(name.to_owned(), Ok(found));
            }
            said.aliases.insert("mx.example.org".to_owned(), alias);
            said.aliases.insert("between.example".to_owned(), leads("end.example", true));
            said.tlsa.insert(format!("_{}._tcp.end.example", rig.port), at_end);
            said.tlsa.insert(format!("_{}._tcp.mx.example.org", rig.port), at_own);
        }
        let server = Some(right.server.clone());
        let mut hop = NextHop::at_with_tls(address, &offered, server, |_, _| None).await;
        let delivery = to(&rig.relay_with(|hop, _| hop.dns.dnssec = true), "a@example.org").await;
        let believed = delivery.tls.as_deref().and_then(|tls| tls.split(' ').nth(2)).unwrap_or_default();
        assert_eq!(format!("{} {believed}", brief(&delivery.fates[0])).trim_end(), expected, "{case}");
        assert_eq!(hop.try_next().is_some(), expected.starts_with("relayed"), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn promise_10_a_silent_zone_costs_a_minute_at_most_and_holds_up_nobody_else() {
    let rig = Rig::new().await;
    let names: Vec<String> = (0..40).map(|n| format!("mx{n}.silent.example")).collect();
    let hosts: Vec<(u16, &str)> = names.iter().map(|name| (10, name.as_str())).collect();
    rig.zone.mx("silent.example", &hosts);
    rig.zone.said().silent.extend(names.iter().cloned());
    rig.zone.mx("example.org", &[(10, "mx.example.org")]);
    rig.zone.ip("mx.example.org", &["127.0.0.2"]);
    let relay = rig.relay_with(|_, settings| settings.pool.connections = 1);
    let started = tokio::time::Instant::now();
    let silent = async {
        let delivery = to(&relay, "a@silent.example").await;
        (brief(&delivery.fates[0]), started.elapsed().as_secs())
    };
    let healthy = async {
        // The other one has asked, and waits.
        until(|| rig.zone.unanswered.load(Ordering::SeqCst) > 0).await;
        // It gets as far as a connect that is refused: no server answers by a clock that stands still.
        let fate = fate(&relay, "a@example.org").await;
        (fate, started.elapsed().as_secs())
    };
    let (silent, healthy) = tokio::join!(silent, healthy);
    assert_eq!(healthy, ("deferred 451 4.4.1".to_owned(), 0));
    assert_eq!(silent, ("deferred 451 4.4.3".to_owned(), 60));
    // Both kinds of address, of no more hosts than tries.
    assert!(rig.zone.unanswered.load(Ordering::SeqCst) <= 2 * 5);
}

#[tokio::test]
async fn promise_10_domains_share_the_connections_and_no_domain_holds_up_another() {
    let rig = Rig::new().await;
    let mut servers = Vec::new();
    for (domain, ip) in [("a.example", "127.0.0.2"), ("b.example", "127.0.0.3"), ("c.example", "127.0.0.4")] {
        rig.zone.mx(domain, &[(10, &format!("mx.{domain}"))]);
        rig.zone.ip(&format!("mx.{domain}"), &[ip]);
        servers.push(rig.server(ip).await);
    }
    rig.zone.mx("down.example", &[(10, "mx.down.example")]);
    rig.zone.ip("mx.down.example", &["127.0.0.9"]);
    let relay = rig.relay_with(|hop, settings| {
        settings.pool.connections = 1;
        hop.domains = 2;
    });
    // One connection in all, and two domains remembered: the idle ones make room.
    for round in 0..2 {
        for (domain, server) in ["a.example", "b.example", "c.example"].iter().zip(&mut servers) {
            assert_eq!(fate(&relay, &format!("x@{domain}")).await, "relayed 250 2.0.0", "{domain} {round}");
            server.next().await;
        }
        let down = to(&relay, "x@down.example").await;
        assert_eq!((brief(&down.fates[0]).as_str(), down.down), ("deferred 451 4.4.1", true));
        assert_eq!(down.next_hop, "mx down.example");
    }
}

#[tokio::test]
async fn a_copy_to_several_domains_goes_to_each() {
    let rig = Rig::new().await;
    rig.zone.mx("a.example", &[(10, "mx.a.example")]);
    rig.zone.ip("mx.a.example", &["127.0.0.2"]);
    let mut server = rig.server("127.0.0.2").await;
    let copy = copy_of(MESSAGE, &["1@a.example", "2@none.example", "3@A.example"]);
    let delivery = rig.relay().deliver(&copy, &free).await;
    let fates: Vec<_> = delivery.fates.iter().map(brief).collect();
    assert_eq!(fates, ["relayed 250 2.0.0", "refused 550 5.1.2", "relayed 250 2.0.0"]);
    assert_eq!(delivery.next_hop, format!("mx.a.example:{}, mx none.example", rig.port));
    assert_eq!(server.next().await.rcpt, ["<1@a.example>", "<3@A.example>"]);
}

#[tokio::test]
async fn p5_what_a_domain_lacks_is_known_once_it_was_seen() {
    let rig = Rig::new().await;
    rig.zone.mx("old.example", &[(10, "mx.old.example")]);
    rig.zone.ip("mx.old.example", &["127.0.0.2"]);
    let mut server = NextHop::at(rig.at("127.0.0.2"), &["PIPELINING"], |_, _| None).await;
    let relay = rig.relay();
    let somebody = super::support::address("a@old.example");
    let route = relay.route(Handed::default());
    assert!(relay.is_by_domain(&route));
    assert!(relay.abilities_for(&route, Some(&somebody)).eight_bit, "nearly all can");
    to(&relay, "a@old.example").await;
    server.next().await;
    assert!(!relay.abilities_for(&route, Some(&somebody)).eight_bit);
    assert!(relay.abilities().eight_bit, "and what one domain lacks is not said of all");
}

fn alias_of(name: &str) -> RData {
    RData::CNAME(CNAME(Name::from_ascii(name).unwrap()))
}

/// Answers questions over UDP.
async fn name_server(
    answer: impl Fn(&Name, RecordType) -> Option<Vec<RData>> + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
            let Ok(asked) = Message::from_vec(&buffer[..size]) else { continue };
            let query = asked.queries[0].clone();
            let mut reply = Message::new(asked.metadata.id, MessageType::Response, asked.metadata.op_code);
            reply.metadata.recursion_available = true;
            match answer(query.name(), query.query_type()) {
                _ if query.name().to_ascii() == "lame.example." => {
                    reply.metadata.response_code = ResponseCode::ServFail;
                }
                None => reply.metadata.response_code = ResponseCode::NXDomain,
                Some(found) => {
                    let record = |data| Record::from_rdata(query.name().clone(), 60, data);
                    reply.add_answers(found.into_iter().map(record));
                }
            }
            reply.add_query(query);
            socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn what_dns_answers_and_what_it_does_not() {
    let address = name_server(|name, kind| match (name.to_ascii().as_str(), kind) {
        ("one.example.", RecordType::MX) => {
            Some(vec![RData::MX(MX::new(10, Name::from_ascii("MX.One.example.").unwrap()))])
        }
        ("null.example.", RecordType::MX) => Some(vec![RData::MX(MX::new(0, Name::root()))]),
        ("_mta-sts.one.example.", RecordType::TXT) => {
            Some(vec![RData::TXT(TXT::new(vec!["v=STSv1; ".to_owned(), "id=1;".to_owned()]))])
        }
        ("_25._tcp.mx.one.example.", RecordType::TLSA) => {
            let (usage, selector) = (CertUsage::DaneEe, Selector::Spki);
            Some(vec![RData::TLSA(TLSA::new(usage, selector, Matching::Sha256, vec![7; 32]))])
        }
        ("one.example.", _) => Some(Vec::new()),
        ("round.example.", _) => Some(vec![alias_of("round.example.")]),
        ("there.example.", _) => Some(vec![alias_of("back.example.")]),
        ("back.example.", _) => Some(vec![alias_of("there.example.")]),
        ("short.example.", _) => Some(vec![alias_of("one.example.")]),
        _ => None,
    })
    .await;
    let resolver = Resolver::new(&dns::Settings { servers: vec![address], ..Default::default() }).unwrap();
    let mx = |preference, host: &str| Mx { preference, host: host.to_owned() };
    assert_eq!(resolver.mx("one.example").await.unwrap().records, [mx(10, "mx.one.example")]);
    assert_eq!(resolver.mx("null.example").await.unwrap().records, [mx(0, "")]);
    let txt = resolver.txt("_mta-sts.one.example").await.unwrap();
    assert_eq!((txt.records, txt.secure), (vec!["v=STSv1; id=1;".to_owned()], false), "nobody proved it");
    let tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
    assert_eq!(resolver.tlsa("_25._tcp.mx.one.example").await.unwrap().records, [tlsa]);
    assert!(resolver.ipv4("one.example").await.unwrap().records.is_empty(), "the name is there");
    assert_eq!(resolver.ipv6("none.example").await, Err(DnsError::NoName));
    assert!(matches!(resolver.mx("lame.example").await, Err(DnsError::Failed(_))));
    // RFC 5321 5.1: an alias is followed. In a circle nobody gets anywhere, until its owner mends it.
    assert_eq!(resolver.mx("short.example").await.unwrap().records, [mx(10, "mx.one.example")]);
    assert!(resolver.ipv4("short.example").await.unwrap().records.is_empty());
    for circle in ["round.example", "there.example"] {
        let found = (resolver.mx(circle).await, resolver.ipv4(circle).await);
        assert!(matches!(found, (Err(DnsError::Failed(_)), Err(DnsError::Failed(_)))), "{circle}: {found:?}");
    }
}

/// A whole gateway that delivers directly, by this name server.
async fn gateway(rig: &Rig, dns: SocketAddr, relay: &str) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluis.toml");
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let keys = format!(
        "dns_servers = [\"{dns}\"]\nprivate_mx = true\nip_versions = \"4\"\nqueue_when_down = true\n{relay}"
    );
    let text = config_text(folder.path(), any_port, any_port, free_port(), "", &keys);
    let text = text.replace(
        &format!("next_hop = \"{any_port}\"\ntls = \"none\""),
        &format!("next_hop = \"mx:{}\"", rig.port),
    );
    std::fs::write(&file, text).unwrap();
    (start(&file, Arc::new(sluis::clock::SystemClock)).await, folder)
}

#[tokio::test]
async fn promise_10_a_domain_that_hangs_does_not_keep_the_worker_from_others() {
    let rig = Rig::new().await;
    let dns = name_server(|name, kind| {
        let ip = |last| vec![RData::A(A::new(127, 0, 0, last))];
        match (name.to_ascii().as_str(), kind) {
            ("hangs.example.", RecordType::A) => Some(ip(2)),
            ("works.example.", RecordType::A) => Some(ip(3)),
            _ => Some(Vec::new()),
        }
    })
    .await;
    let keys = "background = 2\nconnections_per_domain = 1\nretry = [\"1s\"]\n";
    let (running, _folder) = gateway(&rig, dns, keys).await;
    let mut client = Client::hello(running.submission()[0].address).await;
    let bill = message(INVOICES, "Your bill.");
    // Nobody is there, so all of them wait.
    for to in ["a@hangs.example", "b@hangs.example", "c@hangs.example", "d@works.example"] {
        let reply = client.submit(INVOICES, &[to], &bill).await;
        assert!(reply.code == 250 && reply.text().contains("queued"), "{to}: {reply:?}");
    }
    let silent = |_, line: &str| line.starts_with("MAIL").then_some(Answer::Silence);
    let hangs = NextHop::at(rig.at("127.0.0.2"), EVERYTHING, silent).await;
    let mut works = rig.server("127.0.0.3").await;
    assert_eq!(works.next().await.rcpt, ["<d@works.example>"]);
    // Who hangs is let go, so that nothing holds up the stop.
    drop(hangs);
    running.stop().await;
}

#[tokio::test]
async fn the_whole_way_by_dns_over_udp_to_the_servers_of_each_domain() {
    let rig = Rig::new().await;
    let mut servers = [rig.server("127.0.0.2").await, rig.server("127.0.0.3").await];
    let dns = name_server(|name, kind| {
        let mx = |host: &str| vec![RData::MX(MX::new(10, Name::from_ascii(host).unwrap()))];
        let ip = |last| vec![RData::A(A::new(127, 0, 0, last))];
        match (name.to_ascii().to_ascii_lowercase().as_str(), kind) {
            ("one.example.", RecordType::MX) => Some(mx("MX.one.example.")),
            ("mx.one.example.", RecordType::A) => Some(ip(2)),
            ("two.example.", RecordType::A) => Some(ip(3)),
            ("null.example.", RecordType::MX) => Some(mx(".")),
            ("one.example.", RecordType::TXT) => Some(vec![RData::TXT(TXT::new(vec!["v=spf1".to_owned()]))]),
            (known, _) => {
                let known =
                    ["one.example.", "mx.one.example.", "two.example.", "null.example."].contains(&known);
                known.then(Vec::new)
            }
        }
    })
    .await;
    let (running, _folder) = gateway(&rig, dns, "").await;
    let mut client = Client::hello(running.submission()[0].address).await;
    let bill = message(INVOICES, "Your bill.");
    let to = ["a@one.example", "b@one.example", "c@two.example"];
    assert_eq!(client.submit(INVOICES, &to, &bill).await.code, 250);
    assert_eq!(servers[0].next().await.rcpt, ["<a@one.example>", "<b@one.example>"]);
    assert_eq!(servers[1].next().await.rcpt, ["<c@two.example>"]);
    let reply = client.submit(INVOICES, &["a@null.example"], &bill).await;
    assert!(reply.code >= 550 && reply.text().contains("5.1.10"), "{reply:?}");
    let reply = client.submit(INVOICES, &["a@typo.example"], &bill).await;
    assert!(reply.code >= 550 && reply.text().contains("5.1.2"), "{reply:?}");
    let store = running.store();
    let events = store.entries(0..store.size().unwrap()).unwrap();
    let told = events.into_iter().filter_map(|found| match found.entry.event {
        Event::Relayed(outcome) => Some(format!("{} {}", outcome.recipients.len(), outcome.next_hop)),
        Event::Bounced(outcome) => Some(format!("{} {}", outcome.recipients[0], outcome.next_hop)),
        _ => None,
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    assert_eq!(
        told,
        [
            format!("1 two.example:{}", rig.port),
            format!("2 mx.one.example:{}", rig.port),
            "a@null.example mx null.example".to_owned(),
            "a@typo.example mx typo.example".to_owned(),
        ]
    );
    running.stop().await;
}
