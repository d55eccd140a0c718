//! Direct delivery by a zone that is really signed: what DNSSEC proves, what it shows to be forged, and what it says
//! nothing of. And policies over HTTPS, from a server that really speaks it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_resolver::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_resolver::proto::dnssec::rdata::sig::SigInput;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG};
use hickory_resolver::proto::dnssec::{Algorithm, SigningKey as _, TBS};
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, NS, SOA, TLSA, TXT};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};
use sluis::mail::sha256;
use sluis::net::dns::{self, DnsError, Resolver};
use sluis::relay::{MxHop, NextHop as Kind, Online, Relay, Routes, Settings, TlsMode, Web, World};
use sluis::secret::SystemEntropy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::secure::{Certificate, certificate_of, offering};
use super::support::next_hop::NextHop;
use super::{MESSAGE, brief, copy_of, free};

const TTL: u32 = 60;

/// A root with everything in it, signed; only what is below `plain.` is a zone of its own, without signatures.
struct Root {
    key: Ed25519SigningKey,
    records: BTreeMap<Name, Vec<RData>>,
}

/// What somebody on the way makes of an answer.
type Forger = fn(&mut Message, &Name, RecordType);

impl Root {
    fn new() -> Self {
        let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap();
        let mut root = Self { key, records: BTreeMap::new() };
        root.add(".", RData::SOA(soa()));
        root.add(".", RData::NS(NS(name("ns."))));
        root.add(".", RData::DNSSEC(DNSSECRData::DNSKEY(root.dnskey())));
        root.add("ns.", RData::A(A::new(127, 0, 0, 1)));
        root.add("plain.", RData::NS(NS(name("ns."))));
        root
    }

    fn dnskey(&self) -> DNSKEY {
        DNSKEY::new(true, true, false, self.key.to_public_key().unwrap())
    }

    /// As a file of trust anchors has it.
    fn anchor(&self) -> String {
        use hickory_resolver::proto::dnssec::PublicKey as _;
        let key = self.key.to_public_key().unwrap();
        format!(". IN DNSKEY 257 3 15 {}\n", STANDARD.encode(key.public_bytes()))
    }

    fn add(&mut self, at: &str, data: RData) {
        self.records.entry(name(at)).or_default().push(data);
    }

    /// A domain with one server, at `ip`, whose certificate is that of `certificate`.
    fn domain(&mut self, domain: &str, ip: [u8; 4], port: u16, certificate: &Certificate) {
        let host = format!("mx.{domain}");
        self.add(domain, RData::MX(MX::new(10, name(&host))));
        self.add(&host, RData::A(A::from(std::net::Ipv4Addr::from(ip))));
        let data = sha256(&certificate.der).to_vec();
        let tlsa = TLSA::new(CertUsage::DaneEe, Selector::Full, Matching::Sha256, data);
        self.add(&format!("_{port}._tcp.{host}"), RData::TLSA(tlsa));
    }

    fn of(&self, at: &Name, kind: RecordType) -> Vec<Record> {
        let found = self.records.get(at).into_iter().flatten().filter(|data| data.record_type() == kind);
        found.map(|data| Record::from_rdata(at.clone(), TTL, data.clone())).collect()
    }

    /// The signature of these, which are a set.
    fn signature(&self, set: &[Record]) -> Record {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as u32;
        let input = SigInput {
            type_covered: set[0].record_type(),
            algorithm: Algorithm::ED25519,
            num_labels: set[0].name.num_labels(),
            original_ttl: TTL,
            sig_expiration: SerialNumber::new(now + 3600),
            sig_inception: SerialNumber::new(now - 3600),
            key_tag: self.dnskey().calculate_key_tag().unwrap(),
            signer_name: Name::root(),
        };
        let octets = TBS::from_input(&set[0].name, DNSClass::IN, &input, set.iter()).unwrap();
        let signature = RRSIG::from_sig(input, self.key.sign(&octets).unwrap());
        Record::from_rdata(set[0].name.clone(), TTL, RData::DNSSEC(DNSSECRData::RRSIG(signature)))
    }

