//! TLS and signing in: never downgraded, never in the clear.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use sluis::net::tls::{self, Trust};
use sluis::relay::{Credentials, Relay, SmtpHop, TlsMode};
use sluis::secret::Secret;

use super::support::next_hop::{Answer, EVERYTHING, NextHop};
use super::{MESSAGE, brief, copy_of, free, plain, settings};

/// A server's certificate, and the file that lets a client believe it.
pub struct Certificate {
    _folder: tempfile::TempDir,
    pub server: Arc<rustls::ServerConfig>,
    pub trust: Trust,
    pub der: Vec<u8>,
}

fn certificate() -> Certificate {
    certificate_of("localhost")
}

pub fn certificate_of(name: &str) -> Certificate {
    self_signed(CertificateParams::new(vec![name.to_owned()]).unwrap())
}

/// For `name`, and long over.
pub fn expired(name: &str) -> Certificate {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    self_signed(params)
}

fn self_signed(params: CertificateParams) -> Certificate {
    let folder = tempfile::tempdir().unwrap();
    let signing_key = KeyPair::generate().unwrap();
    let made = params.self_signed(&signing_key).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let server = tls::server_config(&certificate, &key).unwrap();
    let der = made.der().to_vec();
    Certificate { _folder: folder, server, trust: Trust::CaFile(certificate), der }
}

