//! The client's side of one SMTP connection: from TCP to signed in and ready for MAIL.
//!
//! Every reply is bounded in lines, octets and time. TLS is never downgraded and credentials never go out
//! in the clear. A connection that said anything we do not understand is `broken`, and not used again.

mod commands;
mod transaction;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::failure::{Failure, Phase};
use super::{Answer, SmtpHop, Timeouts, TlsMode};
use crate::net::tls::{self, TlsError};
use crate::net::{self, Buffered, Stream};
use crate::secret::Secret;
use crate::smtp::capability::Capabilities;
use crate::smtp::line::AUTH_LIMIT;
use crate::smtp::response::{Response, ResponseParser};
use crate::smtp::sasl::{self, Mechanism};

pub(super) use transaction::{all_deferred, obstacle};

/// Octets of replies that are buffered: a pipelined transaction to a thousand recipients answers in less.
const REPLY_BUFFER: usize = 64 * 1024;

/// Makes connections to one next hop.
#[derive(Debug)]
pub(super) struct Dialer {
    hop: SmtpHop,
    helo: String,
    timeouts: Timeouts,
    tls: Option<Arc<ClientConfig>>,
    /// What it signs in with.
    credentials: Option<sasl::Credentials>,
    /// A server that greets with our own name is ourselves, and a loop.
    may_be_us: bool,
}

/// A connection that is ready for MAIL.
#[derive(Debug)]
pub(super) struct Connection {
    link: Buffered,
    parser: ResponseParser,
    timeouts: Timeouts,
    /// Until it is ready, every wait ends then, too.
    by: Option<Instant>,
    pub capabilities: Capabilities,
    /// Messages that were begun on it.
    pub messages: usize,
    /// When its last reply came.
    pub last_used: Instant,
    /// TLS version and the next hop's certificate, in the words of the ledger.
    tls_peer: Option<String>,
    /// Its name in entries, where it is not that of the pool.
    peer: Option<String>,
    /// Its place among the connections of several pools.
    pub place: Option<OwnedSemaphorePermit>,
    broken: bool,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        let text = response.text();
        Self { code: response.code, enhanced: response.enhanced, text }
    }
}

impl Dialer {
    pub(super) fn new(hop: SmtpHop, helo: String, timeouts: Timeouts) -> Result<Self, TlsError> {
        let tls = match hop.tls {
            TlsMode::None => None,
            TlsMode::StartTls | TlsMode::Implicit | TlsMode::Opportunistic => {
                Some(tls::client_config(&hop.trust, hop.identity.as_ref())?)
            }
        };
        // A password is passed on by PLAIN, or by LOGIN where there is no PLAIN.
        let credentials = hop.credentials.clone().map(|own| sasl::Credentials {
            name: own.username,
            password: own.password,
            mechanism: Mechanism::Plain,
        });
        Ok(Self { hop, helo, timeouts, tls, credentials, may_be_us: false })
    }

    /// For a server that DNS named, with the certificates that `tls` believes.
    pub(super) fn to_mail_server(
        hop: SmtpHop,
        helo: String,
        timeouts: Timeouts,
        tls: Arc<ClientConfig>,
    ) -> Self {
        Self { hop, helo, timeouts, tls: Some(tls), credentials: None, may_be_us: true }
    }

    /// The same, for somebody else.
    pub(super) fn signing_in_with(&self, credentials: sasl::Credentials) -> Self {
        Self {
            hop: self.hop.clone(),
            helo: self.helo.clone(),
            timeouts: self.timeouts,
            tls: self.tls.clone(),
            credentials: Some(credentials),
            may_be_us: self.may_be_us,
        }
    }

    /// How long a connect may take.
    pub(super) fn connect_limit(&self) -> Duration {
        self.timeouts.connect
    }

    /// Connect, start TLS, say hello, sign in. Whatever goes wrong is about us, not about a message. Where `by` is
    /// given, every wait ends then.
    pub(super) async fn dial(&self, by: Option<Instant>) -> Result<Connection, Failure> {
        let limit = until(by, self.timeouts.connect);
        let (host, port) = (&self.hop.host, self.hop.port);
        let tcp = match &self.hop.proxy {
            None => net::connect(host, port, limit).await,
            Some(proxy) => net::socks::connect_through(proxy, host, port, limit).await,
        };
        self.over(tcp.map_err(|error| Failure::Connect(error.to_string()))?, by).await
    }

    /// The same, over a connection that is there.
    pub(super) async fn over(&self, tcp: TcpStream, by: Option<Instant>) -> Result<Connection, Failure> {
        let stream = match self.hop.tls {
            TlsMode::Implicit => self.start_tls(tcp, by).await?,
            TlsMode::None | TlsMode::StartTls | TlsMode::Opportunistic => Stream::Plain(tcp),
        };
        let mut connection = Connection::new(stream, self.timeouts, by);
        let greeting = connection.positive(Phase::Greeting, "").await?;
        if self.may_be_us && greeting.text().split(' ').next().is_some_and(|name| self.is_our_name(name)) {
            return Err(Failure::Loop(self.hop.host.clone()));
        }
        connection.hello(&self.helo).await?;
        let offered = connection.capabilities.starttls;
        if self.hop.tls == TlsMode::StartTls || (self.hop.tls == TlsMode::Opportunistic && offered) {
            connection = self.upgrade(connection).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.sign_in(credentials).await?;
        }
        connection.by = None;
        Ok(connection)
    }

