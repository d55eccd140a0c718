//! SMTP's grammar, both directions, without IO.

pub mod reply;
