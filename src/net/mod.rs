//! Sockets: connecting with a deadline, TLS in both roles, and a stream with a bounded read buffer.
//!
//! TLS is rustls with aws-lc-rs, 1.2 or newer (RULES P3); a certificate is checked unless the config says
//! otherwise. TCP_NODELAY is set on everything that leaves here. Deliberately absent: SMTP, HTTP, and any
//! choice of whom to connect to.

mod connect;
mod stream;
pub mod tls;

pub use connect::{ConnectError, connect};
pub use stream::{Buffered, Stream};