pub fn offering(extra: &'static str) -> Vec<&'static str> {
    EVERYTHING.iter().copied().chain([extra]).collect()
}

fn secured(hop: &NextHop, mode: TlsMode, trust: Trust) -> SmtpHop {
    SmtpHop { tls: mode, tls_name: Some("localhost".to_owned()), trust, ..plain(hop.address) }
}

async fn fate_of(hop: SmtpHop) -> (String, Option<String>) {
    let relay = Relay::new(settings(hop)).unwrap();
    let delivery = relay.deliver(&copy_of(MESSAGE, &["a@example.org"]), &free).await;
    let fingerprint = |tls: String| {
        let (version, certificate) = tls.split_once(" sha256=").unwrap();
        assert_eq!(certificate.len(), 64, "the fingerprint of the certificate: {tls}");
        version.to_owned()
    };
    (brief(&delivery.fates[0]), delivery.tls.map(fingerprint))
}

#[tokio::test]
async fn p3_starttls_and_implicit_tls() {
    let certificate = certificate();
    for (mode, implicit) in [(TlsMode::StartTls, false), (TlsMode::Implicit, true)] {
        let extensions = offering("STARTTLS");
        let server = Some(certificate.server.clone());
        let mut hop = NextHop::with_tls(&extensions, server, implicit, |_, _| None).await;
        let (fate, version) = fate_of(secured(&hop, mode, certificate.trust.clone())).await;
        assert_eq!((fate.as_str(), version.as_deref()), ("relayed 250 2.0.0", Some("TLSv1.3")), "{mode:?}");
        assert_eq!(hop.next().await.data, MESSAGE.as_bytes());
        // A certificate that nobody vouches for, unless the config says so.
        let stranger = super::secure::certificate();
        let mut wrong = secured(&hop, mode, stranger.trust.clone());
        assert_eq!(fate_of(wrong.clone()).await.0, "deferred 451 4.7.5", "{mode:?}");
        wrong.trust = Trust::Anybody;
        assert_eq!(fate_of(wrong).await.0, "relayed 250 2.0.0", "{mode:?}");
        let mut other_name = secured(&hop, mode, certificate.trust.clone());
        other_name.tls_name = Some("smtp.example.org".to_owned());
        assert_eq!(fate_of(other_name).await.0, "deferred 451 4.7.5", "{mode:?}");
        hop.next().await;
        assert!(hop.try_next().is_none(), "nothing was sent without TLS");
    }
}

/// `openssl req -x509` makes them so, and administrators name them in `ca_file`.
#[tokio::test]
async fn p3_a_self_signed_certificate_that_says_it_is_an_authority_stands_for_itself() {
    let made = |years: std::ops::Range<i32>| {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        self_signed(params)
    };
    let (listed, other, expired) = (made(2020..2090), made(2020..2090), made(2020..2021));
    let extensions = offering("STARTTLS");
    for (server, trust, name, expected) in [
        (&listed, &listed.trust, "localhost", "relayed 250 2.0.0"),
        (&listed, &listed.trust, "smtp.example.org", "deferred 451 4.7.5"),
        (&listed, &other.trust, "localhost", "deferred 451 4.7.5"),
        (&expired, &expired.trust, "localhost", "deferred 451 4.7.5"),
    ] {
        let hop = NextHop::with_tls(&extensions, Some(server.server.clone()), false, |_, _| None).await;
        let mut asked = secured(&hop, TlsMode::StartTls, trust.clone());
        asked.tls_name = Some(name.to_owned());
        assert_eq!(fate_of(asked).await.0, expected, "{name}");
    }
}

#[tokio::test]
async fn p3_starttls_is_never_downgraded() {
    let certificate = certificate();
    let refuses =
        |_, line: &str| line.starts_with("STARTTLS").then(|| Answer::Say("454 4.7.0 not now\r\n".to_owned()));
    let injects = |_, line: &str| {
        let text = "220 go ahead\r\n250 2.0.0 believe me\r\n";
        line.starts_with("STARTTLS").then(|| Answer::Say(text.to_owned()))
    };
    let server = || Some(certificate.server.clone());
    let extensions = offering("STARTTLS");
    for mut hop in [
        NextHop::with_tls(EVERYTHING, server(), false, |_, _| None).await,
        NextHop::with_tls(&extensions, server(), false, refuses).await,
        NextHop::with_tls(&extensions, server(), false, injects).await,
    ] {
        let (fate, _) = fate_of(secured(&hop, TlsMode::StartTls, Trust::Anybody)).await;
        assert!(fate.starts_with("deferred 451 4."), "{fate}");
        assert!(hop.try_next().is_none());
    }
}

#[tokio::test]
async fn p4_signs_in_by_plain_or_login() {
    let certificate = certificate();
    for (offered, expected) in [
        ("AUTH LOGIN PLAIN", vec!["AUTH PLAIN AGFubmEAZ2VoZWlt"]),
        ("AUTH LOGIN", vec!["AUTH LOGIN", "YW5uYQ==", "Z2VoZWlt"]),
    ] {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = heard.clone();
        let script = move |_, line: &str| {
            let reply = match line {
                "AUTH LOGIN" | "YW5uYQ==" => "334 VXNlcm5hbWU6\r\n",
                "Z2VoZWlt" => "235 2.7.0 welcome\r\n",
                _ if line.starts_with("AUTH PLAIN") => "235 2.7.0 welcome\r\n",
                _ => return None,
            };
            hears.lock().unwrap().push(line.to_owned());
            Some(Answer::Say(reply.to_owned()))
        };
        let mut extensions = offering("STARTTLS");
        extensions.push(offered);
        let server = Some(certificate.server.clone());
        let hop = NextHop::with_tls(&extensions, server, false, script).await;
        let mut settings = secured(&hop, TlsMode::StartTls, certificate.trust.clone());
        settings.credentials =
            Some(Credentials { username: "anna".to_owned(), password: Secret::new(&b"geheim"[..]) });
        assert!(!format!("{settings:?}").contains("geheim"));
        assert_eq!(fate_of(settings).await.0, "relayed 250 2.0.0");
        assert_eq!(*heard.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn p15_a_refused_sign_in_is_our_own_451() {
    for (offered, reply) in [
        ("AUTH PLAIN", "535 5.7.8 wrong"),
        ("AUTH LOGIN", "535 5.7.8 wrong"),
        ("AUTH CRAM-MD5", "235 never asked"),
    ] {
        let script =
            move |_, line: &str| line.starts_with("AUTH").then(|| Answer::Say(format!("{reply}\r\n")));
        let mut hop = NextHop::scripted(&[offered], script).await;
        let mut settings = plain(hop.address);
        settings.credentials =
            Some(Credentials { username: "anna".to_owned(), password: Secret::new(&b"geheim"[..]) });
        let (fate, _) = fate_of(settings).await;
        assert_eq!(fate, "deferred 451 4.7.0", "{offered}");
        assert!(hop.try_next().is_none());
    }
}
