//! Tests of the room `token`: what it promises, rule by rule.

use std::sync::atomic::{AtomicU8, Ordering};

use proptest::prelude::*;

use super::*;
use crate::mail::Address;

/// Randomness that a test can repeat, different at each call.
#[derive(Debug, Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(167));
    }
}

fn claim() -> Claim {
    Claim {
        sender: SenderId("12345678".into()),
        address: Address::parse("ontvanger@example.org").unwrap().key().clone(),
        reference: Reference::from_bytes(*b"0123456789abcdef"),
        purpose: Some(Purpose("nieuwsbrief hypotheken en verzekeringen".into())),
    }
}

#[test]
fn a_token_says_what_was_claimed() {
    let entropy = Counting::default();
    let keys = Keys::generate(&entropy);
    let token = keys.mint(&claim(), &entropy);
    assert!(token.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{token}");
    assert!(token.len() <= 200, "{} characters", token.len());
    assert_eq!(keys.open(&token), Ok(claim()));
    assert_ne!(keys.mint(&claim(), &entropy), token, "no two tokens are alike");
    let without = Claim { purpose: None, ..claim() };
    assert_eq!(keys.open(&keys.mint(&without, &entropy)), Ok(without));
}

#[test]
fn promise_7_tokens_of_old_keys_still_open() {
    let entropy = Counting::default();
    let first = Keys::generate(&entropy);
    let token = first.mint(&claim(), &entropy);
    let mut keys = first;
    for _ in 0..20 {
        keys = keys.rotate(&entropy).unwrap();
        assert_eq!(keys.open(&token), Ok(claim()));
    }
    let later = keys.mint(&claim(), &entropy);
    assert_eq!(&base32::decode(&later).unwrap()[..2], &[VERSION, 20], "the newest key seals");
    // A restart reads the keys back from their file.
    let text = keys.to_text();
    let read = Keys::parse(std::str::from_utf8(text.expose()).unwrap()).unwrap();
    assert_eq!(read.open(&token), Ok(claim()));
    assert_eq!(read.open(&later), Ok(claim()));
    assert_eq!(&base32::decode(&read.mint(&claim(), &entropy)).unwrap()[..2], &[VERSION, 20]);
}

#[test]
fn promise_7_a_token_of_the_first_release_still_opens() {
    let keys = Keys::new(vec![(7, Secret::new([42; 32]))]).unwrap();
    assert_eq!(keys.open(FIRST_RELEASE), Ok(claim()));
}

/// Sealed by another implementation of RFC 8452, after the format's description alone: key id 7, key 42 in
/// each octet, nonce 0 to 7. Must open for ever.
const FIRST_RELEASE: &str = concat!(
    "043g00820c20a1g75cmekxrmf445sw46vhsc8szbq025n47gk8wz0rtv86cz4bq50g9pjn96cty5jvqk1yhaed7fttk9",
    "037zj0b2f4s2bcdnsee51g0gembjn71c2eyp7qqxx58gpvfe8d0j4eeyhe42zf0x1mtv5zqvq06pzpr16hpydhx8yn0"
);

#[test]
fn a_token_of_a_foreign_key_does_not_open() {
    let entropy = Counting::default();
    let ours = Keys::generate(&entropy);
    let theirs = Keys::generate(&entropy);
    let token = theirs.mint(&claim(), &entropy);
    assert_eq!(ours.open(&token), Err(TokenError), "same id, other key");
    let token = ours.rotate(&entropy).unwrap().mint(&claim(), &entropy);
    assert_eq!(ours.open(&token), Err(TokenError), "unknown id");
}

#[test]
fn a_respelled_token_does_not_open() {
    let entropy = Counting::default();
    let keys = Keys::generate(&entropy);
    let token = keys.mint(&claim(), &entropy);
    for text in [
        token.to_uppercase(),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}="),
        format!("{token}0"),
        token.repeat(2),
        token.replacen('0', "o", 1).replacen('1', "l", 1),
        String::new(),
        "0".repeat(1_000_000),
    ] {
        if text != token {
            assert_eq!(keys.open(&text), Err(TokenError), "{text:.80}");
        }
    }
    assert_eq!(keys.open("café"), Err(TokenError));
}

