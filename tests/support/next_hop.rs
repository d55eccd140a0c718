//! An SMTP server that keeps what it gets, and answers as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluis::net::{Stream, tls};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::patience::within;

/// A message it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Which connection it came over, from 0.
    pub connection: usize,
    /// The argument of EHLO or HELO.
    pub helo: String,
    /// What follows `MAIL FROM:`, parameters included.
    pub mail: String,
    /// What follows each accepted `RCPT TO:`, parameters included.
    pub rcpt: Vec<String>,
    /// The message, dots unstuffed.
    pub data: Vec<u8>,
}

/// What it is about to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The connection is new.
    Greeting,
    /// A command line, as it came.
    Command,
    /// BDAT, as it came, before its octets are read.
    Chunk,
    /// The message is all there (final dot, or BDAT LAST).
    End,
}

/// How it answers, when not as a friendly server would.
#[derive(Debug, Clone)]
pub enum Answer {
    /// With this reply line or lines, CRLF included; no success as far as the session is concerned, unless
    /// it begins with 2.
    Say(String),
    /// With this, and then by hanging up.
    SayAndHangUp(String),
    /// With this, an octet at a time.
    Dribble(String),
    /// By closing its own direction, and waiting until the client goes.
    HalfClose,
    /// By hanging up.
    HangUp,
    /// Not at all: it waits until the client goes.
    Silence,
}

type Script = dyn Fn(Moment, &str) -> Option<Answer> + Send + Sync;

/// The server. Stops when dropped.
pub struct NextHop {
    /// Where it listens.
    pub address: SocketAddr,
    captured: mpsc::UnboundedReceiver<Captured>,
    task: JoinHandle<()>,
    connections: Arc<AtomicUsize>,
}

/// What a server with everything offers.
pub const EVERYTHING: &[&str] =
    &["PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES"];

impl NextHop {
    /// A friendly one that offers everything.
    pub async fn start() -> Self {
        Self::scripted(EVERYTHING, |_, _| None).await
    }

