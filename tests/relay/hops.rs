//! Several next hops: who uses which, what happens when one is down, and the ways there.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluis::mail::SenderId;
use sluis::net::socks::Proxy;
use sluis::net::tls::{Identity, Trust, client_config, server_config};
use sluis::relay::{Copy, Handed, Held, Relay, Routes, Settings, SmtpHop, TlsMode};
use sluis::secret::Secret;
use sluis::smtp::sasl::Mechanism;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::secure::offering;
use super::support::next_hop::{Answer, EVERYTHING, Moment, NextHop};
use super::support::patience::{Patience, until};
use super::{MESSAGE, brief, copy_of, free, plain, settings};

/// An address where nobody listens.
async fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn to(address: std::net::SocketAddr) -> Settings {
    settings(plain(address))
}

pub fn in_order(count: usize) -> Routes {
    Routes { default: (0..count).collect(), ..Routes::default() }
}

fn message() -> Copy {
    copy_of(MESSAGE, &["a@example.org"])
}

#[tokio::test]
async fn a_copy_goes_by_rule_then_account_then_sender_then_the_default() {
    let mut hops = Vec::new();
    for _ in 0..4 {
        hops.push(NextHop::start().await);
    }
    let sender = SenderId("12345678".to_owned());
    let routes = Routes {
        rules: [("newsletter".to_owned(), vec![1])].into(),
        accounts: [("shop".to_owned(), vec![2])].into(),
        senders: [(sender.clone(), vec![3])].into(),
        default: vec![0],
    };
    let relay = Relay::with_routes(hops.iter().map(|hop| to(hop.address)).collect(), &routes).unwrap();
    let (rule, account, sender) = (Some("newsletter"), Some("shop"), Some(&sender));
    for (handed, expected) in [
        (Handed { rule, account, sender }, 1),
        (Handed { rule: Some("other"), account, sender }, 2),
        (Handed { rule: None, account: Some("other"), sender }, 3),
        (Handed::default(), 0),
    ] {
        let route = relay.route(handed);
        assert_eq!(relay.name_for(&route), hops[expected].address.to_string());
        let delivery = relay.deliver(&Copy { route, ..message() }, &free).await;
        assert_eq!(delivery.next_hop, hops[expected].address.to_string());
        hops[expected].next().await;
    }
}

