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
        let trust = Trust { roots: &roots, crls: &[], now: Some(now()) };
        check(&answer, &IMPRINT, Some(&NONCE_SENT), Some(&trust))
    };
    let tsa = Tsa::new(Purpose::TimeStamping);
    of(&tsa, &tsa.authority).unwrap();
    let stranger = Tsa::new(Purpose::TimeStamping);
    let is_signer = |answer| matches!(answer, Err(StampError::Signer(_)));
    assert!(is_signer(of(&tsa, &stranger.authority)));
    let server = Tsa::new(Purpose::ServerAuth);
    assert!(is_signer(of(&server, &server.authority)), "a web server's certificate is none");
}

/// What the answer of `tsa` is worth to somebody who trusts its authority and was handed these lists.
fn judged(tsa: &Tsa, now: Option<&str>, lists: &[Vec<u8>]) -> Result<Stamp, StampError> {
    let answer = tsa.answer(&query(&IMPRINT, &NONCE_SENT), AT, Spoil::Nothing);
    let authority = CertificateDer::from(&tsa.authority[..]);
    let roots = [webpki::anchor_from_trusted_cert(&authority).unwrap()];
    let lists = lists.iter().map(|list| webpki::OwnedCertRevocationList::from_der(list).unwrap().into());
    let lists: Vec<CertRevocationList<'_>> = lists.collect();
    let crls: Vec<&CertRevocationList<'_>> = lists.iter().collect();
    let trust = Trust { roots: &roots, crls: &crls, now: now.map(|now| now.parse().unwrap()) };
    check(&answer, &IMPRINT, None, Some(&trust))
}

#[test]
fn promise_8_a_stamp_outlives_its_signers_certificate_and_none_is_older_or_younger_than_that() {
    // It was made in March 2026; nobody asks for the time at which it is looked at.
    let tsa = Tsa::valid(Purpose::TimeStamping, 2026, 2027);
    judged(&tsa, None, &[]).unwrap();
    asked(&tsa, Spoil::Nothing).unwrap();
    judged(&tsa, Some("2026-03-01T10:00:05Z"), &[]).unwrap();
    // An answer that just came is another matter: its signer has no business signing.
    let late = judged(&tsa, Some("2027-03-01T10:00:05Z"), &[]);
    assert!(matches!(late, Err(StampError::Signer(_))), "{late:?}");
    for (from, until) in [(2020, 2026), (2027, 2030)] {
        let tsa = Tsa::valid(Purpose::TimeStamping, from, until);
        for answer in [judged(&tsa, None, &[]), asked(&tsa, Spoil::Nothing)] {
            let words = answer.unwrap_err().to_string();
            let valid = format!("valid from {from}-01-01T00:00:00Z to {until}-01-01T00:00:00Z");
            assert!(words.contains(&valid), "{words}");
        }
    }
    // Both spellings of a certificate's times (RFC 5280 4.1.2.5).
    judged(&Tsa::valid(Purpose::TimeStamping, 1975, 2060), None, &[]).unwrap();
}

#[test]
fn a_revocation_takes_the_stamps_that_rfc_3161_says_it_takes() {
    use rcgen::RevocationReason as Reason;
    let tsa = Tsa::new(Purpose::TimeStamping);
    let with = |year, reason| judged(&tsa, None, &[tsa.revocations(year, reason)]);
    with(None, None).unwrap();
    for reason in [Reason::AffiliationChanged, Reason::Superseded, Reason::CessationOfOperation] {
        with(Some(2027), Some(reason)).unwrap();
        let words = with(Some(2026), Some(reason)).unwrap_err().to_string();
        assert!(
            words.contains("revoked at 2026-01-01T00:00:00Z") && words.contains("not before that"),
            "{words}"
        );
    }
    let words = with(Some(2027), Some(Reason::KeyCompromise)).unwrap_err().to_string();
    assert!(words.contains("KeyCompromise, so no stamp by its key counts"), "{words}");
    let words = with(Some(2027), None).unwrap_err().to_string();
    assert!(words.contains("no reason is given, so no stamp by its key counts"), "{words}");

    // A list that says nothing of this signer, or that somebody else made, is no word for it.
    let stranger = Tsa::new(Purpose::TimeStamping);
    let words = judged(&tsa, None, &[stranger.revocations(None, None)]).unwrap_err().to_string();
    assert!(words.contains("the lists of revocations: "), "{words}");
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
