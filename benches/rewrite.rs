//! Parse, edit and sign, per copy, beside one memcpy of the same message in the same run.
//!
//! `cargo bench --bench rewrite` prints a Markdown table: microseconds, megabytes per second, allocations
//! per copy, and how much of the copy is ours. `-- --quick` takes seconds, for a look. The small messages
//! are multipart/alternative (quoted-printable text and html); the large one has a base64 attachment. The sender's
//! footer is filled in once and kept, as in the gateway; "plan, footer and all" is the first message of a sender.

use std::alloc::System;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use bytes::Bytes;
use jiff::Timestamp;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use sluis::mail::{Address, Class, Domain, Language, Purpose, Sender, SenderId};
use sluis::message::{
    Brief, Composed, Limits, Message, Piece, Plan, Signer, SigningKey, Templates, Unsubscribe,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LINK: &str =
    "https://afmelden.voorbeeld.nl/u/k3s9x0example0token0of0a0copy0that0is0as0long0as0a0real0one0is";

fn main() {
    let lasting =
        Duration::from_millis(if std::env::args().any(|arg| arg == "--quick") { 100 } else { 1000 });
    let ed25519 = [ed25519()];
    let rsa = [rsa()];
    let both = [self::rsa(), self::ed25519()];

    println!("| message | step | µs | MB/s | × memcpy | allocations | octets allocated | our octets |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, size) in [("1 KB", 1_000), ("10 KB", 10_000), ("100 KB", 100_000), ("10 MB", 10_000_000)] {
        let original = if size > 1_000_000 { with_attachment(size) } else { alternative(size) };
        let memcpy = measure(lasting, || original.to_vec()).micros;
        let message = Message::parse(original.clone(), &Limits::default());
        let way_out = way_out(LINK);
        let sender = sender();
        let purpose = Purpose("nieuwsbrief hypotheken en verzekeringen".into());
        let templates = Templates::default();
        let brief = Brief { templates: Some(&templates), ..brief(&sender, &purpose, &way_out) };
        let plan = Plan::new(&message, &brief).expect("a message that can be edited");
        let show = |step: &str, one: &Measured, own: usize| {
            println!(
                "| {name} ({}) | {step} | {:.1} | {:.0} | {:.2} | {} | {} | {own} |",
                original.len(),
                one.micros,
                original.len() as f64 / one.micros,
                one.micros / memcpy,
                one.allocations,
                one.octets,
            );
        };
        show("memcpy", &measure(lasting, || original.to_vec()), 0);
        show("parse", &measure(lasting, || Message::parse(original.clone(), &Limits::default())), 0);
        show("plan", &measure(lasting, || Plan::new(&message, &brief)), 0);
        let first = Brief { templates: None, ..brief.clone() };
        show("plan, footer and all", &measure(lasting, || Plan::new(&message, &first)), 0);
        let copies: [(&str, &[Signer]); 4] = [
            ("copy, unsigned", &[]),
            ("copy, ed25519", &ed25519),
            ("copy, rsa-2048", &rsa),
            ("copy, both", &both),
        ];
        for (step, signers) in copies {
            let own = own(&plan.copy(&brief, signers).expect("a copy"));
            show(step, &measure(lasting, || plan.copy(&brief, signers)), own);
        }
        let whole = |signers: &[Signer]| {
            let message = Message::parse(original.clone(), &Limits::default());
            Plan::new(&message, &brief).and_then(|plan| plan.copy(&brief, signers))
        };
        show("all of it, unsigned", &measure(lasting, || whole(&[])), 0);
        show("all of it, ed25519", &measure(lasting, || whole(&ed25519)), 0);
        let copy = plan.copy(&brief, &ed25519).expect("a copy");
        show("sha256 of what is sent", &measure(lasting, || copy.rope.sha256()), 0);
    }
    many_copies(&ed25519);
}

/// Copies of one message with a large attachment, all kept at once.
fn many_copies(signers: &[Signer]) {
    let original = with_attachment(25_000_000);
    let sender = sender();
    let purpose = Purpose("nieuwsbrief".into());
    let region = Region::new(ALLOCATOR);
    let start = Instant::now();
    let message = Message::parse(original.clone(), &Limits::default());
    let mut plan = None;
    let mut copies = Vec::with_capacity(500);
    for number in 0..500 {
        let way_out = way_out(&format!("{LINK}{number}"));
        let templates = Templates::default();
        let brief = Brief { templates: Some(&templates), ..brief(&sender, &purpose, &way_out) };
        let plan = plan.get_or_insert_with(|| Plan::new(&message, &brief).expect("a plan"));
        copies.push(plan.copy(&brief, signers).expect("a copy"));
    }
    let elapsed = start.elapsed();
    let stats = region.change();
    let held = stats.bytes_allocated - stats.bytes_deallocated;
    println!(
        "\n500 signed copies of a message of {} octets, all kept: {:.2} s, {} octets held beside the original, \
         {} per copy.",
        original.len(),
        elapsed.as_secs_f64(),
        held,
        held / copies.len()
    );
}

struct Measured {
    micros: f64,
    allocations: usize,
    octets: usize,
}

/// The median of many rounds, so that a neighbour's work on the same core does not count.
fn measure<T>(lasting: Duration, mut call: impl FnMut() -> T) -> Measured {
    let region = Region::new(ALLOCATOR);
    let one = black_box(call());
    let stats = region.change();
    drop(one);
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed() < lasting || times.len() < 5 {
        let start = Instant::now();
        let one = black_box(call());
        times.push(start.elapsed().as_nanos() as f64 / 1000.0);
        drop(one);
    }
    times.sort_by(f64::total_cmp);
    Measured {
        micros: times[times.len() / 2],
        allocations: stats.allocations + stats.reallocations,
        octets: stats.bytes_allocated,
    }
}

fn own(copy: &Composed) -> usize {
    let one = |piece: &Piece| match piece {
        Piece::Own(bytes) => bytes.len(),
        Piece::Original(_) => 0,
    };
    copy.rope.pieces().iter().map(one).sum()
}

const HEAD: &str = "Received: from tool.example (tool.example [192.0.2.7])\r\n\tby mail.example with ESMTPS id 4f7;\r\n\
    \tTue, 14 Nov 2023 22:13:19 +0000\r\nFrom: Voorbeeld Hypotheken <nieuws@voorbeeld.nl>\r\nTo: bob@example.org\r\n\
    Subject: =?utf-8?q?De_rente_in_november?=\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\
    Message-ID: <1@voorbeeld.nl>\r\nReply-To: info@voorbeeld.nl\r\nX-Mailer: Tool 4.2\r\n\
    List-Unsubscribe: <https://tool.example/u/1>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
    MIME-Version: 1.0\r\n";

fn parts(size: usize) -> String {
    let mut text = String::new();
    let mut html =
        String::from("<!doctype html><html><head><title>Rente</title><style>p { color: #333 }</style>\r\n");
    html += "</head><body>\r\n";
    while text.len() + html.len() + 700 < size {
        text +=
            "De rente van een hypotheek met tien jaar vast is deze maand gedaald, =\r\nzo meldt de bank.\r\n";
        html += "<p style=3D\"margin:0\">De rente van een <a href=3D\"https://voorbeeld.nl/r=\r\nente\">hypotheek</a> \
                 met tien jaar vast is &eacute;=C3=A9n punt gedaald.</p>\r\n";
    }
    html += "</body></html>\r\n";
    format!(
        "--alt\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         {text}\r\n--alt\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n{html}\r\n--alt--\r\n"
    )
}

fn alternative(size: usize) -> Bytes {
    let text = format!(
        "{HEAD}Content-Type: multipart/alternative; boundary=\"alt\"\r\n\r\n{}",
        parts(size.saturating_sub(HEAD.len()))
    );
    Bytes::from(text)
}

fn with_attachment(size: usize) -> Bytes {
    let line = format!("{}\r\n", "JVBERi0xLjQK".repeat(6));
    let text = format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=\"mix\"\r\n\r\n--mix\r\n\
         Content-Type: multipart/alternative; boundary=\"alt\"\r\n\r\n{}--mix\r\n\
         Content-Type: application/pdf; name=\"tarieven.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}--mix--\r\n",
        parts(10_000),
        line.repeat(size / line.len()),
    );
    Bytes::from(text)
}

