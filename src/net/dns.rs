//! Questions to DNS that the system's own resolver does not answer: MX, TXT, TLSA and aliases, and whether an answer
//! was proven by DNSSEC.
//!
//! hickory asks the name servers of the system, or those it is given, and keeps answers as long as they are good. With
//! `dnssec` it proves each answer itself, from the root's keys down, so no name server on the way has to be believed.
//! Every question ends within seconds.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Answered, NetError, NoRecords};
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use super::dane::Tlsa;
use super::tls::{self, Trust};

/// The longest that any answer is kept, whatever it says of itself.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Whom to ask, and whether to believe them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The name servers; none: those of the system (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
    /// Prove each answer by DNSSEC. The name servers must pass signatures on; what fails the proof is no answer.
    pub dnssec: bool,
    /// The keys that proofs begin with: DNSKEY records, as in a zone file; none: those of the root.
    pub anchors: Option<PathBuf>,
}

/// What was found at a name; nothing, when the name is there and has none of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// In the order they came.
    pub records: Vec<T>,
    /// Whether DNSSEC proves it.
    pub secure: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// NXDOMAIN: there is no such name.
    #[error("there is no such name")]
    NoName,
    /// Nobody knows now: no answer in time, a failing server, a proof that does not hold.
    #[error("{0}")]
    Failed(String),
}

/// A mail server of a domain (RFC 5321 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    /// The lowest comes first.
    pub preference: u16,
    /// Its name in lower case, without the last dot; empty for the root (RFC 7505).
    pub host: String,
}

/// Asks. Answers are cached.
#[derive(Debug)]
pub struct Resolver {
    resolver: TokioResolver,
    dnssec: bool,
}

impl Resolver {
    /// A resolver for these name servers. Fails when those of the system cannot be read, or the keys cannot. Must be
    /// called within a runtime.
    pub fn new(settings: &Settings) -> Result<Self, DnsError> {
        let failed = |error: &dyn std::fmt::Display| DnsError::Failed(format!("name servers: {error}"));
        let anchors =
            settings.anchors.as_ref().filter(|_| settings.dnssec).map(|file| anchors(file)).transpose();
        let anchors = anchors.map_err(DnsError::Failed)?;
        let (config, mut options) = match settings.servers.as_slice() {
            [] => read_system_conf().map_err(|error| failed(&error))?,
            servers => {
                let servers = servers.iter().map(name_server).collect();
                (ResolverConfig::from_name_servers(servers), ResolverOpts::default())
            }
        };
        // Names are asked for as they are: no search list, no hosts file.
        options.use_hosts_file = ResolveHosts::Never;
        options.validate = settings.dnssec;
        options.positive_max_ttl = Some(LONGEST);
        options.negative_max_ttl = Some(LONGEST);
        // Only UDP and TCP are spoken; the builder wants a TLS config all the same.
        let tls = tls::client_config(&Trust::Anybody, None).map_err(|error| failed(&error))?;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .with_tls_config((*tls).clone());
        if let Some(anchors) = anchors {
            builder = builder.with_trust_anchor(Arc::new(anchors));
        }
        let resolver = builder.build().map_err(|error| failed(&error))?;
        Ok(Self { resolver, dnssec: settings.dnssec })
    }

    /// The mail servers of `domain`.
    pub async fn mx(&self, domain: &str) -> Result<Found<Mx>, DnsError> {
        let pick = |data: &RData| match data {
            RData::MX(mx) => Some(Mx { preference: mx.preference, host: written(&mx.exchange) }),
            _ => None,
        };
        self.ask(domain, RecordType::MX, pick).await
    }

    /// The IPv4 addresses of `host`.
    pub async fn ipv4(&self, host: &str) -> Result<Found<IpAddr>, DnsError> {
        self.ask(host, RecordType::A, RData::ip_addr).await
    }

    /// The IPv6 addresses of `host`.
    pub async fn ipv6(&self, host: &str) -> Result<Found<IpAddr>, DnsError> {
        self.ask(host, RecordType::AAAA, RData::ip_addr).await
    }

