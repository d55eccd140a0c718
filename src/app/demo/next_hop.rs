//! The tour's next hop: an SMTP server on a free loopback port that keeps what it is given.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::shutdown::Shutdown;

/// Largest message it keeps: the tour's own are a few thousand octets.
const MAX_MESSAGE: usize = 1 << 20;

/// One message it was given.
#[derive(Debug, Clone)]
pub(super) struct Captured {
    /// RCPT TO, without angle brackets.
    pub recipients: Vec<String>,
    /// The bytes.
    pub message: Vec<u8>,
}

/// What it was given so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Mailbox {
    messages: Arc<Mutex<Vec<Captured>>>,
    arrived: Arc<Notify>,
}

impl Mailbox {
    /// The first message for `recipient`, once it is there.
    pub(super) async fn wait_for(&self, recipient: &str) -> Captured {
        loop {
            let arrived = self.arrived.notified();
            if let Some(found) = self.find(recipient) {
                return found;
            }
            arrived.await;
        }
    }

    /// The first message for `recipient`, if it is there.
    pub(super) fn find(&self, recipient: &str) -> Option<Captured> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().find(|one| one.recipients.iter().any(|to| to == recipient)).cloned()
    }

    fn put(&self, captured: Captured) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(captured);
        self.arrived.notify_waiters();
    }
}

/// Start it; it ends with `shutdown`.
pub(super) async fn start(shutdown: &Shutdown) -> Result<(SocketAddr, Mailbox)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mailbox = Mailbox::default();
    let (signal, kept) = (shutdown.clone(), mailbox.clone());
    shutdown.spawn(async move {
        loop {
            tokio::select! {
                () = signal.requested() => return,
                Ok((stream, _)) = listener.accept() => {
                    let (mailbox, signal) = (kept.clone(), signal.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = signal.requested() => {}
                            _ = session(stream, mailbox) => {}
                        }
                    });
                }
            }
        }
    });
    Ok((address, mailbox))
}

/// Just enough of RFC 5321 and 3030 for one well-behaved client: the gateway.
async fn session(stream: TcpStream, mailbox: Mailbox) -> Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    writer.write_all(b"220 next-hop.example ESMTP\r\n").await?;
    let mut recipients = Vec::new();
    let mut message = Vec::new();
    loop {
        let mut line = String::new();
        if (&mut reader).take(4096).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.split(' ').next().unwrap_or("").to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => {
                "250-next-hop.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES"
            }
            "RCPT" => {
                let address = line.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>'));
                recipients.push(address.map_or("", |(address, _)| address).to_owned());
                "250 2.1.5 ok"
            }
            "BDAT" => {
                let mut words = line.split_ascii_whitespace().skip(1);
                let size: u64 = words.next().unwrap_or("").parse()?;
                anyhow::ensure!(message.len() as u64 + size <= MAX_MESSAGE as u64, "too large for the tour");
                (&mut reader).take(size).read_to_end(&mut message).await?;
                if words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST")) {
                    mailbox.put(Captured {
                        recipients: std::mem::take(&mut recipients),
                        message: std::mem::take(&mut message),
                    });
                }
                "250 2.6.0 taken"
            }
            "QUIT" => {
                writer.write_all(b"221 2.0.0 bye\r\n").await?;
                return Ok(());
            }
            "MAIL" | "RSET" => {
                recipients.clear();
                message.clear();
                "250 2.0.0 ok"
            }
            "NOOP" | "HELO" => "250 2.0.0 ok",
            _ => "502 5.5.1 not here",
        };
        writer.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}
