//! A small SMTP client: what is sent is exactly what the test says.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::patience::within;

/// A connection, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One reply, all its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// The text of each line, enhanced code included.
    pub lines: Vec<String>,
}

impl Reply {
    /// All lines in one text.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// Whether one line is `keyword`, or begins with it and a space (for EHLO).
    pub fn offers(&self, keyword: &str) -> bool {
        self.lines.iter().any(|line| line.split(' ').next() == Some(keyword))
    }
}

/// The client's end of a session.
pub struct Client {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connect, and read the greeting.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut client = Self::silent(address).await;
        let greeting = client.reply().await;
        assert_eq!(greeting.code, 220, "{greeting:?}");
        client
    }

    /// Connect, and read nothing.
    pub async fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// Connect with TLS from the first octet, trusting `authority`, and read the greeting.
    pub async fn connect_tls(address: SocketAddr, authority: &Path) -> Self {
        let mut client = Self::silent(address).await.tls(authority).await;
        assert_eq!(client.reply().await.code, 220);
        client
    }

    /// Connect and say EHLO.
    pub async fn hello(address: SocketAddr) -> Self {
        let mut client = Self::connect(address).await;
        let reply = client.command("EHLO client.example").await;
        assert_eq!(reply.code, 250, "{reply:?}");
        client
    }

    /// Send octets as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Send one command line, and read the reply.
    pub async fn command(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n")).await;
        self.reply().await
    }

    /// Read one reply.
    pub async fn reply(&mut self) -> Reply {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await.expect("the server hung up before its reply");
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code: u16 = code.unwrap_or_else(|| panic!("no reply: {line:?}"));
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Reply { code, lines };
            }
        }
    }

    /// Whether the server hung up, and said nothing more.
    pub async fn is_closed(&mut self) -> bool {
        self.line().await.is_none()
    }

    /// One whole transaction by DATA; the first reply that is no success, or the last.
    pub async fn submit(&mut self, from: &str, to: &[&str], message: impl AsRef<[u8]>) -> Reply {
        let reply = self.command(&format!("MAIL FROM:<{from}>")).await;
        if reply.code != 250 {
            return reply;
        }
        for one in to {
            let reply = self.command(&format!("RCPT TO:<{one}>")).await;
            if reply.code / 100 != 2 {
                self.command("RSET").await;
                return reply;
            }
        }
        let reply = self.command("DATA").await;
        if reply.code != 354 {
            return reply;
        }
        self.send(stuff(message.as_ref())).await;
        self.reply().await
    }

    /// STARTTLS, trusting `authority`; EHLO is for the caller to say again.
    pub async fn starttls(mut self, authority: &Path) -> Self {
        let reply = self.command("STARTTLS").await;
        assert_eq!(reply.code, 220, "{reply:?}");
        assert!(self.buffer.is_empty(), "octets in the clear after STARTTLS");
        self.tls(authority).await
    }

    async fn tls(self, authority: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, self.stream).await.unwrap();
        Self { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// The next line without its CRLF; `None` at the end of the connection.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8(self.buffer[..at].to_vec()).unwrap();
                self.buffer.drain(..at + 2);
                return Some(line);
            }
            match within(self.stream.read_buf(&mut self.buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// `message` as it goes over the wire: dots stuffed, ended.
pub fn stuff(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 8);
    let mut at_start = true;
    for &byte in message {
        if at_start && byte == b'.' {
            wire.push(b'.');
        }
        wire.push(byte);
        at_start = byte == b'\n';
    }
    if !wire.is_empty() && !wire.ends_with(b"\r\n") {
        wire.extend(b"\r\n");
    }
    wire.extend(b".\r\n");
    wire
}
