//! Notices to those who must know (RULES L10).
//!
//! Pure composition: [`unsubscribed`] makes the mail that tells a sender of one unsubscribe, in its own
//! language. `relay::notice` makes it durable in the commit of the unsubscribe itself, and the spool sends
//! it. Deliberately absent: anything that decides, and anything that sends.

mod checkpoint;
mod unsubscribed;

pub use checkpoint::checkpoint;
pub use unsubscribed::{Letterhead, Notice, unsubscribed};
