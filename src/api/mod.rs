//! The register for other programs: an HTTP API, described by an OpenAPI document that a test keeps true.
//!
//! It asks what the gateway would decide (`POST /v1/check`), reads and adds facts, and takes down what went by another
//! way (`POST /v1/sent`): the spam ban covers text messages and app messages as well as mail, so they are asked of the
//! same register and stand in the same ledger. It is served on the admin socket, where the kernel says who asks, and on
//! a listener of its own for those who hold a [`Token`]: a name, a secret of which only the argon2 hash is kept, what it
//! may do ([`Scope`]) and for whom. The promises of this room: everything is bounded; a mistake is told as a problem
//! (RFC 9457) that names the field; what is written is judged exactly as an import is (RULES L19) and is durable before
//! it is answered; a token lifts no opt-out.
//!
//! Deliberately absent: sending (SMTP is for that), erasing and undoing (an administrator's business), and cookies.

mod body;
mod check;
mod facts;
mod gate;
mod problem;
mod routes;
mod sent;

pub use gate::{Gate, Scope, Token};
pub use routes::{Limits, ROUTES, Route, openapi, router};
