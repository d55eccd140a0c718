//! Time stamps on checkpoints (RFC 3161): what is asked of a time-stamping service, and whether its answer holds.
//!
//! An answer counts when it grants, when it stamps the hash that was asked for with the nonce of the question, and
//! when the key of a certificate in it signed all that, at a time at which that certificate was valid. With roots to
//! trust, the certificate must also lead to one of them, as of that time, and be made for time stamps. So a stamp that
//! was good stays good when its signer's certificate has expired: its certificates are in it, and the answer is kept as
//! it came, for `openssl ts -verify`, too. What a revocation means for it is said by RFC 3161 section 4 ([`Trust::crls`]).
//! Deliberately absent: how an answer or a list of revocations is fetched.

use std::time::Duration;

use aws_lc_rs::digest::{self, digest};
use der::asn1::{AnyRef, OctetStringRef};
use der::{Decode as _, Reader as _, SliceReader, Tagged as _};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::aws_lc_rs as algorithms;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, RevocationReason, UnknownStatusPolicy,
};

/// Longest answer that is read, in octets: one with a chain of certificates has some 6,000.
pub const MAX_ANSWER: usize = 32 * 1024;

/// Octets of the nonce.
pub const NONCE: usize = 8;

/// `id-kp-timeStamping` (RFC 3161 2.3), as DER spells it.
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];
/// `id-ct-TSTInfo`.
const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4];
/// `id-signedData`.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// `id-contentType` and `id-messageDigest`.
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
/// SHA-256, -384 and -512.
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];

/// Tags as they stand in the first octet.
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;

/// Who vouches for signers.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Authorities that a signer's certificate may lead to.
    pub roots: &'a [TrustAnchor<'a>],
    /// Lists of revocations, the newest of each authority; none is asked for, and one that is given must be of the
    /// authority that issued the certificate.
    pub crls: &'a [&'a CertRevocationList<'a>],
    /// When the answer came, if it just did: certificates must be valid then as well.
    pub now: Option<Timestamp>,
}

/// What a service says of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When it saw the hash.
    pub at: Timestamp,
}

/// Why an answer does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// Not DER, or not the structure of RFC 3161.
    #[error("the answer is no time stamp: {0}")]
    Malformed(&'static str),
    /// The service said no (RFC 3161 2.4.2).
    #[error("the service refused: status {status}{}", words(.text))]
    Refused {
        /// `PKIStatus`.
        status: u64,
        /// Its words.
        text: String,
    },
    /// It stamps something else.
    #[error("the time stamp is for another hash")]
    Imprint,
    /// It answers another question.
    #[error("the time stamp answers another question: its nonce differs")]
    Nonce,
    /// Nobody signed it.
    #[error("the time stamp's signature does not hold")]
    Signature,
    /// Its signer's certificate was not valid when it says that it was made.
    #[error("the time stamp says {at}, and its signer's certificate was valid from {from} to {until}")]
    Validity {
        /// The time in the stamp.
        at: Timestamp,
        /// From then on.
        from: Timestamp,
        /// Until then.
        until: Timestamp,
    },
    /// Its signer's certificate was revoked (RFC 3161 4).
    #[error("the certificate of the time stamp's signer was revoked at {at}: {why}")]
    Revoked {
        /// When.
        at: Timestamp,
        /// What that means for the stamp.
        why: String,
    },
    /// Who signed it is not trusted for that.
    #[error("the time stamp's signer is not to be believed: {0}")]
    Signer(String),
}

