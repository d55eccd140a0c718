//! Any octets as a message, any class: what comes out keeps the promises, or nothing comes out.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use sluis::mail::{Address, Class, Domain, Language, Purpose, Sender, SenderId};
use sluis::message::{Brief, ComposeError, Composed, Limits, Message, Piece, Unsubscribe, compose};

const URL: &str = "https://u.example/u/token";
const HEAD: &[u8] = b"From: Voorbeeld <a@voorbeeld.nl>\r\n";

static SENDER: LazyLock<Sender> = LazyLock::new(|| Sender {
    id: SenderId("1".into()),
    name: "Voorbeeld".into(),
    trade_names: vec![],
    kvk: "1".into(),
    address: "Straat 1".into(),
    contact: Address::parse("a@voorbeeld.nl").unwrap(),
    domains: vec![Domain::parse("voorbeeld.nl").unwrap()],
    notify: vec![],
    language: Language::Fr,
});

fn run(text: &[u8], class: Class, eight: bool) -> Result<Composed, ComposeError> {
    let purpose = Purpose("nieuws".into());
    let unsubscribe = Unsubscribe { url: URL.into(), mailto: None, list_id: "a.b".into() };
    let brief = Brief {
        class,
        sender: Some(&SENDER),
        purpose: Some(&purpose),
        templates: None,
        unsubscribe: Some(&unsubscribe),
        trace: "trace",
        received: None,
        message_id: "<1@voorbeeld.nl>",
        now: Timestamp::UNIX_EPOCH,
        next_hop_8bit: eight,
        is_ours: &|text| text == URL || text == "trace",
    };
    compose(&Message::parse(Bytes::copy_from_slice(text), &Limits::default()), &brief, &[])
}

fn bare(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, b)| match b {
        b'\n' => at == 0 || bytes[at - 1] != b'\r',
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let class = [Class::Marketing, Class::Service, Class::Personal, Class::System][usize::from(choice & 3)];
    let eight = choice & 4 == 0;
    let text = if choice & 8 == 0 { [HEAD, rest].concat() } else { rest.to_vec() };
    // The front gate lets no other text in.
    let clean = !bare(&text) && text.ends_with(b"\r\n");
    let copy = match run(&text, class, eight) {
        Ok(copy) => copy,
        Err(ComposeError::Failed(why)) => panic!("our own failure: {why}"),
        Err(_) => return,
    };
    let out = copy.rope.to_vec();
    if !clean {
        return;
    }
    assert!(!bare(&out), "promise 9");
    assert!(eight || class == Class::System || out.is_ascii() || !text.is_ascii(), "RULES P5");
    let longest = text.split(|b| *b == b'\n').map(<[u8]>::len).max().unwrap_or(0).max(999);
    assert!(out.split(|b| *b == b'\n').all(|line| line.len() <= longest), "a longer line than before");
    let original: usize = copy
        .rope
        .pieces()
        .iter()
        .map(|piece| if let Piece::Original(range) = piece { range.len() } else { 0 })
        .sum();
    assert!(original <= text.len(), "nothing of the original twice");
    let lower = text.to_ascii_lowercase();
    let removes = [&b"bcc"[..], b"sluis-trace", b"dkim-signature"]
        .iter()
        .any(|n| lower.windows(n.len()).any(|w| w == *n));
    if class == Class::Personal && eight && !removes {
        assert_eq!(original, text.len(), "promise 4: personal mail arrives as it came");
    }
    let again = run(&out, class, eight).expect("what we made can be made again").rope.to_vec();
    assert_eq!(again, out, "RULES P12: twice adds nothing");
});
