//! TLS settings, for both roles.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, ProtocolVersion, RootCertStore,
    ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::mail::{hex, sha256};

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// The certificates of the operating system.
    #[default]
    System,
    /// Those whom the certificates in this PEM file vouch for, or which stand in it themselves, and no others.
    CaFile(PathBuf),
    /// The certificates whose SHA-256, or whose public key's, is one of these; no others, whatever name,
    /// issuer or date they have.
    Pinned(Vec<[u8; 32]>),
    /// Everybody's: for development only.
    Anybody,
}

/// A certificate of our own, to be shown to a server that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM: certificate chain, leaf first.
    pub certificate: PathBuf,
    /// PEM: private key.
    pub key: PathBuf,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read, or has nothing of its kind in it.
    #[error("{}: {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The operating system has no certificates.
    #[error("no certificate authorities found on this system: {0}")]
    NoAuthorities(String),
    /// Certificate and key do not fit, or the name is none.
    #[error("{0}")]
    Setup(String),
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Setup(error.to_string())
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn file_error(path: &Path, why: impl ToString) -> TlsError {
    TlsError::File { path: path.to_owned(), why: why.to_string() }
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file_error(path, error))?;
    if found.is_empty() { Err(file_error(path, "no certificate in it")) } else { Ok(found) }
}

/// TLS 1.2 or 1.3 as a server: certificate chain (leaf first) and private key from PEM files.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| file_error(key, error))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    Ok(Arc::new(config))
}

/// The same for HTTP: the client may choose HTTP/2 (RFC 7301, RFC 9113 3.2).
pub fn http_server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::clone(&*server_config(certificate, key)?);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The same, with a certificate and key of its own for each of some host names (RFC 6066 3).
pub fn http_server_config_by_name(
    certificate: &Path,
    key: &Path,
    named: &[(String, PathBuf, PathBuf)],
) -> Result<Arc<ServerConfig>, TlsError> {
    let one = |(name, certificate, key): &(String, PathBuf, PathBuf)| {
        Ok((name.to_ascii_lowercase(), certified(certificate, key)?))
    };
    let named = named.iter().map(one).collect::<Result<_, TlsError>>()?;
    let by_name = ByName { named, other: certified(certificate, key)? };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certified(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| file_error(key, error))?;
    let made = CertifiedKey::from_der(certificates(certificate)?, private, &provider());
    Ok(Arc::new(made.map_err(|error| file_error(certificate, error))?))
}

/// Shows who asks for a name the certificate of that name.
#[derive(Debug)]
struct ByName {
    named: HashMap<String, Arc<CertifiedKey>>,
    other: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = hello.server_name().and_then(|name| self.named.get(&name.to_ascii_lowercase()));
        Some(own.unwrap_or(&self.other).clone())
    }
}

/// TLS 1.2 or 1.3 as a client, who shows `identity` when asked.
pub fn client_config(trust: &Trust, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = match trust {
        Trust::Anybody => Believing::builder(Anybody)?,
        Trust::Pinned(pins) => Believing::builder(Pins(pins.clone()))?,
        Trust::CaFile(file) => Believing::builder(Listed::new(file, roots(trust)?)?)?,
        Trust::System => ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(trust)?),
    };
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| file_error(key, error))?;
            builder.with_client_auth_cert(certificates(certificate)?, private)?
        }
    };
    Ok(Arc::new(config))
}

/// The certificate authorities that `trust` names.
fn roots(trust: &Trust) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Anybody | Trust::Pinned(_) => {}
        Trust::CaFile(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| file_error(path, error))?;
            }
        }
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
                return Err(TlsError::NoAuthorities(errors.join("; ")));
            }
        }
    }
    Ok(roots)
}

/// A client's handshake over `tcp`; the certificate must have `name` (a host name or an IP address).
pub async fn handshake(
    config: &Arc<ClientConfig>,
    name: &str,
    tcp: TcpStream,
) -> Result<super::Stream, TlsError> {
    let name =
        ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Setup(format!("{name} is no name")))?;
    let stream = TlsConnector::from(config.clone())
        .connect(name, tcp)
        .await
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    Ok(super::Stream::Tls(Box::new(TlsStream::Client(stream))))
}

/// A server's handshake over `tcp`.
pub async fn accept(config: &Arc<ServerConfig>, tcp: TcpStream) -> Result<super::Stream, TlsError> {
    let stream = TlsAcceptor::from(config.clone())
        .accept(tcp)
        .await
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    Ok(super::Stream::Tls(Box::new(TlsStream::Server(stream))))
}

/// The version in the words of the ledger and the Received header.
pub fn version(version: Option<ProtocolVersion>) -> Option<&'static str> {
    match version? {
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        _ => Some("TLS"),
    }
}

/// Which certificates are believed; all else of a handshake is as ever.
pub(super) trait Believe: fmt::Debug + Send + Sync {
    /// Whether this chain is; what it is compared with is the implementor's.
    fn believe(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error>;
}

/// A verifier that asks `belief` and not who issued a certificate. Signatures are checked all the same, so the peer
/// has the certificate's key.
#[derive(Debug)]
pub(super) struct Believing<B> {
    provider: Arc<CryptoProvider>,
    belief: B,
}

impl<B: Believe + 'static> Believing<B> {
    /// A client that believes whom `belief` does.
    pub(super) fn builder(
        belief: B,
    ) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, TlsError> {
        let verifier = Arc::new(Self { provider: provider(), belief });
        let builder =
            ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
    }
}

impl<B: Believe> ServerCertVerifier for Believing<B> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.belief
            .believe(end_entity, intermediates, server_name, now)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Any certificate.
#[derive(Debug)]
struct Anybody;

impl Believe for Anybody {
    fn believe(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: UnixTime,
    ) -> Result<(), rustls::Error> {
        Ok(())
    }
}

/// Those that the certificates of a file vouch for, under the name asked for and in time.
#[derive(Debug)]
struct Listed {
    authorities: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Listed {
    fn new(file: &Path, roots: RootCertStore) -> Result<Self, TlsError> {
        let authorities = WebPkiServerVerifier::builder_with_provider(roots.into(), provider())
            .build()
            .map_err(|error| file_error(file, error))?;
        Ok(Self { authorities, certificates: certificates(file)? })
    }
}

impl Believe for Listed {
    fn believe(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let Err(error) = self.authorities.verify_server_cert(leaf, chain, name, &[], now) else {
            return Ok(());
        };
        // A server's own self-signed certificate, as `openssl req -x509` makes it, says of itself that it is an
        // authority. In the file it stands for itself, as OpenSSL reads such files. webpki looks at the dates before it
        // complains of this, and at the name after.
        if is_authority(&error) && self.certificates.contains(leaf) {
            return verify_server_name(&ParsedCertificate::try_from(leaf)?, name);
        }
        Err(error)
    }
}

/// Whether all that webpki has against a server's certificate is that it is an authority's.
fn is_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why))) = error else {
        return false;
    };
    matches!(why.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Those whose SHA-256, or whose public key's, is one of these.
#[derive(Debug)]
struct Pins(Vec<[u8; 32]>);

impl Believe for Pins {
    fn believe(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: UnixTime,
    ) -> Result<(), rustls::Error> {
        let public_key = ParsedCertificate::try_from(leaf)?.subject_public_key_info();
        if self.0.contains(&sha256(leaf)) || self.0.contains(&sha256(&public_key)) {
            return Ok(());
        }
        let why = format!("the certificate is not the pinned one; its pin is {}", hex(&sha256(leaf)));
        Err(rustls::Error::General(why))
    }
}