fn words(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// The question about the SHA-256 `imprint`: a `TimeStampReq` in DER that asks for the signer's certificate, too.
pub fn query(imprint: &[u8; 32], nonce: &[u8; NONCE]) -> Vec<u8> {
    // All lengths are fixed: version 1; the algorithm and the hash; the nonce; certReq TRUE.
    let mut question = vec![0x30, 0x43, 2, 1, 1, 0x30, 0x31, 0x30, 0x0d, OID, SHA256.len() as u8];
    question.extend_from_slice(SHA256);
    question.extend_from_slice(&[5, 0, OCTETS, 32]);
    question.extend_from_slice(imprint);
    question.extend_from_slice(&[INTEGER, NONCE as u8]);
    question.extend_from_slice(&positive(nonce));
    question.extend_from_slice(&[1, 1, 0xff]);
    question
}

/// As an INTEGER of exactly this length: neither negative nor with a zero that DER would leave out.
fn positive(nonce: &[u8; NONCE]) -> [u8; NONCE] {
    let mut nonce = *nonce;
    nonce[0] = nonce[0] & 0x7f | 0x40;
    nonce
}

/// Check the `answer` (a `TimeStampResp` in DER) about `imprint`. `nonce` is that of the question, where it is still
/// known. With `trust`, the signer must lead to a root; without, any certificate in it will do that was valid at its time.
pub fn check(
    answer: &[u8],
    imprint: &[u8; 32],
    nonce: Option<&[u8; NONCE]>,
    trust: Option<&Trust<'_>>,
) -> Result<Stamp, StampError> {
    let malformed = StampError::Malformed;
    let answer = items(one(answer, SEQUENCE)?)?;
    granted(answer.first().ok_or(malformed("it is empty"))?)?;
    let token = answer.get(1).ok_or(malformed("it has no token"))?;
    let token = items(token.of(SEQUENCE)?)?;
    if place(&token, 0)?.of(OID)? != SIGNED_DATA {
        return Err(malformed("its token is no signed data"));
    }
    let signed = items(one(place(&token, 1)?.of(CONTEXT_0)?, SEQUENCE)?)?;
    let content = items(place(&signed, 2)?.of(SEQUENCE)?)?;
    if place(&content, 0)?.of(OID)? != TST_INFO {
        return Err(malformed("it signs something else"));
    }
    let info = one(place(&content, 1)?.of(CONTEXT_0)?, OCTETS)?;
    let stamp = read_info(info, imprint, nonce)?;
    check_signature(&signed, info, stamp.at, trust)?;
    Ok(stamp)
}

/// `PKIStatusInfo`: granted, or granted with changes.
fn granted(status: &Item<'_>) -> Result<(), StampError> {
    let parts = items(status.of(SEQUENCE)?)?;
    let status = place(&parts, 0)?.of(INTEGER)?;
    let status = status.iter().fold(0u64, |value, octet| value << 8 | u64::from(*octet));
    if status <= 1 {
        return Ok(());
    }
    let text = parts.get(1).filter(|part| part.tag == SEQUENCE).map(|part| items(part.value)).transpose()?;
    let text: Vec<_> = text
        .iter()
        .flatten()
        .map(|line| String::from_utf8_lossy(line.value).chars().filter(|c| !c.is_control()).collect())
        .collect();
    let text: String = text.into_iter().collect::<Vec<String>>().join("; ");
    Err(StampError::Refused { status, text: text.chars().take(200).collect() })
}

/// `TSTInfo`.
fn read_info(info: &[u8], imprint: &[u8; 32], nonce: Option<&[u8; NONCE]>) -> Result<Stamp, StampError> {
    let info = items(one(info, SEQUENCE)?)?;
    let stamped = items(place(&info, 2)?.of(SEQUENCE)?)?;
    let algorithm = items(place(&stamped, 0)?.of(SEQUENCE)?)?;
    if place(&algorithm, 0)?.of(OID)? != SHA256 || place(&stamped, 1)?.of(OCTETS)? != imprint {
        return Err(StampError::Imprint);
    }
    let given = info.iter().skip(5).find(|item| item.tag == INTEGER).map(|item| item.value);
    if let Some(nonce) = nonce
        && given != Some(&positive(nonce)[..])
    {
        return Err(StampError::Nonce);
    }
    let at = time(place(&info, 4)?.of(TIME)?).ok_or(StampError::Malformed("its time is none"))?;
    Ok(Stamp { at })
}

/// `GeneralizedTime` as RFC 3161 2.4.2 wants it: `YYYYMMDDhhmmss[.s…]Z`.
fn time(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let format = if text.contains('.') { "%Y%m%d%H%M%S%.f" } else { "%Y%m%d%H%M%S" };
    let at = DateTime::strptime(format, text).ok()?;
    TimeZone::UTC.to_timestamp(at).ok()
}

/// The one signature over `info`, by the key of a certificate that came with it and was valid `at` that time.
fn check_signature(
    signed: &[Item<'_>],
    info: &[u8],
    at: Timestamp,
    trust: Option<&Trust<'_>>,
) -> Result<(), StampError> {
    let certificates = signed.iter().skip(3).find(|item| item.tag == CONTEXT_0);
    let certificates = certificates.map(|item| items(item.value)).transpose()?.unwrap_or_default();
    let signers = signed.iter().skip(3).find(|item| item.tag == SET);
    let signers = items(signers.ok_or(StampError::Malformed("nobody signed it"))?.value)?;
    let [signer] = signers.as_slice() else { return Err(StampError::Malformed("it has not one signer")) };
    let signer = items(signer.of(SEQUENCE)?)?;
    let algorithm = items(place(&signer, 2)?.of(SEQUENCE)?)?;
    let (hash, algorithms) = hashes(place(&algorithm, 0)?.of(OID)?)?;
    let attributes = place(&signer, 3)?;
    check_attributes(attributes.of(CONTEXT_0)?, digest(hash, info).as_ref())?;
    // RFC 5652 5.4: what is signed is the SET, not the tag that it has within the signer.
    let mut text = attributes.raw.to_vec();
    text[0] = SET;
    let signature = signer.iter().skip(5).find(|item| item.tag == OCTETS);
    let signature = signature.ok_or(StampError::Malformed("it has no signature"))?.value;

    let others: Vec<CertificateDer<'_>> =
        certificates.iter().map(|item| CertificateDer::from(item.raw)).collect();
    let holds = |certificate: &&CertificateDer<'_>| {
        EndEntityCert::try_from(*certificate).is_ok_and(|certificate| {
            algorithms.iter().any(|one| certificate.verify_signature(*one, &text, signature).is_ok())
        })
    };
    let by = others.iter().find(holds).ok_or(StampError::Signature)?;
    let (from, until) = validity(by)?;
    if at < from || at > until {
        return Err(StampError::Validity { at, from, until });
    }
    trust.map_or(Ok(()), |trust| check_signer(by, &others, at, trust))
}

/// The signer's certificate leads to a root and is for time stamps, as of the stamp's time; and it was not revoked in a
/// way that takes the stamp with it.
fn check_signer(
    by: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    at: Timestamp,
    trust: &Trust<'_>,
) -> Result<(), StampError> {
    let untrusted = |error: webpki::Error| StampError::Signer(error.to_string());
    let certificate = EndEntityCert::try_from(by).map_err(untrusted)?;
    let leads = |when: Timestamp, revocation| {
        let seconds = u64::try_from(when.as_second()).unwrap_or_default();
        let when = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let usage = KeyUsage::required(TIME_STAMPING);
        let (algorithms, roots) = (webpki::ALL_VERIFICATION_ALGS, trust.roots);
        certificate.verify_for_usage(algorithms, roots, others, when, usage, revocation, None).map(drop)
    };
    for when in [Some(at), trust.now].into_iter().flatten() {
        leads(when, None).map_err(untrusted)?;
    }
    let Ok(revocation) = RevocationOptionsBuilder::new(trust.crls) else { return Ok(()) };
    let revocation = revocation
        .with_depth(RevocationCheckDepth::EndEntity)
        .with_status_policy(UnknownStatusPolicy::Deny)
        // A list of long ago says less than a new one, and nothing that is wrong.
        .with_expiration_policy(ExpirationPolicy::Ignore)
        .build();
    match leads(at, Some(revocation)) {
        Ok(()) => Ok(()),
        Err(webpki::Error::CertRevoked) => check_revoked(by, at, trust.crls),
        Err(error) => Err(StampError::Signer(format!("the lists of revocations: {error}"))),
    }
}

/// RFC 3161 section 4: where the reason is given and is none that touches the key, stamps of before the revocation stand.
fn check_revoked(
    by: &CertificateDer<'_>,
    at: Timestamp,
    crls: &[&CertRevocationList<'_>],
) -> Result<(), StampError> {
    let parts = certificate_parts(by)?;
    let (serial, issuer) = (place(&parts, 0)?.of(INTEGER)?, place(&parts, 2)?.of(SEQUENCE)?);
    // A list may spell a number without the zero that DER puts before some.
    let bare = serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial);
    let mut spared = false;
    for crl in crls.iter().filter(|crl| crl.issuer() == issuer) {
        let find = |serial| crl.find_serial(serial).map_err(|error| StampError::Signer(error.to_string()));
        let Some(revoked) = find(serial)?.map_or_else(|| find(bare), |found| Ok(Some(found)))? else {
            continue;
        };
        let seconds = i64::try_from(revoked.revocation_date.as_secs()).unwrap_or(i64::MAX);
        let revoked_at = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        let why = match revoked.reason_code {
            None => "no reason is given, so no stamp by its key counts".to_owned(),
            Some(reason) if !leaves_the_key(reason) => format!("{reason:?}, so no stamp by its key counts"),
            Some(_) if at < revoked_at => {
                spared = true;
                continue;
            }
            Some(reason) => format!("{reason:?}, and the stamp says {at}, which is not before that"),
        };
        return Err(StampError::Revoked { at: revoked_at, why });
    }
    if spared { Ok(()) } else { Err(StampError::Signer("its certificate was revoked".to_owned())) }
}

/// Whether a certificate that was revoked for this says nothing against its key.
fn leaves_the_key(reason: RevocationReason) -> bool {
    match reason {
        RevocationReason::Unspecified
        | RevocationReason::AffiliationChanged
        | RevocationReason::Superseded
        | RevocationReason::CessationOfOperation => true,
        RevocationReason::KeyCompromise
        | RevocationReason::CaCompromise
        | RevocationReason::CertificateHold
        | RevocationReason::RemoveFromCrl
        | RevocationReason::PrivilegeWithdrawn
        | RevocationReason::AaCompromise => false,
    }
}

/// What a certificate consists of (RFC 5280 4.1), from its serial number on.
fn certificate_parts<'c>(certificate: &'c CertificateDer<'_>) -> Result<Vec<Item<'c>>, StampError> {
    let parts = items(one(certificate, SEQUENCE)?)?;
    let mut parts = items(place(&parts, 0)?.of(SEQUENCE)?)?;
    // The version stands first, where it is given.
    if parts.first().is_some_and(|first| first.tag == CONTEXT_0) {
        parts.remove(0);
    }
    Ok(parts)
}

/// From when and until when a certificate is valid.
fn validity(certificate: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), StampError> {
    let parts = certificate_parts(certificate)?;
    let times = items(place(&parts, 3)?.of(SEQUENCE)?)?;
    let read = |item: &Item<'_>| match item.tag {
        TIME => time(item.value),
        // RFC 5280 4.1.2.5.1: two digits of the year, of 1950 to 2049.
        UTC_TIME => {
            let century: &[u8] =
                if item.value.first().is_some_and(|digit| *digit >= b'5') { b"19" } else { b"20" };
            time(&[century, item.value].concat())
        }
        _ => None,
    };
    let read = |item| read(item).ok_or(StampError::Malformed("its signer's certificate has no validity"));
    Ok((read(place(&times, 0)?)?, read(place(&times, 1)?)?))
}

