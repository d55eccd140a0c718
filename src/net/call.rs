//! One HTTP request to somebody else's server, and its answer, within bounds.
//!
//! A [`Caller`] connects to the address it has checked, so that a name cannot mean one machine when it is
//! looked at and another when it is called. It follows no redirect, keeps no connection, no cookie and no
//! cache, and reads no more of an answer than it needs.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::Stream;
use super::public::is_public;
use super::tls::{self, TlsError, Trust};

/// Octets of an answer's header, and of its body, that are read.
const ANSWER: usize = 64 * 1024;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    secure: bool,
    host: String,
    port: u16,
    path: String,
}

/// Whom a caller may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Whoever the config names.
    Anybody,
    /// Public addresses on port 443, over TLS: for links that strangers wrote.
    Public,
}

/// Calls. Clones share the TLS settings.
#[derive(Clone)]
pub struct Caller {
    tls: Arc<ClientConfig>,
    trust: Trust,
    reach: Reach,
    limit: Duration,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// The beginning of its body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Not to be called at all.
    #[error("{0}")]
    Refused(String),
    /// It could not be reached, or did not answer in time.
    #[error("{0}")]
    Unreachable(String),
}

impl Target {
    /// Read an `http` or `https` URL. Its fragment is dropped.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, if secure { 443 } else { 80 }),
        };
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_sound = |host: &str| {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        let host = match literal {
            Some(ip) => ip.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
            None if is_sound(host) => host.to_ascii_lowercase(),
            None => return None,
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let printable = path.bytes().all(|byte| byte.is_ascii_graphic());
        printable.then_some(Self { secure, host, port, path })
    }

    /// The same, without TLS: for a server that is asked behind the proxy that speaks TLS for it.
    #[must_use]
    pub fn in_the_clear(self) -> Self {
        let port = if self.port == 443 { 80 } else { self.port };
        Self { secure: false, port, ..self }
    }

    /// The same server, another path.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }

    /// Its host, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether TLS is spoken there.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// For the Host field.
    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl Caller {
    /// A caller that believes `trust`; each call takes at most `limit` in all.
    pub fn new(trust: &Trust, reach: Reach, limit: Duration) -> Result<Self, TlsError> {
        Ok(Self { tls: tls::client_config(trust, None)?, trust: trust.clone(), reach, limit })
    }

    /// Ask `target`; `via` is where it is found, when its name does not lead there from here.
    pub async fn call(
        &self,
        target: &Target,
        via: Option<SocketAddr>,
        method: Method,
        fields: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<Reply, CallError> {
        let deadline = Instant::now() + self.limit;
        let asked = async {
            let stream = self.connect(target, via, deadline).await?;
            let mut request = Request::builder().method(method).uri(target.path());
            request = request.header(header::HOST, target.authority()).header(header::CONNECTION, "close");
            for (name, value) in fields {
                request = request.header(*name, value.as_str());
            }
            let request = request
                .body(Body::from(body))
                .map_err(|error| CallError::Refused(format!("cannot be asked: {error}")))?;
            exchange(stream, request).await
        };
        match timeout_at(deadline, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Unreachable(format!("{} did not answer in time", target.authority()))),
        }
    }

    async fn connect(
        &self,
        target: &Target,
        via: Option<SocketAddr>,
        deadline: Instant,
    ) -> Result<Stream, CallError> {
        let name = target.authority();
        if self.reach == Reach::Public && !(target.secure && target.port == 443) {
            return Err(CallError::Refused(format!("{name}: only https on port 443 is called")));
        }
        let unreachable = |error: &dyn std::fmt::Display| CallError::Unreachable(format!("{name}: {error}"));
        let found = match via {
            Some(address) => vec![address],
            None => lookup_host((target.host.as_str(), target.port))
                .await
                .map_err(|error| unreachable(&error))?
                .collect(),
        };
        // One private address among several is reason enough: the name is played with.
        if self.reach == Reach::Public
            && let Some(inside) = found.iter().find(|address| !is_public(address.ip()))
        {
            return Err(CallError::Refused(format!("{name}: {} is not a public address", inside.ip())));
        }
        let mut last = unreachable(&"it has no address");
        for (tried, address) in found.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = Instant::now() + left / (found.len() - tried) as u32;
            match timeout_at(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    let _ = tcp.set_nodelay(true);
                    return if target.secure {
                        tls::handshake(&self.tls, &target.host, tcp)
                            .await
                            .map_err(|error| unreachable(&error))
                    } else {
                        Ok(Stream::Plain(tcp))
                    };
                }
                Ok(Err(error)) => last = unreachable(&error),
                Err(_) => last = unreachable(&"does not answer"),
            }
        }
        Err(last)
    }
}

