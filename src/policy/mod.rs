//! Policy: may this message go to this recipient, and why.
//!
//! [`evaluate`] is one pure function from rules and facts to a [`Decision`]; it reads nothing, so the
//! same facts give the same answer for ever, and a judge can be shown why. Only a decision can make a
//! [`Permit`], and the relay sends nothing without one. Facts are gathered by the gateway, through the
//! [`Register`] trait that the store implements. Deliberately absent: SMTP replies (the gateway spells
//! refusals through `smtp::reply`) and any edit of the message.

mod asked;
mod case;
mod consult;
mod decision;
mod evaluate;
mod explain;
mod facts;
mod pattern;
mod refusal;
mod rule;
mod screen;
mod taken;
#[cfg(test)]
mod tests;

pub use asked::may_be_asked;
pub use case::is_personal;
pub use consult::consult;
pub use decision::{Answer, Basis, Clause, Decision, Permit, Refusal, system};
pub use evaluate::{Waiting, evaluate, reconsider};
pub use explain::{Explanation, Mark, Step, explain};
pub use facts::{
    Connection, ConsentHistory, EnvelopeFacts, Facts, MessageFacts, Profile, Profiles, Register, Unavailable,
};
pub use pattern::{Pattern, PatternError};
pub use rule::{Effect, Match, Mode, OnRefused, Rule, Rules};
pub use screen::{screen, senders_asked};
pub use taken::{Taken, taken_for};