    /// One that offers `extensions`, and asks `script` for each answer: `None` is the friendly one.
    pub async fn scripted(
        extensions: &[&str],
        script: impl Fn(Moment, &str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::with_tls(extensions, None, false, script).await
    }

    /// As [`NextHop::scripted`], with TLS: from the first octet, or when the client says STARTTLS.
    pub async fn with_tls(
        extensions: &[&str],
        tls: Option<Arc<rustls::ServerConfig>>,
        implicit: bool,
        script: impl Fn(Moment, &str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::over(listener, extensions, tls, implicit, script)
    }

    /// As [`NextHop::scripted`], at an address of the test's choice.
    pub async fn at(
        address: SocketAddr,
        extensions: &[&str],
        script: impl Fn(Moment, &str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::at_with_tls(address, extensions, None, script).await
    }

    /// As [`NextHop::at`], with TLS when the client says STARTTLS.
    pub async fn at_with_tls(
        address: SocketAddr,
        extensions: &[&str],
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl Fn(Moment, &str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        Self::over(listener, extensions, tls, false, script)
    }

    /// As [`NextHop::scripted`], with as little room as a server far away has for what nobody reads.
    pub async fn cramped(
        extensions: &[&str],
        script: impl Fn(Moment, &str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        socket.set_send_buffer_size(64 * 1024).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self::over(socket.listen(16).unwrap(), extensions, None, false, script)
    }

    fn over(
        listener: TcpListener,
        extensions: &[&str],
        tls: Option<Arc<rustls::ServerConfig>>,
        implicit: bool,
        script: impl Fn(Moment, &str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let (sender, captured) = mpsc::unbounded_channel();
        let extensions: Arc<[String]> = extensions.iter().map(|one| (*one).to_owned()).collect();
        let script: Arc<Script> = Arc::new(script);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let task = tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let count = counted.fetch_add(1, Ordering::SeqCst);
                let session = Session {
                    stream: BufReader::new(Stream::Plain(stream)),
                    tls: tls.clone(),
                    implicit,
                    extensions: extensions.clone(),
                    script: script.clone(),
                    sender: sender.clone(),
                    now: Captured {
                        connection: count,
                        helo: String::new(),
                        mail: String::new(),
                        rcpt: Vec::new(),
                        data: Vec::new(),
                    },
                };
                sessions.spawn(session.run());
            }
        });
        Self { address, captured, task, connections }
    }

    /// The next message it takes.
    pub async fn next(&mut self) -> Captured {
        within(self.captured.recv()).await.unwrap()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A message it has taken already.
    pub fn try_next(&mut self) -> Option<Captured> {
        self.captured.try_recv().ok()
    }
}

impl Drop for NextHop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Session {
    stream: BufReader<Stream>,
    tls: Option<Arc<rustls::ServerConfig>>,
    implicit: bool,
    extensions: Arc<[String]>,
    script: Arc<Script>,
    sender: mpsc::UnboundedSender<Captured>,
    now: Captured,
}

impl Session {
    /// To the end of the connection.
    async fn run(mut self) {
        if self.implicit {
            self = match self.upgrade().await {
                Some(secured) => secured,
                None => return,
            };
        }
        if self.answer(Moment::Greeting, "", "220 next-hop.example ESMTP\r\n").await.is_none() {
            return;
        }
        while let Some(line) = self.line().await {
            if line.eq_ignore_ascii_case("STARTTLS") {
                match self.answer(Moment::Command, &line, "220 2.0.0 go ahead\r\n").await {
                    None => return,
                    Some(false) => continue,
                    Some(true) => match self.upgrade().await {
                        None => return,
                        Some(secured) => self = secured,
                    },
                }
                continue;
            }
            if self.command(&line).await.is_none() {
                return;
            }
        }
    }

    async fn upgrade(self) -> Option<Self> {
        let Stream::Plain(tcp) = self.stream.into_inner() else { return None };
        let stream = BufReader::new(tls::accept(self.tls.as_ref()?, tcp).await.ok()?);
        Some(Self { stream, ..self })
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
        }
    }

    /// Say `friendly`, or what the script says instead. `Some(true)` when that is a success, `None` when the
    /// connection is over.
    async fn answer(&mut self, moment: Moment, line: &str, friendly: &str) -> Option<bool> {
        let answer = (self.script)(moment, line);
        self.say(answer, friendly).await
    }

    async fn say(&mut self, answer: Option<Answer>, friendly: &str) -> Option<bool> {
        let text = match answer {
            None => friendly.to_owned(),
            Some(Answer::Say(text)) => text,
            Some(Answer::HangUp) => return None,
            Some(Answer::SayAndHangUp(text)) => {
                self.stream.get_mut().write_all(text.as_bytes()).await.ok()?;
                return None;
            }
            Some(Answer::Dribble(text)) => {
                for octet in text.as_bytes() {
                    self.stream.get_mut().write_all(&[*octet]).await.ok()?;
                    self.stream.get_mut().flush().await.ok()?;
                    tokio::task::yield_now().await;
                }
                return Some(text.starts_with(['2', '3']));
            }
            Some(Answer::HalfClose) => {
                self.stream.get_mut().shutdown().await.ok()?;
                let mut rest = Vec::new();
                let _ = self.stream.read_to_end(&mut rest).await;
                return None;
            }
            Some(Answer::Silence) => {
                let mut rest = Vec::new();
                let _ = self.stream.read_to_end(&mut rest).await;
                return None;
            }
        };
        self.stream.get_mut().write_all(text.as_bytes()).await.ok()?;
        Some(text.starts_with(['2', '3']))
    }

    async fn command(&mut self, line: &str) -> Option<()> {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let argument = line.get(verb.len()..).unwrap_or_default().trim().to_owned();
        match verb.as_str() {
            "EHLO" | "HELO" => {
                self.now.helo = argument;
                let mut lines = vec!["next-hop.example".to_owned()];
                if verb == "EHLO" {
                    lines.extend(self.extensions.iter().cloned());
                }
                let last = lines.len() - 1;
                let text: String = lines
                    .iter()
                    .enumerate()
                    .map(|(at, line)| format!("250{}{line}\r\n", if at == last { ' ' } else { '-' }))
                    .collect();
                self.answer(Moment::Command, line, &text).await?;
            }
            "MAIL" => {
                self.now.mail.clear();
                if self.answer(Moment::Command, line, "250 2.1.0 sender ok\r\n").await? {
                    self.now.mail = after_colon(&argument);
                    self.now.rcpt.clear();
                    self.now.data.clear();
                }
            }
            "RCPT" => {
                let friendly = match self.now.mail.as_str() {
                    "" => "503 5.5.1 MAIL first\r\n",
                    _ => "250 2.1.5 recipient ok\r\n",
                };
                if self.answer(Moment::Command, line, friendly).await? {
                    self.now.rcpt.push(after_colon(&argument));
                }
            }
            "DATA" => self.data(line).await?,
            "BDAT" => self.bdat(line, &argument).await?,
            "RSET" | "NOOP" => {
                self.answer(Moment::Command, line, "250 2.0.0 ok\r\n").await?;
            }
            "AUTH" => {
                self.answer(Moment::Command, line, "235 2.7.0 welcome\r\n").await?;
            }
            "QUIT" => {
                self.answer(Moment::Command, line, "221 2.0.0 bye\r\n").await?;
                return None;
            }
            _ => {
                self.answer(Moment::Command, line, "500 5.5.1 what?\r\n").await?;
            }
        }
        Some(())
    }

    async fn data(&mut self, line: &str) -> Option<()> {
        let friendly =
            if self.now.rcpt.is_empty() { "554 5.5.1 no recipients\r\n" } else { "354 go ahead\r\n" };
        if !self.answer(Moment::Command, line, friendly).await? {
            return Some(());
        }
        let mut data = Vec::new();
        loop {
            let start = data.len();
            if self.stream.read_until(b'\n', &mut data).await.ok()? == 0 {
                return None;
            }
            if &data[start..] == b".\r\n" {
                data.truncate(start);
                break;
            }
            if data[start] == b'.' {
                data.remove(start);
            }
        }
        self.now.data = data;
        self.end().await
    }

    async fn bdat(&mut self, line: &str, argument: &str) -> Option<()> {
        let mut words = argument.split(' ');
        let size: usize = words.next()?.parse().ok()?;
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        if let Some(answer) = (self.script)(Moment::Chunk, line) {
            self.say(Some(answer), "").await?;
            return None;
        }
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk).await.ok()?;
        if self.now.rcpt.is_empty() {
            self.answer(Moment::Command, line, "554 5.5.1 no recipients\r\n").await?;
            return Some(());
        }
        self.now.data.extend(chunk);
        if last {
            return self.end().await;
        }
        self.answer(Moment::Command, line, "250 2.0.0 chunk ok\r\n").await?;
        Some(())
    }

    /// The message is there: keep it, if the answer is yes.
    async fn end(&mut self) -> Option<()> {
        if self.now.rcpt.is_empty() {
            self.say(None, "554 5.5.1 no recipients\r\n").await?;
            return Some(());
        }
        let answer = (self.script)(Moment::End, "");
        let says_no = matches!(&answer, Some(Answer::Say(text)) if !text.starts_with('2'));
        // Before the answer, so that whoever saw the answer finds the message here.
        if !says_no {
            let _ = self.sender.send(self.now.clone());
        }
        self.say(answer, "250 2.0.0 taken\r\n").await?;
        self.now.mail.clear();
        self.now.rcpt.clear();
        self.now.data.clear();
        Some(())
    }
}

fn after_colon(argument: &str) -> String {
    argument.split_once(':').map_or(argument, |(_, rest)| rest).trim().to_owned()
}