impl std::fmt::Debug for Caller {
    /// Without the certificates.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tls: _, trust, reach, limit } = self;
        f.debug_struct("Caller").field("trust", trust).field("reach", reach).field("limit", limit).finish()
    }
}

async fn exchange(stream: Stream, request: Request<Body>) -> Result<Reply, CallError> {
    let broken = |error: hyper::Error| CallError::Unreachable(format!("the connection broke: {error}"));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(ANSWER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        let mut bytes = Vec::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            // A body that breaks off says as much as it said.
            let Ok(frame) = frame else { break };
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data[..data.len().min(ANSWER - bytes.len())]);
            }
            if bytes.len() >= ANSWER {
                break;
            }
        }
        Ok(Reply { status, body: bytes.into() })
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = answer.as_mut() => answer.map_err(broken),
        ended = connection.as_mut() => match ended {
            // What was read before the end can still be an answer.
            Ok(()) => answer.await.map_err(broken),
            Err(error) => Err(broken(error)),
        },
    }
}

/// Whether `host` is this machine itself.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_or_refused() {
        let read = |url: &str| Target::parse(url).map(|it| (it.authority(), it.path.clone(), it.secure));
        for (url, authority, path, secure) in [
            ("https://Example.nl", "example.nl", "/", true),
            ("https://example.nl:8443/a/b?c=d#e", "example.nl:8443", "/a/b?c=d", true),
            ("HTTP://127.0.0.1:80?x", "127.0.0.1", "/?x", false),
            ("https://[2606:4700::1]/u", "[2606:4700::1]", "/u", true),
        ] {
            assert_eq!(read(url), Some((authority.to_owned(), path.to_owned(), secure)), "{url}");
        }
        for wrong in [
            "",
            "ftp://x/",
            "https://",
            "https://a b/",
            "https://user@x/",
            "https://x/\r\nA: b",
            "https://x:99999/",
            "https://é.nl/",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn p8_a_name_that_leads_inside_is_not_called() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let caller = Caller::new(&Trust::Anybody, Reach::Public, Duration::from_secs(5)).unwrap();
        let ask = async |url: &str, via| {
            let target = Target::parse(url).unwrap();
            caller.call(&target, via, Method::POST, &[], Vec::new()).await.unwrap_err().to_string()
        };
        // The same answer when the resolver has the name lead here: what is checked is what is connected to.
        let inside = listener.local_addr().unwrap();
        for (url, via) in [
            ("https://localhost/u", None),
            ("https://127.0.0.1/u", None),
            ("https://[::1]/u", None),
            ("https://tool.example/u", Some(inside)),
        ] {
            let error = ask(url, via).await;
            assert!(error.contains("is not a public address"), "{url}: {error}");
        }
        for url in ["http://tool.example/u", "https://tool.example:8443/u"] {
            assert!(ask(url, None).await.contains("only https on port 443"), "{url}");
        }
        let nobody = std::future::poll_fn(|context| {
            std::task::Poll::Ready(listener.poll_accept(context).is_pending())
        });
        assert!(nobody.await, "somebody knocked");
    }
}
