//! HTTP as octets: what is sent is exactly what the test says.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::patience::within;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The value of a header that is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there twice");
        value.map(String::as_str)
    }

    /// What two answers have to share to be the same to a stranger: all but the date.
    pub fn face(&self) -> Self {
        let mut face = self.clone();
        face.headers.retain(|(name, _)| name != "date");
        face
    }
}

/// Send `request` on a connection of its own, and read the one answer.
pub async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_ref()).await.unwrap();
    read(&mut stream, request.as_ref().starts_with(b"HEAD")).await
}

/// Read one answer.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), head_only: bool) -> Answer {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        assert!(within(stream.read_buf(&mut bytes)).await.unwrap() > 0, "no answer: {bytes:?}");
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    let length = if head_only { 0 } else { length };
    while bytes.len() < end + length {
        assert!(within(stream.read_buf(&mut bytes)).await.unwrap() > 0, "cut short: {bytes:?}");
    }
    assert_eq!(bytes.len(), end + length, "more than one answer");
    Answer { status, headers, body: String::from_utf8(bytes[end..].to_vec()).unwrap() }
}
