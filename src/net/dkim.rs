//! Who signed a message (DKIM, RFC 6376), by what the DNS says of their keys.
//!
//! Answers one question: which domains vouch for all of it. A signature of the beginning of a body (`l=`) says
//! nothing about the rest and is none. Deliberately absent: what a signature means, and DMARC policies.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use mail_auth::hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator};

/// Signatures of one message that are looked at: each costs a question to a DNS server that its writer chose.
const SIGNATURES: usize = 8;

/// Asks the DNS. Clones share its connections.
#[derive(Clone)]
pub struct Signatures {
    authenticator: MessageAuthenticator,
    patience: Duration,
}

/// Why the DNS cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no DNS resolver: {0}")]
pub struct NoResolver(String);

impl Signatures {
    /// Ask the server `at`, or those of the system; a message gets `patience` in all.
    pub fn new(at: Option<SocketAddr>, patience: Duration) -> Result<Self, NoResolver> {
        let made = match at {
            None => MessageAuthenticator::new_system_conf(),
            Some(at) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = at.port();
                    connection
                });
                let server = NameServerConfig::new(at.ip(), true, connections.into());
                MessageAuthenticator::new(
                    ResolverConfig::from_name_servers(vec![server]),
                    ResolverOpts::default(),
                )
            }
        };
        let authenticator = made.map_err(|error| NoResolver(error.to_string()))?;
        Ok(Self { authenticator, patience })
    }

    /// The domains that signed all of `message` (CRLF line ends), lower-case as in `d=`; none when that cannot be found out.
    pub async fn of(&self, message: &[u8]) -> Vec<String> {
        let Some(message) = AuthenticatedMessage::parse(message) else { return Vec::new() };
        if message.dkim_headers.len() > SIGNATURES {
            return Vec::new();
        }
        let Ok(outputs) = tokio::time::timeout(self.patience, self.authenticator.verify_dkim(&message)).await
        else {
            return Vec::new();
        };
        let valid = outputs.iter().filter(|output| *output.result() == DkimResult::Pass);
        valid
            .filter_map(|output| output.signature())
            .filter(|signature| signature.l == 0)
            .map(|signature| signature.d.to_ascii_lowercase())
            .collect()
    }
}

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signatures").field("patience", &self.patience).finish_non_exhaustive()
    }
}