    fn signed(&self, set: Vec<Record>) -> Vec<Record> {
        let signature = self.signature(&set);
        set.into_iter().chain([signature]).collect()
    }

    /// The NSEC record at, or else before, `at` (RFC 4034 4.1).
    fn nsec(&self, at: &Name) -> Record {
        let ours = |one: &&Name| !name("plain.").zone_of(one) || **one == name("plain.");
        let names: Vec<&Name> = self.records.keys().filter(ours).collect();
        let place = names.partition_point(|one| *one <= at).saturating_sub(1);
        let kinds: BTreeSet<RecordType> =
            self.records[names[place]].iter().map(|data| data.record_type()).collect();
        let next = names.get(place + 1).map_or_else(Name::root, |next| (*next).clone());
        let nsec = NSEC::new_cover_self(next, kinds);
        Record::from_rdata(names[place].clone(), TTL, RData::DNSSEC(DNSSECRData::NSEC(nsec)))
    }

    /// Fill in the answer, as a name server that recurses would.
    fn answer(&self, reply: &mut Message, at: &Name, kind: RecordType) {
        let plain = name("plain.");
        let exists = self.records.keys().any(|known| at.zone_of(known));
        let set = self.of(at, kind);
        let alias = if kind == RecordType::CNAME { Vec::new() } else { self.of(at, RecordType::CNAME) };
        if let [Record { data: RData::CNAME(end), .. }] = &alias[..] {
            let end = end.0.clone();
            reply.add_answers(if plain.zone_of(at) { alias } else { self.signed(alias) });
            return self.answer(reply, &end, kind);
        }
        if plain.zone_of(at) && !(*at == plain && kind == RecordType::DS) {
            if set.is_empty() {
                reply.add_authority(Record::from_rdata(plain, TTL, RData::SOA(soa())));
            }
            reply.add_answers(set);
        } else if !set.is_empty() {
            reply.add_answers(self.signed(set));
        } else {
            reply.add_authorities(self.signed(self.of(&Name::root(), RecordType::SOA)));
            let wildcards =
                (0..at.num_labels()).map(|labels| at.trim_to(labels.into()).prepend_label("*").unwrap());
            let mut seen = BTreeSet::new();
            for denied in [at.clone()].into_iter().chain(wildcards) {
                let nsec = self.nsec(&denied);
                if seen.insert(nsec.name.clone()) {
                    reply.add_authorities(self.signed(vec![nsec]));
                }
            }
        }
        if !exists {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
    }

    /// Answer over UDP and TCP, by way of `forger`.
    async fn serve(self, forger: Forger) -> Served {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let anchors = folder.path().join("anchors.zone");
        std::fs::write(&anchors, self.anchor()).unwrap();
        let root = Arc::new(self);
        let reply_to = move |asked: &[u8]| {
            let asked = Message::from_vec(asked).unwrap();
            let query = asked.queries[0].clone();
            let mut reply = Message::new(asked.metadata.id, MessageType::Response, asked.metadata.op_code);
            reply.metadata.recursion_available = true;
            root.answer(&mut reply, query.name(), query.query_type());
            forger(&mut reply, query.name(), query.query_type());
            reply.add_query(query);
            reply.to_vec().unwrap()
        };
        let by_tcp = reply_to.clone();
        tokio::spawn(async move {
            let mut asked = [0; 4096];
            while let Ok((size, from)) = udp.recv_from(&mut asked).await {
                udp.send_to(&reply_to(&asked[..size]), from).await.unwrap();
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                while let Ok(size) = stream.read_u16().await {
                    let mut asked = vec![0; size.into()];
                    stream.read_exact(&mut asked).await.unwrap();
                    let reply = by_tcp(&asked);
                    stream.write_u16(reply.len() as u16).await.unwrap();
                    stream.write_all(&reply).await.unwrap();
                }
            }
        });
        let settings = dns::Settings { servers: vec![address], dnssec: true, anchors: Some(anchors) };
        Served { settings, _folder: folder }
    }
}

/// A name server that answers, and how to ask it.
struct Served {
    settings: dns::Settings,
    _folder: tempfile::TempDir,
}

impl Served {
    /// A relay that delivers directly by it.
    fn relay(&self, port: u16, web: Web, change: impl FnOnce(&mut MxHop)) -> Relay {
        Relay::new(self.hop(port, web, change)).unwrap()
    }

