//! A stream that may be TLS, and one with a bounded read buffer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::tls;
use crate::mail::{hex, sha256};

/// A TCP connection, with or without TLS, in either role.
#[derive(Debug)]
pub enum Stream {
    /// Without.
    Plain(TcpStream),
    /// With.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The TLS version, `TLSv1.3`; `None` without TLS.
    pub fn tls_version(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => tls::version(stream.get_ref().1.protocol_version()),
        }
    }

    /// TLS version and fingerprint of the peer's certificate, `TLSv1.3 sha256=<hex>`; `None` without TLS.
    pub fn tls_peer(&self) -> Option<String> {
        let Self::Tls(stream) = self else { return None };
        let version = self.tls_version()?;
        match stream.get_ref().1.peer_certificates() {
            Some([leaf, ..]) => Some(format!("{version} sha256={}", hex(&sha256(leaf)))),
            _ => Some(version.to_owned()),
        }
    }

    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

/// A stream whose input is buffered, up to a bound.
#[derive(Debug)]
pub struct Buffered {
    stream: Stream,
    buffer: BytesMut,
    capacity: usize,
}

impl Buffered {
    /// Buffer at most `capacity` octets of `stream`.
    pub fn new(stream: Stream, capacity: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), capacity }
    }

    /// What was read and not yet consumed.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// The same, for a parser that takes out what it has understood.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Drop the first `count` buffered octets (at most all).
    pub fn consume(&mut self, count: usize) {
        self.buffer.advance(count.min(self.buffer.len()));
    }

    /// Read more, once; 0 at the end of the stream. Fails with `InvalidData` when the buffer is full.
    /// Cancelling it loses nothing.
    pub async fn fill(&mut self) -> io::Result<usize> {
        let room = self.capacity.saturating_sub(self.buffer.len());
        if room == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more than fits into the buffer"));
        }
        self.buffer.reserve(room.min(4096));
        (&mut self.stream).take(room as u64).read_buf(&mut self.buffer).await
    }

    /// Whether the peer is silent and still there: nothing buffered, nothing to read, not closed.
    pub async fn is_quiet(&mut self) -> bool {
        if !self.buffer.is_empty() {
            return false;
        }
        let mut byte = [0; 1];
        let mut probe = ReadBuf::new(&mut byte);
        std::future::poll_fn(|cx| {
            Poll::Ready(Pin::new(&mut self.stream).poll_read(cx, &mut probe).is_pending())
        })
        .await
    }

    /// Write all of `bytes` and flush.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Write all of `slices`, as few calls as the stream allows, and flush.
    pub async fn write_slices(&mut self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match self.stream.write_vectored(slices).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut slices, written),
            }
        }
        self.stream.flush().await
    }

    /// The stream.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Give the stream back with what was read and not consumed.
    pub fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.buffer)
    }
}
