//! Keys and certificates: made at first start or by command, checked at every start.
//!
//! | file below the data folder | what it is |
//! | --- | --- |
//! | `keys/ledger.key`, `keys/ledger.pub` | signs checkpoints: one line per key, the first signs; the public half is all that checking needs |
//! | `keys/ledger-<id>.pub` | the public half of a key that signed before |
//! | `keys/token.key` | seals unsubscribe links: one line per key, `id hex`, the first seals and all open |
//! | `keys/dkim/*.pem` | what `sluis keys dkim` made, where it was not told another place |
//! | `tls/ca.key`, `tls/ca.pem` | a development authority of this machine alone |
//! | `tls/key.pem`, `tls/cert.pem` | the development certificate it signed |
//!
//! A private key that others on the machine can read or change (more than 0640) is refused, with the command that mends it: whoever
//! reads the ledger key can forge checkpoints, and whoever reads a token key can unsubscribe anybody. Files
//! appear whole or not at all, so a crash at first start leaves nothing half-made. Token keys are never
//! made anew while others exist: that would break every link sent so far (promise 7). Rotation adds one.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::secret::{Entropy, Secret};
use crate::token::Keys;

mod dkim;
mod ledger;
mod list;

pub use dkim::{DkimKey, dkim_file, dkim_folder, make_dkim, read_dkim, zone_strings};
pub use list::{KeyLine, list};

/// The store's file in the data folder.
pub(super) const STORE: &str = "sluis.redb";

/// Days that a development certificate lasts: as long as every mail program accepts.
const LEAF_DAYS: i64 = 800;

/// Days before its end at which a development certificate is made anew.
const RENEW_DAYS: i64 = 60;

/// Begins the line above a token key that says when it was made.
const NOTE: &str = "# made ";

/// Where the files are.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    data: PathBuf,
}

/// PEM files of a TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// The authority to import into a mail program that is to trust it.
    pub authority: PathBuf,
}

impl KeyFolder {
    /// The folder at `data`; made, readable by its owner alone, when it is not there.
    pub fn open(data: &Path) -> Result<Self> {
        make_folder(data)?;
        make_folder(&data.join("keys"))?;
        make_folder(&data.join("tls"))?;
        Ok(Self { data: data.to_owned() })
    }

    /// Refuse to begin a second ledger beside the key of a first one: a store that is not where it was (a disk
    /// that is not mounted) would take every suppression with it, and its new entries would contradict the
    /// checkpoints that were signed (promises 5 and 8).
    pub fn store_is_not_lost(&self, store: &Path) -> Result<()> {
        let key = self.data.join("keys/ledger.key");
        if key.try_exists()? && !store.try_exists()? {
            bail!(
                "{} is missing, and the key of its ledger is there; restore the store from a backup, or, to \
                 begin a new ledger, move {} away",
                store.display(),
                key.display()
            );
        }
        Ok(())
    }

    /// The keys that seal unsubscribe links; one is made when there is no file.
    pub fn token(&self, entropy: &dyn Entropy) -> Result<Keys> {
        let path = self.data.join("keys/token.key");
        match read_private(&path)? {
            Some(text) => Keys::parse(utf8(&path, &text)?).with_context(|| path.display().to_string()),
            None => {
                let keys = Keys::generate(entropy);
                write_new(&path, keys.to_text().expose())?;
                Ok(keys)
            }
        }
    }

    /// Make a token key that seals from now on; all others go on opening (promise 7). A gateway that runs takes
    /// it with its next reload.
    pub fn rotate_token(&self, now: Timestamp, entropy: &dyn Entropy) -> Result<u8> {
        let path = self.data.join("keys/token.key");
        let _lock = lock(folder_of(&path))?;
        let Some(text) = read_private(&path)? else {
            bail!(
                "{}: no such file; `sluis serve` makes the first token key at its first start",
                path.display()
            );
        };
        let text = utf8(&path, &text)?;
        let before = Keys::parse(text).with_context(|| path.display().to_string())?;
        let after = before.rotate(entropy)?;
        let newest = after.newest_to_text();
        let mut content = format!("{NOTE}{now:.0}\n").into_bytes();
        content.extend_from_slice(newest.expose());
        if let Some(made) = list::modified(&path).filter(|_| before.count() == 1 && !text.contains(NOTE)) {
            content.extend_from_slice(format!("{NOTE}{made:.0}\n").as_bytes());
        }
        content.extend_from_slice(text.as_bytes());
        let content = Secret::new(content);
        // What is about to be written must open all that was sealed before.
        let written = Keys::parse(utf8(&path, &content)?)?;
        if written.count() != before.count() + 1 {
            bail!("{}: the keys could not be added to; nothing was changed", path.display());
        }
        write_private(&path, content.expose())?;
        Ok(after.newest())
    }