fn sender() -> Sender {
    Sender {
        id: SenderId("12345678".into()),
        name: "Voorbeeld Hypotheken B.V.".into(),
        trade_names: vec!["Voorbeeld Hypotheken".into()],
        kvk: "12345678".into(),
        address: "Dorpsstraat 1, 1234 AB Ons Dorp".into(),
        contact: Address::parse("info@voorbeeld.nl").expect("an address"),
        domains: vec![Domain::parse("voorbeeld.nl").expect("a domain")],
        notify: vec![],
        language: Language::Nl,
    }
}

fn way_out(url: &str) -> Unsubscribe {
    Unsubscribe {
        url: url.to_owned(),
        mailto: Some("mailto:u@afmelden.voorbeeld.nl?subject=k3s9x0example0token".into()),
        list_id: "nieuwsbrief.12345678.voorbeeld.nl".into(),
    }
}

fn brief<'a>(sender: &'a Sender, purpose: &'a Purpose, unsubscribe: &'a Unsubscribe) -> Brief<'a> {
    Brief {
        class: Class::Marketing,
        sender: Some(sender),
        purpose: Some(purpose),
        templates: None,
        unsubscribe: Some(unsubscribe),
        trace: "01hf8zexamplereference0000-0 mail.voorbeeld.nl marketing 12345678",
        received: Some("from tool.example ([192.0.2.1])\r\n\tby mail.voorbeeld.nl (Sluis) with ESMTPSA"),
        message_id: "<made@voorbeeld.nl>",
        now: Timestamp::from_second(1_700_000_000).expect("a time"),
        next_hop_8bit: true,
        is_ours: &|text| text == LINK,
    }
}

fn rsa() -> Signer {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect("its octets");
    let der = rustls::pki_types::PrivateKeyDer::Pkcs8(private.as_ref().to_vec().into());
    let key = RsaKey::<Sha256>::from_key_der(der).expect("a key");
    Signer { domain: "voorbeeld.nl".into(), selector: "rsa".into(), key: SigningKey::Rsa(Arc::new(key)) }
}

fn ed25519() -> Signer {
    let document =
        aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new());
    let key = Ed25519Key::from_pkcs8_der(document.expect("a key").as_ref()).expect("a key");
    Signer { domain: "voorbeeld.nl".into(), selector: "ed".into(), key: SigningKey::Ed25519(Arc::new(key)) }
}
