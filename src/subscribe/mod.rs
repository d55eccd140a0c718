//! Signing up with a confirmation mail (double opt-in; RULES L2, L12).
//!
//! A [`Form`] of the config is sent in by whoever wants mail; [`SignUps`] records the request and sends one mail to
//! the address, and only the button behind the link in that mail makes a consent, of grade A, with the text as it
//! was shown. The promises of this room: a GET changes nothing; the answer to a form is the same whether an address
//! is known, suppressed, or neither, and costs the same commit; nobody is mailed more than once and one more time
//! within [`Form::ask_again_after`], and never who is suppressed; the link expires.
//!
//! Deliberately absent: scripts and cookies, mail that goes out unasked (the one more is sent when the form is sent
//! in again), the wording and the sending of the mail ([`Mails`] is handed in by `app`), and the listener, which is
//! that of the unsubscribe page.

mod desk;
mod form;
mod http;
mod page;
mod words;

pub use desk::{Confirmed, Mails, Opened, Parts, SignUps, Visit};
pub use form::{Form, MAX_TEXT, Problem};
pub use http::routes;
pub use page::embedded;
