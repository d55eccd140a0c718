//! Sockets: connecting with a deadline, through a proxy if need be ([`socks`]), TLS in both roles, a stream with a
//! bounded read buffer, an HTTP listener with a limit on everything ([`http`]), single HTTP requests to others
//! ([`call`]), what DNS says of mail ([`dns`], [`dane`]), and who signed a message, by the DNS ([`dkim`]).
//!
//! TLS is rustls with aws-lc-rs, 1.2 or newer (RULES P3); a certificate is checked unless the config says
//! otherwise. TCP_NODELAY is set on everything that leaves here. Deliberately absent: SMTP, what is said
//! over a connection, and any choice of whom to connect to.

pub mod call;
mod connect;
pub mod dane;
pub mod dkim;
pub mod dns;
pub mod http;
pub mod public;
pub mod socks;
mod stream;
pub mod tls;

pub use connect::{ConnectError, connect};
pub use stream::{Buffered, Stream};