    /// The development certificate for localhost and `name`, made or renewed when need be.
    pub fn development_tls(&self, name: &str, now: Timestamp) -> Result<TlsFiles> {
        let file = |name| self.data.join("tls").join(name);
        let (authority, authority_key) = (file("ca.pem"), file("ca.key"));
        let (certificate, key) = (file("cert.pem"), file("key.pem"));
        let today = TimeZone::UTC.to_datetime(now).date();
        let names = leaf_names(name);
        let files = TlsFiles { certificate, key, authority };
        let fresh = is_fresh(&files.certificate, &names, today);
        if fresh && files.authority.exists() && read_private(&files.key)?.is_some() {
            return Ok(files);
        }
        let issuer = match read_private(&authority_key)? {
            Some(pem) if files.authority.exists() => {
                let key = KeyPair::from_pem(utf8(&authority_key, &pem)?)
                    .with_context(|| format!("{}: cannot be used", authority_key.display()))?;
                Issuer::new(authority_params(today), key)
            }
            _ => {
                let made = CertifiedIssuer::self_signed(authority_params(today), KeyPair::generate()?)?;
                write_private(&authority_key, made.key().serialize_pem().as_bytes())?;
                write_public(&files.authority, made.pem().as_bytes())?;
                let key = KeyPair::from_pem(&made.key().serialize_pem())?;
                Issuer::new(authority_params(today), key)
            }
        };
        let leaf_key = KeyPair::generate()?;
        let until = today.saturating_add(LEAF_DAYS.days());
        let leaf = leaf_params(&names, today, until)?.signed_by(&leaf_key, &issuer)?;
        // Text before the PEM is allowed (RFC 7468 2) and tells the next start what this is.
        let chain = format!("{}\n{}", leaf_note(&names, until), leaf.pem());
        write_private(&files.key, leaf_key.serialize_pem().as_bytes())?;
        write_public(&files.certificate, chain.as_bytes())?;
        Ok(files)
    }
}

/// One rotation at a time: two at once would each keep the old keys and one of the new ones.
fn lock(folder: &Path) -> Result<fs::File> {
    let lock = fs::File::open(folder).with_context(|| folder.display().to_string())?;
    lock.lock().with_context(|| format!("{}: cannot be locked", folder.display()))?;
    Ok(lock)
}

/// What a TLS listener needs: TLS 1.2 and 1.3 with the chain in `certificate` and the key in `key`.
pub fn server_tls(certificate: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>> {
    let unusable = |path: &Path| format!("{}: cannot be used", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unusable(certificate))?;
    if chain.is_empty() {
        bail!("{}: has no certificate in it", certificate.display());
    }
    let Some(pem) = read_private(key)? else { bail!("{}: no such file", key.display()) };
    let private = PrivateKeyDer::from_pem_slice(pem.expose()).with_context(|| unusable(key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| unusable(certificate))?;
    Ok(Arc::new(config))
}

/// The bytes of a file that only its owner, and perhaps a group made for it, may read; `None` when there is
/// no such file.
pub fn read_private(path: &Path) -> Result<Option<Secret>> {
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    if mode & 0o037 != 0 {
        bail!("{path}: others can read or change this key; run: chmod 600 {path}", path = path.display());
    }
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    Ok(Some(Secret::new(bytes)))
}

fn make_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("{}: cannot make this folder", path.display()))
}

/// A new file that its owner alone may read; refuses to replace one.
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = draft(path, bytes)?;
    file.persist_noclobber(path).with_context(|| format!("{}: cannot be written", path.display()))?;
    sync_folder(path)
}