    fn is_our_name(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(&self.helo)
    }

    async fn upgrade(&self, mut connection: Connection) -> Result<Connection, Failure> {
        if !connection.capabilities.starttls {
            return Err(Failure::NoStartTls);
        }
        connection.positive(Phase::Tls, "STARTTLS\r\n").await?;
        let (stream, buffered) = connection.link.into_parts();
        // Replies sent in the clear and read under TLS would be believed (RFC 3207 6; RULES P3).
        if !buffered.is_empty() {
            return Err(Failure::Injected);
        }
        let Stream::Plain(tcp) = stream else { return Err(Failure::Tls("TLS within TLS".to_owned())) };
        let by = connection.by;
        let mut connection = Connection::new(self.start_tls(tcp, by).await?, self.timeouts, by);
        connection.hello(&self.helo).await?;
        Ok(connection)
    }

    async fn start_tls(&self, tcp: TcpStream, by: Option<Instant>) -> Result<Stream, Failure> {
        let Some(config) = &self.tls else { return Err(Failure::Tls("TLS is not set up".to_owned())) };
        let name = self.hop.tls_name.as_deref().unwrap_or(&self.hop.host);
        match timeout(until(by, self.timeouts.connect), tls::handshake(config, name, tcp)).await {
            Ok(result) => result.map_err(|error| Failure::Tls(error.to_string())),
            Err(_) => Err(Failure::Timeout(Phase::Tls)),
        }
    }
}

impl Connection {
    fn new(stream: Stream, timeouts: Timeouts, by: Option<Instant>) -> Self {
        Self {
            tls_peer: stream.tls_peer(),
            link: Buffered::new(stream, REPLY_BUFFER),
            parser: ResponseParser::default(),
            timeouts,
            by,
            capabilities: Capabilities::default(),
            messages: 0,
            last_used: Instant::now(),
            peer: None,
            place: None,
            broken: false,
        }
    }

    /// `name` is what entries call this peer; `believed` says why its certificate is believed, ` dane`.
    pub(super) fn name_peer(&mut self, name: String, believed: &str) {
        self.peer = Some(name);
        if let Some(tls) = &mut self.tls_peer {
            tls.push_str(believed);
        }
    }

