//! A sender, its keys, and checks on finished messages, for the tests of rewriting.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
use sluis::mail::{Address, Class, Domain, Language, Purpose, Sender, SenderId};
use sluis::message::{Brief, ComposeError, Composed, Limits, Message, Plan, Signer, SigningKey, Unsubscribe};

/// The link of the copy in every test.
pub const URL: &str = "https://afmelden.voorbeeld.nl/u/k3s9x0example0token0of0a0copy";
/// The trace of the copy in every test.
pub const TRACE: &str = "01hf8zexamplereference0000-0";

/// The key pair of RFC 8463 appendix A.2: known to everyone, and the same in every run.
const ED_SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const ED_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

static RSA: LazyLock<(Arc<RsaKey<Sha256>>, String)> = LazyLock::new(|| {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let private = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let public = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let der = rustls::pki_types::PrivateKeyDer::Pkcs8(private.as_ref().to_vec().into());
    (Arc::new(RsaKey::from_key_der(der).unwrap()), STANDARD.encode(public.as_ref()))
});

/// The ed25519 signer.
pub fn ed25519() -> Signer {
    let bytes = |text: &str| STANDARD.decode(text).unwrap();
    let key = Ed25519Key::from_seed_and_public_key(&bytes(ED_SEED), &bytes(ED_PUBLIC)).unwrap();
    Signer { domain: "voorbeeld.nl".into(), selector: "ed".into(), key: SigningKey::Ed25519(Arc::new(key)) }
}

/// The rsa-2048 signer; its key is made once per run.
pub fn rsa() -> Signer {
    Signer { domain: "voorbeeld.nl".into(), selector: "rsa".into(), key: SigningKey::Rsa(Arc::clone(&RSA.0)) }
}

/// The sender.
pub fn sender() -> Sender {
    Sender {
        id: SenderId("12345678".into()),
        name: "Voorbeeld Hypotheken B.V.".into(),
        trade_names: vec!["Voorbeeld Hypotheken".into()],
        kvk: "12345678".into(),
        address: "Dorpsstraat 1, 1234 AB Ons Dorp".into(),
        contact: Address::parse("info@voorbeeld.nl").unwrap(),
        domains: vec![Domain::parse("voorbeeld.nl").unwrap()],
        notify: vec![],
        language: Language::Nl,
    }
}

/// How a copy is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    pub class: Class,
    pub language: Language,
    pub next_hop_8bit: bool,
}

impl Ask {
    pub fn new(class: Class) -> Self {
        Self { class, language: Language::Nl, next_hop_8bit: true }
    }
}

/// Rewrite `original`, through a plan as the gateway does.
pub fn rewrite(original: &[u8], ask: Ask, signers: &[Signer]) -> Result<Composed, ComposeError> {
    let sender = Sender { language: ask.language, ..sender() };
    let purpose = Purpose("nieuwsbrief hypotheken en verzekeringen".into());
    let unsubscribe = Unsubscribe {
        url: URL.into(),
        mailto: Some("mailto:u+k3s9x0example0token@afmelden.voorbeeld.nl".into()),
        list_id: "nieuwsbrief.12345678.voorbeeld.nl".into(),
    };
    let brief = Brief {
        class: ask.class,
        sender: Some(&sender),
        purpose: Some(&purpose),
        templates: None,
        unsubscribe: Some(&unsubscribe),
        trace: TRACE,
        received: None,
        message_id: "<added-by-sluis@voorbeeld.nl>",
        now: Timestamp::from_second(1_700_000_000).unwrap(),
        next_hop_8bit: ask.next_hop_8bit,
        is_ours: &|text| text == URL || text == TRACE,
    };
    let message = Message::parse(Bytes::copy_from_slice(original), &Limits::default());
    Plan::new(&message, &brief)?.copy(&brief, signers)
}

/// DNS, as far as these tests need it.
struct Records(Vec<(String, Txt)>);

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let found = self.0.iter().find(|(known, _)| {
            let known: Box<str> = known.as_str().into();
            Borrow::<Q>::borrow(&known) == name
        });
        found.map(|(_, record)| record.clone())
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// What mail-auth says of each DKIM-Signature by `voorbeeld.nl` in `message`: `Ok` when all of them pass.
pub fn verify(message: &[u8], expected: usize) -> Result<(), String> {
    let records = [
        ("ed._domainkey.voorbeeld.nl", format!("v=DKIM1; k=ed25519; p={ED_PUBLIC}")),
        ("rsa._domainkey.voorbeeld.nl", format!("v=DKIM1; k=rsa; p={}", RSA.1)),
    ];
    verify_with(message, "voorbeeld.nl", &records, expected)
}

/// The same, for any domain and the DNS records given.
pub fn verify_with(
    message: &[u8],
    domain: &str,
    records: &[(&str, String)],
    expected: usize,
) -> Result<(), String> {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    static ROOM: LazyLock<MessageAuthenticator> = LazyLock::new(|| {
        let _guard = RUNTIME.enter();
        MessageAuthenticator::new_cloudflare().unwrap()
    });
    let record = |text: &str| Txt::DomainKey(Arc::new(DomainKey::parse(text.as_bytes()).unwrap()));
    let records = Records(records.iter().map(|(name, text)| (format!("{name}."), record(text))).collect());
    let parsed = AuthenticatedMessage::parse_with_opts(message, None, true).ok_or("unreadable")?;
    let results = RUNTIME.block_on(ROOM.verify_dkim(Parameters::new(&parsed).with_txt_cache(&records)));
    let ours: Vec<_> = results
        .iter()
        .filter(|one| one.signature().is_some_and(|s| s.d == domain))
        .map(mail_auth::DkimOutput::result)
        .collect();
    match ours.iter().find(|result| ***result != DkimResult::Pass) {
        Some(bad) => Err(format!("{bad:?}")),
        None if ours.len() == expected => Ok(()),
        None => Err(format!("{} signatures, expected {expected}", ours.len())),
    }
}

/// For a look by other programs (tests/interop/rewrite.sh): the message before and after, and the records of
/// the keys, in the folder that `SLUIS_REWRITTEN` names, if it does.
pub fn keep(name: &str, before: &[u8], after: &[u8]) {
    let Some(folder) = std::env::var_os("SLUIS_REWRITTEN").map(std::path::PathBuf::from) else { return };
    std::fs::write(folder.join("key-ed.txt"), format!("v=DKIM1; k=ed25519; p={ED_PUBLIC}")).unwrap();
    std::fs::write(folder.join("key-rsa.txt"), format!("v=DKIM1; k=rsa; p={}", RSA.1)).unwrap();
    std::fs::write(folder.join(format!("{name}.before")), before).unwrap();
    std::fs::write(folder.join(format!("{name}.after")), after).unwrap();
}

/// Each line of `bytes` without its CRLF.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Whether a CR or LF stands alone.
pub fn has_bare_line_end(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, b)| match b {
        b'\n' => at == 0 || bytes[at - 1] != b'\r',
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    })
}

/// With every line end a CRLF, as the front gate delivers messages.
pub fn crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 30);
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\r' => {
                out.extend_from_slice(b"\r\n");
                at += usize::from(bytes.get(at + 1) == Some(&b'\n'));
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            other => out.push(other),
        }
        at += 1;
    }
    out
}
