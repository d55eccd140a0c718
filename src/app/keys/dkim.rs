//! DKIM keys: made by `sluis keys dkim`, read at start (RULES P11).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{pem_of, read_private, write_new};
use crate::config::Algorithm;
use crate::mail::Domain;
use crate::message::SigningKey;
use crate::secret::Secret;

/// Longest string of a TXT record, in octets (RFC 1035 3.3).
const MAX_STRING: usize = 255;

/// A DKIM key.
pub struct DkimKey {
    /// Signs.
    pub key: SigningKey,
    /// The value of the TXT record at `selector._domainkey.domain` (RFC 6376 3.6.1, RFC 8463 3).
    pub record: String,
    /// Whether it was made just now.
    pub made: bool,
}

/// Where `sluis keys dkim` puts a key when no file is named.
pub fn dkim_file(data: &Path, domain: &Domain, selector: &str) -> PathBuf {
    dkim_folder(data).join(format!("{}.{selector}.pem", domain.ascii()))
}

/// The folder of [`dkim_file`].
pub fn dkim_folder(data: &Path) -> PathBuf {
    data.join("keys/dkim")
}

/// The key in `path`, made (rsa-2048 or ed25519, mode 0600) when there is no file. A file that is there is never
/// replaced.
pub fn make_dkim(path: &Path, algorithm: Algorithm) -> Result<DkimKey> {
    if read_private(path)?.is_some() {
        return read_dkim(path, algorithm);
    }
    let pem = match algorithm {
        Algorithm::RsaSha256 => {
            let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa2048)?.as_der()?;
            Secret::new(pem_of("PRIVATE KEY", der.as_ref()))
        }
        Algorithm::Ed25519Sha256 => {
            Secret::new(pem_of("PRIVATE KEY", Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref()))
        }
    };
    write_new(path, pem.expose())?;
    Ok(DkimKey { made: true, ..read_dkim(path, algorithm)? })
}

/// The key in `path`: PEM, PKCS#8, or PKCS#1 for RSA.
pub fn read_dkim(path: &Path, algorithm: Algorithm) -> Result<DkimKey> {
    let Some(pem) = read_private(path)? else { bail!("{}: no such file", path.display()) };
    match algorithm {
        Algorithm::RsaSha256 => rsa(&pem),
        Algorithm::Ed25519Sha256 => ed25519(&pem),
    }
    .with_context(|| format!("{}: not a key for {}", path.display(), algorithm.name()))
}

fn rsa(pem: &Secret) -> Result<DkimKey> {
    let der = PrivateKeyDer::from_pem_slice(pem.expose())?;
    let pair = match &der {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => bail!("expected PKCS#8 or PKCS#1"),
    };
    let public: PublicKeyX509Der<'_> = pair.map_err(|error| anyhow!("{error}"))?.public_key().as_der()?;
    let record = format!("v=DKIM1; k=rsa; p={}", BASE64_STANDARD.encode(public.as_ref()));
    let key = RsaKey::<Sha256>::from_key_der(der).map_err(|error| anyhow!("{error}"))?;
    Ok(DkimKey { key: SigningKey::Rsa(Arc::new(key)), record, made: false })
}

fn ed25519(pem: &Secret) -> Result<DkimKey> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose())?;
    let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(der.secret_pkcs8_der())
        .map_err(|error| anyhow!("{error}"))?;
    let record = format!("v=DKIM1; k=ed25519; p={}", BASE64_STANDARD.encode(key.public_key()));
    Ok(DkimKey { key: SigningKey::Ed25519(Arc::new(key)), record, made: false })
}

/// `record` as the strings of a zone file: quoted, each short enough.
pub fn zone_strings(record: &str) -> Vec<String> {
    // A record is ASCII: tags and base64.
    record.as_bytes().chunks(MAX_STRING).map(|piece| format!("\"{}\"", piece.escape_ascii())).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn p11_dkim_keys_are_made_once_and_read_again() {
        let home = tempfile::tempdir().unwrap();
        for (algorithm, kind, length) in
            [(Algorithm::RsaSha256, "rsa", 392), (Algorithm::Ed25519Sha256, "ed25519", 44)]
        {
            let path = home.path().join(format!("dkim/{kind}.pem"));
            let made = make_dkim(&path, algorithm).unwrap();
            let again = make_dkim(&path, algorithm).unwrap();
            assert!(made.made && !again.made);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(made.record, again.record);
            assert_eq!(made.record, read_dkim(&path, algorithm).unwrap().record);
            let public = made.record.strip_prefix(&format!("v=DKIM1; k={kind}; p=")).unwrap();
            assert_eq!(public.len(), length, "{public}");
            fs::write(&path, "not a key").unwrap();
            let error = read_dkim(&path, algorithm).err().unwrap().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_key_of_the_other_kind_is_neither_used_nor_replaced() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key.pem");
        make_dkim(&path, Algorithm::Ed25519Sha256).unwrap();
        let before = fs::read(&path).unwrap();
        let error = make_dkim(&path, Algorithm::RsaSha256).err().unwrap();
        assert!(format!("{error:#}").contains("not a key for rsa-sha256"), "{error:#}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_long_record_is_cut_into_strings_that_dns_takes() {
        let record = format!("v=DKIM1; k=rsa; p={}", "A".repeat(392));
        let strings = zone_strings(&record);
        assert!(strings.iter().all(|string| string.len() <= MAX_STRING + 2));
        assert_eq!(strings.concat().replace('"', ""), record);
    }
}