    /// Its name in entries, where it is not that of the pool.
    pub(super) fn peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }

    pub(super) fn tls_version(&self) -> Option<&'static str> {
        self.link.stream().tls_version()
    }

    pub(super) fn tls_peer(&self) -> Option<String> {
        self.tls_peer.clone()
    }

    /// Whether it can still be used: nothing went wrong, the peer has neither spoken nor gone.
    pub(super) async fn is_alive(&mut self) -> bool {
        !self.broken && self.link.is_quiet().await
    }

    /// Say QUIT and go; the answer is not waited for.
    pub(super) async fn quit(mut self) {
        if !self.broken {
            // What cannot be said to a peer that is gone need not be said.
            let _ = timeout(Duration::from_secs(5), self.link.write(b"QUIT\r\n")).await;
        }
    }

    /// EHLO, or HELO to those who do not know it (RFC 5321 3.2).
    async fn hello(&mut self, helo: &str) -> Result<(), Failure> {
        self.write(Phase::Hello, format!("EHLO {helo}\r\n").as_bytes()).await?;
        let response = self.response(Phase::Hello, self.timeouts.command).await?;
        match response.code / 100 {
            2 => self.capabilities = Capabilities::parse(&response.lines),
            5 => {
                self.positive(Phase::Hello, &format!("HELO {helo}\r\n")).await?;
                self.capabilities = Capabilities::default();
            }
            _ => return Err(turned(Phase::Hello, response.into())),
        }
        Ok(())
    }

    /// The ways to sign in there that we know, in our order.
    pub(super) fn mechanisms(&self) -> Vec<Mechanism> {
        Mechanism::ALL.into_iter().filter(|one| self.offers(*one)).collect()
    }

    fn offers(&self, mechanism: Mechanism) -> bool {
        self.capabilities.auth.iter().any(|offered| offered == mechanism.as_str())
    }

    /// RFC 4954. PLAIN before LOGIN.
    async fn sign_in(&mut self, credentials: &sasl::Credentials) -> Result<(), Failure> {
        let local = self.link.stream().tcp().peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        if self.tls_version().is_none() && !local {
            return Err(Failure::NoAuth("the connection is not under TLS"));
        }
        if let bearer @ (Mechanism::XOauth2 | Mechanism::OauthBearer) = credentials.mechanism {
            return self.show_token(bearer, credentials).await;
        }
        if self.offers(Mechanism::Plain) {
            self.respond(Mechanism::Plain, &sasl::plain_response(credentials)).await?;
        } else if self.offers(Mechanism::Login) {
            self.write(Phase::Auth, b"AUTH LOGIN\r\n").await?;
            for answer in sasl::login_responses(credentials) {
                self.challenge().await?;
                self.secret(b"", answer.expose()).await?;
            }
        } else {
            return Err(Failure::NoAuth("neither PLAIN nor LOGIN"));
        }
        self.positive(Phase::Auth, "").await.map(drop)
    }

    /// A bearer token, in one go. A server that does not take it sends a challenge that says why, and its
    /// refusal after an empty answer (RFC 7628 3.2.3).
    async fn show_token(
        &mut self,
        mechanism: Mechanism,
        credentials: &sasl::Credentials,
    ) -> Result<(), Failure> {
        if !self.offers(mechanism) {
            return Err(Failure::NoAuth("it takes no such token"));
        }
        self.respond(mechanism, &sasl::bearer_response(credentials)).await?;
        let response = self.response(Phase::Auth, self.timeouts.command).await?;
        match response.code {
            200..=299 => Ok(()),
            334 => {
                let empty: &[u8] = if mechanism == Mechanism::XOauth2 { b"\r\n" } else { b"AQ==\r\n" };
                self.write(Phase::Auth, empty).await?;
                self.positive(Phase::Auth, "").await.map(drop)
            }
            _ => Err(turned(Phase::Auth, response.into())),
        }
    }

    /// AUTH with its response in the same line, or, where that would be longer than RFC 4954 4 lets it be, after the
    /// next hop has asked for it. A client of ours may send a response that fits only so.
    async fn respond(&mut self, mechanism: Mechanism, response: &Secret) -> Result<(), Failure> {
        let command = format!("AUTH {}", mechanism.as_str());
        let response = response.expose();
        if response.len() + 2 > AUTH_LIMIT {
            return Err(Failure::NoAuth("the token is longer than a line may be"));
        }
        if command.len() + 1 + response.len() + 2 <= AUTH_LIMIT {
            return self.secret(format!("{command} ").as_bytes(), response).await;
        }
        self.write(Phase::Auth, format!("{command}\r\n").as_bytes()).await?;
        self.challenge().await?;
        self.secret(b"", response).await
    }

    async fn challenge(&mut self) -> Result<(), Failure> {
        let response = self.response(Phase::Auth, self.timeouts.command).await?;
        if response.code == 334 { Ok(()) } else { Err(turned(Phase::Auth, response.into())) }
    }

    /// Write a line that must not stay in memory.
    async fn secret(&mut self, before: &[u8], secret: &[u8]) -> Result<(), Failure> {
        let line = zeroize::Zeroizing::new([before, secret, b"\r\n"].concat());
        self.write(Phase::Auth, &line).await
    }

    /// Write `command` and want 2xx, before MAIL.
    async fn positive(&mut self, phase: Phase, command: &str) -> Result<Response, Failure> {
        if !command.is_empty() {
            self.write(phase, command.as_bytes()).await?;
        }
        let response = self.response(phase, self.timeouts.command).await?;
        if response.is_success() { Ok(response) } else { Err(turned(phase, response.into())) }
    }

    async fn write(&mut self, phase: Phase, bytes: &[u8]) -> Result<(), Failure> {
        let limit = until(self.by, self.timeouts.data_block);
        let result = match timeout(limit, self.link.write(bytes)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => Failure::Lost(phase, error.to_string()),
            Err(_) => Failure::Timeout(phase),
        };
        self.broken = true;
        Err(result)
    }

    /// The next reply, whole within `limit`.
    async fn response(&mut self, phase: Phase, limit: Duration) -> Result<Response, Failure> {
        let result = match timeout(until(self.by, limit), self.read_response(phase)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Timeout(phase)),
        };
        self.broken |= result.is_err();
        self.last_used = Instant::now();
        result
    }

    async fn read_response(&mut self, phase: Phase) -> Result<Response, Failure> {
        loop {
            match self.parser.next(self.link.buffer_mut()) {
                Some(Ok(response)) => return Ok(response),
                Some(Err(error)) => return Err(Failure::Malformed(phase, error.to_string())),
                None => {}
            }
            match self.link.fill().await {
                Ok(0) => return Err(Failure::Lost(phase, "closed by the next hop".to_owned())),
                Ok(_) => {}
                // What the TLS library says of it is meant for its users.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(Failure::Lost(
                        phase,
                        "closed by the next hop, without an end of TLS".to_owned(),
                    ));
                }
                Err(error) => return Err(Failure::Lost(phase, error.to_string())),
            }
        }
    }
}

/// The time until `by`, and no more than `limit`.
fn until(by: Option<Instant>, limit: Duration) -> Duration {
    by.map_or(limit, |by| limit.min(by.saturating_duration_since(Instant::now())))
}

/// A reply before MAIL that is not the one we need (RULES P15).
fn turned(phase: Phase, answer: Answer) -> Failure {
    match answer.code {
        400..=599 => Failure::Turned(phase, answer),
        _ => Failure::Unexpected(phase, answer),
    }
}
