//! Answers of a time-stamping service, good and spoiled.

use super::*;
use rcgen::ExtendedKeyUsagePurpose as Purpose;

#[path = "../../../tests/support/tsa.rs"]
#[allow(dead_code, reason = "shared with the tests of the whole gateway")]
mod tsa;

use tsa::{Spoil, Tsa};

const AT: &str = "20260301100000Z";
const IMPRINT: [u8; 32] = [7; 32];
const NONCE_SENT: [u8; NONCE] = [0xff, 2, 3, 4, 5, 6, 7, 8];

fn now() -> Timestamp {
    "2026-03-01T10:00:05Z".parse().unwrap()
}

fn asked(tsa: &Tsa, spoil: Spoil) -> Result<Stamp, StampError> {
    let answer = tsa.answer(&query(&IMPRINT, &NONCE_SENT), AT, spoil);
    check(&answer, &IMPRINT, Some(&NONCE_SENT), None)
}

#[test]
fn promise_8_only_an_answer_to_this_question_counts() {
    let tsa = Tsa::new(Purpose::TimeStamping);
    let stamp = asked(&tsa, Spoil::Nothing).unwrap();
    assert_eq!(stamp.at.to_string(), "2026-03-01T10:00:00Z");
    let refused = StampError::Refused { status: 2, text: "not today".to_owned() };
    assert_eq!(refused.to_string(), "the service refused: status 2: not today");
    for (spoil, error) in [
        (Spoil::Refused, refused),
        (Spoil::OtherHash, StampError::Imprint),
        (Spoil::OtherNonce, StampError::Nonce),
        (Spoil::NoNonce, StampError::Nonce),
        (Spoil::Signature, StampError::Signature),
        (Spoil::Digest, StampError::Signature),
        (Spoil::NoCertificate, StampError::Signature),
        (Spoil::NoAttributes, StampError::Signature),
    ] {
        assert_eq!(asked(&tsa, spoil).unwrap_err(), error, "{spoil:?}");
    }
}

#[test]
fn a_signer_counts_when_it_leads_to_a_root_and_is_made_for_time_stamps() {
    let of = |tsa: &Tsa, authority: &[u8]| {
        let answer = tsa.answer(&query(&IMPRINT, &NONCE_SENT), AT, Spoil::Nothing);
        let authority = CertificateDer::from(authority);
        let roots = [webpki::anchor_from_trusted_cert(&authority).unwrap()];
        check(&answer, &IMPRINT, Some(&NONCE_SENT), Some((&roots, now())))
    };
    let tsa = Tsa::new(Purpose::TimeStamping);
    of(&tsa, &tsa.authority).unwrap();
    let stranger = Tsa::new(Purpose::TimeStamping);
    let is_signer = |answer| matches!(answer, Err(StampError::Signer(_)));
    assert!(is_signer(of(&tsa, &stranger.authority)));
    let server = Tsa::new(Purpose::ServerAuth);
    assert!(is_signer(of(&server, &server.authority)), "a web server's certificate is none");
}

#[test]
fn no_octet_of_an_answer_can_be_changed_or_missed_unseen_and_none_panics() {
    let tsa = Tsa::new(Purpose::TimeStamping);
    let answer = tsa.answer(&query(&IMPRINT, &NONCE_SENT), AT, Spoil::Nothing);
    let check = |bytes: &[u8]| check(bytes, &IMPRINT, Some(&NONCE_SENT), None);
    for end in 0..answer.len() {
        assert!(check(&answer[..end]).is_err(), "cut at {end}");
    }
    let honest = check(&answer).unwrap();
    for place in 0..answer.len() {
        let mut changed = answer.clone();
        changed[place] ^= 0x41;
        // What is outside the signature (versions, the names of signers) may change; what the stamp says may not.
        if let Ok(stamp) = check(&changed) {
            assert_eq!(stamp, honest, "octet {place}");
        }
    }
}

#[test]
fn a_question_is_der_whatever_the_nonce_is_and_a_time_may_have_a_fraction() {
    for first in [0, 1, 0x7f, 0x80, 0xff] {
        let question = query(&IMPRINT, &[first, 0, 0, 0, 0, 0, 0, 0]);
        let inner = items(one(&question, SEQUENCE).unwrap()).unwrap();
        assert_eq!(inner.len(), 4);
        assert!((0x40..0x80).contains(&inner[2].value[0]), "{:x}", inner[2].value[0]);
    }
    assert_eq!(time(b"20260301100000.25Z").unwrap().to_string(), "2026-03-01T10:00:00.25Z");
    for wrong in [&b"20260301100000"[..], b"2026", b"20261301100000Z", b"20260301100000+0100"] {
        assert_eq!(time(wrong), None);
    }
}