/// A file that its owner alone may read, new or replaced.
fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = draft(path, bytes)?;
    file.persist(path).with_context(|| format!("{}: cannot be written", path.display()))?;
    sync_folder(path)
}

/// A file that anybody may read, new or replaced.
fn write_public(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = draft(path, bytes)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.persist(path).with_context(|| format!("{}: cannot be written", path.display()))?;
    sync_folder(path)
}

/// A durable file beside `path`, 0600 as the crate makes them.
fn draft(path: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile> {
    let folder = folder_of(path);
    fs::create_dir_all(folder).with_context(|| format!("{}: cannot make this folder", folder.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("{}: cannot be written to", folder.display()))?;
    file.write_all(bytes).with_context(|| path.display().to_string())?;
    // A command of root must not leave keys that the gateway's own user cannot read.
    if let (Ok(home), Ok(made)) = (fs::metadata(folder), file.as_file().metadata())
        && home.uid() != made.uid()
    {
        let given = fchown(file.as_file(), Some(home.uid()), Some(home.gid()));
        given.with_context(|| format!("{}: cannot be given to its folder's owner", path.display()))?;
    }
    file.as_file().sync_all().with_context(|| path.display().to_string())?;
    Ok(file)
}

fn sync_folder(path: &Path) -> Result<()> {
    fs::File::open(folder_of(path))
        .and_then(|folder| folder.sync_all())
        .with_context(|| path.display().to_string())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn utf8<'a>(path: &Path, bytes: &'a Secret) -> Result<&'a str> {
    std::str::from_utf8(bytes.expose()).with_context(|| format!("{}: is not text", path.display()))
}

fn pem_of(label: &str, der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for start in (0..encoded.len()).step_by(64) {
        pem.push_str(&encoded[start..encoded.len().min(start + 64)]);
        pem.push('\n');
    }
    pem + "-----END " + label + "-----\n"
}

fn leaf_names(name: &str) -> Vec<String> {
    let mut names =
        vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
    names
}

/// The line above a development certificate.
fn leaf_note(names: &[String], until: Date) -> String {
    format!("Development certificate for {}, until {until}", names.join(" "))
}

/// Whether the certificate in `path` is for `names`, and for some time yet.
fn is_fresh(path: &Path, names: &[String], today: Date) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    let Some((note, until)) = text.lines().next().and_then(|line| line.rsplit_once(", until ")) else {
        return false;
    };
    let Ok(until) = until.parse::<Date>() else { return false };
    note == leaf_note(names, until).rsplit_once(", until ").map_or("", |(note, _)| note)
        && until > today.saturating_add(RENEW_DAYS.days())
}

/// The same at every start but for its dates, so that a leaf signed later still chains to it.
fn authority_params(today: Date) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Sluis development authority of this machine");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    last(&mut params, today, today.saturating_add(10.years()));
    params
}

fn leaf_params(names: &[String], today: Date, until: Date) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Sluis development certificate");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    last(&mut params, today, until);
    Ok(params)
}