#[test]
fn the_longest_claim_fits_a_header_line() {
    let entropy = Counting::default();
    let keys = Keys::generate(&entropy);
    let domain = [&"d".repeat(63)[..]; 3].join(".");
    let longest = Claim {
        sender: SenderId("s".repeat(40)),
        address: Address::parse(&format!("{}@{}", "l".repeat(62), &domain)).unwrap().key().clone(),
        purpose: Some(Purpose("p".repeat(MAX_PURPOSE))),
        ..claim()
    };
    let token = keys.mint(&longest, &entropy);
    assert!(token.len() < 850, "{} characters", token.len());
    assert_eq!(keys.open(&token), Ok(longest.clone()));
    let longer = Claim { purpose: Some(Purpose("p".repeat(MAX_PURPOSE + 1))), ..longest.clone() };
    assert_eq!(keys.open(&keys.mint(&longer, &entropy)), Ok(Claim { purpose: None, ..longest }));
}

#[test]
fn what_is_no_key_ring() {
    assert_eq!(Keys::new(vec![]).unwrap_err(), KeysError::None);
    let secret = || Secret::new([1; 32]);
    assert_eq!(Keys::new(vec![(3, secret()), (3, secret())]).unwrap_err(), KeysError::Twice { id: 3 });
    assert_eq!(Keys::new(vec![(3, Secret::new([1; 31]))]).unwrap_err(), KeysError::Length { id: 3 });
    let full = (0..=u8::MAX).map(|id| (id, secret())).collect();
    assert_eq!(Keys::new(full).unwrap().rotate(&Counting::default()).unwrap_err(), KeysError::Full);
    let good = "00".repeat(32);
    assert!(Keys::parse(&format!("# keys\n\n5 {good}\n")).is_ok());
    for line in ["x", "5", &format!("256 {good}"), &format!("5 {good}0"), &format!("5 {}", "0g".repeat(32))] {
        assert_eq!(Keys::parse(&format!("\n{line}")).unwrap_err(), KeysError::Line { line: 2 }, "{line}");
    }
}

#[test]
fn secrets_do_not_show() {
    let keys = Keys::new(vec![(7, Secret::new([42; 32]))]).unwrap();
    assert_eq!(format!("{keys:?}"), "Keys([7])");
}

#[test]
fn the_id_is_the_head_of_the_hash() {
    assert_eq!(id("abc"), TokenId("ba7816bf8f01cfea414140de5dae2223".into()));
}

proptest! {
    #[test]
    fn a_flipped_bit_never_opens(bit in 0usize..8 * 118) {
        let entropy = Counting::default();
        let keys = Keys::generate(&entropy);
        let mut bytes = base32::decode(&keys.mint(&claim(), &entropy)).unwrap();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(keys.open(&base32::encode(&bytes)), Err(TokenError));
    }

    #[test]
    fn a_truncated_token_never_opens(keep in 0usize..190) {
        let entropy = Counting::default();
        let keys = Keys::generate(&entropy);
        let token = keys.mint(&claim(), &entropy);
        let keep = keep.min(token.len() - 1);
        prop_assert_eq!(keys.open(&token[..keep]), Err(TokenError));
        prop_assert_eq!(keys.open(&token[token.len() - keep..]), Err(TokenError));
    }

    #[test]
    fn a_random_text_never_opens(text in "[0-9a-z]{0,300}", any in "\\PC{0,80}") {
        let keys = Keys::generate(&Counting::default());
        prop_assert_eq!(keys.open(&text), Err(TokenError));
        prop_assert_eq!(keys.open(&any), Err(TokenError));
    }

    #[test]
    fn a_random_body_under_a_right_head_never_opens(body: Vec<u8>) {
        let keys = Keys::generate(&Counting::default());
        let mut bytes = vec![VERSION, 0];
        bytes.extend(body);
        prop_assert_eq!(keys.open(&base32::encode(&bytes)), Err(TokenError));
    }

    #[test]
    fn any_claim_comes_back(
        sender in "\\PC{0,40}",
        local in "[a-zA-Z0-9._%+İé-]{1,20}",
        reference: [u8; 16],
        purpose in proptest::option::of("\\PC{0,30}"),
    ) {
        let Ok(address) = Address::parse(&format!("{local}@example.org")) else { return Ok(()) };
        let claim = Claim {
            sender: SenderId(sender),
            address: address.key().clone(),
            reference: Reference::from_bytes(reference),
            purpose: purpose.map(Purpose),
        };
        let entropy = Counting::default();
        let keys = Keys::generate(&entropy);
        prop_assert_eq!(keys.open(&keys.mint(&claim, &entropy)), Ok(claim));
    }
}
