//! Wiring: what is made at start, handed to whom, and in which order it stops.
//!
//! [`serve`] runs until a signal; [`Running`] is one gateway, so that the tour and the tests can have
//! their own on free ports. Nothing but this room and `cli` knows the store and the config.

mod books;
mod control;
pub mod demo;
pub mod keys;
mod letters;
mod offline;
mod rooms;
mod running;
mod serve;

pub use books::StoreBooks;
pub use offline::Offline;
pub use running::{Bound, Running};
pub use serve::serve;

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    hash
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