type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

const OVER_SHA256: Algorithms =
    &[algorithms::RSA_PKCS1_2048_8192_SHA256, algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256];
const OVER_SHA384: Algorithms =
    &[algorithms::RSA_PKCS1_2048_8192_SHA384, algorithms::ECDSA_P256_SHA384, algorithms::ECDSA_P384_SHA384];
const OVER_SHA512: Algorithms = &[algorithms::RSA_PKCS1_2048_8192_SHA512, algorithms::ECDSA_P521_SHA512];

/// A digest, and the signatures that are made over it.
fn hashes(oid: &[u8]) -> Result<(&'static digest::Algorithm, Algorithms), StampError> {
    match oid {
        SHA256 => Ok((&digest::SHA256, OVER_SHA256)),
        SHA384 => Ok((&digest::SHA384, OVER_SHA384)),
        SHA512 => Ok((&digest::SHA512, OVER_SHA512)),
        _ => Err(StampError::Malformed("it is signed over a hash that is none of SHA-2")),
    }
}

/// RFC 5652 11.1, 11.2: what is signed names what it is about, by type and by hash.
fn check_attributes(attributes: &[u8], expected: &[u8]) -> Result<(), StampError> {
    let (mut typed, mut hashed) = (false, false);
    for attribute in items(attributes)? {
        let attribute = items(attribute.of(SEQUENCE)?)?;
        let values = items(place(&attribute, 1)?.of(SET)?)?;
        let value = values.first().ok_or(StampError::Malformed("an attribute has no value"))?;
        match place(&attribute, 0)?.of(OID)? {
            CONTENT_TYPE => typed = value.of(OID)? == TST_INFO,
            MESSAGE_DIGEST => {
                let given = OctetStringRef::from_der(value.raw).map_err(|_| StampError::Signature)?;
                hashed = given.as_bytes() == expected;
            }
            _ => {}
        }
    }
    if typed && hashed { Ok(()) } else { Err(StampError::Signature) }
}