    /// What `host` is an alias of (RFC 1035 3.3.1); nothing, when it is a name of its own.
    pub async fn alias(&self, host: &str) -> Result<Found<String>, DnsError> {
        let pick = |data: &RData| match data {
            RData::CNAME(alias) => Some(written(&alias.0)),
            _ => None,
        };
        self.ask(host, RecordType::CNAME, pick).await
    }

    /// The certificates that `name` (`_25._tcp.host`) is associated with.
    pub async fn tlsa(&self, name: &str) -> Result<Found<Tlsa>, DnsError> {
        let pick = |data: &RData| match data {
            RData::TLSA(tlsa) => Some(Tlsa {
                usage: tlsa.cert_usage.into(),
                selector: tlsa.selector.into(),
                matching: tlsa.matching.into(),
                data: tlsa.cert_data.clone(),
            }),
            _ => None,
        };
        self.ask(name, RecordType::TLSA, pick).await
    }

    /// The texts at `name`, each with its pieces put together.
    pub async fn txt(&self, name: &str) -> Result<Found<String>, DnsError> {
        let pick = |data: &RData| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        };
        self.ask(name, RecordType::TXT, pick).await
    }

    /// Whether `name` is an alias of another one, or of itself.
    async fn is_alias(&self, name: &Name) -> bool {
        let found = self.resolver.lookup(name.clone(), RecordType::CNAME).await;
        found.is_ok_and(|found| !found.answers().is_empty())
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Result<Found<T>, DnsError> {
        let mut name = Name::from_ascii(name).map_err(|error| DnsError::Failed(error.to_string()))?;
        name.set_fqdn(true);
        match self.resolver.lookup(name, kind).await {
            Ok(answer) => {
                let records = answer.answers();
                // An alias on the way has to be proven, too.
                let proven = |data: &RData| pick(data).is_some() || matches!(data, RData::CNAME(_));
                let secure = self.dnssec
                    && records.iter().filter(|one| proven(&one.data)).all(|one| one.proof.is_secure());
                Ok(Found { records: records.iter().filter_map(|one| pick(&one.data)).collect(), secure })
            }
            Err(NetError::Dns(Answered::NoRecordsFound(none))) => match none.response_code {
                ResponseCode::NXDomain => Err(DnsError::NoName),
                // RFC 5321 5.1: an alias is followed; one that leads nowhere is a fault that somebody mends.
                _ if none.soa.is_none() && self.is_alias(&none.query.name).await => {
                    Err(DnsError::Failed("its alias leads round in a circle, or too far".to_owned()))
                }
                _ => Ok(Found { records: Vec::new(), secure: self.dnssec && is_denied(&none) }),
            },
            // Denied, without a proof, where there need not be one. Where there must, it is an error of its own.
            Err(NetError::Dns(Answered::Nsec { response, proof, .. })) if proof.is_insecure() => {
                match response.response_code {
                    ResponseCode::NXDomain => Err(DnsError::NoName),
                    _ => Ok(Found { records: Vec::new(), secure: false }),
                }
            }
            Err(error) => Err(DnsError::Failed(error.to_string())),
        }
    }
}

/// Whether the answer that there is nothing was proven.
fn is_denied(none: &NoRecords) -> bool {
    let proves = |record: &Record| {
        record.proof.is_secure() && matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3)
    };
    none.authorities.iter().flat_map(|all| all.iter()).any(proves)
}

/// The keys in a file.
pub fn anchors(file: &Path) -> Result<TrustAnchors, String> {
    let named = |why: &dyn std::fmt::Display| {
        format!(
            "{}: {why}; write DNSKEY records, as in a zone file: \". IN DNSKEY 257 3 13 …\"",
            file.display()
        )
    };
    let anchors = TrustAnchors::from_file(file).map_err(|error| named(&error))?;
    if anchors.is_empty() { Err(named(&"no key of the root in it")) } else { Ok(anchors) }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let over = |protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(address.ip(), true, vec![over(ProtocolConfig::Udp), over(ProtocolConfig::Tcp)])
}

/// `mx.example.org`; empty for the root.
fn written(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}
