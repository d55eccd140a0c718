//! SMTP's grammar, both directions, without IO.
//!
//! Our side of a session: [`line`] finds command lines, [`command`] reads them, [`session`] is the
//! automaton that says what to do, [`data`] finds the true end of a message, [`sasl`] holds the
//! sign-in exchanges, [`reply`] spells every reply. The far side: [`response`] reads a server's
//! replies, [`capability`] its EHLO, and [`data`] and [`sasl`] have the sending halves.
//!
//! Everything here is pure, bounded, and gives the same answer however its input is cut into pieces.
//! Deliberately absent: sockets, time, and any opinion on whether a message may go (policy).

pub mod capability;
pub mod command;
pub mod data;
pub mod line;
pub mod reply;
pub mod response;
pub mod sasl;
pub mod session;
