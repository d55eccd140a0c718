//! An HTTP server that keeps what it is sent, and answers with the status it is told.

use std::net::SocketAddr;
use std::sync::Arc;

use sluis::net::{Stream, tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::patience::within;

/// A request it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The first line.
    pub line: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Sent {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The server. Stops when dropped.
pub struct Hook {
    /// Where it listens.
    pub address: SocketAddr,
    sent: mpsc::UnboundedReceiver<Sent>,
    task: JoinHandle<()>,
}

impl Hook {
    /// Answer the first requests with `statuses`, and every later one with 200.
    pub async fn start(statuses: &[u16], server: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sent) = mpsc::unbounded_channel();
        let mut statuses = std::collections::VecDeque::from(statuses.to_vec());
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let mut stream = match &server {
                    None => Stream::Plain(tcp),
                    Some(config) => match tls::accept(config, tcp).await {
                        Ok(stream) => stream,
                        Err(_) => continue,
                    },
                };
                let Some(request) = read(&mut stream).await else { continue };
                let status = statuses.pop_front().unwrap_or(200);
                let extra = if status / 100 == 3 { "Location: https://elsewhere.example/\r\n" } else { "" };
                let answer = format!("HTTP/1.1 {status} X\r\n{extra}Content-Length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { address, sent, task }
    }

    /// Answer each request with 200 and what `answer` makes of its body.
    pub async fn answering(mut answer: impl FnMut(&Sent) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sent) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let mut stream = Stream::Plain(tcp);
                let Some(request) = read(&mut stream).await else { continue };
                let body = answer(&request);
                let head = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
                let _ = stream.shutdown().await;
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { address, sent, task }
    }

    /// The next request.
    pub async fn next(&mut self) -> Sent {
        within(self.sent.recv()).await.unwrap()
    }

    /// Whether there is none.
    pub fn is_idle(&mut self) -> bool {
        self.sent.try_recv().is_err()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(stream: &mut Stream) -> Option<Sent> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Sent { line, headers, body: bytes[end..].to_vec() })
}