#[tokio::test]
async fn the_next_one_takes_over_while_the_first_is_down_and_the_first_when_it_is_back() {
    let gone = nobody().await;
    let mut second = NextHop::start().await;
    let mut first = to(gone);
    first.pool.pause = Duration::from_millis(1);
    let relay = Relay::with_routes(vec![first, to(second.address)], &in_order(2)).unwrap();
    let delivery = relay.deliver(&message(), &free).await;
    assert_eq!(brief(&delivery.fates[0]), "relayed 250 2.0.0");
    assert_eq!((delivery.next_hop, delivery.down), (second.address.to_string(), false));
    second.next().await;
    let status = relay.status();
    assert!(status[0].down.is_some() && status[1].down.is_none(), "{status:?}");
    // Back on the same port: each copy has it looked at in the background, and none waits for that.
    let script = |_, _: &str| None;
    let mut first = NextHop::at(gone, EVERYTHING, script).await;
    let patience = Patience::new();
    while relay.status()[0].down.is_some() {
        patience.check();
        relay.deliver(&message(), &free).await;
        second.next().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(relay.deliver(&message(), &free).await.next_hop, gone.to_string());
    first.next().await;
}

#[tokio::test]
async fn p15_a_probe_that_is_met_by_silence_finds_the_next_hop_down_and_leaves_it_alone() {
    let tls = offering("STARTTLS");
    for (says, offered, at, because) in [
        (Moment::Greeting, EVERYTHING, "", "no answer in time while waiting for the greeting"),
        (Moment::Command, EVERYTHING, "EHLO", "no answer in time while EHLO"),
        (Moment::Command, &tls[..], "STARTTLS", "no answer in time while starting TLS"),
    ] {
        let silent =
            move |moment, line: &str| (moment == says && line.starts_with(at)).then_some(Answer::Silence);
        let first = NextHop::scripted(offered, silent).await;
        let mut second = NextHop::start().await;
        let mut hop = SmtpHop { tls: TlsMode::StartTls, trust: Trust::Anybody, ..plain(first.address) };
        if at != "STARTTLS" {
            hop.tls = TlsMode::None;
        }
        let mut own = settings(hop);
        own.timeouts.connect = Duration::from_millis(50);
        own.pool.pause = Duration::from_secs(3600);
        let relay = Relay::with_routes(vec![own, to(second.address)], &in_order(2)).unwrap();
        relay.probe().await.unwrap();
        assert_eq!(relay.status()[0].down.as_deref(), Some(because));
        // Nobody waits for it, and nobody asks it again before its rest is over.
        for _ in 0..3 {
            let delivery = relay.deliver(&message(), &free).await;
            assert_eq!((brief(&delivery.fates[0]).as_str(), delivery.down), ("relayed 250 2.0.0", false));
            second.next().await;
        }
        assert_eq!(first.connections(), 1, "{because}");
    }
}

#[tokio::test]
async fn promise_2_what_a_next_hop_says_about_a_copy_is_not_asked_of_another() {
    for (moment, said, expected) in [
        (Moment::Command, "550 5.1.1 no such user\r\n", "refused 550 5.1.1"),
        (Moment::Command, "450 4.2.0 greylisted\r\n", "deferred 450 4.2.0"),
        (Moment::End, "554 5.7.1 spam\r\n", "refused 554 5.7.1"),
        (Moment::End, "", "in doubt 451 4.4.2"),
    ] {
        let script = move |at, line: &str| {
            let here = at == moment && (at == Moment::End || line.starts_with("RCPT"));
            here.then(|| match said {
                "" => Answer::HangUp,
                said => Answer::Say(said.to_owned()),
            })
        };
        let first = NextHop::scripted(EVERYTHING, script).await;
        let mut second = NextHop::start().await;
        let relay = Relay::with_routes(vec![to(first.address), to(second.address)], &in_order(2)).unwrap();
        let delivery = relay.deliver(&message(), &free).await;
        assert_eq!(brief(&delivery.fates[0]), expected);
        assert_eq!(delivery.next_hop, first.address.to_string());
        assert!(second.try_next().is_none(), "{said}");
    }
}

#[tokio::test]
async fn one_that_lacks_what_the_copy_needs_is_passed_over() {
    let eight_bit = || copy_of("Subject: hi\r\n\r\nh\u{e9}\r\n", &["a@example.org"]);
    let plain_hop = NextHop::scripted(&["PIPELINING", "SIZE 100000"], |_, _| None).await;
    let mut able = NextHop::scripted(&["8BITMIME", "SIZE 5000"], |_, _| None).await;
    let hops = vec![to(plain_hop.address), to(able.address)];
    let relay = Relay::with_routes(hops, &in_order(2)).unwrap();
    assert_eq!(brief(&relay.deliver(&eight_bit(), &free).await.fates[0]), "relayed 250 2.0.0");
    able.next().await;
    // What is made for a route is made for any of its next hops.
    let both = relay.abilities_for(&relay.route(Handed::default()), None);
    assert_eq!((both.eight_bit, both.size), (false, Some(5000)));
    // Nobody can: refused. Nobody can, but one was not asked: not now.
    let relay = Relay::new(to(plain_hop.address)).unwrap();
    assert_eq!(brief(&relay.deliver(&eight_bit(), &free).await.fates[0]), "refused 554 5.6.3");
    let hops = vec![to(nobody().await), to(plain_hop.address)];
    let relay = Relay::with_routes(hops, &in_order(2)).unwrap();
    let delivery = relay.deliver(&eight_bit(), &free).await;
    assert_eq!((brief(&delivery.fates[0]).as_str(), delivery.down), ("deferred 451 4.4.1", true));
}

#[tokio::test]
async fn promise_6_the_permit_is_asked_for_again_when_the_connection_is_there() {
    let allowed = Arc::new(AtomicBool::new(true));
    let withdrawn = allowed.clone();
    // The connection of the first message becomes free only after the unsubscribe.
    let script = move |moment, _: &str| {
        if moment == Moment::End {
            withdrawn.store(false, Ordering::SeqCst);
        }
        None
    };
    let mut hop = NextHop::scripted(EVERYTHING, script).await;
    let mut one = to(hop.address);
    one.pool.connections = 1;
    let relay = Relay::new(one).unwrap();
    let (first, second) = (message(), copy_of(MESSAGE, &["b@example.org"]));
    let may_go = || match allowed.load(Ordering::SeqCst) {
        true => Ok(()),
        false => Err(Held::Refused("unsubscribed".to_owned())),
    };
    let (first, second) = tokio::join!(relay.deliver(&first, &free), relay.deliver(&second, &may_go));
    assert_eq!(brief(&first.fates[0]), "relayed 250 2.0.0");
    assert_eq!(brief(&second.fates[0]), "cancelled 550 5.7.1");
    assert_eq!(hop.next().await.rcpt, ["<a@example.org>"]);
    assert!(hop.try_next().is_none());
    assert_eq!(hop.connections(), 1, "and the connection is kept");
}

#[tokio::test]
async fn promise_10_no_more_messages_in_a_minute_than_the_config_says() {
    let mut hop = NextHop::start().await;
    let mut limited = to(hop.address);
    limited.pool.per_minute = NonZeroU32::new(20);
    limited.pool.wait = Duration::from_millis(10);
    let relay = Relay::new(limited).unwrap();
    let mut fates = Vec::new();
    for _ in 0..4 {
        fates.push(brief(&relay.deliver(&message(), &free).await.fates[0]));
    }
    assert_eq!(
        fates,
        ["relayed 250 2.0.0", "relayed 250 2.0.0", "deferred 451 4.3.2", "deferred 451 4.3.2"],
        "a tenth at once, the others in their turn"
    );
    hop.next().await;
    hop.next().await;
    assert!(hop.try_next().is_none());
}

#[tokio::test]
async fn a_reload_keeps_the_connections_of_what_stays() {
    let mut stays = NextHop::start().await;
    let mut goes = NextHop::start().await;
    let mut comes = NextHop::start().await;
    let hops = |second: &NextHop| vec![to(stays.address), to(second.address)];
    let (before, after) = (hops(&goes), hops(&comes));
    let routes = Routes { rules: [("r".to_owned(), vec![1])].into(), ..in_order(1) };
    let relay = Relay::with_routes(before, &routes).unwrap();
    let by_rule = || relay.route(Handed { rule: Some("r"), ..Handed::default() });
    let old = by_rule();
    relay.deliver(&message(), &free).await;
    stays.next().await;
    relay.replace(after, &routes).unwrap();
    relay.deliver(&message(), &free).await;
    stays.next().await;
    assert_eq!(stays.connections(), 1);
    relay.deliver(&Copy { route: by_rule(), ..message() }, &free).await;
    comes.next().await;
    // A copy on its way ends where it began.
    relay.deliver(&Copy { route: old, ..message() }, &free).await;
    goes.next().await;
}

/// A key pair as PEM files, and the SHA-256 of the certificate and of its public key.
struct Pair {
    _folder: tempfile::TempDir,
    files: Identity,
    pins: [[u8; 32]; 2],
}

fn pair(name: &str) -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let files = Identity { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&made.signing_key);
    let pins = [sluis::mail::sha256(made.cert.der()), sluis::mail::sha256(&spki)];
    Pair { _folder: folder, files, pins }
}