    fn hop(&self, port: u16, web: Web, change: impl FnOnce(&mut MxHop)) -> Settings {
        let internet = Arc::new(Online::new(&self.settings, web).unwrap());
        let mut hop = MxHop::new(World { internet, entropy: Arc::new(SystemEntropy) });
        (hop.port, hop.private, hop.dns) = (port, true, self.settings.clone());
        change(&mut hop);
        let mut settings = Settings::new(Kind::Mx(hop), "gateway.example");
        settings.pool.pause = Duration::ZERO;
        settings
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn soa() -> SOA {
    SOA::new(name("ns."), name("hostmaster."), 1, 60, 60, 60, TTL as i32 as u32)
}

/// Fate, and what vouched for the certificate.
async fn fate(relay: &Relay, recipient: &str) -> String {
    let delivery = relay.deliver(&copy_of(MESSAGE, &[recipient]), &free).await;
    let believed = delivery.tls.as_deref().and_then(|tls| tls.split(' ').nth(2)).unwrap_or_default();
    format!("{} {believed}", brief(&delivery.fates[0])).trim_end().to_owned()
}

/// A port that is free at all addresses of this test.
async fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn at(ip: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::from((ip, port))
}

fn is_about(kind: RecordType, record: &Record) -> bool {
    record.record_type() == kind
        || matches!(&record.data, RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) if rrsig.input().type_covered == kind)
}

/// Another certificate in the record, under the old signature.
fn changed(reply: &mut Message, _: &Name, kind: RecordType) {
    for record in reply.answers.iter_mut().filter(|_| kind == RecordType::TLSA) {
        if let RData::TLSA(tlsa) = &mut record.data {
            tlsa.cert_data = vec![7; 32];
        }
    }
}

/// No signatures.
fn stripped(reply: &mut Message, _: &Name, kind: RecordType) {
    if kind == RecordType::TLSA {
        reply.answers.retain(|record| record.record_type() != RecordType::RRSIG);
    }
}

/// "There are no such records", which nothing proves.
fn denied(reply: &mut Message, _: &Name, kind: RecordType) {
    if kind == RecordType::TLSA {
        reply.answers.clear();
        reply.add_authority(Record::from_rdata(Name::root(), TTL, RData::SOA(soa())));
    }
}

/// The same with a proof, of another name.
fn denied_elsewhere(reply: &mut Message, at: &Name, kind: RecordType) {
    denied(reply, at, kind);
    if kind == RecordType::TLSA {
        reply.metadata.response_code = ResponseCode::NXDomain;
    }
}

/// Another server.
fn led_astray(reply: &mut Message, _: &Name, kind: RecordType) {
    for record in reply.answers.iter_mut().filter(|record| is_about(kind, record)) {
        if let RData::MX(mx) = &mut record.data {
            mx.exchange = name("mx.plain.");
        }
    }
}

fn honest(_: &mut Message, _: &Name, _: RecordType) {}

#[tokio::test]
async fn rfc_7672_2_2_by_a_zone_that_is_signed() {
    let (right, wrong) = (certificate_of("elsewhere.example"), certificate_of("mx.plain"));
    let offered = offering("STARTTLS");
    let port = port().await;
    let zone = || {
        let mut root = Root::new();
        root.domain("right.", [127, 0, 2, 1], port, &right);
        root.domain("wrong.", [127, 0, 2, 1], port, &wrong);
        root.domain("plain.", [127, 0, 2, 1], port, &wrong);
        // Without MX the domain is its own server, and that there is none is proven.
        root.add("alone.", RData::A(A::new(127, 0, 2, 1)));
        let data = sha256(&right.der).to_vec();
        let tlsa = TLSA::new(CertUsage::DaneEe, Selector::Full, Matching::Sha256, data);
        root.add(&format!("_{port}._tcp.alone."), RData::TLSA(tlsa));
        // An alias of a server, with the records there; one in a zone that proves nothing; and both.
        root.add("alias.", RData::MX(MX::new(10, name("mx.alias."))));
        root.add("mx.alias.", RData::CNAME(CNAME(name("mx.right."))));
        root.add("astray.", RData::MX(MX::new(10, name("mx.astray.plain."))));
        root.add("mx.astray.plain.", RData::CNAME(CNAME(name("mx.wrong."))));
        root.add("half.", RData::MX(MX::new(10, name("mx.half."))));
        root.add("mx.half.", RData::CNAME(CNAME(name("mx.plain."))));
        let data = sha256(&right.der).to_vec();
        let tlsa = TLSA::new(CertUsage::DaneEe, Selector::Full, Matching::Sha256, data);
        root.add(&format!("_{port}._tcp.mx.half."), RData::TLSA(tlsa));
        // Signed, and it says nothing of certificates.
        root.add("open.", RData::MX(MX::new(10, name("mx.open."))));
        root.add("mx.open.", RData::A(A::new(127, 0, 2, 1)));
        root
    };
    let server = Some(right.server.clone());
    let mut hop = NextHop::at_with_tls(at([127, 0, 2, 1], port), &offered, server, |_, _| None).await;
    for (case, forger, recipient, expected) in [
        ("the right certificate", honest as Forger, "a@right", "relayed 250 2.0.0 dane"),
        ("a wrong certificate", honest, "a@wrong", "deferred 451 4.7.5"),
        ("no MX, as is proven", honest, "a@alone", "relayed 250 2.0.0 dane"),
        ("no TLSA, as is proven", honest, "a@open", "relayed 250 2.0.0"),
        ("an alias, as is proven", honest, "a@alias", "relayed 250 2.0.0 dane"),
        ("an alias that nobody proves", honest, "a@astray", "relayed 250 2.0.0"),
        ("an alias, as is proven, of a server that is not", honest, "a@half", "relayed 250 2.0.0 dane"),
        ("an unsigned zone", honest, "a@plain", "relayed 250 2.0.0"),
        ("no such domain, as is proven", honest, "a@typo", "refused 550 5.1.2"),
        ("a record that was changed", changed, "a@right", "deferred 451 4.4.3"),
        ("a signature that is missing", stripped, "a@right", "deferred 451 4.4.3"),
        ("records that are kept back", denied, "a@right", "deferred 451 4.4.3"),
        ("a name that is denied", denied_elsewhere, "a@right", "deferred 451 4.4.3"),
        ("another server", led_astray, "a@right", "deferred 451 4.4.3"),
    ] {
        let served = zone().serve(forger).await;
        let relay = served.relay(port, Web::default(), |hop| hop.mta_sts = false);
        assert_eq!(fate(&relay, recipient).await, expected, "{case}");
        assert_eq!(hop.try_next().is_some(), expected.starts_with("relayed"), "{case}");
    }
}

#[tokio::test]
async fn a_proof_begins_with_the_keys_of_the_config_and_no_others() {
    let root = Root::new();
    let (key, other) = (root.anchor(), Root::new().anchor());
    let served = root.serve(honest).await;
    let anchors = served.settings.anchors.clone().unwrap();
    assert!(Resolver::new(&served.settings).unwrap().ipv4("ns").await.unwrap().secure);
    std::fs::write(&anchors, &other).unwrap();
    let found = Resolver::new(&served.settings).unwrap().ipv4("ns").await;
    assert!(matches!(found, Err(DnsError::Failed(_))), "{found:?}");
    std::fs::write(&anchors, other + &key).unwrap();
    assert!(Resolver::new(&served.settings).unwrap().ipv4("ns").await.unwrap().secure, "one of two");
    let by_the_root = dns::Settings { anchors: None, ..served.settings.clone() };
    let found = Resolver::new(&by_the_root).unwrap().ipv4("ns").await;
    assert!(matches!(found, Err(DnsError::Failed(_))), "the root of the internet: {found:?}");
    std::fs::write(&anchors, "; nothing\n").unwrap();
    let error = Resolver::new(&served.settings).err().unwrap().to_string();
    assert!(error.contains("anchors.zone") && error.contains("DNSKEY"), "{error}");
}

#[tokio::test]
async fn a_reload_takes_the_keys_that_the_file_has_now() {
    let server = certificate_of("mx.right");
    let port = port().await;
    let mut root = Root::new();
    root.domain("right.", [127, 0, 2, 2], port, &server);
    let key = root.anchor();
    let served = root.serve(honest).await;
    let anchors = served.settings.anchors.clone().unwrap();
    let offered = offering("STARTTLS");
    let mut hop =
        NextHop::at_with_tls(at([127, 0, 2, 2], port), &offered, Some(server.server.clone()), |_, _| None)
            .await;
    std::fs::write(&anchors, Root::new().anchor()).unwrap();
    let as_configured = || served.hop(port, Web::default(), |hop| hop.mta_sts = false);
    let relay = Relay::new(as_configured()).unwrap();
    assert_eq!(fate(&relay, "a@right").await, "deferred 451 4.4.3");
    std::fs::write(&anchors, key).unwrap();
    relay.replace(vec![as_configured()], &Routes { default: vec![0], ..Routes::default() }).unwrap();
    assert_eq!(fate(&relay, "a@right").await, "relayed 250 2.0.0 dane");
    hop.next().await;
}

/// The web server of policies.
struct Policies {
    address: SocketAddr,
    /// Status and text of the next answers, and how often it was asked.
    says: Arc<Mutex<(u16, String, usize)>>,
}

impl Policies {
    async fn start(certificate: &Certificate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let says = Arc::new(Mutex::new((404, String::new(), 0)));
        let (config, saying) = (certificate.server.clone(), says.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut stream) = sluis::net::tls::accept(&config, tcp).await else { continue };
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut asked).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let asked = String::from_utf8(asked).unwrap().to_ascii_lowercase();
                assert!(asked.starts_with("get /.well-known/mta-sts.txt http/1.1\r\n"), "{asked}");
                assert!(asked.contains("host: mta-sts.example\r\n"), "{asked}");
                let answer = {
                    let mut says = saying.lock().unwrap();
                    says.2 += 1;
                    let (status, text, _) = &*says;
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len())
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { address, says }
    }