/// Valid from the day before `today`, for clocks that are behind, up to `until`.
fn last(params: &mut CertificateParams, today: Date, until: Date) {
    // Months and days of a civil date are in the range that rcgen wants.
    let day = |date: Date| {
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(today.saturating_sub(1.day()));
    params.not_after = day(until);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn made_once_and_found_again() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("var");
        let folder = KeyFolder::open(&data).unwrap();
        let signer = folder.ledger("gateway.example", &SystemEntropy).unwrap();
        folder.token(&SystemEntropy).unwrap();
        let line = fs::read(data.join("keys/token.key")).unwrap();
        assert_eq!(mode(&data), 0o700);
        assert_eq!(mode(&data.join("keys/ledger.key")), 0o600);
        assert_eq!(mode(&data.join("keys/token.key")), 0o600);
        let public = fs::read_to_string(data.join("keys/ledger.pub")).unwrap();
        assert_eq!(public.trim_end(), signer.verifier());

        let again = KeyFolder::open(&data).unwrap();
        assert_eq!(again.ledger("gateway.example", &SystemEntropy).unwrap().verifier(), signer.verifier());
        again.token(&SystemEntropy).unwrap();
        assert_eq!(fs::read(data.join("keys/token.key")).unwrap(), line);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_in_one_line() {
        let home = tempfile::tempdir().unwrap();
        let folder = KeyFolder::open(home.path()).unwrap();
        folder.token(&SystemEntropy).unwrap();
        let path = home.path().join("keys/token.key");
        for mode in [0o644, 0o660, 0o604, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = folder.token(&SystemEntropy).unwrap_err().to_string();
            let path = path.display();
            assert_eq!(error, format!("{path}: others can read or change this key; run: chmod 600 {path}"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        folder.token(&SystemEntropy).unwrap();
    }

    #[test]
    fn promise_7_rotation_keeps_every_key_for_opening() {
        let home = tempfile::tempdir().unwrap();
        let folder = KeyFolder::open(home.path()).unwrap();
        let now = at("2026-11-24T12:00:00Z");
        assert!(folder.rotate_token(now, &SystemEntropy).is_err(), "there is none yet");
        let first = folder.token(&SystemEntropy).unwrap();
        let claim = crate::token::Claim {
            sender: crate::mail::SenderId("12345678".to_owned()),
            address: crate::mail::Address::parse("lezer@example.org").unwrap().key().clone(),
            reference: crate::mail::Reference::from_bytes([7; 16]),
            purpose: None,
        };
        let link = first.mint(&claim, &SystemEntropy);
        for round in 1..=3 {
            assert_eq!(folder.rotate_token(now, &SystemEntropy).unwrap(), round);
        }
        let keys = folder.token(&SystemEntropy).unwrap();
        assert_eq!((keys.count(), keys.newest()), (4, 3));
        assert_eq!(keys.open(&link).unwrap(), claim);
        assert!(first.open(&keys.mint(&claim, &SystemEntropy)).is_err(), "the newest seals");
        let path = home.path().join("keys/token.key");
        assert_eq!(mode(&path), 0o600);
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.matches(NOTE).count(), 4, "when each was made is on record");
    }

    #[test]
    fn the_development_certificate_is_kept_until_it_ages_or_the_name_changes() {
        let home = tempfile::tempdir().unwrap();
        let folder = KeyFolder::open(home.path()).unwrap();
        let first = at("2026-01-01T00:00:00Z");
        let files = folder.development_tls("gateway.example", first).unwrap();
        let leaf = || fs::read(&files.certificate).unwrap();
        let authority = fs::read(&files.authority).unwrap();
        let made = leaf();
        assert_eq!(mode(&files.key), 0o600);
        server_tls(&files.certificate, &files.key).unwrap();

        folder.development_tls("gateway.example", at("2027-01-01T00:00:00Z")).unwrap();
        assert_eq!(leaf(), made);
        folder.development_tls("other.example", first).unwrap();
        let renamed = leaf();
        assert_ne!(renamed, made);
        folder.development_tls("other.example", at("2028-03-01T00:00:00Z")).unwrap();
        assert_ne!(leaf(), renamed);
        assert_eq!(fs::read(&files.authority).unwrap(), authority, "whoever trusts it goes on doing so");
        server_tls(&files.certificate, &files.key).unwrap();
    }

    #[tokio::test]
    async fn the_development_certificate_chains_to_its_authority() {
        let home = tempfile::tempdir().unwrap();
        let folder = KeyFolder::open(home.path()).unwrap();
        let now = jiff::Timestamp::now();
        folder.development_tls("old.example", now).unwrap();
        // The second leaf is signed with the key as read back.
        let files = folder.development_tls("gateway.example", now).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        for name in ["localhost", "gateway.example", "127.0.0.1", "::1"] {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let acceptor =
                tokio_rustls::TlsAcceptor::from(server_tls(&files.certificate, &files.key).unwrap());
            let connector = tokio_rustls::TlsConnector::from(Arc::new(client.clone()));
            let name = rustls::pki_types::ServerName::try_from(name).unwrap();
            let (served, connected) =
                tokio::join!(acceptor.accept(far), connector.connect(name.clone(), near));
            assert!(served.is_ok() && connected.is_ok(), "{name:?}: {:?}", connected.err());
        }
    }
}
