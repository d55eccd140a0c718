//! A time-stamping service (RFC 3161) of the tests, which can also answer wrongly.

use aws_lc_rs::digest::{SHA256 as SHA256_DIGEST, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevocationReason, RevokedCertParams, SerialNumber,
    SigningKey as _, date_time_ymd,
};

/// How an answer is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    Nothing,
    Refused,
    OtherHash,
    OtherNonce,
    NoNonce,
    Signature,
    Digest,
    NoCertificate,
    NoAttributes,
}

pub struct Tsa {
    key: KeyPair,
    /// The signer's certificate, DER.
    pub certificate: Vec<u8>,
    /// That of its authority.
    pub authority: Vec<u8>,
    /// The same as PEM.
    pub pem: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let mut element = vec![tag];
    match value.len() {
        short @ 0..=0x7f => element.push(short as u8),
        long @ 0x80..=0xff => element.extend([0x81, long as u8]),
        long => element.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    element.extend(value);
    element
}

const SHA256: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const TST_INFO: &[u8] = &[0x06, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4];
const SIGNED_DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const CONTENT_TYPE: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
const ECDSA_SHA256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

impl Tsa {
    /// One whose certificate is for `purpose`.
    pub fn new(purpose: ExtendedKeyUsagePurpose) -> Self {
        Self::valid(purpose, 1975, 4096)
    }

    /// One whose certificate is valid from the beginning of one year to that of another.
    pub fn valid(purpose: ExtendedKeyUsagePurpose, from: i32, until: i32) -> Self {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "Authority of the tests");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Time stamps of the tests");
        params.extended_key_usages = vec![purpose];
        // The first octet of a number this large is a zero in DER.
        params.serial_number = Some(SerialNumber::from_slice(&[0xf0, 1, 2, 3]));
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Self { key, certificate, authority: issuer.der().to_vec(), pem: issuer.pem(), issuer }
    }

    /// The authority's list of revocations: of this signer at the beginning of a year, if one is given, and for which
    /// reason; DER.
    pub fn revocations(&self, revoked: Option<i32>, reason_code: Option<RevocationReason>) -> Vec<u8> {
        let one = |year| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[0xf0, 1, 2, 3]),
            revocation_time: date_time_ymd(year, 1, 1),
            reason_code,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2030, 1, 1),
            next_update: date_time_ymd(2030, 2, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.into_iter().map(one).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().der().to_vec()
    }

    /// The answer to the question `query`, as at `at` (`20260301100000Z`).
    pub fn answer(&self, query: &[u8], at: &str, spoil: Spoil) -> Vec<u8> {
        if spoil == Spoil::Refused {
            let words = tlv(0x30, &[&tlv(0x0c, &[b"not today"])]);
            return tlv(0x30, &[&tlv(0x30, &[&[2, 1, 2], &words])]);
        }
        // As our question spells it: the imprint ends at 56, then the nonce.
        let mut imprint = query[5..56].to_vec();
        let mut nonce = query[56..66].to_vec();
        match spoil {
            Spoil::OtherHash => imprint[50] ^= 1,
            Spoil::OtherNonce => nonce[9] ^= 1,
            Spoil::NoNonce => nonce.clear(),
            _ => {}
        }
        let policy = [0x06, 3, 0x2a, 3, 4];
        let info = tlv(
            0x30,
            &[
                &[2, 1, 1],
                &policy,
                &imprint,
                &[2, 1, 7],
                &tlv(0x18, &[at.as_bytes()]),
                &[0x30, 3, 2, 1, 1],
                &nonce,
            ],
        );
        let mut digest = digest(&SHA256_DIGEST, &info).as_ref().to_vec();
        digest[0] ^= u8::from(spoil == Spoil::Digest);
        let typed = tlv(0x30, &[CONTENT_TYPE, &tlv(0x31, &[TST_INFO])]);
        let hashed = tlv(0x30, &[MESSAGE_DIGEST, &tlv(0x31, &[&tlv(0x04, &[&digest])])]);
        let attributes: Vec<u8> =
            if spoil == Spoil::NoAttributes { Vec::new() } else { [typed, hashed].concat() };
        let mut signature = self.key.sign(&tlv(0x31, &[&attributes])).unwrap();
        if spoil == Spoil::Signature {
            signature = self.key.sign(b"something else").unwrap();
        }
        let algorithm = tlv(0x30, &[SHA256]);
        let signer = tlv(
            0x30,
            &[
                &[2, 1, 1],
                &tlv(0x30, &[&tlv(0x30, &[]), &[2, 1, 7]]),
                &algorithm,
                &tlv(0xa0, &[&attributes]),
                &tlv(0x30, &[ECDSA_SHA256]),
                &tlv(0x04, &[&signature]),
            ],
        );
        let certificates: &[u8] = if spoil == Spoil::NoCertificate { &[] } else { &self.certificate };
        let signed = tlv(
            0x30,
            &[
                &[2, 1, 3],
                &tlv(0x31, &[&algorithm]),
                &tlv(0x30, &[TST_INFO, &tlv(0xa0, &[&tlv(0x04, &[&info])])]),
                &tlv(0xa0, &[certificates]),
                &tlv(0x31, &[&signer]),
            ],
        );
        let token = tlv(0x30, &[SIGNED_DATA, &tlv(0xa0, &[&signed])]);
        tlv(0x30, &[&tlv(0x30, &[&[2, 1, 0]]), &token])
    }
}
