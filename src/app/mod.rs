//! Wiring: what is made at start, handed to whom, and in which order it stops.
//!
//! [`serve`] runs until a signal; [`Running`] is one gateway, so that the tour and the tests can have
//! their own on free ports. Nothing but this room and `cli` knows the store and the config.

mod anchors;
mod books;
mod certificate;
mod control;
pub mod demo;
mod evidence;
mod fixed;
pub mod keys;
mod letters;
mod links;
mod lock;
mod mailbox;
mod offline;
mod purge;
mod reload;
mod restore;
mod rooms;
mod running;
mod serve;
mod sockets;

pub use anchors::roots as time_stamp_roots;
pub use books::StoreBooks;
pub use evidence::{EVIDENCE, open as open_kept};
pub use offline::Offline;
pub use restore::{Restored, restore};
pub use rooms::structure;
pub use running::{Bound, Running};
pub use serve::serve;
pub use sockets::Sockets;
