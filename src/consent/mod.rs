//! Consent and the other grounds for marketing, as histories and folds.
//!
//! A consent is an append-only history of events for (sender, purpose, address); what is known today is
//! a fold over it. Grades are computed from the evidence and never typed in (RULES L2). There is **no
//! write method here**: a change is an event handed to `ledger::Scribe::record`, and the store applies
//! it. Deliberately absent: suppression (its own room) and anything that reads a clock; "now" is an
//! argument.

mod history;
mod lint;
mod relation;
#[cfg(test)]
mod tests;
mod text;

pub use history::{
    Act, ConsentError, ConsentEvent, ConsentEventKind, ConsentState, Evidence, Grade, fold, is_known,
};
pub use lint::{Lint, lint};
pub use relation::{Published, PublishedError, PublishedGap, Relation, RelationError, RelationGap};
pub use text::check_text;
