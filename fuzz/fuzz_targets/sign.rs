//! Any clean octets, signed: mail-auth says that our signature holds over what goes out, in every class.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluis::mail::Class;

#[allow(dead_code)]
#[path = "../../tests/support/letters.rs"]
mod letters;

use letters::{Ask, ed25519, has_bare_line_end, rewrite, verify};

const SIGNED: &[u8] = b"dkim-signature";
const HEAD: &[u8] = b"From: Voorbeeld <a@voorbeeld.nl>\r\n";

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let class = [Class::Marketing, Class::Service, Class::Personal, Class::System][usize::from(choice & 3)];
    let ask = Ask { next_hop_8bit: choice & 4 == 0, ..Ask::new(class) };
    let text = if choice & 8 == 0 { [HEAD, rest].concat() } else { rest.to_vec() };
    // The front gate lets no other text in.
    if has_bare_line_end(&text) || !text.ends_with(b"\r\n") {
        return;
    }
    // A broken signature in our name that came with the message (two `d=` in it, say) is not one that we made.
    if text.windows(SIGNED.len()).any(|part| part.eq_ignore_ascii_case(SIGNED)) {
        return;
    }
    let Ok(copy) = rewrite(&text, ask, &[ed25519()]) else { return };
    if let Err(why) = verify(&copy.rope.to_vec(), copy.dkim.len()) {
        // A message that mail-auth cannot read at all has no signature that it could judge.
        assert_eq!(why, "unreadable", "our own signature does not hold");
    }
});
