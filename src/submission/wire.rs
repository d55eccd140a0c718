//! The octets of one connection: a bounded input buffer, replies gathered until the input is drained
//! (RFC 2920 3.2), TLS or not.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::smtp::data::LineNormaliser;
use crate::smtp::reply::Reply;

/// Octets read at once while commands are awaited.
const COMMAND_READ: usize = 4 << 10;
/// Octets read at once while a message comes in.
pub(super) const DATA_READ: usize = 64 << 10;
/// Replies gathered before they are sent although there is more input.
const MAX_GATHERED: usize = 32 << 10;

/// How long a closing connection may take to close.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The client closed it.
    #[error("closed by the client")]
    Closed,
    /// The client said nothing, or took nothing, for too long.
    #[error("timeout")]
    Timeout,
    /// The TLS handshake failed.
    #[error("TLS handshake: {0}")]
    Handshake(io::Error),
    /// The network failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A stream before and after TLS.
enum Io<T> {
    Plain(T),
    Tls(Box<TlsStream<T>>),
    /// Between the two; a handshake that failed leaves this behind.
    Gone,
}

/// One connection's octets.
pub(super) struct Wire<T> {
    io: Io<T>,
    /// What was received and not looked at yet.
    pub(super) input: BytesMut,
    output: Vec<u8>,
    scratch: BytesMut,
    normaliser: Option<LineNormaliser>,
    write_timeout: Duration,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    /// Around a stream; `normalise` makes bare line ends CRLF as they come in.
    pub(super) fn new(stream: T, normalise: bool, write_timeout: Duration) -> Self {
        Self {
            io: Io::Plain(stream),
            input: BytesMut::new(),
            output: Vec::new(),
            scratch: BytesMut::new(),
            normaliser: normalise.then(LineNormaliser::default),
            write_timeout,
        }
    }

    /// Do the server's side of a handshake; its TLS version. What was received before it is dropped
    /// (RULES P3).
    pub(super) async fn start_tls(
        &mut self,
        config: Arc<rustls::ServerConfig>,
        wait: Duration,
    ) -> Result<Option<String>, Lost> {
        self.flush().await?;
        self.input.clear();
        if let Some(normaliser) = &mut self.normaliser {
            *normaliser = LineNormaliser::default();
        }
        let Io::Plain(stream) = std::mem::replace(&mut self.io, Io::Gone) else {
            return Err(Lost::Closed);
        };
        let handshake = TlsAcceptor::from(config).accept(stream);
        let stream = timeout(wait, handshake).await.map_err(|_| Lost::Timeout)?.map_err(Lost::Handshake)?;
        let version = stream.get_ref().1.protocol_version().map(|version| version.as_str().unwrap_or("TLS"));
        let version = version.map(|version| version.replace('_', "."));
        self.io = Io::Tls(Box::new(stream));
        Ok(version)
    }

    /// Put a reply beside the others.
    pub(super) fn say(&mut self, reply: &Reply, utf8: bool) {
        reply.write_to(&mut self.output, utf8);
    }

    /// Whether so many replies were gathered that they should go.
    pub(super) fn is_full(&self) -> bool {
        self.output.len() >= MAX_GATHERED
    }

    /// Send the gathered replies.
    pub(super) async fn flush(&mut self) -> Result<(), Lost> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        let send = async {
            self.io.write_all(&output).await?;
            self.io.flush().await
        };
        timeout(self.write_timeout, send).await.map_err(|_| Lost::Timeout)??;
        self.output = output;
        self.output.clear();
        if self.output.capacity() > COMMAND_READ {
            self.output = Vec::new();
        }
        Ok(())
    }

    /// Receive some more octets, up to 64 KiB of a message and 4 KiB of commands. The replies were
    /// flushed before. Nothing is lost when this is cancelled.
    pub(super) async fn receive(&mut self, wait: Duration, in_message: bool) -> Result<(), Lost> {
        let receive =
            async { if in_message { self.receive_much().await } else { self.receive_little().await } };
        let received = timeout(wait, receive).await.map_err(|_| Lost::Timeout)??;
        if received == 0 { Err(Lost::Closed) } else { Ok(()) }
    }

    /// Commands: by way of the stack, so that a session that waits holds no buffer at all.
    async fn receive_little(&mut self) -> io::Result<usize> {
        let Self { io, input, scratch, normaliser, .. } = self;
        poll_fn(|context| {
            let mut octets = [MaybeUninit::uninit(); COMMAND_READ];
            let mut octets = ReadBuf::uninit(&mut octets);
            let polled = Pin::new(&mut *io).poll_read(context, &mut octets);
            if polled.is_pending() && input.is_empty() {
                (*input, *scratch) = Default::default();
            }
            ready!(polled)?;
            let octets = octets.filled();
            match normaliser {
                None => input.extend_from_slice(octets),
                Some(normaliser) => normaliser.normalise(octets, |bytes| input.extend_from_slice(bytes)),
            }
            Poll::Ready(Ok(octets.len()))
        })
        .await
    }

    /// A message: straight into the buffer, which grows as it is filled.
    async fn receive_much(&mut self) -> io::Result<usize> {
        let target = if self.normaliser.is_some() { &mut self.scratch } else { &mut self.input };
        // A whole read only once the last one filled what there was.
        target.reserve(DATA_READ.min(COMMAND_READ.max(target.capacity() * 2)));
        let received = self.io.read_buf(target).await?;
        if let Some(normaliser) = &mut self.normaliser {
            normaliser.normalise(&self.scratch, |bytes| self.input.extend_from_slice(bytes));
            self.scratch.clear();
        }
        Ok(received)
    }

    /// Send what is left and close; a client that does not take it is not waited for. With `linger`,
    /// what it still sends is read away for a moment: closing on unread octets resets the connection,
    /// and the client would never see why.
    pub(super) async fn close(&mut self, linger: bool) {
        let end = async {
            let _ = self.flush().await;
            let _ = self.io.shutdown().await;
            if linger {
                self.read_away().await;
            }
        };
        let _ = timeout(FAREWELL, end).await;
    }

    async fn read_away(&mut self) {
        loop {
            self.input.clear();
            self.input.reserve(COMMAND_READ);
            match self.io.read_buf(&mut self.input).await {
                Ok(octets) if octets > 0 => {}
                _ => return,
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Io<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Io<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
