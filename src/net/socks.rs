//! The client's side of SOCKS5 (RFC 1928, RFC 1929): a connection through a proxy, which also resolves the
//! name. Deliberately absent: BIND, UDP and GSSAPI.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connect::{ConnectError, connect};
use crate::secret::Secret;

/// A SOCKS5 proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User name and password (RFC 1929), when it asks for them. At most 255 octets each.
    pub sign_in: Option<(String, Secret)>,
}

/// Connect to `host` through `proxy`, all within `limit`, with TCP_NODELAY set.
pub async fn connect_through(
    proxy: &Proxy,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<TcpStream, ConnectError> {
    let deadline = Instant::now() + limit;
    let mut stream = connect(&proxy.host, proxy.port, limit).await?;
    match timeout_at(deadline, ask(&mut stream, proxy, host, port)).await {
        Ok(Ok(())) => Ok(stream),
        Ok(Err(error)) => Err(ConnectError::Proxy { proxy: proxy.host.clone(), error }),
        Err(_) => Err(ConnectError::Timeout { host: host.to_owned(), port }),
    }
}

async fn ask(stream: &mut TcpStream, proxy: &Proxy, host: &str, port: u16) -> io::Result<()> {
    let hello: &[u8] = if proxy.sign_in.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
    stream.write_all(hello).await?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await?;
    match (chosen, &proxy.sign_in) {
        ([5, 0], _) => {}
        ([5, 2], Some((name, password))) => sign_in(stream, name, password).await?,
        ([5, _], _) => return Err(io::Error::other("it asks for another way to sign in")),
        _ => return Err(io::Error::other("it does not speak SOCKS5")),
    }
    let mut request = vec![5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(ip)) => {
            request.push(1);
            request.extend(ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            request.push(4);
            request.extend(ip.octets());
        }
        Err(_) => {
            request.push(3);
            counted(&mut request, host.as_bytes())?;
        }
    }
    request.extend(port.to_be_bytes());
    stream.write_all(&request).await?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await?;
    if reply[1] != 0 {
        return Err(io::Error::other(why(reply[1])));
    }
    // The address it is bound to, which nobody needs.
    let rest = match reply[3] {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await?),
        _ => return Err(io::Error::other("its reply cannot be read")),
    };
    let mut bound = vec![0; rest + 2];
    stream.read_exact(&mut bound).await?;
    Ok(())
}

async fn sign_in(stream: &mut TcpStream, name: &str, password: &Secret) -> io::Result<()> {
    let mut request = zeroize::Zeroizing::new(vec![1]);
    counted(&mut request, name.as_bytes())?;
    counted(&mut request, password.expose())?;
    stream.write_all(&request).await?;
    let mut reply = [0; 2];
    stream.read_exact(&mut reply).await?;
    if reply[1] == 0 { Ok(()) } else { Err(io::Error::other("it does not take our password")) }
}

/// One octet of length, then the octets.
fn counted(request: &mut Vec<u8>, octets: &[u8]) -> io::Result<()> {
    let length = u8::try_from(octets.len()).map_err(|_| io::Error::other("a name longer than 255 octets"))?;
    request.push(length);
    request.extend(octets);
    Ok(())
}

/// RFC 1928 6.
fn why(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "it cannot connect for others",
        8 => "address type not supported",
        _ => "it says no",
    }
}