#[tokio::test]
async fn p3_a_pinned_certificate_is_believed_and_no_other() {
    let (own, other) = (pair("smtp.example"), pair("smtp.example"));
    let server = server_config(&own.files.certificate, &own.files.key).unwrap();
    let mut hop = NextHop::with_tls(EVERYTHING, Some(server), true, |_, _| None).await;
    for (pins, expected) in [
        (vec![own.pins[0]], "relayed 250 2.0.0"),
        (vec![other.pins[0], own.pins[1]], "relayed 250 2.0.0"),
        (other.pins.to_vec(), "deferred 451 4.7.5"),
    ] {
        let smtp = SmtpHop { tls: TlsMode::Implicit, trust: Trust::Pinned(pins), ..plain(hop.address) };
        let relay = Relay::new(settings(smtp)).unwrap();
        assert_eq!(brief(&relay.deliver(&message(), &free).await.fates[0]), expected);
    }
    hop.next().await;
    hop.next().await;
    assert!(hop.try_next().is_none());
}

#[tokio::test]
async fn p3_our_certificate_is_shown_to_a_server_that_asks() {
    let (server, ours, stranger) = (pair("localhost"), pair("gateway.example"), pair("x.example"));
    let config = asking_for(&server, &ours);
    let mut hop = NextHop::with_tls(EVERYTHING, Some(config), true, |_, _| None).await;
    for (identity, relayed) in [(Some(&ours), true), (Some(&stranger), false), (None, false)] {
        let smtp = SmtpHop {
            tls: TlsMode::Implicit,
            trust: Trust::Anybody,
            identity: identity.map(|pair| pair.files.clone()),
            ..plain(hop.address)
        };
        let relay = Relay::new(settings(smtp)).unwrap();
        let delivery = relay.deliver(&message(), &free).await;
        assert_eq!(brief(&delivery.fates[0]).starts_with("relayed"), relayed, "{delivery:?}");
        assert_eq!(delivery.down, !relayed);
    }
    hop.next().await;
    assert!(hop.try_next().is_none());
    let missing = Identity { certificate: "nowhere.pem".into(), key: "nowhere.pem".into() };
    assert!(client_config(&Trust::Anybody, Some(&missing)).is_err());
}

