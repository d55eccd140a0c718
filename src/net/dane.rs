//! DANE for SMTP (RFC 7672): a certificate is believed because a TLSA record, proven by DNSSEC, says so.
//!
//! Only the usages that RFC 7672 3.1 has for SMTP count: `3`, the server's own certificate or key, whatever its
//! name, issuer or date; and `2`, an issuer that the chain leads to, with the right name and date. An issuer must
//! be among the certificates that the server shows, or stand whole in the record. Deliberately absent: the question
//! whether a record was proven; whoever asks DNS knows.

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, RootCertStore};

use super::tls::{Believe, Believing, TlsError, provider};

/// A TLSA record (RFC 6698 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// 2: an issuer; 3: the certificate itself. Others mean nothing here.
    pub usage: u8,
    /// 0: the certificate; 1: its public key.
    pub selector: u8,
    /// 0: as it is; 1: its SHA-256; 2: its SHA-512.
    pub matching: u8,
    /// What it is compared with.
    pub data: Vec<u8>,
}

impl Tlsa {
    /// Whether it can be used for SMTP.
    pub fn is_usable(&self) -> bool {
        let whole = match self.matching {
            0 => !self.data.is_empty(),
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        whole && matches!(self.usage, 2 | 3) && self.selector <= 1
    }

    /// Whether it is about `certificate`.
    fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        let key = match self.selector {
            1 => ParsedCertificate::try_from(certificate).ok().map(|parsed| parsed.subject_public_key_info()),
            _ => None,
        };
        let selected: &[u8] = match (&key, self.selector) {
            (Some(key), 1) => key,
            (_, 0) => certificate,
            _ => return false,
        };
        match self.matching {
            0 => selected == self.data,
            1 => digest::digest(&digest::SHA256, selected).as_ref() == self.data,
            2 => digest::digest(&digest::SHA512, selected).as_ref() == self.data,
            _ => false,
        }
    }
}

/// A client that believes what the usable ones of `records` say. `names` are those that a certificate below an
/// issuer may have: the server's, and the domain whose mail it takes (RFC 7672 3.2.3).
pub fn client_config(records: &[Tlsa], names: &[&str]) -> Result<Arc<ClientConfig>, TlsError> {
    let names = names.iter().filter_map(|name| ServerName::try_from((*name).to_owned()).ok());
    let records = records.iter().filter(|record| record.is_usable()).cloned().collect();
    let belief = Associated { provider: provider(), records, names: names.collect() };
    Ok(Arc::new(Believing::builder(belief)?.with_no_client_auth()))
}

/// Those that a record speaks for.
#[derive(Debug)]
struct Associated {
    provider: Arc<CryptoProvider>,
    records: Vec<Tlsa>,
    names: Vec<ServerName<'static>>,
}

impl Associated {
    /// Whether the chain leads to `issuer`, in time and under one of the names.
    fn is_issued_by(
        &self,
        issuer: CertificateDer<'_>,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        let mut roots = RootCertStore::empty();
        if roots.add(issuer).is_err() {
            return false;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone());
        let Ok(verifier) = verifier.build() else { return false };
        self.names.iter().any(|name| verifier.verify_server_cert(leaf, chain, name, &[], now).is_ok())
    }
}

impl Believe for Associated {
    fn believe(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let speaks = |record: &Tlsa| match record.usage {
            3 => record.matches(leaf),
            _ => {
                let shown = chain.iter().filter(|one| record.matches(one)).cloned();
                let whole = (record.selector == 0 && record.matching == 0)
                    .then(|| CertificateDer::from(record.data.clone()));
                shown.chain(whole).any(|issuer| self.is_issued_by(issuer, leaf, chain, now))
            }
        };
        if self.records.iter().any(speaks) {
            return Ok(());
        }
        Err(rustls::Error::General("no TLSA record speaks for this certificate (DANE)".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    struct Authority {
        certificate: CertificateDer<'static>,
        issuer: Issuer<'static, KeyPair>,
    }

    fn authority() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "somebody's own authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    fn leaf(name: &str, authority: &Authority) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.signed_by(&key, &authority.issuer).unwrap().der().clone()
    }

    fn record(usage: u8, selector: u8, matching: u8, certificate: &CertificateDer<'_>) -> Tlsa {
        let selected = match selector {
            0 => certificate.to_vec(),
            _ => ParsedCertificate::try_from(certificate).unwrap().subject_public_key_info().to_vec(),
        };
        let data = match matching {
            0 => selected,
            1 => digest::digest(&digest::SHA256, &selected).as_ref().to_vec(),
            _ => digest::digest(&digest::SHA512, &selected).as_ref().to_vec(),
        };
        Tlsa { usage, selector, matching, data }
    }

    fn believes(records: Vec<Tlsa>, leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> bool {
        let names = ["mx.example.org", "example.org"];
        let names = names.iter().map(|name| ServerName::try_from((*name).to_owned()).unwrap()).collect();
        let asked = ServerName::try_from("any.example.org").unwrap();
        let belief = Associated { provider: provider(), records, names };
        belief.believe(leaf, chain, &asked, UnixTime::now()).is_ok()
    }

    #[test]
    fn rfc_7672_3_1_1_the_certificate_itself_whatever_its_name() {
        let (ours, theirs) = (authority(), authority());
        let (right, wrong) = (leaf("elsewhere.example", &ours), leaf("mx.example.org", &theirs));
        for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
            let records = vec![record(3, selector, matching, &right)];
            assert!(records[0].is_usable());
            assert!(believes(records.clone(), &right, &[]), "3 {selector} {matching}");
            assert!(!believes(records, &wrong, &[]), "3 {selector} {matching}");
        }
    }

    #[test]
    fn rfc_7672_3_1_2_an_issuer_that_the_chain_leads_to_under_the_right_name() {
        let (ours, theirs) = (authority(), authority());
        let own = leaf("mx.example.org", &ours);
        let by_domain = leaf("example.org", &ours);
        let misnamed = leaf("mx.example.net", &ours);
        let foreign = leaf("mx.example.org", &theirs);
        for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
            let records = || vec![record(2, selector, matching, &ours.certificate)];
            let shown = std::slice::from_ref(&ours.certificate);
            assert!(believes(records(), &own, shown), "2 {selector} {matching}");
            assert!(believes(records(), &by_domain, shown), "2 {selector} {matching}");
            assert!(!believes(records(), &misnamed, shown), "2 {selector} {matching}");
            assert!(!believes(records(), &foreign, shown), "2 {selector} {matching}");
            // An issuer that is not shown is known only when it stands whole in the record.
            assert_eq!(believes(records(), &own, &[]), (selector, matching) == (0, 0));
        }
    }

    #[test]
    fn rfc_7672_3_1_3_other_usages_and_broken_records_are_not_usable() {
        let ours = authority();
        let good = record(3, 1, 1, &ours.certificate);
        assert!(good.is_usable());
        for broken in [
            Tlsa { usage: 0, ..good.clone() },
            Tlsa { usage: 1, ..good.clone() },
            Tlsa { selector: 2, ..good.clone() },
            Tlsa { matching: 3, ..good.clone() },
            Tlsa { data: vec![0; 31], ..good.clone() },
            Tlsa { matching: 0, data: Vec::new(), ..good },
        ] {
            assert!(!broken.is_usable(), "{broken:?}");
        }
    }
}