    fn say(&self, status: u16, mode: &str, mx: &str) {
        let mut says = self.says.lock().unwrap();
        (says.0, says.1) = (status, format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 86400\n"));
    }

    fn asked(&self) -> usize {
        self.says.lock().unwrap().2
    }
}

/// A domain with a policy, by a name server whose TXT record can be changed.
async fn policy_zone(id: &'static Mutex<String>) -> dns::Settings {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut asked = [0; 4096];
        while let Ok((size, from)) = socket.recv_from(&mut asked).await {
            let asked = Message::from_vec(&asked[..size]).unwrap();
            let query = asked.queries[0].clone();
            let mut reply = Message::new(asked.metadata.id, MessageType::Response, asked.metadata.op_code);
            reply.metadata.recursion_available = true;
            let data = match (query.name().to_ascii().as_str(), query.query_type()) {
                ("example.", RecordType::MX) => Some(RData::MX(MX::new(10, name("mx.example.")))),
                ("mx.example.", RecordType::A) => Some(RData::A(A::new(127, 0, 3, 1))),
                ("mta-sts.example.", RecordType::A) => Some(RData::A(A::new(127, 0, 0, 1))),
                ("_mta-sts.example.", RecordType::TXT) => {
                    let text = format!("v=STSv1; id={};", id.lock().unwrap());
                    Some(RData::TXT(TXT::new(vec![text])))
                }
                _ => None,
            };
            // Gone at once: each question is asked anew.
            reply.add_answers(data.map(|data| Record::from_rdata(query.name().clone(), 0, data)));
            reply.add_query(query);
            socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
        }
    });
    dns::Settings { servers: vec![address], ..Default::default() }
}

