//! What every machine with a socket shares.
//!
//! [`http`] is an HTTP listener with a limit on everything. Deliberately absent: what is said over a
//! connection, and who may say it.

pub mod http;