/// A server that takes nobody without the certificate of `client`.
fn asking_for(server: &Pair, client: &Pair) -> Arc<rustls::ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let read = |path: &std::path::Path| CertificateDer::from_pem_file(path).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(read(&client.files.certificate)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let key = PrivateKeyDer::from_pem_file(&server.files.key).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![read(&server.files.certificate)], key)
        .unwrap();
    Arc::new(config)
}

/// A SOCKS5 proxy for one connection, which knows the name `smtp.example` and wants `anna` to sign in.
async fn proxy_to(target: std::net::SocketAddr, password: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut octets = [0; 4];
        client.read_exact(&mut octets).await.unwrap();
        assert_eq!(octets, [5, 2, 0, 2]);
        client.write_all(&[5, 2]).await.unwrap();
        let mut signed = vec![0; 1 + 1 + 4 + 1 + 6];
        client.read_exact(&mut signed).await.unwrap();
        let known = signed == [&b"\x01\x04anna\x06"[..], password].concat();
        client.write_all(&[1, u8::from(!known)]).await.unwrap();
        if !known {
            return;
        }
        let mut request = vec![0; 4 + 1 + 12 + 2];
        client.read_exact(&mut request).await.unwrap();
        assert_eq!(&request[..17], b"\x05\x01\x00\x03\x0csmtp.example");
        assert_eq!(request[17..], 25_u16.to_be_bytes());
        let mut server = TcpStream::connect(target).await.unwrap();
        client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 25]).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    address
}

#[tokio::test]
async fn a_next_hop_behind_a_socks5_proxy() {
    let mut hop = NextHop::start().await;
    for (password, expected) in [("geheim", "relayed 250 2.0.0"), ("verkeerd", "deferred 451 4.4.1")] {
        let proxy = proxy_to(hop.address, b"geheim").await;
        let sign_in = Some(("anna".to_owned(), Secret::new(&password.as_bytes()[..6])));
        let smtp = SmtpHop {
            tls: TlsMode::None,
            proxy: Some(Proxy { host: proxy.ip().to_string(), port: proxy.port(), sign_in }),
            ..SmtpHop::new("smtp.example", 25)
        };
        let delivery = Relay::new(settings(smtp)).unwrap().deliver(&message(), &free).await;
        assert_eq!(brief(&delivery.fates[0]), expected);
        assert_eq!(delivery.next_hop, "smtp.example:25");
    }
    hop.next().await;
    assert!(hop.try_next().is_none());
}

#[tokio::test]
async fn p4_a_next_hop_that_comes_late_is_asked_how_to_sign_in() {
    let address = nobody().await;
    let mut own = to(address);
    (own.pass_through, own.pool.pause) = (true, Duration::ZERO);
    let relay = Relay::new(own).unwrap();
    relay.probe().await.unwrap_err();
    assert_eq!(relay.mechanisms(), Mechanism::PASSWORD, "nobody has seen it");
    let _hop = NextHop::at(address, &["AUTH PLAIN XOAUTH2"], |_, _| None).await;
    until(|| relay.mechanisms().contains(&Mechanism::XOauth2)).await;
}