#[tokio::test]
async fn rfc_8461_3_3_a_policy_by_https() {
    static ID: Mutex<String> = Mutex::new(String::new());
    let set_id = |id: &str| *ID.lock().unwrap() = id.to_owned();
    set_id("1");
    let settings = policy_zone(&ID).await;
    let (own, other) = (certificate_of("mta-sts.example"), certificate_of("mta-sts.example"));
    let server = certificate_of("mx.example");
    let port = port().await;
    let offered = offering("STARTTLS");
    let mut hop =
        NextHop::at_with_tls(at([127, 0, 3, 1], port), &offered, Some(server.server.clone()), |_, _| None)
            .await;
    let web = Policies::start(&own).await;
    let served = Served { settings, _folder: tempfile::tempdir().unwrap() };
    let relay = |trust: &Certificate| {
        let web = Web { trust: trust.trust.clone(), private: true, port: web.address.port() };
        served.relay(port, web, |hop| {
            hop.dns.dnssec = false;
            hop.trust = server.trust.clone();
        })
    };
    let sent = "relayed 250 2.0.0";

    // Enforced: a server that it names, with a certificate for its name.
    web.say(200, "enforce", "mx.example");
    let first = relay(&own);
    assert_eq!(fate(&first, "a@example").await, format!("{sent} mta-sts"));
    hop.next().await;
    first.close().await;
    assert_eq!(fate(&first, "a@example").await, format!("{sent} mta-sts"));
    hop.next().await;
    assert_eq!(web.asked(), 1, "kept for its max_age");

    // A new id: fetched again, and what it says now holds.
    web.say(200, "enforce", "other.example");
    first.close().await;
    set_id("2");
    assert_eq!(fate(&first, "a@example").await, "deferred 451 4.7.5");
    assert_eq!(web.asked(), 2);

    // One that cannot be fetched takes nothing back.
    web.say(404, "none", "mx.example");
    set_id("3");
    assert_eq!(fate(&first, "a@example").await, "deferred 451 4.7.5");
    assert_eq!(web.asked(), 3);

    // In the log only.
    web.say(200, "testing", "other.example");
    set_id("4");
    assert_eq!(fate(&first, "a@example").await, sent);
    hop.next().await;

    // A web server that nobody vouches for, and one that says it is elsewhere, have no policy to give.
    web.say(200, "enforce", "other.example");
    assert_eq!(fate(&relay(&other), "a@example").await, sent);
    hop.next().await;
    web.say(301, "enforce", "other.example");
    assert_eq!(fate(&relay(&own), "a@example").await, sent);
    hop.next().await;
    assert!(hop.try_next().is_none());
}

