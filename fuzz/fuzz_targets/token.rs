//! Unsubscribe tokens: whatever is not ours does not open, what is ours says what was claimed, and an altered
//! token never opens (promise 7; RULES P7).
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluis::mail::{Address, Purpose, Reference, SenderId};
use sluis::secret::{Entropy, Secret};
use sluis::token::{Claim, Keys};

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    Keys::new(vec![(1, Secret::new([1; 32])), (0, Secret::new([2; 32]))]).expect("two keys of 32 octets")
});

/// The nonce of every token: a run can be repeated.
#[derive(Debug)]
struct Still;

impl Entropy for Still {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

fuzz_target!(|input: (String, Option<(String, String, [u8; 16], Option<String>, u16, char)>)| {
    let (foreign, claimed) = input;
    assert!(KEYS.open(&foreign).is_err(), "opened {foreign:?}");
    let Some((sender, local, reference, purpose, at, other)) = claimed else { return };
    let Ok(address) = Address::parse(&format!("{local}@example.org")) else { return };
    let claim = Claim {
        sender: SenderId(sender.chars().take(100).collect()),
        address: address.key().clone(),
        reference: Reference::from_bytes(reference),
        purpose: purpose.filter(|purpose| purpose.len() <= 120).map(Purpose),
    };
    let token = KEYS.mint(&claim, &Still);
    assert!(token.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    assert_eq!(KEYS.open(&token).as_ref(), Ok(&claim));
    let at = usize::from(at) % token.len();
    let altered = format!("{}{other}{}", &token[..at], &token[at + 1..]);
    assert!(altered == token || KEYS.open(&altered).is_err(), "opened {altered}");
    assert!(KEYS.open(&token[..at]).is_err(), "opened a part of {token}");
});
