//! Opting out: the one-click POST, the page with one button, and what follows (RULES L3, L8 to L10, P7;
//! promises 6 and 7).
//!
//! [`Desk`] takes an unsubscribe, whatever way it came, and returns once it is durable: from then on the
//! next RCPT is refused, and so is a copy that waits in the spool. [`run`] serves it over HTTP.
//! [`Health`] asks our public address, every minute, from the outside in; marketing waits with 451 while it
//! does not answer as it should. The promises of this room: only a POST changes anything; a POST with a token of ours
//! unsubscribes, whatever its headers and body say; nobody is told that it worked before it is durable.
//!
//! Deliberately absent: any question before the button (RULES L9), cookies, scripts, redirects, limits per
//! IP address (large mailbox providers send all their clicks from a few), the wording and the sending of the
//! notice to the sender ([`Notices`] is handed in by `app`), and minting (the gateway does it, through
//! `token`).

mod desk;
mod detached;
mod form;
mod health;
mod http;
mod language;
mod letter;
mod look;
mod mailroom;
mod page;
mod proxy;
mod report;
pub(crate) mod shared;
mod undo;
mod wish;

pub use desk::{Desk, Leaving, Notices, Settings, Taken, Unread, Visit};
pub use health::{Health, Outside};
pub use http::{Limits, run, run_beside};
pub use look::{Colour, Logo, Look, LookError, MAX_LOGO};
pub use mailroom::{Handing, Handled, MailError, MailSettings, Mailroom, Sending, Sendings, Sent, Vouch};
pub use undo::{Proof, UNDO_WITHIN};
