//! The tour's mail tool, and its recipient's mail program: the plainest clients there are.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// An SMTP session with the gateway, one command after the other, so that each answer can be shown.
#[derive(Debug)]
pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

/// A reply: its code, and its text without the code.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub code: u16,
    pub text: String,
}

/// What became of one submission, as the tool saw it.
#[derive(Debug)]
pub(super) struct Answers {
    /// One per recipient, in order.
    pub recipients: Vec<Said>,
    /// To the data; `None` when every recipient was refused before.
    pub data: Option<Said>,
}

impl Client {
    /// Connect and say EHLO.
    pub(super) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting to the gateway")?;
        let mut client = Self { stream: BufReader::new(stream) };
        client.expect(220).await?;
        client.command("EHLO crm.voorbeeld.example").await?.must_be(250)?;
        Ok(client)
    }

    /// Submit one message.
    pub(super) async fn submit(&mut self, from: &str, to: &[&str], message: &str) -> Result<Answers> {
        self.command(&format!("MAIL FROM:<{from}>")).await?.must_be(250)?;
        let mut recipients = Vec::new();
        for to in to {
            recipients.push(self.command(&format!("RCPT TO:<{to}>")).await?);
        }
        if recipients.iter().all(|said| said.code != 250) {
            self.command("RSET").await?.must_be(250)?;
            return Ok(Answers { recipients, data: None });
        }
        self.command("DATA").await?.must_be(354)?;
        // The tour's messages have no line that begins with a dot.
        self.stream.get_mut().write_all(format!("{message}.\r\n").as_bytes()).await?;
        Ok(Answers { recipients, data: Some(self.reply().await?) })
    }

    async fn command(&mut self, line: &str) -> Result<Said> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await.with_context(|| format!("the answer to {line}"))
    }

    async fn expect(&mut self, code: u16) -> Result<()> {
        self.reply().await?.must_be(code)
    }

    async fn reply(&mut self) -> Result<Said> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line).await? > 0, "the gateway closed the connection");
            let code: u16 = line.get(..3).unwrap_or("").parse().context("a reply without a code")?;
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(line.get(4..).unwrap_or("").trim_end());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Said { code, text });
            }
        }
    }
}

impl Said {
    fn must_be(&self, code: u16) -> Result<()> {
        ensure!(self.code == code, "expected {code}, got {} {}", self.code, self.text);
        Ok(())
    }
}

/// The POST of RFC 8058, as a mail program sends it: the status code.
pub(super) async fn one_click(address: SocketAddr, path: &str) -> Result<u16> {
    let body = "List-Unsubscribe=One-Click";
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.context("connecting to the unsubscribe page")?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no HTTP status in the answer")
}