/// One DER element.
struct Item<'a> {
    tag: u8,
    raw: &'a [u8],
    value: &'a [u8],
}

impl<'a> Item<'a> {
    fn of(&self, tag: u8) -> Result<&'a [u8], StampError> {
        if self.tag == tag {
            Ok(self.value)
        } else {
            Err(StampError::Malformed("it is put together otherwise"))
        }
    }
}

fn place<'i, 'a>(items: &'i [Item<'a>], at: usize) -> Result<&'i Item<'a>, StampError> {
    items.get(at).ok_or(StampError::Malformed("something is missing"))
}

/// The elements that follow each other in `content`.
fn items(content: &[u8]) -> Result<Vec<Item<'_>>, StampError> {
    let malformed = |_| StampError::Malformed("it is not DER");
    let mut reader = SliceReader::new(content).map_err(malformed)?;
    let mut items = Vec::new();
    while !reader.is_finished() {
        let raw = reader.tlv_bytes().map_err(malformed)?;
        let any = AnyRef::from_der(raw).map_err(malformed)?;
        items.push(Item { tag: any.tag().octet(), raw, value: any.value() });
    }
    Ok(items)
}

/// The value of the one element that `content` is.
fn one(content: &[u8], tag: u8) -> Result<&[u8], StampError> {
    match items(content)?.as_slice() {
        [item] => item.of(tag),
        _ => Err(StampError::Malformed("there is more than one thing in it")),
    }
}

#[cfg(test)]
mod tests;