#[tokio::test]
async fn rfc_8461_4_2_enforce_and_a_certificate_for_another_name() {
    static ID: Mutex<String> = Mutex::new(String::new());
    *ID.lock().unwrap() = "1".to_owned();
    let settings = policy_zone(&ID).await;
    let (own, server) = (certificate_of("mta-sts.example"), certificate_of("mx.elsewhere.example"));
    let port = port().await;
    let offered = offering("STARTTLS");
    let mut hop =
        NextHop::at_with_tls(at([127, 0, 3, 1], port), &offered, Some(server.server.clone()), |_, _| None)
            .await;
    let web = Policies::start(&own).await;
    let served = Served { settings, _folder: tempfile::tempdir().unwrap() };
    for (mode, expected) in [("enforce", "deferred 451 4.7.5"), ("testing", "relayed 250 2.0.0")] {
        web.say(200, mode, "mx.example");
        let web = Web { trust: own.trust.clone(), private: true, port: web.address.port() };
        let relay = served.relay(port, web, |hop| {
            (hop.dns.dnssec, hop.tls) = (false, TlsMode::Opportunistic);
            hop.trust = server.trust.clone();
        });
        assert_eq!(fate(&relay, "a@example").await, expected, "{mode}");
        assert_eq!(hop.try_next().is_some(), expected.starts_with("relayed"), "{mode}");
    }
}
