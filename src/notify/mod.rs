//! Notices to those who must know (RULES L10).
//!
//! [`at_once`] and [`digest`] word the mails that tell a sender who unsubscribed, in its own language.
//! `relay::notice` makes a mail durable in one commit with the facts it tells, and the spool sends it. [`owed`]
//! says who else is owed what; [`Outbox`] tells it: webhooks, the mailing tool's own link, the daily mails.
//! [`confirmation`] words the mail that asks whoever signed up to confirm it (RULES L12).
//! [`erasure_letter`] is the letter to somebody who was erased (L18).
//! Deliberately absent: tables (the store's) and the spool (the relay's).

mod checkpoint;
mod confirmation;
mod erasure;
mod outbox;
mod owed;
mod unsubscribed;
pub mod webhook;
mod words;

pub use checkpoint::checkpoint;
pub use confirmation::{Confirmation, confirmation};
pub use erasure::erasure_letter;
pub use outbox::{Digests, Links, OneClick, Outbox, Parts, Settings};
pub use owed::{Daily, owed};
pub use unsubscribed::{Letterhead, Notice, at_once, digest};
